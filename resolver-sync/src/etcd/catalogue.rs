//! What the registry holds below the prefix, key by key, and how listings and events change it.
//!
//! A listing comes in pages, all of one revision, while events may go on arriving. Both may tell of the same change, in
//! either order. Two rules keep time from going back: an event at or below the revision of what a key is already known
//! by is dropped, and a page changes nothing that an event above its revision has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::record::ServiceSet;

use super::codec::{Codec, Decoded};

/// The keys below one prefix, as of a revision.
#[derive(Debug)]
pub(super) struct Catalogue {
    /// What stands before every key in the cluster and in no key that anybody is told.
    namespace: String,
    prefix: String,
    codec: Codec,
    records: BTreeMap<Arc<[u8]>, Record>,
    services: BTreeMap<String, BTreeSet<Arc<[u8]>>>,
    /// Every event at or below this is in `records`.
    applied: i64,
    listing: Option<Listing>,
}

/// One key that is there.
#[derive(Debug)]
struct Record {
    revision: i64,
    /// `None`: the key names no service.
    decoded: Option<Decoded>,
}

/// A listing that is under way.
#[derive(Debug)]
struct Listing {
    /// 0 until the first page tells it.
    revision: i64,
    /// Keys below this one are done.
    done: Vec<u8>,
    /// Deleted by an event since the listing was asked for, so that a page does not bring them back.
    gone: HashMap<Vec<u8>, i64>,
}

/// A key as a listing or an event tells of it; no value is a deletion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: Option<&'a [u8]>,
    pub(super) revision: i64,
}

impl Catalogue {
    pub(super) fn new(prefix: &str, codec: Codec) -> Self {
        Catalogue {
            namespace: String::new(),
            prefix: prefix.into(),
            codec,
            records: BTreeMap::new(),
            services: BTreeMap::new(),
            applied: 0,
            listing: None,
        }
    }

    /// For keys that all have this before the prefix.
    pub(super) fn within(self, namespace: &str) -> Self {
        Catalogue { namespace: namespace.into(), ..self }
    }

    /// The revision at or below which nothing is missing.
    pub(super) const fn applied(&self) -> i64 {
        self.applied
    }

