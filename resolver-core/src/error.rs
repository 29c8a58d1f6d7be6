//! What reading and writing a table can answer besides a value.

use core::fmt;

use crate::name::NameError;

/// Why a service gave no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// The name is known, but no set was ever published under it.
    Never,
    /// The registry has confirmed that the service has no instance.
    Empty,
    /// The service was removed, or the handle is of another table. Look the name up again, off the hot path.
    Gone,
    /// The writer overtook this read 16 times. The last copy that the caller has is still the newest it has seen.
    Busy,
}

/// Why a set could not be walked to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkError {
    /// Another set was published meanwhile: take it and begin again.
    Changed,
    /// The writer overtook this read 16 times.
    Busy,
}

/// Why a name was not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddError {
    /// It cannot be a name.
    Name(NameError),
    /// There is room for no further service at a time.
    Services,
    /// The table has seen as many different names as it has room for; a new table must supersede it.
    Names,
}

/// Why a publication was refused. Nothing of it is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The service was removed, or the handle is of another table.
    Gone,
    /// A set has at most 65535 endpoints.
    Long,
    /// No block of free cells is large enough.
    Full {
        /// Endpoint cells that the set and its text would take.
        needed: usize,
        /// Endpoint cells in use, of [`Writer::usage`](crate::Writer::usage).
        used: usize,
    },
    /// The set has a text, and the table was created without room for any.
    Text,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResolveError::Never => "nothing was published under this name yet",
            ResolveError::Empty => "the registry has confirmed that the service has no instance",
            ResolveError::Gone => "the service was removed; look its name up again",
            ResolveError::Busy => "the writer overtook this read; keep the last copy",
        })
    }
}

impl fmt::Display for WalkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WalkError::Changed => "another set was published during the walk",
            WalkError::Busy => "the writer overtook this read",
        })
    }
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddError::Name(error) => error.fmt(f),
            AddError::Services => f.write_str("the table has no room for another service"),
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
            PublishError::Full { needed, used } => {
                write!(f, "no room for {needed} endpoint cells together ({used} are in use)")
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
