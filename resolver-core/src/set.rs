//! A service's set, endpoint by endpoint.

use crate::error::WalkError;
use crate::reader::Reader;
use crate::record::{Endpoint, Words, head};

/// One publication's endpoints, read as they are asked for. When another set is published meanwhile, the walk says so
/// ([`WalkError::Changed`]) and never mixes the two.
#[derive(Clone, Copy)]
pub struct Set<'m> {
    reader: Reader<'m>,
    first: usize,
    length: usize,
    generation: u64,
}

impl<'m> Set<'m> {
    #[inline(always)]
    pub(crate) fn new(reader: Reader<'m>, words: &Words) -> Self {
        Set {
            reader,
            first: head::first(words) as usize,
            length: head::length(words),
            generation: head::generation(words),
        }
    }

    /// Endpoints in the set; at least 1.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Never true of a set that a table gave: an empty service is an error of its own.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The publication that the set is from.
    #[inline(always)]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The endpoint at a place below [`Set::len`].
    #[inline(always)]
    pub(crate) fn at(&self, place: usize) -> Result<Endpoint, WalkError> {
        self.reader.endpoint(self.first + place, self.generation).map(Endpoint::from_words)
    }

    /// The endpoint at a place, the primary at 0; `None` beyond the last.
    ///
    /// # Errors
    ///
    /// [`WalkError`] where the set is no longer the published one, and its cells were used again.
    #[inline(always)]
    pub fn get(&self, place: usize) -> Option<Result<Endpoint, WalkError>> {
        if place >= self.length {
            return None;
        }
        Some(self.at(place))
    }
}

impl<'m> IntoIterator for Set<'m> {
    type Item = Result<Endpoint, WalkError>;
    type IntoIter = Walk<'m>;

    fn into_iter(self) -> Walk<'m> {
        Walk { set: self, place: 0 }
    }
}

/// The walk over a [`Set`]; ends after the first error.
pub struct Walk<'m> {
    set: Set<'m>,
    place: usize,
}

impl Iterator for Walk<'_> {
    type Item = Result<Endpoint, WalkError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let item = self.set.get(self.place)?;
        self.place = if item.is_ok() { self.place + 1 } else { usize::MAX };
        Some(item)
    }
}
