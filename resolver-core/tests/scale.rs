//! A large table: loaded whole, asked for every name, half of it removed and used again by others, taken over. Prints what
//! each step took and what an endpoint costs in memory; asserts only answers.
//!
//! 10,000 services and 100,000 endpoints, unless `RESOLVER_SCALE_SERVICES` says more: `cargo xtask soak` has 100,000 and a
//! million.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use resolver_core::{
    AddError, Capacity, Endpoint, Handle, Line, PublishError, Reader, ResolveError, Standing, Table, Writer,
    heap,
};

const SERVICES: &str = "RESOLVER_SCALE_SERVICES";
/// Endpoints of ten services; 100 together.
const SIZES: [usize; 10] = [1, 2, 3, 5, 8, 10, 12, 16, 18, 25];

fn services() -> u32 {
    let Ok(text) = std::env::var(SERVICES) else { return 10_000 };
    text.parse().unwrap_or_else(|_| panic!("{SERVICES}={text}: not a number of services"))
}

/// Each set counted as the table counts it: rounded up to a power of two.
fn capacity(services: u32) -> Capacity {
    let ten: usize = SIZES.iter().map(|size| size.next_power_of_two()).sum();
    Capacity { services, endpoints: services / 10 * ten as u32, configs: 0, text_bytes: 0 }
}

/// A third of the names do not fit their bucket.
fn name(number: u32) -> String {
    if number.is_multiple_of(3) {
        format!("prod.eu-central-1.orders-{number:07}")
    } else {
        format!("svc-{number:07}")
    }
}

fn size(number: u32) -> usize {
    SIZES[number as usize % 10]
}

fn set(number: u32) -> Vec<Endpoint> {
    let endpoint = |place: usize| {
        let address = SocketAddr::from((Ipv4Addr::from_bits(number), 1000 + place as u16));
        Endpoint::new(address).with_id(u64::from(number) << 8 | place as u64)
    };
    (0..size(number)).map(endpoint).collect()
}

/// Says what a step took, in all and for each.
fn say(what: &str, each: usize, time: Duration) {
    let one = time.as_nanos() as f64 / each.max(1) as f64;
    eprintln!("{what:<58} {each:>8} in {:>7.1} ms, {one:>9.0} ns each", time.as_secs_f64() * 1e3);
}

fn timed<T>(what: &str, each: usize, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    say(what, each, start.elapsed());
    result
}

/// Enters and publishes these services; the slowest publication is told apart.
fn load(writer: &mut Writer<'_>, numbers: &[u32]) -> Vec<Handle> {
    let names: Vec<String> = numbers.iter().map(|number| name(*number)).collect();
    let handles = timed("  names entered", names.len(), || {
        names.iter().map(|name| writer.add(name).expect("there is room")).collect::<Vec<_>>()
    });
    let sets: Vec<Vec<Endpoint>> = numbers.iter().map(|number| set(*number)).collect();
    let endpoints = sets.iter().map(Vec::len).sum();
    let mut slowest = Duration::ZERO;
    timed("  endpoints published", endpoints, || {
        for (handle, set) in handles.iter().zip(&sets) {
            let start = Instant::now();
            writer.publish(*handle, set, Standing::FRESH, b"").expect("there is room");
            slowest = slowest.max(start.elapsed());
        }
    });
    say("  the slowest publication", 1, slowest);
    handles
}

/// Every one of these services is found by its name, and has its own set and no other.
fn ask(reader: &Reader<'_>, numbers: &[u32], handles: &[Handle]) {
    let names: Vec<String> = numbers.iter().map(|number| name(*number)).collect();
    timed("  names looked up and resolved", names.len(), || {
        for ((number, name), handle) in numbers.iter().zip(&names).zip(handles) {
            assert_eq!(reader.service(name), Some(*handle), "{name}");
            let head = reader.resolve(*handle).expect("it has a set");
            assert_eq!((head.id(), head.endpoints()), (u64::from(*number) << 8, size(*number)), "{name}");
        }
    });
    let endpoints = numbers.iter().map(|number| size(*number)).sum();
    let walked = timed("  endpoints walked", endpoints, || {
        let mut walked = 0;
        for (number, handle) in numbers.iter().zip(handles) {
            for (place, endpoint) in reader.set(*handle).expect("it has a set").into_iter().enumerate() {
                let endpoint = endpoint.expect("nobody writes");
                assert_eq!(endpoint.id(), u64::from(*number) << 8 | place as u64);
                walked += 1;
            }
        }
        walked
    });
    assert_eq!(walked, endpoints);
}

fn remove(writer: &mut Writer<'_>, numbers: &[u32]) {
    let names: Vec<String> = numbers.iter().map(|number| name(*number)).collect();
    timed("  names removed", names.len(), || {
        for name in &names {
            assert!(writer.remove(name), "{name}");
        }
    });
}

/// Removed ones are found neither by name nor by the handle that was theirs.
fn gone(reader: &Reader<'_>, numbers: &[u32], handles: &[Handle]) {
    for (number, handle) in numbers.iter().zip(handles) {
        assert_eq!(reader.service(&name(*number)), None);
        assert_eq!(reader.resolve(*handle).map(|head| head.id()), Err(ResolveError::Gone));
    }
}

