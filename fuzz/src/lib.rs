//! What the fuzzer calls, as plain functions of bytes: each must return, whatever the bytes are.
//!
//! `cargo test` replays `corpus/` on stable. To fuzz: `cargo xtask fuzz`, which keeps in `corpus/` what reaches new code.
//! `cargo run --bin seeds` writes the seeds anew.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use resolver_core::pick::{PowerOfTwo, Random, Rendezvous, RoundRobin, Weighted};
use resolver_core::{
    AddError, Capacity, Endpoint, Handle, Line, Liveness, Name, Reader, Reason, ResolveError, SourceBeat,
    Standing, State, Table, heap,
};

/// A target by name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 3] = [("attach", attach), ("name", name), ("record", record)];

/// Of the tables that are damaged here: two services, no configuration cell, a line of text for each endpoint.
const CAPACITY: Capacity = Capacity { services: 2, endpoints: 4, configs: 0, text_bytes: 8 };
/// Where its sections lie, in lines, as `resolver-core/src/layout.rs` has them.
const HEADS: usize = 64;
const SOURCES: usize = HEADS + 2;
const ENDPOINTS: usize = SOURCES + 32;
const SHADOWS: usize = ENDPOINTS + 64;
/// No more lines than this are read from an input.
const MOST_LINES: usize = 2048;

/// A live table's words: two services, one of them with a long name, a beat.
pub fn live() -> Vec<u64> {
    let memory = heap(CAPACITY.lines());
    let (mut writer, _) = Table::create(&memory, &CAPACITY, 3).expect("it fits").split();
    for (name, size) in [("oms", 2), ("a-name-that-does-not-fit-its-bucket", 1)] {
        let handle = writer.add(name).expect("there is room");
        let endpoint = Endpoint::new(SocketAddr::from(([10, 0, 0, 1], 9000))).with_id(1);
        writer.publish(handle, &vec![endpoint; size], Standing::FRESH, b"text").expect("there is room");
    }
    let age = Some(Duration::from_millis(1));
    writer.beat(&[SourceBeat { name: "consul", age, revision: 1, reason: Reason::None, rejected: 0 }]);
    memory.iter().flat_map(Line::to_words).collect()
}

fn lines(words: &[u64]) -> Vec<Line> {
    words.as_chunks().0.iter().map(|words| Line::from(*words)).collect()
}

