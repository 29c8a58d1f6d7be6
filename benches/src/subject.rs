//! Something that is measured: a loop that reads it, and a write by another thread.

use crate::paired::Case;

/// What a row is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A limit, no protocol.
    Floor,
    /// This project's.
    Ours,
    /// Another library's, and the row of ours that does the same work.
    Peer {
        /// The name of our row.
        against: &'static str,
    },
}

/// A write to this place, of a value made from this number.
pub type Write<'a> = Box<dyn FnMut(usize, u64) + Send + 'a>;

/// Something that is measured.
pub struct Subject<'a> {
    /// The loop.
    pub case: Case<'a>,
    /// What it is to the others.
    pub role: Role,
    /// Nothing where no writer is shown.
    pub write: Option<Write<'a>>,
}

impl<'a> Subject<'a> {
    /// What is only read.
    pub fn new(name: &'static str, role: Role, read: impl FnMut(u64) -> u64 + 'a) -> Self {
        Subject { case: Case::new(name, read), role, write: None }
    }

    /// With a writer.
    #[must_use]
    pub fn written(mut self, write: impl FnMut(usize, u64) + Send + 'a) -> Self {
        self.write = Some(Box::new(write));
        self
    }
}
