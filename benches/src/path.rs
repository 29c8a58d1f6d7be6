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

/// The shortest list.
const LIST: usize = 256;

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

    /// What is to be asked for, service by service, in the order in which it is. A list of few services is repeated, so that its
    /// end is seldom come to.
    pub fn list<T: Clone>(services: &[T]) -> Vec<T> {
        let path = Path::new(Form::Throughput, services.len());
        (0..services.len().max(LIST)).map(|n| services[path.place(n as u64)].clone()).collect()
    }

    /// Where the `n`th write goes.
    #[inline(always)]
    pub fn place(self, n: u64) -> usize {
        (n as usize).wrapping_mul(STRIDE) & self.mask
    }
}

/// Makes so many calls of a closure, each with one of a list that is in the order of a [`Path`] ([`Path::list`]), and folds
/// what they give. Hand over what the closure needs by `move` where it can be copied: it is then the loop's own, as a
/// router's would be.
///
/// A macro, as each of the two loops needs a closure of its own: one that both call is called, and not inlined, where it is
/// large, and that is no row's to pay.
macro_rules! run {
    ($path:expr, $calls:expr, $list:expr, $read:expr) => {
        match $path.form {
            $crate::path::Form::Throughput => $crate::path::overlapping($calls, $list, $read),
            $crate::path::Form::Dependent => $crate::path::dependent($calls, $list, $read),
        }
    };
}

pub(crate) use run;

/// A row's loop over a list of its own: rows that share one find it in the cache, and the fewer they are the less.
macro_rules! reads {
    ($path:expr, $list:expr, $read:expr) => {{
        let list = $list.to_vec();
        move |n| $crate::path::run!($path, n, &list, $read)
    }};
}

pub(crate) use reads;

/// What the closure has, as the loop's own: a large one is handed over in memory that is the caller's.
#[inline(always)]
fn own<T>(value: T) -> T {
    value
}

// Each loop is a function of its own, so that neither takes registers from the other. Where the calls overlap the list is walked
// from end to end: the loop itself takes a pointer and its end, and leaves the registers to what is measured.

#[inline(never)]
pub(crate) fn overlapping<T: Copy>(calls: u64, list: &[T], read: impl FnMut(T) -> u64) -> u64 {
    let mut read = own(read);
    let steps = Path::steps(calls);
    let (mut begin, mut left, mut sum) = (steps.start as usize & (list.len() - 1), calls as usize, 0);
    while left > 0 {
        let part = &list[begin..list.len().min(begin + left)];
        for item in part {
            sum ^= read(*item);
        }
        left -= part.len();
        begin = 0;
    }
    sum
}

#[inline(never)]
pub(crate) fn dependent<T: Copy>(calls: u64, list: &[T], read: impl FnMut(T) -> u64) -> u64 {
    let (mask, mut read) = (list.len() - 1, own(read));
    let steps = Path::steps(calls);
    steps.fold(0, |last, i| read(list[(last as usize ^ (i as usize).wrapping_mul(STRIDE)) & mask]))
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test: the steps are all batches', so two tests would walk into each other.
    #[test]
    fn two_batches_of_half_a_table_are_all_of_it_and_answers_lead_the_dependent_walk() {
        let mut asked = vec![0; 1 << 12];
        let all = Path::list(&Vec::from_iter(0..1 << 12));
        for _ in 0..2 {
            run!(Path::new(Form::Throughput, 1 << 12), 1 << 11, &all, |at: usize| {
                asked[at] += 1;
                0
            });
        }
        assert!(asked.iter().all(|times| *times == 1));
        assert_ne!(all[1] + 1, all[2], "the next one is not the next in memory");
        let mut places = Vec::new();
        let few = Path::list(&Vec::from_iter(0..16));
        run!(Path::new(Form::Dependent, 16), 64, &few, |at: usize| {
            places.push(at);
            places.len() as u64 % 3
        });
        // Without the answers the places would be 16 in turn.
        assert!(places.chunks(16).any(|turn| turn.iter().any(|at| turn[1..].contains(at) && *at == turn[0])));
    }
}
