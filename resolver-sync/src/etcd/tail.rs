//! The events of a watch, message by message: what each proves, and which of them are a gap.

use std::sync::{Mutex, PoisonError};

use etcd_client::WatchResponse;
use resolver_core::Reason;

use crate::source::Fault;

use super::Position;
use super::list::Page;
use super::watch::{End, Event, Followed};

/// The most that the fragments of one revision may hold together.
const FRAGMENTS: usize = 64 << 20;

/// What a watch has told so far.
pub(super) struct Tail<'a, F> {
    url: &'a str,
    position: &'a Mutex<Position>,
    followed: F,
    cluster: u64,
    /// Everything up to here has come through the watch.
    watched: i64,
    /// What the watch had seen when the listing was asked for; the listing cannot be older.
    asked: i64,
    /// The fragments so far of a revision that came in several messages.
    fragments: Vec<WatchResponse>,
}

impl<'a, F: Followed> Tail<'a, F> {
    pub(super) fn new(url: &'a str, position: &'a Mutex<Position>, followed: F, cluster: u64) -> Self {
        let revision = followed.applied();
        let (watched, asked) = (revision, revision);
        Tail { url, position, followed, cluster, watched, asked, fragments: Vec::new() }
    }

    pub(super) fn take(&mut self, response: WatchResponse) -> Result<(), End> {
        // In every message, the first one included: a refused or compacted watch is created and cancelled in one, and
        // its stream stays open and silent.
        if response.canceled() {
            return Err(self.cancelled(&response));
        }
        let Some((cluster, revision)) =
            response.header().map(|header| (header.cluster_id(), header.revision()))
        else {
            return Err(self.gap(Reason::BadAnswer, "a message without a header"));
        };
        if cluster != self.cluster {
            let words = format!("the cluster is {cluster:x} and was {:x}", self.cluster);
            return Err(self.gap(Reason::Regressed, &words));
        }
        if !response.events().is_empty() {
            return self.take_events(response, revision);
        }
        if revision < self.watched {
            // A watch on a revision that is yet to come would just wait, without a word.
            let words = format!("at revision {revision}, after {}", self.watched);
            return Err(self.gap(Reason::Regressed, &words));
        }
        // Created, or progress: nothing at or below this revision is on its way any more.
        self.watched = revision;
        self.move_position();
        self.followed.contact().alive();
        Ok(())
    }

    fn take_events(&mut self, response: WatchResponse, revision: i64) -> Result<(), End> {
        let unfinished = response.0.fragment;
        if unfinished || !self.fragments.is_empty() {
            self.fragments.push(response);
            let values = self.fragments.iter().flat_map(|part| part.events()).filter_map(|event| event.kv());
            if values.map(|kv| kv.key().len() + kv.value().len()).sum::<usize>() > FRAGMENTS {
                return Err(self.gap(Reason::BadAnswer, "a revision of more than 64 MiB"));
            }
            if unfinished {
                return Ok(());
            }
        } else {
            self.fragments.push(response);
        }
        let parts = std::mem::take(&mut self.fragments);
        let mut events = Vec::with_capacity(parts.iter().map(|part| part.events().len()).sum());
        for event in parts.iter().flat_map(|part| part.events()) {
            // Not `event_type()`: it panics on a type that it does not know.
            let kind = event.0.r#type;
            let Some(kv) = event.kv().filter(|_| kind == 0 || kind == 1) else {
                return Err(self.gap(Reason::BadAnswer, &format!("an event of unknown type {kind}")));
            };
            events.push(Event { kv, deleted: kind == 1 });
        }
        self.followed.apply(&events, self.watched);
        self.watched = self.watched.max(self.followed.applied());
        self.move_position();
        // A watch that is catching up carries the cluster's revision over older events.
        if revision <= self.watched {
            self.followed.contact().alive();
        }
        Ok(())
    }

    pub(super) fn begin_listing(&mut self) {
        self.asked = self.watched;
        self.followed.begin();
    }

    pub(super) fn take_page(&mut self, page: &Page) -> Result<(), End> {
        if page.cluster != self.cluster || page.revision < self.asked {
            let words = format!(
                "a listing is of cluster {:x} revision {}, the watch of cluster {:x} revision {}",
                page.cluster, page.revision, self.cluster, self.asked
            );
            return Err(self.gap(Reason::Regressed, &words));
        }
        self.followed.repair(page, self.watched);
        if page.last {
            self.move_position();
        }
        Ok(())
    }

    fn move_position(&self) {
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        position.revision = self.watched.max(self.followed.applied());
    }

