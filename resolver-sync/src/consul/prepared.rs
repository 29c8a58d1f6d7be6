//! Prepared queries: what they answer is asked for again and again, since they cannot block.
//!
//! A query is a service of its own here. Its instances have as their tier how many datacentres failed before one had any,
//! and name that one; so a failover is seen as one. Its revision is a count of its answers that differed: Consul has
//! none.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use resolver_core::Reason;
use serde::Deserialize;
use tokio::time::Duration;

use crate::record::ServiceSet;
use crate::source::Fault;

use super::agent::{Agents, Lane, Request};
use super::choice::Consistency;
use super::config::ConsulConfig;
use super::confirm::Confirmation;
use super::health::Health;
use super::memory::Memory;
use super::merged::Merged;
use super::query::Scope;
use super::watch::Shared;

/// Executes a query for ever.
pub(super) async fn follow(shared: Shared<'_, '_>, memory: &Memory, query: &str) {
    let Shared { config, agents, contact, .. } = shared;
    let merged = Merged::new(query, contact, 1);
    let execution = Execution { config, agents, query };
    let mut last: Option<ServiceSet> = None;
    loop {
        let generation = contact.is_up().await.generation;
        let answer = tokio::select! {
            biased;
            () = contact.is_past(generation) => continue,
            answer = execution.run(config.consistency) => answer,
        };
        match answer {
            Ok(answer) => {
                let mut set = answer.set(config);
                let nodes = answer.health.nodes();
                // The first of this run may well be another one than the last of a run before.
                let same = last.as_ref().is_some_and(|last| {
                    (&last.instances, &last.unhealthy, &last.rejected)
                        == (&set.instances, &set.unhealthy, &set.rejected)
                });
                set.revision = memory.of(query).revision + u64::from(!same);
                set.revision = set.revision.max(last.as_ref().map_or(1, |last| last.revision));
                memory.saw(query, nodes, set.revision);
                merged.learn(0, set.clone(), generation);
                last = Some(set);
            }
            Err(fault) => {
                if matches!(fault.reason, Reason::Unreachable | Reason::NoLeader) {
                    contact.doubt();
                }
                merged.doubt(0, fault, generation);
            }
        }
        let pause = config.query_interval.mul_f64(0.9 + 0.2 * fastrand::f64());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = contact.is_past(generation) => {}
        }
    }
}

/// One query, executed consistently, and the proof that what is missing was not filtered.
pub(super) async fn confirm(
    config: &ConsulConfig,
    agents: &Agents,
    memory: &Memory,
    query: &str,
) -> Result<ServiceSet, Fault> {
    let execution = Execution { config, agents, query };
    let answer = execution.run(Consistency::Consistent).await?;
    let seen = memory.of(query);
    let nodes: BTreeSet<String> = answer.health.nodes().map(String::from).collect();
    let scope = Scope { datacenter: Some(&answer.datacenter), tier: 0, several: false };
    let proof = Confirmation { config, agents, memory, scope, service: &answer.service };
    proof.prove(&execution.request(), &nodes, answer.health.is_empty(), &seen).await?;
    let mut set = answer.set(config);
    set.revision = seen.revision.max(1);
    memory.confirmed(query, nodes, set.revision);
    Ok(set)
}

struct Execution<'a> {
    config: &'a ConsulConfig,
    agents: &'a Agents,
    query: &'a str,
}

struct Executed {
    /// What the query asks for.
    service: String,
    /// Whose instances these are.
    datacenter: String,
    failovers: u8,
    health: Health,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wire {
    #[serde(default)]
    service: String,
    #[serde(default)]
    datacenter: String,
    #[serde(default)]
    failovers: u32,
    #[serde(default)]
    nodes: serde_json::Value,
}

impl Execution<'_> {
    fn request(&self) -> Request {
        let mut request = Request::get(["query", self.query, "execute"]);
        let options = [
            // Where it is executed; whereto it fails over is its own.
            ("dc", self.config.datacenters.first()),
            ("ns", self.config.namespace.as_ref()),
            ("partition", self.config.partition.as_ref()),
            ("near", self.config.near.as_ref()),
        ];
        for (key, value) in options {
            if let Some(value) = value {
                request = request.with(key, value);
            }
        }
        request
    }

    async fn run(&self, consistency: Consistency) -> Result<Executed, Fault> {
        let Execution { agents, .. } = self;
        let mut request = self.request();
        request = match consistency {
            Consistency::Stale { .. } => request.with("stale", ""),
            Consistency::Cached { .. } => request.with("cached", ""),
            Consistency::Consistent => request.with("consistent", ""),
            Consistency::Default => request,
        };
        let answer = agents.send(Lane::Ask, &request, DEADLINE).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                let what = "there is no such prepared query, or the token may not read it (`query_prefix`)";
                return Err(agents.fault(Reason::BadAnswer, &request, what));
            }
            _ => return Err(agents.refusal(&request, &answer)),
        }
        if answer.known_leader != Some(true) {
            let what = "the server that answered knows no leader";
            return Err(agents.fault(Reason::NoLeader, &request, what));
        }
        let too_old = match consistency {
            Consistency::Stale { max_age } => answer.last_contact > max_age,
            Consistency::Cached { max_age, .. } => answer.age > max_age,
            _ => false,
        };
        if too_old {
            return Box::pin(self.run(Consistency::Default)).await;
        }
        let wrong = |wrong: &dyn std::fmt::Display| {
            let what = format_args!("not an executed query: {wrong}");
            Err(agents.fault(Reason::BadAnswer, &request, what))
        };
        let wire: Wire = match serde_json::from_slice(&answer.body) {
            Ok(wire) => wire,
            Err(error) => return wrong(&error),
        };
        let health = match Health::parse(wire.nodes.to_string().as_bytes()) {
            Ok(health) => health,
            Err(error) => return wrong(&error),
        };
        let failovers = u8::try_from(wire.failovers).unwrap_or(u8::MAX);
        Ok(Executed { service: wire.service, datacenter: wire.datacenter, failovers, health })
    }
}

impl Executed {
    /// Instances are named as those of several datacentres are: which one it is may change.
    fn set(&self, config: &ConsulConfig) -> ServiceSet {
        let scope = Scope { datacenter: Some(&self.datacenter), tier: self.failovers, several: true };
        let mut set = self.health.clone().into_set(config, &scope, 0);
        for instance in set.instances.iter_mut().chain(&mut set.unhealthy) {
            instance.meta.entry("datacenter".into()).or_insert_with(|| self.datacenter.clone());
        }
        set
    }
}

/// An execution may ask several datacentres.
const DEADLINE: Duration = Duration::from_secs(10);
