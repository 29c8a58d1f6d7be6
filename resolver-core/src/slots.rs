//! Which slots (of services, of settings) are nobody's. Each is taken and given back in a bounded number of steps, however large
//! the table.
//!
//! They are one list, linked both ways by their notes, so that any of them can be taken out of it:
//!
//! ```text
//! note of a free slot    | 01: 2 | the one before, and 1: 31 | the one after, and 1: 31 |    0: there is none
//! ```
//!
//! Of a slot in use the note is 0, or a batch's link, whose highest bit is set.

use core::ops::Range;

use crate::room::Notes;

/// Slots that lie together: a page of 4096 bytes of lines. A line near the one that was wanted shares its entry in the TLB.
const NEAR: usize = 64;

const FREE: u64 = 1 << 62;
const NEIGHBOUR_BITS: u32 = 31;
const NEIGHBOUR: u64 = (1 << NEIGHBOUR_BITS) - 1;

/// The free slots of one kind.
pub(crate) struct Slots {
    all: Range<usize>,
    /// The one that is taken next: what was given back last, and then the lowest that was never used.
    first: Option<usize>,
}

impl Slots {
    /// None is free yet.
    pub(crate) fn none(all: Range<usize>) -> Self {
        Slots { all, first: None }
    }

    /// All that `is_free` says, the lowest first.
    pub(crate) fn among(all: Range<usize>, links: Notes<'_>, is_free: impl Fn(usize) -> bool) -> Self {
        let mut slots = Slots::none(all.clone());
        all.rev().filter(|slot| is_free(*slot)).for_each(|slot| slots.give(slot, links));
        slots
    }

    /// Takes the slot that is wanted, or one near it; where none of these is free, or none is wanted, the first.
    pub(crate) fn take(&mut self, wanted: Option<usize>, links: Notes<'_>) -> Option<usize> {
        let near = |wanted: usize| (0..NEAR).map(move |step| wanted ^ step);
        let is_free = |slot: &usize| self.all.contains(slot) && links.get(*slot) >> 62 == FREE >> 62;
        let slot = wanted.and_then(|wanted| near(wanted).find(is_free)).or(self.first)?;
        let (before, after) = neighbours(links.get(slot));
        match before {
            Some(before) => set_neighbours(before, neighbours(links.get(before)).0, after, links),
            None => self.first = after,
        }
        if let Some(after) = after {
            set_neighbours(after, before, neighbours(links.get(after)).1, links);
        }
        links.set(slot, 0);
        Some(slot)
    }

    pub(crate) fn give(&mut self, slot: usize, links: Notes<'_>) {
        if let Some(first) = self.first {
            set_neighbours(first, Some(slot), neighbours(links.get(first)).1, links);
        }
        set_neighbours(slot, None, self.first, links);
        self.first = Some(slot);
    }
}

/// The free slots before and after one, from its note.
fn neighbours(note: u64) -> (Option<usize>, Option<usize>) {
    let slot = |bits: u64| ((bits & NEIGHBOUR) as usize).checked_sub(1);
    (slot(note >> NEIGHBOUR_BITS), slot(note))
}

fn set_neighbours(slot: usize, before: Option<usize>, after: Option<usize>, links: Notes<'_>) {
    let bits = |slot: Option<usize>| slot.map_or(0, |slot| slot as u64 + 1);
    links.set(slot, FREE | bits(before) << NEIGHBOUR_BITS | bits(after));
}

const _: () = assert!((crate::handle::MAX_SLOT as u64) < NEIGHBOUR);

#[cfg(all(test, feature = "std", not(resolver_loom)))]
mod tests {
    extern crate std;

    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;
    use crate::memory::heap;

    #[test]
    fn the_last_given_back_is_taken_first_and_then_the_lowest() {
        let lines = heap(4);
        let links = Notes::new(&lines, 0);
        let mut slots = Slots::among(2..6, links, |slot| slot != 4);
        assert_eq!(slots.take(None, links), Some(2));
        slots.give(4, links);
        slots.give(2, links);
        let order: Vec<_> = core::iter::from_fn(|| slots.take(None, links)).collect();
        assert_eq!(order, [2, 4, 3, 5]);
    }

    #[test]
    fn one_that_is_wanted_is_taken_or_the_nearest_of_its_page_or_else_the_first() {
        let lines = heap(32);
        let links = Notes::new(&lines, 0);
        let mut slots = Slots::among(0..100, links, |slot| slot != 99);
        assert_eq!(slots.take(Some(70), links), Some(70));
        assert_eq!(slots.take(Some(70), links), Some(71), "of one pair of lines");
        assert_eq!(slots.take(Some(98), links), Some(98));
        // 64..100 is a page of which a part is there; five of them are gone.
        for _ in 0..32 {
            let taken = slots.take(Some(98), links).expect("there is room");
            assert!((64..99).contains(&taken), "{taken}");
        }
        assert_eq!(slots.take(Some(98), links), Some(0), "nothing is free near it");
        slots.give(80, links);
        assert_eq!(slots.take(Some(98), links), Some(80));
    }

    /// Against a set: whatever is wanted, what is taken was free, and nothing is lost.
    #[test]
    fn each_is_taken_once_in_any_order() {
        let lines = heap(40);
        let links = Notes::new(&lines, 0);
        let mut slots = Slots::among(10..300, links, |_| true);
        let mut free: BTreeSet<usize> = (10..300).collect();
        let mut random = 1u64;
        for step in 0..20_000 {
            random = crate::name::multiply(random ^ 0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9 + step);
            let wanted = 10 + (random >> 8) as usize % 290;
            if random & 1 == 0 || free.is_empty() {
                if !free.contains(&wanted) {
                    slots.give(wanted, links);
                    free.insert(wanted);
                }
            } else {
                let taken = slots.take((random & 2 == 0).then_some(wanted), links).expect("some are free");
                assert!(free.remove(&taken), "{taken} was not free");
                assert!(random & 2 != 0 || !free.contains(&wanted) || taken == wanted, "{wanted} was free");
            }
        }
        let rest: BTreeSet<usize> = core::iter::from_fn(|| slots.take(None, links)).collect();
        assert_eq!(rest, free);
    }
}
