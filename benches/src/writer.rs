//! A writer at a fixed rate on a core of its own, which says whether it kept the rate.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Longer than this between two writes, and the writer was off its core.
const LONGEST_GAP: Duration = Duration::from_micros(15);

/// What the writer tells of itself.
#[derive(Debug)]
pub struct Rate {
    per_second: u64,
    stop: AtomicBool,
    /// Writes so far.
    writes: AtomicU64,
    /// Gaps in which it was off its core.
    gaps: AtomicU64,
}

/// Where the writer stood when a batch began.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    writes: u64,
    gaps: u64,
}

impl Rate {
    /// For a writer of this many writes a second.
    pub fn new(per_second: u64) -> Self {
        let (writes, gaps) = (AtomicU64::new(0), AtomicU64::new(0));
        Rate { per_second, stop: AtomicBool::new(false), writes, gaps }
    }

    /// The beginning of a batch.
    pub fn start(&self) -> Before {
        Before { writes: self.writes.load(Ordering::Relaxed), gaps: self.gaps.load(Ordering::Relaxed) }
    }

    /// Whether the writer was on its core and made at least 90 % of its writes during the batch.
    pub fn was_kept(&self, before: Before, time: Duration) -> bool {
        let writes = self.writes.load(Ordering::Relaxed) - before.writes;
        let wanted = time.as_secs_f64() * self.per_second as f64 * 0.9;
        self.gaps.load(Ordering::Relaxed) == before.gaps && writes as f64 + 1.0 >= wanted
    }

    /// Ends the writer's loop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The writer's loop, until [`Rate::stop`]: calls `write` with a growing number, at the rate.
    pub fn keep(&self, mut write: impl FnMut(u64)) {
        let step = Duration::from_nanos(1_000_000_000 / self.per_second);
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
            if now >= due {
                n += 1;
                write(n);
                self.writes.store(n, Ordering::Relaxed);
                due += step;
            }
        }
    }
}

/// Pins this thread to a core, and says whether it is there.
pub fn pin(core: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: core })
}
