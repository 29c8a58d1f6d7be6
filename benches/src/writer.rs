//! A writer at a fixed rate on a core of its own, which says whether it kept the rate.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longer than this between two writes, and the writer was off its core.
const LONGEST_GAP: Duration = Duration::from_micros(15);

/// An unthrottled writer rests so long ...
const REST: Duration = Duration::from_micros(10);
/// ... in each of these, so that a reader that it starves shows as a number, and not as a hang.
const EACH: Duration = Duration::from_micros(500);
/// What an unthrottled writer takes between two looks at the clock, at most: a look costs as much as a write.
const LOOK: Duration = Duration::from_micros(1);

/// What the writer tells of itself.
#[derive(Debug)]
pub struct Rate {
    /// None where it writes as fast as it can.
    per_second: Option<u64>,
    stop: AtomicBool,
    /// Which case the reader is at.
    aim: AtomicUsize,
    /// Writes so far.
    writes: AtomicU64,
    /// Gaps in which it was off its core.
    gaps: AtomicU64,
    /// Turns of its loop, whether it wrote in them or not: what shows that it is there.
    turns: AtomicU64,
}

/// Where the writer stood when a batch began.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    /// Writes until then.
    pub writes: u64,
    gaps: u64,
}

impl Rate {
    /// For a writer of this many writes a second.
    pub fn new(per_second: u64) -> Self {
        Rate::of(Some(per_second))
    }

    /// For a writer that writes as fast as it can, but for 10 us in each 500.
    pub fn unthrottled() -> Self {
        Rate::of(None)
    }

    fn of(per_second: Option<u64>) -> Self {
        let [writes, gaps, turns] = [const { AtomicU64::new(0) }; 3];
        Rate { per_second, stop: AtomicBool::new(false), aim: AtomicUsize::new(0), writes, gaps, turns }
    }

    /// Says which case is measured next: the writer writes to that one alone.
    pub fn aim(&self, case: usize) {
        self.aim.store(case, Ordering::Relaxed);
    }

    /// Which case is being measured.
    pub fn aimed_at(&self) -> usize {
        self.aim.load(Ordering::Relaxed)
    }

    /// Writes so far.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// The beginning of a batch.
    pub fn start(&self) -> Before {
        Before { writes: self.writes.load(Ordering::Relaxed), gaps: self.gaps.load(Ordering::Relaxed) }
    }

    /// Whether the writer was on its core and made at least 90 % of its writes during the batch that has just ended.
    pub fn was_kept(&self, before: Before, time: Duration) -> bool {
        let writes = self.writes.load(Ordering::Relaxed) - before.writes;
        let wanted = time.as_secs_f64() * self.per_second.unwrap_or(0) as f64 * 0.9;
        // A gap shows when it is over: who is off its core from before the batch until after it has none yet, so it is
        // waited for. The turn is stored after the gap.
        let turns = self.turns.load(Ordering::Relaxed);
        let end = Instant::now() + LONGEST_GAP;
        while self.turns.load(Ordering::Acquire) == turns {
            if Instant::now() > end {
                return false;
            }
        }
        self.gaps.load(Ordering::Relaxed) == before.gaps && writes as f64 + 1.0 >= wanted
    }

    /// Ends the writer's loop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The writer's loop, until [`Rate::stop`]: calls `write` with a growing number, at the rate.
    pub fn keep(&self, mut write: impl FnMut(u64)) {
        let Some(per_second) = self.per_second else { return self.keep_writing(write) };
        let step = Duration::from_nanos(1_000_000_000 / per_second);
        let mut due = Instant::now();
        let mut last = due;
        let mut n = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            if now - last > LONGEST_GAP {
                self.gaps.fetch_add(1, Ordering::Relaxed);
                // What was missed is not made up for: a burst is another rate.
                due = now;
            }
            last = now;
            self.turn();
            if now >= due {
                n += 1;
                write(n);
                self.writes.store(n, Ordering::Relaxed);
                due += step;
            }
        }
    }

    /// Counts a turn. Only the writer's thread does.
    fn turn(&self) {
        self.turns.store(self.turns.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    fn keep_writing(&self, mut write: impl FnMut(u64)) {
        let mut last = Instant::now();
        let mut rested = last;
        let (mut n, mut between) = (0, 1);
        while !self.stop.load(Ordering::Relaxed) {
            for _ in 0..between {
                n += 1;
                write(n);
            }
            self.writes.store(n, Ordering::Relaxed);
            let mut now = Instant::now();
            if now - last > LONGEST_GAP {
                self.gaps.fetch_add(1, Ordering::Relaxed);
            }
            self.turn();
            between = if now - last > LOOK { (between / 2).max(1) } else { (between * 2).min(64) };
            if now - rested > EACH {
                let end = now + REST;
                while now < end {
                    self.turn();
                    now = Instant::now();
                }
                rested = now;
            }
            last = now;
        }
    }
}

/// Pins this thread to a core, and says whether it is there.
pub fn pin(core: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: core })
}

