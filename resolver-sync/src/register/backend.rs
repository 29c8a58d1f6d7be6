//! What the keeper of a registration asks of a registry.

use crate::source::Fault;

use super::error::RegisterError;
use super::instance::Condition;

/// How the instance is to appear; the latest word counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    pub(super) condition: Condition,
    /// For people, beside the condition.
    pub(super) note: String,
    pub(super) presence: Presence,
}

/// Whether the instance is to be found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Presence {
    #[default]
    Here,
    /// Registered, and not to be found, for this reason: Consul's maintenance; in etcd the key goes.
    Maintenance(String),
    /// To be deregistered, for good.
    Gone,
}

/// What one sign of life has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// What was registered is there.
    Fine,
    /// It is not, for this reason, and is to be registered again.
    Vanished(String),
}

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    Fault(Fault),
    /// Somebody else has the id, and may be dead or alive: ask again soon.
    Held(String),
    /// Somebody else has the id, and lives.
    Refused(String),
    /// Somebody else has the id that was ours.
    TakenOver(String),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Trouble::Fault(fault)
    }
}

impl Trouble {
    /// In the caller's terms.
    pub(super) fn into_error(self, name: &str, id: &str) -> RegisterError {
        let (name, id) = (name.to_owned(), id.to_owned());
        match self {
            Trouble::Fault(fault) => fault.into(),
            Trouble::Held(holder) => RegisterError::Unreachable(format!(
                "{name}/{id} is registered by {holder}, which has not shown yet whether it lives"
            )),
            Trouble::Refused(holder) => RegisterError::Refused { name, id, holder },
            Trouble::TakenOver(holder) => RegisterError::TakenOver { name, id, holder },
        }
    }
}

/// One registry, for one instance. Every call ends: each request has a deadline.
pub(super) trait Backend {
    /// Puts the instance there, as ordered. Never cancelled.
    async fn register(&mut self, orders: &Orders) -> Result<(), Trouble>;

    /// Gives a sign of life, as ordered, and reads back what was registered. May be cancelled.
    async fn beat(&mut self, orders: &Orders) -> Result<Beat, Trouble>;

    /// Takes the instance away, if it is still its own.
    async fn leave(&mut self) -> Result<(), Trouble>;
}
