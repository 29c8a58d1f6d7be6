//! What a run of the tails writes, and the report reads: `target/latency/tails.json`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::field::row;
use super::machine::Machine;
use super::slices::Tally;
use crate::paired::median;

/// Its name in [`directory`].
pub const FILE: &str = "tails.json";
/// The quantiles of the tables.
pub const TABLE: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];
/// The quantiles that are kept: those of the tables, and some between them for the plots.
pub const KEPT: [f64; 9] = [0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999];
/// The one that the gate compares.
pub const GATED: f64 = 0.999;
/// By how many nanoseconds a call may be over its floor there.
pub const ALLOWED: f64 = 20.0;
/// The rows that the gate may hold, at a million writes a second.
pub const GATED_ROWS: [&str; 3] = [row::RESOLVE, row::ADDRESS, row::CACHED];
/// Fewer calls than this above a quantile say nothing of it.
const LEAST_ABOVE: f64 = 10.0;

/// Where tools of this package leave their figures unless told otherwise: `latency` in the build's directory.
pub fn directory() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(2).map_or_else(|| PathBuf::from("target"), PathBuf::from).join("latency")
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sheet {
    /// Where it was measured.
    pub machine: Machine,
    /// Runs of everything; each figure is the middle one.
    pub runs: usize,
    /// Calls of each row and run that were asked for.
    pub samples: u64,
    /// The clock that timed the calls.
    pub clock: String,
    /// What it moves by, in ns.
    pub step: f64,
    /// A line sent to the writer's core and back, ns, for each run; empty on one core.
    pub round_trips: Vec<f64>,
    /// In the order of measurement.
    pub rows: Vec<Row>,
}

/// One row: a call beside a writer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What is written meanwhile, and where.
    pub writer: String,
    /// Services of the table.
    pub services: u32,
    /// The call.
    pub row: String,
    /// The row of the same run that does its loads without a protocol.
    pub floor: Option<String>,
    /// Whether the gate holds it.
    pub gated: bool,
    /// Each run's part.
    pub runs: Vec<Run>,
}

/// One run of a row. All times in ns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Calls that counted.
    pub samples: u64,
    /// Slices that counted, of all.
    pub kept: f64,
    /// Median of the empty pair of the same run, subtracted from all but the longest.
    pub subtracted: f64,
    /// [`KEPT`] in order; none where there were too few calls.
    pub quantiles: Vec<Option<f64>>,
    /// The longest call, nothing subtracted.
    pub longest: f64,
    /// Writes a second, where they are not limited.
    pub writes: Option<f64>,
}

impl Run {
    /// Of a tally, and the one of the empty pair.
    pub fn new(clock: &Clock, tally: &Tally, empty: &Tally, writes: Option<f64>) -> Run {
        let ns = |ticks: u64| ticks as f64 * clock.tick;
        let samples = tally.histogram.len();
        let subtracted = ns(empty.histogram.value_at_quantile(0.5));
        let quantile = |quantile: f64| {
            let enough = (1.0 - quantile) * samples as f64 >= LEAST_ABOVE;
            let time = ns(tally.histogram.value_at_quantile(quantile)) - subtracted;
            enough.then(|| tenth(time.max(0.0)))
        };
        Run {
            samples,
            kept: tally.kept as f64 / tally.slices.max(1) as f64,
            subtracted: tenth(subtracted),
            quantiles: KEPT.iter().map(|q| quantile(*q)).collect(),
            longest: tenth(ns(tally.histogram.max())),
            writes,
        }
    }

    /// The time at a quantile of [`KEPT`].
    pub fn at(&self, quantile: f64) -> Option<f64> {
        let index = KEPT.iter().position(|kept| *kept == quantile)?;
        self.quantiles.get(index).copied().flatten()
    }
}

/// To a tenth of a nanosecond: the clock knows no more.
fn tenth(ns: f64) -> f64 {
    (ns * 10.0).round() / 10.0
}

impl Row {
    /// The middle of the runs at a quantile; none where not every run has it.
    pub fn at(&self, quantile: f64) -> Option<f64> {
        let times: Option<Vec<f64>> = self.runs.iter().map(|run| run.at(quantile)).collect();
        times.filter(|times| !times.is_empty()).map(median)
    }
}

/// What the gate says of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Over the floor of the same run at [`GATED`], ns; each run.
    pub over: Vec<f64>,
    /// The middle of them.
    pub middle: f64,
    /// Whether that is within what is allowed.
    pub within: bool,
}

impl Sheet {
    /// The row's floor.
    pub fn floor(&self, of: &Row) -> Option<&Row> {
        let floor = of.floor.as_deref()?;
        self.rows
            .iter()
            .find(|row| row.row == floor && row.writer == of.writer && row.services == of.services)
    }

    /// What a row may be over its floor: [`ALLOWED`] in whole steps of the clock, as nothing finer is known.
    pub fn allowed(&self) -> f64 {
        (ALLOWED / self.step).ceil() * self.step
    }

    /// Compares a row with its floor, run by run. None where there is no floor, or a run has too few calls.
    pub fn judge(&self, row: &Row) -> Option<Verdict> {
        let floor = self.floor(row)?;
        let pairs = row.runs.iter().zip(&floor.runs);
        let over: Option<Vec<f64>> =
            pairs.map(|(run, floor)| Some(tenth(run.at(GATED)? - floor.at(GATED)?))).collect();
        let over = over.filter(|over| !over.is_empty())?;
        let middle = median(over.clone());
        // Both were rounded to a tenth.
        Some(Verdict { within: middle <= self.allowed() + 0.2, over, middle })
    }

