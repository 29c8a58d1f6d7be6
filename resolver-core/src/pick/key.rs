//! The same endpoint for the same key.

use super::{PickError, Seen, Table, accepted, from_set};
use crate::error::{ResolveError, WalkError};
use crate::handle::Handle;
use crate::maglev;
use crate::name::multiply;
use crate::reader::Reader;
use crate::record::Endpoint;
use crate::set::Set;

/// Picks by the key table that the publisher made (Maglev hashing): one hash and three lines, however long the set. When an
/// endpoint leaves, about one key in fifty changes its endpoint beside those that were its. For a set that was published
/// with [`maglev`](crate::Publication::maglev). One for each thread and service: it remembers where the table is.
///
/// ```
/// # use resolver_core::{Capacity, Endpoint, Publication, Standing, Table, heap};
/// use resolver_core::pick::Maglev;
///
/// # let memory = heap(Capacity::SMALL.lines());
/// # let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
/// # let oms = writer.add("oms")?;
/// # let set = ["10.0.0.1:9000".parse()?, "10.0.0.2:9000".parse()?].map(Endpoint::new);
/// writer.publish_as(oms, &Publication { maglev: 500, ..Publication::new(&set, Standing::FRESH) })?;
///
/// let (account, mut picker) = (4711, Maglev::new());
/// assert_eq!(picker.pick(&reader, oms, account)?, picker.pick(&reader, oms, account)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Maglev {
    seen: Seen,
}

impl Maglev {
    /// Knows no table yet.
    pub const fn new() -> Self {
        Maglev { seen: Seen::from(0) }
    }

    /// The endpoint of this key: a number, or the hash of a text.
    ///
    /// # Progress
    ///
    /// Wait-free: at most 16 rounds of four lines.
    ///
    /// # Errors
    ///
    /// [`PickError::NoTable`] where the set was published without a key table; else as [`Reader::resolve`].
    #[inline(always)]
    pub fn pick(&mut self, reader: &Reader<'_>, handle: Handle, key: u64) -> Result<Endpoint, PickError> {
        self.seen.pick(reader, handle, Table::Keys, key, |set, table, _, key| {
            let (leaf, word, shift) = maglev::place_of(table.length, maglev::hash(key));
            let word = set.word(table.first + leaf, word)?;
            set.at(usize::from((word >> shift) as u16))
        })
    }
}

/// Picks by highest random weight: each endpoint is hashed with the key, and the highest wins. A key changes its endpoint
/// only when that endpoint leaves or a newcomer wins, whatever the order of the set. Looks at every endpoint, so it is for
/// short sets.
///
/// ```
/// # use resolver_core::{Capacity, Endpoint, Standing, Table, heap};
/// use resolver_core::pick::Rendezvous;
///
/// # let memory = heap(Capacity::SMALL.lines());
/// # let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
/// # let oms = writer.add("oms")?;
/// # let set = ["10.0.0.1:9000".parse()?, "10.0.0.2:9000".parse()?].map(Endpoint::new);
/// # writer.publish(oms, &set, Standing::FRESH, b"")?;
/// let account = 4711;
/// assert_eq!(Rendezvous::pick(&reader, oms, account)?, Rendezvous::pick(&reader, oms, account)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Rendezvous;

impl Rendezvous {
    /// The endpoint of this key. Endpoints are told apart by [`Endpoint::id`].
    ///
    /// # Progress
    ///
    /// Wait-free: at most 16 rounds of the head and every cell of the set.
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`].
    #[inline]
    pub fn pick(reader: &Reader<'_>, handle: Handle, key: u64) -> Result<Endpoint, ResolveError> {
        from_set(reader, handle, |set| {
            let mut best = set.at(0)?;
            let mut highest = weight(key, best.id());
            for place in 1..set.len() {
                let endpoint = set.at(place)?;
                let weight = weight(key, endpoint.id());
                if wins(weight, endpoint.id(), highest, best.id()) {
                    (best, highest) = (endpoint, weight);
                }
            }
            Ok(best)
        })
    }

    /// The endpoint of this key among those that `accept` is true of: when the key's own is not accepted, the one that
    /// would be the key's without it.
    ///
    /// # Progress
    ///
    /// As [`Rendezvous::pick`], if `accept` is wait-free.
    ///
    /// # Errors
    ///
    /// [`PickError::NoneAccepted`]; else as [`Reader::resolve`].
    #[inline]
    pub fn pick_where(
        reader: &Reader<'_>,
        handle: Handle,
        key: u64,
        mut accept: impl FnMut(&Endpoint) -> bool,
    ) -> Result<Endpoint, PickError> {
        accepted(from_set(reader, handle, |set: &Set<'_>| {
            let mut best: Option<(Endpoint, u64)> = None;
            for place in 0..set.len() {
                let endpoint = set.at(place)?;
                let weight = weight(key, endpoint.id());
                let is_better = best
                    .as_ref()
                    .is_none_or(|(held, highest)| wins(weight, endpoint.id(), *highest, held.id()));
                if is_better && accept(&endpoint) {
                    best = Some((endpoint, weight));
                }
            }
            Ok::<_, WalkError>(best.map(|(endpoint, _)| endpoint))
        }))
    }
}

/// Of two with one weight the smaller id wins, in whatever order they come.
#[inline(always)]
fn wins(weight: u64, id: u64, highest: u64, held: u64) -> bool {
    (weight, held) > (highest, id)
}

/// Two folded multiplications. Every process and every binding must agree on it.
#[inline(always)]
fn weight(key: u64, id: u64) -> u64 {
    const K: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9];
    multiply(multiply(key ^ K[0], K[1]) ^ id, K[0])
}
