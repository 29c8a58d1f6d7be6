//! The publisher's word on a service: how old, and why.

/// How a service stands, as its publisher last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Nothing was ever published under this name.
    Never = 0,
    /// As the registry has it, confirmed within the source's bound.
    Fresh = 1,
    /// The last good set; the registry could not confirm it lately. [`Reason`] says why.
    Stale = 2,
    /// The registry has confirmed that there is no instance.
    Empty = 3,
    /// The name was removed; its handle is dead.
    Removed = 4,
}

/// Why a service is not simply as the registry has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// Nothing to explain.
    #[default]
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
    /// Too few instances are healthy, so all that are known serve: a panic threshold was passed. The set may be fresh.
    Panic = 10,
    /// An operator took every endpoint out (`resolver kill`), so the service is empty.
    Killed = 11,
}

impl State {
    /// The short name that tools print.
    pub const fn name(self) -> &'static str {
        match self {
            State::Never => "NEVER",
            State::Fresh => "FRESH",
            State::Stale => "STALE",
            State::Empty => "EMPTY",
            State::Removed => "REMOVED",
        }
    }

    /// What a set that is not empty can be: fresh or stale.
    pub(crate) fn of_a_set(self) -> Self {
        if self == State::Fresh { State::Fresh } else { State::Stale }
    }

    /// Reads a byte of a table; an unknown value is `None`.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => State::Never,
            1 => State::Fresh,
            2 => State::Stale,
            3 => State::Empty,
            4 => State::Removed,
            _ => return None,
        })
    }
}

impl Reason {
    /// The short name that tools print.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::None => "none",
            Reason::Unreachable => "unreachable",
            Reason::Acl => "acl",
            Reason::NoLeader => "no-leader",
            Reason::Unconfirmed => "unconfirmed",
            Reason::Regressed => "regressed",
            Reason::BadRecords => "bad-records",
            Reason::Capacity => "capacity",
            Reason::Restored => "restored",
            Reason::BadAnswer => "bad-answer",
            Reason::Panic => "panic",
            Reason::Killed => "killed",
        }
    }

    /// Reads a byte of a table; an unknown value is `None`.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Reason::None,
            1 => Reason::Unreachable,
            2 => Reason::Acl,
            3 => Reason::NoLeader,
            4 => Reason::Unconfirmed,
            5 => Reason::Regressed,
            6 => Reason::BadRecords,
            7 => Reason::Capacity,
            8 => Reason::Restored,
            9 => Reason::BadAnswer,
            10 => Reason::Panic,
            11 => Reason::Killed,
            _ => return None,
        })
    }
}
