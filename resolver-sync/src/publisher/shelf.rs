//! The table with what the publisher knows of it: names, handles, what stands under each.

mod place;
mod rejudge;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use resolver_core::{Handle, IncidentKind, Reason, SourceBeat, State, Writer};

use super::Left;
use super::course::Courses;
use super::inherited;
use super::staged::{Extras, Published, Ready, add, explained, remark, said, whole, words};
use crate::catalog::{Catalog, Entry};
use crate::kill::Kills;
use crate::ledger::Ledger;
use crate::policy::Zones;
use crate::record::ServiceSet;
use crate::report::Report;
use crate::view::View;
use place::{Place, Refused, Why};

/// A set that is to be published under a view's name.
#[derive(Clone)]
pub(super) struct Publication {
    pub(super) view: View,
    pub(super) set: ServiceSet,
    pub(super) standing: (State, Reason),
    pub(super) source: u8,
}

pub(super) struct Shelf<'t> {
    writer: Writer<'t>,
    catalog: Catalog,
    courses: Courses,
    places: BTreeMap<String, Place>,
    /// Sets that could not be published, by name and source: the source will not say them again, so they wait here.
    refused: BTreeMap<(String, u8), Refused>,
    kills: Kills,
    ledger: Ledger,
}

impl<'t> Shelf<'t> {
    pub(super) fn new(writer: Writer<'t>, catalog: Catalog, zones: Zones, ledger: Ledger) -> Self {
        Shelf {
            writer,
            catalog,
            courses: Courses::new(zones),
            places: BTreeMap::new(),
            refused: BTreeMap::new(),
            kills: Kills::default(),
            ledger,
        }
    }

    /// Enters a view, so that readers can take its handle before the first publication, and see why there is none.
    pub(super) fn reserve(&mut self, view: &View, source: u8) {
        let name = view.name.as_str();
        match self.writer.add(name) {
            Ok(handle) => {
                self.courses.follow(view, handle);
                let standing = (State::Never, Reason::None);
                self.places.insert(name.into(), Place::new(handle, source, standing, &[]));
            }
            Err(error) => tracing::error!(name, "the view cannot be entered: {error}"),
        }
    }

