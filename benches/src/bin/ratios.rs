//! Prints how `resolve()` compares with plain loads of its line, and with other libraries: ratios from one run, held to the
//! gates and targets. `ratios --help` says more.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it prints tables")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use resolver_benches::gates::{self, IDLE, table};
use resolver_benches::ours::{self, Places, WriterOf};
use resolver_benches::paired::{Plan, Samples, sample};
use resolver_benches::path::{Form, Path as Walk};
use resolver_benches::peers::{self, balancers::Balancers, cells::Cells, names::Maps};
use resolver_benches::report::{self, Key, Table};
use resolver_benches::stopped::{self, MAPPED, Publisher, STOPPED, WRITTEN};
use resolver_benches::subject::{Role, Subject};
use resolver_benches::writer::{Rate, pin, round_trip};
use resolver_benches::{Memory, Services, floors::Floors};
use resolver_core::{Capacity, Endpoint, OwnedSegment, Segment, Standing};

const HELP: &str = "\
ratios: what resolve() costs beside plain loads of a line and beside other libraries; median of paired ratios, the middle of
three runs. Peers are measured if they are built in (--features peers).

  --quick          no peers, 16 and 1024 services, idle and 1M writes/s
  --assert         exit with 1 if a gate fails
  --markdown       print tables of markdown
  --only TEXT      only tables whose title contains TEXT, such as \"by name\" or \"1024 services, dependent\"
  --out DIRECTORY  for ratios.json and gates.json; latency/ beside the build's own directory otherwise
";

/// Runs of each table; the middle ratio counts.
const RUNS: usize = 3;
/// What "100k" and "1M" are: powers of two, so that no division is in the loop.
const SCALE: [u32; 2] = [1 << 17, 1 << 20];
/// Tables that no cache holds: batches long enough for some hundred reads.
const LARGE: Plan = Plan { batch: std::time::Duration::from_micros(100), rounds: 400, warm_up: 0 };
const SPEEDS: [(&str, Option<u64>); 4] =
    [("1k/s", Some(1_000)), ("100k/s", Some(100_000)), ("1M/s", Some(1_000_000)), ("unthrottled", None)];
/// Reads of a half-written service that must all be whole, in each run.
const CHECKED: u64 = 1_000_000;
/// A service that nobody writes while another is.
const RESTING: usize = 3;
/// Endpoints of the service that is balanced.
const BACKENDS: usize = 8;

#[derive(Default)]
struct Options {
    quick: bool,
    asserts: bool,
    markdown: bool,
    only: Option<String>,
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ratios: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value; see --help"));
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--assert" => options.asserts = true,
            "--markdown" => options.markdown = true,
            "--only" => options.only = Some(value()?),
            "--out" => options.out = Some(value()?.into()),
            stopped::WRITER => {
                return stopped::publish_without_pause(Path::new(&value()?)).map(|()| ExitCode::SUCCESS);
            }
            "--help" | "-h" => {
                print!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            other => return Err(format!("{other} is no option; see --help").into()),
        }
    }
    let start = Instant::now();
    let mut bench = Bench { options, tables: Vec::new(), cores: 1 };
    bench.head()?;
    for count in [16, 1024] {
        bench.services(count);
    }
    bench.balancers();
    bench.stopped()?;
    for count in [16, 1024] {
        bench.mapped(count)?;
    }
    if !bench.options.quick {
        for count in SCALE {
            bench.services(count);
        }
    }
    bench.end(start)
}

/// The run.
struct Bench {
    options: Options,
    tables: Vec<Table>,
    cores: usize,
}

/// Who writes while a table is measured.
struct Load {
    rate: Rate,
    /// To one service alone, or to all in turn.
    only: Option<usize>,
}

