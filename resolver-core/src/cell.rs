//! One value that readers see whole: a line, and its shadow far away.
//!
//! ```text
//! line    | seq | word 0 | word 1 | ... | word 6 |    seq: bit 0 being written, bit 1 vacant, the rest counts
//! shadow  | due | word 0 | word 1 | ... | word 6 |    due: the even seq that the line will have
//! ```
//!
//! Writer: the shadow's words and `due`; `seq` odd; the line's words; `seq` = `due`. Between publications shadow and
//! line hold the same, and `due` = `seq`.
//!
//! Reader: `seq`. Even: the line's words; odd: the shadow's, which are complete by then. Then `seq` again; if it did
//! not move, the words are one publication's. A writer that stops between any two stores leaves one of the two whole,
//! and `seq` says which, so a reader never waits for it. Why the orderings suffice is in `docs/orderings.md`, and
//! `models` checks it.

use core::hint::cold_path;

use crate::machine;
use crate::memory::{Line, WORDS};
use crate::sync::{self, Site};

/// Payload words of a cell.
pub(crate) const PAYLOAD: usize = WORDS - 1;

/// Bit of `seq`: the line is being written, the shadow holds the value.
const ODD: u64 = 1;
/// Bit of `seq`: there is no value; the payload says why.
const VACANT: u64 = 2;
/// What `seq` advances by.
const STEP: u64 = 4;
/// `seq` of a cell that was never written. Memory full of zeros would read as a value, so it is not 0.
const NEW: u64 = VACANT;

/// Rounds that a reader makes before it gives up. Under a writer that never rests a prototype needed 8 at most.
pub(crate) const ROUNDS: usize = 16;

/// Why a cell gave no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread<T> {
    /// Nothing is there; the words say why.
    Vacant(T),
    /// `seq` moved in every round.
    Busy,
}

/// Makes a new cell vacant. Only before any reader can see it.
pub(crate) fn init(line: &Line, shadow: &Line) {
    line.store(0, NEW);
    shadow.store(0, NEW);
}

/// Words of a cell, from wherever they are.
pub(crate) trait Words {
    /// One of the seven.
    fn at(&self, index: usize) -> u64;
}

impl Words for Line {
    #[inline(always)]
    fn at(&self, index: usize) -> u64 {
        self.load(1 + index)
    }
}

impl Words for [u64; PAYLOAD] {
    #[inline(always)]
    fn at(&self, index: usize) -> u64 {
        self[index]
    }
}

/// One round, from the line or, while that is being written, from the shadow: where nearly every read ends. The words are
/// what `load` takes, and come with their `seq`. For a cell that is vacant, that was overtaken, or of which `load` takes nothing,
/// [`read`] has the answer; with what was loaded in vain, so that the caller need not keep what it can find in there.
///
/// The shadow is asked for only when it is needed, and its words are taken by code of their own: the path of a cell that is
/// not being written has one predicted branch, and no register for the other one. `is_all`, a constant: the words take all
/// registers that there are, see [`machine`].
#[inline(always)]
pub(crate) fn read_once<'m, T>(
    line: &Line,
    shadow: impl FnOnce() -> Option<&'m Line>,
    load: impl Fn(&Line) -> Option<T>,
    is_all: bool,
) -> Result<(T, u64), Option<T>> {
    let seq = line.load(0);
    sync::fence_acquire(Site::AfterSeq);
    if seq & (ODD | VACANT) == 0 {
        let words = load(line).ok_or(None)?;
        return checked(line, words, seq, is_all);
    }
    cold_path();
    if seq & VACANT != 0 {
        return Err(None);
    }
    let words = shadow()
        .map(|shadow| if is_all { machine::forget(shadow) } else { shadow })
        .and_then(load)
        .ok_or(None)?;
    checked(line, words, seq, is_all)
}

/// What was loaded, if the line is still at this `seq`.
#[inline(always)]
fn checked<T>(line: &Line, words: T, seq: u64, is_all: bool) -> Result<(T, u64), Option<T>> {
    sync::fence_acquire(Site::AfterWords);
    let is_same = if is_all { machine::is_at(line, seq) } else { is_at(line, seq) };
    if is_same { Ok((words, seq)) } else { Err(Some(words)) }
}

