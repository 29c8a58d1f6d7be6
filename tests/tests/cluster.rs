//! Real clusters of three, in namespaces of their own, and each fault once: no wrong answer is ever read, and all is in
//! step again. `docs/testing.md` has the long form, with repeats and figures.

#![allow(clippy::print_stdout, reason = "what was measured, for `cargo test -- --nocapture`")]

use std::path::Path;

use resolver_tests::cluster::{Fault, Kind, Options, Recoveries, Stage};

#[track_caller]
fn survives(kind: Kind) {
    let options = Options::SECURE;
    let mut stage = Stage::start(kind, options, Path::new(env!("CARGO_BIN_EXE_faults")));
    let mut found = Recoveries::default();
    for fault in Fault::of(kind, options) {
        println!("{}: {fault:?}", kind.name());
        fault.run(&mut stage, &mut found);
    }
    stage.look();
    // The states of six instances, and every change since, at least.
    assert!(stage.judged() > 20, "{} answers only", stage.judged());
    println!("{found}");
}

#[test]
fn privileged_what_befalls_an_etcd_cluster_gives_no_wrong_answer() {
    survives(Kind::Etcd);
}

#[test]
fn privileged_what_befalls_a_consul_cluster_gives_no_wrong_answer() {
    survives(Kind::Consul);
}
