//! The next candidate after a failure, and endpoints to leave out for a while.

use core::time::Duration;

use super::{PickError, accepted, from_set};
use crate::handle::Handle;
use crate::reader::Reader;
use crate::record::Endpoint;

/// Stays with one endpoint until it is told that this one failed, and then takes the next: first all active ones, in the
/// publisher's order of preference, then the reserves. Another publication begins at the primary again: the publisher knows
/// more by then. One for each thread and service.
///
/// ```
/// # use resolver_core::{Capacity, Endpoint, Publication, Standing, Table, heap};
/// use resolver_core::pick::{Failover, PickError};
///
/// # let memory = heap(Capacity::SMALL.lines());
/// # let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
/// # let oms = writer.add("oms")?;
/// let set = ["10.0.0.1:1".parse()?, "10.9.0.1:2".parse()?].map(Endpoint::new);
/// writer.publish_as(oms, &Publication { active: 1, ..Publication::new(&set, Standing::FRESH) })?;
///
/// let mut picker = Failover::new();
/// assert_eq!(picker.pick(&reader, oms)?.address().port(), 1);
/// picker.failed();
/// assert_eq!(picker.pick(&reader, oms)?.address().port(), 2);
/// picker.failed();
/// assert_eq!(picker.pick(&reader, oms), Err(PickError::NoneAccepted), "all have failed");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Failover {
    generation: u64,
    place: usize,
}

impl Failover {
    /// Begins at the primary.
    pub const fn new() -> Self {
        Failover { generation: 0, place: 0 }
    }

    /// The candidate.
    ///
    /// # Progress
    ///
    /// Wait-free: at most 16 rounds of three lines.
    ///
    /// # Errors
    ///
    /// [`PickError::NoneAccepted`] once all have failed; else as [`Reader::resolve`].
    #[inline]
    pub fn pick(&mut self, reader: &Reader<'_>, handle: Handle) -> Result<Endpoint, PickError> {
        let Failover { generation, place } = self;
        accepted(from_set(reader, handle, |set| {
            if set.generation() != *generation {
                (*generation, *place) = (set.generation(), 0);
            }
            set.get(*place).or_else(|| set.reserve(*place - set.len())).transpose()
        }))
    }

    /// The one that was picked last did not answer: the next pick gives the next candidate.
    pub fn failed(&mut self) {
        self.place += 1;
    }

    /// Begins at the primary again.
    pub fn reset(&mut self) {
        self.place = 0;
    }
}

/// Endpoints that a thread leaves out for a while, as it has seen them fail. Its own judgement: nothing is told to others
/// (`resolver-sync` has a reporter for that). Room for `N` at a time. Times are of any clock of this thread that only goes
/// forward.
///
/// ```
/// # use core::time::Duration;
/// # use resolver_core::{Capacity, Endpoint, Standing, Table, heap};
/// use resolver_core::pick::{Ejections, RoundRobin};
///
/// # let memory = heap(Capacity::SMALL.lines());
/// # let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
/// # let oms = writer.add("oms")?;
/// # let set = [1, 2].map(|id| Endpoint::new(std::net::SocketAddr::from(([10, 0, 0, 1], 9000))).with_id(id));
/// # writer.publish(oms, &set, Standing::FRESH, b"")?;
/// let (mut out, mut picker) = (Ejections::<8>::new(50), RoundRobin::new());
/// let now = Duration::from_secs(100);
/// let failed = picker.pick(&reader, oms)?;
/// assert!(out.eject(&failed, now, now + Duration::from_secs(30), set.len()));
///
/// let next = picker.pick_where(&reader, oms, |endpoint| !out.is_out(endpoint, now))?;
/// assert_ne!(next.id(), failed.id());
/// assert!(!out.eject(&next, now, now + Duration::from_secs(30), set.len()), "half of them are out already");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ejections<const N: usize> {
    /// Id, and until when it is out.
    out: [(u64, Duration); N],
    most: u8,
}

impl<const N: usize> Ejections<N> {
    /// At most so many percent of a set are left out at a time: but one may be, of a set of two or more, and never the last.
    pub const fn new(most_percent: u8) -> Self {
        Ejections { out: [(0, Duration::ZERO); N], most: most_percent }
    }

    /// Leaves an endpoint out until then, by its id. `endpoints`: how many there are to pick from. Whether it is out now;
    /// `false` where too many are.
    pub fn eject(&mut self, endpoint: &Endpoint, now: Duration, until: Duration, endpoints: usize) -> bool {
        let most = (endpoints * usize::from(self.most) / 100).max(1).min(endpoints.saturating_sub(1));
        let held = self.out.iter().position(|(id, end)| *id == endpoint.id() && *end > now);
        let place = held.or_else(|| {
            let free = self.out.iter().position(|(_, end)| *end <= now);
            free.filter(|_| self.count(now) < most)
        });
        let Some(place) = place.and_then(|place| self.out.get_mut(place)) else { return false };
        *place = (endpoint.id(), until);
        true
    }

    /// Whether an endpoint is left out now.
    #[inline]
    pub fn is_out(&self, endpoint: &Endpoint, now: Duration) -> bool {
        self.out.iter().any(|(id, until)| *until > now && *id == endpoint.id())
    }

    /// How many are left out now.
    pub fn count(&self, now: Duration) -> usize {
        self.out.iter().filter(|(_, until)| *until > now).count()
    }

    /// Takes all of them back.
    pub fn clear(&mut self) {
        self.out = [(0, Duration::ZERO); N];
    }
}
