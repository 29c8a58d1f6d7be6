//! A handle that keeps its last answer.

use core::hint::cold_path;

use crate::cell::{self, PAYLOAD};
use crate::error::ResolveError;
use crate::handle::Handle;
use crate::reader::Reader;
use crate::record::Resolved;

/// A handle with a private copy of its last answer: one load and one comparison while nothing changed. For a handle
/// that one thread asks all the time; over many handles, [`Reader::resolve`] touches less memory.
#[derive(Clone, Copy, Debug)]
pub struct CachedHandle {
    handle: Handle,
    /// `seq` of the copy; odd where there is none, which no `seq` of a copy is.
    seq: u64,
    words: [u64; PAYLOAD],
}

impl CachedHandle {
    pub(crate) fn new(handle: Handle) -> Self {
        CachedHandle { handle, seq: 1, words: [0; PAYLOAD] }
    }

    /// The handle.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// As [`Reader::resolve`] with the handle. On [`ResolveError::Busy`] the copy stays: see [`CachedHandle::last`].
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`].
    #[inline(always)]
    pub fn resolve(&mut self, reader: &Reader<'_>) -> Result<Resolved, ResolveError> {
        if let Some(line) = reader.head_line(self.handle)
            && cell::is_at(line, self.seq)
            && self.seq & 1 == 0
        {
            return Ok(Resolved::from_words(self.words));
        }
        cold_path();
        let (words, seq) = reader.head::<PAYLOAD>(self.handle)?;
        (self.words, self.seq) = (words, seq);
        Ok(Resolved::from_words(words))
    }

    /// The last answer there was, however old.
    pub fn last(&self) -> Option<Resolved> {
        (self.words != [0; PAYLOAD]).then(|| Resolved::from_words(self.words))
    }
}
