//! A service's set, endpoint by endpoint.

use crate::error::WalkError;
use crate::leaf;
use crate::memory::Line;
use crate::publication::PLACES;
use crate::record::{Endpoint, Place, head};

/// One publication's endpoints, read as they are asked for. When another set is published meanwhile, the walk says so
/// ([`WalkError::Changed`]) at the latest when its leaves are used again, and never mixes the two.
#[derive(Clone, Copy)]
pub struct Set<'m> {
    leaves: &'m [Line],
    place: SetPlace,
}

/// Where a set lies, as its head says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetPlace {
    first: usize,
    length: usize,
    generation: u64,
    indexed: bool,
}

impl SetPlace {
    pub(crate) const NONE: SetPlace = SetPlace { first: 0, length: 0, generation: 0, indexed: false };
}

impl From<Place> for SetPlace {
    #[inline(always)]
    fn from(head: Place) -> Self {
        let (first, length) = head::place(head.word);
        let (first, length) = (first as usize, usize::from(length));
        SetPlace { first, length, generation: head.generation, indexed: head::is_indexed(head.word) }
    }
}

/// Where a table of a set lies, in leaves of the whole table, and how long it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Places {
    pub(crate) first: usize,
    pub(crate) length: usize,
}

/// What a set has beside its active endpoints.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Index {
    /// Endpoints with the reserves.
    pub(crate) all: usize,
    /// The key table; its length in leaves.
    pub(crate) keys: Places,
    /// The smooth order; its length in steps.
    pub(crate) steps: Places,
}

impl<'m> Set<'m> {
    #[inline(always)]
    pub(crate) fn new(leaves: &'m [Line], place: SetPlace) -> Self {
        Set { leaves, place }
    }

    /// Active endpoints; at least 1.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.place.length
    }

    /// Never true of a set that a table gave: an empty service is an error of its own.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.place.length == 0
    }

    /// The publication that the set is from.
    #[inline(always)]
    pub fn generation(&self) -> u64 {
        self.place.generation
    }

    /// Active endpoints and reserves.
    ///
    /// # Errors
    ///
    /// As [`Set::get`].
    pub fn all(&self) -> Result<usize, WalkError> {
        self.index().map(|index| index.all)
    }

    /// The endpoint at a place below [`Set::len`].
    #[inline(always)]
    pub(crate) fn at(&self, place: usize) -> Result<Endpoint, WalkError> {
        let leaf = self.leaves.get(self.place.first.wrapping_add(place)).ok_or(WalkError::Changed)?;
        let words = leaf::read(leaf, self.place.generation).ok_or(WalkError::Changed)?;
        Ok(Endpoint::from_leaf(words, self.place.generation))
    }

    /// The endpoint at a place, the primary at 0; `None` beyond the last active one.
    ///
    /// # Errors
    ///
    /// [`WalkError`] where the set is no longer the published one, and its leaves were used again.
    #[inline(always)]
    pub fn get(&self, place: usize) -> Option<Result<Endpoint, WalkError>> {
        if place >= self.place.length {
            return None;
        }
        Some(self.at(place))
    }

    /// A reserve, the first one at 0; `None` beyond the last.
    ///
    /// # Errors
    ///
    /// As [`Set::get`].
    pub fn reserve(&self, place: usize) -> Option<Result<Endpoint, WalkError>> {
        match self.all() {
            // The index lies between them.
            Ok(all) if place < all.saturating_sub(self.place.length) => {
                Some(self.at(self.place.length + 1 + place))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// A word of a leaf of this set's tables.
    #[inline(always)]
    pub(crate) fn word(&self, leaf: usize, index: usize) -> Result<u64, WalkError> {
        let leaf = self.leaves.get(leaf).ok_or(WalkError::Changed)?;
        leaf::read_word(leaf, index, self.place.generation).ok_or(WalkError::Changed)
    }

    /// What the set has beside its active endpoints.
    pub(crate) fn index(&self) -> Result<Index, WalkError> {
        if !self.place.indexed {
            return Ok(Index { all: self.place.length, ..Index::default() });
        }
        let leaf =
            self.leaves.get(self.place.first.wrapping_add(self.place.length)).ok_or(WalkError::Changed)?;
        let [all, keys, steps] = leaf::read(leaf, self.place.generation).ok_or(WalkError::Changed)?;
        let places = |word: u64| Places {
            first: self.place.first.wrapping_add(word as u32 as usize),
            length: (word >> 32) as usize,
        };
        Ok(Index { all: all as usize, keys: places(keys), steps: places(steps) })
    }

    pub(crate) fn first(&self) -> usize {
        self.place.first
    }

    /// Leaves of the set, its tables included.
    pub(crate) fn leaves(&self) -> usize {
        let Some(index) = self.index().ok().filter(|_| self.place.indexed) else { return self.place.length };
        let end =
            |places: Places, length: usize| places.first.wrapping_sub(self.place.first).wrapping_add(length);
        let keys = end(index.keys, index.keys.length);
        keys.max(end(index.steps, index.steps.length.div_ceil(PLACES))).max(index.all)
    }
}

impl<'m> IntoIterator for Set<'m> {
    type Item = Result<Endpoint, WalkError>;
    type IntoIter = Walk<'m>;

    fn into_iter(self) -> Walk<'m> {
        Walk { set: self, place: 0 }
    }
}

/// The walk over the active endpoints of a [`Set`]; ends after the first error.
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
