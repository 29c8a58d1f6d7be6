//! Several publications as one: all shadows, the epoch odd (which commits them), all lines, the epoch even.
//!
//! A writer that dies before the epoch is odd has published nothing; one that dies after it has published everything,
//! and the next writer lets the rest land ([`takeover`](crate::takeover)). A set's leaves are written before that: nothing
//! leads to them yet.

use crate::block::{self, Block};
use crate::cell;
use crate::error::PublishError;
use crate::handle::Handle;
use crate::layout::{MAX_SOURCES, count, epoch};
use crate::publication::{Publication, Shape};
use crate::record::{Endpoint, Head, Words, head};
use crate::setting;
use crate::smooth::Order;
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
    /// As [`Batch::publish_as`].
    pub fn publish(
        &mut self,
        handle: Handle,
        set: &[Endpoint],
        standing: Standing,
        text: &[u8],
    ) -> Result<u64, PublishError> {
        self.publish_as(handle, &Publication { text, ..Publication::new(set, standing) })
    }

    /// Adds a set with its reserves and tables; see [`Writer::publish_as`].
    ///
    /// # Errors
    ///
    /// [`PublishError`]; the batch is as it was before the call, and may be committed without this set.
    pub fn publish_as(&mut self, handle: Handle, publication: &Publication<'_>) -> Result<u64, PublishError> {
        if self.writer.head_words(handle).is_none() {
            return Err(PublishError::Gone);
        }
        let (set, standing) = (publication.set, publication.standing);
        let written = self.write_set(publication);
        let (first, shape, generation) = written.inspect_err(|_| {
            self.writer.advance(count::REFUSED);
        })?;
        let head = Head {
            primary: set.first().copied(),
            state: if set.is_empty() { State::Empty } else { standing.state.of_a_set() },
            reason: standing.reason,
            incarnation: handle.incarnation(),
            generation,
            first,
            length: shape.active as u16,
            source: standing.source,
            indexed: shape.is_indexed(),
        };
        self.stage(handle.slot(), &head.encode(), set.is_empty());
        Ok(generation)
    }

    /// Writes the set to a block of its own, to which nothing leads yet.
    fn write_set(&mut self, publication: &Publication<'_>) -> Result<(u32, Shape, u64), PublishError> {
        check_source(publication.standing)?;
        let Some(active) = publication.set.get(..publication.active) else {
            return Err(PublishError::Active { active: publication.active, all: publication.set.len() });
        };
        let order = if publication.smooth { Some(Order::of(active)?) } else { None };
        let shape = Shape::of(publication, order.as_ref().map_or(0, |order| order.steps(active)))?;
        let text_lines = self.writer.view.plan.text_lines;
        let needed =
            block::leaves_for(&shape, publication.text.len(), text_lines).ok_or(PublishError::Text)?;
        if needed == 0 {
            return Ok((0, shape, self.writer.advance(count::GENERATION)));
        }
        let used = self.writer.room.used();
        let first = self.writer.room.take(needed).ok_or(PublishError::Full { needed, used })?;
        let generation = self.writer.advance(count::GENERATION);
        Block::new(&self.writer.view, first, generation).write(publication, &shape, order.as_ref());
        Ok((first, shape, generation))
    }

    /// Adds a new standing of a service or a setting; see [`Writer::mark`].
    ///
    /// # Errors
    ///
    /// [`PublishError::Gone`] and [`PublishError::Source`].
    pub fn mark(&mut self, handle: Handle, standing: Standing) -> Result<(), PublishError> {
        check_source(standing)?;
        let words = self.writer.known_words(handle).ok_or(PublishError::Gone)?;
        let vacant = cell::staged_vacant(&self.writer.view.shadows[handle.slot()]);
        let state = if vacant { head::standing_of(&words).0 } else { standing.state.of_a_set() };
        let standing = Standing { state, ..standing };
        let is_head = handle.slot() < self.writer.view.plan.services;
        let with_standing = if is_head { head::with_standing } else { setting::with_standing };
        self.stage(handle.slot(), &with_standing(words, standing), vacant);
        Ok(())
    }

    pub(crate) fn writer(&self) -> &Writer<'m> {
        self.writer
    }

    /// Makes everything that was added visible, as of one moment.
    pub fn commit(mut self) {
        if self.writer.staged == NONE {
            return;
        }
        let view = self.writer.view;
        self.each(|batch, slot, next| {
            // The block that nothing will lead to any more waits in the link until the batch has landed.
            let (old, length) = head::place(cell::landed_word(&view.cells[slot], head::PLACE));
            let new = head::place(cell::staged_word(&view.shadows[slot], head::PLACE));
            let left = slot < view.plan.services && length > 0 && (new.1 == 0 || new.0 != old);
            let left = if left { old } else { NONE >> 1 };
            batch.writer.links.set(slot, STAGED | u64::from(left) << 32 | u64::from(next));
        });
        let line = self.writer.epoch_line();
        let before = line.load(epoch::EPOCH);
        sync::store_release(line.word(epoch::EPOCH), before.wrapping_add(1), Site::EpochOdd);
        self.each(|_, slot, _| {
            let words: Words = cell::staged(&view.shadows[slot]);
            view.changes().set(slot, before.wrapping_add(2));
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
        let is_head = slot < self.writer.view.plan.services;
        if is_head && head::length(&staged) > 0 && !keeps(&landed) && !next.is_some_and(keeps) {
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

pub(crate) fn check_source(standing: Standing) -> Result<(), PublishError> {
    if usize::from(standing.source) < MAX_SOURCES {
        Ok(())
    } else {
        Err(PublishError::Source(standing.source))
    }
}