fn memory(capacity: &Capacity, endpoints: usize) {
    let bytes = |capacity: Capacity| capacity.lines() * size_of::<Line>();
    let all = bytes(*capacity);
    let without = bytes(Capacity { endpoints: 0, ..*capacity });
    eprintln!(
        "{} services, {endpoints} endpoints ({} of capacity): {:.1} MB; {:.0} bytes for each endpoint of capacity, {:.0} for each that is there, {:.0} for each service",
        capacity.services,
        capacity.endpoints,
        all as f64 / 1e6,
        (all - without) as f64 / f64::from(capacity.endpoints),
        (all - without) as f64 / endpoints as f64,
        without as f64 / f64::from(capacity.services),
    );
}

#[test]
fn a_large_table_is_loaded_and_used_again() {
    let services = services();
    let capacity = capacity(services);
    let endpoints = services as usize / 10 * SIZES.iter().sum::<usize>();
    memory(&capacity, endpoints);
    let memory = heap(capacity.lines());
    let table = timed("created", 1, || Table::create(&memory, &capacity, 1).expect("it fits"));
    let (mut writer, reader) = table.split();

    eprintln!("the whole table:");
    let all: Vec<u32> = (0..services).collect();
    let handles = load(&mut writer, &all);
    ask(&reader, &all, &handles);
    assert_eq!(writer.add("one-more"), Err(AddError::Services));
    timed("  a name refused by the full table", 1, || assert!(writer.add("one-more").is_err()));

    // Both halves in turn: as many different names again as the table has services.
    let mut now: Vec<(u32, Handle)> = all.iter().copied().zip(handles).collect();
    for half in 0..2 {
        eprintln!("half of it removed, and used by others:");
        let (leaving, staying): (Vec<_>, Vec<_>) =
            now.iter().enumerate().partition(|(place, _)| place % 2 == half);
        let split = |pairs: Vec<(usize, &(u32, Handle))>| -> (Vec<u32>, Vec<Handle>) {
            pairs.into_iter().map(|(_, pair)| *pair).unzip()
        };
        let ((leaving, left), (staying, stayed)) = (split(leaving), split(staying));
        remove(&mut writer, &leaving);
        gone(&reader, &leaving, &left);
        // The same sizes under other names.
        let new: Vec<u32> = leaving.iter().map(|number| number + services).collect();
        let entered = load(&mut writer, &new);
        gone(&reader, &leaving, &left);
        ask(&reader, &new, &entered);
        ask(&reader, &staying, &stayed);
        now = staying.into_iter().zip(stayed).chain(new.into_iter().zip(entered)).collect();
        now.sort_by_key(|(number, _)| *number % services);
    }
    assert!(now.iter().all(|(number, _)| *number >= services), "twice as many names as services were known");
    let slots: HashSet<u64> = now.iter().map(|(_, handle)| handle.to_bits() & 0xffff_ffff).collect();
    assert_eq!(slots.len(), services as usize, "two services have one slot");

    let (numbers, handles): (Vec<u32>, Vec<Handle>) = now.into_iter().unzip();
    let handles = one_at_a_time(&mut writer, &reader, &numbers, &handles);
    // SAFETY: the first writer is not used again.
    let taken = timed("taken over", 1, || unsafe { Table::take_over(&memory) });
    let writer = taken.expect("it can be taken over");
    assert_eq!(writer.usage().leaves, capacity.endpoints as usize);
    ask(&reader, &numbers, &handles);
}

/// Of a full table: one service leaves and another comes, again and again; sets move; a set that does not fit is refused.
/// Gives the handles as they are then.
fn one_at_a_time(
    writer: &mut Writer<'_>,
    reader: &Reader<'_>,
    numbers: &[u32],
    handles: &[Handle],
) -> Vec<Handle> {
    eprintln!("the full table, one at a time:");
    let steps = (numbers.len() / 10).min(1000);
    // In no order: a search for the one free slot that begins where the last one ended is long.
    let names: Vec<String> = (0..steps).map(|step| name(numbers[step * 7919 % numbers.len()])).collect();
    let known: HashSet<&String> = names.iter().collect();
    timed("  a service left and came back", known.len(), || {
        for name in &known {
            let old = reader.service(name).expect("it stands");
            assert!(writer.remove(name));
            let new = writer.add(name).expect("its slot is free");
            assert_ne!(new, old);
        }
    });
    let sets: Vec<Vec<Endpoint>> = numbers.iter().map(|number| set(*number)).collect();
    let handles: Vec<Handle> = numbers
        .iter()
        .zip(handles)
        .map(|(number, handle)| reader.service(&name(*number)).unwrap_or(*handle))
        .collect();
    let mut slowest = Duration::ZERO;
    timed("  each set published again", sets.len(), || {
        for (handle, set) in handles.iter().zip(&sets) {
            let start = Instant::now();
            writer.publish(*handle, set, Standing::FRESH, b"").expect("there is room for a second one");
            slowest = slowest.max(start.elapsed());
        }
    });
    say("  the slowest publication", 1, slowest);
    let large = vec![sets[0][0]; 65_535];
    let mut refused = 0;
    timed("  the largest sets, while there is room", 20, || {
        for handle in handles.iter().take(20) {
            match writer.publish(*handle, &large, Standing::FRESH, b"") {
                Ok(_) => {}
                Err(PublishError::Full { .. }) => refused += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    eprintln!("    {refused} of 20 were refused");
    for (handle, set) in handles.iter().zip(&sets).take(20) {
        writer.publish(*handle, set, Standing::FRESH, b"").expect("its room is free again");
    }
    handles
}
