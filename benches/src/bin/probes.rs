//! Small functions for callgrind: one call each of what the hot path does. `cargo xtask test budgets` counts the
//! instructions of a call, exactly, and holds them to `benches/budgets.txt`.
//!
//! `probes` prints the names; `probes NAME` makes 1000 calls of that one.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it is a command")]

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use resolver_benches::{
    Memory, Services, TornLine, consume, consume_address, consume_endpoint, fold, publish,
};
use resolver_core::pick::{Maglev, RoundRobin, Smooth, Weighted, in_zone, tagged};
use resolver_core::probe::{Cell, Cells};
use resolver_core::{
    CachedHandle, Endpoint, Handle, Line, Name, Publication, Reader, Setting, Standing, Writer, heap,
};

/// Calls of a probe in one run.
const CALLS: u64 = 1000;
/// Turns of a loop in one call. Rounded up, a thousandth of what they take is one turn's: the missing ten are more than what the
/// function does beside its loop.
const TURNS: usize = 990;

#[inline(never)]
fn probe_floor_3(line: &TornLine) -> u64 {
    line.fold::<3>()
}

#[inline(never)]
fn probe_floor_8(line: &TornLine) -> u64 {
    line.fold::<8>()
}

#[inline(never)]
fn probe_resolve(reader: &Reader<'_>, handle: Handle) -> u64 {
    consume(reader.resolve(handle))
}

#[inline(never)]
fn probe_address(reader: &Reader<'_>, handle: Handle) -> u64 {
    consume_address(reader.resolve_address(handle))
}

#[inline(never)]
fn probe_cached(cached: &mut CachedHandle<'_>, reader: &Reader<'_>) -> u64 {
    consume(cached.resolve(reader))
}

#[inline(never)]
fn probe_name(reader: &Reader<'_>, name: &str) -> u64 {
    consume(reader.resolve_name(&Name::new(name)))
}

#[inline(never)]
fn probe_hashed(reader: &Reader<'_>, name: &Name<'_>) -> u64 {
    consume(reader.resolve_name(name))
}

#[inline(never)]
fn probe_publish(writer: &mut Writer<'_>, handle: Handle, n: u64) {
    publish(writer, handle, n);
}

#[inline(never)]
fn probe_index(cells: &Cells<'_>, index: usize) -> u64 {
    cells.read::<7>(index).map_or(0, fold)
}

#[inline(never)]
fn probe_index_3(cells: &Cells<'_>, index: usize) -> u64 {
    cells.read::<3>(index).map_or(0, fold)
}

#[inline(never)]
fn probe_cell_publish(cell: Cell<'_>, words: &[u64; 7]) {
    cell.publish(words);
}

#[inline(never)]
fn probe_setting(reader: &Reader<'_>, setting: Setting<i64>) -> i64 {
    reader.get(setting).unwrap_or(0)
}

#[inline(never)]
fn probe_round_robin(picker: &mut RoundRobin, reader: &Reader<'_>, handle: Handle) -> u64 {
    consume_endpoint(picker.pick(reader, handle))
}

#[inline(never)]
fn probe_weighted(picker: &mut Weighted, reader: &Reader<'_>, handle: Handle) -> u64 {
    consume_endpoint(picker.pick(reader, handle))
}

#[inline(never)]
fn probe_smooth(picker: &mut Smooth, reader: &Reader<'_>, handle: Handle) -> u64 {
    consume_endpoint(picker.pick(reader, handle))
}

#[inline(never)]
fn probe_maglev(picker: &mut Maglev, reader: &Reader<'_>, handle: Handle, key: u64) -> u64 {
    consume_endpoint(picker.pick(reader, handle, key))
}

/// Each in turn among those of a zone and of all of these tag bits.
#[inline(never)]
fn probe_where(
    picker: &mut RoundRobin,
    reader: &Reader<'_>,
    handle: Handle,
    (mask, zone): (u64, u16),
) -> u64 {
    let (tagged, in_zone) = (tagged(mask), in_zone(zone));
    consume_endpoint(picker.pick_where(reader, handle, |endpoint| tagged(endpoint) && in_zone(endpoint)))
}

// As a caller's own loop has them, one turn of many: nothing is called, so no register is saved and no frame made in a turn. What is the
// loop's own (its list's next place, the end, a sum) is counted too, as it is in the floor's.

#[inline(never)]
fn probe_turn_floor(lines: &[TornLine], places: &[usize]) -> u64 {
    places.iter().fold(0, |sum, place| sum ^ lines.get(*place).map_or(0, |line| line.fold::<8>()))
}

#[inline(never)]
fn probe_turn_index(cells: &Cells<'_>, places: &[usize]) -> u64 {
    let cells = *cells;
    places.iter().fold(0, |sum, place| sum ^ cells.read::<7>(*place).map_or(0, fold))
}

#[inline(never)]
fn probe_turn_resolve(reader: &Reader<'_>, handles: &[Handle]) -> u64 {
    let reader = *reader;
    handles.iter().fold(0, |sum, handle| sum ^ consume(reader.resolve(*handle)))
}

#[inline(never)]
fn probe_turn_maglev(picker: &mut Maglev, reader: &Reader<'_>, handle: Handle, keys: &[usize]) -> u64 {
    let reader = *reader;
    keys.iter().fold(0, |sum, key| sum ^ consume_endpoint(picker.pick(&reader, handle, *key as u64)))
}

