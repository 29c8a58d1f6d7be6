//! The protocol without the table around it, to count instructions and compare with peers of the same shape; and headers
//! that are wrong and well signed. Not for use.

use core::hint::cold_path;

use crate::cell::{self, PAYLOAD, Unread, Words};
use crate::cells::offset;
use crate::handle::LINE_BYTES;
use crate::machine;
use crate::memory::Line;

/// Gives the first line of a table what its counts ask for: magic number, version, total and checksum. So would somebody
/// who can write to it and means harm; without it a checksum ends nearly every damaged header at once.
pub fn seal(header: &Line) {
    crate::table::seal(header);
}

/// Cells by bare index: a line and a shadow each, no names, no incarnation.
#[derive(Clone, Copy)]
pub struct Cells<'m> {
    lines: &'m [Line],
    shadows: &'m [Line],
    /// Where the lines begin, once more: what leads to a line is not kept for the way back.
    begin: &'m Line,
}

/// Why a cell gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellError {
    /// No such index.
    Range,
    /// Nothing was published.
    Vacant,
    /// The writer overtook the read 16 times.
    Busy,
}

impl<'m> Cells<'m> {
    /// Half of the memory for lines, half for shadows.
    ///
    /// # Panics
    ///
    /// Without any memory.
    pub fn new(memory: &'m [Line]) -> Self {
        let (lines, shadows) = memory.split_at(memory.len() / 2);
        for (line, shadow) in lines.iter().zip(shadows) {
            cell::init(line, shadow);
        }
        Cells { lines, shadows, begin: &memory[0] }
    }

    /// The first words of a cell.
    ///
    /// # Errors
    ///
    /// [`CellError`].
    #[inline(always)]
    pub fn read<const N: usize>(&self, index: usize) -> Result<[u64; N], CellError> {
        let Some(line) = self.lines.get(index) else {
            cold_path();
            return Err(CellError::Range);
        };
        let is_all = N == PAYLOAD;
        let line = if is_all { machine::forget(line) } else { line };
        let take = |line: &Line| Some(core::array::from_fn(|index| line.at(index)));
        if let Ok((words, _)) = cell::read_once(line, || self.shadow(self.index(line)), take, is_all) {
            return Ok(words);
        }
        cold_path();
        let mut words = [0; N];
        match self.read_again(self.index(line), &mut words) {
            None => Ok(words),
            Some(error) => Err(error),
        }
    }

    /// The index that led to a line.
    #[inline(always)]
    fn index(&self, line: &Line) -> usize {
        offset(self.begin, line) / LINE_BYTES as usize
    }

    #[inline(always)]
    fn shadow(&self, index: usize) -> Option<&'m Line> {
        self.shadows.get(index)
    }

    #[cold]
    #[inline(never)]
    fn read_again<const N: usize>(&self, index: usize, into: &mut [u64; N]) -> Option<CellError> {
        let Some((line, shadow)) = self.lines.get(index).zip(self.shadow(index)) else {
            return Some(CellError::Range);
        };
        match cell::read(line, shadow) {
            Ok((words, _)) => {
                *into = words;
                None
            }
            Err(Unread::Vacant(_)) => Some(CellError::Vacant),
            Err(Unread::Busy) => Some(CellError::Busy),
        }
    }

    /// A cell to publish to.
    pub fn cell(&self, index: usize) -> Option<Cell<'m>> {
        Some(Cell { line: self.lines.get(index)?, shadow: self.shadows.get(index)? })
    }
}

/// A cell, for its one writer.
#[derive(Clone, Copy)]
pub struct Cell<'m> {
    line: &'m Line,
    shadow: &'m Line,
}

impl Cell<'_> {
    /// Publishes a value.
    #[inline(always)]
    pub fn publish(self, words: &[u64; PAYLOAD]) {
        cell::publish(self.line, self.shadow, words, false);
    }
}
