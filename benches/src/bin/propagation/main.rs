//! How long a publication takes to be seen in another process: `cargo run --release -p resolver-benches --bin propagation`.
//!
//! Two processes on two cores send each other numbers, each by a segment of its own that the other one maps for reading: one
//! publishes the next number, the other sees it and publishes it back. Half of a round trip is the time from the beginning of a
//! publication to the read that finds it, whatever the clocks of two cores say. The floor is the same with a bare atomic word
//! of the same mappings: one store, and loads until it is seen. Forms take turns in short blocks, and a ratio is the median over
//! the blocks of one turn.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it is a command")]

mod echo;
mod end;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use resolver_benches::paired::median;
use resolver_benches::tails::clock::{self, Clock};
use resolver_benches::writer::pin;

use echo::Echo;
use end::{Command, End, FORMS};

/// Round trips of a block that count, and those before them.
const TRIPS: usize = 1000;
const WARM_UP: usize = 100;

/// Publish-to-visible latency between two processes, beside that of a bare atomic word. Half a minute.
#[derive(Parser)]
struct Args {
    /// How long it is measured.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The core of this process.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// The core of the other one.
    #[arg(long, default_value_t = 1)]
    other_core: usize,
    /// Be the other process.
    #[arg(long, hide = true, value_name = "DIRECTORY")]
    echo: Option<PathBuf>,
}

/// What was measured of a form, by block.
#[derive(Default)]
struct Blocks {
    /// Half of a round trip: quantiles of the block.
    median: Vec<f64>,
    slow: Vec<f64>,
    /// The publishing call alone, with nobody looking.
    call: Vec<f64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.echo {
        Some(directory) => echo::answer(directory, args.other_core),
        None => measure(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("propagation: {error}");
            ExitCode::from(2)
        }
    }
}

fn measure(args: &Args) -> Result<(), String> {
    if args.core == args.other_core || std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return Err("each of the two processes needs a core of its own".into());
    }
    let directory = tempfile::Builder::new().prefix("resolver-benches-").tempdir_in("/dev/shm");
    let directory = directory.map_err(|e| format!("no directory in /dev/shm: {e}"))?;
    pin(args.core);
    let clock = Clock::measure();
    let mut own = End::create(&directory.path().join(end::THERE))?;
    let mut echo = Echo::start(directory.path(), args.other_core)?;
    let theirs = End::open(&directory.path().join(end::BACK))?;
    let (mut sender, looker) = (own.sender()?, theirs.looker()?);

    let mut blocks: [Blocks; FORMS.len()] = Default::default();
    let (start, mut turns, mut commands) = (Instant::now(), 0, 0);
    while turns < 20 || start.elapsed() < Duration::from_secs(args.seconds) {
        for (form, blocks) in FORMS.iter().zip(&mut blocks) {
            let mut calls = times(&clock, || {
                sender.send(*form);
                Ok(())
            })?;
            blocks.call.push(quantile(&mut calls, 500));
            commands += 1;
            sender.command(Command { number: commands, form: *form, trips: WARM_UP + TRIPS });
            echo.until(|| looker.command().number == commands)?;
            let mut seen = looker.number(*form);
            let mut trips = times(&clock, || {
                sender.send(*form);
                echo.until(|| looker.number(*form) > seen)?;
                seen = looker.number(*form);
                Ok(())
            })?;
            blocks.median.push(quantile(&mut trips, 500) / 2.0);
            blocks.slow.push(quantile(&mut trips, 990) / 2.0);
        }
        turns += 1;
    }
    print(&clock, &blocks, turns);
    Ok(())
}

/// What each of a block's trips took, in nanoseconds; the first ones do not count.
fn times(clock: &Clock, mut trip: impl FnMut() -> Result<(), String>) -> Result<Vec<f64>, String> {
    let mut times = Vec::with_capacity(TRIPS);
    for number in 0..WARM_UP + TRIPS {
        let before = clock::ticks();
        trip()?;
        let ticks = clock::ticks() - before;
        if number >= WARM_UP {
            times.push(ticks as f64 * clock.tick);
        }
    }
    Ok(times)
}

fn quantile(times: &mut [f64], permille: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() - 1) * permille / 1000]
}

fn print(clock: &Clock, blocks: &[Blocks], turns: usize) {
    println!(
        "{turns} turns of {TRIPS} round trips of each form; {}, step {:.1} ns\n",
        clock::NAME,
        clock.step_ns()
    );
    println!(
        "{:<34} {:>8} {:>8}   {:>9} {:>14}   {:>17}",
        "", "p50 ns", "p99 ns", "to a word", "call alone ns", "p50 less the call"
    );
    for (form, of_form) in FORMS.iter().zip(blocks) {
        let ratios = of_form.median.iter().zip(&blocks[0].median).map(|(time, floor)| time / floor);
        let less = of_form.median.iter().zip(&of_form.call).map(|(time, call)| time - call);
        println!(
            "{:<34} {:>8.0} {:>8.0}   {:>9.2} {:>14.0}   {:>17.0}",
            form.name(),
            median(of_form.median.clone()),
            median(of_form.slow.clone()),
            median(ratios.collect()),
            median(of_form.call.clone()),
            median(less.collect()),
        );
    }
    println!(
        "\np50, p99: from the beginning of the call that publishes, in one process, to the end of the read that sees it, in the\n\
         other one; medians over the turns. \"less the call\": from its last stores on; a reader sees a value before the call ends."
    );
}