/// The first words and the `seq` that they belong to. Wait-free: at most [`ROUNDS`] rounds of `N + 2` loads. Out of line: it is
/// a kilobyte when its rounds are unrolled.
#[inline(never)]
pub(crate) fn read<const N: usize>(line: &Line, shadow: &Line) -> Result<([u64; N], u64), Unread<[u64; N]>> {
    let mut seq = line.load(0);
    for _ in 0..ROUNDS {
        sync::fence_acquire(Site::AfterSeq);
        let words = load(if seq & ODD == 0 { line } else { shadow });
        sync::fence_acquire(Site::AfterWords);
        let again = line.load(0);
        if again == seq {
            return if seq & VACANT == 0 { Ok((words, seq)) } else { Err(Unread::Vacant(words)) };
        }
        seq = again;
    }
    Err(Unread::Busy)
}

/// Reads a cell as of an epoch, which the caller reads before and after: while a batch lands (odd), every shadow is what
/// the batch made of it; else every line is. The `seq` is that of the line, or what it will be.
#[inline(always)]
pub(crate) fn read_at_epoch<const N: usize>(line: &Line, shadow: &Line, epoch: u64) -> ([u64; N], u64) {
    let whole = if epoch & 1 == 0 { line } else { shadow };
    let seq = whole.load(0);
    (load(whole), seq)
}

/// Whether a cell is vacant at this `seq`.
#[inline(always)]
pub(crate) fn is_vacant_at(seq: u64) -> bool {
    seq & VACANT != 0
}

/// Whether the cell still holds what was read at `seq`. One load.
#[inline(always)]
pub(crate) fn is_at(line: &Line, seq: u64) -> bool {
    line.load(0) == seq
}

#[inline(always)]
fn load<const N: usize>(line: &Line) -> [u64; N] {
    core::array::from_fn(|i| line.load(1 + i))
}

#[inline(always)]
fn store<const N: usize>(line: &Line, words: &[u64; N]) {
    for (i, word) in words.iter().enumerate() {
        line.store(1 + i, *word);
    }
}

/// Writes a value that readers see from the moment `seq` turns odd. The caller is the one writer.
#[inline(always)]
pub(crate) fn publish<const N: usize>(line: &Line, shadow: &Line, words: &[u64; N], vacant: bool) {
    if is_vacant(line) != vacant {
        cold_path();
        return publish_other(line, shadow, words, vacant);
    }
    // A copy, which the stores cannot change: each word is loaded once.
    let words = &{ *words };
    // The same stores of the same values as by `stage` and `land`. A cell that stays vacant, or stays not, has the low bits that it
    // had, so `due` and each `seq` follow from what stands in their place: no register is kept for them while the words are in all
    // that there are. Nobody else stores, so to load first is no race.
    sync::fence_release(Site::BeforeShadow);
    store(shadow, words);
    shadow.store(0, shadow.load(0).wrapping_add(STEP));
    sync::store_release(line.word(0), line.load(0) | ODD, Site::MarkOdd);
    sync::fence_release(Site::BeforeLine);
    store(line, words);
    sync::store_release(line.word(0), line.load(0).wrapping_add(STEP - ODD), Site::MarkEven);
}

/// As [`publish`], where the cell was vacant and is not to be any more, or the other way about.
#[cold]
#[inline(never)]
fn publish_other<const N: usize>(line: &Line, shadow: &Line, words: &[u64; N], vacant: bool) {
    let words = &{ *words };
    let due = stage(line, shadow, words, vacant);
    land(line, words, due);
}

/// First half of a publication: the value goes to the shadow, where no reader of this cell looks yet. Gives the `seq` that
/// the line is to have.
#[inline(always)]
pub(crate) fn stage<const N: usize>(line: &Line, shadow: &Line, words: &[u64; N], vacant: bool) -> u64 {
    let due = (line.load(0) & !(ODD | VACANT)).wrapping_add(STEP) | if vacant { VACANT } else { 0 };
    sync::fence_release(Site::BeforeShadow);
    store(shadow, words);
    shadow.store(0, due);
    due
}

