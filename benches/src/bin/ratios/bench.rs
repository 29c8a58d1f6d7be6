//! Runs tables, keeps and prints them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use resolver_benches::gates;
use resolver_benches::paired::{Plan, Samples, sample};
use resolver_benches::path::Path as Walk;
use resolver_benches::peers;
use resolver_benches::report::{self, Key, Table};
use resolver_benches::subject::{Role, Subject};
use resolver_benches::writer::{Rate, pin, round_trip, sharing};

/// Runs of each table; the middle ratio counts.
pub(crate) const RUNS: usize = 3;

/// What the command line says.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) asserts: bool,
    pub(crate) markdown: bool,
    pub(crate) only: Option<String>,
    pub(crate) out: Option<PathBuf>,
}

/// The run.
pub(crate) struct Bench {
    pub(crate) options: Options,
    tables: Vec<Table>,
    cores: usize,
}

/// Who writes while a table is measured.
pub(crate) struct Load {
    pub(crate) rate: Rate,
    /// To one service alone, or to all in turn.
    pub(crate) only: Option<usize>,
}

impl Bench {
    /// Prints what the tables are to be read with.
    pub(crate) fn new(options: Options) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        let bench = Bench { options, tables: Vec::new(), cores };
        bench.head()?;
        Ok(bench)
    }

    fn head(&self) -> std::io::Result<()> {
        let groups = peers::groups();
        let built =
            if groups.is_empty() { "none: built without --features peers".into() } else { groups.join(", ") };
        println!("resolver-benches ratios: median of paired ratios, the middle of {RUNS} runs");
        println!("the first row of each table is its base; ns are medians, for orientation only");
        println!("{} cores, load {}", self.cores, std::fs::read_to_string("/proc/loadavg")?.trim());
        println!("peers: {}", if self.options.quick { "none: a quick run" } else { &built });
        if !pin(0) {
            println!("this thread could not be pinned to core 0: expect noise");
        }
        if self.cores < 2 {
            println!("no second core: nothing is measured beside a writer");
        } else {
            println!("core to core and back, with two clock reads: {:.0} ns", round_trip());
            let sharing = sharing();
            println!("arithmetic beside a busy second core: {sharing:.2} of its time alone");
            if sharing > 1.1 {
                println!(
                    "the two cores share one: rows of a nanosecond or two move with whatever runs on the other"
                );
            }
        }
        println!();
        Ok(())
    }

    /// Prints verdicts, writes the files, and says whether all is well.
    pub(crate) fn end(self, start: Instant) -> Result<ExitCode, Box<dyn std::error::Error>> {
        let verdicts = gates::judge(&self.tables);
        print!("{}", report::verdicts(&verdicts, self.options.markdown));
        let program = std::env::current_exe()?;
        let beside = program.ancestors().nth(2).unwrap_or(Path::new("target")).join("latency");
        let directory = self.options.out.unwrap_or(beside);
        report::save(&directory, &self.tables, &verdicts)
            .map_err(|error| format!("{}: {error}; name another place with --out", directory.display()))?;
        let failed = verdicts.iter().filter(|verdict| !verdict.passes()).count();
        let behind = verdicts.iter().filter(|verdict| verdict.meets() == Some(false)).count();
        println!(
            "\n{} gates and targets, {failed} gates failed, {behind} targets not met; {} of {} were measured; {:.0} s; {}",
            verdicts.len(),
            verdicts.len(),
            gates::all().len(),
            start.elapsed().as_secs_f64(),
            directory.join("ratios.json").display(),
        );
        Ok(if self.options.asserts && failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Whether a table of this title is asked for.
    pub(crate) fn wants(&self, key: &Key) -> bool {
        let title = Table { key: key.clone(), rows: Vec::new(), runs: Vec::new() }.title();
        self.options.only.as_ref().is_none_or(|only| title.contains(only))
    }

    /// Whether any table of so many services may be asked for: large ones take seconds to fill.
    pub(crate) fn may_want(&self, services: u32) -> bool {
        let title = format!("{services} services");
        self.options.only.as_ref().is_none_or(|only| !only.contains("services") || only.contains(&title))
    }

    /// Keeps and prints a table.
    pub(crate) fn keep(&mut self, key: Key, rows: Vec<(&'static str, Role)>, runs: Vec<Samples>) {
        let table = Table { key, rows, runs };
        println!("{}", table.text(self.options.markdown));
        self.tables.push(table);
    }

    /// Measures with nobody writing.
    pub(crate) fn idle(&mut self, key: Key, plan: Plan, mut subjects: Vec<Subject<'_>>) {
        if !self.wants(&key) {
            return;
        }
        let rows = subjects.iter().map(|subject| (subject.case.name, subject.role)).collect();
        let mut run = || sample(plan, subjects.iter_mut().map(|subject| &mut subject.case), None);
        let runs = (0..RUNS).map(|_| run()).collect();
        self.keep(key, rows, runs);
    }

    /// Measures what has a writer, beside it.
    pub(crate) fn written(&mut self, key: Key, path: Walk, subjects: Vec<Subject<'_>>, load: &Load) {
        if self.cores < 2 || !self.wants(&key) {
            return;
        }
        let (mut rows, mut cases, mut writes) = (Vec::new(), Vec::new(), Vec::new());
        for subject in subjects {
            if let Some(write) = subject.write {
                rows.push((subject.case.name, subject.role));
                cases.push(subject.case);
                writes.push(write);
            }
        }
        let Load { rate, only } = load;
        let runs = std::thread::scope(|scope| {
            scope.spawn(move || {
                // Not pinned, it may share the reader's core: its gaps then void the batches.
                pin(1);
                rate.keep(|n| writes[rate.aimed_at()](only.unwrap_or(path.place(n)), n));
            });
            // Also if a case panics: the writer would be waited for else.
            let _stop = Stop(rate);
            (0..RUNS).map(|_| sample(Plan::WRITTEN, &mut cases, Some(rate))).collect()
        });
        self.keep(key, rows, runs);
    }
}

/// Ends the writer when the reader is done with it.
struct Stop<'a>(&'a Rate);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