    /// Takes events, in their order, and returns the services that they changed.
    pub(super) fn apply<'a>(&mut self, changes: impl IntoIterator<Item = Change<'a>>) -> BTreeSet<String> {
        let mut touched = BTreeSet::new();
        // Events of one revision arrive together, so the mark moves only when all of them are in.
        let mut newest = self.applied;
        for change in changes {
            if change.revision <= self.applied {
                continue;
            }
            newest = newest.max(change.revision);
            if let Some(listing) = &mut self.listing {
                if change.revision <= listing.revision && change.key < listing.done.as_slice() {
                    continue;
                }
                if change.value.is_none() {
                    listing.gone.insert(change.key.into(), change.revision);
                }
            }
            self.store(change, &mut touched);
        }
        self.applied = newest;
        touched
    }

    /// A listing is about to be asked for; one that was under way is forgotten.
    pub(super) fn begin(&mut self) {
        self.begin_at(&[]);
    }

    /// As [`Catalogue::begin`], for a listing that says nothing of the keys below this one.
    pub(super) fn begin_at(&mut self, from: &[u8]) {
        self.listing = Some(Listing { revision: 0, done: from.into(), gone: HashMap::new() });
    }

    /// Takes a page: all the keys there were at `revision` from where the last page ended to just before `done`.
    /// Returns the services that it changed.
    pub(super) fn page<'a>(
        &mut self,
        page: impl IntoIterator<Item = Change<'a>>,
        done: Vec<u8>,
        revision: i64,
    ) -> BTreeSet<String> {
        let mut touched = BTreeSet::new();
        let Some(mut listing) = self.listing.take() else { return touched };
        listing.revision = revision;
        let from = std::mem::replace(&mut listing.done, done);
        let range = (Bound::Included(from.as_slice()), Bound::Excluded(listing.done.as_slice()));
        let mut unlisted: BTreeSet<Arc<[u8]>> = self
            .records
            .range::<[u8], _>(range)
            .filter(|(_, record)| record.revision <= listing.revision)
            .map(|(key, _)| key.clone())
            .collect();
        for change in page {
            unlisted.remove(change.key);
            let known = self.records.get(change.key).map(|record| record.revision);
            let newer = known.is_some_and(|known| known >= change.revision);
            let gone = listing.gone.get(change.key).is_some_and(|gone| *gone > listing.revision);
            if !newer && !gone {
                self.store(change, &mut touched);
            }
        }
        for key in unlisted {
            let revision = listing.revision;
            self.store(Change { key: &key, value: None, revision }, &mut touched);
        }
        self.listing = Some(listing);
        touched
    }

    /// The last page was taken.
    pub(super) fn finish(&mut self) {
        if let Some(listing) = self.listing.take() {
            self.applied = self.applied.max(listing.revision);
        }
    }

    /// One service as it is now; empty when no key is left.
    pub(super) fn set(&self, service: &str, revision: i64) -> ServiceSet {
        let keys = self.services.get(service).into_iter().flatten();
        let decoded = || keys.clone().filter_map(|key| self.records.get(key)?.decoded.as_ref());
        let revision = u64::try_from(revision).unwrap_or_default();
        let mut set = ServiceSet::check(decoded().flat_map(|d| d.candidates.iter().cloned()), revision);
        set.rejected.extend(decoded().flat_map(|d| d.rejected.iter().cloned()));
        set
    }

    /// Every service that has a key.
    pub(super) fn all(&self, revision: i64) -> BTreeMap<String, ServiceSet> {
        self.services.keys().map(|service| (service.clone(), self.set(service, revision))).collect()
    }

    fn store(&mut self, change: Change<'_>, touched: &mut BTreeSet<String>) {
        let shown = change.key.strip_prefix(self.namespace.as_bytes()).unwrap_or(change.key);
        let decoded = change.value.and_then(|value| self.codec.decode(&self.prefix, shown, value));
        if let (Some(value), None) = (change.value, &decoded)
            && !self.codec.is_furniture(&self.prefix, shown, value)
        {
            let key = String::from_utf8_lossy(shown);
            tracing::warn!(%key, "skipped: this key names no service; <prefix><service>/<id> is expected");
        }
        let service = decoded.as_ref().map(|decoded| decoded.service.clone());
        let (key, old) = match change.value {
            None => match self.records.remove_entry(change.key) {
                Some((key, record)) => (key, record.decoded),
                None => return,
            },
            Some(_) => {
                let key = self.records.get_key_value(change.key).map(|(key, _)| key.clone());
                let key = key.unwrap_or_else(|| change.key.into());
                let record = Record { revision: change.revision, decoded };
                let old = self.records.insert(key.clone(), record).and_then(|record| record.decoded);
                (key, old)
            }
        };
        if let Some(old) = old
            && Some(&old.service) != service.as_ref()
        {
            if let Some(keys) = self.services.get_mut(&old.service) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.services.remove(&old.service);
                }
            }
            touched.insert(old.service);
        }
        if let Some(service) = service {
            self.services.entry(service.clone()).or_default().insert(key);
            touched.insert(service);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put<'a>(key: &'a str, value: &'a str, revision: i64) -> Change<'a> {
        Change { key: key.as_bytes(), value: Some(value.as_bytes()), revision }
    }

    fn delete(key: &str, revision: i64) -> Change<'_> {
        Change { key: key.as_bytes(), value: None, revision }
    }

    fn listed(pages: &[(&[Change<'_>], &str)], revision: i64) -> Catalogue {
        let mut catalogue = Catalogue::new("/s/", Codec::Auto);
        catalogue.begin();
        for (page, done) in pages {
            catalogue.page(page.iter().copied(), done.as_bytes().into(), revision);
        }
        catalogue.finish();
        catalogue
    }

    fn ports(catalogue: &Catalogue, service: &str) -> Vec<u16> {
        catalogue.set(service, 1).instances.iter().map(|instance| instance.port).collect()
    }

    #[test]
    fn pages_make_services() {
        let catalogue = listed(
            &[
                (&[put("/s/a/1", "10.0.0.1:1", 3), put("/s/a/2", "10.0.0.1:2", 4)], "/s/a/2\0"),
                (&[put("/s/b/1", "nonsense", 5), put("/s/x", "10.0.0.1:1", 6)], "/s0"),
            ],
            9,
        );
        assert_eq!(catalogue.applied(), 9);
        let all = catalogue.all(9);
        assert_eq!(all.keys().collect::<Vec<_>>(), ["a", "b", "x"]);
        assert_eq!(ports(&catalogue, "a"), [1, 2]);
        assert_eq!((all["b"].instances.len(), all["b"].rejected[0].id.as_str()), (0, "/s/b/1"));
        assert_eq!(all["x"].rejected.len(), 1);
    }

    #[test]
    fn events_at_or_below_what_is_known_are_dropped() {
        let mut catalogue = listed(&[(&[put("/s/a/1", "10.0.0.1:2", 8)], "/s0")], 9);
        assert!(catalogue.apply([put("/s/a/1", "10.0.0.1:1", 7), delete("/s/a/1", 9)]).is_empty());
        assert_eq!(ports(&catalogue, "a"), [2]);
    }

    #[test]
    fn all_events_of_a_revision_count_and_the_last_key_leaves_an_empty_set() {
        let mut catalogue = listed(&[(&[put("/s/a/1", "10.0.0.1:1", 3)], "/s0")], 9);
        let touched = catalogue.apply([
            put("/s/a/2", "10.0.0.1:2", 10),
            put("/s/b/1", "10.0.0.2:1", 10),
            delete("/s/a/1", 10),
        ]);
        assert_eq!(touched.iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((ports(&catalogue, "a"), catalogue.applied()), (vec![2], 10));
        assert_eq!(catalogue.apply([delete("/s/a/2", 11)]).len(), 1);
        assert!(ports(&catalogue, "a").is_empty() && !catalogue.all(11).contains_key("a"));
        assert!(catalogue.apply([delete("/s/a/2", 12)]).is_empty(), "nobody was told twice");
    }

    #[test]
    fn a_listing_repairs_what_the_watch_lost() {
        let mut catalogue =
            listed(&[(&[put("/s/a/1", "10.0.0.1:1", 3), put("/s/b/1", "10.0.0.1:1", 4)], "/s0")], 9);
        catalogue.begin();
        // Lost: a put of /s/a/1 at 12, a put of /s/a/2 at 13, the deletion of /s/b/1.
        let page = [put("/s/a/1", "10.0.0.1:7", 12), put("/s/a/2", "10.0.0.1:8", 13)];
        assert_eq!(catalogue.page(page, b"/s0".to_vec(), 20).into_iter().collect::<Vec<_>>(), ["a", "b"]);
        catalogue.finish();
        assert_eq!((ports(&catalogue, "a"), ports(&catalogue, "b")), (vec![7, 8], vec![]));
        assert_eq!(catalogue.applied(), 20);
    }

    #[test]
    fn a_listing_undoes_nothing_that_is_newer() {
        let mut catalogue =
            listed(&[(&[put("/s/a/1", "10.0.0.1:1", 3), put("/s/a/2", "10.0.0.1:2", 4)], "/s0")], 9);
        catalogue.begin();
        catalogue.apply([
            put("/s/a/1", "10.0.0.1:11", 11),
            delete("/s/a/2", 12),
            put("/s/a/3", "10.0.0.1:13", 13),
        ]);
        let page = [put("/s/a/1", "10.0.0.1:1", 3), put("/s/a/2", "10.0.0.1:2", 4)];
        assert!(catalogue.page(page, b"/s0".to_vec(), 10).is_empty());
        catalogue.finish();
        assert_eq!((ports(&catalogue, "a"), catalogue.applied()), (vec![11, 13], 13));
    }

    #[test]
    fn an_event_that_a_page_has_told_already_changes_nothing() {
        let mut catalogue = listed(&[(&[put("/s/a/1", "10.0.0.1:1", 3)], "/s0")], 9);
        catalogue.begin();
        // The page is of revision 12: /s/a/1 was put at 10 and deleted at 11, /s/a/2 was put at 12.
        catalogue.page([put("/s/a/2", "10.0.0.1:2", 12)], b"/s/b".to_vec(), 12);
        assert!(catalogue.apply([put("/s/a/1", "10.0.0.1:1", 10)]).is_empty(), "time went back");
        // A key that no page has reached yet follows the watch.
        assert_eq!(catalogue.apply([put("/s/c/1", "10.0.0.1:3", 11)]).len(), 1);
        catalogue.page([put("/s/c/1", "10.0.0.1:3", 11)], b"/s0".to_vec(), 12);
        catalogue.finish();
        assert_eq!((ports(&catalogue, "a"), ports(&catalogue, "c")), (vec![2], vec![3]));
    }

    #[test]
    fn deleted_and_put_again_while_a_listing_runs() {
        let mut catalogue = listed(&[(&[put("/s/a/1", "10.0.0.1:1", 3)], "/s0")], 9);
        catalogue.begin();
        catalogue.apply([delete("/s/a/1", 11)]);
        catalogue.apply([put("/s/a/1", "10.0.0.1:12", 12)]);
        catalogue.page([put("/s/a/1", "10.0.0.1:1", 3)], b"/s0".to_vec(), 10);
        catalogue.finish();
        assert_eq!(ports(&catalogue, "a"), [12]);
    }
}
