//! Replicas against one plain writer: the same operations, then everything a reader can ask, and every word of memory.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use resolver_core::{
    Bytes, Capacity, CreateError, Endpoint, Handle, Line, Publication, Reader, Reason, ReplicaError,
    ReplicatedWriter, ResolveError, Setting, SourceBeat, Standing, State, Table, heap,
};

const CAPACITY: Capacity = Capacity { services: 3, endpoints: 64, configs: 2, text_bytes: 16 };
const NAMES: [&str; 5] = ["a", "oms", "risk-check", "a-name-of-more-than-24-bytes", ""];

#[derive(Clone, Debug)]
struct Change {
    name: usize,
    /// The first is the primary; each endpoint's weight is its port.
    ports: Vec<u16>,
    text: Vec<u8>,
    kind: ChangeKind,
    source: u8,
}

#[derive(Clone, Copy, Debug)]
enum ChangeKind {
    Publish,
    /// With reserves and tables.
    PublishAs {
        active: usize,
        smooth: bool,
        maglev: u32,
    },
    Mark,
    Set,
    Unset,
}

#[derive(Clone, Debug)]
enum Step {
    Add(usize),
    Remove(usize),
    AddSetting { name: usize, is_number: bool },
    RemoveSetting(usize),
    Change(Change),
    Batch { changes: Vec<Change>, end: End },
    Beat { age_ms: u64 },
}

#[derive(Clone, Copy, Debug)]
enum End {
    Commit,
    Drop,
    Forget,
}

