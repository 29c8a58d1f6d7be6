//! The table through its public interface, one thread: sets and their standing, batches, refusals, what creating, opening and
//! taking over check. Names and handles are in `lookup.rs`.

use std::net::SocketAddr;

use resolver_core::{
    Capacity, CreateError, Endpoint, Handle, Line, Name, OpenError, PublishError, Reader, Reason,
    ResolveError, Standing, State, Table, Writer, heap,
};

const CAPACITY: Capacity = Capacity { services: 4, endpoints: 32, configs: 0, text_bytes: 64 };

fn standing(state: State, reason: Reason) -> Standing {
    Standing { state, reason, source: 0 }
}

fn memory() -> Box<[Line]> {
    heap(CAPACITY.lines())
}

fn table(memory: &[Line]) -> (Writer<'_>, Reader<'_>) {
    Table::create(memory, &CAPACITY, 7).expect("it fits").split()
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port))).with_id(u64::from(port))
}

fn set(ports: std::ops::Range<u16>) -> Vec<Endpoint> {
    ports.map(endpoint).collect()
}

fn ports(reader: &Reader<'_>, handle: Handle) -> Vec<u16> {
    let set = reader.set(handle).expect("it has a set");
    set.into_iter().map(|endpoint| endpoint.expect("nobody writes").address().port()).collect()
}

#[test]
fn a_set_is_resolved_walked_and_described() {
    let memory = memory();
    let (mut writer, reader) = table(&memory);
    let oms = writer.add("oms").expect("there is room");
    let first = Endpoint::new("[2001:db8::1]:9000".parse().expect("an address"));
    let first = first.with_id(1).with_tags(5).with_weight(10).with_tier(2).with_zone(3);
    let standing = Standing { state: State::Stale, reason: Reason::Acl, source: 4 };
    let generation = writer.publish(oms, &[first, endpoint(2)], standing, b"two").expect("there is room");

    let resolved = reader.resolve(oms).expect("it was published");
    assert_eq!(resolved.address().socket_addr(), "[2001:db8::1]:9000".parse().expect("an address"));
    assert_eq!((resolved.state(), resolved.reason(), resolved.source()), (State::Stale, Reason::Acl, 4));
    assert_eq!((resolved.id(), resolved.tags(), resolved.tier(), resolved.endpoints()), (1, 5, 2, 2));
    assert_eq!(resolved.generation(), generation);
    assert_eq!(reader.resolve_address(oms), Ok(resolved.address()));
    assert_eq!(reader.resolve_name(&Name::new("oms")), Ok(resolved));
    assert_eq!(reader.standing(oms), Ok((State::Stale, Reason::Acl, 4, generation)));
    assert_eq!(reader.generation(oms), Ok(generation));

    let walked = reader.set(oms).expect("it was published");
    assert_eq!((walked.len(), walked.generation()), (2, generation));
    let one = walked.get(0).expect("a first").expect("nobody writes");
    assert_eq!((one.weight(), one.zone(), one.tier(), one.tags(), one.id()), (10, 3, 2, 5, 1));
    assert!(walked.get(2).is_none());
    assert_eq!(ports(&reader, oms), [9000, 2]);

    let mut buffer = [0; 16];
    assert_eq!(reader.text(oms, &mut buffer), Ok(3));
    assert_eq!(&buffer[..3], b"two");
    let mut short = [0; 2];
    assert_eq!(reader.text(oms, &mut short), Ok(3), "the whole length, whatever the buffer's");
    assert_eq!(&short, b"tw");
}

#[test]
fn a_service_without_endpoints_says_why() {
    let memory = memory();
    let (mut writer, reader) = table(&memory);
    let oms = writer.add("oms").expect("there is room");
    assert_eq!(reader.resolve(oms), Err(ResolveError::Never));
    assert_eq!(reader.resolve_address(oms), Err(ResolveError::Never));
    assert_eq!(reader.standing(oms).map(|standing| standing.0), Ok(State::Never));
    writer.publish(oms, &[endpoint(1)], Standing::FRESH, b"").expect("there is room");
    writer.publish(oms, &[], Standing::FRESH, b"").expect("it needs no room");
    assert_eq!(reader.resolve(oms), Err(ResolveError::Empty));
    assert_eq!(reader.text(oms, &mut []), Err(ResolveError::Empty));
    assert_eq!(reader.set(oms).map(|set| set.len()), Err(ResolveError::Empty));
    writer.mark(oms, standing(State::Stale, Reason::Unreachable)).expect("it stands");
    assert_eq!(reader.resolve(oms), Err(ResolveError::Empty), "an empty service stays empty");
    assert_eq!(reader.standing(oms).map(|standing| standing.1), Ok(Reason::Unreachable));
    assert!(writer.remove("oms"));
    assert!(!writer.remove("oms"));
    assert_eq!(reader.resolve(oms), Err(ResolveError::Gone));
    assert_eq!(reader.resolve_name(&Name::new("oms")), Err(ResolveError::Gone));
    assert_eq!(reader.standing(oms), Err(ResolveError::Gone));
    assert_eq!(writer.publish(oms, &[endpoint(1)], Standing::FRESH, b""), Err(PublishError::Gone));
    assert_eq!(writer.mark(oms, standing(State::Stale, Reason::None)), Err(PublishError::Gone));
}