    fn cancelled(&self, response: &WatchResponse) -> End {
        let (compacted, why) = (response.compact_revision(), response.cancel_reason());
        if compacted > 0 {
            return self.gap(Reason::BadAnswer, &format!("cancelled: compacted up to revision {compacted}"));
        }
        // A token that ran out is refused in the same way; the listing's own call renews it, or says that the right is
        // gone.
        let reason = match why {
            why if why.contains("no leader") => Reason::NoLeader,
            why if why.contains("permission denied") || why.contains("auth") => Reason::Acl,
            _ => Reason::BadAnswer,
        };
        self.gap(reason, &format!("cancelled by the server: {why:?}"))
    }

    fn gap(&self, reason: Reason, words: &str) -> End {
        End::Gap(Fault::new(reason, format!("etcd {}: watch: {words}", self.url)))
    }

    pub(super) fn lost(&self, words: &str) -> End {
        End::Lost(Fault::new(Reason::Unreachable, format!("etcd {}: {words}", self.url)))
    }
}

#[cfg(test)]
mod tests {
    use etcd_client::proto::{PbEvent, PbKeyValue, PbResponseHeader, PbWatchResponse};

    use super::*;
    use crate::etcd::catalogue::{Catalogue, Change};
    use crate::etcd::services::Services;
    use crate::etcd::{Codec, EtcdConfig, EtcdSource};
    use crate::source::Feed;

    const CLUSTER: u64 = 7;

    fn source() -> EtcdSource {
        let endpoints = vec!["http://127.0.0.1:1".into()];
        EtcdSource::new(EtcdConfig { endpoints, ..EtcdConfig::default() }).expect("a good configuration")
    }

