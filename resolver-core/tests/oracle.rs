//! Random operations against a slow oracle: after each, everything a reader can ask is compared.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use proptest::prelude::*;
use resolver_core::{
    AddError, CachedHandle, Capacity, Endpoint, Handle, Line, Name, PublishError, Reader, Reason,
    ResolveError, Standing, State, Table, Writer, heap,
};

const CAPACITY: Capacity = Capacity { services: 4, endpoints: 32, configs: 0, text_bytes: 16 };
const NAMES: [&str; 7] = [
    "a",
    "oms",
    "risk-check",
    "exactly-twenty-four-byte",
    "a-name-of-more-than-24-bytes/1",
    "a-name-of-more-than-24-bytes/2",
    "é",
];

#[derive(Clone, Debug)]
struct Change {
    name: usize,
    ports: Vec<u16>,
    text: Vec<u8>,
    /// In place of a publication.
    mark: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Add(usize),
    Remove(usize),
    Publish(Change),
    Batch { changes: Vec<Change>, commit: bool },
    TakeOver { batch: Vec<Change> },
}

fn standing(state: State, reason: Reason) -> Standing {
    Standing { state, reason, source: 0 }
}

fn change() -> impl Strategy<Value = Change> {
    let ports = proptest::collection::vec(1u16.., 0..9);
    let text = proptest::collection::vec(any::<u8>(), 0..150);
    (0..NAMES.len(), ports, text, proptest::bool::weighted(0.2))
        .prop_map(|(name, ports, text, mark)| Change { name, ports, text, mark })
}

fn step() -> impl Strategy<Value = Step> {
    let changes = || proptest::collection::vec(change(), 0..5);
    prop_oneof![
        4 => (0..NAMES.len()).prop_map(Step::Add),
        2 => (0..NAMES.len()).prop_map(Step::Remove),
        6 => change().prop_map(Step::Publish),
        3 => (changes(), any::<bool>()).prop_map(|(changes, commit)| Step::Batch { changes, commit }),
        1 => changes().prop_map(|batch| Step::TakeOver { batch }),
    ]
}

/// What the table should hold for a service.
#[derive(Clone, Debug)]
struct Service {
    handle: Handle,
    state: State,
    reason: Reason,
    ports: Vec<u16>,
    text: Vec<u8>,
    generation: u64,
}

#[derive(Clone, Default)]
struct Oracle {
    services: BTreeMap<&'static str, Service>,
    dead: Vec<Handle>,
    last_generation: u64,
}

impl Oracle {
    fn add(&mut self, writer: &mut Writer<'_>, name: &'static str) {
        match writer.add(name) {
            Ok(handle) => {
                let new = Service {
                    handle,
                    state: State::Never,
                    reason: Reason::None,
                    ports: Vec::new(),
                    text: Vec::new(),
                    generation: 0,
                };
                assert_eq!(self.services.entry(name).or_insert(new).handle, handle);
            }
            Err(error) => {
                assert_eq!(error, AddError::Services);
                assert_eq!(self.services.len(), CAPACITY.services as usize);
            }
        }
    }

    fn remove(&mut self, writer: &mut Writer<'_>, name: &'static str) {
        let old = self.services.remove(name);
        assert_eq!(writer.remove(name), old.is_some());
        self.dead.extend(old.map(|service| service.handle));
    }

    /// Notes a change and what the table said to it.
    fn change(&mut self, change: &Change, result: Result<u64, PublishError>) {
        let Some(service) = self.services.get_mut(NAMES[change.name]) else {
            assert_eq!(result, Err(PublishError::Gone));
            return;
        };
        match result {
            Ok(_) if change.mark => {
                service.reason = Reason::Acl;
                if !service.ports.is_empty() {
                    service.state = State::Stale;
                }
            }
            Ok(generation) => {
                assert!(generation > self.last_generation, "a generation came back");
                self.last_generation = generation;
                service.state = if change.ports.is_empty() { State::Empty } else { State::Fresh };
                service.reason = Reason::None;
                service.ports.clone_from(&change.ports);
                service.text.clone_from(&change.text);
                service.generation = generation;
            }
            Err(PublishError::Text) => assert!(change.ports.is_empty() && !change.text.is_empty()),
            Err(error) => assert!(matches!(error, PublishError::Full { .. }), "{error:?}"),
        }
    }

    fn handle(&self, name: usize) -> Handle {
        self.services.get(NAMES[name]).map_or(Handle::from_bits(u64::MAX), |service| service.handle)
    }