/// The planted control: twice the work of `probe_resolve`, which that one's budget must refuse.
#[inline(never)]
fn probe_control(reader: &Reader<'_>, handle: Handle) -> u64 {
    consume(reader.resolve(handle)) ^ consume(reader.resolve(black_box(handle)))
}

const NAMES: [&str; 22] = [
    "floor_3",
    "floor_8",
    "index_3",
    "index",
    "address",
    "resolve",
    "cached",
    "hashed",
    "name",
    "setting",
    "round_robin",
    "weighted",
    "smooth",
    "maglev",
    "where",
    "turn_floor",
    "turn_index",
    "turn_resolve",
    "turn_maglev",
    "cell_publish",
    "publish",
    "control",
];

fn main() -> ExitCode {
    let asked = std::env::args().nth(1);
    let Some(asked) = asked.as_deref() else {
        println!("{}", NAMES.join(" "));
        return ExitCode::SUCCESS;
    };
    let memory = Memory::for_services(1000);
    let mut services = Services::new(&memory);
    let line = TornLine::default();
    let (reader, handle) = (services.reader, services.handles[7]);
    let setting = services.writer.add_setting("max-position").expect("there is room");
    services.writer.set(setting, 1_000_000, Standing::FRESH).expect("it was added");
    let spread = services.handles[8];
    publish_eight(&mut services.writer, spread);
    let lines: Box<[Line]> = heap(32);
    let cells = Cells::new(&lines);
    let cell = cells.cell(7).expect("there are 16");
    cell.publish(&[1, 2, 3, 4, 5, 6, 7]);
    let mut cached = reader.cached(handle);
    let _ = cached.resolve(&reader);
    let (mut round_robin, mut weighted) = (RoundRobin::new(), Weighted::new(7));
    let (mut smooth, mut maglev) = (Smooth::new(), Maglev::new());
    // Where the tables are is found by the first pick.
    let _ = (smooth.pick(&reader, spread), maglev.pick(&reader, spread, 0));
    let name = services.names[7].clone();
    let hashed = Name::new(&name);
    if let Some(turns) = asked.strip_prefix("turn_") {
        let (places, handles) = ([7; TURNS], [handle; TURNS]);
        let (places, handles) = (black_box(&places[..]), black_box(&handles[..]));
        let torn: Vec<TornLine> = (0..16).map(|_| TornLine::default()).collect();
        black_box(match turns {
            "floor" => probe_turn_floor(black_box(&torn), places),
            "index" => probe_turn_index(black_box(&cells), places),
            "resolve" => probe_turn_resolve(black_box(&reader), handles),
            "maglev" => probe_turn_maglev(&mut maglev, black_box(&reader), black_box(spread), places),
            _ => return unknown(asked),
        });
        return ExitCode::SUCCESS;
    }
    let mut sum = 0;
    for n in 0..CALLS {
        sum ^= match asked {
            "floor_3" => probe_floor_3(black_box(&line)),
            "floor_8" => probe_floor_8(black_box(&line)),
            "index_3" => probe_index_3(black_box(&cells), black_box(7)),
            "index" => probe_index(black_box(&cells), black_box(7)),
            "cell_publish" => {
                probe_cell_publish(black_box(cell), black_box(&[n; 7]));
                0
            }
            "resolve" => probe_resolve(black_box(&reader), black_box(handle)),
            "address" => probe_address(black_box(&reader), black_box(handle)),
            "cached" => probe_cached(black_box(&mut cached), black_box(&reader)),
            "name" => probe_name(black_box(&reader), black_box(&name)),
            "hashed" => probe_hashed(black_box(&reader), black_box(&hashed)),
            "setting" => probe_setting(black_box(&reader), black_box(setting)).cast_unsigned(),
            "round_robin" => probe_round_robin(&mut round_robin, black_box(&reader), black_box(spread)),
            "weighted" => probe_weighted(&mut weighted, black_box(&reader), black_box(spread)),
            "smooth" => probe_smooth(&mut smooth, black_box(&reader), black_box(spread)),
            "maglev" => probe_maglev(&mut maglev, black_box(&reader), black_box(spread), black_box(n)),
            "where" => {
                probe_where(&mut round_robin, black_box(&reader), black_box(spread), black_box((1, 3)))
            }
            "control" => probe_control(black_box(&reader), black_box(handle)),
            "publish" => {
                probe_publish(black_box(&mut services.writer), black_box(handle), n);
                0
            }
            _ => return unknown(asked),
        };
    }
    black_box(sum);
    ExitCode::SUCCESS
}

fn unknown(asked: &str) -> ExitCode {
    eprintln!("no probe is named {asked}; there are {}", NAMES.join(" "));
    ExitCode::from(2)
}

/// Eight endpoints of different weights, with both tables; the last one has a tag bit that the others have not.
fn publish_eight(writer: &mut Writer<'_>, handle: Handle) {
    let endpoint = |n: u16| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9000 + n));
        let endpoint = Endpoint::new(address).with_id(n.into()).with_weight(u32::from(n) + 1);
        endpoint.with_tags(if n == 7 { 3 } else { 1 }).with_zone(3)
    };
    let set: Vec<Endpoint> = (0..8).map(endpoint).collect();
    let publication = Publication { smooth: true, maglev: 800, ..Publication::new(&set, Standing::FRESH) };
    writer.publish_as(handle, &publication).expect("there is room");
}
