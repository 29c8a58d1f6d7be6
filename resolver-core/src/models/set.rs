//! Sets: head first, then a cell, which later sets use again; and the text that lies beside them.
//!
//! Cells of two words, by the same code as those of seven; the blocks are the real [`Room`]'s. What a walk compares
//! stands here as [`walk`] has it, in the form of `Reader::endpoint`.

extern crate std;

use loom::sync::Arc;
use loom::thread;

use super::{explore, must_catch, must_fail};
use crate::cell::{self, Unread};
use crate::memory::Line;
use crate::room::{Notes, Room};
use crate::sync::{Site, fence_acquire};

const BLOCKS: usize = 2;

struct Sets {
    head: (Line, Line),
    cells: [(Line, Line); BLOCKS],
    text: [Line; BLOCKS],
    bitmap: [Line; 1],
    notes: [Line; 1],
}

fn cell() -> (Line, Line) {
    let (line, shadow) = (Line::new(), Line::new());
    cell::init(&line, &shadow);
    (line, shadow)
}

impl Sets {
    fn new() -> Arc<Self> {
        Arc::new(Sets {
            head: cell(),
            cells: core::array::from_fn(|_| cell()),
            text: core::array::from_fn(|_| Line::new()),
            bitmap: [Line::new()],
            notes: [Line::new()],
        })
    }

    /// Room for two blocks: the third set lies where the first one lay.
    fn room(&self) -> Room<'_> {
        let room = Room::new(64, &self.bitmap, Notes::new(&self.notes, 0));
        self.bitmap[0].store(0, !0 << BLOCKS);
        room
    }

    /// The steps of `Batch::publish` and `commit` for a set of one endpoint, whose id is the generation.
    fn publish(&self, room: &mut Room<'_>, old: Option<u32>, generation: u64) -> u32 {
        let first = room.take(1).expect("one block is free");
        let (line, shadow) = &self.cells[first as usize];
        cell::publish(line, shadow, &[generation, generation], false);
        self.text[first as usize].store(0, generation);
        cell::publish(&self.head.0, &self.head.1, &[u64::from(first), generation], false);
        if let Some(old) = old {
            room.give(old);
        }
        first
    }

    fn head(&self) -> Option<([u64; 2], u64)> {
        cell::read_line(&self.head.0).or_else(|| cell::read_counted(&self.head.0, &self.head.1).ok())
    }
}

/// Publishes three sets while `reader` runs; the third must take the first one's cell.
fn three_sets(reader: impl Fn(&Sets) + Send + Clone + 'static) {
    let sets = Sets::new();
    let mut room = sets.room();
    let first = sets.publish(&mut room, None, 1);
    let walker = {
        let (sets, reader) = (sets.clone(), reader.clone());
        thread::spawn(move || reader(&sets))
    };
    let second = sets.publish(&mut room, Some(first), 2);
    let third = sets.publish(&mut room, Some(second), 3);
    assert!(first == third && first != second, "the model shows reuse only if a cell is used again");
    walker.join().expect("the reader does not panic");
    reader(&sets);
    assert_eq!(sets.head().map(|(words, _)| words), Some([u64::from(third), 3]));
}

/// What a walk gives is of the generation that the head named, or nothing.
fn walk(sets: &Sets, compares: bool) {
    let Some(([first, generation], _)) = sets.head() else { return };
    let (line, shadow) = &sets.cells[first as usize];
    match cell::read::<2>(line, shadow) {
        Ok([id, of]) => {
            if of == generation || !compares {
                assert_eq!(id, generation, "another set's endpoint");
            } else {
                assert!(of > generation, "a cell from before its head");
            }
        }
        Err(Unread::Busy) => {}
        Err(Unread::Vacant(_)) => std::panic!("a head that leads to a cell that was never written"),
    }
}

#[test]
fn loom_set_walk_never_mixes_sets() {
    explore("set walked while its cell is used again", 2, || three_sets(|sets| walk(sets, true)));
}

#[test]
fn loom_set_needs_the_generation() {
    must_fail("set walked without its generation", 2, || three_sets(|sets| walk(sets, false)));
}

/// As `Reader::text`: the words are the head's only if the head did not move.
fn text(sets: &Sets) {
    let Some(([first, generation], seq)) = sets.head() else { return };
    let text = sets.text[first as usize].load(0);
    fence_acquire(Site::AfterWords);
    if cell::is_at(&sets.head.0, seq) {
        assert_eq!(text, generation, "another set's text");
    }
}

#[test]
fn loom_set_text_is_of_its_head() {
    explore("text of a set while its place is used again", 2, || three_sets(text));
}

pub(super) const MUTANTS: &[Site] = &[Site::MarkOdd, Site::MarkEven, Site::AfterSeq];

#[test]
fn loom_set_needs_each_ordering() {
    for &site in MUTANTS {
        must_catch(site, "set walked while its cell is used again", 2, || {
            three_sets(|sets| walk(sets, true))
        });
    }
    // Of the writer's fences before a text there are two, each enough alone.
    must_catch(Site::AfterWords, "text of a set while its place is used again", 2, || three_sets(text));
}
