//! Times single calls and writes `target/latency/tails.json`: `cargo run --release -p resolver-benches --bin tails`.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it is a command")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use resolver_benches::tails::field::row;
use resolver_benches::tails::sheet::{FILE, Row, Sheet, TABLE, directory};
use resolver_benches::tails::slices::Plan;
use resolver_benches::tails::{Course, run, stopped};

/// Quantiles of single calls beside verified writers. At most 5 minutes; with --quick, 30 s.
#[derive(Parser)]
struct Args {
    /// Fewer calls and one run: to see that it works, not for figures.
    #[arg(long)]
    quick: bool,
    /// Exit code 1 where p99.9 at a million writes a second is more than 20 ns over the floor's.
    #[arg(long)]
    assert: bool,
    /// Calls of each row and run that must count.
    #[arg(long)]
    samples: Option<u64>,
    /// The core of the calls.
    #[arg(long, default_value_t = 0)]
    reader_core: usize,
    /// The core of the writer.
    #[arg(long, default_value_t = 1)]
    writer_core: usize,
    /// Where the figures go; latency/tails.json in the build's directory unless this is given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Be the writer that is stopped.
    #[arg(long = "write-to", hide = true, value_name = "SEGMENT")]
    write_to: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match measure(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tails: {error}");
            ExitCode::from(2)
        }
    }
}

fn measure(args: &Args) -> Result<ExitCode, String> {
    if let Some(path) = &args.write_to {
        return stopped::write_to(path, args.writer_core).map(|never| match never {});
    }
    if args.reader_core == args.writer_core {
        return Err("the reader and the writer need a core each".into());
    }
    // The limits make the longest run: 17 times 5 s in each of 3 runs, or 17 times 1.6 s.
    let (samples, limit, runs) = if args.quick { (400_000, 1600, 1) } else { (4_000_000, 5000, 3) };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let course = Course {
        plan: Plan { samples: args.samples.unwrap_or(samples), limit: Duration::from_millis(limit) },
        runs,
        reader_core: args.reader_core,
        writer_core: (cores > 1).then_some(args.writer_core),
    };
    let program = std::env::current_exe().map_err(|e| format!("this program's path: {e}"))?;
    let sheet = run(&course, &program, |what| eprintln!("{what}"))?;
    print(&sheet);
    let text = serde_json::to_string_pretty(&sheet).map_err(|e| format!("the figures as JSON: {e}"))?;
    let out = args.out.clone().unwrap_or_else(|| directory().join(FILE));
    if let Some(directory) = out.parent() {
        std::fs::create_dir_all(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    }
    std::fs::write(&out, text + "\n").map_err(|e| format!("{}: {e}", out.display()))?;
    println!("written to {}", out.display());
    let failures = sheet.failures();
    for failure in &failures {
        println!("gate: {failure}");
    }
    if failures.is_empty() {
        println!(
            "gate: p99.9 at 1M writes/s is within {:.0} ns of the floor's in every row",
            sheet.allowed()
        );
    }
    Ok(if args.assert && !failures.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(sheet: &Sheet) {
    println!(
        "clock: {}, step {:.2} ns; what is subtracted is the empty pair's p50 of the run",
        sheet.clock, sheet.step
    );
    println!("core to core and back: {:?} ns", sheet.round_trips);
    let mut last = None;
    for row in &sheet.rows {
        if last != Some((&row.writer, row.services)) {
            last = Some((&row.writer, row.services));
            println!("\n{}, table of {}", row.writer, row.services);
            println!(
                "  {:<20} {:>8} {:>8} {:>8} {:>8} {:>8}   calls, slices kept",
                "ns", "p50", "p90", "p99", "p99.9", "p99.99"
            );
        }
        let cells: Vec<String> = TABLE
            .iter()
            .map(|quantile| row.at(*quantile).map_or("-".into(), |ns| format!("{ns:.0}")))
            .map(|cell| format!("{cell:>8}"))
            .collect();
        println!("  {:<20} {}   {}", row.row, cells.join(" "), notes(sheet, row));
    }
    println!();
}

fn notes(sheet: &Sheet, row: &Row) -> String {
    let samples: u64 = row.runs.iter().map(|run| run.samples).sum();
    let kept = row.runs.iter().map(|run| run.kept).sum::<f64>() / row.runs.len().max(1) as f64;
    let mut text = format!("{samples}, {:.0} %", kept * 100.0);
    if row.row == row::EMPTY {
        let longest = row.runs.iter().map(|run| run.longest).fold(0.0, f64::max);
        let subtracted = row.runs.iter().map(|run| run.subtracted).fold(0.0, f64::max);
        text += &format!("; {subtracted} subtracted; the longest empty pair {longest:.0}: no claim on max");
    }
    if let Some(writes) = row.runs.iter().find_map(|run| run.writes) {
        text += &format!("; {:.1}M writes/s", writes / 1e6);
    }
    if let Some(verdict) = sheet.judge(row) {
        text += &format!(
            "; p99.9 over the floor {:.0}{}",
            verdict.middle,
            if verdict.within { "" } else { ": OVER" }
        );
    }
    text
}
