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
//! `RoundRobin`, `Random`, `Rendezvous` and `PowerOfTwo` also pick among those that meet the caller's conditions (`pick_where`: tags,
//! a zone, whatever it knows), and then may look at the whole set. What goes by a table that the publisher made cannot: the table
//! does not know the conditions. A view of its own has them off the path.
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
use crate::set::{Places, Set, SetPlace};

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

#[inline]
fn accepted<T>(found: Result<Option<T>, ResolveError>) -> Result<T, PickError> {
    found?.ok_or(PickError::NoneAccepted)
}

/// The table of a set that a picker goes by. (Not a function that finds it: a call by pointer leads anywhere.)
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    None,
    Keys,
    Steps,
}

impl Table {
    fn of(self, set: &Set<'_>) -> Result<Places, WalkError> {
        Ok(match self {
            Table::None => Places::default(),
            Table::Keys => set.index()?.keys,
            Table::Steps => set.index()?.steps,
        })
    }
}

/// The set that a picker saw last: while the head's `seq` has not moved it is the one that stands, and one load says so.
#[derive(Clone, Debug)]
struct Seen {
    /// No handle where nothing was seen.
    handle: Handle,
    seq: u64,
    place: SetPlace,
    /// The table that the picker goes by, if it goes by one.
    table: Places,
    /// Where a picker that takes each in turn goes on.
    next: usize,
    /// What was picked out of line: it comes back through here, so that a pick needs no frame on the stack for it.
    picked: [u64; 7],
}

impl Default for Seen {
    fn default() -> Self {
        Seen::from(0)
    }
}

impl Seen {
    const fn from(next: usize) -> Self {
        let (place, table) = (SetPlace::NONE, Places { first: 0, length: 0 });
        Seen { handle: Handle::from_bits(0), seq: 0, place, table, next, picked: [0; 7] }
    }

    /// Makes one choice from a service's set, from the table that it `wants`, where to go on, and what is `given`. Where
    /// another set was published meanwhile, it is made again from that one; after 16 rounds in which that happened,
    /// [`ResolveError::Busy`].
    ///
    /// The first round has neither a loop around it nor an answer that goes through memory, and `choose` should capture
    /// nothing, as it would have to be in memory too.
    #[inline(always)]
    fn pick(
        &mut self,
        reader: &Reader<'_>,
        handle: Handle,
        wants: Table,
        given: u64,
        mut choose: impl FnMut(&Set<'_>, Places, &mut usize, u64) -> Result<Endpoint, WalkError>,
    ) -> Result<Endpoint, PickError> {
        let failed = if self.handle == handle {
            if reader.is_at(handle, self.seq)
                && let Ok(chosen) = choose(&reader.set_at(self.place), self.table, &mut self.next, given)
            {
                return Ok(chosen);
            }
            cold_path();
            self.pick_same(reader, wants, given, choose)
        } else {
            cold_path();
            self.pick_again(reader, handle, wants, given, choose)
        };
        match failed {
            None => Ok(Endpoint::from_words(self.picked)),
            Some(error) => Err(error),
        }
    }

    /// As [`Seen::pick`] without a table.
    #[inline(always)]
    fn pick_plain(
        &mut self,
        reader: &Reader<'_>,
        handle: Handle,
        given: u64,
        mut choose: impl FnMut(&Set<'_>, &mut usize, u64) -> Result<Endpoint, WalkError>,
    ) -> Result<Endpoint, ResolveError> {
        let picked = self
            .pick(reader, handle, Table::None, given, move |set, _, next, given| choose(set, next, given));
        picked.map_err(|error| match error {
            PickError::Resolve(error) => error,
            // Nothing is wanted and nothing is asked.
            PickError::NoTable | PickError::NoneAccepted => ResolveError::Busy,
        })
    }

    /// As [`Seen::pick_again`], for the handle that was seen last, which the path then needs not keep.
    #[cold]
    #[inline(never)]
    fn pick_same(
        &mut self,
        reader: &Reader<'_>,
        wants: Table,
        given: u64,
        choose: impl FnMut(&Set<'_>, Places, &mut usize, u64) -> Result<Endpoint, WalkError>,
    ) -> Option<PickError> {
        self.pick_again(reader, self.handle, wants, given, choose)
    }

    /// Gives the error, if it is one; a value so small that it comes back in a register.
    #[cold]
    #[inline(never)]
    fn pick_again(
        &mut self,
        reader: &Reader<'_>,
        handle: Handle,
        wants: Table,
        given: u64,
        mut choose: impl FnMut(&Set<'_>, Places, &mut usize, u64) -> Result<Endpoint, WalkError>,
    ) -> Option<PickError> {
        self.handle = Handle::from_bits(0);
        for _ in 0..ROUNDS {
            let (place, seq) = match reader.place(handle) {
                Ok(read) => read,
                Err(error) => return Some(error.into()),
            };
            let set = reader.set_at(place);
            let table = match wants.of(&set) {
                Ok(table) if table.length == 0 && wants != Table::None => return Some(PickError::NoTable),
                Ok(table) => table,
                Err(WalkError::Changed) => continue,
            };
            if let Ok(chosen) = choose(&set, table, &mut self.next, given) {
                // An odd `seq` is as good: the set is the shadow's for as long as it stands.
                (self.handle, self.seq, self.place, self.table) = (handle, seq, place, table);
                self.picked = chosen.to_words();
                return None;
            }
        }
        Some(PickError::Resolve(ResolveError::Busy))
    }
}

/// The endpoint that a place of a table leads to.
#[inline(always)]
fn endpoint_at(set: &Set<'_>, leaf: usize, place: usize) -> Result<Endpoint, WalkError> {
    let word = set.word(leaf, place / 4)?;
    set.at(place_in(word, place))
}
