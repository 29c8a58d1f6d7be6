//! Several publications as one: all shadows, the epoch odd (which commits them), all lines, the epoch even.
//!
//! A writer that dies before the epoch is odd has published nothing; one that dies after it has published everything,
//! and the next writer lets the rest land ([`takeover`](crate::takeover)). A set's own cells are written before that:
//! nothing points at them yet.

use crate::alias;
use crate::cell;
use crate::error::PublishError;
use crate::handle::Handle;
use crate::layout::{MAX_SET, count, epoch};
use crate::memory::WORDS;
use crate::record::{Endpoint, Head, Words, head};
use crate::state::State;
use crate::sync::{self, Site};
use crate::writer::{Standing, Writer};

/// Publications that become visible together; see [`Writer::batch`].
pub struct Batch<'w, 'm> {
    writer: &'w mut Writer<'m>,
}

/// In a link: no further slot. A link of 0 is a slot that is not staged.
pub(crate) const NONE: u32 = u32::MAX;
/// Set in every link of a staged slot.
const STAGED: u64 = 1 << 63;

impl<'w, 'm> Batch<'w, 'm> {
    pub(crate) fn new(writer: &'w mut Writer<'m>) -> Self {
        let mut batch = Batch { writer };
        // What a batch that was leaked (`mem::forget`) had staged is not this one's, and must not land with it.
        batch.take_back();
        batch
    }

