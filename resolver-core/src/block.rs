//! Writing a set into its block of leaves: endpoints, index, tables, text.

use crate::alias;
use crate::leaf;
use crate::maglev::{self, FREE, Places};
use crate::memory::{Line, WORDS};
use crate::publication::{PLACES, Publication, Shape};
use crate::record::Endpoint;
use crate::room::Notes;
use crate::smooth::Order;
use crate::table::View;

/// A block that no head leads to yet.
pub(crate) struct Block<'m> {
    leaves: &'m [Line],
    text: &'m [Line],
    /// The writer's own words beside the leaves; the first of a block is the room's.
    scratch: Notes<'m>,
    generation: u64,
}

impl<'m> Block<'m> {
    pub(crate) fn new(view: &View<'m>, first: u32, generation: u64) -> Self {
        let first = first as usize;
        Block {
            leaves: &view.leaves[first..],
            text: &view.text[first * view.plan.text_lines..],
            scratch: Notes::new(view.notes, view.plan.cells() + first + 1),
            generation,
        }
    }

    pub(crate) fn write(&self, publication: &Publication<'_>, shape: &Shape, order: Option<&Order>) {
        let (active, reserves) = publication.set.split_at(shape.active);
        alias::sweep(active, |place, threshold, alias| {
            self.write_endpoint(shape, place, &active[place], threshold, alias);
        });
        for (place, endpoint) in (shape.active..).zip(reserves) {
            self.write_endpoint(shape, place, endpoint, alias::ALWAYS, 0);
        }
        if shape.is_indexed() {
            leaf::write(&self.leaves[shape.index()], self.generation, &shape.encode());
        }
        if shape.maglev > 0 {
            let mut table = self.table(shape.first_key(), shape.maglev);
            maglev::fill(active, shape.maglev * PLACES, self.scratch, &mut table);
            table.close(self.generation);
        }
        if let Some(order) = order.filter(|_| shape.steps > 0) {
            let mut table = self.table(shape.first_step(), shape.steps.div_ceil(PLACES));
            order.write(active, self.scratch, |step, place| table.set(step, place));
            table.close(self.generation);
        }
        self.write_text(publication.text);
    }

    fn write_endpoint(&self, shape: &Shape, place: usize, endpoint: &Endpoint, threshold: u32, alias: u16) {
        let words = endpoint.leaf_words(threshold, alias);
        leaf::write(&self.leaves[shape.endpoint(place)], self.generation, &words);
    }

    fn table(&self, first: usize, leaves: usize) -> Table<'m> {
        let table = Table { leaves: &self.leaves[first..first + leaves] };
        for line in table.leaves {
            leaf::open(line);
            (0..leaf::PAYLOAD).for_each(|index| leaf::set(line, index, u64::MAX));
        }
        table
    }

    /// The text's length in bytes, then its bytes. Readers trust it only while the head stays as it is. Comes after the
    /// leaves: their fences stand between the head that last led here and these stores.
    fn write_text(&self, text: &[u8]) {
        let Some(first) = self.text.first() else { return };
        first.store(0, text.len() as u64);
        for (word, bytes) in text.chunks(8).enumerate() {
            self.text[(word + 1) / WORDS].store((word + 1) % WORDS, crate::name::pack(bytes, 0)[0]);
        }
    }
}

/// Leaves that hold places of 16 bits, open for writing.
struct Table<'m> {
    leaves: &'m [Line],
}

impl Table<'_> {
    fn close(&self, generation: u64) {
        self.leaves.iter().for_each(|line| leaf::close(line, generation));
    }

    fn word(&self, place: usize) -> (&Line, usize, u32) {
        (&self.leaves[place / PLACES], place % PLACES / 4, place as u32 % 4 * 16)
    }
}

impl Places for Table<'_> {
    fn get(&self, place: usize) -> u16 {
        let (line, index, shift) = self.word(place);
        (leaf::get(line, index) >> shift) as u16
    }

    fn set(&mut self, place: usize, endpoint: u16) {
        let (line, index, shift) = self.word(place);
        let others = leaf::get(line, index) & !(u64::from(FREE) << shift);
        leaf::set(line, index, others | u64::from(endpoint) << shift);
    }
}

/// The endpoint at a place of a table, from the word that holds it.
#[inline(always)]
pub(crate) fn place_in(word: u64, place: usize) -> usize {
    (word >> (place % 4 * 16)) as usize & usize::from(u16::MAX)
}

/// Leaves for a set and its text; `None` where there is a text and no room for any.
pub(crate) fn leaves_for(shape: &Shape, text: usize, text_lines: usize) -> Option<usize> {
    if text == 0 {
        return Some(shape.leaves());
    }
    if text_lines == 0 || shape.all == 0 {
        return None;
    }
    let words = 1 + text.div_ceil(8);
    Some(shape.leaves().max(words.div_ceil(text_lines * WORDS)))
}
