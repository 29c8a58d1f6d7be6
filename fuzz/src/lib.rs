//! What the fuzzer calls, as plain functions of bytes: each must return, whatever the bytes are.
//!
//! `cargo test` replays `corpus/` on stable. To fuzz: `cargo xtask fuzz`, which keeps in `corpus/` what reaches new code.
//! `cargo run --bin seeds` writes the seeds anew.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use resolver_core::pick::{
    Failover, Maglev, PowerOfTwo, Random, Rendezvous, RoundRobin, Smooth, Weighted, tagged,
};
use resolver_core::{
    AddError, Bytes, Capacity, Counter, Endpoint, Handle, IncidentKind, Line, Liveness, Name, Publication,
    Reader, Reason, ResolveError, SourceBeat, Standing, State, Table, heap,
};

/// A target by name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 3] = [("attach", attach), ("name", name), ("record", record)];

/// Of the tables that are damaged here: three services, a setting, a line of text for each leaf.
const CAPACITY: Capacity = Capacity { services: 3, endpoints: 32, configs: 1, text_bytes: 8 };
/// Where its sections lie, in lines, as `resolver-core/src/layout.rs` has them.
const HEADS: usize = 64;
const SOURCES: usize = HEADS + 3;
const SETTINGS: usize = SOURCES + 32;
const SHADOWS: usize = SETTINGS + 1;
/// No more lines than this are read from an input.
const MOST_LINES: usize = 2048;

/// A live table's words: three services, one with a long name, one with reserves and tables; a setting; a beat; two errors.
pub fn live() -> Vec<u64> {
    let memory = heap(CAPACITY.lines());
    let (mut writer, _) = Table::create(&memory, &CAPACITY, 3).expect("it fits").split();
    for (name, size) in [("oms", 2), ("a-name-that-does-not-fit-its-bucket", 1)] {
        let handle = writer.add(name).expect("there is room");
        let endpoint = Endpoint::new(SocketAddr::from(([10, 0, 0, 1], 9000))).with_id(1);
        writer.publish(handle, &vec![endpoint; size], Standing::FRESH, b"text").expect("there is room");
    }
    let spread = writer.add("spread").expect("there is room");
    let address = |port| SocketAddr::from(([10, 0, 0, 1], port));
    let set: Vec<Endpoint> = (1..=3).map(|port| Endpoint::new(address(port)).with_id(port.into())).collect();
    let standing = Standing::FRESH;
    let publication =
        Publication { active: 2, smooth: true, maglev: 200, ..Publication::new(&set, standing) };
    writer.publish_as(spread, &publication).expect("there is room");
    let venue = writer.add_setting("venue").expect("there is room");
    writer.set(venue, Bytes::new(b"XNAS").expect("it is short"), standing).expect("it was added");
    let age = Some(Duration::from_millis(1));
    writer.beat(&[SourceBeat { name: "consul", age, revision: 1, reason: Reason::None, rejected: 0 }]);
    writer.count(Counter::Holds, 1);
    writer.note(IncidentKind::Hold, "consul/oms", "an empty answer", 1_000);
    writer.note(IncidentKind::BadRecord, "consul/spread", "i4: port 0", 2_000);
    memory.iter().flat_map(Line::to_words).collect()
}

fn lines(words: &[u64]) -> Vec<Line> {
    words.as_chunks().0.iter().map(|words| Line::from(*words)).collect()
}

