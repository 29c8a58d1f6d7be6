//! Ratios that repeat on a noisy machine: short batches, every case once in each round, paired within the round.
//!
//! Each round runs every case once, in rotated order, each batch after a warm-up of its own; the ratio of a case is the
//! median over the rounds of (its time / the first case's time in that round). A batch in which the writer did not keep its rate is left out,
//! and with it the pair. Only ratios are compared; a time is printed for orientation.

use std::time::{Duration, Instant};

use crate::writer::Rate;

/// A case: a name, and a loop that makes this many calls and gives what keeps the compiler from dropping them.
pub struct Case<'a> {
    /// As it is printed.
    pub name: &'static str,
    /// Makes this many calls.
    pub run: Box<dyn FnMut(u64) -> u64 + 'a>,
}

impl<'a> Case<'a> {
    /// A case of `calls`.
    pub fn new(name: &'static str, run: impl FnMut(u64) -> u64 + 'a) -> Self {
        Case { name, run: Box::new(run) }
    }
}

/// What came out for a case.
#[derive(Clone, Debug)]
pub struct Row {
    /// The case's name.
    pub name: &'static str,
    /// Median time of one call.
    pub nanoseconds: f64,
    /// Median of the paired ratios to the first case.
    pub ratio: f64,
    /// Pairs that counted.
    pub pairs: usize,
    /// Median of the writes a second meanwhile; not a number without a writer.
    pub writes: f64,
}

/// Batches of each case that are tried for, beside a writer ...
const ENOUGH: usize = 100;
/// ... in so many times the rounds.
const PATIENCE: usize = 4;

/// How long, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Length of a batch.
    pub batch: Duration,
    /// Rounds; up to four times as many beside a writer that did not keep its rate.
    pub rounds: usize,
    /// Calls before each batch, at least; a quarter of the batch's if that is more. A table that fits the cache is to be
    /// in it, however slow the case.
    pub warm_up: u64,
}

impl Plan {
    /// Nobody writes: short batches.
    pub const IDLE: Plan = Plan { batch: Duration::from_micros(20), rounds: 1500, warm_up: 0 };
    /// Beside a writer: long enough for it to show.
    pub const WRITTEN: Plan = Plan { batch: Duration::from_micros(100), rounds: 800, warm_up: 0 };

    /// With a warm-up of this many calls at least.
    #[must_use]
    pub const fn warmed(self, warm_up: u64) -> Plan {
        Plan { warm_up, ..self }
    }
}

/// The time of a call, for each case and round.
#[derive(Clone, Debug)]
pub struct Samples {
    names: Vec<&'static str>,
    /// Of each case, by round; none where the writer did not keep its rate.
    times: Vec<Vec<Option<f64>>>,
    /// Writes a second in the batches that counted, of each case.
    writes: Vec<Vec<f64>>,
}

impl Samples {
    /// Of one case, its ratio to another one's. Nothing where either is not among them.
    pub fn row(&self, name: &str, base: &str) -> Option<Row> {
        let index = |name| self.names.iter().position(|known| *known == name);
        let times = |name| Some(&self.times[index(name)?]);
        let pairs = times(name)?.iter().zip(times(base)?);
        let ratios: Vec<f64> = pairs.filter_map(|(time, base)| Some((*time)? / (*base)?)).collect();
        Some(Row {
            name: self.names[index(name)?],
            nanoseconds: median(times(name)?.iter().flatten().copied().collect()),
            pairs: ratios.len(),
            ratio: median(ratios),
            writes: median(self.writes[index(name)?].clone()),
        })
    }
}

/// Runs all cases, and gives a row for each, in their order. With a `rate`, a batch counts only while the writer kept it.
///
/// # Panics
///
/// Without a case.
pub fn measure(plan: Plan, cases: &mut [Case<'_>], rate: Option<&Rate>) -> Vec<Row> {
    let samples = sample(plan, cases.iter_mut(), rate);
    samples.names.iter().filter_map(|name| samples.row(name, samples.names[0])).collect()
}

/// As [`measure`], for ratios to whichever case. The writer is told which one is being measured ([`Rate::aim`]).
///
/// # Panics
///
/// Without a case.
pub fn sample<'c, 'a: 'c>(
    plan: Plan,
    cases: impl IntoIterator<Item = &'c mut Case<'a>>,
    rate: Option<&Rate>,
) -> Samples {
    let mut cases: Vec<&mut Case<'a>> = cases.into_iter().collect();
    let count = cases.len();
    let aim = |index| {
        if let Some(rate) = rate {
            rate.aim(index);
        }
    };
    let mut calls = Vec::with_capacity(count);
    for (index, case) in cases.iter_mut().enumerate() {
        aim(index);
        calls.push(calls_for(plan.batch, case));
    }
    let mut times = vec![Vec::with_capacity(plan.rounds); count];
    let mut writes = vec![Vec::new(); count];
    // Where others take the writer's core, its batches are worth some more rounds.
    let most = if rate.is_some() { plan.rounds * PATIENCE } else { plan.rounds };
    for round in 0..most {
        if round > 0 && round % plan.rounds == 0 {
            let fewest = times.iter().map(|times| times.iter().flatten().count()).min();
            if fewest >= Some(ENOUGH) {
                break;
            }
        }
        for place in 0..count {
            let index = (place + round) % count;
            let case = &mut cases[index];
            aim(index);
            std::hint::black_box((case.run)(plan.warm_up.max(calls[index] / 4 + 1)));
            let before = rate.map(Rate::start);
            let start = Instant::now();
            std::hint::black_box((case.run)(calls[index]));
            let time = start.elapsed();
            let written = rate.map(Rate::writes);
            let valid = rate.zip(before).is_none_or(|(rate, before)| rate.was_kept(before, time));
            if valid && let (Some(before), Some(written)) = (before, written) {
                writes[index].push((written - before.writes) as f64 / time.as_secs_f64());
            }
            times[index].push(valid.then(|| time.as_secs_f64() * 1e9 / calls[index] as f64));
        }
    }
    Samples { names: cases.iter().map(|case| case.name).collect(), times, writes }
}

/// Calls that fill a batch.
fn calls_for(batch: Duration, case: &mut Case<'_>) -> u64 {
    let mut calls = 64;
    loop {
        let start = Instant::now();
        std::hint::black_box((case.run)(calls));
        let time = start.elapsed();
        if time >= batch || calls > 1 << 24 {
            return (calls as f64 * batch.as_secs_f64() / time.as_secs_f64()).ceil() as u64;
        }
        calls *= 2;
    }
}

/// The middle value; not a number where there is none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_of_twice_the_work_has_a_ratio_of_two() {
        let work = |calls: u64| (0..calls).fold(1u64, |x, _| std::hint::black_box(x.wrapping_mul(3)));
        let mut cases = [Case::new("once", work), Case::new("twice", |calls| work(2 * calls))];
        let rows =
            measure(Plan { batch: Duration::from_micros(50), rounds: 201, warm_up: 0 }, &mut cases, None);
        assert_eq!((rows[0].ratio, rows[0].pairs), (1.0, 201));
        // No absolute time, and a wide margin: this machine may be busy.
        assert!((1.3..3.0).contains(&rows[1].ratio), "{}", rows[1].ratio);
    }
}
