//! What is published under a name, and how it lies in its block of leaves.
//!
//! ```text
//! active endpoints | index | reserves | key table | smooth order
//! ```
//!
//! The index is there only where something follows it, and the head says so. Its words: endpoints in all 32; first leaf
//! (from the block's) and number of leaves of the key table, 32 each; first leaf and number of steps of the smooth order.

use crate::error::PublishError;
use crate::layout::MAX_SET;
use crate::leaf;
use crate::maglev;
use crate::record::Endpoint;
use crate::writer::Standing;

/// Places of a table, of 16 bits each, in a leaf.
pub(crate) const PLACES: usize = leaf::PAYLOAD * 4;
/// The fewest places of a key table for each active endpoint: with 100, loads differ by about a percent.
pub(crate) const KEY_PLACES: usize = 100;

/// A set with everything that goes with it; see [`Writer::publish_as`](crate::Writer::publish_as).
///
/// ```
/// use resolver_core::{Endpoint, Publication, Standing};
///
/// let set = ["10.0.0.1:9000".parse()?, "10.0.0.2:9000".parse()?, "10.9.0.1:9000".parse()?].map(Endpoint::new);
/// // The third one is the backup; orders go by account, so a key table is wanted.
/// let publication = Publication { active: 2, maglev: 1000, ..Publication::new(&set, Standing::FRESH) };
/// # let _ = publication;
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// In order of preference; the first is the primary. Empty: the service has no instance.
    pub set: &'a [Endpoint],
    /// How many of them, from the first on, are there to be picked. The rest are reserves: [`Failover`](crate::pick::Failover)
    /// comes to them after all active ones, and nothing else does. At least 1 unless the set is empty.
    pub active: usize,
    /// How the service stands.
    pub standing: Standing,
    /// For tools; see [`Reader::text`](crate::Reader::text).
    pub text: &'a [u8],
    /// Makes the order for [`Smooth`](crate::pick::Smooth): a leaf for each 28 of its steps, at most 64 steps for each active
    /// endpoint (at least 1024 in all).
    pub smooth: bool,
    /// Places of the table for [`Maglev`](crate::pick::Maglev), a leaf for each 28; 0 for none. At least 100 for each active
    /// endpoint, and at most 1,000,000. Keys keep their endpoints over changes of the set only while this number stays the
    /// same, so choose it for the largest set to come.
    pub maglev: u32,
}

/// The most places of a key table.
const MOST_PLACES: u32 = 1_000_000;

impl<'a> Publication<'a> {
    /// All endpoints active, without text or tables.
    pub const fn new(set: &'a [Endpoint], standing: Standing) -> Self {
        Publication { set, active: set.len(), standing, text: b"", smooth: false, maglev: 0 }
    }
}

/// Where the parts of a set lie, in leaves from its block's first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) active: usize,
    pub(crate) all: usize,
    /// Leaves of the key table.
    pub(crate) maglev: usize,
    /// Steps of the smooth order.
    pub(crate) steps: usize,
}

impl Shape {
    /// Checks that a publication can stand in a table.
    pub(crate) fn of(publication: &Publication<'_>, steps: usize) -> Result<Self, PublishError> {
        let (all, active) = (publication.set.len(), publication.active);
        if all > MAX_SET {
            return Err(PublishError::Long);
        }
        if active > all || (active == 0 && all > 0) {
            return Err(PublishError::Active { active, all });
        }
        let needed = (active * KEY_PLACES) as u32;
        if publication.maglev > 0 && (publication.maglev < needed || publication.maglev > MOST_PLACES) {
            return Err(PublishError::Places { needed, asked: publication.maglev });
        }
        let maglev = if active > 0 { (publication.maglev as usize).div_ceil(PLACES) } else { 0 };
        Ok(Shape { active, all, maglev, steps: if publication.smooth { steps } else { 0 } })
    }

    /// Whether there is more than active endpoints, and so an index.
    pub(crate) fn is_indexed(&self) -> bool {
        self.all > self.active || self.maglev > 0 || self.steps > 0
    }

    pub(crate) fn index(&self) -> usize {
        self.active
    }

    /// The leaf of an endpoint by its place in the whole set.
    pub(crate) fn endpoint(&self, place: usize) -> usize {
        if place < self.active { place } else { place + 1 }
    }

    pub(crate) fn first_key(&self) -> usize {
        self.all + usize::from(self.is_indexed())
    }

    pub(crate) fn first_step(&self) -> usize {
        self.first_key() + self.maglev
    }

    /// Leaves in all.
    pub(crate) fn leaves(&self) -> usize {
        self.first_step() + self.steps.div_ceil(PLACES)
    }

    /// The words of the index.
    pub(crate) fn encode(&self) -> [u64; 3] {
        let pair = |first: usize, places: usize| first as u64 | (places as u64) << 32;
        [self.all as u64, pair(self.first_key(), self.maglev), pair(self.first_step(), self.steps)]
    }
}

// The words beside a set's own leaves, but for the block's first one, are what filling its key table needs.
const _: () = assert!(maglev::SCRATCH <= KEY_PLACES / PLACES);
