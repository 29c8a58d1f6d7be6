//! Each in turn.

use super::from_set;
use crate::error::ResolveError;
use crate::handle::Handle;
use crate::reader::Reader;
use crate::record::Endpoint;

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
    next: usize,
}

impl RoundRobin {
    /// Begins at the primary.
    pub const fn new() -> Self {
        RoundRobin { next: 0 }
    }

    /// Begins at this place: several threads that begin apart do not all go to the same endpoint at first.
    pub const fn from(place: usize) -> Self {
        RoundRobin { next: place }
    }

    /// The next endpoint; the first one again after the last, and when the set has become shorter.
    ///
    /// # Progress
    ///
    /// Wait-free: at most 16 rounds of two cells.
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`].
    #[inline(always)]
    pub fn pick(&mut self, reader: &Reader<'_>, handle: Handle) -> Result<Endpoint, ResolveError> {
        let next = self.next;
        let (place, endpoint) = from_set(reader, handle, |set| {
            let place = if next < set.len() { next } else { 0 };
            Ok((place, set.at(place)?))
        })?;
        self.next = place + 1;
        Ok(endpoint)
    }
}
