//! Small functions for callgrind: one call each of what the hot path does. `cargo xtask test budgets` counts the
//! instructions of a call, exactly, and holds them to `benches/budgets.txt`.
//!
//! `probes` prints the names; `probes NAME` makes 1000 calls of that one.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it is a command")]

use std::hint::black_box;
use std::process::ExitCode;

use resolver_benches::{Memory, Services, TornLine, consume, consume_address, publish};
use resolver_core::{CachedHandle, Handle, Name, Reader, Writer};

/// Calls of a probe in one run.
const CALLS: u64 = 1000;

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
fn probe_cached(cached: &mut CachedHandle<'_>) -> u64 {
    consume(cached.resolve())
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

/// The planted control: twice the work of `probe_resolve`, which that one's budget must refuse.
#[inline(never)]
fn probe_control(reader: &Reader<'_>, handle: Handle) -> u64 {
    consume(reader.resolve(handle)) ^ consume(reader.resolve(black_box(handle)))
}

const NAMES: [&str; 9] =
    ["floor_3", "floor_8", "resolve", "address", "cached", "name", "hashed", "publish", "control"];

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
    let mut cached = reader.cached(handle);
    let _ = cached.resolve();
    let name = services.names[7].clone();
    let hashed = Name::new(&name);
    let mut sum = 0;
    for n in 0..CALLS {
        sum ^= match asked {
            "floor_3" => probe_floor_3(black_box(&line)),
            "floor_8" => probe_floor_8(black_box(&line)),
            "resolve" => probe_resolve(black_box(&reader), black_box(handle)),
            "address" => probe_address(black_box(&reader), black_box(handle)),
            "cached" => probe_cached(black_box(&mut cached)),
            "name" => probe_name(black_box(&reader), black_box(&name)),
            "hashed" => probe_hashed(black_box(&reader), black_box(&hashed)),
            "control" => probe_control(black_box(&reader), black_box(handle)),
            "publish" => {
                probe_publish(black_box(&mut services.writer), black_box(handle), n);
                0
            }
            unknown => {
                eprintln!("no probe is named {unknown}; there are {}", NAMES.join(" "));
                return ExitCode::from(2);
            }
        };
    }
    black_box(sum);
    ExitCode::SUCCESS
}
