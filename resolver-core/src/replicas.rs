//! The same table several times over, each for one core or NUMA node, behind one writer.
//!
//! All that an operation does to a table follows from the operation and from the table as it was: no clock, no random
//! number and no address has a part in it, and the seed is given. So tables that were created alike and saw the same
//! operations are the same word for word, and what one answers, errors included, all answer.

mod batch;
#[cfg(all(test, not(resolver_loom)))]
mod tests;

use core::fmt;
use std::vec::Vec;

pub use batch::ReplicatedBatch;

use crate::error::{AddError, PublishError};
use crate::handle::Handle;
use crate::layout::{Capacity, count, epoch, pulse};
use crate::memory::Line;
use crate::publication::Publication;
use crate::reader::Reader;
use crate::record::Endpoint;
use crate::setting::{Setting, Value};
use crate::source::SourceBeat;
use crate::state::Reason;
use crate::table::{CreateError, Table};
use crate::writer::{Standing, Usage, Writer};

/// Publishes to several replicas of one table, one operation after the other, in each the first replica first.
///
/// Every replica gives out the same handles, settings and generations, so one handle is good in all of them, and each
/// reading core keeps to the [`Reader`] of its own. An operation that is refused is refused by all, and none shows any
/// of it.
///
/// ```
/// use resolver_core::{Capacity, Endpoint, ReplicatedWriter, Standing, heap};
///
/// // On a machine with several NUMA nodes: `NodeMemory`, of the feature `numa`.
/// let memory = [(); 2].map(|()| heap(Capacity::SMALL.lines()));
/// let mut writer = ReplicatedWriter::create(memory.iter().map(|lines| &**lines), &Capacity::SMALL, 1)?;
/// let readers: Vec<_> = writer.readers().collect();
///
/// let oms = writer.add("oms")?;
/// writer.publish(oms, &[Endpoint::new("10.0.0.1:9000".parse()?)], Standing::FRESH, b"")?;
///
/// std::thread::scope(|threads| {
///     for reader in readers {
///         threads.spawn(move || assert_eq!(reader.resolve(oms).map(|it| it.address().port()), Ok(9000)));
///     }
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When
///
/// The machine has several NUMA nodes, readers run on nodes whose last-level cache is not the writer's, and they ask for
/// more services than their caches hold: what such a reader misses then comes from its own node's memory. One replica for
/// each node is enough where the cores of a node share a cache. Measure it there: the project's figures are of one node,
/// and show only what it costs.
///
/// # When not
///
/// Everywhere else. Lines that nobody writes are shared clean by all cores, so on one node replicas make no read faster;
/// publishing costs as many times more as there are replicas, and so does the memory (on your machine:
/// `cargo run --release -p resolver-core --example replicas`). Nor do they help with services that
/// change all the time: each change is one transfer of its lines from the writer's core to a reader's either way.
///
/// # What a thread may see
///
/// On one replica, what [`Reader`] says: no record is torn, and none is older than one that was seen before. Between two,
/// the first is ahead of another by one operation (a whole batch is one) at most: an operation begins on the first when
/// the one before it has ended on the last. While the writer's thread is not running that may last. So a thread that
/// goes from one replica to another may go back by one operation, and takes along no [`Resolved`](crate::Resolved), no
/// epoch and no [`Liveness`](crate::Liveness) to compare there: keep a thread to its own.
///
/// # Memory of this process only
///
/// A replica is created, never taken over, and lies in memory that ends with the process. A
/// segment that the whole host maps is one table by definition; and a writer that died between two replicas would
/// leave them different, which no repair of each alone could see.
///
/// # Progress
///
/// As [`Writer`], once for each replica: a bounded number of steps, and no reader can delay it. A batch allocates.
pub struct ReplicatedWriter<'m> {
    first: Writer<'m>,
    others: Vec<Writer<'m>>,
    /// Each replica's memory, in the same order, without what it has beyond the table.
    memory: Vec<&'m [Line]>,
}