fn words(data: &[u8]) -> impl Iterator<Item = u64> {
    data.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

std::thread_local! {
    /// Made once: making it takes longer than all the questions.
    static LIVE: Vec<u64> = live();
}

/// Words of the header that say how large each section is: two counts in each.
const COUNTS: std::ops::Range<usize> = 3..6;

/// Opens bytes as a table and asks it everything. By the first byte:
///
/// - even: the rest is the table; odd: the rest are changes to a live one, each a place in two bytes and a value in eight;
/// - with bit 1, the header is signed as it is then: sections that overlap or lie elsewhere, and a checksum that is no wall;
/// - with bit 2 as well, its counts are cut first to what a small table could have, so that it opens.
pub fn attach(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    let mut table: Vec<u64> = if mode % 2 == 0 {
        words(data).take(MOST_LINES * 8).collect()
    } else {
        let mut table = LIVE.with(Vec::clone);
        for change in data.as_chunks::<10>().0 {
            let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % table.len();
            table[place] = words(&change[2..]).next().unwrap_or_default();
        }
        table
    };
    if mode & 0b110 == 0b110 && table.len() >= 8 {
        cut(&mut table[COUNTS]);
    }
    let memory = lines(&table);
    if mode & 0b10 != 0
        && let Some(header) = memory.first()
    {
        resolver_core::probe::seal(header);
    }
    if let Ok(reader) = Table::open(&memory) {
        read_everything(&reader, memory.len() / 2);
    }
}

/// Services and settings, leaves and lines of text for each, buckets and lines of long names: none larger than a small
/// table has.
fn cut(counts: &mut [u64]) {
    let halves = |word: u64| (word & 0xffff_ffff, word >> 32);
    let [sections, leaves, names] = counts else { return };
    let ((services, configs), (blocks, text)) = (halves(*sections), halves(*leaves));
    let (buckets, long) = halves(*names);
    *sections = (services % 8) | ((configs % 4) << 32);
    *leaves = (blocks % 4 * 64) | ((text % 3) << 32);
    *names = (1 << (buckets % 6)) | ((long % 16) << 32);
}

/// `most`: how many cells a table of this size can have.
fn read_everything(reader: &Reader<'_>, most: usize) {
    let mut handles = vec![Handle::from_bits(0), Handle::from_bits(u64::MAX)];
    reader.for_each(|name, handle| {
        assert!(!name.is_empty() || handle.to_bits() != 0);
        let _ = (reader.service(name), reader.resolve_name(&Name::new(name)));
        handles.push(handle);
        handles.len() < 200
    });
    handles.extend(
        (0..4).flat_map(|slot| (3..8).map(move |incarnation| Handle::from_bits(incarnation | slot << 32))),
    );
    let mut liveness = Liveness::new();
    liveness.poll(reader, Duration::ZERO);
    let mut text = [0; 200];
    for handle in &handles {
        let _ = format!("{:?} {:?}", reader.resolve(*handle), reader.resolve_address(*handle));
        let _ = (reader.standing(*handle), reader.text(*handle, &mut text), reader.cached(*handle).resolve(&reader));
        let _ = reader.resolve_fresh(*handle, Duration::MAX, &liveness);
        if let Ok(set) = reader.set(*handle) {
            let _ = set.into_iter().map(|endpoint| format!("{endpoint:?}").len()).sum::<usize>();
        }
        pick_everything(reader, *handle);
    }
    let _ = reader.setting::<Bytes>("venue").map(|venue| reader.get(venue).map(|value| format!("{value:?}")));
    reader.for_each_setting(|name, kind| format!("{name} {kind}").len() < 1000);
    let mut told = 0;
    let _ = reader.changes_since(0, |_| told += 1);
    assert!(told <= most, "more changes than cells");
    let mut all = vec![Err(ResolveError::Busy); handles.len()];
    let _ = reader.together(&handles, &mut all);
    for incident in reader.incidents() {
        assert!(format!("{incident:?}").len() < 2000);
    }
    let _ = Counter::ALL.map(|counter| reader.counter(counter));
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
    let (mut smooth, mut maglev, mut failover) =
        (Smooth::from(seed as usize), Maglev::new(), Failover::new());
    for key in 0..3 {
        let _ = (smooth.pick(reader, handle), maglev.pick(reader, handle, seed ^ key));
        let _ = failover.pick(reader, handle);
        failover.failed();
    }
    let _ = round.pick_where(reader, handle, tagged(seed & 1));
    let _ = reader.warm(handle);
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

/// Arbitrary words as a head, a setting, a source and an endpoint: everything in them decodes.
pub fn record(data: &[u8]) {
    let mut given = words(data);
    let mut table = LIVE.with(Vec::clone);
    for line in [HEADS, SETTINGS, SOURCES] {
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
    // The last line of the table with a stamp is a leaf's: all but its stamp is anything.
    for line in table.chunks_exact_mut(8).rev().filter(|line| (1..8).contains(&line[0])).take(4) {
        line[1..].iter_mut().zip(given.by_ref()).for_each(|(word, value)| *word = value);
    }
    // The incarnation that the head has now, so that it is decoded and not refused.
    let incarnation = table[HEADS * 8 + 3] & 0xffff_ffff;
    let shadowed = table[HEADS * 8] & 1 != 0;
    let handle = Handle::from_bits(if shadowed { !incarnation & 0xffff_ffff } else { incarnation });
    let memory = lines(&table);
    let reader = Table::open(&memory).expect("the header was left alone");
    read_everything(&reader, memory.len() / 2);
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
