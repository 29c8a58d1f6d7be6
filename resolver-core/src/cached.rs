//! A handle that keeps its last answer.

use core::hint::cold_path;

use crate::cell::{self, PAYLOAD};
use crate::error::ResolveError;
use crate::handle::Handle;
use crate::memory::Line;
use crate::reader::{Reader, known_again};
use crate::record::Resolved;
use crate::table::Pairs;

/// A handle with a private copy of its last answer: one load and one comparison while nothing changed. For a handle
/// that one thread asks again and again.
///
/// It is asked with a reader of the table (and mapping) that it came from. With another one it goes on answering from its own, and is
/// [`Gone`](ResolveError::Gone) once that changes.
// So aligned, with the words first, the copy is loaded 16 bytes at a time where the compiler wants to.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct CachedHandle<'m> {
    words: [u64; PAYLOAD],
    /// The cell's, of the copy; [`NONE`] where there is none.
    seq: u64,
    /// Of the cell; of another one that never has [`NONE`], where the table has no such cell.
    line: &'m Line,
    handle: Handle,
}

/// No `seq` of a copy: it is vacant.
const NONE: u64 = u64::MAX;

impl<'m> CachedHandle<'m> {
    pub(crate) fn new(handle: Handle, line: &'m Line) -> Self {
        CachedHandle { words: [0; PAYLOAD], seq: NONE, line, handle }
    }

    /// The handle.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// As [`Reader::resolve`] with the handle. On an error the copy stays: see [`CachedHandle::last`].
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`].
    #[inline(always)]
    pub fn resolve(&mut self, reader: &Reader<'_>) -> Result<Resolved, ResolveError> {
        if !cell::is_at(self.line, self.seq) {
            cold_path();
            if let Some(error) = self.refresh(reader.heads()) {
                return Err(error);
            }
        }
        Ok(Resolved::new(self.words, self.seq))
    }

    /// Gives the error, if it is one; a value so small that it comes back in a register.
    #[cold]
    #[inline(never)]
    fn refresh(&mut self, heads: Pairs<'_>) -> Option<ResolveError> {
        // By another table's reader the words and `seq` would be of another cell than the one that is asked afterwards.
        if !heads.at(self.handle.slot()).is_some_and(|(line, _)| core::ptr::eq(line, self.line)) {
            return Some(ResolveError::Gone);
        }
        // An odd `seq` is as good: the words are the shadow's, which stand for as long as it does.
        known_again(heads, self.handle, &mut self.words, &mut self.seq)
    }

    /// The last answer there was, however old.
    pub fn last(&self) -> Option<Resolved> {
        (self.words != [0; PAYLOAD]).then(|| Resolved::new(self.words, self.seq))
    }
}

impl core::fmt::Debug for CachedHandle<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CachedHandle").field("handle", &self.handle).field("last", &self.last()).finish()
    }
}