/// Why replicas could not be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaError {
    /// No memory was given, and there is at least one replica.
    None,
    /// One could not be created. In the memory of those before it there are empty tables.
    Create {
        /// Its place among the memory that was given.
        replica: usize,
        /// What is wrong with it.
        error: CreateError,
    },
}

/// Where a replica is not the same as the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The replica; the first is 0.
    pub replica: usize,
    /// The line of the table, from its beginning.
    pub line: usize,
}

impl fmt::Display for ReplicaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplicaError::None => f.write_str("no memory was given: there is at least one replica"),
            ReplicaError::Create { replica, error } => write!(f, "replica {replica}: {error}"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { replica, line } = self;
        write!(
            f,
            "replica {replica} is not the first one's like in line {line}: it missed an operation, or its memory was written to; make new replicas"
        )
    }
}

impl core::error::Error for ReplicaError {}
impl core::error::Error for Difference {}

impl<'m> ReplicatedWriter<'m> {
    /// Creates an empty table in each of these, which are zero and have [`Capacity::lines`] lines at least. `seed` is as for
    /// [`Table::create`].
    ///
    /// # Errors
    ///
    /// [`ReplicaError`]. The same memory twice is refused too: it is in use the second time.
    pub fn create(
        memory: impl IntoIterator<Item = &'m [Line]>,
        capacity: &Capacity,
        seed: u64,
    ) -> Result<Self, ReplicaError> {
        let memory: Vec<&'m [Line]> = memory.into_iter().collect();
        let writers = memory.iter().enumerate().map(|(replica, lines)| {
            let table = Table::create(lines, capacity, seed);
            table.map(|table| table.split().0).map_err(|error| ReplicaError::Create { replica, error })
        });
        let mut others = writers.collect::<Result<Vec<_>, _>>()?;
        if others.is_empty() {
            return Err(ReplicaError::None);
        }
        let first = others.remove(0);
        // Each table was created, so its memory is as long.
        let memory = memory.into_iter().map(|lines| &lines[..first.view.plan.total]).collect();
        Ok(ReplicatedWriter { first, others, memory })
    }

    /// How many replicas there are.
    pub fn replicas(&self) -> usize {
        1 + self.others.len()
    }