    /// A watch that begins after a listing at revision 10.
    fn tail<'a>(source: &'a EtcdSource, feed: &'a Feed) -> Tail<'a, Services<'a>> {
        let mut catalogue = Catalogue::new("/services/", Codec::Auto);
        catalogue.begin();
        let change = Change { key: b"/services/oms/1", value: Some(b"10.0.0.1:1"), revision: 9 };
        catalogue.page([change], b"/services0".to_vec(), 10);
        catalogue.finish();
        let url = source.members.url();
        Tail::new(url, &source.position, Services::new(url, feed, catalogue), CLUSTER)
    }

    fn message(revision: i64, events: Vec<PbEvent>) -> PbWatchResponse {
        let header = Some(PbResponseHeader { cluster_id: CLUSTER, revision, ..Default::default() });
        PbWatchResponse { header, events, ..Default::default() }
    }

    fn put(key: &str, port: u16, revision: i64) -> PbEvent {
        let (key, value) = (format!("/services/{key}").into_bytes(), format!("10.0.0.1:{port}").into_bytes());
        let kv = Some(PbKeyValue { key, value, mod_revision: revision, ..Default::default() });
        PbEvent { kv, ..Default::default() }
    }

    #[track_caller]
    fn gap(taken: Result<(), End>, reason: Reason, words: &str) {
        match taken {
            Err(End::Gap(fault)) => {
                assert!(fault.reason == reason && fault.detail.contains(words), "{fault:?} is not {words:?}");
            }
            other => panic!("{other:?} is no gap"),
        }
    }

    #[test]
    fn a_cancel_is_seen_in_every_message() {
        let (source, feed) = (source(), Feed::default());
        let cancel = |created, compact_revision, why: &str| {
            let cancel_reason = why.into();
            WatchResponse(PbWatchResponse {
                created,
                canceled: true,
                compact_revision,
                cancel_reason,
                ..message(0, vec![])
            })
        };
        gap(
            tail(&source, &feed).take(cancel(false, 16, "")),
            Reason::BadAnswer,
            "compacted up to revision 16",
        );
        gap(
            tail(&source, &feed).take(cancel(true, 0, "etcdserver: permission denied")),
            Reason::Acl,
            "permission",
        );
        gap(
            tail(&source, &feed).take(cancel(true, 0, "etcdserver: no leader")),
            Reason::NoLeader,
            "no leader",
        );
        gap(tail(&source, &feed).take(cancel(false, 0, "")), Reason::BadAnswer, "cancelled by the server");
        assert!(feed.take().alive_at.is_none(), "a cancelled watch proves nothing");
    }

    #[test]
    fn progress_is_a_proof_of_life_and_going_back_is_not() {
        let (source, feed) = (source(), Feed::default());
        let mut tail = tail(&source, &feed);
        tail.take(WatchResponse(message(12, vec![]))).expect("progress");
        assert!(feed.take().alive_at.is_some());
        assert_eq!(source.lock().revision, 12);
        gap(tail.take(WatchResponse(message(11, vec![]))), Reason::Regressed, "at revision 11, after 12");
        let other = Some(PbResponseHeader { cluster_id: 8, revision: 99, ..Default::default() });
        let other = PbWatchResponse { header: other, ..message(0, vec![]) };
        gap(tail.take(WatchResponse(other)), Reason::Regressed, "the cluster is 8 and was 7");
        gap(
            tail.take(WatchResponse(PbWatchResponse::default())),
            Reason::BadAnswer,
            "a message without a header",
        );
        assert!(feed.take().alive_at.is_none());
    }

    #[test]
    fn an_unknown_event_is_a_gap_and_no_panic() {
        let (source, feed) = (source(), Feed::default());
        let event = PbEvent { r#type: 7, ..put("oms/2", 2, 11) };
        gap(
            tail(&source, &feed).take(WatchResponse(message(11, vec![event]))),
            Reason::BadAnswer,
            "unknown type 7",
        );
        let bare = PbEvent::default();
        let taken = tail(&source, &feed).take(WatchResponse(message(11, vec![put("oms/2", 2, 11), bare])));
        gap(taken, Reason::BadAnswer, "unknown type 0");
        assert!(feed.take().services.is_empty(), "half of a revision was applied");
    }

    #[test]
    fn a_revision_in_fragments_is_one_change() {
        let (source, feed) = (source(), Feed::default());
        let mut tail = tail(&source, &feed);
        let first = PbWatchResponse { fragment: true, ..message(11, vec![put("oms/2", 2, 11)]) };
        tail.take(WatchResponse(first)).expect("a fragment");
        assert!(feed.take().services.is_empty(), "half of a revision was applied");
        tail.take(WatchResponse(message(11, vec![put("risk/1", 3, 11)]))).expect("the rest");
        let report = feed.take();
        assert_eq!(report.services.keys().collect::<Vec<_>>(), ["oms", "risk"]);
        assert_eq!((report.services["oms"].instances.len(), report.services["oms"].revision), (2, 11));
        assert!(report.alive_at.is_some());
    }

    #[test]
    fn a_listing_repairs_what_the_watch_missed() {
        let (source, feed) = (source(), Feed::default());
        let mut tail = tail(&source, &feed);
        // The watch says that nothing is missing up to 20, and a listing knows of a change at 15.
        tail.take(WatchResponse(message(20, vec![]))).expect("progress");
        tail.begin_listing();
        let holder = WatchResponse(message(15, vec![put("oms/2", 2, 15)]));
        let kvs = holder.events().iter().filter_map(|event| event.kv().cloned()).collect();
        let page = Page { kvs, done: b"/services0".to_vec(), cluster: CLUSTER, revision: 20, last: true };
        tail.take_page(&page).expect("a good page");
        let report = feed.take();
        let ports: Vec<_> = report.services["oms"].instances.iter().map(|instance| instance.port).collect();
        assert_eq!(ports, [2], "one that was missed came, one went");
    }

    #[test]
    fn several_events_of_one_key_end_with_the_last() {
        let (source, feed) = (source(), Feed::default());
        let mut tail = tail(&source, &feed);
        let deletion = PbEvent { r#type: 1, ..put("oms/2", 0, 12) };
        let events = vec![put("oms/2", 2, 11), deletion, put("oms/3", 3, 12), put("oms/3", 4, 13)];
        tail.take(WatchResponse(message(13, events))).expect("events");
        let report = feed.take();
        let ports: Vec<_> = report.services["oms"].instances.iter().map(|instance| instance.port).collect();
        assert_eq!((ports, report.services["oms"].revision), (vec![1, 4], 13));
        // Told again, as after a reconnection: all of it is known.
        tail.take(WatchResponse(message(13, vec![put("oms/2", 2, 11), put("oms/3", 3, 12)])))
            .expect("events");
        assert!(feed.take().services.is_empty());
    }

    #[test]
    fn a_watch_that_catches_up_is_not_current() {
        let (source, feed) = (source(), Feed::default());
        let mut tail = tail(&source, &feed);
        tail.take(WatchResponse(message(50, vec![put("oms/2", 2, 11)]))).expect("an old event");
        let report = feed.take();
        assert!(report.services.contains_key("oms") && report.alive_at.is_none(), "{report:?}");
        // What was listed already is not told again.
        tail.take(WatchResponse(message(50, vec![put("oms/2", 9, 10)]))).expect("an older event");
        assert!(feed.take().services.is_empty());
    }

    #[test]
    fn a_listing_of_another_history_is_a_gap() {
        let (source, feed) = (source(), Feed::default());
        let page = |cluster, revision| Page {
            kvs: vec![],
            done: b"/services0".to_vec(),
            cluster,
            revision,
            last: true,
        };
        let begun = || {
            let mut tail = tail(&source, &feed);
            tail.begin_listing();
            tail
        };
        gap(begun().take_page(&page(8, 20)), Reason::Regressed, "cluster 8 revision 20");
        gap(begun().take_page(&page(CLUSTER, 9)), Reason::Regressed, "revision 9");
        begun().take_page(&page(CLUSTER, 20)).expect("nothing is left");
        let report = feed.take();
        assert!(report.services["oms"].instances.is_empty() && report.services["oms"].revision == 20);
    }
}