    fn compare<'m>(&self, reader: &Reader<'m>, cached: &mut BTreeMap<u64, CachedHandle<'m>>) {
        let mut listed = Vec::new();
        reader.for_each(|name, handle| {
            listed.push((name.to_string(), handle));
            true
        });
        listed.sort_by(|a, b| a.0.cmp(&b.0));
        let all: Vec<_> =
            self.services.iter().map(|(name, service)| (name.to_string(), service.handle)).collect();
        assert_eq!(listed, all);
        for name in NAMES {
            let service = self.services.get(name);
            assert_eq!(reader.service(name), service.map(|service| service.handle), "{name}");
            let by_name = reader.resolve_name(&Name::new(name));
            assert_eq!(
                by_name,
                service.map_or(Err(ResolveError::Gone), |service| reader.resolve(service.handle))
            );
        }
        let handles: Vec<Handle> =
            all.iter().map(|(_, handle)| *handle).chain(self.dead.iter().copied()).collect();
        let mut together = vec![Err(ResolveError::Busy); handles.len()];
        assert_eq!(reader.together(&handles, &mut together), Ok(reader.epoch()));
        for (handle, together) in handles.iter().zip(together) {
            let resolved = reader.resolve(*handle);
            assert_eq!(resolved, together);
            let cached = cached.entry(handle.to_bits()).or_insert_with(|| reader.cached(*handle));
            assert_eq!(cached.resolve(), resolved);
            assert_eq!(cached.resolve(), resolved);
            assert_eq!(reader.resolve_address(*handle), resolved.map(|resolved| resolved.address()));
            assert_eq!(reader.generation(*handle), resolved.map(|resolved| resolved.generation()));
        }
        for dead in &self.dead {
            assert_eq!(reader.resolve(*dead), Err(ResolveError::Gone));
            assert_eq!(reader.standing(*dead), Err(ResolveError::Gone));
        }
        for service in self.services.values() {
            service.compare(reader);
        }
    }
}

impl Service {
    fn compare(&self, reader: &Reader<'_>) {
        let (state, reason, _, generation) = reader.standing(self.handle).expect("it stands");
        assert_eq!((state, reason), (self.state, self.reason));
        if self.ports.is_empty() {
            let why = if self.state == State::Never { ResolveError::Never } else { ResolveError::Empty };
            assert_eq!(reader.resolve(self.handle), Err(why));
            assert_eq!(reader.set(self.handle).map(|set| set.len()), Err(why));
            return;
        }
        assert_eq!(generation, self.generation);
        let resolved = reader.resolve(self.handle).expect("it has a set");
        assert_eq!((resolved.state(), resolved.reason(), resolved.generation()), (state, reason, generation));
        assert_eq!((resolved.address().port(), resolved.endpoints()), (self.ports[0], self.ports.len()));
        let set = reader.set(self.handle).expect("it has a set").into_iter();
        let ports: Vec<u16> = set.map(|endpoint| endpoint.expect("nobody writes").address().port()).collect();
        assert_eq!(ports, self.ports);
        let mut text = [0; 256];
        let length = reader.text(self.handle, &mut text).expect("it has a set");
        assert_eq!(&text[..length], self.text);
    }
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
        batch.publish(handle, &set, Standing::FRESH, &change.text)
    };
    oracle.change(change, result);
}

fn run(memory: &[Line], steps: &[Step]) {
    let (mut writer, reader) = Table::create(memory, &CAPACITY, 1).expect("it fits").split();
    let mut oracle = Oracle::default();
    let mut cached = BTreeMap::new();
    for step in steps {
        match step {
            Step::Add(name) => oracle.add(&mut writer, NAMES[*name]),
            Step::Remove(name) => oracle.remove(&mut writer, NAMES[*name]),
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
        let cells = oracle.services.values().filter(|service| !service.ports.is_empty()).map(|service| {
            let for_text =
                if service.text.is_empty() { 0 } else { (1 + service.text.len().div_ceil(8)).div_ceil(8) };
            service.ports.len().max(for_text).next_power_of_two()
        });
        assert_eq!(writer.usage().leaves, cells.sum::<usize>(), "room was lost or used twice");
        oracle.compare(&reader, &mut cached);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_table_is_what_the_oracle_says(steps in proptest::collection::vec(step(), 1..80)) {
        run(&heap(CAPACITY.lines()), &steps);
    }
}
