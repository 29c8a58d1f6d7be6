//! What may happen to a table: random steps, and the names that they are about.

use proptest::prelude::*;
use resolver_core::Capacity;

pub const CAPACITY: Capacity = Capacity { services: 4, endpoints: 128, configs: 2, text_bytes: 16 };
/// Places of a key table: enough for nine endpoints, in 33 leaves.
pub const PLACES: u32 = 900;
pub const KEYS: [&str; 3] = ["max-position", "oms", "a-setting-with-quite-a-long-name"];
pub const NAMES: [&str; 7] = [
    "a",
    "oms",
    "risk-check",
    "exactly-twenty-3-bytes!",
    "a-name-of-more-than-23-bytes/1",
    "a-name-of-more-than-23-bytes/2",
    "é",
];

#[derive(Clone, Debug)]
pub struct Change {
    pub name: usize,
    pub ports: Vec<u16>,
    pub text: Vec<u8>,
    /// In place of a publication.
    pub mark: bool,
    /// How many of the ports are reserves; at least one stays active.
    pub reserves: usize,
    pub smooth: bool,
    pub maglev: bool,
}

impl Change {
    pub fn active(&self) -> usize {
        self.ports.len() - self.reserves.min(self.ports.len().saturating_sub(1))
    }
}

#[derive(Clone, Debug)]
pub enum Step {
    Add(usize),
    Remove(usize),
    Publish(Change),
    Batch { changes: Vec<Change>, commit: bool },
    TakeOver { batch: Vec<Change> },
    AddSetting(usize),
    Set { key: usize, value: Option<i64> },
    RemoveSetting(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let ports = proptest::collection::vec(1u16.., 0..9);
    let text = proptest::collection::vec(any::<u8>(), 0..150);
    let tables = (0usize..4, any::<bool>(), proptest::bool::weighted(0.3));
    (0..NAMES.len(), ports, text, proptest::bool::weighted(0.2), tables).prop_map(
        |(name, ports, text, mark, (reserves, smooth, maglev))| Change {
            name,
            ports,
            text,
            mark,
            reserves,
            smooth,
            maglev,
        },
    )
}

pub fn step() -> impl Strategy<Value = Step> {
    let changes = || proptest::collection::vec(change(), 0..5);
    prop_oneof![
        4 => (0..NAMES.len()).prop_map(Step::Add),
        2 => (0..NAMES.len()).prop_map(Step::Remove),
        6 => change().prop_map(Step::Publish),
        3 => (changes(), any::<bool>()).prop_map(|(changes, commit)| Step::Batch { changes, commit }),
        1 => changes().prop_map(|batch| Step::TakeOver { batch }),
        1 => (0..KEYS.len()).prop_map(Step::AddSetting),
        2 => (0..KEYS.len(), any::<Option<i64>>()).prop_map(|(key, value)| Step::Set { key, value }),
        1 => (0..KEYS.len()).prop_map(Step::RemoveSetting),
    ]
}
