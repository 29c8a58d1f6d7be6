//! Consul: one blocking query for each service, by the official rules, and a heartbeat beside them.
//!
//! ```text
//! heartbeat -> Contact (up or down, generation, epoch) -> alive, lost
//!                 |
//! catalogue -> which services -> Poll (index rules, pacing) -> Health -> Merged (datacentres as tiers) -> Feed
//!                    |                                            |
//!                    +-> over the limit: Wide (all checks) -> targeted reads     prepared queries, polled
//! ```
//!
//! What an answer may be trusted with is decided in three places: `index` says what an index means, `poll` which
//! answer may be believed, `confirm` which one is proven. `docs/consul.md` ties each rule to the test that holds it.

use crate::record::ServiceSet;
use crate::source::{Fault, Feed, LocalFuture, Source};

mod agent;
mod choice;
mod config;
mod confirm;
mod contact;
mod credentials;
mod health;
mod heartbeat;
mod index;
mod kv;
mod memory;
mod merged;
mod poll;
mod prepared;
mod query;
pub(crate) mod service;
mod status;
mod tls;
mod wanted;
mod watch;
mod wide;

pub use choice::{AddressKind, Consistency, HealthPolicy, Services, TlsConfig};
pub use config::{ConfigError, ConsulConfig};
pub use kv::ConsulKv;

use futures_util::future::try_join_all;

use agent::Agents;
use confirm::Confirmation;
use memory::Memory;
use query::Scope;

/// Watches the services of one Consul cluster through an agent.
///
/// # Examples
///
/// ```
/// use resolver_sync::consul::{ConsulConfig, ConsulSource, Services};
/// use resolver_sync::source::Source;
///
/// let mut config = ConsulConfig::new("main", "127.0.0.1:8500");
/// config.services = Services::Named(vec!["orders".into()]);
/// let source = ConsulSource::new(config)?;
/// assert_eq!(source.name(), "main");
/// # Ok::<(), resolver_sync::consul::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct ConsulSource {
    config: ConsulConfig,
    agents: Agents,
    /// For each datacentre.
    memories: Vec<Memory>,
    /// For prepared queries.
    queries: Memory,
}

impl ConsulSource {
    /// A source that asks nothing yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where the configuration makes no sense, or would send the token unencrypted to another host.
    pub fn new(config: ConsulConfig) -> Result<Self, ConfigError> {
        let agents = Agents::new(&config)?;
        let memories = Scope::all(&config).iter().map(|_| Memory::default()).collect();
        Ok(ConsulSource { config, agents, memories, queries: Memory::default() })
    }
}

impl Source for ConsulSource {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn watch<'a>(&'a self, known: Vec<String>, feed: &'a Feed) -> LocalFuture<'a, ()> {
        Box::pin(watch::run(&self.config, &self.agents, &self.memories, &self.queries, known, feed))
    }

    fn confirm<'a>(&'a self, service: &'a str) -> LocalFuture<'a, Result<ServiceSet, Fault>> {
        let ConsulSource { config, agents, memories, queries } = self;
        if config.queries.iter().any(|query| query == service) {
            return Box::pin(prepared::confirm(config, agents, queries, service));
        }
        Box::pin(async move {
            let parts = Scope::all(config).into_iter().zip(memories).map(|(scope, memory)| async move {
                Confirmation { config, agents, memory, scope, service }.run().await
            });
            Ok(merged::sum(try_join_all(parts).await?))
        })
    }
}
