//! Names and handles, one thread: what is found under a name, what a handle still means, and how old an answer is.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use resolver_core::{
    AddError, Capacity, Endpoint, FreshError, Handle, Line, Liveness, MAX_SOURCES, NameError, PublishError,
    Reader, Reason, ResolveError, SourceBeat, Standing, State, Table, Writer, heap,
};

const CAPACITY: Capacity = Capacity { services: 4, endpoints: 32, configs: 0, text_bytes: 64 };

fn memory() -> Box<[Line]> {
    heap(CAPACITY.lines())
}

fn table(memory: &[Line]) -> (Writer<'_>, Reader<'_>) {
    Table::create(memory, &CAPACITY, 7).expect("it fits").split()
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port))).with_id(u64::from(port))
}

#[test]
fn services_and_names_run_out_and_come_back() {
    let memory = memory();
    let (mut writer, reader) = table(&memory);
    for name in ["a", "b", "c", "d"] {
        writer.add(name).expect("there is room");
    }
    assert_eq!(writer.add("e"), Err(AddError::Services));
    let a = reader.service("a").expect("it stands");
    writer.remove("a");
    let e = writer.add("e").expect("a slot is free");
    assert_ne!(a, e);
    assert_eq!(reader.resolve(a), Err(ResolveError::Gone), "the old handle is not e's");
    assert_eq!(reader.resolve(e), Err(ResolveError::Never));
    writer.remove("e");
    let names = writer.usage().names;
    let again = writer.add("a").expect("its bucket waits for it");
    assert_eq!(writer.usage().names, names, "a name that comes back takes no room");
    assert_ne!(again, a);
    assert_eq!(reader.resolve(a), Err(ResolveError::Gone));
    assert_eq!(reader.service("a"), Some(again));
    writer.remove("a");
    // Different names until the directory is full.
    let mut seen = 5;
    let refused = loop {
        let name = format!("n{seen}");
        match writer.add(&name) {
            Ok(_) => assert!(writer.remove(&name)),
            Err(error) => break error,
        }
        seen += 1;
    };
    assert_eq!(refused, AddError::Names);
    assert_eq!(writer.usage().names, writer.usage().names_total);
    assert_eq!(seen, writer.usage().names_total);
    writer.add("e").expect("known names can still come back");
    for (name, error) in [("", NameError::Empty), ("a\nb", NameError::Control)] {
        assert_eq!(writer.add(name), Err(AddError::Name(error)));
    }
    assert_eq!(writer.add(&"x".repeat(256)), Err(AddError::Name(NameError::Long)));
}

#[test]
fn long_names_are_compared_to_their_last_byte() {
    let capacity = Capacity { services: 300, ..Capacity::SMALL };
    let memory = heap(capacity.lines());
    let (mut writer, reader) = Table::create(&memory, &capacity, 1).expect("it fits").split();
    let base = "n".repeat(254);
    let mut names: Vec<String> = Vec::new();
    for length in 20..=40 {
        names.push(base[..length].to_string());
        names.push(format!("{}z", &base[..length - 1]));
    }
    names.push(format!("{base}a"));
    names.push(format!("{base}b"));
    let handles: Vec<Handle> = names.iter().map(|name| writer.add(name).expect("there is room")).collect();
    assert_eq!(handles.iter().map(|handle| handle.to_bits()).collect::<BTreeSet<_>>().len(), names.len());
    for (name, handle) in names.iter().zip(&handles) {
        assert_eq!(reader.service(name), Some(*handle), "{name}");
    }
    assert_eq!(reader.service(&format!("{base}c")), None);
    assert_eq!(reader.service(&base[..254]), None);
    let mut listed = BTreeSet::new();
    reader.for_each(|name, handle| {
        assert_eq!(reader.service(name), Some(handle));
        listed.insert(name.to_string())
    });
    assert_eq!(listed, names.iter().cloned().collect());
    let mut calls = 0;
    reader.for_each(|_, _| {
        calls += 1;
        false
    });
    assert_eq!(calls, 1);
    // Room for long names runs out before that for names.
    let refused = (0..300).find_map(|i| writer.add(&format!("{i:0>255}")).err());
    assert_eq!(refused, Some(AddError::Names));
}

#[test]
fn no_made_up_handle_reads_or_writes() {
    let memory = memory();
    let (mut writer, reader) = table(&memory);
    for bits in [0, 1, 3, u64::MAX, 1 << 32, u64::from(u32::MAX), 4 | 1 << 32] {
        let handle = Handle::from_bits(bits);
        assert_eq!(handle.to_bits(), bits & !63);
        assert_eq!(reader.resolve(handle), Err(ResolveError::Gone), "{bits:#x}");
        assert_eq!(reader.cached(handle).resolve(&reader), Err(ResolveError::Gone), "{bits:#x}");
        assert_eq!(reader.standing(handle), Err(ResolveError::Gone), "{bits:#x}");
        assert_eq!(writer.publish(handle, &[endpoint(1)], Standing::FRESH, b""), Err(PublishError::Gone));
    }
}

