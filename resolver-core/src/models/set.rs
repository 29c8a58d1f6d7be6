//! Sets: head first, then a cell, which later sets use again; and the text that lies beside them.
//!
//! Heads and leaves of two words, by the same code as those of seven; the blocks are the real [`Room`]'s.

extern crate std;

use loom::sync::Arc;
use loom::thread;

use super::{explore, must_catch, must_fail};
use crate::cell::{self, Words};
use crate::leaf;
use crate::memory::Line;
use crate::room::{Notes, Room};
use crate::sync::{Site, fence_acquire};

const BLOCKS: usize = 2;

struct Sets {
    head: (Line, Line),
    leaves: [Line; BLOCKS],
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
            leaves: core::array::from_fn(|_| Line::new()),
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
        leaf::write(&self.leaves[first as usize], generation, &[generation, generation]);
        self.text[first as usize].store(0, generation);
        cell::publish(&self.head.0, &self.head.1, &[u64::from(first), generation], false);
        if let Some(old) = old {
            room.give(old);
        }
        first
    }

    fn head(&self) -> Option<([u64; 2], u64)> {
        let words = |line: &Line| Some([line.at(0), line.at(1)]);
        let (line, shadow) = &self.head;
        cell::read_once(line, || Some(shadow), words, true).ok().or_else(|| cell::read(line, shadow).ok())
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
    assert!(first == third && first != second, "the model shows reuse only if a leaf is used again");
    walker.join().expect("the reader does not panic");
    reader(&sets);
    assert_eq!(sets.head().map(|(words, _)| words), Some([u64::from(third), 3]));
}

/// What a walk gives is of the generation that the head named, or nothing. Without the stamp: the mutant.
fn walk(sets: &Sets, compares: bool) {
    let Some(([first, generation], _)) = sets.head() else { return };
    let line = &sets.leaves[first as usize];
    let words = if compares { leaf::read(line, generation) } else { Some([line.at(0), line.at(1)]) };
    if let Some(words) = words {
        assert_eq!(words, [generation; 2], "another set's endpoint");
    }
}

/// A pick by a table: the word that leads on and the endpoint are read one after the other.
fn word(sets: &Sets) {
    let Some(([first, generation], _)) = sets.head() else { return };
    if let Some(word) = leaf::read_word(&sets.leaves[first as usize], 1, generation) {
        assert_eq!(word, generation, "another set's table");
    }
}

#[test]
fn loom_set_walk_never_mixes_sets() {
    explore("set walked while its leaf is used again", 2, || three_sets(|sets| walk(sets, true)));
    explore("table read while its leaf is used again", 2, || three_sets(word));
}

#[test]
fn loom_set_needs_the_stamp() {
    must_fail("set walked without its stamp", 2, || three_sets(|sets| walk(sets, false)));
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

/// That a leaf is not older than its head says rests on the head's own fences, each of which is enough alone.
pub(super) const MUTANTS: &[Site] = &[Site::BeforeLeaf, Site::AfterWords];

#[test]
fn loom_set_needs_each_ordering() {
    for &site in MUTANTS {
        must_catch(site, "set walked while its leaf is used again", 2, || {
            three_sets(|sets| walk(sets, true))
        });
    }
    // Of the writer's fences before a text there are several, each enough alone.
    must_catch(Site::AfterWords, "text of a set while its place is used again", 2, || three_sets(text));
}
