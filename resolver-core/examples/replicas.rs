//! What replicas cost on this machine: where their memory lies, a publication for 1, 2 and 8 of them, and one reader's
//! resolve on a replica beside the same on a plain table.
//!
//! ```text
//! cargo run --release -p resolver-core --example replicas
//! ```
//!
//! Times are medians of paired ratios of one run. For instructions, which repeat exactly, the same work under callgrind
//! (divide the total by 1000): `publish` with a number of replicas, 0 for a plain `Writer`; `resolve` with 0 or 1.
//!
//! ```text
//! valgrind --tool=callgrind --toggle-collect='*::counted_*' target/release/examples/replicas publish 8
//! ```
#![allow(clippy::print_stdout, reason = "it is what this program is for")]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use resolver_core::{
    Capacity, Endpoint, Handle, Line, NodeMemory, Reader, ReplicatedWriter, Standing, Table, Writer,
};

const CAPACITY: Capacity = Capacity { services: 1000, endpoints: 4000, ..Capacity::SMALL };
const CALLS: usize = 1000;
const ROUNDS: usize = 301;
const SET: usize = 2;

/// Publishes a set of two endpoints to each service in turn.
#[inline(never)]
fn counted_plain(writer: &mut Writer<'_>, handles: &[Handle], set: &[Endpoint; SET]) {
    for handle in handles {
        black_box(writer.publish(*handle, set, Standing::FRESH, b"")).expect("there is room");
    }
}

#[inline(never)]
fn counted_replicated(writer: &mut ReplicatedWriter<'_>, handles: &[Handle], set: &[Endpoint; SET]) {
    for handle in handles {
        black_box(writer.publish(*handle, set, Standing::FRESH, b"")).expect("there is room");
    }
}

#[inline(never)]
fn counted_resolve(reader: Reader<'_>, handles: &[Handle]) {
    for handle in handles {
        black_box(reader.resolve(*handle)).expect("it was published");
    }
}

fn nanoseconds(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_nanos() as f64 / CALLS as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Does both, alternately, and gives the median of each and of the ratios of the pairs.
fn paired(mut base: impl FnMut(), mut other: impl FnMut()) -> [f64; 3] {
    let mut pairs = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        pairs.push(if round % 2 == 0 {
            let base = nanoseconds(&mut base);
            (base, nanoseconds(&mut other))
        } else {
            let other = nanoseconds(&mut other);
            (nanoseconds(&mut base), other)
        });
    }
    let of = |value: fn(&(f64, f64)) -> f64| median(pairs.iter().map(value).collect());
    [of(|pair| pair.0), of(|pair| pair.1), of(|pair| pair.1 / pair.0)]
}

fn memory(replicas: usize) -> Result<Vec<NodeMemory>, Box<dyn Error>> {
    Ok((0..replicas).map(|_| NodeMemory::prefer(0, CAPACITY.lines())).collect::<Result<_, _>>()?)
}

fn replicated(memory: &[NodeMemory]) -> Result<(ReplicatedWriter<'_>, Vec<Handle>), Box<dyn Error>> {
    let lines = memory.iter().map(NodeMemory::lines);
    let mut writer = ReplicatedWriter::create(lines, &CAPACITY, 1)?;
    let handles = (0..CALLS).map(|n| writer.add(&format!("service-{n}"))).collect::<Result<_, _>>()?;
    Ok((writer, handles))
}

fn plain(memory: &[Line]) -> Result<(Writer<'_>, Vec<Handle>), Box<dyn Error>> {
    let mut writer = Table::create(memory, &CAPACITY, 1)?.split().0;
    let handles = (0..CALLS).map(|n| writer.add(&format!("service-{n}"))).collect::<Result<_, _>>()?;
    Ok((writer, handles))
}

fn report(set: &[Endpoint; SET]) -> Result<(), Box<dyn Error>> {
    let own = memory(1)?;
    let (mut writer, handles) = plain(own[0].lines())?;
    println!("publish (2 endpoints, {CALLS} services in turn), beside a plain writer");
    println!("replicas  plain ns   ns  ratio  memory KiB");
    for replicas in [1, 2, 8] {
        let memory = memory(replicas)?;
        let (mut other, same) = replicated(&memory)?;
        let [base, time, ratio] = paired(
            || counted_plain(&mut writer, &handles, set),
            || counted_replicated(&mut other, &same, set),
        );
        let size = memory.iter().map(|memory| size_of_val(memory.lines())).sum::<usize>() / 1024;
        println!("{replicas:>8} {base:>9.0} {time:>4.0} {ratio:>6.2} {size:>11}");
        if replicas == 8 {
            // The last one: nothing is special about the first.
            let reader = other.reader(replicas - 1).ok_or("there are as many")?;
            let [base, time, ratio] =
                paired(|| counted_resolve(writer.reader(), &handles), || counted_resolve(reader, &same));
            println!(
                "resolve on the last of {replicas}: {time:.2} ns, a plain table {base:.2} ns, ratio {ratio:.3}"
            );
            println!("its memory: {}", memory[replicas - 1].placement());
        }
    }
    Ok(())
}

/// The work alone, for callgrind. Everything was published once before it is counted: a publication then leaves a set.
fn count(what: &str, replicas: usize, set: &[Endpoint; SET]) -> Result<(), Box<dyn Error>> {
    let memory = memory(replicas.max(1))?;
    let reader = if replicas == 0 {
        let (mut writer, handles) = plain(memory[0].lines())?;
        for handle in &handles {
            writer.publish(*handle, set, Standing::FRESH, b"")?;
        }
        if what == "publish" {
            counted_plain(&mut writer, &handles, set);
        }
        (writer.reader(), handles)
    } else {
        let (mut writer, handles) = replicated(&memory)?;
        for handle in &handles {
            writer.publish(*handle, set, Standing::FRESH, b"")?;
        }
        if what == "publish" {
            counted_replicated(&mut writer, &handles, set);
        }
        (writer.reader(replicas - 1).ok_or("there are as many")?, handles)
    };
    if what == "resolve" {
        counted_resolve(reader.0, &reader.1);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let set = ["10.0.0.1:9000".parse()?, "10.0.0.2:9000".parse()?].map(Endpoint::new);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => report(&set),
        [what, replicas] if ["publish", "resolve"].contains(&what.as_str()) => {
            count(what, replicas.parse()?, &set)
        }
        _ => Err("no arguments, or `publish` or `resolve` and a number of replicas".into()),
    }
}