    /// What fails the gate, in words; empty where all is well. A gated row without a verdict fails too, and so does a
    /// sheet without a gated row.
    pub fn failures(&self) -> Vec<String> {
        let gated: Vec<&Row> = self.rows.iter().filter(|row| row.gated).collect();
        if gated.is_empty() {
            return vec!["no row beside 1M writes/s: this needs a second core".into()];
        }
        let failure = |row: &&Row| {
            let name = format!("{}, {}, table of {}", row.row, row.writer, row.services);
            match self.judge(row) {
                None => Some(format!(
                    "{name}: the writer did not keep its rate long enough; a quiet machine is needed"
                )),
                Some(verdict) if !verdict.within => Some(format!(
                    "{name}: p99.9 is {} ns over the floor's, and {:.0} are allowed",
                    verdict.middle,
                    self.allowed()
                )),
                Some(_) => None,
            }
        };
        gated.iter().filter_map(failure).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use hdrhistogram::Histogram;

    use super::*;

    fn tally(times: impl IntoIterator<Item = u64>) -> Tally {
        let mut histogram = Histogram::new_with_bounds(1, 1 << 32, 3).expect("in order");
        times.into_iter().for_each(|time| histogram.record(time).expect("within bounds"));
        Tally { histogram, slices: 4, kept: 3 }
    }

    /// A run whose quantiles are all `ns`.
    fn run(ns: Option<f64>) -> Run {
        let quantiles = vec![ns; KEPT.len()];
        Run { samples: 1_000_000, kept: 1.0, subtracted: 20.0, quantiles, longest: 9e3, writes: None }
    }

    /// Three runs of `resolve` and its floor at a million writes, with these p99.9.
    pub(crate) fn sheet(floor: [f64; 3], resolve: [f64; 3]) -> Sheet {
        let row = |name: &str, floor: Option<&str>, times: [f64; 3]| Row {
            writer: "1M/s on the same cell".into(),
            services: 1024,
            row: name.into(),
            floor: floor.map(str::to_owned),
            gated: floor.is_some(),
            runs: times.iter().map(|time| run(Some(*time))).collect(),
        };
        Sheet {
            machine: Machine::sample(),
            runs: 3,
            samples: 1_000_000,
            clock: "a clock".into(),
            step: 10.02,
            round_trips: vec![180.0; 3],
            rows: vec![
                row(row::EMPTY, None, [0.0; 3]),
                row(row::TORN_8, None, floor),
                row(row::RESOLVE, Some(row::TORN_8), resolve),
            ],
        }
    }

    #[test]
    fn quantiles_are_of_the_calls_less_the_empty_pair() {
        let clock = Clock { tick: 0.5, step: 1 };
        let run = Run::new(&clock, &tally((1..=10_000).map(|i| 40 + i / 100)), &tally([40; 9]), None);
        assert_eq!((run.at(0.5), run.at(0.9), run.at(0.999)), (Some(25.0), Some(45.0), Some(49.5)));
        assert_eq!((run.subtracted, run.longest, run.kept), (20.0, 70.0, 0.75));
    }

    #[test]
    fn a_quantile_with_fewer_than_ten_calls_above_it_is_none() {
        let clock = Clock { tick: 1.0, step: 1 };
        let run = Run::new(&clock, &tally((1..=10_000).map(|_| 100)), &tally([40]), None);
        assert_eq!((run.at(0.999), run.at(0.9995), run.at(0.9999)), (Some(60.0), None, None));
        assert_eq!(run.at(0.42), None);
    }

    #[test]
    fn a_call_shorter_than_the_empty_pair_is_zero_and_not_less() {
        let clock = Clock { tick: 1.0, step: 1 };
        assert_eq!(Run::new(&clock, &tally([30; 100]), &tally([40]), None).at(0.5), Some(0.0));
    }

    #[test]
    fn the_gate_takes_the_middle_run_against_the_floor_of_that_run() {
        // Over by 20, 300 and 10 of the same run's: the middle is 20.04, two steps of the clock.
        let sheet_ok = sheet([40.0, 40.0, 90.0], [60.0, 340.0, 100.0]);
        assert_eq!(sheet_ok.judge(&sheet_ok.rows[2]).map(|v| (v.middle, v.within)), Some((20.0, true)));
        assert_eq!(sheet_ok.failures(), Vec::<String>::new());
        // Over by 30 in two runs.
        let sheet_over = sheet([40.0, 40.0, 40.0], [70.0, 70.0, 40.0]);
        assert_eq!(sheet_over.failures().len(), 1, "{:?}", sheet_over.failures());
    }

    #[test]
    fn a_rows_figure_is_the_middle_of_its_runs_and_none_where_one_has_none() {
        let mut sheet = sheet([90.0, 40.0, 50.0], [40.0; 3]);
        assert_eq!(sheet.rows[1].at(0.99), Some(50.0));
        sheet.rows[1].runs[2] = run(None);
        assert_eq!(sheet.rows[1].at(0.99), None);
        sheet.rows[1].runs.clear();
        assert_eq!(sheet.rows[1].at(0.99), None);
    }

    #[test]
    fn a_gated_row_without_enough_calls_fails_and_so_does_none_at_all() {
        let mut sheet = sheet([40.0; 3], [40.0; 3]);
        sheet.rows[2].runs[1] = run(None);
        assert_eq!(sheet.failures().len(), 1);
        sheet.rows.truncate(2);
        assert_eq!(sheet.failures().len(), 1);
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let sheet = sheet([40.0; 3], [50.0; 3]);
        let text = serde_json::to_string(&sheet).expect("plain values");
        assert_eq!(serde_json::from_str::<Sheet>(&text).expect("just written"), sheet);
    }
}