#[test]
fn a_mark_touches_only_the_standing() {
    let memory = memory();
    let (mut writer, reader) = table(&memory);
    let oms = writer.add("oms").expect("there is room");
    let generation = writer.publish(oms, &set(1..4), Standing::FRESH, b"x").expect("there is room");
    writer.mark(oms, standing(State::Stale, Reason::NoLeader)).expect("it stands");
    let resolved = reader.resolve(oms).expect("it stands");
    assert_eq!((resolved.state(), resolved.reason()), (State::Stale, Reason::NoLeader));
    assert_eq!(resolved.generation(), generation);
    assert_eq!(ports(&reader, oms), [1, 2, 3]);
    // What a set cannot be counts as stale: its slot must not be lost.
    for state in [State::Removed, State::Never, State::Empty] {
        writer.mark(oms, standing(state, Reason::None)).expect("it stands");
        assert_eq!(reader.resolve(oms).map(|resolved| resolved.state()), Ok(State::Stale));
        let standing = Standing { state, ..Standing::FRESH };
        writer.publish(oms, &set(1..4), standing, b"x").expect("there is room");
        assert_eq!(reader.resolve(oms).map(|resolved| resolved.state()), Ok(State::Stale));
    }
}

#[test]
fn refusals_leave_the_old_set() {
    let memory = memory();
    let (mut writer, reader) = table(&memory);
    let oms = writer.add("oms").expect("there is room");
    writer.publish(oms, &set(1..4), Standing::FRESH, b"old").expect("there is room");
    let before = (reader.resolve(oms), writer.usage(), reader.epoch());
    let many = vec![endpoint(1); 65_536];
    assert_eq!(writer.publish(oms, &many, Standing::FRESH, b""), Err(PublishError::Long));
    let full = PublishError::Full { needed: 65, used: 4 };
    assert_eq!(writer.publish(oms, &many[..65], Standing::FRESH, b""), Err(full));
    let long = [b'x'; 64 * 64];
    let full = PublishError::Full { needed: 65, used: 4 };
    assert_eq!(writer.publish(oms, &set(1..2), Standing::FRESH, &long), Err(full), "the text needs the room");
    assert_eq!(writer.publish(oms, &[], Standing::FRESH, b"x"), Err(PublishError::Text), "a text of nothing");
    assert_eq!((reader.resolve(oms), writer.usage(), reader.epoch()), before);
    assert_eq!(ports(&reader, oms), [1, 2, 3]);
    let mut text = [0; 3];
    assert_eq!((reader.text(oms, &mut text), &text), (Ok(3), b"old"));

    let without = Capacity { text_bytes: 0, ..CAPACITY };
    let other = heap(without.lines());
    let (mut writer, _) = Table::create(&other, &without, 1).expect("it fits").split();
    let oms = writer.add("oms").expect("there is room");
    assert_eq!(writer.publish(oms, &set(1..2), Standing::FRESH, b"x"), Err(PublishError::Text));
}

#[test]
fn generations_only_grow() {
    let memory = memory();
    let (mut writer, reader) = table(&memory);
    let mut last = 0;
    for round in 0..100 {
        let name = ["a", "b"][round % 2];
        let handle = writer.add(name).expect("there is room");
        let generation = writer.publish(handle, &set(1..3), Standing::FRESH, b"").expect("there is room");
        assert!(generation > last);
        last = generation;
        assert_eq!(reader.generation(handle), Ok(generation));
        if round % 5 == 0 {
            writer.remove(name);
        }
    }
}

