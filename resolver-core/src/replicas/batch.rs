//! Several publications as one, in every replica.

use std::vec::Vec;

use super::in_each;
use crate::batch::Batch;
use crate::error::PublishError;
use crate::handle::Handle;
use crate::publication::Publication;
use crate::record::Endpoint;
use crate::setting::{Setting, Value};
use crate::state::Reason;
use crate::writer::{Standing, Writer};

/// Publications that become visible together, within each replica; see [`ReplicatedWriter`](super::ReplicatedWriter::batch).
///
/// It is staged in all replicas before it is committed in the first, so they are apart for no longer than the commits
/// take. Dropped without [`commit`](ReplicatedBatch::commit), it leaves every replica as it was.
///
/// ```
/// use resolver_core::{Capacity, Endpoint, ReplicatedWriter, Standing, heap};
///
/// let memory = [(); 2].map(|()| heap(Capacity::SMALL.lines()));
/// let mut writer = ReplicatedWriter::create(memory.iter().map(|lines| &**lines), &Capacity::SMALL, 1)?;
/// let (oms, limit) = (writer.add("oms")?, writer.add_setting::<i64>("max-position")?);
/// let mut batch = writer.batch();
/// batch.publish(oms, &[Endpoint::new("10.0.0.1:9000".parse()?)], Standing::FRESH, b"")?;
/// batch.set(limit, 500, Standing::FRESH)?;
/// batch.commit();
/// for reader in writer.readers() {
///     assert_eq!((reader.resolve(oms)?.address().port(), reader.get(limit)?), (9000, 500));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ReplicatedBatch<'w, 'm> {
    first: Batch<'w, 'm>,
    others: Vec<Batch<'w, 'm>>,
}

impl<'w, 'm> ReplicatedBatch<'w, 'm> {
    pub(super) fn new(first: &'w mut Writer<'m>, others: &'w mut [Writer<'m>]) -> Self {
        ReplicatedBatch { first: first.batch(), others: others.iter_mut().map(Writer::batch).collect() }
    }

    /// As [`Batch::publish`].
    ///
    /// # Errors
    ///
    /// As [`Batch::publish`].
    pub fn publish(
        &mut self,
        handle: Handle,
        set: &[Endpoint],
        standing: Standing,
        text: &[u8],
    ) -> Result<u64, PublishError> {
        in_each(&mut self.first, &mut self.others, |batch| batch.publish(handle, set, standing, text))
    }

    /// As [`Batch::publish_as`].
    ///
    /// # Errors
    ///
    /// As [`Batch::publish_as`].
    pub fn publish_as(&mut self, handle: Handle, publication: &Publication<'_>) -> Result<u64, PublishError> {
        in_each(&mut self.first, &mut self.others, |batch| batch.publish_as(handle, publication))
    }

    /// As [`Batch::mark`].
    ///
    /// # Errors
    ///
    /// As [`Batch::mark`].
    pub fn mark(&mut self, handle: Handle, standing: Standing) -> Result<(), PublishError> {
        in_each(&mut self.first, &mut self.others, |batch| batch.mark(handle, standing))
    }

    /// As [`Batch::set`].
    ///
    /// # Errors
    ///
    /// As [`Batch::set`].
    pub fn set<T: Value>(
        &mut self,
        setting: Setting<T>,
        value: T,
        standing: Standing,
    ) -> Result<(), PublishError> {
        in_each(&mut self.first, &mut self.others, |batch| batch.set(setting, value, standing))
    }

    /// As [`Batch::unset`].
    ///
    /// # Errors
    ///
    /// As [`Batch::unset`].
    pub fn unset<T: Value>(&mut self, setting: Setting<T>, reason: Reason) -> Result<(), PublishError> {
        in_each(&mut self.first, &mut self.others, |batch| batch.unset(setting, reason))
    }

    /// Makes everything that was added visible, in the first replica first, and in each as of one moment.
    pub fn commit(self) {
        self.first.commit();
        self.others.into_iter().for_each(Batch::commit);
    }
}
