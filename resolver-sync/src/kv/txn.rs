//! Transactions that both registries can do.

use std::collections::BTreeSet;

use super::{Kv, KvError, Lease};

/// The most checks and operations together: Consul's limit, which is under etcd's.
pub const MAX_OPS: usize = 64;

/// What must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The key is as it was at this [`Entry::revision`](super::Entry::revision).
    Revision {
        /// The key.
        key: String,
        /// Not 0.
        revision: u64,
    },
    /// There is no such key.
    Absent {
        /// The key.
        key: String,
    },
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes a value.
    Put {
        /// The key.
        key: String,
        /// Any bytes, up to the limit.
        value: Vec<u8>,
        /// Consul's number beside the value; etcd has none and ignores it.
        flags: u64,
        /// With which the key goes away.
        lease: Option<Lease>,
    },
    /// Deletes a key, if there is one.
    Delete {
        /// The key.
        key: String,
    },
}

/// What came of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was done, at this revision; Consul tells none where nothing but deletions were asked for.
    Done {
        /// As [`Entry::revision`](super::Entry::revision) of what was put.
        revision: Option<u64>,
    },
    /// A check did not hold, and nothing was done.
    Conflict {
        /// Which one, where the registry says so.
        why: String,
    },
}

impl Check {
    /// As it was at `revision`; absent where that is 0.
    pub fn of(key: &str, revision: u64) -> Self {
        match revision {
            0 => Check::Absent { key: key.into() },
            revision => Check::Revision { key: key.into(), revision },
        }
    }

    /// The key that it is about.
    pub fn key(&self) -> &str {
        match self {
            Check::Revision { key, .. } | Check::Absent { key } => key,
        }
    }
}

impl Op {
    /// Writes a value that stays.
    pub fn put(key: &str, value: &[u8]) -> Self {
        Op::Put { key: key.into(), value: value.into(), flags: 0, lease: None }
    }

    /// Writes a value that goes with a lease.
    pub fn put_with(key: &str, value: &[u8], lease: &Lease) -> Self {
        Op::Put { key: key.into(), value: value.into(), flags: 0, lease: Some(lease.clone()) }
    }

    /// The key that it is about.
    pub fn key(&self) -> &str {
        match self {
            Op::Put { key, .. } | Op::Delete { key } => key,
        }
    }
}

/// Refuses what one of the registries would refuse, or would take for something else, before anything is sent.
pub(crate) fn vet(kv: &(impl Kv + ?Sized), checks: &[Check], ops: &[Op]) -> Result<(), KvError> {
    if ops.is_empty() {
        return Err(KvError::Txn("it does nothing".into()));
    }
    if checks.len() + ops.len() > MAX_OPS {
        let count = checks.len() + ops.len();
        return Err(KvError::Txn(format!("{count} checks and operations are over the limit of {MAX_OPS}")));
    }
    let mut keys = BTreeSet::new();
    for op in ops {
        kv.check_key(op.key())?;
        if !keys.insert(op.key()) {
            return Err(KvError::Txn(format!("it changes {:?} twice", op.key())));
        }
        if let Op::Put { key, value, .. } = op
            && value.len() > kv.value_limit()
        {
            return Err(KvError::too_large(key, value.len(), kv.value_limit()));
        }
    }
    checks.iter().try_for_each(|check| match check {
        Check::Revision { key, revision: 0 } => {
            Err(KvError::Txn(format!("revision 0 of {key:?} is none; say that it must be absent")))
        }
        check => kv.check_key(check.key()),
    })
}
