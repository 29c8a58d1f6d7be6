//! Picking one endpoint of a set: which one is the picker's to say, where the set is the table's.
//!
//! A picker belongs to one thread: its cursor or random state lies in it, so nothing that is shared is written. Each pick
//! reads the head's line and the lines of the endpoints that it looks at, and never mixes two sets: when another is
//! published meanwhile it begins again. The same set and the same key give the same endpoint in every process.
//!
//! | picker | needs of the publisher | lines read |
//! |---|---|---|
//! | [`Reader::resolve`] | - | 1 |
//! | [`RoundRobin`], [`Random`] | - | 2 |
//! | [`Weighted`] | - (the alias table is always made) | 2 or 3 |
//! | [`PowerOfTwo`] | - | 3 |
//! | [`Smooth`] | [`smooth`](crate::Publication::smooth) | 3 |
//! | [`Maglev`] | [`maglev`](crate::Publication::maglev) | 3 |
//! | [`Rendezvous`] | - | the set |
//! | [`Failover`] | reserves, if it is to go beyond the active endpoints | 2 |
//!
//! All but `Failover` choose among the set's active endpoints. Tiers, zones, slow start and the like are the publisher's: they
//! decide which endpoints are active, in which order and with what weight, off the path.

mod failover;
mod key;
mod random;
mod round_robin;
#[cfg(all(test, feature = "std", not(resolver_loom)))]
mod tests;

use core::fmt;
use core::hint::cold_path;

pub use failover::{Ejections, Failover};
pub use key::{Maglev, Rendezvous};
pub use random::{PowerOfTwo, Random, Weighted};
pub use round_robin::{RoundRobin, Smooth};

use crate::block::place_in;
use crate::cell::ROUNDS;
use crate::error::{ResolveError, WalkError};
use crate::handle::Handle;
use crate::reader::Reader;
use crate::record::Endpoint;
use crate::set::{Index, Places, Set};

/// Why nothing was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PickError {
    /// There is no set.
    Resolve(ResolveError),
    /// There is one, and none of its endpoints is accepted.
    NoneAccepted,
    /// There is one, and it was published without the table that this picker needs.
    NoTable,
}

impl fmt::Display for PickError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PickError::Resolve(error) => error.fmt(f),
            PickError::NoneAccepted => f.write_str("none of the service's endpoints is accepted"),
            PickError::NoTable => f.write_str(
                "the set was published without the table that this picker needs; see `Publication`",
            ),
        }
    }
}

impl core::error::Error for PickError {}

impl From<ResolveError> for PickError {
    fn from(error: ResolveError) -> Self {
        PickError::Resolve(error)
    }
}

/// For `pick_where`: endpoints that have all of these tag bits.
pub fn tagged(mask: u64) -> impl Fn(&Endpoint) -> bool + Copy {
    move |endpoint| endpoint.tags() & mask == mask
}

/// For `pick_where`: endpoints of this zone.
pub fn in_zone(zone: u16) -> impl Fn(&Endpoint) -> bool + Copy {
    move |endpoint| endpoint.zone() == zone
}