/// Second half: the staged value goes to the line. `words` are the shadow's.
#[inline(always)]
pub(crate) fn apply<const N: usize>(line: &Line, shadow: &Line, words: &[u64; N]) {
    land(line, words, shadow.load(0));
}

#[inline(always)]
fn land<const N: usize>(line: &Line, words: &[u64; N], due: u64) {
    sync::store_release(line.word(0), due.wrapping_sub(STEP) | ODD, Site::MarkOdd);
    sync::fence_release(Site::BeforeLine);
    store(line, words);
    sync::store_release(line.word(0), due, Site::MarkEven);
}

/// The words that the writer last staged or published.
pub(crate) fn staged<const N: usize>(shadow: &Line) -> [u64; N] {
    load(shadow)
}

/// Whether the writer last staged or published a vacant cell.
pub(crate) fn staged_vacant(shadow: &Line) -> bool {
    shadow.load(0) & VACANT != 0
}

/// Whether the cell stands, by its line, vacant. For the writer, between publications.
#[inline(always)]
pub(crate) fn is_vacant(line: &Line) -> bool {
    line.load(0) & VACANT != 0
}

/// One word of what the writer last staged or published.
#[inline(always)]
pub(crate) fn staged_word(shadow: &Line, word: usize) -> u64 {
    shadow.load(1 + word)
}

/// One word of the line, for the writer between publications.
#[inline(always)]
pub(crate) fn landed_word(line: &Line, word: usize) -> u64 {
    line.load(1 + word)
}

/// The words of the line, for the writer between publications.
pub(crate) fn landed<const N: usize>(line: &Line) -> [u64; N] {
    load(line)
}

/// Takes back what was staged and not committed.
pub(crate) fn discard<const N: usize>(line: &Line, shadow: &Line) {
    sync::fence_release(Site::BeforeShadow);
    store::<N>(shadow, &load(line));
    shadow.store(0, line.load(0));
}

/// What a new writer does to each cell that a dead one left. Returns whether there was anything to do.
///
/// `committed`: the dead writer's batch was committed (its epoch is odd), so what it had staged must land.
pub(crate) fn repair<const N: usize>(line: &Line, shadow: &Line, committed: bool) -> bool {
    let seq = line.load(0);
    sync::fence_acquire(Site::AfterSeq);
    if seq & ODD != 0 {
        // Readers already see the shadow, so it must win. `due` may not be trusted less than `seq`: they agree.
        let words: [u64; N] = load(shadow);
        let due = (seq & !ODD).wrapping_add(STEP);
        shadow.store(0, due);
        sync::fence_release(Site::BeforeLine);
        store(line, &words);
        sync::store_release(line.word(0), due, Site::MarkEven);
        return true;
    }
    if shadow.load(0) != seq && committed {
        apply::<N>(line, shadow, &load(shadow));
        return true;
    }
    let staged: [u64; N] = load(shadow);
    let same = shadow.load(0) == seq && staged == load(line);
    if !same {
        discard::<N>(line, shadow);
    }
    !same
}

#[cfg(all(test, not(resolver_loom)))]
mod tests {
    use super::*;

    /// By either code of a publication: `seq` counts on, `due` is the same, and the vacancy is the last one that was asked for.
    #[test]
    fn a_publication_says_whether_the_cell_is_vacant_whatever_it_was() {
        let (line, shadow) = (Line::new(), Line::new());
        init(&line, &shadow);
        let vacancies = [true, false, false, true, true, false];
        for (vacant, publication) in vacancies.into_iter().zip(1u64..) {
            let words = [publication; PAYLOAD];
            publish(&line, &shadow, &words, vacant);
            let seq = (publication * STEP) | if vacant { VACANT } else { 0 };
            assert_eq!((line.load(0), shadow.load(0)), (seq, seq), "publication {publication}");
            assert_eq!((landed(&line), staged(&shadow)), (words, words));
            let due = if vacant { Err(Unread::Vacant(words)) } else { Ok((words, seq)) };
            assert_eq!(read(&line, &shadow), due);
        }
    }
}
