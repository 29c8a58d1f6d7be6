//! Registration: an instance in Consul or etcd for as long as the process that serves it lives.
//!
//! ```text
//! Registrar (which registry) + Registration (which instance) -> Registered (a guard)
//!     a thread of its own: register -> pass or keep alive, read back, each TTL/3 -> register again if it vanished
//! ```
//!
//! The promise: registered while the [`Registered`] lives; gone at once when it is dropped, also by a panic that
//! unwinds; gone within a TTL (etcd: and half a second) when the process is killed or stands still. What was registered
//! is read back each third of the TTL, and registered again if it is not there: an agent that was restarted without its
//! data, a lease that was lost, a person who deleted it.
//!
//! In Consul an instance is a service of the local agent, with a TTL check of ours beside the checks that were asked
//! for; in etcd it is a key with a lease, in the form that [`Codec::Seed`](crate::etcd::Codec::Seed) reads.
//!
//! # One id, two processes
//!
//! Whoever finds its id in use either is refused once the holder has shown that it lives, or takes over
//! ([`Conflict`]); a holder that is dead by its TTL is no holder. Who was taken over stays away: it neither registers
//! again nor removes what is not its own any more.
//!
//! # Not this
//!
//! A process that ends by `exit`, `abort` or a signal without a handler drops nothing, and is gone by its TTL only.

use std::time::Duration;

use crate::consul::ConsulConfig;
use crate::consul::service::LocalAgent;
#[cfg(feature = "etcd")]
use crate::etcd::{EtcdConfig, lease::Lessor};

mod backend;
mod board;
mod check;
mod consul;
mod error;
#[cfg(feature = "etcd")]
mod etcd;
mod guard;
mod instance;
mod keeper;

pub use board::{Counts, Status};
pub use check::{Check, Probe};
pub use error::RegisterError;
pub use guard::Registered;
pub use instance::{Condition, Conflict, Registration};

/// Which registry to register with. One can register any number of instances, each on a thread of its own.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use resolver_sync::consul::ConsulConfig;
/// use resolver_sync::register::{Check, Registrar, Registration};
///
/// let registrar = Registrar::consul(ConsulConfig::new("local", "127.0.0.1:8500"))?;
/// let orders = Registration::new("orders", 8080).tag("v2").check(Check::tcp("127.0.0.1:8080"));
/// let registered = registrar.register(orders, Duration::from_secs(10))?;
/// // ... serve ...
/// registered.drain(Duration::from_secs(5))?; // nobody finds it any more; those who did have time to move
/// # Ok::<(), resolver_sync::register::RegisterError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Registrar {
    registry: Registry,
    avoid: Vec<usize>,
}

#[derive(Clone, Debug)]
enum Registry {
    Consul(ConsulConfig),
    #[cfg(feature = "etcd")]
    Etcd(EtcdConfig),
}

impl Registrar {
    /// Registers with one Consul agent, which should be this host's own. Of the configuration, the address, the token (or its
    /// file) and the TLS settings matter; files are looked at with each sign of life, and read when they have changed.
    ///
    /// # Errors
    ///
    /// [`RegisterError::Config`] where the configuration makes no sense, names more than one agent, or would send the
    /// token unencrypted to another host.
    pub fn consul(config: ConsulConfig) -> Result<Self, RegisterError> {
        LocalAgent::new(&config)?;
        Ok(Registrar { registry: Registry::Consul(config), avoid: Vec::new() })
    }

    /// Registers with an etcd cluster, below [`EtcdConfig::prefix`] in [`EtcdConfig::namespace`]. Of the configuration, those
    /// two, the endpoints, the user, the TLS settings and the deadline matter.
    ///
    /// # Errors
    ///
    /// [`RegisterError::Config`] where the configuration makes no sense, or would send the password unencrypted to
    /// another host.
    #[cfg(feature = "etcd")]
    pub fn etcd(mut config: EtcdConfig) -> Result<Self, RegisterError> {
        if !config.prefix.ends_with('/') {
            config.prefix.push('/');
        }
        Lessor::new(&config)?;
        Ok(Registrar { registry: Registry::Etcd(config), avoid: Vec::new() })
    }

    /// Cores that the registration's thread stays away from: those of threads that resolve or trade.
    #[must_use]
    pub fn avoiding(mut self, cores: impl IntoIterator<Item = usize>) -> Self {
        self.avoid = cores.into_iter().collect();
        self
    }

    /// Registers, and waits until the registry has it.
    ///
    /// # Errors
    ///
    /// [`RegisterError`]; nothing is registered then, and nothing goes on trying.
    pub fn register(
        &self,
        registration: Registration,
        within: Duration,
    ) -> Result<Registered, RegisterError> {
        let registered = self.start(registration)?;
        registered.wait_until_registered(within)?;
        Ok(registered)
    }

    /// Starts to register, and goes on until it is done or refused; see [`Registered::status`]. For a process that must
    /// start whether or not the registry can be reached.
    ///
    /// # Errors
    ///
    /// [`RegisterError::Config`] where the registration makes no sense to this registry, and [`RegisterError::Thread`].
    pub fn start(&self, registration: Registration) -> Result<Registered, RegisterError> {
        let registration = registration.checked(self.is_etcd())?;
        Registered::start(self.clone(), registration)
    }

    fn is_etcd(&self) -> bool {
        !matches!(self.registry, Registry::Consul(_))
    }
}
