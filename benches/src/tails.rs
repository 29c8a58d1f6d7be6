//! How long single calls take: quantiles of each call's own time, beside floors of the same run and a writer that is verified.
//!
//! No claim is made on the longest call: on a shared machine it is the scheduler's, and the empty pair has one like it.

pub mod clock;
pub mod field;
pub mod machine;
pub mod pace;
mod round_trip;
pub mod sheet;
pub mod slices;
pub mod stopped;

use std::path::Path;

use clock::Clock;
use field::{EIGHT, Field, FieldWriter, Memory, ONE};
use pace::{Flood, Pace};
use sheet::{GATED_ROWS, Row, Run, Sheet};
use slices::{Case, Plan, Tally, measure};
use stopped::Stopped;

use crate::TornLine;
use crate::writer::{Rate, pin};
use machine::Machine;

/// The rate at which the gate holds.
const GATED_RATE: u64 = 1_000_000;
/// Endpoints of each set: a handle is asked for one, a picker has a choice.
const SETS: [usize; 2] = [1, EIGHT];

/// How much, and where.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// For each of [`SCENARIOS`], twice: sets of one, and of eight.
    pub plan: Plan,
    /// Runs of everything.
    pub runs: usize,
    /// The core of the calls.
    pub reader_core: usize,
    /// The core of the writer, or none: then nothing is written.
    pub writer_core: Option<usize>,
}

/// What is written meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Nothing.
    None,
    /// So many a second.
    Rate(u64),
    /// As many as it can, resting 10 us in each 500.
    Unlimited,
    /// Another process was stopped in mid-publication.
    Stopped,
}

/// A state of the table that calls are timed in.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What is written, in words.
    pub writer: &'static str,
    writes: Writes,
    /// Over all services, or on the one that is read.
    spread: bool,
    /// Services of the table.
    pub services: u32,
}

impl Scenario {
    /// Whether the gate holds a row. A cached handle spread over many is not held: it reads its private copy beside the
    /// line, and the copies of a thousand handles fill more than a first-level cache, which is not its floor's work.
    fn holds(&self, name: &str) -> bool {
        let is_cached = name == field::row::CACHED;
        self.writes == Writes::Rate(GATED_RATE) && GATED_ROWS.contains(&name) && !(self.spread && is_cached)
    }
}

const fn scenario(writer: &'static str, writes: Writes, spread: bool, services: u32) -> Scenario {
    Scenario { writer, writes, spread, services }
}

/// In the order of measurement. On the same cell the table's size is nothing: one service of it is read.
pub const SCENARIOS: [Scenario; 9] = [
    scenario("idle", Writes::None, true, 16),
    scenario("idle", Writes::None, true, 1024),
    scenario("1k/s on the same cell", Writes::Rate(1000), false, 1024),
    scenario("100k/s on the same cell", Writes::Rate(100_000), false, 1024),
    scenario("1M/s on the same cell", Writes::Rate(GATED_RATE), false, 1024),
    scenario("1M/s spread over all", Writes::Rate(GATED_RATE), true, 16),
    scenario("1M/s spread over all", Writes::Rate(GATED_RATE), true, 1024),
    scenario("unthrottled on the same cell", Writes::Unlimited, false, 1024),
    scenario("stopped in mid-publication", Writes::Stopped, false, 1),
];

/// Measures everything. `program` is this one: it is started again as the writer that is stopped. `tell` hears what
/// is being done.
///
/// # Errors
///
/// In words: where the writer cannot be started or stopped.
pub fn run(course: &Course, program: &Path, tell: impl Fn(&str)) -> Result<Sheet, String> {
    // Before this thread is pinned: it counts the cores that it may have.
    let machine = Machine::read();
    if !pin(course.reader_core) {
        tell("this thread could not be pinned to its core: expect noise");
    }
    let clock = Clock::measure();
    let mut sheet = Sheet {
        machine,
        runs: course.runs,
        samples: course.plan.samples,
        clock: clock::NAME.into(),
        step: clock.step_ns(),
        round_trips: Vec::new(),
        rows: Vec::new(),
    };
    if course.writer_core.is_none() {
        tell("no core for a writer: nothing is measured beside one");
    }
    for number in 1..=course.runs {
        if let Some(core) = course.writer_core {
            sheet.round_trips.push(round_trip::median_ns(core));
        }
        for scenario in &SCENARIOS {
            tell(&format!(
                "run {number} of {}: {}, table of {}",
                course.runs, scenario.writer, scenario.services
            ));
            let mut add = |measured: Measured| add(&mut sheet, number, &clock, scenario, measured);
            match (scenario.writes, course.writer_core) {
                (Writes::None, _) => {
                    SETS.into_iter().for_each(|set| add(beside_nobody(course, scenario, set)))
                }
                (_, None) => {}
                (Writes::Stopped, Some(core)) => add(beside_stopped(course, program, core)?),
                (_, Some(core)) => {
                    SETS.into_iter().for_each(|set| add(beside_writer(course, scenario, set, core)));
                }
            }
        }
    }
    Ok(sheet)
}

