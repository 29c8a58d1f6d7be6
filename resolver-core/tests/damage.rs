//! A damaged or hostile table: wrong answers are possible, panics and endless walks are not.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use resolver_core::pick::{Failover, Maglev, Random, Rendezvous, RoundRobin, Smooth, Weighted};
use resolver_core::{
    Bytes, Capacity, Counter, Endpoint, Handle, IncidentKind, Line, Liveness, Name, Publication,
    ResolveError, Standing, Table, heap,
};

const CAPACITY: Capacity = Capacity { services: 3, endpoints: 40, configs: 2, text_bytes: 64 };
const LONG: &str = "a-name-that-does-not-fit-its-bucket";

/// A live table's bytes.
fn live() -> Vec<u64> {
    let memory = heap(CAPACITY.lines());
    let (mut writer, _) = Table::create(&memory, &CAPACITY, 3).expect("it fits").split();
    for (name, size) in [("oms", 3u16), (LONG, 1), ("risk", 2)] {
        let handle = writer.add(name).expect("there is room");
        let set: Vec<Endpoint> =
            (1..=size).map(|port| Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port)))).collect();
        writer.publish(handle, &set, Standing::FRESH, b"{\"id\":1}").expect("there is room");
    }
    writer.remove("risk");
    let spread = writer.add("spread").expect("there is room");
    let set: Vec<Endpoint> =
        (1..=3).map(|port| Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port)))).collect();
    let publication =
        Publication { active: 2, smooth: true, maglev: 200, ..Publication::new(&set, Standing::FRESH) };
    writer.publish_as(spread, &publication).expect("there is room");
    let limit = writer.add_setting::<i64>("max-position").expect("there is room");
    writer.set(limit, -5, Standing::FRESH).expect("it was added");
    let venue = writer.add_setting::<Bytes>("venue").expect("there is room");
    writer.set(venue, Bytes::new(b"XNAS").expect("it is short"), Standing::FRESH).expect("it was added");
    writer.note(IncidentKind::BadRecord, "consul/oms", "oms-7: port 0", 1_000);
    writer.note(IncidentKind::Hold, "consul/risk", "an empty answer", 2_000);
    memory.iter().flat_map(Line::to_words).collect()
}

fn lines(words: &[u64]) -> Box<[Line]> {
    words.as_chunks().0.iter().map(|words| Line::from(*words)).collect()
}

/// Asks everything there is to ask.
fn read_all(memory: &[Line]) -> bool {
    let Ok(reader) = Table::open(memory) else { return false };
    let mut handles = vec![Handle::from_bits(0), Handle::from_bits(u64::MAX)];
    reader.for_each(|name, handle| {
        let _ = (reader.service(name), reader.resolve_name(&Name::new(name)));
        handles.push(handle);
        true
    });
    handles.extend(["oms", "risk", LONG].iter().filter_map(|name| reader.service(name)));
    // Whatever the heads say now, with the incarnation that they say it for.
    handles.extend((0..4).flat_map(|slot| {
        (1..8).map(move |incarnation| Handle::from_bits((slot * 64) | (incarnation << 32)))
    }));
    let mut text = [0; 300];
    let mut liveness = Liveness::new();
    for second in 0..2 {
        liveness.poll(&reader, Duration::from_secs(second));
    }
    for handle in &handles {
        let resolved = reader.resolve(*handle);
        let _ = format!("{resolved:?}");
        let _ = (reader.resolve_address(*handle), reader.standing(*handle), reader.text(*handle, &mut text));
        let _ = (
            reader.cached(*handle).resolve(&reader),
            reader.resolve_fresh(*handle, Duration::MAX, &liveness),
        );
        let _ = (Maglev::new().pick(&reader, *handle, 7), Smooth::new().pick(&reader, *handle));
        let _ = (RoundRobin::from(1).pick(&reader, *handle), Weighted::new(7).pick(&reader, *handle));
        let _ = (Random::new(7).pick(&reader, *handle), Rendezvous::pick(&reader, *handle, 7));
        let mut failover = Failover::new();
        for _ in 0..5 {
            let _ = failover.pick(&reader, *handle);
            failover.failed();
        }
        let _ = reader.warm(*handle);
        if let Ok(set) = reader.set(*handle) {
            let _ = set.into_iter().map(|endpoint| format!("{endpoint:?}")).count();
        }
    }
    reader.for_each_setting(|name, kind| {
        let _ = (name.len(), kind);
        true
    });
    for name in ["max-position", "venue", "none"] {
        let _ = reader.setting::<i64>(name).map(|setting| reader.get(setting));
        let _ = reader
            .setting::<Bytes>(name)
            .map(|setting| reader.get(setting).map(|value| value.as_slice().len()));
    }
    let _ = reader.changes_since(0, |handle| {
        let _ = reader.resolve(handle);
    });
    let mut all = vec![Err(ResolveError::Busy); handles.len()];
    let _ = reader.together(&handles, &mut all);
    for incident in reader.incidents() {
        let _ = (incident.about(&mut [0; 272]).len() + incident.words(&mut [0; 272]).len(), incident.kind());
        let _ = format!("{incident:?}");
    }
    let _ = Counter::ALL.map(|counter| reader.counter(counter));
    for number in 0..=255 {
        let mut name = [0; 24];
        let _ = reader.source(number).map(|source| (source.name(&mut name).len(), source.age_at_beat()));
    }
    true
}

/// A new writer on a damaged table: refused, or it goes on.
fn take_over(memory: &[Line]) {
    // SAFETY: nobody else writes to this memory.
    let Ok(mut writer) = (unsafe { Table::take_over(memory) }) else { return };
    for name in ["oms", LONG, "spread", "new", "another"] {
        if let Ok(handle) = writer.add(name) {
            let endpoint = Endpoint::new(SocketAddr::from(([10, 0, 0, 1], 1)));
            let _ = writer.publish(handle, &[endpoint; 3], Standing::FRESH, b"text");
            let _ = writer.publish(handle, &[], Standing::FRESH, b"");
        }
        writer.remove(name);
    }
    writer.note(IncidentKind::Other, "a", "new one", u64::MAX);
    writer.count(Counter::Holds, 1);
    writer.beat(&[]);
}

#[test]
fn the_undamaged_table_can_be_read() {
    assert!(read_all(&lines(&live())));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Some words differ, by a bit or wholly. The header's first line is spared in half of the cases: its checksum would
    /// end nearly all of them at once.
    #[test]
    fn damage_never_panics_a_reader(
        spare in any::<bool>(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u64>(), 0u32..80), 1..40),
    ) {
        let mut words = live();
        for (place, value, bit) in damage {
            let place = place.index(words.len());
            if spare && place < 8 {
                continue;
            }
            words[place] = if bit < 64 { words[place] ^ 1 << bit } else { value };
        }
        let memory = lines(&words);
        let opened = read_all(&memory);
        prop_assert!(opened || !spare);
        take_over(&memory);
    }

    /// Every word that a reader follows, in turn: heads, the directory and the log of errors.
    #[test]
    fn damaged_heads_and_names_never_panic(section in 0usize..3, word in 0usize..80, value in any::<u64>()) {
        let mut words = live();
        // Heads come after the header's 64 lines; the directory after 64 + 2 cell sections; the log of 8 entries is last.
        let start = [64 * 8, (64 + 2 * (3 + 32 + 2)) * 8, words.len() - 8 * 5 * 8][section];
        prop_assert!(start + word < words.len());
        words[start + word] = value;
        let memory = lines(&words);
        prop_assert!(read_all(&memory));
        take_over(&memory);
    }
}
