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
}

/// How long, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Length of a batch.
    pub batch: Duration,
    /// Rounds.
    pub rounds: usize,
}

impl Plan {
    /// Nobody writes: short batches.
    pub const IDLE: Plan = Plan { batch: Duration::from_micros(20), rounds: 1500 };
    /// Beside a writer: long enough for it to show.
    pub const WRITTEN: Plan = Plan { batch: Duration::from_micros(100), rounds: 800 };
}

/// Runs all cases, and gives a row for each, in their order. With a `rate`, a batch counts only while the writer kept it.
///
/// # Panics
///
/// Without a case.
pub fn measure(plan: Plan, cases: &mut [Case<'_>], rate: Option<&Rate>) -> Vec<Row> {
    let calls: Vec<u64> = cases.iter_mut().map(|case| calls_for(plan.batch, case)).collect();
    let count = cases.len();
    let mut times = vec![Vec::with_capacity(plan.rounds); count];
    for round in 0..plan.rounds {
        for place in 0..count {
            let index = (place + round) % count;
            let case = &mut cases[index];
            std::hint::black_box((case.run)(calls[index] / 4 + 1));
            let before = rate.map(Rate::start);
            let start = Instant::now();
            std::hint::black_box((case.run)(calls[index]));
            let time = start.elapsed();
            let valid = rate.zip(before).is_none_or(|(rate, before)| rate.was_kept(before, time));
            times[index].push(valid.then(|| time.as_secs_f64() * 1e9 / calls[index] as f64));
        }
    }
    let row = |index: usize| {
        let pairs = times[index].iter().zip(&times[0]);
        let ratios: Vec<f64> = pairs.filter_map(|(time, base)| Some((*time)? / (*base)?)).collect();
        Row {
            name: cases[index].name,
            nanoseconds: median(times[index].iter().flatten().copied().collect()),
            pairs: ratios.len(),
            ratio: median(ratios),
        }
    };
    (0..count).map(row).collect()
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
        let rows = measure(Plan { batch: Duration::from_micros(50), rounds: 201 }, &mut cases, None);
        assert_eq!((rows[0].ratio, rows[0].pairs), (1.0, 201));
        // No absolute time, and a wide margin: this machine may be busy.
        assert!((1.3..3.0).contains(&rows[1].ratio), "{}", rows[1].ratio);
    }
}
