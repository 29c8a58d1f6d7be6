//! Random operations against a slow oracle: after each, everything a reader can ask is compared.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use proptest::prelude::*;
use resolver_core::pick::{Failover, Maglev, PickError, Random, Rendezvous, RoundRobin, Smooth, Weighted};
use resolver_core::{
    AddError, CachedHandle, Capacity, Endpoint, Handle, Line, Name, Publication, PublishError, Reader,
    Reason, ResolveError, Resolved, Setting, SettingError, Standing, State, Table, Writer, heap,
};

const CAPACITY: Capacity = Capacity { services: 4, endpoints: 128, configs: 2, text_bytes: 16 };
/// Places of a key table: enough for nine endpoints, in 33 leaves.
const PLACES: u32 = 900;
const KEYS: [&str; 3] = ["max-position", "oms", "a-setting-with-quite-a-long-name"];
const NAMES: [&str; 7] = [
    "a",
    "oms",
    "risk-check",
    "exactly-twenty-3-bytes!",
    "a-name-of-more-than-23-bytes/1",
    "a-name-of-more-than-23-bytes/2",
    "é",
];

#[derive(Clone, Debug)]
struct Change {
    name: usize,
    ports: Vec<u16>,
    text: Vec<u8>,
    /// In place of a publication.
    mark: bool,
    /// How many of the ports are reserves; at least one stays active.
    reserves: usize,
    smooth: bool,
    maglev: bool,
}

impl Change {
    fn active(&self) -> usize {
        self.ports.len() - self.reserves.min(self.ports.len().saturating_sub(1))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(usize),
    Remove(usize),
    Publish(Change),
    Batch { changes: Vec<Change>, commit: bool },
    TakeOver { batch: Vec<Change> },
    AddSetting(usize),
    Set { key: usize, value: Option<i64> },
    RemoveSetting(usize),
}

fn standing(state: State, reason: Reason) -> Standing {
    Standing { state, reason, source: 0 }
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

fn step() -> impl Strategy<Value = Step> {
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

/// What the table should hold for a service.
#[derive(Clone, Debug)]
struct Service {
    handle: Handle,
    state: State,
    reason: Reason,
    ports: Vec<u16>,
    active: usize,
    smooth: bool,
    maglev: bool,
    text: Vec<u8>,
    generation: u64,
}

/// What was said of each handle by the last look.
#[derive(Default)]
struct Seen {
    resolved: BTreeMap<u64, Result<Resolved, ResolveError>>,
    epoch: u64,
}

#[derive(Clone, Default)]
struct Oracle {
    services: BTreeMap<&'static str, Service>,
    settings: BTreeMap<&'static str, (Setting<i64>, Option<Option<i64>>)>,
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
                    active: 0,
                    smooth: false,
                    maglev: false,
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
                service.active = change.active();
                (service.smooth, service.maglev) = (change.smooth, change.maglev);
                service.text.clone_from(&change.text);
                service.generation = generation;
            }
            Err(PublishError::Text) => assert!(change.ports.is_empty() && !change.text.is_empty()),
            Err(error) => assert!(matches!(error, PublishError::Full { .. }), "{error:?}"),
        }
    }

    fn setting(&mut self, writer: &mut Writer<'_>, step: &Step) {
        match step {
            Step::AddSetting(key) => match writer.add_setting::<i64>(KEYS[*key]) {
                Ok(setting) => {
                    assert_eq!(self.settings.entry(KEYS[*key]).or_insert((setting, None)).0, setting);
                }
                Err(error) => {
                    assert_eq!(error, AddError::Settings);
                    assert_eq!(self.settings.len(), CAPACITY.configs as usize);
                }
            },
            Step::Set { key, value } => {
                let Some((setting, held)) = self.settings.get_mut(KEYS[*key]) else { return };
                let done = match value {
                    Some(value) => writer.set(*setting, *value, Standing::FRESH),
                    None => writer.unset(*setting, Reason::None),
                };
                done.expect("it is there");
                *held = Some(*value);
            }
            Step::RemoveSetting(key) => {
                let old = self.settings.remove(KEYS[*key]);
                assert_eq!(writer.remove_setting(KEYS[*key]), old.is_some());
                if let Some((setting, _)) = old {
                    assert_eq!(writer.set(setting, 1, Standing::FRESH), Err(PublishError::Gone));
                    assert_eq!(writer.reader().get(setting), Err(ResolveError::Gone));
                }
            }
            _ => unreachable!("a step of services"),
        }
    }

    fn compare_settings(&self, reader: &Reader<'_>) {
        let mut listed = Vec::new();
        reader.for_each_setting(|name, kind| {
            assert_eq!(kind, resolver_core::Kind::I64);
            listed.push(name.to_string());
            true
        });
        listed.sort();
        assert_eq!(listed, self.settings.keys().map(ToString::to_string).collect::<Vec<_>>());
        for key in KEYS {
            let Some((setting, held)) = self.settings.get(key) else {
                assert_eq!(reader.setting::<i64>(key), Err(SettingError::Unknown));
                continue;
            };
            assert_eq!(reader.setting::<i64>(key), Ok(*setting));
            assert!(matches!(reader.setting::<bool>(key), Err(SettingError::Kind { .. })));
            let wanted = match held {
                None => Err(ResolveError::Never),
                Some(None) => Err(ResolveError::Empty),
                Some(Some(value)) => Ok(*value),
            };
            assert_eq!(reader.get(*setting), wanted);
            assert_eq!(reader.get_with_standing(*setting).map(|(value, _)| value), wanted);
        }
    }

