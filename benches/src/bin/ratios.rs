//! Prints how `resolve()` compares with the torn copy of a cache line, arc-swap and `RwLock<HashMap>`: ratios from one run.
//!
//! `cargo run --release -p resolver-benches --bin ratios`. Nothing is asserted: what a shared machine shows is for reading.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it prints a table")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Cache};
use resolver_benches::paired::{Case, Plan, Row, measure, median};
use resolver_benches::writer::{Rate, pin};
use resolver_benches::{Memory, Services, TornLine, consume, consume_address, fold, publish};
use resolver_core::{Handle, Name, Reader};

/// Runs of the whole; the middle ratio is printed.
const RUNS: usize = 3;
/// Fewer pairs than this say nothing.
const LEAST_PAIRS: usize = 100;
const WRITES: u64 = 1_000_000;

/// A record as peers hold it: the same seven words.
type Record = [u64; 7];

/// All that is read, for one number of services.
struct Field<'m> {
    reader: Reader<'m>,
    handles: Vec<Handle>,
    names: Vec<String>,
    /// Where the others look, loaded from the caller's memory as a handle is.
    places: Vec<usize>,
    lines: Vec<TornLine>,
    swaps: Vec<ArcSwap<Record>>,
    map: RwLock<HashMap<String, Record>>,
}

/// The next place in a table of `mask + 1`, not in order.
#[inline(always)]
fn place(i: u64, mask: usize) -> usize {
    (i as usize).wrapping_mul(389) & mask
}

impl Field<'_> {
    fn by_handle<'a>(&'a self, only: Option<usize>) -> Vec<Case<'a>> {
        let mask = self.handles.len() - 1;
        let at = move |i: u64| only.unwrap_or(place(i, mask));
        let (reader, handles, places) = (self.reader, &self.handles, &self.places);
        let (lines, swaps) = (&self.lines, &self.swaps);
        let mut cached: Vec<_> = handles.iter().map(|handle| reader.cached(*handle)).collect();
        let mut caches: Vec<_> = swaps.iter().map(Cache::new).collect();
        vec![
            Case::new("torn line, 8 loads", move |n| {
                (0..n).fold(0, |sum, i| sum ^ lines[places[at(i)]].fold::<8>())
            }),
            Case::new("torn line, 4 loads", move |n| {
                (0..n).fold(0, |sum, i| sum ^ lines[places[at(i)]].fold::<4>())
            }),
            Case::new("resolve", move |n| {
                (0..n).fold(0, |sum, i| sum ^ consume(reader.resolve(handles[at(i)])))
            }),
            Case::new("resolve_address", move |n| {
                (0..n).fold(0, |sum, i| sum ^ consume_address(reader.resolve_address(handles[at(i)])))
            }),
            Case::new("cached handle", move |n| {
                (0..n).fold(0, |sum, i| sum ^ consume(cached[places[at(i)]].resolve()))
            }),
            Case::new("arc-swap load", move |n| {
                (0..n).fold(0, |sum, i| sum ^ fold(**swaps[places[at(i)]].load()))
            }),
            Case::new("arc-swap Cache", move |n| {
                (0..n).fold(0, |sum, i| sum ^ fold(**caches[places[at(i)]].load()))
            }),
        ]
    }

    /// Each place depends on the answer before it.
    fn dependent<'a>(&'a self) -> Vec<Case<'a>> {
        let mask = self.handles.len() - 1;
        let next = move |sum: u64, i: u64| (sum as usize ^ (i as usize).wrapping_mul(389)) & mask;
        let (reader, handles, places) = (self.reader, &self.handles, &self.places);
        let (lines, swaps) = (&self.lines, &self.swaps);
        vec![
            Case::new("torn line, 8 loads", move |n| {
                (0..n).fold(0, |sum, i| lines[places[next(sum, i)]].fold::<8>())
            }),
            Case::new("resolve", move |n| {
                (0..n).fold(0, |sum, i| consume(reader.resolve(handles[next(sum, i)])))
            }),
            Case::new("resolve_address", move |n| {
                (0..n).fold(0, |sum, i| consume_address(reader.resolve_address(handles[next(sum, i)])))
            }),
            Case::new("arc-swap load", move |n| {
                (0..n).fold(0, |sum, i| fold(**swaps[places[next(sum, i)]].load()))
            }),
        ]
    }

    fn by_name<'a>(&'a self) -> Vec<Case<'a>> {
        let mask = self.names.len() - 1;
        let (reader, names, map) = (self.reader, &self.names, &self.map);
        let hashed: Vec<Name<'_>> = names.iter().map(|name| Name::new(name)).collect();
        vec![
            Case::new("resolve_name(&str)", move |n| {
                let at = |i| Name::new(&names[place(i, mask)]);
                (0..n).fold(0, |sum, i| sum ^ consume(reader.resolve_name(&at(i))))
            }),
            Case::new("resolve_name, hashed", move |n| {
                (0..n).fold(0, |sum, i| sum ^ consume(reader.resolve_name(&hashed[place(i, mask)])))
            }),
            Case::new("RwLock<HashMap>", move |n| {
                (0..n).fold(0, |sum, i| {
                    let map = map.read().expect("no writer panics");
                    sum ^ map.get(&names[place(i, mask)]).map_or(0, |record| fold(*record))
                })
            }),
        ]
    }

    /// What the writer does to all of them but the map, for service `index`.
    fn write(&self, index: usize, n: u64) {
        self.lines[index].store(n);
        self.swaps[index].store(std::sync::Arc::new([n; 7]));
    }
}

