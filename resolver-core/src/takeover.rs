//! What a new writer does before its first publication to a table that another left.
//!
//! The caller holds the table's lock, so the old writer is dead: whatever it was doing, it stopped between two stores.

use crate::cell;
use crate::incident;
use crate::layout::{count, epoch};
use crate::record::{Words, head};
use crate::slots::Slots;
use crate::state::State;
use crate::sync::{self, Site};
use crate::table::View;
use crate::writer::Writer;

/// Why a table cannot be taken over; a new one must supersede it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The first service whose set lies where none can.
    pub slot: usize,
}

impl core::fmt::Display for Damaged {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the set of service slot {} lies where none can: the table is damaged", self.slot)
    }
}

impl core::error::Error for Damaged {}

impl<'m> Writer<'m> {
    /// Repairs what a dead writer left and goes on where it stopped. Handles, generations and readers stay good.
    pub(crate) fn take_over(view: View<'m>) -> Result<Self, Damaged> {
        let repaired = repair_cells(&view);
        incident::repair(view.incidents);
        let mut writer = Writer::new(view);
        writer.counts().store(count::REPAIRED, writer.counts().load(count::REPAIRED).wrapping_add(repaired));
        writer.claim_sets()?;
        writer.drop_half_done();
        Ok(writer)
    }

    fn claim_sets(&mut self) -> Result<(), Damaged> {
        (0..self.view.plan.cells()).for_each(|slot| self.links.set(slot, 0));
        for slot in 0..self.view.plan.services {
            let words: Words = cell::landed(&self.view.cells[slot]);
            let length = head::length(&words);
            if length > 0 && !self.room.claim(head::first(&words), length) {
                return Err(Damaged { slot });
            }
        }
        Ok(())
    }

    /// A name and its cell are two words of memory: an insertion or removal may have reached only one of them.
    fn drop_half_done(&mut self) {
        let view = self.view;
        view.directory.retain(|handle| self.known_words(handle).is_some());
        let named = || (0..view.plan.services).chain(view.plan.first_setting()..view.plan.cells());
        for slot in named() {
            let words: Words = cell::landed(&view.cells[slot]);
            // NEVER and in no bucket: its insertion was cut short. The links serve as marks here.
            if head::incarnation(&words) != 0 && head::standing_of(&words).0 != State::Removed {
                self.links.set(slot, 1);
            }
        }
        view.directory.for_each(|_, handle| {
            self.links.set(handle.slot(), 0);
            true
        });
        for slot in named() {
            if self.links.get(slot) == 1 {
                self.links.set(slot, 0);
                let words: Words = cell::landed(&view.cells[slot]);
                self.drop_slot(slot, head::incarnation(&words));
            }
        }
        let is_free = |slot| Writer::is_free(&view, slot);
        self.services = Slots::among(0..view.plan.services, self.links, is_free);
        self.settings = Slots::among(view.plan.first_setting()..view.plan.cells(), self.links, is_free);
    }
}

/// Lets a committed batch land, takes an uncommitted one back, and finishes every cell that was half written.
pub(crate) fn repair_cells(view: &View<'_>) -> u64 {
    let line = &view.header[epoch::LINE];
    let before = line.load(epoch::EPOCH);
    sync::fence_acquire(Site::AfterEpoch);
    let committed = before & 1 != 0;
    let mut repaired = 0;
    for (slot, (line, shadow)) in view.cells.iter().zip(view.shadows).enumerate() {
        let touched = cell::repair::<{ cell::PAYLOAD }>(line, shadow, committed);
        if touched && committed {
            view.changes().set(slot, before.wrapping_add(1));
        }
        repaired += u64::from(touched);
    }
    if committed {
        sync::store_release(line.word(epoch::EPOCH), before.wrapping_add(1), Site::EpochEven);
    }
    repaired
}