fn words(data: &[u8]) -> impl Iterator<Item = u64> {
    data.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Opens bytes as a table and asks it everything. An even first byte: the rest is the table. Odd: the rest are changes to a
/// live one, each a place in two bytes and a value in eight, so that the header's checksum is no wall.
pub fn attach(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    let table = if mode % 2 == 0 {
        words(data).take(MOST_LINES * 8).collect()
    } else {
        let mut table = live();
        for change in data.as_chunks::<10>().0 {
            let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % table.len();
            table[place] = words(&change[2..]).next().unwrap_or_default();
        }
        table
    };
    let memory = lines(&table);
    if let Ok(reader) = Table::open(&memory) {
        read_everything(&reader);
    }
}

fn read_everything(reader: &Reader<'_>) {
    let mut handles = vec![Handle::from_bits(0), Handle::from_bits(u64::MAX)];
    reader.for_each(|name, handle| {
        assert!(!name.is_empty() || handle.to_bits() != 0);
        let _ = (reader.service(name), reader.resolve_name(&Name::new(name)));
        handles.push(handle);
        handles.len() < 200
    });
    handles.extend(
        (0..4).flat_map(|slot| (3..8).map(move |incarnation| Handle::from_bits(slot | incarnation << 32))),
    );
    let mut liveness = Liveness::new();
    liveness.poll(reader, Duration::ZERO);
    let mut text = [0; 200];
    for handle in &handles {
        let _ = format!("{:?} {:?}", reader.resolve(*handle), reader.resolve_address(*handle));
        let _ = (reader.standing(*handle), reader.text(*handle, &mut text), reader.cached(*handle).resolve());
        let _ = reader.resolve_fresh(*handle, Duration::MAX, &liveness);
        if let Ok(set) = reader.set(*handle) {
            let _ = set.into_iter().map(|endpoint| format!("{endpoint:?}").len()).sum::<usize>();
        }
        pick_everything(reader, *handle);
    }
    let mut all = vec![Err(ResolveError::Busy); handles.len()];
    let _ = reader.together(&handles, &mut all);
    for number in 0..=u8::MAX {
        let mut name = [0; 24];
        let _ = reader.source(number).map(|source| (source.name(&mut name).len(), source.age_at_beat()));
    }
}

/// A damaged set may give any endpoint or an error; never a place beyond the table.
fn pick_everything(reader: &Reader<'_>, handle: Handle) {
    let seed = handle.to_bits();
    let (mut round, mut random) = (RoundRobin::from(seed as usize), Random::new(seed));
    let (mut weighted, mut two) = (Weighted::new(seed), PowerOfTwo::new(seed));
    for _ in 0..3 {
        let _ = (round.pick(reader, handle), random.pick(reader, handle), weighted.pick(reader, handle));
        let _ = two.pick(reader, handle, |endpoint| endpoint.id());
    }
    let _ = Rendezvous::pick(reader, handle, seed);
}

/// Lines of text as names: `+` adds, `-` removes, anything else looks up. Against a map.
pub fn name(data: &[u8]) {
    let capacity = Capacity { services: 8, ..CAPACITY };
    let memory = heap(capacity.lines());
    let (mut writer, reader) = Table::create(&memory, &capacity, 1).expect("it fits").split();
    let mut known: BTreeMap<String, Handle> = BTreeMap::new();
    for line in String::from_utf8_lossy(data).split('\n').take(200) {
        let (operation, text) = line.split_at_checked(1).unwrap_or(("", line));
        match operation {
            "+" => match writer.add(text) {
                Ok(handle) => assert_eq!(*known.entry(text.to_owned()).or_insert(handle), handle),
                Err(AddError::Name(_)) => assert!(Name::new(text).check().is_err()),
                Err(_) => assert!(!known.contains_key(text)),
            },
            "-" => assert_eq!(writer.remove(text), known.remove(text).is_some()),
            _ => assert_eq!(reader.service(line), known.get(line).copied(), "{line:?}"),
        }
        for (name, handle) in &known {
            assert_eq!(reader.service(name), Some(*handle), "{name:?}");
        }
    }
    let mut listed = BTreeMap::new();
    reader.for_each(|name, handle| listed.insert(name.to_owned(), handle).is_none());
    assert_eq!(listed, known);
}

/// Arbitrary words as a head, an endpoint and a source: everything in them decodes.
pub fn record(data: &[u8]) {
    let mut given = words(data);
    let mut table = live();
    for line in [HEADS, ENDPOINTS, SOURCES] {
        let seq = given.next().unwrap_or(4);
        for cell in [line, line + SHADOWS - HEADS] {
            table[cell * 8] = seq;
        }
        for word in 1..8 {
            let Some(value) = given.next() else { break };
            // The line and its shadow differ where `seq` is odd: what is read must be one of the two.
            table[line * 8 + word] = value;
            table[(line + SHADOWS - HEADS) * 8 + word] = if seq & 1 == 0 { value } else { !value };
        }
    }
    // The incarnation that the head has now, so that it is decoded and not refused.
    let incarnation = table[HEADS * 8 + 3] >> 32;
    let shadowed = table[HEADS * 8] & 1 != 0;
    let handle = Handle::from_bits(if shadowed { !incarnation & 0xffff_ffff } else { incarnation } << 32);
    let memory = lines(&table);
    let reader = Table::open(&memory).expect("the header was left alone");
    read_everything(&reader);
    if let Ok(resolved) = reader.resolve(handle) {
        assert_eq!(resolved.address(), reader.resolve_address(handle).expect("nobody writes"));
        let _ = (resolved.state().name(), resolved.reason().name(), resolved.address().to_string());
        let state = State::from_byte(resolved.state() as u8);
        assert_eq!(state, Some(resolved.state()));
    }
}

/// A fault that only a fuzzer which follows comparisons finds, and only a sanitizer sees: memory that is lost. Not one of
/// [`TARGETS`].
pub fn planted(data: &[u8]) {
    if data.starts_with(b"RESOLVER") {
        std::hint::black_box(Box::leak(vec![0u8; 4096].into_boxed_slice()).as_mut_ptr());
    }
}
