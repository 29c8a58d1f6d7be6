//! A line of a set: an endpoint, or a part of the set's tables. It has no shadow, as it is only ever written while no head
//! leads to it.
//!
//! ```text
//! leaf    | stamp | word 0 | word 1 | ... | word 6 |    stamp: the set's generation; 0 while the leaf is written
//! ```
//!
//! Writer: `stamp` = 0; the words; `stamp` = the generation of the set that they belong to, which no other set of the table
//! ever has; then the head that leads there.
//!
//! Reader: the head, and with it the generation; the words; then `stamp`. If it is that generation, no word is of a later
//! set; none is of an earlier one, as the head was read first. So one comparison tells a whole leaf from one that was used
//! again. A writer that dies in the middle leaves a leaf that no head leads to.

use crate::memory::{Line, WORDS};
use crate::sync::{self, Site};

/// Words of a leaf.
pub(crate) const PAYLOAD: usize = WORDS - 1;

/// Begins to write: whoever still reads it for an earlier set will see that.
#[inline(always)]
pub(crate) fn open(line: &Line) {
    line.store(0, 0);
    sync::fence_release(Site::BeforeLeaf);
}

/// Writes one word between [`open`] and [`close`].
#[inline(always)]
pub(crate) fn set(line: &Line, index: usize, word: u64) {
    line.store(1 + index, word);
}

/// What the writer wrote since [`open`].
#[inline(always)]
pub(crate) fn get(line: &Line, index: usize) -> u64 {
    line.load(1 + index)
}

/// Ends writing. Readers come by the head that is published after it, so nothing is ordered here.
#[inline(always)]
pub(crate) fn close(line: &Line, generation: u64) {
    line.store(0, generation);
}

/// Writes a leaf whole.
#[inline(always)]
pub(crate) fn write<const N: usize>(line: &Line, generation: u64, words: &[u64; N]) {
    open(line);
    for (i, word) in words.iter().enumerate() {
        set(line, i, *word);
    }
    close(line, generation);
}

/// The first `N` words, if they are of the set of this generation, which the caller has from its head. Wait-free.
#[inline(always)]
pub(crate) fn read<const N: usize>(line: &Line, generation: u64) -> Option<[u64; N]> {
    let words = core::array::from_fn(|i| line.load(1 + i));
    sync::fence_acquire(Site::AfterWords);
    (line.load(0) == generation).then_some(words)
}

/// One word, as [`read`].
#[inline(always)]
pub(crate) fn read_word(line: &Line, index: usize, generation: u64) -> Option<u64> {
    // Within the line for any index, so that no panic is compiled in.
    let word = line.load((1 + index) % WORDS);
    sync::fence_acquire(Site::AfterWords);
    (line.load(0) == generation).then_some(word)
}
