//! Consul: one blocking query for each service, by the official rules, and a heartbeat beside them.
//!
//! ```text
//! heartbeat -> Contact (up or down, generation, epoch) -> alive, lost
//!                 |
//! catalogue -> which services -> Poll (index rules, pacing) -> Health -> ServiceSet -> Feed
//! ```
//!
//! What an answer may be trusted with is decided in three places: `index` says what an index means, `poll` which
//! answer may be believed, `confirm` which one is proven.

use crate::record::ServiceSet;
use crate::source::{Fault, Feed, LocalFuture, Source};

mod agent;
mod config;
mod confirm;
mod contact;
mod health;
mod heartbeat;
mod index;
mod kv;
mod memory;
mod poll;
mod status;
mod watch;

pub use config::{ConfigError, Consistency, ConsulConfig, HealthPolicy, Services};
pub use kv::ConsulKv;

use agent::{Agents, Request};
use confirm::Confirmation;
use memory::Memory;

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
    memory: Memory,
}

impl ConsulSource {
    /// A source that asks nothing yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where the configuration makes no sense, or would send the token unencrypted to another host.
    pub fn new(config: ConsulConfig) -> Result<Self, ConfigError> {
        let agents = Agents::new(&config)?;
        Ok(ConsulSource { config, agents, memory: Memory::default() })
    }
}

impl Source for ConsulSource {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn watch<'a>(&'a self, known: Vec<String>, feed: &'a Feed) -> LocalFuture<'a, ()> {
        Box::pin(watch::run(&self.config, &self.agents, &self.memory, known, feed))
    }

    fn confirm<'a>(&'a self, service: &'a str) -> LocalFuture<'a, Result<ServiceSet, Fault>> {
        let (config, agents, memory) = (&self.config, &self.agents, &self.memory);
        Box::pin(async move { Confirmation { config, agents, memory, service }.run().await })
    }
}

/// The read of one service. `narrow` leaves it to the server to drop what does not pass.
fn service_request(config: &ConsulConfig, service: &str, narrow: bool) -> Request {
    let mut request = in_datacenter(config, Request::get(["health", "service", service]));
    if narrow && config.health == HealthPolicy::Passing && !config.unhealthy {
        request = request.with("passing", "1");
    }
    if let Some(filter) = &config.filter {
        request = request.with("filter", filter);
    }
    config.tags.iter().fold(request, |request, tag| request.with("tag", tag))
}

fn in_datacenter(config: &ConsulConfig, request: Request) -> Request {
    match &config.datacenter {
        Some(datacenter) => request.with("dc", datacenter),
        None => request,
    }
}