#[test]
fn a_cached_handle_follows_every_change() {
    let memory = memory();
    let (mut writer, reader) = table(&memory);
    let oms = writer.add("oms").expect("there is room");
    let mut cached = reader.cached(oms);
    assert_eq!((cached.resolve(&reader), cached.last()), (Err(ResolveError::Never), None));
    for port in 1..50 {
        writer.publish(oms, &[endpoint(port)], Standing::FRESH, b"").expect("there is room");
        for _ in 0..2 {
            assert_eq!(cached.resolve(&reader), reader.resolve(oms));
        }
    }
    let last = cached.last();
    writer.publish(oms, &[], Standing::FRESH, b"").expect("it needs no room");
    assert_eq!((cached.resolve(&reader), cached.last()), (Err(ResolveError::Empty), last));
    writer.remove("oms");
    writer.add("risk").expect("the slot is free");
    assert_eq!((cached.resolve(&reader), cached.handle()), (Err(ResolveError::Gone), oms));
}

/// Two tables of one seed, as replicas are: the same handles, the same sequences, and not the same sets.
#[test]
fn a_cached_handle_takes_nothing_from_another_table() {
    let (memory, other_memory) = (memory(), memory());
    let (mut writer, reader) = table(&memory);
    let (mut other_writer, other_reader) = table(&other_memory);
    let oms = writer.add("oms").expect("there is room");
    assert_eq!(other_writer.add("oms"), Ok(oms));
    writer.publish(oms, &[endpoint(1)], Standing::FRESH, b"").expect("there is room");
    other_writer.publish(oms, &[endpoint(2)], Standing::FRESH, b"").expect("there is room");
    let mut cached = reader.cached(oms);
    assert_eq!(cached.resolve(&other_reader), Err(ResolveError::Gone));
    assert_eq!(cached.resolve(&reader), reader.resolve(oms));
    assert_eq!(cached.resolve(&other_reader), reader.resolve(oms), "its own copy, which stands");
}

#[test]
fn age_is_the_sources_and_the_silence() {
    let memory = memory();
    let (mut writer, reader) = table(&memory);
    let oms = writer.add("oms").expect("there is room");
    let standing = Standing { source: 1, ..Standing::FRESH };
    writer.publish(oms, &[endpoint(1)], standing, b"").expect("there is room");
    let second = Duration::from_secs(1);
    let beat = |age| SourceBeat {
        name: "consul-für-alle-und-meé-x",
        age,
        revision: 7,
        reason: Reason::None,
        rejected: 3,
    };
    let mut liveness = Liveness::new();
    liveness.poll(&reader, second);
    let old = reader.resolve_fresh(oms, second, &liveness);
    assert!(matches!(old, Err(FreshError::Old { age: None, .. })), "{old:?}");
    writer.beat(&[beat(None), beat(Some(second))]);
    assert_eq!(reader.pulse(), 1);
    let status = reader.source(1).expect("it has a beat");
    let mut name = [0; 24];
    assert_eq!(
        status.name(&mut name),
        "consul-für-alle-und-me",
        "cut at a character's end, in 24 bytes or less"
    );
    assert_eq!((status.revision(), status.rejected(), status.beat()), (7, 3, 1));
    assert_eq!(status.age_at_beat(), Some(second));
    liveness.poll(&reader, 2 * second);
    assert_eq!(
        (liveness.silence(), liveness.age(0), liveness.age(1)),
        (Some(second), None, Some(2 * second))
    );
    assert!(reader.resolve_fresh(oms, 2 * second, &liveness).is_ok());
    liveness.poll(&reader, 3 * second);
    let old = reader.resolve_fresh(oms, 2 * second, &liveness);
    assert!(matches!(old, Err(FreshError::Old { age: Some(age), .. }) if age == 3 * second), "{old:?}");
    writer.mark(oms, Standing { state: State::Stale, reason: Reason::Acl, ..standing }).expect("it stands");
    assert!(reader.resolve_fresh(oms, 9 * second, &liveness).is_err(), "stale by the publisher's word");

    // A source that the publisher no longer speaks of has no age.
    writer.beat(&[beat(Some(second))]);
    liveness.poll(&reader, 4 * second);
    assert_eq!((liveness.age(0), liveness.age(1)), (Some(2 * second), None));
    assert_eq!(reader.source(MAX_SOURCES as u8), None);
    assert_eq!((liveness.age(MAX_SOURCES as u8), liveness.age(255)), (None, None));

    // Another table's pulse is no beat of this one's publisher.
    let other = heap(CAPACITY.lines());
    let (mut writer, other) = Table::create(&other, &CAPACITY, 8).expect("it fits").split();
    writer.beat(&[beat(Some(second))]);
    liveness.poll(&other, 5 * second);
    assert_eq!((liveness.silence(), liveness.age(0)), (None, None));
}

#[test]
fn a_text_that_is_no_name_finds_nothing() {
    let memory = memory();
    let (mut writer, reader) = table(&memory);
    writer.add("oms").expect("there is room");
    for text in [
        "",
        "\0",
        "oms\0",
        "oms\0\0\0\0\0",
        "om",
        "omss",
        "\0oms",
        "oms ",
        &"\0".repeat(24),
        &"\0".repeat(30),
    ] {
        assert_eq!(reader.service(text), None, "{text:?}");
    }
}