    /// Adds a set; see [`Writer::publish`].
    ///
    /// # Errors
    ///
    /// [`PublishError`]; the batch is as it was before the call, and may be committed without this set.
    pub fn publish(
        &mut self,
        handle: Handle,
        set: &[Endpoint],
        standing: Standing,
        text: &[u8],
    ) -> Result<u64, PublishError> {
        let refused = |writer: &Writer<'_>, error| {
            writer.advance(count::REFUSED);
            Err(error)
        };
        if self.writer.head_words(handle).is_none() {
            return Err(PublishError::Gone);
        }
        if set.len() > MAX_SET {
            return refused(self.writer, PublishError::Long);
        }
        let needed = match cells_for(set.len(), text.len(), self.writer.view.plan.text_lines) {
            Some(needed) => needed,
            None => return refused(self.writer, PublishError::Text),
        };
        let mut first = 0;
        if needed > 0 {
            let used = self.writer.room.used();
            let Some(block) = self.writer.room.take(needed) else {
                return refused(self.writer, PublishError::Full { needed, used });
            };
            first = block;
        }
        let generation = self.writer.advance(count::GENERATION);
        self.write_set(first, set, generation);
        self.write_text(first, set.len(), text);
        let head = Head {
            primary: set.first().copied(),
            state: if set.is_empty() { State::Empty } else { standing.state.of_a_set() },
            reason: standing.reason,
            incarnation: handle.incarnation(),
            generation,
            first,
            length: set.len() as u16,
            source: standing.source,
        };
        self.stage(handle.slot(), &head.encode(), set.is_empty());
        Ok(generation)
    }

    /// Adds a new standing of a service; see [`Writer::mark`].
    ///
    /// # Errors
    ///
    /// [`PublishError::Gone`].
    pub fn mark(&mut self, handle: Handle, standing: Standing) -> Result<(), PublishError> {
        let words = self.writer.head_words(handle).ok_or(PublishError::Gone)?;
        let vacant = cell::staged_vacant(&self.writer.view.shadows[handle.slot()]);
        let state = if vacant { head::standing_of(&words).0 } else { standing.state.of_a_set() };
        self.stage(handle.slot(), &head::with_standing(words, Standing { state, ..standing }), vacant);
        Ok(())
    }

    /// Makes everything that was added visible, as of one moment.
    pub fn commit(mut self) {
        if self.writer.staged == NONE {
            return;
        }
        let view = self.writer.view;
        self.each(|batch, slot, next| {
            // The block that nothing will point at any more waits in the link until the batch has landed.
            let (old, length) = head::place(cell::landed_word(&view.cells[slot], head::PLACE));
            let new = head::place(cell::staged_word(&view.shadows[slot], head::PLACE));
            let left = length > 0 && (new.1 == 0 || new.0 != old);
            let left = if left { old } else { NONE >> 1 };
            batch.writer.links.set(slot, STAGED | u64::from(left) << 32 | u64::from(next));
        });
        let line = self.writer.epoch_line();
        let before = line.load(epoch::EPOCH);
        sync::store_release(line.word(epoch::EPOCH), before.wrapping_add(1), Site::EpochOdd);
        self.each(|_, slot, _| {
            let words: Words = cell::staged(&view.shadows[slot]);
            cell::apply(&view.cells[slot], &view.shadows[slot], &words);
        });
        sync::store_release(line.word(epoch::EPOCH), before.wrapping_add(2), Site::EpochEven);
        self.each(|batch, slot, _| {
            let left = (batch.writer.links.get(slot) >> 32) as u32 & NONE >> 1;
            if left != NONE >> 1 {
                batch.writer.room.give(left);
            }
            batch.writer.links.set(slot, 0);
        });
        self.writer.staged = NONE;
        self.writer.advance(count::PUBLICATIONS);
    }

    /// Stages a head. A slot that this batch staged before forgets what it had staged.
    pub(crate) fn stage(&mut self, slot: usize, words: &Words, vacant: bool) {
        let (line, shadow) = (&self.writer.view.cells[slot], &self.writer.view.shadows[slot]);
        if self.writer.links.get(slot) & STAGED != 0 {
            self.forget(slot, Some(words));
        } else {
            self.writer.links.set(slot, STAGED | u64::from(self.writer.staged));
            self.writer.staged = slot as u32;
        }
        cell::stage(line, shadow, words, vacant);
    }

    /// Gives back the block that was staged and never published, unless the words that follow it keep it.
    fn forget(&mut self, slot: usize, next: Option<&Words>) {
        let staged: Words = cell::staged(&self.writer.view.shadows[slot]);
        let landed: Words = cell::landed(&self.writer.view.cells[slot]);
        let keeps = |words: &Words| head::length(words) > 0 && head::first(words) == head::first(&staged);
        if head::length(&staged) > 0 && !keeps(&landed) && !next.is_some_and(keeps) {
            self.writer.room.give(head::first(&staged));
        }
    }

    fn each(&mut self, mut visit: impl FnMut(&mut Self, usize, u32)) {
        let mut at = self.writer.staged;
        while at != NONE {
            let next = self.writer.links.get(at as usize) as u32;
            visit(self, at as usize, next);
            at = next;
        }
    }

    fn write_set(&self, first: u32, set: &[Endpoint], generation: u64) {
        let view = &self.writer.view;
        let start = view.plan.first_endpoint() + first as usize;
        alias::sweep(set, |place, threshold, alias| {
            let words = set[place].words_in(generation, threshold, alias);
            cell::publish(&view.cells[start + place], &view.shadows[start + place], &words, false);
        });
    }

    /// The text's length in bytes, then its bytes. Readers trust it only while the head stays as it is. Comes after the
    /// set: the fences of its cells stand between the head that last led here and these stores.
    fn write_text(&self, first: u32, length: usize, text: &[u8]) {
        let view = &self.writer.view;
        if length == 0 || view.plan.text_lines == 0 {
            return;
        }
        let lines = &view.text[first as usize * view.plan.text_lines..];
        lines[0].store(0, text.len() as u64);
        for (word, bytes) in text.chunks(8).enumerate() {
            lines[(word + 1) / WORDS].store((word + 1) % WORDS, crate::name::pack(bytes, 0)[0]);
        }
    }
}

impl Drop for Batch<'_, '_> {
    fn drop(&mut self) {
        self.take_back();
    }
}

impl Batch<'_, '_> {
    /// Leaves the table as it was before anything was staged.
    fn take_back(&mut self) {
        self.each(|batch, slot, _| {
            batch.forget(slot, None);
            cell::discard::<{ cell::PAYLOAD }>(
                &batch.writer.view.cells[slot],
                &batch.writer.view.shadows[slot],
            );
            batch.writer.links.set(slot, 0);
        });
        self.writer.staged = NONE;
    }
}

/// Endpoint cells that a set and its text take; `None` where there is a text and no room for any.
fn cells_for(endpoints: usize, text: usize, text_lines: usize) -> Option<usize> {
    if text == 0 {
        return Some(endpoints);
    }
    if text_lines == 0 || endpoints == 0 {
        return None;
    }
    let words = 1 + text.div_ceil(8);
    Some(endpoints.max(words.div_ceil(text_lines * WORDS)))
}
