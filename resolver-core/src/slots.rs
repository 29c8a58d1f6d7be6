//! Which slots (of services, of settings) are nobody's: those that were given back, newest first, then those that were never
//! used. Each in one step, however large the table.

use core::ops::Range;

use crate::room::Notes;

/// The slots of one kind. Those that were given back are linked by their notes, which nothing else uses meanwhile.
pub(crate) struct Slots {
    /// The one that was given back last, and from there by the links.
    given: Option<u32>,
    /// Slots that were never used.
    unused: Range<usize>,
}

impl Slots {
    pub(crate) fn new(all: Range<usize>) -> Self {
        Slots { given: None, unused: all }
    }

    pub(crate) fn take(&mut self, links: Notes<'_>) -> Option<usize> {
        let Some(slot) = self.given else { return self.unused.next() };
        let slot = slot as usize;
        self.given = (links.get(slot) as u32).checked_sub(1);
        links.set(slot, 0);
        Some(slot)
    }

    pub(crate) fn give(&mut self, slot: usize, links: Notes<'_>) {
        links.set(slot, self.given.map_or(0, |next| u64::from(next) + 1));
        self.given = Some(slot as u32);
    }

    /// Slots of a table that another writer used: all that `is_free` says, the lowest first.
    pub(crate) fn among(all: Range<usize>, links: Notes<'_>, is_free: impl Fn(usize) -> bool) -> Self {
        let mut slots = Slots::new(all.end..all.end);
        all.rev().filter(|slot| is_free(*slot)).for_each(|slot| slots.give(slot, links));
        slots
    }
}