/// How far apart the two cores are now, in nanoseconds: a line sent there and back, the median of 2000, two clock reads
/// included. It moves every time beside a writer; ratios it moves little.
pub fn round_trip() -> f64 {
    let (ping, pong) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            let mut n = 0;
            while n < u64::MAX {
                n = ping.load(Ordering::Relaxed);
                pong.store(n, Ordering::Relaxed);
            }
        });
        let mut times = Vec::new();
        for n in 1..=2000 {
            let start = Instant::now();
            ping.store(n, Ordering::Relaxed);
            let end = start + Duration::from_millis(20);
            while pong.load(Ordering::Relaxed) != n && Instant::now() < end {}
            times.push(start.elapsed().as_secs_f64() * 1e9);
        }
        ping.store(u64::MAX, Ordering::Relaxed);
        crate::paired::median(times)
    })
}

/// How much longer this core takes for plain arithmetic while the other one is at work: 1.0 where they are cores of their own;
/// more where they are two threads of one, and then every row of one or two nanoseconds depends on what the other does.
pub fn sharing() -> f64 {
    let stop = AtomicBool::new(false);
    let alone = fastest_arithmetic();
    let beside = std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            while !stop.load(Ordering::Relaxed) {
                std::hint::black_box(arithmetic());
            }
        });
        let beside = fastest_arithmetic();
        stop.store(true, Ordering::Relaxed);
        beside
    });
    beside / alone
}

/// The fastest of many: what others do on this core is not the question.
fn fastest_arithmetic() -> f64 {
    let time = |_| {
        let start = Instant::now();
        std::hint::black_box(arithmetic());
        start.elapsed().as_secs_f64()
    };
    (0..500).map(time).fold(f64::INFINITY, f64::min)
}

/// As many independent instructions as a core can take at a time, for some ten microseconds.
fn arithmetic() -> u64 {
    let mut lanes = std::hint::black_box([1u64, 2, 3, 4, 5, 6]);
    for round in 0..8192 {
        for lane in &mut lanes {
            *lane = std::hint::black_box(lane.rotate_left(1) ^ round);
        }
    }
    lanes.iter().fold(0, |sum, lane| sum ^ lane)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: Duration = Duration::from_micros(100);

    #[test]
    fn a_batch_without_its_writer_does_not_count() {
        // At rates at which no write is due within a batch, or none is asked for, the count of writes shows nothing.
        for rate in [Rate::new(1000), Rate::unthrottled()] {
            assert!(!rate.was_kept(rate.start(), BATCH), "{rate:?}");
        }
    }

    #[test]
    fn a_batch_beside_its_writer_counts() {
        for rate in [Rate::new(1000), Rate::unthrottled()] {
            std::thread::scope(|scope| {
                scope.spawn(|| rate.keep(|n| _ = std::hint::black_box(n)));
                let end = Instant::now() + Duration::from_secs(60);
                let kept = || {
                    let (before, start) = (rate.start(), Instant::now());
                    while start.elapsed() < BATCH {}
                    rate.was_kept(before, start.elapsed())
                };
                // Others may take its core now and then, but not for a minute.
                let counted = std::iter::repeat_with(kept).find(|kept| *kept || Instant::now() > end);
                rate.stop();
                assert_eq!(counted, Some(true), "{rate:?}");
            });
        }
    }
}
