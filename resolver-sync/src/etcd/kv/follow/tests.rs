//! Messages that a real server cannot be made to send at a chosen moment.

use std::sync::{LazyLock, Mutex};

use etcd_client::WatchResponse;
use etcd_client::proto::{PbEvent, PbKeyValue, PbResponseHeader, PbWatchResponse};

use resolver_core::Reason;

use super::*;
use crate::etcd::Position;
use crate::etcd::tail::Tail;
use crate::etcd::watch::End;
use crate::kv::Entry;

const CLUSTER: u64 = 7;
const LIMIT: usize = 100;
/// Nothing stands before a key.
static WHOLE: LazyLock<Namespace> = LazyLock::new(Namespace::default);

/// A watch that begins after a listing at revision 10.
fn tail<'a>(feed: &'a KvFeed, position: &'a Mutex<Position>) -> Tail<'a, Known<'a>> {
    let keys = BTreeMap::from([(b"c/a".to_vec(), 5), (b"c/b".to_vec(), 6)]);
    let known = Known { keys, applied: 10, ..Known::new(feed, &WHOLE, LIMIT) };
    Tail::new("http://h:1", position, known, CLUSTER)
}

fn kv(key: &str, value: &str, mod_revision: i64) -> PbKeyValue {
    PbKeyValue { key: key.into(), value: value.into(), mod_revision, ..PbKeyValue::default() }
}

fn put(key: &str, value: &str, revision: i64) -> PbEvent {
    PbEvent { kv: Some(kv(key, value, revision)), ..PbEvent::default() }
}

fn deleted(key: &str, revision: i64) -> PbEvent {
    PbEvent { r#type: 1, ..put(key, "", revision) }
}

fn message(revision: i64, events: Vec<PbEvent>) -> PbWatchResponse {
    let header = Some(PbResponseHeader { cluster_id: CLUSTER, revision, ..PbResponseHeader::default() });
    PbWatchResponse { header, events, ..PbWatchResponse::default() }
}

#[track_caller]
fn gap(message: PbWatchResponse, reason: Reason, words: &str) {
    let (feed, position) = (KvFeed::default(), Mutex::default());
    match tail(&feed, &position).take(WatchResponse(message)) {
        Err(End::Gap(fault)) => {
            assert!(fault.reason == reason && fault.detail.contains(words), "{fault:?} is not {words:?}");
        }
        other => panic!("{other:?} is no gap"),
    }
    let report = feed.take();
    assert!(report.keys.is_empty() && report.contact.alive_at.is_none(), "{report:?}");
}

#[test]
fn every_gap_is_seen() {
    let cancel = |created, compact_revision, why: &str| PbWatchResponse {
        created,
        canceled: true,
        compact_revision,
        cancel_reason: why.into(),
        ..message(0, vec![])
    };
    gap(cancel(false, 16, ""), Reason::BadAnswer, "compacted up to revision 16");
    gap(cancel(true, 0, "etcdserver: permission denied"), Reason::Acl, "permission");
    gap(cancel(false, 0, "etcdserver: no leader"), Reason::NoLeader, "no leader");
    gap(message(9, vec![]), Reason::Regressed, "at revision 9, after 10");
    gap(PbWatchResponse::default(), Reason::BadAnswer, "without a header");
    let event = PbEvent { r#type: 7, ..put("c/a", "1", 11) };
    gap(message(11, vec![put("c/b", "1", 11), event]), Reason::BadAnswer, "unknown type 7");
    let header = Some(PbResponseHeader { cluster_id: 8, revision: 99, ..PbResponseHeader::default() });
    gap(PbWatchResponse { header, ..message(0, vec![]) }, Reason::Regressed, "the cluster is 8 and was 7");
}

#[test]
fn what_was_told_is_not_told_again() {
    let (feed, position) = (KvFeed::default(), Mutex::default());
    let mut tail = tail(&feed, &position);
    let mut take = |message| tail.take(WatchResponse(message)).expect("good");
    take(message(12, vec![put("c/a", "old", 9), put("c/a", "new", 11), deleted("c/b", 12)]));
    let report = feed.take();
    assert_eq!(report.keys.keys().collect::<Vec<_>>(), ["c/a", "c/b"]);
    let entry = Entry { key: "c/a".into(), value: b"new".into(), revision: 11, flags: 0, leased: false };
    assert_eq!(report.keys["c/a"], Seen::Value(entry));
    assert_eq!(report.keys["c/b"], Seen::Deleted { revision: 12 });
    assert!(report.contact.alive_at.is_some() && report.revision == 12);
    // A watch that catches up is not current.
    take(message(50, vec![put("c/large", &"x".repeat(101), 13)]));
    let report = feed.take();
    assert!(matches!(report.keys["c/large"], Seen::Refused(_)) && report.contact.alive_at.is_none());
}

#[test]
fn a_revision_in_fragments_is_one_change() {
    let (feed, position) = (KvFeed::default(), Mutex::default());
    let mut tail = tail(&feed, &position);
    let first = PbWatchResponse { fragment: true, ..message(11, vec![put("c/a", "1", 11)]) };
    tail.take(WatchResponse(first)).expect("a fragment");
    assert!(feed.take().keys.is_empty(), "half of a revision was told");
    tail.take(WatchResponse(message(11, vec![put("c/b", "2", 11)]))).expect("the rest");
    assert_eq!(feed.take().keys.len(), 2);
}

#[test]
fn a_listing_beside_the_watch_repairs_and_brings_nothing_back() {
    let (feed, position) = (KvFeed::default(), Mutex::default());
    let mut tail = tail(&feed, &position);
    let events = vec![put("c/new", "1", 11), deleted("c/b", 25)];
    tail.take(WatchResponse(message(25, events))).expect("good");
    feed.take();
    // As of revision 20: the watch has missed a change of a, and a key that came; b was there, and new was not lost.
    let kvs = [kv("c/a", "2", 15), kv("c/b", "1", 6), kv("c/came", "1", 16)];
    let mut page = Page {
        kvs: kvs.into_iter().map(etcd_client::KeyValue).collect(),
        done: vec![],
        cluster: CLUSTER,
        revision: 20,
        last: true,
    };
    tail.take_page(&page).expect("of this cluster");
    let report = feed.take();
    let told: Vec<_> = report.keys.iter().map(|(key, seen)| (key.as_str(), seen.revision())).collect();
    assert_eq!(told, [("c/a", 15), ("c/came", 16), ("c/new", 20)]);
    assert_eq!(report.keys["c/new"], Seen::Deleted { revision: 20 });
    page.cluster = 8;
    tail.take_page(&page).expect_err("of another cluster");
}
