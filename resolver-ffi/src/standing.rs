//! How a service stands, by number.

use resolver_core as core_table;

/// How a service stands, as its publisher last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Nothing was ever published under this name.
    Never = 0,
    /// As the registry has it, confirmed within the source's bound.
    Fresh = 1,
    /// The last good set; the registry could not confirm it lately.
    Stale = 2,
    /// The registry has confirmed that there is no instance.
    Empty = 3,
}

/// Why a service is not simply as the registry has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// Nothing to explain.
    None = 0,
    /// The registry does not answer.
    Unreachable = 1,
    /// The token may not read the service.
    Acl = 2,
    /// The registry has no leader.
    NoLeader = 3,
    /// An empty or strongly shrunken answer that no second, consistent read has confirmed yet.
    Unconfirmed = 4,
    /// The registry went back to an older revision, or is another cluster.
    Regressed = 5,
    /// Every record of the service was refused.
    BadRecords = 6,
    /// The new set does not fit the table.
    Capacity = 7,
    /// From a predecessor or from disk; the registry has not spoken yet.
    Restored = 8,
    /// The answer could not be understood or went over a limit.
    BadAnswer = 9,
    /// Too few instances are healthy, so all that are known serve. The set may be fresh.
    Panic = 10,
    /// An operator took every endpoint out, so the service is empty.
    Killed = 11,
}

/// How a service stands, whether or not it has an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Standing {
    /// The publication.
    pub generation: u64,
    /// A `RESOLVER_STATE_`.
    pub state: u8,
    /// A `RESOLVER_REASON_`.
    pub reason: u8,
    /// Number of the source.
    pub source: u8,
    /// 0.
    pub reserved: [u8; 5],
}

const _: () = {
    assert!(State::Never as u8 == core_table::State::Never as u8);
    assert!(State::Fresh as u8 == core_table::State::Fresh as u8);
    assert!(State::Stale as u8 == core_table::State::Stale as u8);
    assert!(State::Empty as u8 == core_table::State::Empty as u8);
    assert!(Reason::None as u8 == core_table::Reason::None as u8);
    assert!(Reason::Unreachable as u8 == core_table::Reason::Unreachable as u8);
    assert!(Reason::Acl as u8 == core_table::Reason::Acl as u8);
    assert!(Reason::NoLeader as u8 == core_table::Reason::NoLeader as u8);
    assert!(Reason::Unconfirmed as u8 == core_table::Reason::Unconfirmed as u8);
    assert!(Reason::Regressed as u8 == core_table::Reason::Regressed as u8);
    assert!(Reason::BadRecords as u8 == core_table::Reason::BadRecords as u8);
    assert!(Reason::Capacity as u8 == core_table::Reason::Capacity as u8);
    assert!(Reason::Restored as u8 == core_table::Reason::Restored as u8);
    assert!(Reason::BadAnswer as u8 == core_table::Reason::BadAnswer as u8);
    assert!(Reason::Panic as u8 == core_table::Reason::Panic as u8);
    assert!(Reason::Killed as u8 == core_table::Reason::Killed as u8);
    // The next one is missing here.
    assert!(core_table::Reason::from_byte(Reason::Killed as u8 + 1).is_none());
};
