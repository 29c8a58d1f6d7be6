//! The clock of single calls: the time-stamp counter, read after everything before it is done.
//!
//! `rdtscp` waits until all earlier instructions have executed and all earlier loads are done, so the call's work lies before
//! the second reading. That the work does not begin before the first one is not left to a fence (the intrinsic has no safe
//! form in Rust 1.95): the place that the call reads is made from the first reading, by [`after`], so no load of the call can be
//! issued before the counter is known. Where there is no such counter, it is the system's monotonic clock.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long the counter is compared with the system's clock.
const CALIBRATION: Duration = Duration::from_millis(200);
/// Differences that the step is taken from.
const STEP_PAIRS: usize = 100_000;

/// As it is printed.
pub const NAME: &str =
    if cfg!(target_arch = "x86_64") { "time-stamp counter (rdtscp)" } else { "monotonic clock" };

/// The counter now.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn ticks() -> u64 {
    let mut core = 0;
    safe_arch::read_timestamp_counter_p(&mut core)
}

/// Nanoseconds since the first call.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub fn ticks() -> u64 {
    static BEGINNING: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    BEGINNING.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// `place`, known only once `ticks` is. `zero` is 0, and the compiler must not know it.
#[inline(always)]
pub fn after(ticks: u64, zero: u64, place: usize) -> usize {
    place + (ticks & zero) as usize
}

/// What a tick is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    /// Nanoseconds of a tick.
    pub tick: f64,
    /// Ticks by which the counter moves: no difference between two readings is known better.
    pub step: u64,
}

impl Clock {
    /// Compares the counter with the system's clock, and finds its step. Takes 0.2 s.
    pub fn measure() -> Clock {
        let (start, from) = (Instant::now(), ticks());
        while start.elapsed() < CALIBRATION {
            std::hint::spin_loop();
        }
        let (time, to) = (start.elapsed(), ticks());
        let tick = time.as_secs_f64() * 1e9 / (to - from).max(1) as f64;
        let differences = (0..STEP_PAIRS).map(|_| black_box(ticks()).abs_diff(black_box(ticks())));
        Clock { tick, step: step(differences) }
    }

    /// The step in nanoseconds.
    pub fn step_ns(&self) -> f64 {
        self.step as f64 * self.tick
    }
}

/// The greatest common divisor of differences between readings; 1 where there is none.
fn step(differences: impl Iterator<Item = u64>) -> u64 {
    let divisor = |mut a: u64, mut b: u64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    differences.fold(0, divisor).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_is_what_all_differences_are_made_of() {
        assert_eq!(step([52, 0, 78, 26, 2600].into_iter()), 26);
        assert_eq!(step([51, 26].into_iter()), 1);
        assert_eq!(step(std::iter::empty()), 1);
    }

    #[test]
    fn a_tick_is_calibrated_to_the_systems_clock() {
        let clock = Clock::measure();
        let (start, from) = (Instant::now(), ticks());
        while start.elapsed() < Duration::from_millis(20) {}
        let counted = (ticks() - from) as f64 * clock.tick;
        let ratio = counted / (start.elapsed().as_secs_f64() * 1e9);
        assert!((0.5..1.5).contains(&ratio), "{clock:?}: {counted} ns is {ratio} of the system's");
    }

    #[test]
    fn a_place_made_from_a_reading_is_the_same_place() {
        assert_eq!(after(ticks(), black_box(0), 7), 7);
    }
}