impl Bench {
    fn head(&mut self) -> std::io::Result<()> {
        self.cores = std::thread::available_parallelism()?.get();
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
        }
        println!();
        Ok(())
    }

    /// Prints verdicts, writes the files, and says whether all is well.
    fn end(self, start: Instant) -> Result<ExitCode, Box<dyn std::error::Error>> {
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
    fn wants(&self, key: &Key) -> bool {
        let title = Table { key: key.clone(), rows: Vec::new(), runs: Vec::new() }.title();
        self.options.only.as_ref().is_none_or(|only| title.contains(only))
    }

    /// Keeps and prints a table.
    fn keep(&mut self, key: Key, rows: Vec<(&'static str, Role)>, runs: Vec<Samples>) {
        let table = Table { key, rows, runs };
        println!("{}", table.text(self.options.markdown));
        self.tables.push(table);
    }

    /// Measures with nobody writing.
    fn idle(&mut self, key: Key, plan: Plan, mut subjects: Vec<Subject<'_>>) {
        if !self.wants(&key) {
            return;
        }
        let rows = subjects.iter().map(|subject| (subject.case.name, subject.role)).collect();
        let mut run = || sample(plan, subjects.iter_mut().map(|subject| &mut subject.case), None);
        let runs = (0..RUNS).map(|_| run()).collect();
        self.keep(key, rows, runs);
    }

    /// Measures what has a writer, beside it.
    fn written(&mut self, key: Key, path: Walk, subjects: Vec<Subject<'_>>, load: &Load) {
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

    /// By handle and by name, for one number of services.
    fn services(&mut self, count: u32) {
        let large = count > 1024;
        let endpoints = if large { count } else { 2 * count };
        let memory = Memory::of(Capacity { services: count, endpoints, configs: 0, text_bytes: 0 });
        let services = Services::new(&memory);
        let (all, one) = (Places::all(&services), Places::one(&services, WRITTEN));
        let Services { writer, reader, handles, names } = services;
        let writer = WriterOf::new(writer, handles.clone());
        let count = count as usize;
        let floors = Floors::new(&handles);
        let with_peers = !self.options.quick;
        let mut cells = with_peers.then(|| Cells::new(count));
        let mut maps = with_peers.then(|| Maps::new(&names));
        let plan = if large { LARGE } else { Plan::IDLE.warmed(count as u64) };
        let key = |table, form: Form, writer: &str| Key {
            table,
            form: form.name(),
            services: count,
            writer: writer.to_owned(),
        };
        for form in [Form::Throughput, Form::Dependent] {
            let path = Walk::new(form, count);
            let mut subjects = floors.subjects(path, &all);
            subjects.extend(ours::by_handle(path, reader, &writer, &all));
            subjects.extend(cells.iter_mut().flat_map(|cells| cells.subjects(path, &all.indices)));
            self.idle(key(table::HANDLE, form, IDLE), plan, subjects);
            let mut subjects = ours::by_name(path, reader, &writer, &all);
            subjects.extend(maps.iter_mut().flat_map(|maps| maps.subjects(path, &all.names)));
            self.idle(key(table::NAME, form, IDLE), plan, subjects);
        }
        if count == 1024 {
            let path = Walk::new(Form::Throughput, count);
            let mut subjects = vec![ours::one_cached(path, reader, handles[WRITTEN])];
            subjects.extend(cells.iter().flat_map(|cells| cells.one_cached(path)));
            let key = Key { table: table::ONE, form: "throughput", services: 1, writer: IDLE.into() };
            self.idle(key, Plan::IDLE, subjects);
        }
        for (speed, per_second) in SPEEDS {
            let hard = per_second.is_none_or(|writes| writes >= 1_000_000);
            if (large || self.options.quick) && speed != "1M/s" {
                continue;
            }
            for (spread, places) in [(false, &one), (true, &all)] {
                if large && !spread {
                    continue;
                }
                let load = || Load {
                    rate: per_second.map_or_else(Rate::unthrottled, Rate::new),
                    only: (!spread).then_some(WRITTEN),
                };
                let writes = format!("{speed} {}", if spread { "spread" } else { "same" });
                for form in [Form::Throughput, Form::Dependent] {
                    let path = Walk::new(form, count);
                    let mut subjects = floors.subjects(path, places);
                    subjects.extend(ours::by_handle(path, reader, &writer, places));
                    if hard && count == 1024 && (form == Form::Throughput || speed == "1M/s") {
                        let cells = cells.iter_mut();
                        subjects.extend(cells.flat_map(|cells| cells.subjects(path, &places.indices)));
                    }
                    self.written(key(table::HANDLE, form, &writes), path, subjects, &load());
                    let few = !large && speed == "1M/s" && form == Form::Throughput;
                    if few {
                        let mut subjects = ours::by_name(path, reader, &writer, places);
                        let maps = maps.iter_mut().filter(|_| count == 1024);
                        subjects.extend(maps.flat_map(|maps| maps.subjects(path, &places.names)));
                        self.written(key(table::NAME, form, &writes), path, subjects, &load());
                    }
                }
            }
        }
    }

    /// One of several endpoints of one service.
    fn balancers(&mut self) {
        let memory = Memory::for_services(16);
        let mut services = Services::new(&memory);
        let endpoint = |id: usize| Endpoint::new(([10, 0, 0, id as u8 + 1], 9000).into()).with_id(id as u64);
        let set: Vec<Endpoint> = (0..BACKENDS).map(endpoint).collect();
        let handle = services.handles[0];
        services.writer.publish(handle, &set, Standing::FRESH, b"").expect("there is room for 32");
        let path = Walk::new(Form::Throughput, 1024);
        let mut subjects = vec![ours::picks(path, services.reader, handle)];
        let balancers = (!self.options.quick).then(|| Balancers::new(BACKENDS));
        subjects.extend(balancers.iter().flat_map(|balancers| balancers.subjects(path)));
        let key = Key { table: table::BALANCE, form: "throughput", services: 1, writer: IDLE.into() };
        self.idle(key, Plan::IDLE, subjects);
    }

    /// Reads of a service whose writer, another process, is stopped in the middle of it.
    fn stopped(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let count = stopped::SERVICES as usize;
        let key = |form: Form| Key {
            table: table::STOPPED,
            form: form.name(),
            services: count,
            writer: "stopped".into(),
        };
        if ![Form::Throughput, Form::Dependent].into_iter().any(|form| self.wants(&key(form))) {
            return Ok(());
        }
        let place = stopped::Place::new()?;
        let mut publisher = Publisher::start(&place.path())?;
        let segment = Segment::open(place.path())?;
        let reader = segment.reader();
        let handle = |index: usize| {
            reader.service(&format!("svc-{index:08}")).ok_or("the writer did not add its services")
        };
        let at_all = |index| {
            let handles = vec![handle(index)?; count];
            Ok::<_, &str>(Places { indices: vec![index; count], handles, names: Vec::new() })
        };
        let (written, resting) = (at_all(WRITTEN)?, at_all(RESTING)?);
        let handle = written.handles[0];
        let floors = Floors::new(&written.handles);
        for form in [Form::Throughput, Form::Dependent] {
            let path = Walk::new(form, count);
            let mut subjects = [
                floors.base(path, &written),
                ours::reads(ours::RESOLVE, path, reader, &resting.handles),
                ours::reads(STOPPED, path, reader, &written.handles),
            ];
            let rows = subjects.iter().map(|subject| (subject.case.name, subject.role)).collect();
            let mut runs = Vec::new();
            let mut checked = 0;
            for _ in 0..RUNS {
                publisher.stop_within_a_publication(handle)?;
                checked += stopped::every_read_is_whole(&reader, handle, CHECKED)?;
                runs.push(sample(Plan::IDLE, subjects.iter_mut().map(|subject| &mut subject.case), None));
                publisher.go_on()?;
            }
            println!(
                "{checked} reads beside a stopped writer ({} stops so far), every one whole\n",
                publisher.stops
            );
            self.keep(key(form), rows, runs);
        }
        Ok(())
    }

    /// The same table on the heap, and in a file that is mapped without write permission.
    fn mapped(&mut self, count: u32) -> Result<(), Box<dyn std::error::Error>> {
        let place = stopped::Place::new()?;
        let capacity = Capacity { services: count, endpoints: 2 * count, configs: 0, text_bytes: 0 };
        let mut owned = OwnedSegment::acquire(place.path(), &capacity)?;
        let in_file = Services::fill(owned.writer()?, count);
        let segment = Segment::open(place.path())?;
        let mapped = segment.reader();
        let memory = Memory::of(capacity);
        let on_heap = Services::new(&memory);
        for form in [Form::Throughput, Form::Dependent] {
            let path = Walk::new(form, count as usize);
            let subjects = vec![
                ours::reads(ours::RESOLVE, path, on_heap.reader, &on_heap.handles),
                ours::reads(MAPPED, path, mapped, &in_file.handles),
            ];
            let key = Key {
                table: table::MAPPED,
                form: form.name(),
                services: count as usize,
                writer: IDLE.into(),
            };
            self.idle(key, Plan::IDLE, subjects);
        }
        Ok(())
    }
}

/// Ends the writer when the reader is done with it.
struct Stop<'a>(&'a Rate);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