fn change() -> impl Strategy<Value = Change> {
    let kind = prop_oneof![
        4 => Just(ChangeKind::Publish),
        3 => (0..6usize, any::<bool>(), prop_oneof![Just(0), Just(500u32)])
            .prop_map(|(active, smooth, maglev)| ChangeKind::PublishAs { active, smooth, maglev }),
        2 => Just(ChangeKind::Mark),
        2 => Just(ChangeKind::Set),
        1 => Just(ChangeKind::Unset),
    ];
    let ports = proptest::collection::vec(1u16..50, 0..7);
    let text = proptest::collection::vec(any::<u8>(), 0..60);
    // 32 is one too many, and refused.
    let source = prop_oneof![9 => Just(0u8), 1 => Just(32)];
    (0..NAMES.len(), ports, text, kind, source).prop_map(|(name, ports, text, kind, source)| Change {
        name,
        ports,
        text,
        kind,
        source,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let changes = proptest::collection::vec(change(), 0..5);
    prop_oneof![
        4 => (0..NAMES.len()).prop_map(Step::Add),
        2 => (0..NAMES.len()).prop_map(Step::Remove),
        3 => (0..NAMES.len(), any::<bool>()).prop_map(|(name, is_number)| Step::AddSetting { name, is_number }),
        1 => (0..NAMES.len()).prop_map(Step::RemoveSetting),
        8 => change().prop_map(Step::Change),
        3 => (changes, prop_oneof![2 => Just(End::Commit), 1 => Just(End::Drop), 1 => Just(End::Forget)])
            .prop_map(|(changes, end)| Step::Batch { changes, end }),
        1 => (0..9000u64).prop_map(|age_ms| Step::Beat { age_ms }),
    ]
}

/// The handles that were given out, dead ones among them.
#[derive(Clone, Default)]
struct Handles {
    services: [Option<Handle>; NAMES.len()],
    numbers: [Option<Setting<i64>>; NAMES.len()],
    bytes: [Option<Setting<Bytes>>; NAMES.len()],
}

fn text_of(answer: impl Debug) -> String {
    format!("{answer:?}")
}

/// A plain writer or batch and a replicated one have the same methods, and no trait says so.
macro_rules! apply_change {
    ($to:expr, $change:expr, $handles:expr) => {{
        let Change { name, ports, text, kind, source } = $change;
        let standing = Standing { source: *source, ..Standing::FRESH };
        let endpoint = |port: &u16| {
            Endpoint::new(SocketAddr::from(([127, 0, 0, 1], *port))).with_weight(u32::from(*port)).with_id(7)
        };
        let set: Vec<Endpoint> = ports.iter().map(endpoint).collect();
        let handle = $handles.services[*name].unwrap_or(Handle::from_bits(u64::MAX));
        match *kind {
            ChangeKind::Publish => text_of($to.publish(handle, &set, standing, text)),
            ChangeKind::PublishAs { active, smooth, maglev } => {
                let whole = Publication { active, smooth, maglev, text, ..Publication::new(&set, standing) };
                text_of($to.publish_as(handle, &whole))
            }
            ChangeKind::Mark => {
                let of_setting = $handles.numbers[*name].map(|setting| setting.handle());
                let state = Standing { state: State::Stale, reason: Reason::Acl, ..standing };
                text_of($to.mark(of_setting.filter(|_| ports.is_empty()).unwrap_or(handle), state))
            }
            ChangeKind::Set => text_of((
                $handles.numbers[*name].map(|setting| $to.set(setting, -(text.len() as i64), standing)),
                $handles.bytes[*name]
                    .zip(Bytes::new(text))
                    .map(|(setting, value)| $to.set(setting, value, standing)),
            )),
            ChangeKind::Unset => text_of((
                $handles.numbers[*name].map(|setting| $to.unset(setting, Reason::Restored)),
                $handles.bytes[*name].map(|setting| $to.unset(setting, Reason::Restored)),
            )),
        }
    }};
}

macro_rules! apply {
    ($writer:expr, $step:expr, $handles:expr) => {
        match $step {
            Step::Add(name) => {
                let added = $writer.add(NAMES[*name]);
                $handles.services[*name] = added.ok().or($handles.services[*name]);
                text_of(added)
            }
            Step::Remove(name) => text_of($writer.remove(NAMES[*name])),
            Step::AddSetting { name, is_number: true } => {
                let added = $writer.add_setting::<i64>(NAMES[*name]);
                $handles.numbers[*name] = added.ok().or($handles.numbers[*name]);
                text_of(added)
            }
            Step::AddSetting { name, is_number: false } => {
                let added = $writer.add_setting::<Bytes>(NAMES[*name]);
                $handles.bytes[*name] = added.ok().or($handles.bytes[*name]);
                text_of(added)
            }
            Step::RemoveSetting(name) => text_of($writer.remove_setting(NAMES[*name])),
            Step::Change(change) => apply_change!($writer, change, $handles),
            Step::Batch { changes, end } => {
                let mut batch = $writer.batch();
                let answers: Vec<String> =
                    changes.iter().map(|change| apply_change!(batch, change, $handles)).collect();
                match end {
                    End::Commit => batch.commit(),
                    End::Drop => drop(batch),
                    End::Forget => std::mem::forget(batch),
                }
                text_of(answers)
            }
            Step::Beat { age_ms } => {
                let (age, reason) = (Some(Duration::from_millis(*age_ms)), Reason::NoLeader);
                text_of($writer.beat(&[SourceBeat { name: "etcd", age, revision: 5, reason, rejected: 2 }]))
            }
        }
    };
}

/// Everything a reader can ask.
fn seen(reader: &Reader<'_>, handles: &Handles) -> Vec<String> {
    let mut seen = vec![text_of((reader.epoch(), reader.pulse(), reader.seed(), reader.source(0)))];
    reader.for_each(|name, handle| {
        seen.push(text_of((name, handle)));
        true
    });
    reader.for_each_setting(|name, kind| {
        seen.push(text_of((name, kind)));
        true
    });
    reader.changes_since(0, |handle| seen.push(text_of(handle)));
    for handle in handles.services.iter().flatten() {
        seen.push(text_of((
            reader.resolve(*handle),
            reader.resolve_address(*handle),
            reader.standing(*handle),
        )));
        seen.push(text_of((reader.generation(*handle), reader.cached(*handle).resolve(reader))));
        let mut text = [0; 64];
        seen.push(text_of((reader.text(*handle, &mut text), text)));
        if let Ok(set) = reader.set(*handle) {
            let places = 0..set.all().expect("nobody writes");
            let reserves: Vec<_> = places.map_while(|place| set.reserve(place)).collect();
            seen.push(text_of((set.generation(), set.into_iter().collect::<Vec<_>>(), reserves)));
            let key = resolver_core::pick::Maglev::new().pick(reader, *handle, 4711u64);
            seen.push(text_of(key.map(|picked| picked.address())));
        }
    }
    for setting in handles.numbers.iter().flatten() {
        seen.push(text_of(reader.get_with_standing(*setting)));
    }
    for setting in handles.bytes.iter().flatten() {
        seen.push(text_of(reader.get_with_standing(*setting)));
    }
    seen
}

fn words(lines: &[Line]) -> Vec<[u64; 8]> {
    lines.iter().map(Line::to_words).collect()
}

fn run(steps: &[Step]) {
    let memory = [(); 4].map(|()| heap(CAPACITY.lines()));
    let (mut plain, reader) = Table::create(&memory[0], &CAPACITY, 9).expect("it fits").split();
    let others = memory[1..].iter().map(|lines| &**lines);
    let mut replicated = ReplicatedWriter::create(others, &CAPACITY, 9).expect("they fit");
    let (mut of_plain, mut of_replicated) = (Handles::default(), Handles::default());
    for step in steps {
        let answer = apply!(plain, step, of_plain);
        assert_eq!(apply!(replicated, step, of_replicated), answer, "{step:?}");
        assert_eq!(replicated.usage(), plain.usage());
        let wanted = seen(&reader, &of_plain);
        for reader in replicated.readers() {
            assert_eq!(seen(&reader, &of_replicated), wanted, "after {step:?}");
        }
        assert_eq!(replicated.first_difference(), None);
    }
    let wanted = words(&memory[0]);
    assert!(memory[1..].iter().all(|lines| words(lines) == wanted), "a word differs");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_replica_is_what_a_plain_table_is(steps in proptest::collection::vec(step(), 1..50)) {
        run(&steps);
    }
}

#[test]
fn readers_are_in_the_order_of_the_memory() {
    let memory = [(); 2].map(|()| heap(CAPACITY.lines()));
    let lines = || memory.iter().map(|lines| &**lines);
    let mut writer = ReplicatedWriter::create(lines(), &CAPACITY, 9).expect("they fit");
    assert_eq!((writer.replicas(), writer.readers().count()), (2, 2));
    let oms = writer.add("oms").expect("there is room");
    let second = writer.reader(1).expect("there are two");
    assert!(writer.reader(2).is_none());
    assert_eq!(second.resolve(oms), Err(ResolveError::Never));
    drop(writer);

    // Where the second one lies: a reader of its memory sees what is done to it alone.
    // SAFETY: the replicas' writer was dropped, and no other of this table is made.
    let mut alone = unsafe { Table::take_over(&memory[1]) }.expect("it is whole");
    assert!(alone.remove("oms"));
    assert_eq!(second.resolve(oms), Err(ResolveError::Gone));
    assert_eq!(Table::open(&memory[0]).expect("it is whole").resolve(oms), Err(ResolveError::Never));
}

#[test]
fn what_cannot_be_replicas_is_refused() {
    let whole = heap(CAPACITY.lines());
    let short = heap(CAPACITY.lines() - 1);
    let create = |memory: &[&[Line]]| {
        let memory: Vec<&[Line]> = memory.to_vec();
        ReplicatedWriter::create(memory, &CAPACITY, 1).err()
    };
    assert_eq!(create(&[]), Some(ReplicaError::None));
    let error = CreateError::TooSmall { needed: CAPACITY.lines(), given: CAPACITY.lines() - 1 };
    assert_eq!(create(&[&whole, &short]), Some(ReplicaError::Create { replica: 1, error }));
    let fresh = heap(CAPACITY.lines());
    let twice = ReplicaError::Create { replica: 1, error: CreateError::InUse };
    assert_eq!(create(&[&fresh, &fresh]), Some(twice), "the same memory");
    assert_eq!(twice.to_string(), "replica 1: there is a table in this memory already");
}