    /// For what is no service.
    pub(super) fn writer(&mut self) -> &mut Writer<'t> {
        &mut self.writer
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.writer.reader().for_each(|name, _| {
            names.push(name.to_owned());
            true
        });
        names
    }

    /// What stands under a name from before this publisher.
    pub(super) fn left_by_predecessor(&self, name: &str) -> Left {
        let reader = self.writer.reader();
        let Some(handle) = reader.service(name) else { return Left::default() };
        let Ok((state, _, source, _)) = reader.standing(handle) else { return Left::default() };
        if state == State::Never {
            return Left::default();
        }
        let status = reader.source(source);
        let source = status.map_or(String::new(), |status| status.name(&mut [0; 24]).to_owned());
        let endpoints: Vec<_> = reader.set(handle).map_or(Vec::new(), |set| whole(&set).collect());
        Left {
            source,
            tier: endpoints.first().map(|endpoint| endpoint.tier()),
            ids: endpoints.iter().map(|endpoint| endpoint.id()).collect(),
            endpoints: endpoints.iter().map(|endpoint| endpoint.address().socket_addr()).collect(),
        }
    }

    /// Keeps what a predecessor published, as stale.
    pub(super) fn inherit(&mut self, name: &str, source: u8, left: &Left) {
        self.courses.inherit(name, left);
        let Some(handle) = self.writer.reader().service(name) else { return };
        let standing = (State::Stale, Reason::Restored);
        // The number of the source too: a predecessor's may have meant another one.
        if self.writer.mark(handle, said(standing, source)).is_ok() {
            self.places.insert(name.into(), Place::new(handle, source, standing, &left.endpoints));
            self.catalogue_inherited(name, handle, &left.source);
        }
    }

    /// So that it can be kept, and taken apart by an operator, before its source has spoken.
    fn catalogue_inherited(&self, name: &str, handle: Handle, from: &str) {
        let reader = self.writer.reader();
        let generation = reader.standing(handle).map_or(0, |(.., generation)| generation);
        if let Some(set) = inherited::set_of(&reader, handle, self.courses.zones())
            && self.catalog.get(name).is_none()
        {
            let (source, detail) =
                (from.to_owned(), "from a predecessor; the registry has not spoken yet".into());
            let (state, reason) = (State::Stale, Reason::Restored);
            self.catalog.put(name, Entry { source, set, state, reason, detail, generation });
        }
    }

    /// What the catalogue has from a table before this one: names, sources and sets.
    pub(super) fn superseded(&self) -> Vec<(String, String, ServiceSet)> {
        let stands =
            |name: &String| self.places.get(name).is_some_and(|place| place.standing.0 != State::Never);
        let names = self.catalog.names().into_iter().filter(|name| !stands(name));
        let known = |name: String| {
            let entry = self.catalog.get(&name)?;
            Some((name, entry.source.clone(), entry.set.clone()))
        };
        names.filter_map(known).collect()
    }

    /// Publishes a set from a table before this one, as stale; gives where its instances are.
    pub(super) fn restore(&mut self, view: &View, set: &ServiceSet, source: u8) -> Vec<SocketAddr> {
        let standing = (State::Stale, Reason::Restored);
        self.publish(vec![Publication { view: view.clone(), set: set.clone(), standing, source }]);
        set.instances.iter().map(|instance| SocketAddr::new(instance.address, instance.port)).collect()
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.writer.remove(name);
        self.refused.retain(|(refused, _), refusal| refused != name || refusal.why == Why::Name);
        self.places.remove(name);
        self.catalog.remove(name);
    }

    /// The source whose set stands under a name.
    pub(super) fn owner(&self, name: &str) -> Option<u8> {
        self.places.get(name).map(|place| place.source)
    }

    pub(super) fn kills(&mut self) -> &mut Kills {
        &mut self.kills
    }

    /// Writes down what was counted and noted since the last time, by whomever.
    pub(super) fn enter_ledger(&mut self) {
        self.ledger.enter(&mut self.writer);
    }

    pub(super) fn beat<'s>(&mut self, sources: impl Iterator<Item = SourceBeat<'s>>) {
        let sources: Vec<_> = sources.collect();
        self.writer.beat(&sources);
    }

    /// Publishes all of them as of one moment. One that is refused leaves its old set standing, as stale, and the
    /// others go on.
    pub(super) fn publish(&mut self, publications: Vec<Publication>) {
        let now = Instant::now();
        let mut ready = Vec::new();
        for publication in publications {
            if self.yields(&publication) {
                let words = "a source that comes before this one has a service of this name";
                self.refuse(publication, Why::Name, words);
            } else if !self.is_nothing_new(&publication)
                && let Some(next) = self.rank(&publication, now)
            {
                match self.writer.add(&publication.view.name) {
                    Ok(handle) => ready.push((handle, publication, next)),
                    Err(error) => self.refuse(publication, Why::Room, &error.to_string()),
                }
            }
        }
        let mut batch = self.writer.batch();
        let mut done = Vec::new();
        let mut failed = Vec::new();
        for (handle, publication, next) in ready {
            match add(&mut batch, handle, &publication, &next, Extras::ALL) {
                Ok(published) => done.push((published, publication, next)),
                Err(_) => failed.push((handle, publication, next)),
            }
        }
        batch.commit();
        for (published, publication, next) in done {
            self.enter(published, publication, next);
        }
        // Alone, what the batch has left is free.
        for (handle, publication, next) in failed {
            self.publish_alone(handle, publication, next);
        }
    }

    /// What is to be published of a set; `None` where exactly that stands: a listing says again what everybody knows.
    fn rank(&mut self, publication: &Publication, now: Instant) -> Option<Ready> {
        let Publication { view, set, .. } = publication;
        let stands = self.stands(publication);
        if stands && !self.courses.has(&view.name) {
            return None;
        }
        let primary = self.places.get(&view.name).and_then(|place| place.primary);
        let ranked = self.courses.rank(view, &self.kills.without(&view.name, set), primary, now);
        let out = self.kills.out_of(view, set);
        (!stands || !self.courses.stands(&view.name, &ranked)).then_some(Ready { ranked, out })
    }

    fn publish_alone(&mut self, handle: Handle, publication: Publication, next: Ready) {
        let mut batch = self.writer.batch();
        // An endpoint is worth more than the tables of one picker, and these more than the words for tools.
        let mut published = add(&mut batch, handle, &publication, &next, Extras::ALL);
        for extras in Extras::fewer(&publication.view.policies) {
            if published.is_err() {
                published = add(&mut batch, handle, &publication, &next, extras);
            }
        }
        if published.is_err() {
            // Best effort: a name that is gone has nothing to mark.
            let _ = batch.mark(handle, said((State::Stale, Reason::Capacity), publication.source));
        }
        batch.commit();
        match published {
            Ok(published) => self.enter(published, publication, next),
            Err(error) => {
                if let Some(place) = self.places.get_mut(&publication.view.name) {
                    place.standing = (State::Stale, Reason::Capacity);
                }
                self.refuse(publication, Why::Room, &error.to_string());
            }
        }
    }

    /// Ranks again what time has changed: a tier that has proven itself, a weight that grows, an ejection that is over.
    pub(super) fn tick(&mut self) {
        let due = self.courses.due(Instant::now());
        self.publish_again(due);
    }

    /// Takes reports of callers; how many of them meant nothing.
    pub(super) fn observe(&mut self, reports: &[Report]) -> u64 {
        let (changed, unknown) = self.courses.observe(reports, Instant::now());
        self.publish_again(changed);
        unknown
    }

    /// Publishes the sets that stand once more, as they are to be ranked now.
    fn publish_again(&mut self, views: Vec<View>) {
        let mut publications = Vec::new();
        for view in views {
            let (Some(place), Some(entry)) = (self.places.get(&view.name), self.catalog.get(&view.name))
            else {
                continue;
            };
            // What waits for room is tried again anyway, and newer than what stands.
            if !self.refused.contains_key(&(view.name.clone(), place.source)) {
                let (standing, source) = (place.standing, place.source);
                publications.push(Publication { view, set: entry.set.clone(), standing, source });
            }
        }
        self.publish(publications);
    }

    /// Tries again what was refused: room may have come free, and a name's owner may have nothing any more.
    pub(super) fn retry(&mut self) {
        let waiting: Vec<_> = self.refused.values().map(|refused| refused.publication.clone()).collect();
        for publication in waiting {
            if !self.yields(&publication) {
                self.publish(vec![publication]);
            }
        }
    }

    /// Whether a name is another source's: of the sources that have instances under it, the one that the configuration
    /// names first has it.
    fn yields(&self, publication: &Publication) -> bool {
        let Some(place) = self.places.get(&publication.view.name) else { return false };
        let is_empty = publication.set.instances.is_empty();
        place.source != publication.source
            && place.primary.is_some()
            && (place.source < publication.source || is_empty)
    }

    /// Whether it is an empty set of a name that the table does not have: discovered names come with their first endpoint.
    fn is_nothing_new(&self, publication: &Publication) -> bool {
        publication.set.instances.is_empty() && !self.places.contains_key(&publication.view.name)
    }

    /// Marks names of one source as they stand now, where that is news.
    pub(super) fn mark(&mut self, source: u8, standings: Vec<(String, (State, Reason), String)>) {
        let mut batch = self.writer.batch();
        for (name, standing, detail) in standings {
            // What does not fit stays marked so, until a set of it does.
            let refused = self.refused.get(&(name.clone(), source));
            let standing = match refused {
                Some(Refused { why: Why::Room, .. }) => (State::Stale, Reason::Capacity),
                _ => standing,
            };
            let Some(place) = self.places.get_mut(&name).filter(|place| place.source == source) else {
                continue;
            };
            let explained = explained(standing, place.remark);
            if place.standing != standing && batch.mark(place.handle, said(explained, source)).is_ok() {
                place.standing = standing;
                if let Some(entry) = self.catalog.get(&name) {
                    let (state, reason) = explained;
                    let state = if entry.state == State::Empty { State::Empty } else { state };
                    self.catalog.put(&name, Entry { state, reason, detail, ..Entry::clone(&entry) });
                }
            }
        }
        batch.commit();
    }

    /// Whether exactly this set is published already.
    fn stands(&self, publication: &Publication) -> bool {
        let name = &publication.view.name;
        let (Some(place), Some(entry)) = (self.places.get(name), self.catalog.get(name)) else {
            return false;
        };
        (place.source, place.standing) == (publication.source, publication.standing)
            && entry.set.instances == publication.set.instances
            && entry.set.rejected == publication.set.rejected
            && (!self.courses.has(name) || entry.set.unhealthy == publication.set.unhealthy)
            && !self.refused.contains_key(&(name.clone(), publication.source))
            && place.out == self.kills.out_of(&publication.view, &publication.set)
    }

    fn enter(&mut self, published: Published, publication: Publication, next: Ready) {
        let Ready { ranked, out } = next;
        let Publication { view: View { name, .. }, set, standing, source } = publication;
        let Published { handle, primary, generation, extras } = published;
        self.refused.remove(&(name.clone(), source));
        self.ledger.published();
        let state = if primary.is_none() { State::Empty } else { standing.0 };
        let status = self.writer.reader().source(source);
        let from = status.map_or(String::new(), |status| status.name(&mut [0; 24]).to_owned());
        let (remark, endpoints) = (remark(&ranked, &out), ranked.endpoints.len());
        let ((_, reason), detail) = (explained(standing, remark), words(&ranked));
        self.courses.published(&name, ranked, extras.tables);
        self.catalog.put(&name, Entry { source: from, set, state, reason, detail, generation });
        self.places.insert(name, Place { handle, source, standing, primary, remark, out, endpoints });
    }

    fn refuse(&mut self, publication: Publication, why: Why, words: &str) {
        let (name, source) = (publication.view.name.clone(), publication.source);
        let before = self.refused.get(&(name.clone(), source));
        if before.is_none_or(|before| before.words != words) {
            tracing::error!(
                name,
                source = publication.view.source,
                "not published, and tried again: {words}"
            );
            self.ledger.refused();
            self.ledger.note(IncidentKind::Refused, &name, words);
        }
        self.refused.insert((name, source), Refused { publication, why, words: words.to_owned() });
    }
}
