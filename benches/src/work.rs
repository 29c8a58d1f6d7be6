//! The work that all do alike: a record of seven words, read whole and folded.
//!
//! Every answer is consumed whole, by the exclusive or of its words: the compiler drops no relaxed load, but a caller that
//! uses nothing would still be cheaper than a real one.

use resolver_core::{Address, Endpoint, Resolved};

/// A record as peers hold it: as many words as ours.
pub type Record = [u64; 7];

/// A line of its own, as our cells have: peers are not to share lines by chance.
#[repr(align(64))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Aligned<T>(
    /// What is in the line.
    pub T,
);

/// The exclusive or of all words, as a tree.
#[inline(always)]
pub fn fold<const N: usize>(words: [u64; N]) -> u64 {
    let mut words = words;
    let mut n = N;
    while n > 1 {
        let half = n.div_ceil(2);
        for i in half..n {
            words[i - half] ^= words[i];
        }
        n = half;
    }
    words[0]
}

/// Consumes an answer; an error counts as 0.
#[inline(always)]
pub fn consume<E>(answer: Result<Resolved, E>) -> u64 {
    answer.map_or(0, |resolved| fold(resolved.to_words()))
}

/// Consumes an address; an error counts as 0.
#[inline(always)]
pub fn consume_address<E>(answer: Result<Address, E>) -> u64 {
    answer.map_or(0, |address| fold(address.to_words()))
}

/// Consumes a picked endpoint; an error counts as 0.
#[inline(always)]
pub fn consume_endpoint<E>(answer: Result<Endpoint, E>) -> u64 {
    answer.map_or(0, |endpoint| fold(endpoint.to_words()))
}

/// What a service's record says at first: no two alike, and in no order that a cache could foresee, so that "dependent"
/// walks go where no prefetcher was before them.
#[inline(always)]
pub const fn mix(n: u64) -> u64 {
    // The finalizer of splitmix64.
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