    /// The reader of a replica, by its place among the memory that was given.
    pub fn reader(&self, replica: usize) -> Option<Reader<'m>> {
        self.readers().nth(replica)
    }

    /// A reader of each replica, in the order of the memory that was given.
    pub fn readers(&self) -> impl Iterator<Item = Reader<'m>> + '_ {
        self.writers().map(Writer::reader)
    }

    /// As [`Writer::add`]. The handle is good in every replica.
    ///
    /// # Errors
    ///
    /// As [`Writer::add`].
    pub fn add(&mut self, name: &str) -> Result<Handle, AddError> {
        self.in_each(|writer| writer.add(name))
    }

    /// As [`Writer::remove`].
    pub fn remove(&mut self, name: &str) -> bool {
        self.in_each(|writer| writer.remove(name))
    }

    /// As [`Writer::publish`]. The generation is the same in every replica.
    ///
    /// # Errors
    ///
    /// As [`Writer::publish`]; then the old set stands in every replica.
    pub fn publish(
        &mut self,
        handle: Handle,
        set: &[Endpoint],
        standing: Standing,
        text: &[u8],
    ) -> Result<u64, PublishError> {
        self.in_each(|writer| writer.publish(handle, set, standing, text))
    }

    /// As [`Writer::publish_as`]. The tables for pickers are made in each replica anew.
    ///
    /// # Errors
    ///
    /// As [`Writer::publish_as`]; then the old set stands in every replica.
    pub fn publish_as(&mut self, handle: Handle, publication: &Publication<'_>) -> Result<u64, PublishError> {
        self.in_each(|writer| writer.publish_as(handle, publication))
    }

    /// As [`Writer::mark`].
    ///
    /// # Errors
    ///
    /// As [`Writer::mark`].
    pub fn mark(&mut self, handle: Handle, standing: Standing) -> Result<(), PublishError> {
        self.in_each(|writer| writer.mark(handle, standing))
    }

    /// As [`Writer::batch`]: within each replica, its changes are seen as of one moment.
    pub fn batch(&mut self) -> ReplicatedBatch<'_, 'm> {
        ReplicatedBatch::new(&mut self.first, &mut self.others)
    }

    /// As [`Writer::beat`].
    pub fn beat(&mut self, sources: &[SourceBeat<'_>]) {
        self.in_each(|writer| writer.beat(sources));
    }

    /// As [`Writer::add_setting`]. The setting is good in every replica.
    ///
    /// # Errors
    ///
    /// As [`Writer::add_setting`].
    pub fn add_setting<T: Value>(&mut self, name: &str) -> Result<Setting<T>, AddError> {
        self.in_each(|writer| writer.add_setting(name))
    }

    /// As [`Writer::remove_setting`].
    pub fn remove_setting(&mut self, name: &str) -> bool {
        self.in_each(|writer| writer.remove_setting(name))
    }

    /// As [`Writer::set`].
    ///
    /// # Errors
    ///
    /// As [`Writer::set`].
    pub fn set<T: Value>(
        &mut self,
        setting: Setting<T>,
        value: T,
        standing: Standing,
    ) -> Result<(), PublishError> {
        self.in_each(|writer| writer.set(setting, value, standing))
    }

    /// As [`Writer::unset`].
    ///
    /// # Errors
    ///
    /// As [`Writer::unset`].
    pub fn unset<T: Value>(&mut self, setting: Setting<T>, reason: Reason) -> Result<(), PublishError> {
        self.in_each(|writer| writer.unset(setting, reason))
    }

    /// How full each replica is.
    pub fn usage(&self) -> Usage {
        self.first.usage()
    }

    /// Compares all replicas word for word: `None` where they are the same. For a self-test now and then: it reads the
    /// memory of all of them. (A build with debug assertions also compares answers and counters after every operation.)
    pub fn first_difference(&self) -> Option<Difference> {
        let (first, others) = self.memory.split_first()?;
        others.iter().zip(1..).find_map(|(other, replica)| {
            let differs = |(a, b): (&Line, &Line)| a.to_words() != b.to_words();
            first.iter().zip(*other).position(differs).map(|line| Difference { replica, line })
        })
    }

    fn writers(&self) -> impl Iterator<Item = &Writer<'m>> {
        core::iter::once(&self.first).chain(&self.others)
    }

    fn in_each<T: PartialEq + fmt::Debug>(&mut self, operate: impl FnMut(&mut Writer<'m>) -> T) -> T {
        let answer = in_each(&mut self.first, &mut self.others, operate);
        debug_assert!(self.counters_agree(), "a replica missed an operation");
        answer
    }

    /// Every commit moves the epoch, every beat the pulse, and every refusal and new name a counter.
    fn counters_agree(&self) -> bool {
        [count::LINE, epoch::LINE, pulse::LINE].into_iter().all(|line| {
            let words = |writer: &Writer<'m>| writer.view.header[line].to_words();
            self.others.iter().all(|other| words(other) == words(&self.first))
        })
    }
}

/// Does the same to each, the first one first, and gives what all of them answer.
fn in_each<W, T: PartialEq + fmt::Debug>(
    first: &mut W,
    others: &mut [W],
    mut operate: impl FnMut(&mut W) -> T,
) -> T {
    let answer = operate(first);
    for (other, replica) in others.iter_mut().zip(1..) {
        let same = operate(other);
        debug_assert!(
            same == answer,
            "replica {replica} answers {same:?} and the first {answer:?}: it missed an operation"
        );
    }
    answer
}
