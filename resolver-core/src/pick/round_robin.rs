//! Each in turn.

use super::{PickError, Seen, Table, accepted, endpoint_at, from_set};
use crate::error::ResolveError;
use crate::handle::Handle;
use crate::publication::PLACES;
use crate::reader::Reader;
use crate::record::Endpoint;
use crate::set::Set;

/// Takes each endpoint of a set in turn. One for each thread and service.
///
/// ```
/// # use resolver_core::{Capacity, Endpoint, Standing, Table, heap};
/// use resolver_core::pick::RoundRobin;
///
/// # let memory = heap(Capacity::SMALL.lines());
/// # let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
/// # let oms = writer.add("oms")?;
/// # let set = ["10.0.0.1:9000".parse()?, "10.0.0.2:9000".parse()?].map(Endpoint::new);
/// # writer.publish(oms, &set, Standing::FRESH, b"")?;
/// let mut picker = RoundRobin::new();
/// let first = picker.pick(&reader, oms)?;
/// let second = picker.pick(&reader, oms)?;
/// assert_ne!(first.address(), second.address());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    seen: Seen,
}

impl RoundRobin {
    /// Begins at the primary.
    pub const fn new() -> Self {
        RoundRobin::from(0)
    }

    /// Begins at this place: several threads that begin apart do not all go to the same endpoint at first.
    pub const fn from(place: usize) -> Self {
        RoundRobin { seen: Seen::from(place) }
    }

    /// The next endpoint; the first one again after the last, and when the set has become shorter.
    ///
    /// # Progress
    ///
    /// Wait-free: at most 16 rounds of the head and a leaf.
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`].
    #[inline(always)]
    pub fn pick(&mut self, reader: &Reader<'_>, handle: Handle) -> Result<Endpoint, ResolveError> {
        self.seen.pick_plain(reader, handle, 0, |set, next, _| {
            let place = if *next < set.len() { *next } else { 0 };
            let endpoint = set.at(place)?;
            *next = place + 1;
            Ok(endpoint)
        })
    }

    /// The next endpoint that `accept` is true of: tags ([`tagged`](super::tagged)), a zone, whatever the caller knows.
    ///
    /// # Progress
    ///
    /// Wait-free, if `accept` is: at most 16 rounds of the whole set.
    ///
    /// # Errors
    ///
    /// [`PickError::NoneAccepted`]; else as [`Reader::resolve`].
    #[inline]
    pub fn pick_where(
        &mut self,
        reader: &Reader<'_>,
        handle: Handle,
        mut accept: impl FnMut(&Endpoint) -> bool,
    ) -> Result<Endpoint, PickError> {
        let next = self.seen.next;
        let found = accepted(from_set(reader, handle, |set: &Set<'_>| {
            let from = if next < set.len() { next } else { 0 };
            for place in (from..set.len()).chain(0..from) {
                let endpoint = set.at(place)?;
                if accept(&endpoint) {
                    return Ok(Some((place, endpoint)));
                }
            }
            Ok(None)
        }));
        let (place, endpoint) = found?;
        self.seen.next = place + 1;
        Ok(endpoint)
    }
}

/// Takes each endpoint of a set in turn, as often as its weight says, and a heavy one not in a row (smooth weighted round
/// robin). The publisher has made the order: the set was published with [`smooth`](crate::Publication::smooth). One for each
/// thread and service.
///
/// ```
/// # use resolver_core::{Capacity, Endpoint, Publication, Standing, Table, heap};
/// use resolver_core::pick::Smooth;
///
/// # let memory = heap(Capacity::SMALL.lines());
/// # let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
/// # let oms = writer.add("oms")?;
/// let set = [Endpoint::new("10.0.0.1:9000".parse()?).with_weight(2), Endpoint::new("10.0.0.2:9000".parse()?)];
/// writer.publish_as(oms, &Publication { smooth: true, ..Publication::new(&set, Standing::FRESH) })?;
///
/// let mut picker = Smooth::new();
/// let mut weight = || picker.pick(&reader, oms).map(|endpoint| endpoint.weight());
/// assert_eq!([weight(), weight(), weight(), weight()], [Ok(2), Ok(1), Ok(2), Ok(2)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Smooth {
    seen: Seen,
}

impl Smooth {
    /// Begins at the order's first step.
    pub const fn new() -> Self {
        Smooth::from(0)
    }

    /// Begins at this step: several threads that begin apart do not all go to the same endpoint at first.
    pub const fn from(step: usize) -> Self {
        Smooth { seen: Seen::from(step) }
    }

    /// The next endpoint. The order begins anew when another set is published whose order is shorter.
    ///
    /// # Progress
    ///
    /// Wait-free: at most 16 rounds of four lines.
    ///
    /// # Errors
    ///
    /// [`PickError::NoTable`] where the set was published without an order; else as [`Reader::resolve`].
    #[inline(always)]
    pub fn pick(&mut self, reader: &Reader<'_>, handle: Handle) -> Result<Endpoint, PickError> {
        self.seen.pick(reader, handle, Table::Steps, 0, |set, table, next, _| {
            let step = if *next < table.length { *next } else { 0 };
            let endpoint = endpoint_at(set, table.first + step / PLACES, step % PLACES)?;
            *next = step + 1;
            Ok(endpoint)
        })
    }
}
