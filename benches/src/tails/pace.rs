//! Writers that are verified: at a rate, or without a limit.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::writer::{Before, Rate};

/// Longer than this between two looks at the clock, and the writer was off its core.
const LONGEST_GAP: Duration = Duration::from_micros(15);
/// It rests, so that a reader that is starved shows as a number and not as a hang.
const REST: Duration = Duration::from_micros(10);
/// From one rest to the next.
const PERIOD: Duration = Duration::from_micros(500);
/// Writes between two looks at the clock.
const WRITES_A_LOOK: u64 = 8;

/// A writer without a limit: as fast as it can, with a rest of 10 us in each 500.
#[derive(Debug)]
pub struct Flood {
    beginning: Instant,
    stop: AtomicBool,
    writes: AtomicU64,
    gaps: AtomicU64,
    /// When it last looked at the clock, in nanoseconds from the beginning: a gap is counted only when it is over, so who
    /// is away now shows by this.
    seen: AtomicU64,
}

impl Default for Flood {
    fn default() -> Self {
        Flood::new()
    }
}

impl Flood {
    /// Not started.
    pub fn new() -> Self {
        let [writes, gaps, seen] = [const { AtomicU64::new(0) }; 3];
        Flood { beginning: Instant::now(), stop: AtomicBool::new(false), writes, gaps, seen }
    }

    /// Ends the writer's loop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Writes so far.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    fn see(&self, now: Instant) {
        self.seen.store((now - self.beginning).as_nanos() as u64, Ordering::Release);
    }

    /// Whether it was on its core since then, and is.
    fn was_there(&self, gaps: u64) -> bool {
        let seen = self.beginning + Duration::from_nanos(self.seen.load(Ordering::Acquire));
        seen.elapsed() <= LONGEST_GAP && self.gaps.load(Ordering::Relaxed) == gaps
    }

    /// The writer's loop, until [`Flood::stop`]: calls `write` with a growing number.
    pub fn keep(&self, mut write: impl FnMut(u64)) {
        let mut n = 0;
        let mut period = Instant::now();
        let mut last = period;
        while !self.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            if now - last > LONGEST_GAP {
                self.gaps.fetch_add(1, Ordering::Relaxed);
            }
            last = now;
            self.see(now);
            if now - period < REST {
                continue;
            }
            if now - period > PERIOD {
                period = now;
                continue;
            }
            for _ in 0..WRITES_A_LOOK {
                n += 1;
                write(n);
            }
            self.writes.store(n, Ordering::Relaxed);
        }
    }
}

/// What is written beside a slice of calls.
#[derive(Clone, Copy, Debug)]
pub enum Pace<'a> {
    /// Nothing.
    Idle,
    /// At a rate.
    Rate(&'a Rate),
    /// Without a limit.
    Flood(&'a Flood),
}

/// Where the writer stood when a slice began.
#[derive(Clone, Copy, Debug)]
pub enum Mark {
    /// Nobody writes.
    Idle,
    /// As [`Rate::start`].
    Rate(Before),
    /// Writes and gaps.
    Flood(u64, u64),
}

impl Pace<'_> {
    /// The beginning of a slice.
    pub fn mark(&self) -> Mark {
        match self {
            Pace::Idle => Mark::Idle,
            Pace::Rate(rate) => Mark::Rate(rate.start()),
            Pace::Flood(flood) => Mark::Flood(flood.writes(), flood.gaps.load(Ordering::Relaxed)),
        }
    }

    /// Whether the writer did what it is for, all through the slice: the slice counts only then.
    pub fn was_kept(&self, mark: Mark, time: Duration) -> bool {
        match (self, mark) {
            (Pace::Idle, _) => true,
            (Pace::Rate(rate), Mark::Rate(before)) => rate.was_kept(before, time),
            (Pace::Flood(flood), Mark::Flood(writes, gaps)) => {
                // A short slice may lie in a rest.
                flood.was_there(gaps) && (flood.writes() > writes || time < 2 * REST)
            }
            (Pace::Rate(_) | Pace::Flood(_), _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_in_which_the_flood_stood_still_or_was_away_does_not_count() {
        let flood = Flood::new();
        let pace = Pace::Flood(&flood);
        let mark = pace.mark();
        // What it sees lies ahead, so that no delay of this test counts as its own.
        let ahead = || flood.see(Instant::now() + Duration::from_secs(60));
        let kept = |mark| pace.was_kept(mark, Duration::from_micros(100));
        ahead();
        assert!(!kept(mark), "it wrote nothing");
        flood.writes.store(50, Ordering::Relaxed);
        assert!(kept(mark));
        assert!(!kept(Mark::Idle), "a mark of another pace");
        flood.gaps.store(1, Ordering::Relaxed);
        assert!(!kept(mark), "it was off its core");
        let mark = pace.mark();
        flood.writes.store(90, Ordering::Relaxed);
        assert!(kept(mark));
        flood.see(flood.beginning);
        let end = Instant::now() + LONGEST_GAP;
        while Instant::now() < end {}
        assert!(!kept(mark), "it went off its core and did not come back yet");
    }

    #[test]
    fn a_flood_writes_until_it_is_stopped() {
        let flood = Flood::new();
        let (last, calls) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                flood.keep(|n| {
                    last.store(n, Ordering::Relaxed);
                    calls.fetch_add(1, Ordering::Relaxed);
                });
            });
            let end = Instant::now() + Duration::from_secs(20);
            while flood.writes() < 1000 && Instant::now() < end {
                std::thread::yield_now();
            }
            flood.stop();
        });
        assert!(flood.writes() >= 1000, "{} writes in 20 s", flood.writes());
        assert_eq!((flood.writes(), flood.writes()), (last.into_inner(), calls.into_inner()));
    }
}
