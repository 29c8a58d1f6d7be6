//! A handle that keeps its last answer.

use core::hint::cold_path;

use crate::cell::PAYLOAD;
use crate::error::ResolveError;
use crate::handle::Handle;
use crate::reader::Reader;
use crate::record::Resolved;

/// A handle with a private copy of its last answer: one load and one comparison while nothing was published. What it loads is
/// the table's epoch, the same word for all handles, so many copies take little cache; and where another service was
/// published meanwhile, it asks for its own line once.
///
/// With a reader of another table it is [`Gone`](ResolveError::Gone), as any handle is.
// So aligned, with the words first, the copy is loaded 16 bytes at a time where the compiler wants to.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct CachedHandle {
    words: [u64; PAYLOAD],
    /// That the copy is of; [`NO_EPOCH`] where it is of none. Of another table it is another: see [`Table::create`](crate::Table).
    epoch: u64,
    /// The cell's, of the copy.
    seq: u64,
    handle: Handle,
}

/// An epoch that a copy can never be of: it is odd, so a batch is landing.
const NO_EPOCH: u64 = u64::MAX;

impl CachedHandle {
    pub(crate) const fn new(handle: Handle) -> Self {
        CachedHandle { epoch: NO_EPOCH, words: [0; PAYLOAD], seq: 0, handle }
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
        if reader.epoch() != self.epoch {
            cold_path();
            // A copy, so that the caller's own can lie in registers.
            if let Some(error) = self.refresh(&{ *reader }) {
                return Err(error);
            }
        }
        Ok(Resolved::new(self.words, self.seq))
    }

    /// Gives the error, if it is one; a value so small that it comes back in a register.
    #[cold]
    #[inline(never)]
    fn refresh(&mut self, reader: &Reader<'_>) -> Option<ResolveError> {
        // Before the cell: a publication in between has another epoch, so the copy is of this one or asked for again. The cell's
        // own fences stand between this and the second look at its `seq`, so that one is not older than the epoch.
        let epoch = reader.epoch();
        match reader.resolve(self.handle) {
            Ok(resolved) => (self.words, self.seq) = (resolved.to_words(), resolved.seq()),
            Err(error) => return Some(error),
        }
        // While a batch is landing, cells change and the epoch does not: the next call asks again.
        self.epoch = if epoch & 1 == 0 { epoch } else { NO_EPOCH };
        None
    }

    /// The last answer there was, however old.
    pub fn last(&self) -> Option<Resolved> {
        (self.words != [0; PAYLOAD]).then(|| Resolved::new(self.words, self.seq))
    }
}

impl core::fmt::Debug for CachedHandle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CachedHandle").field("handle", &self.handle).field("last", &self.last()).finish()
    }
}
