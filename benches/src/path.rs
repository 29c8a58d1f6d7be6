//! In which order services are asked for.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether a place is known before the last answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Places are known ahead: calls overlap.
    Throughput,
    /// The next place is made from the last answer: calls cannot overlap.
    Dependent,
}

impl Form {
    /// As it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Form::Throughput => "throughput",
            Form::Dependent => "dependent",
        }
    }
}

/// The order in which a loop asks for the services of a table.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Of a call to the next.
    pub form: Form,
    mask: usize,
}

/// Steps so far, of all batches.
static WALKED: AtomicU64 = AtomicU64::new(0);

/// Odd, so that all places come by; in lines it leaves the page, so that nothing is fetched ahead.
const STRIDE: usize = 389;

impl Path {
    /// Over this many services.
    ///
    /// # Panics
    ///
    /// If it is no power of two: a division in the loop would be part of the figure.
    pub fn new(form: Form, services: usize) -> Self {
        assert!(services.is_power_of_two(), "{services} services: a power of two, please");
        Path { form, mask: services - 1 }
    }

    /// The steps of so many calls. Each batch goes on where the last one was left, whoever made it: a large table would
    /// else be read in one corner only, which the cache has.
    pub fn steps(calls: u64) -> Range<u64> {
        let begin = WALKED.fetch_add(calls, Ordering::Relaxed);
        begin..begin + calls
    }

    /// Where the `n`th write goes.
    #[inline(always)]
    pub fn place(self, n: u64) -> usize {
        (n as usize).wrapping_mul(STRIDE) & self.mask
    }
}

/// Makes so many calls of a closure, each with its place, in the order of a [`Path`], and folds what they give. Hand over
/// what the closure needs by `move` where it can be copied: it is then the loop's own, as a router's would be.
///
/// A macro, as each of the two loops needs a closure of its own: one that both call is called, and not inlined, where it is
/// large, and that is no row's to pay.
macro_rules! run {
    ($path:expr, $calls:expr, $read:expr) => {
        match $path.form {
            $crate::path::Form::Throughput => $crate::path::overlapping($path, $calls, $read),
            $crate::path::Form::Dependent => $crate::path::dependent($path, $calls, $read),
        }
    };
}

pub(crate) use run;

/// What the closure has, as the loop's own: a large one is handed over in memory that is the caller's.
#[inline(always)]
fn own<T>(value: T) -> T {
    value
}

// Each loop is a function of its own, so that neither takes registers from the other.

#[inline(never)]
pub(crate) fn overlapping(path: Path, calls: u64, read: impl FnMut(usize) -> u64) -> u64 {
    let (mask, mut read) = (path.mask, own(read));
    Path::steps(calls).fold(0, |sum, i| sum ^ read((i as usize).wrapping_mul(STRIDE) & mask))
}

#[inline(never)]
pub(crate) fn dependent(path: Path, calls: u64, read: impl FnMut(usize) -> u64) -> u64 {
    let (mask, mut read) = (path.mask, own(read));
    Path::steps(calls).fold(0, |last, i| read((last as usize ^ (i as usize).wrapping_mul(STRIDE)) & mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test: the steps are all batches', so two tests would walk into each other.
    #[test]
    fn two_batches_of_half_a_table_are_all_of_it_and_answers_lead_the_dependent_walk() {
        let mut asked = vec![0; 1 << 12];
        for _ in 0..2 {
            run!(Path::new(Form::Throughput, 1 << 12), 1 << 11, |at| {
                asked[at] += 1;
                0
            });
        }
        assert!(asked.iter().all(|times| *times == 1));
        let mut places = Vec::new();
        run!(Path::new(Form::Dependent, 16), 64, |at| {
            places.push(at);
            places.len() as u64 % 3
        });
        // Without the answers the places would be 16 in turn.
        assert!(places.chunks(16).any(|turn| turn.iter().any(|at| turn[1..].contains(at) && *at == turn[0])));
    }
}
