//! Which leaves are free: blocks of a power of two, aligned to their size, in a bitmap.
//!
//! A block that was left waits in the queue of its size, and is used again oldest first, once [`QUARANTINE`] others
//! wait behind it or nothing else is free: a reader that still walks the old set has that long before its cells
//! change under it (it would notice by their generation). The bitmap and the queues' links lie in the table's own
//! memory; nothing is allocated. After a takeover the bitmap is made anew from the heads.

use crate::memory::{Line, WORDS};

/// Blocks of one size that wait before the oldest is used again, while there is other room.
const QUARANTINE: u32 = 16;
/// Sizes 1, 2, 4 ... 65536.
const CLASSES: usize = 17;
const NIL: u32 = u32::MAX;

/// The writer's view of the leaves' room.
pub(crate) struct Room<'m> {
    cells: usize,
    bitmap: &'m [Line],
    /// One word for each leaf; of a waiting or used block, the first leaf's counts.
    notes: Notes<'m>,
    waiting: [Queue; CLASSES],
    /// Nothing before this cell is free for a block of the class. Cells only become free in `drain`.
    from: [usize; CLASSES],
    used: usize,
}

#[derive(Clone, Copy)]
struct Queue {
    oldest: u32,
    newest: u32,
    length: u32,
}

/// The words of the notes section that belong to the leaves.
#[derive(Clone, Copy)]
pub(crate) struct Notes<'m> {
    lines: &'m [Line],
    offset: usize,
}

impl<'m> Notes<'m> {
    pub(crate) fn new(lines: &'m [Line], offset: usize) -> Self {
        Notes { lines, offset }
    }

    /// The words from this one on.
    pub(crate) fn after(&self, index: usize) -> Self {
        Notes { offset: self.offset + index, ..*self }
    }

    pub(crate) fn get(&self, index: usize) -> u64 {
        let word = self.offset + index;
        self.lines[word / WORDS].load(word % WORDS)
    }

    pub(crate) fn set(&self, index: usize, value: u64) {
        let word = self.offset + index;
        self.lines[word / WORDS].store(word % WORDS, value);
    }
}

/// The class of the smallest block with this many cells; `None` beyond the largest.
pub(crate) fn class_of(cells: usize) -> Option<usize> {
    let class = cells.max(1).next_power_of_two().trailing_zeros() as usize;
    (class < CLASSES).then_some(class)
}

impl<'m> Room<'m> {
    /// All free.
    pub(crate) fn new(cells: usize, bitmap: &'m [Line], notes: Notes<'m>) -> Self {
        for line in bitmap {
            for word in 0..WORDS {
                line.store(word, 0);
            }
        }
        let empty = Queue { oldest: NIL, newest: NIL, length: 0 };
        Room { cells, bitmap, notes, waiting: [empty; CLASSES], from: [0; CLASSES], used: 0 }
    }

    /// Cells in use, whole blocks counted; those that wait count as free.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Takes a block with room for `cells`, and notes its class at its first cell.
    pub(crate) fn take(&mut self, cells: usize) -> Option<u32> {
        let class = class_of(cells)?;
        let first = if self.waiting[class].length > QUARANTINE { self.pop(class) } else { None };
        let first = first.or_else(|| self.first_fit(class)).or_else(|| self.pop(class)).or_else(|| {
            self.drain();
            self.first_fit(class)
        })?;
        self.notes.set(first as usize, class as u64);
        self.used += 1 << class;
        Some(first)
    }

    /// Gives a block back; it waits in its queue.
    pub(crate) fn give(&mut self, first: u32) {
        let class = self.notes.get(first as usize) as usize;
        debug_assert!(class < CLASSES);
        self.used -= 1 << class;
        self.notes.set(first as usize, u64::from(NIL) << 32 | class as u64);
        let queue = self.waiting[class];
        if queue.length == 0 {
            self.waiting[class].oldest = first;
        } else {
            self.notes.set(queue.newest as usize, u64::from(first) << 32 | class as u64);
        }
        self.waiting[class].newest = first;
        self.waiting[class].length += 1;
    }

    /// Marks the block of a set that a head points at, after a takeover. `false` where the note or the place is
    /// impossible or another set has it: the table is damaged.
    pub(crate) fn claim(&mut self, first: u32, length: usize) -> bool {
        let at = first as usize;
        if at >= self.cells {
            return false;
        }
        let class = (self.notes.get(at) & 0xffff_ffff) as usize;
        if class >= CLASSES || length > 1 << class || !at.is_multiple_of(1 << class) {
            return false;
        }
        if at + (1 << class) > self.cells || !self.is_free(at, class) {
            return false;
        }
        self.mark(at, class, true);
        self.notes.set(at, class as u64);
        self.used += 1 << class;
        true
    }

    fn pop(&mut self, class: usize) -> Option<u32> {
        let queue = &mut self.waiting[class];
        if queue.length == 0 {
            return None;
        }
        let first = queue.oldest;
        queue.oldest = (self.notes.get(first as usize) >> 32) as u32;
        queue.length -= 1;
        Some(first)
    }

