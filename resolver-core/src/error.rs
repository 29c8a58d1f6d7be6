//! What reading and writing a table can answer besides a value.

use core::fmt;

use crate::name::NameError;
use crate::setting::Kind;

/// Why a service gave no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// The name is known, but no set (or value) was ever published under it.
    Never,
    /// The registry has confirmed that the service has no instance, or the setting no value.
    Empty,
    /// The service or setting was removed, or the handle is of another table. Look the name up again, off the hot path.
    Gone,
    /// The writer overtook this read 16 times. The last copy that the caller has is still the newest it has seen.
    Busy,
}

/// Why a set could not be walked to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkError {
    /// Another set was published meanwhile: take it and begin again.
    Changed,
}

/// Why a name was not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddError {
    /// It cannot be a name.
    Name(NameError),
    /// There is room for no further service at a time.
    Services,
    /// There is room for no further setting at a time.
    Settings,
    /// There is a setting of this name and another kind.
    Kind {
        /// What it is.
        is: Kind,
        /// What it was to be.
        asked: Kind,
    },
    /// The table has seen as many different names as it has room for; a new table must supersede it.
    Names,
}

/// Why a publication was refused. Nothing of it is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The service or setting was removed, or the handle is of another table.
    Gone,
    /// A set has at most 65535 endpoints.
    Long,
    /// Of a set that is not empty, at least one endpoint is active, and at most all are.
    Active {
        /// As it was asked for.
        active: usize,
        /// Endpoints in the set.
        all: usize,
    },
    /// A key table has at least 100 places for each active endpoint, and at most 1,000,000.
    Places {
        /// The fewest for this set.
        needed: u32,
        /// As it was asked for.
        asked: u32,
    },
    /// A smooth order is made for so many active endpoints at most.
    Order {
        /// Active endpoints of the set.
        active: usize,
        /// The most.
        most: usize,
    },
    /// Sources are numbered below [`MAX_SOURCES`](crate::MAX_SOURCES).
    Source(u8),
    /// No block of free leaves is large enough.
    Full {
        /// Leaves that the set, its tables and its text would take.
        needed: usize,
        /// Leaves in use, of [`Writer::usage`](crate::Writer::usage).
        used: usize,
    },
    /// The set has a text, and the table was created without room for any.
    Text,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResolveError::Never => "nothing was published under this name yet",
            ResolveError::Empty => "the registry has confirmed that there is no instance, or no value",
            ResolveError::Gone => "it was removed; look its name up again",
            ResolveError::Busy => "the writer overtook this read; keep the last copy",
        })
    }
}

impl fmt::Display for WalkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WalkError::Changed => "another set was published during the walk",
        })
    }
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddError::Name(error) => error.fmt(f),
            AddError::Services => f.write_str("the table has no room for another service"),
            AddError::Settings => f.write_str("the table has no room for another setting"),
            AddError::Kind { is, asked } => write!(f, "the setting is a {is}; remove it before it is added as a {asked}"),
            AddError::Names => {
                f.write_str("the table has no room for another name: remove the segment's file, so that a new one is made")
            }
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::Gone => f.write_str("the service was removed"),
            PublishError::Long => f.write_str("a set has at most 65535 endpoints"),
            PublishError::Active { active, all } => {
                write!(
                    f,
                    "{active} active endpoints of a set of {all}: at least one, and at most all of them"
                )
            }
            PublishError::Places { needed, asked } => {
                write!(f, "a key table of {asked} places: this set needs {needed} to 1000000")
            }
            PublishError::Order { active, most } => {
                write!(f, "a smooth order of {active} active endpoints: at most {most}")
            }
            PublishError::Source(number) => write!(f, "source {number}: sources are numbered 0 to 31"),
            PublishError::Full { needed, used } => {
                write!(f, "no room for {needed} leaves together ({used} are in use)")
            }
            PublishError::Text => f.write_str("the table was created without room for text"),
        }
    }
}

impl core::error::Error for ResolveError {}
impl core::error::Error for WalkError {}
impl core::error::Error for AddError {}
impl core::error::Error for PublishError {}

impl From<NameError> for AddError {
    fn from(error: NameError) -> Self {
        AddError::Name(error)
    }
}
