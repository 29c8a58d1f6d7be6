//! A handle that keeps its last answer.

use core::hint::cold_path;

use crate::cell::{self, PAYLOAD, Unread};
use crate::error::ResolveError;
use crate::handle::Handle;
use crate::memory::Line;
use crate::reader::why;
use crate::record::{Resolved, head};

/// A handle with a private copy of its last answer: one load and one comparison while nothing changed. For a handle
/// that one thread asks all the time; over many handles, [`Reader::resolve`](crate::Reader::resolve) touches less
/// memory. It belongs to the table that it came from: a `seq` means nothing in another.
// So aligned, the copy is loaded 16 bytes at a time where the compiler wants to.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct CachedHandle<'m> {
    line: &'m Line,
    shadow: &'m Line,
    /// `seq` of the copy; [`NONE`] where there is none.
    seq: u64,
    words: [u64; PAYLOAD],
    handle: Handle,
    /// As the table gave it out; no table gives out a slot that it does not have.
    meant: Handle,
}

/// No `seq` of a copy: it is vacant.
const NONE: u64 = u64::MAX;

impl<'m> CachedHandle<'m> {
    pub(crate) fn new(handle: Handle, cell: Option<(&'m Line, &'m Line)>, other: &'m Line) -> Self {
        let meant = if cell.is_some() { handle } else { Handle::new(0, 0) };
        let (line, shadow) = cell.unwrap_or((other, other));
        CachedHandle { line, shadow, seq: NONE, words: [0; PAYLOAD], handle, meant }
    }

    /// The handle.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// As [`Reader::resolve`](crate::Reader::resolve) with the handle. On an error the copy stays: see
    /// [`CachedHandle::last`].
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`](crate::Reader::resolve).
    #[inline(always)]
    pub fn resolve(&mut self) -> Result<Resolved, ResolveError> {
        if cell::is_at(self.line, self.seq) {
            return Ok(Resolved::new(self.words, self.seq));
        }
        cold_path();
        self.refresh()?;
        Ok(Resolved::new(self.words, self.seq))
    }

    #[cold]
    #[inline(never)]
    fn refresh(&mut self) -> Result<(), ResolveError> {
        if !self.meant.is_given_out() {
            return Err(ResolveError::Gone);
        }
        let (words, seq) = cell::read(self.line, self.shadow).map_err(|unread| match unread {
            Unread::Busy => ResolveError::Busy,
            Unread::Vacant(words) => why(words[head::INCARNATION], self.meant),
        })?;
        if !self.meant.means(words[head::INCARNATION]) {
            return Err(ResolveError::Gone);
        }
        // An odd `seq` is as good: the words are the shadow's, which stand for as long as it does.
        (self.words, self.seq) = (words, seq);
        Ok(())
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
