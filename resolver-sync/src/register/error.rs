//! What can go wrong with a registration.

use std::time::Duration;

use resolver_core::Reason;

use crate::consul::ConfigError;
#[cfg(feature = "etcd")]
use crate::etcd::EtcdError;
use crate::source::Fault;

/// Why an instance is not registered. None of them carries a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The registration or the registry's configuration makes no sense.
    #[error("{0}")]
    Config(String),
    /// Another live process has this id, and taking over was not asked for.
    #[error("{name}/{id} is registered by {holder}, which is alive; use another id, or ask to take over")]
    Refused {
        /// The service.
        name: String,
        /// The instance.
        id: String,
        /// Who has it, as far as the registry says.
        holder: String,
    },
    /// Another process took over this id; this one stays away.
    #[error("{name}/{id} was taken over by {holder}; this process does not register it again")]
    TakenOver {
        /// The service.
        name: String,
        /// The instance.
        id: String,
        /// Who has it, as far as the registry says.
        holder: String,
    },
    /// The registry does not allow it.
    #[error("{0}")]
    Denied(String),
    /// The registry says that the registration is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The registry cannot be reached, or has no leader. Tried again for as long as the guard lives.
    #[error("{0}")]
    Unreachable(String),
    /// It did not happen in time.
    #[error("not registered within {within:?}: {}", last.as_deref().unwrap_or("no answer yet"))]
    Late {
        /// How long was waited.
        within: Duration,
        /// What came of the last attempt.
        last: Option<String>,
    },
    /// There is no thread for it.
    #[error("no thread to keep the registration: {0}")]
    Thread(String),
}

impl RegisterError {
    /// Whether trying the very same again can help.
    pub fn is_temporary(&self) -> bool {
        matches!(self, RegisterError::Unreachable(_) | RegisterError::Late { .. })
    }
}

impl From<Fault> for RegisterError {
    fn from(fault: Fault) -> Self {
        match fault.reason {
            Reason::Acl => RegisterError::Denied(fault.detail),
            Reason::BadAnswer => RegisterError::Invalid(fault.detail),
            _ => RegisterError::Unreachable(fault.detail),
        }
    }
}

impl From<ConfigError> for RegisterError {
    fn from(error: ConfigError) -> Self {
        RegisterError::Config(error.to_string())
    }
}

#[cfg(feature = "etcd")]
impl From<EtcdError> for RegisterError {
    fn from(error: EtcdError) -> Self {
        RegisterError::Config(error.to_string())
    }
}