/// Names and floors of the cases, what came out for each, and writes a second where they are not limited.
struct Measured {
    names: Vec<(&'static str, Option<&'static str>)>,
    tallies: Vec<Tally>,
    writes: Option<f64>,
}

fn measured(plan: Plan, mut cases: Vec<Case<'_>>, pace: Pace<'_>) -> Measured {
    let tallies = measure(plan, &mut cases, pace);
    Measured { names: cases.iter().map(|case| (case.name, case.floor)).collect(), tallies, writes: None }
}

fn beside_nobody(course: &Course, scenario: &Scenario, endpoints: usize) -> Measured {
    let memory = Memory::new(scenario.services, endpoints);
    let (field, _writer) = Field::new(&memory);
    measured(course.plan, field.cases(None), Pace::Idle)
}

fn beside_writer(course: &Course, scenario: &Scenario, endpoints: usize, core: usize) -> Measured {
    let memory = Memory::new(scenario.services, endpoints);
    let (field, mut writer) = Field::new(&memory);
    let write = move |n: u64, writer: &mut FieldWriter<'_>| match scenario.spread {
        true => writer.write_spread(n),
        false => writer.write(ONE, n),
    };
    let only = (!scenario.spread).then_some(ONE);
    let (flood, rate) = (Flood::new(), Rate::new(if let Writes::Rate(n) = scenario.writes { n } else { 1 }));
    let unlimited = scenario.writes == Writes::Unlimited;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Not pinned, it may share the reader's core: its gaps then void the slices.
            pin(core);
            if unlimited {
                flood.keep(|n| write(n, &mut writer));
            } else {
                rate.keep(|n| write(n, &mut writer));
            }
        });
        let (before, start) = (flood.writes(), std::time::Instant::now());
        let pace = if unlimited { Pace::Flood(&flood) } else { Pace::Rate(&rate) };
        let mut measured = measured(course.plan, field.cases(only), pace);
        if unlimited {
            measured.writes = Some((flood.writes() - before) as f64 / start.elapsed().as_secs_f64());
        }
        rate.stop();
        flood.stop();
        measured
    })
}

fn beside_stopped(course: &Course, program: &Path, core: usize) -> Result<Measured, String> {
    let stopped = Stopped::start(program, core)?;
    let (reader, handle) = stopped.reader();
    let (torn, places, handles) = ([TornLine::default()], [0], [handle]);
    let mut cached = [reader.cached(handle)];
    let mut cases = field::floors(&torn, &places, |_| 0);
    cases.extend(field::calls(reader, &handles, |_| 0));
    let call = move |place: usize| crate::consume(cached[place].resolve(&reader));
    cases.push(Case::new(field::row::CACHED, Some(field::row::TORN_8), |_| 0, call));
    Ok(measured(course.plan, cases, Pace::Idle))
}

/// Puts what was measured to its rows. The empty pair of sets of eight has no row of its own: it is only subtracted.
fn add(sheet: &mut Sheet, number: usize, clock: &Clock, scenario: &Scenario, measured: Measured) {
    let Measured { names, tallies, writes } = measured;
    for ((name, floor), tally) in names.into_iter().zip(&tallies) {
        let run = Run::new(clock, tally, &tallies[0], writes);
        let same = |row: &&mut Row| {
            row.row == name && row.writer == scenario.writer && row.services == scenario.services
        };
        match sheet.rows.iter_mut().find(same) {
            Some(row) if row.runs.len() < number => row.runs.push(run),
            Some(_) => {}
            None => sheet.rows.push(Row {
                writer: scenario.writer.into(),
                services: scenario.services,
                row: name.into(),
                floor: floor.map(str::to_owned),
                gated: scenario.holds(name),
                runs: vec![run],
            }),
        }
    }
}