fn main() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("resolver-benches ratios: {cores} cores; median of paired ratios, the middle of {RUNS} runs");
    println!("the first row of each table is its base; ns are medians, for orientation only\n");
    if !pin(0) {
        println!("this thread could not be pinned to core 0: expect noise\n");
    }
    for count in [16, 1024] {
        let memory = Memory::for_services(count);
        let mut services = Services::new(&memory);
        let field = Field {
            reader: services.reader,
            handles: services.handles.clone(),
            names: services.names.clone(),
            places: (0..count as usize).collect(),
            lines: (0..count).map(|_| TornLine::default()).collect(),
            swaps: (0..count).map(|i| ArcSwap::from_pointee([u64::from(i); 7])).collect(),
            map: RwLock::new(services.names.iter().map(|name| (name.clone(), [1; 7])).collect()),
        };
        report(&format!("by handle, {count} services, idle"), || {
            measure(Plan::IDLE, &mut field.by_handle(None), None)
        });
        report(&format!("by handle, {count} services, dependent, idle"), || {
            measure(Plan::IDLE, &mut field.dependent(), None)
        });
        report(&format!("by name, {count} services, idle"), || {
            measure(Plan::IDLE, &mut field.by_name(), None)
        });
        if cores < 2 {
            println!("no second core: nothing is measured beside a writer\n");
            continue;
        }
        let (handles, mask) = (services.handles.clone(), count as usize - 1);
        for spread in [true, false] {
            let rate = Rate::new(WRITES);
            let where_ = if spread { "spread over all" } else { "on the one that is read" };
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    // Not pinned, it may share the reader's core: its gaps then void the batches.
                    pin(1);
                    rate.keep(|n| {
                        let index = if spread { place(n, mask) } else { 7 };
                        publish(&mut services.writer, handles[index], n);
                        field.write(index, n);
                    });
                });
                let only = (!spread).then_some(7);
                report(&format!("by handle, {count} services, 1M writes/s {where_}"), || {
                    measure(Plan::WRITTEN, &mut field.by_handle(only), Some(&rate))
                });
                if spread {
                    report(
                        &format!("by name, {count} services, 1M writes/s spread (the map's are not written)"),
                        || measure(Plan::WRITTEN, &mut field.by_name(), Some(&rate)),
                    );
                } else {
                    round_trip();
                }
                rate.stop();
            });
        }
    }
}

/// Prints the middle of the runs for each case.
fn report(title: &str, mut run: impl FnMut() -> Vec<Row>) {
    let runs: Vec<Vec<Row>> = (0..RUNS).map(|_| run()).collect();
    println!("{title}");
    println!("  {:<24} {:>8} {:>8} {:>8}   runs", "", "ratio", "ns", "pairs");
    for (index, row) in runs[0].iter().enumerate() {
        let ratios: Vec<f64> = runs.iter().map(|run| run[index].ratio).collect();
        let times = runs.iter().map(|run| run[index].nanoseconds).collect();
        let pairs: usize = runs.iter().map(|run| run[index].pairs).sum();
        let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        let (ratio, time) = (median(ratios.clone()), median(times));
        if pairs < LEAST_PAIRS {
            println!(
                "  {:<24} {:>8} {:>8} {pairs:>8}   the writer did not keep its rate",
                row.name, "-", "-"
            );
            continue;
        }
        println!("  {:<24} {ratio:>8.2} {time:>8.2} {pairs:>8}   {}", row.name, each.join(" "));
    }
    println!();
}

/// How far apart the two cores are now: a line sent there and back, which moves every figure with a writer.
fn round_trip() {
    let (ping, pong) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            let mut n = 0;
            while n < u64::MAX {
                n = ping.load(Ordering::Relaxed);
                pong.store(n, Ordering::Relaxed);
            }
        });
        let mut times = Vec::new();
        for n in 1..=2000 {
            let start = std::time::Instant::now();
            ping.store(n, Ordering::Relaxed);
            let end = start + std::time::Duration::from_millis(20);
            while pong.load(Ordering::Relaxed) != n && std::time::Instant::now() < end {}
            times.push(start.elapsed().as_secs_f64() * 1e9);
        }
        ping.store(u64::MAX, Ordering::Relaxed);
        println!("core to core and back, with two clock reads: {:.0} ns\n", black_box(median(times)));
    });
}