    /// Returns all that waits to the bitmap, where neighbours join.
    fn drain(&mut self) {
        for class in 0..CLASSES {
            while let Some(first) = self.pop(class) {
                self.mark(first as usize, class, false);
            }
        }
        self.from = [0; CLASSES];
    }

    fn first_fit(&mut self, class: usize) -> Option<u32> {
        let size = 1usize << class;
        let mut at = self.from[class];
        while at + size <= self.cells {
            let found = if class < 6 {
                let free = free_starts(!self.word(at / 64), class);
                (free != 0).then(|| at + free.trailing_zeros() as usize)
            } else {
                self.is_free(at, class).then_some(at)
            };
            self.from[class] = at;
            if let Some(found) = found {
                self.mark(found, class, true);
                return Some(found as u32);
            }
            at += size.max(64);
        }
        self.from[class] = at;
        None
    }

    fn is_free(&self, at: usize, class: usize) -> bool {
        if class < 6 {
            return self.word(at / 64) & mask(at, class) == 0;
        }
        (at / 64..(at + (1 << class)) / 64).all(|word| self.word(word) == 0)
    }

    fn mark(&mut self, at: usize, class: usize, used: bool) {
        if class < 6 {
            let word = self.word(at / 64);
            let mask = mask(at, class);
            self.set_word(at / 64, if used { word | mask } else { word & !mask });
        } else {
            for word in at / 64..(at + (1 << class)) / 64 {
                self.set_word(word, if used { !0 } else { 0 });
            }
        }
    }

    fn word(&self, index: usize) -> u64 {
        self.bitmap[index / WORDS].load(index % WORDS)
    }

    fn set_word(&self, index: usize, value: u64) {
        self.bitmap[index / WORDS].store(index % WORDS, value);
    }
}

/// The bits of a block of less than 64 cells within its word.
fn mask(at: usize, class: usize) -> u64 {
    ((1u64 << (1 << class)) - 1) << (at % 64)
}

/// Of a word's free cells, those where a whole free block of this class begins at a multiple of its size.
fn free_starts(free: u64, class: usize) -> u64 {
    const ALIGNED: [u64; 6] = [
        !0,
        0x5555_5555_5555_5555,
        0x1111_1111_1111_1111,
        0x0101_0101_0101_0101,
        0x0001_0001_0001_0001,
        0x0000_0001_0000_0001,
    ];
    let mut run = free;
    for step in 0..class {
        run &= run >> (1 << step);
    }
    run & ALIGNED[class]
}

#[cfg(all(test, not(resolver_loom)))]
mod tests {
    extern crate std;

    use std::collections::VecDeque;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    struct Space {
        bitmap: Vec<Line>,
        notes: Vec<Line>,
    }

    impl Space {
        fn new(cells: usize) -> Self {
            let lines = |words: usize| (0..words.div_ceil(WORDS)).map(|_| Line::new()).collect();
            Space { bitmap: lines(cells / 64), notes: lines(cells) }
        }

        fn room(&self, cells: usize) -> Room<'_> {
            Room::new(cells, &self.bitmap, Notes::new(&self.notes, 0))
        }
    }

    proptest! {
        /// Against the plain truth: no two blocks overlap, each is aligned, and a free table takes its whole size.
        #[test]
        fn blocks_never_overlap(sizes in proptest::collection::vec(1usize..300, 1..200)) {
            let cells = 4096;
            let space = Space::new(cells);
            let mut room = space.room(cells);
            let mut held: VecDeque<(u32, usize)> = VecDeque::new();
            for (step, size) in sizes.iter().enumerate() {
                if step % 3 == 2 && let Some((first, _)) = held.pop_front() {
                    room.give(first);
                }
                if let Some(first) = room.take(*size) {
                    let block = size.next_power_of_two();
                    prop_assert!((first as usize).is_multiple_of(block) && first as usize + block <= cells);
                    for (other, length) in &held {
                        let (a, b) = (first as usize, *other as usize);
                        prop_assert!(a + block <= b || b + length.next_power_of_two() <= a);
                    }
                    held.push_back((first, *size));
                }
                let used: usize = held.iter().map(|(_, size)| size.next_power_of_two()).sum();
                prop_assert_eq!(room.used(), used);
            }
            for (first, _) in held {
                room.give(first);
            }
            prop_assert_eq!(room.take(cells), Some(0));
        }
    }

    #[test]
    fn the_oldest_block_is_used_first_and_not_at_once() {
        let space = Space::new(1024);
        let mut room = space.room(1024);
        let mut recent: VecDeque<u32> = VecDeque::new();
        for _ in 0..200 {
            let block = room.take(4).expect("there is room");
            assert!(!recent.contains(&block), "block {block} was left less than 16 publications ago");
            room.give(block);
            recent.push_back(block);
            if recent.len() > QUARANTINE as usize {
                recent.pop_front();
            }
        }
    }

    #[test]
    fn a_damaged_claim_is_refused() {
        let space = Space::new(256);
        let mut room = space.room(256);
        let first = room.take(8).expect("there is room");
        let mut again = space.room(256);
        assert!(again.claim(first, 8));
        assert!(!again.claim(first, 8), "claimed twice");
        assert!(!again.claim(300, 1), "outside");
        space.notes[2].store(0, 99);
        assert!(!again.claim(16, 1), "an impossible class");
    }
}