    /// What changed was told, and what is held as current is.
    fn compare_changes(&self, reader: &Reader<'_>, seen: &mut Seen) {
        let mut told = Vec::new();
        seen.epoch = reader.changes_since(seen.epoch, |handle| told.push(handle.to_bits()));
        assert_eq!(seen.epoch, reader.epoch());
        for service in self.services.values() {
            let (bits, now) = (service.handle.to_bits(), reader.resolve(service.handle));
            let before = seen.resolved.insert(bits, now);
            if before != Some(now) {
                assert!(told.contains(&bits), "{before:?} became {now:?} and was not told");
            }
            if let Some(Ok(before)) = before {
                let is_current = reader.is_current(service.handle, &before);
                assert!(!is_current || now == Ok(before), "{before:?} is not current");
                assert!(is_current || told.contains(&bits), "nobody touched {before:?}");
            }
            if let Ok(now) = now {
                assert!(reader.is_current(service.handle, &now));
            }
        }
        for bits in &told {
            let is_service = self.services.values().any(|service| service.handle.to_bits() == *bits);
            let is_setting = self.settings.values().any(|(setting, _)| setting.handle().to_bits() == *bits);
            assert!(is_service || is_setting, "told of what is not there");
        }
    }

    fn handle(&self, name: usize) -> Handle {
        self.services.get(NAMES[name]).map_or(Handle::from_bits(u64::MAX), |service| service.handle)
    }

    fn compare(&self, reader: &Reader<'_>, cached: &mut BTreeMap<u64, CachedHandle>) {
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
            assert_eq!(cached.resolve(reader), resolved);
            assert_eq!(cached.resolve(reader), resolved);
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
        assert_eq!((resolved.address().port(), resolved.endpoints()), (self.ports[0], self.active));
        let set = reader.set(self.handle).expect("it has a set");
        assert_eq!(set.all(), Ok(self.ports.len()));
        let ports: Vec<u16> =
            set.into_iter().map(|endpoint| endpoint.expect("nobody writes").address().port()).collect();
        assert_eq!(ports, self.ports[..self.active]);
        assert_eq!(reader.warm(self.handle), self.active);
        self.compare_picks(reader);
        let mut text = [0; 256];
        let length = reader.text(self.handle, &mut text).expect("it has a set");
        assert_eq!(&text[..length], self.text);
    }
}

impl Service {
    fn compare_picks(&self, reader: &Reader<'_>) {
        let active = &self.ports[..self.active];
        let port = |endpoint: Endpoint| endpoint.address().port();
        let mut round_robin = RoundRobin::new();
        let taken = active.iter().map(|_| round_robin.pick(reader, self.handle).map(port));
        assert_eq!(taken.collect::<Result<Vec<_>, _>>().as_deref(), Ok(active));
        let mut failover = Failover::new();
        for wanted in &self.ports {
            assert_eq!(failover.pick(reader, self.handle).map(port), Ok(*wanted));
            failover.failed();
        }
        assert_eq!(failover.pick(reader, self.handle), Err(PickError::NoneAccepted));
        // All have one weight, so the smooth order is that of the set.
        let mut smooth = Smooth::new();
        for wanted in active.iter().chain(active) {
            let wanted = if self.smooth { Ok(*wanted) } else { Err(PickError::NoTable) };
            assert_eq!(smooth.pick(reader, self.handle).map(port), wanted);
        }
        let (mut one, mut other) = (Maglev::new(), Maglev::new());
        let (mut random, mut weighted) = (Random::new(7), Weighted::new(7));
        for key in 0..8 {
            let by_key = one.pick(reader, self.handle, key).map(port);
            assert_eq!(other.pick(reader, self.handle, key).map(port), by_key);
            assert_eq!(by_key.is_ok_and(|port| active.contains(&port)), self.maglev);
            assert!(self.maglev || by_key == Err(PickError::NoTable));
            for picked in [
                random.pick(reader, self.handle),
                weighted.pick(reader, self.handle),
                Rendezvous::pick(reader, self.handle, key),
            ] {
                assert!(picked.is_ok_and(|endpoint| active.contains(&port(endpoint))));
            }
        }
        let last = active[active.len() - 1];
        let only = round_robin.pick_where(reader, self.handle, |endpoint| endpoint.address().port() == last);
        assert_eq!(only.map(port), Ok(last));
        let none = random.pick_where(reader, self.handle, |_| false);
        assert_eq!(none, Err(PickError::NoneAccepted));
    }

    /// Leaves of its block.
    fn leaves(&self) -> usize {
        let text = (1 + self.text.len().div_ceil(8)).div_ceil(8);
        let tables = if self.maglev { PLACES.div_ceil(28) as usize } else { 0 }
            + if self.smooth { self.active.div_ceil(28) } else { 0 };
        let index = usize::from(tables > 0 || self.active < self.ports.len());
        let set = self.ports.len() + index + tables;
        set.max(if self.text.is_empty() { 0 } else { text }).next_power_of_two()
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