#[test]
fn a_batch_lands_whole_or_not_at_all() {
    let memory = memory();
    let (mut writer, reader) = table(&memory);
    let [a, b] = ["a", "b"].map(|name| writer.add(name).expect("there is room"));
    writer.publish(a, &set(1..3), Standing::FRESH, b"a").expect("there is room");
    let before = (reader.resolve(a), reader.resolve(b), writer.usage(), reader.epoch());
    for leak in [false, true] {
        let mut batch = writer.batch();
        batch.publish(a, &set(10..15), Standing::FRESH, b"b").expect("there is room");
        batch.publish(b, &set(20..22), Standing::FRESH, b"").expect("there is room");
        batch.mark(a, standing(State::Stale, Reason::Acl)).expect("it stands");
        assert_eq!((reader.resolve(a), reader.resolve(b)), (before.0, before.1));
        if leak {
            std::mem::forget(batch);
            // The next batch takes back what the leaked one staged.
            writer.batch().commit();
        } else {
            drop(batch);
        }
        assert_eq!((reader.resolve(a), reader.resolve(b), writer.usage(), reader.epoch()), before);
        assert_eq!(ports(&reader, a), [1, 2]);
    }

    let mut batch = writer.batch();
    batch.publish(a, &set(10..15), Standing::FRESH, b"").expect("there is room");
    batch.publish(a, &set(30..31), Standing::FRESH, b"").expect("the second word on a service wins");
    batch.publish(b, &set(20..22), Standing::FRESH, b"").expect("there is room");
    assert!(matches!(batch.publish(b, &set(0..100), Standing::FRESH, b""), Err(PublishError::Full { .. })));
    batch.commit();
    assert_eq!((ports(&reader, a), ports(&reader, b)), (vec![30], vec![20, 21]));
    assert_eq!(writer.usage().leaves, 1 + 2, "no block is lost");
    let mut both = [Err(ResolveError::Busy); 3];
    let gone = Handle::from_bits(99);
    assert_eq!(reader.together(&[a, b, gone], &mut both), Ok(reader.epoch()));
    assert_eq!(both, [reader.resolve(a), reader.resolve(b), Err(ResolveError::Gone)]);
    assert!(reader.epoch() > before.3 && reader.epoch().is_multiple_of(2));
}

#[test]
fn no_room_is_lost_over_many_publications() {
    let memory = memory();
    let (mut writer, reader) = table(&memory);
    let handles = ["a", "b", "c", "d"].map(|name| writer.add(name).expect("there is room"));
    for round in 0..2000u16 {
        let handle = handles[usize::from(round) % 4];
        writer
            .publish(handle, &set(1..2 + round % 8), Standing::FRESH, b"")
            .expect("half of the room is in use");
        assert_eq!(ports(&reader, handle).len(), usize::from(1 + round % 8));
    }
    for handle in handles {
        writer.publish(handle, &[], Standing::FRESH, b"").expect("it needs no room");
    }
    assert_eq!(writer.usage().leaves, 0);
}

#[test]
fn creating_and_opening_are_checked() {
    let memory = memory();
    let needed = CAPACITY.lines();
    let short = Table::create(&memory[1..], &CAPACITY, 1).err();
    assert_eq!(short, Some(CreateError::TooSmall { needed, given: needed - 1 }));
    assert_eq!(Table::open(&memory).err(), Some(OpenError::Magic(0)));
    assert_eq!(Table::open(&memory[..3]).err(), Some(OpenError::Size { needed: 64, given: 3 }));
    let (mut writer, reader) = table(&memory);
    assert_eq!(Table::create(&memory, &CAPACITY, 1).err(), Some(CreateError::InUse));
    let oms = writer.add("oms").expect("there is room");
    let other = Table::open(&memory).expect("it is a table");
    assert_eq!((other.service("oms"), other.seed()), (Some(oms), reader.seed()));
    assert_eq!(Table::open(&memory[..needed - 1]).err(), Some(OpenError::Size { needed, given: needed - 1 }));
}

#[test]
fn a_next_writer_goes_on_where_the_last_one_stopped() {
    let memory = memory();
    let (mut writer, reader) = table(&memory);
    let [a, b] = ["a", "b"].map(|name| writer.add(name).expect("there is room"));
    writer.publish(a, &set(1..4), Standing::FRESH, b"text").expect("there is room");
    writer.remove("b");
    let c = writer.add("c").expect("there is room");
    let mut batch = writer.batch();
    batch.publish(c, &set(5..9), Standing::FRESH, b"").expect("there is room");
    // The process dies here, with a batch that was not committed.
    std::mem::forget(batch);
    let before = reader.resolve(a);
    // SAFETY: the first writer is not used again.
    let mut writer = unsafe { Table::take_over(&memory) }.expect("it can be taken over");
    assert_eq!(
        (reader.resolve(a), reader.resolve(b), reader.resolve(c)),
        (before, Err(ResolveError::Gone), Err(ResolveError::Never))
    );
    assert_eq!(writer.usage().leaves, 4);
    let generation = writer.publish(c, &set(5..9), Standing::FRESH, b"").expect("there is room");
    assert!(generation > before.expect("it stands").generation());
    assert_eq!((ports(&reader, a), ports(&reader, c)), (vec![1, 2, 3], vec![5, 6, 7, 8]));
    let b = writer.add("b").expect("there is room");
    assert_eq!(reader.service("b"), Some(b));
}

#[test]
fn a_capacity_that_no_header_can_say_is_refused() {
    let memory = heap(1);
    let large = [
        Capacity { endpoints: u32::MAX, ..Capacity::SMALL },
        Capacity { services: u32::MAX, ..Capacity::SMALL },
        Capacity { text_bytes: u32::MAX, ..Capacity::SMALL },
    ];
    for capacity in large {
        assert_eq!(Table::create(&memory, &capacity, 1).err(), Some(CreateError::TooLarge));
    }
}
