//! Calls timed one by one, in short slices that take turns.
//!
//! Each round runs a slice of every case, in rotated order, after a few calls for warm-up; what disturbs the machine for
//! longer than a slice disturbs all cases alike. A slice in which the writer did not keep its pace is left out.

use std::hint::black_box;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::clock::{after, ticks};
use super::pace::Pace;

/// Calls of a slice. Their times fit in a thirtieth of a first-level cache.
pub const SLICE: usize = 256;
/// Calls before each slice that are not counted.
const WARM_UP: usize = 16;

/// Times this many calls, in ticks.
type Timed<'a> = Box<dyn FnMut(&mut [u32]) + 'a>;

/// A case: a name, and calls that are timed one by one.
pub struct Case<'a> {
    /// As it is printed.
    pub name: &'static str,
    /// The case that does the same loads without a protocol.
    pub floor: Option<&'static str>,
    run: Timed<'a>,
}

impl<'a> Case<'a> {
    /// Calls of `call`, with places that `place` makes of the call's number.
    pub fn new(
        name: &'static str,
        floor: Option<&'static str>,
        place: impl Fn(u64) -> usize + 'a,
        mut call: impl FnMut(usize) -> u64 + 'a,
    ) -> Self {
        let zero = black_box(0);
        let mut n = 0;
        let run = move |times: &mut [u32]| {
            for time in times {
                n += 1;
                let place = black_box(place(n));
                let start = ticks();
                black_box(call(after(start, zero, place)));
                *time = u32::try_from(ticks() - start).unwrap_or(u32::MAX);
            }
        };
        Case { name, floor, run: Box::new(run) }
    }
}

/// How much.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Calls of each case that must count.
    pub samples: u64,
    /// Not longer than this, whether there are so many or not.
    pub limit: Duration,
}

/// What came out for a case.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Ticks of each call that counted.
    pub histogram: Histogram<u64>,
    /// Slices that were run.
    pub slices: u64,
    /// Slices that counted.
    pub kept: u64,
}

impl Tally {
    fn new() -> Self {
        let histogram =
            Histogram::new_with_bounds(1, u64::from(u32::MAX), 3).expect("the bounds are in order");
        Tally { histogram, slices: 0, kept: 0 }
    }
}

/// Runs all cases beside the writer, and gives a tally for each, in their order.
pub fn measure(plan: Plan, cases: &mut [Case<'_>], pace: Pace<'_>) -> Vec<Tally> {
    let mut tallies: Vec<Tally> = cases.iter().map(|_| Tally::new()).collect();
    let mut times = [0; SLICE];
    let start = Instant::now();
    let mut round = 0;
    while start.elapsed() < plan.limit && tallies.iter().any(|tally| tally.histogram.len() < plan.samples) {
        for turn in 0..cases.len() {
            let index = (turn + round) % cases.len();
            let tally = &mut tallies[index];
            (cases[index].run)(&mut times[..WARM_UP]);
            let (mark, begun) = (pace.mark(), Instant::now());
            (cases[index].run)(&mut times);
            tally.slices += 1;
            if pace.was_kept(mark, begun.elapsed()) {
                tally.kept += 1;
                times.iter().for_each(|time| tally.histogram.saturating_record(u64::from(*time).max(1)));
            }
        }
        round += 1;
    }
    tallies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tails::pace::Flood;

    const PLAN: Plan = Plan { samples: 2000, limit: Duration::from_secs(20) };

    #[test]
    fn each_call_is_timed_with_its_own_place_and_longer_work_takes_longer() {
        let seen = std::cell::RefCell::new(Vec::new());
        let work =
            |times: u64| move |place: usize| (0..times).fold(place as u64, |x, _| black_box(x * 3 % 101));
        let mut cases = [
            Case::new(
                "empty",
                None,
                |n| n as usize,
                |place| {
                    seen.borrow_mut().push(place);
                    0
                },
            ),
            Case::new("short", None, |n| n as usize, work(20)),
            Case::new("long", None, |n| n as usize, work(2000)),
        ];
        let tallies = measure(PLAN, &mut cases, Pace::Idle);
        drop(cases);
        let medians: Vec<u64> = tallies.iter().map(|tally| tally.histogram.value_at_quantile(0.5)).collect();
        // No absolute time, and a wide margin: this machine may be busy.
        assert!(medians[2] > 10 * medians[1], "{medians:?}");
        assert!(tallies.iter().all(|tally| tally.histogram.len() >= 2000 && tally.kept == tally.slices));
        let seen = seen.into_inner();
        assert_eq!(seen, (1..=seen.len()).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_counts_beside_a_writer_that_does_not_write() {
        let flood = Flood::new();
        let mut cases = [Case::new(
            "slow",
            None,
            |n| n as usize,
            |place| (0..1000).fold(place as u64, |x, _| black_box(x * 3 % 101)),
        )];
        let plan = Plan { limit: Duration::from_millis(50), ..PLAN };
        let tallies = measure(plan, &mut cases, Pace::Flood(&flood));
        assert!(tallies[0].slices > 0 && tallies[0].kept == 0 && tallies[0].histogram.is_empty());
    }
}
