//! Waiting for a condition: the one place that sleeps.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Between two looks. Short beside every deadline of these tests, long enough not to load the machine they share.
const INTERVAL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds, and says how long that took.
///
/// # Panics
///
/// At the deadline, with `what` was waited for.
#[track_caller]
pub fn eventually(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    until(deadline, what, || if condition() { Ok(()) } else { Err("it does not") });
    start.elapsed()
}

/// Waits until `attempt` succeeds, and returns what it found.
///
/// # Panics
///
/// At the deadline, with `what` was waited for and the last attempt's error.
#[track_caller]
pub fn until<T, E: Display>(deadline: Duration, what: &str, attempt: impl FnMut() -> Result<T, E>) -> T {
    match try_until(deadline, attempt) {
        Ok(found) => found,
        Err(last) => panic!("not within {deadline:?}: {what}; at the last look: {last}"),
    }
}

/// Like [`until`], for a caller that has more to say about a failure.
///
/// # Errors
///
/// At the deadline, the last attempt's error. There is one attempt at least, and one after the deadline has passed.
pub fn try_until<T, E>(deadline: Duration, mut attempt: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let start = Instant::now();
    loop {
        let late = start.elapsed() >= deadline;
        match attempt() {
            Err(_) if !late => std::thread::sleep(INTERVAL),
            done => return done,
        }
    }
}