/// Makes one choice from a service's set. Where another set was published meanwhile, it is made again from that one;
/// after 16 rounds in which that happened, [`ResolveError::Busy`].
fn from_set<T>(
    reader: &Reader<'_>,
    handle: Handle,
    mut choose: impl FnMut(&Set<'_>) -> Result<T, WalkError>,
) -> Result<T, ResolveError> {
    for _ in 0..ROUNDS {
        if let Ok(chosen) = choose(&reader.set(handle)?) {
            return Ok(chosen);
        }
    }
    Err(ResolveError::Busy)
}

/// As [`from_set`], with the first round apart: nearly every pick ends there, and it has neither a loop around it nor an
/// answer that goes through memory.
#[inline(always)]
fn one_of(
    reader: &Reader<'_>,
    handle: Handle,
    mut choose: impl FnMut(&Set<'_>) -> Result<Endpoint, WalkError>,
) -> Result<Endpoint, ResolveError> {
    if let Some(set) = reader.set_at_once(handle)
        && let Ok(chosen) = choose(&set)
    {
        return Ok(chosen);
    }
    cold_path();
    let mut words = [0; 7];
    match one_of_again(reader, handle, choose, &mut words) {
        None => Ok(Endpoint::from_words(words)),
        Some(error) => Err(error),
    }
}

/// Gives the error, if it is one; a value so small that it comes back in a register.
#[cold]
#[inline(never)]
fn one_of_again(
    reader: &Reader<'_>,
    handle: Handle,
    choose: impl FnMut(&Set<'_>) -> Result<Endpoint, WalkError>,
    into: &mut [u64; 7],
) -> Option<ResolveError> {
    match from_set(reader, handle, choose) {
        Ok(endpoint) => {
            *into = endpoint.to_words();
            None
        }
        Err(error) => Some(error),
    }
}

#[inline]
fn accepted<T>(found: Result<Option<T>, ResolveError>) -> Result<T, PickError> {
    found?.ok_or(PickError::NoneAccepted)
}

/// Where the table of the set lies that a picker saw last.
#[derive(Clone, Debug, Default)]
struct TableAt {
    /// [`mark_of`] the set; 0 for none.
    of: u64,
    places: Places,
}

impl TableAt {
    const NONE: TableAt = TableAt { of: 0, places: Places { first: 0, length: 0 } };

    /// The endpoint at a place of the set's table: `which` table, and where in it, as a leaf and a place within that.
    #[inline(always)]
    fn pick(
        &mut self,
        reader: &Reader<'_>,
        handle: Handle,
        which: impl Fn(Index) -> Places,
        mut at: impl FnMut(Places) -> (usize, usize),
    ) -> Result<Endpoint, PickError> {
        if let Some(set) = reader.set_at_once(handle)
            && mark_of(&set, handle) == self.of
            && let Ok(endpoint) = endpoint_at(&set, at(self.places))
        {
            return Ok(endpoint);
        }
        cold_path();
        let mut words = [0; 7];
        match self.pick_again(reader, handle, which, at, &mut words) {
            None => Ok(Endpoint::from_words(words)),
            Some(error) => Err(error),
        }
    }

    /// Gives the error, as [`one_of_again`].
    #[cold]
    #[inline(never)]
    fn pick_again(
        &mut self,
        reader: &Reader<'_>,
        handle: Handle,
        which: impl Fn(Index) -> Places,
        mut at: impl FnMut(Places) -> (usize, usize),
        into: &mut [u64; 7],
    ) -> Option<PickError> {
        for _ in 0..ROUNDS {
            let set = match reader.set(handle) {
                Ok(set) => set,
                Err(error) => return Some(error.into()),
            };
            let Ok(index) = set.index() else { continue };
            self.places = which(index);
            self.of = mark_of(&set, handle);
            if self.places.length == 0 {
                // The first round must not look for a table that is not there.
                self.of = TableAt::NONE.of;
                return Some(PickError::NoTable);
            }
            if let Ok(endpoint) = endpoint_at(&set, at(self.places)) {
                *into = endpoint.to_words();
                return None;
            }
        }
        Some(PickError::Resolve(ResolveError::Busy))
    }
}

/// Tells sets apart, those of other services and of other tables too: the generation, and by whom it was found. Never 0, as
/// no handle's incarnation is.
#[inline(always)]
fn mark_of(set: &Set<'_>, handle: Handle) -> u64 {
    set.generation().rotate_left(32) ^ handle.to_bits()
}

/// The endpoint that a place of a table leads to.
#[inline(always)]
fn endpoint_at(set: &Set<'_>, (leaf, place): (usize, usize)) -> Result<Endpoint, WalkError> {
    let word = set.word(leaf, place / 4)?;
    set.at(place_in(word, place))
}
