//! The lag behind a bare watch, in its short form: that every change arrives, in order, and soon. `docs/lag.md` has the
//! long one, with figures.

use std::path::Path;
use std::time::Duration;

use resolver_tests::cluster::Options;
use resolver_tests::lag::{Plan, Registry, Summary, measure};

const CHANGES: u16 = 100;
/// Far above what is measured: a machine that builds and tests at the same time must not decide this.
const MEDIAN_NS: i64 = 5_000_000;

#[track_caller]
fn follows_closely(registry: Registry, cluster: Option<Options>) {
    let poll = Duration::from_micros(200);
    let plan = Plan {
        registry,
        cluster,
        changes: CHANGES,
        agent_core: None,
        reader_core: None,
        poll,
        control: false,
        realtime: false,
    };
    // Panics unless both watchers see each change once, in order.
    let changes = measure(&plan, Path::new(env!("CARGO_BIN_EXE_lag")));
    let summary = Summary::of(&changes);
    assert_eq!(changes.len(), usize::from(CHANGES));
    for change in &changes {
        let seen = change.bare.min(change.resolved);
        assert!(change.sent < seen, "seen before it was written: {change:?}\n{summary}");
        assert!(change.polled_before < change.resolved, "{change:?}\n{summary}");
    }
    assert!(summary.difference.p50 < MEDIAN_NS, "{}: {summary}", registry.name());
}

#[test]
fn resolve_follows_a_bare_watch_of_consul() {
    follows_closely(Registry::Consul, None);
}

#[test]
fn resolve_follows_a_bare_watch_of_etcd() {
    follows_closely(Registry::Etcd, None);
}

#[test]
fn privileged_resolve_follows_a_bare_watch_of_a_consul_cluster() {
    follows_closely(Registry::Consul, Some(Options::SECURE));
}

#[test]
fn privileged_resolve_follows_a_bare_watch_of_an_etcd_cluster() {
    follows_closely(Registry::Etcd, Some(Options::SECURE));
}
