//! Random operations against a slow oracle: after each, everything a reader can ask is compared.

mod model;
mod service;
mod steps;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use proptest::prelude::*;
use resolver_core::{Endpoint, Line, Publication, Reason, Standing, State, Table, heap};

use model::{Oracle, Seen};
use service::Service;
use steps::{CAPACITY, Change, NAMES, PLACES, Step, step};

fn standing(state: State, reason: Reason) -> Standing {
    Standing { state, reason, source: 0 }
}

fn apply(batch: &mut resolver_core::Batch<'_, '_>, oracle: &mut Oracle, change: &Change) {
    let handle = oracle.handle(change.name);
    let result = if change.mark {
        batch.mark(handle, standing(State::Stale, Reason::Acl)).map(|()| 0)
    } else {
        let set: Vec<Endpoint> = change
            .ports
            .iter()
            .map(|port| Endpoint::new(SocketAddr::from(([127, 0, 0, 1], *port))))
            .collect();
        let maglev = if change.maglev { PLACES } else { 0 };
        let (active, smooth, text) = (change.active(), change.smooth, change.text.as_slice());
        let publication = Publication::new(&set, Standing::FRESH);
        batch.publish_as(handle, &Publication { active, smooth, maglev, text, ..publication })
    };
    oracle.change(change, result);
}

fn run(memory: &[Line], steps: &[Step]) {
    let (mut writer, reader) = Table::create(memory, &CAPACITY, 1).expect("it fits").split();
    let mut oracle = Oracle::default();
    let (mut cached, mut seen) = (BTreeMap::new(), Seen::default());
    for step in steps {
        match step {
            Step::Add(name) => oracle.add(&mut writer, NAMES[*name]),
            Step::Remove(name) => oracle.remove(&mut writer, NAMES[*name]),
            Step::AddSetting(_) | Step::Set { .. } | Step::RemoveSetting(_) => {
                oracle.setting(&mut writer, step)
            }
            Step::Publish(change) => {
                let mut batch = writer.batch();
                apply(&mut batch, &mut oracle, change);
                batch.commit();
            }
            Step::Batch { changes, commit } => {
                let mut then = oracle.clone();
                let used = writer.usage().leaves;
                let mut batch = writer.batch();
                for change in changes {
                    apply(&mut batch, &mut then, change);
                }
                if *commit {
                    batch.commit();
                    oracle = then;
                } else {
                    drop(batch);
                    oracle.last_generation = then.last_generation;
                    assert_eq!(writer.usage().leaves, used, "a dropped batch kept room");
                }
            }
            Step::TakeOver { batch: changes } => {
                let mut then = oracle.clone();
                let mut batch = writer.batch();
                for change in changes {
                    apply(&mut batch, &mut then, change);
                }
                // The writer dies with a batch in hand.
                std::mem::forget(batch);
                oracle.last_generation = then.last_generation;
                // SAFETY: the writer before is gone: this assignment ends it, and it is not used in between.
                writer = unsafe { Table::take_over(memory) }.expect("nothing is damaged");
            }
        }
        let sets = oracle.services.values().filter(|service| !service.ports.is_empty());
        let leaves: usize = sets.map(Service::leaves).sum();
        assert_eq!(writer.usage().leaves, leaves, "room was lost or used twice");
        oracle.compare(&reader, &mut cached);
        oracle.compare_settings(&reader);
        oracle.compare_changes(&reader, &mut seen);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_table_is_what_the_oracle_says(steps in proptest::collection::vec(step(), 1..80)) {
        run(&heap(CAPACITY.lines()), &steps);
    }
}
