//! The second, consistent read, and the proof that it was not filtered.
//!
//! A token that lost its rights reads `[]` with a 200, as often as it asks; Consul 1.8 has no word for it. Observed there:
//!
//! - An instance is hidden unless the token may read its service and its node. `/v1/catalog/services` hides a name
//!   only if the service may not be read: a service that is listed there, but has no instance, has hidden ones.
//! - `/v1/internal/acl/authorize` says what a token may, at most 64 things at a time. A client agent answers it from
//!   a cache, which still said yes for 30 s after the servers had begun to answer `[]`. So it is not enough.
//! - `/v1/config/service-defaults/:name` and `/v1/coordinate/node/:node` are refused with 403 by the servers themselves
//!   if the service or the node may not be read, and are 200 or 404 otherwise, whether or not there is such a thing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use reqwest::StatusCode;
use resolver_core::Reason;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::record::ServiceSet;
use crate::source::Fault;

use super::agent::{Agents, Answer, Lane, Request};
use super::config::ConsulConfig;
use super::health::Health;
use super::memory::{Memory, Seen};
use super::query::{Scope, scoped, service_request};

/// One confirmation, in one datacentre.
pub(super) struct Confirmation<'a> {
    pub(super) config: &'a ConsulConfig,
    pub(super) agents: &'a Agents,
    pub(super) memory: &'a Memory,
    pub(super) scope: Scope<'a>,
    pub(super) service: &'a str,
}

impl Confirmation<'_> {
    /// The service's set, proven.
    pub(super) async fn run(&self) -> Result<ServiceSet, Fault> {
        let request = service_request(self.config, &self.scope, self.service, false);
        let (health, index) = self.health(&request).await?;
        let seen = self.memory.of(self.service);
        if index < seen.revision {
            let what =
                format_args!("the second read is of index {index}, the first was of {}", seen.revision);
            return Err(self.agents.fault(Reason::Regressed, &request, what));
        }
        let nodes: BTreeSet<String> = health.nodes().map(String::from).collect();
        self.prove(&request, &nodes, health.is_empty(), &seen).await?;
        self.memory.confirmed(self.service, nodes, index);
        Ok(health.into_set(self.config, &self.scope, index))
    }

    /// That the answer to `request`, which had these nodes, was not filtered.
    pub(super) async fn prove(
        &self,
        request: &Request,
        nodes: &BTreeSet<String>,
        is_empty: bool,
        seen: &Seen,
    ) -> Result<(), Fault> {
        if !self.acls_are_on().await? {
            return Ok(());
        }
        self.service_may_be_read().await?;
        if is_empty && self.is_bare(request).await? {
            return self.catalog_has_none().await;
        }
        let missing: Vec<&str> = seen.nodes.difference(nodes).map(String::as_str).collect();
        self.nodes_may_be_read(&missing, seen.partly).await
    }

    async fn health(&self, request: &Request) -> Result<(Health, u64), Fault> {
        let request = &request.clone().with("consistent", "");
        let answer = self.ask(request).await?;
        let fault = |reason, what: &str| Err(self.agents.fault(reason, request, what));
        if answer.known_leader != Some(true) {
            return fault(Reason::NoLeader, "the server that answered knows no leader");
        }
        if answer.filtered {
            return fault(Reason::Acl, "the answer was filtered; check what the token may read");
        }
        let Some(index) = answer.index else {
            return fault(Reason::BadAnswer, "an answer without X-Consul-Index");
        };
        match Health::parse(&answer.body) {
            Ok(health) => Ok((health, index)),
            Err(wrong) => fault(Reason::BadAnswer, &wrong),
        }
    }

    /// Whether there is anything that could filter. Refuses at once where the agent knows that the token may not.
    async fn acls_are_on(&self) -> Result<bool, Fault> {
        match self.authorize(&[Right::read("service", self.service)]).await? {
            None => Ok(false),
            Some(verdicts) if verdicts == [true] => Ok(true),
            Some(_) => Err(self.denied(&authorize(), "service", self.service)),
        }
    }

    /// The servers' own word on the service.
    async fn service_may_be_read(&self) -> Result<(), Fault> {
        let request =
            scoped(self.config, &self.scope, Request::get(["config", "service-defaults", self.service]));
        self.is_not_refused(&request, "service", self.service).await
    }

    /// Whether a service without instances has none at all, whatever tags and filter are configured.
    async fn is_bare(&self, narrow: &Request) -> Result<bool, Fault> {
        let wide = scoped(self.config, &self.scope, Request::get(["health", "service", self.service]));
        if narrow.segments == wide.segments && narrow.query == wide.query {
            return Ok(true);
        }
        Ok(self.health(&wide).await?.0.is_empty())
    }

    /// The catalogue must not list the service: else it has instances that the token may not see.
    async fn catalog_has_none(&self) -> Result<(), Fault> {
        let request =
            scoped(self.config, &self.scope, Request::get(["catalog", "services"])).with("consistent", "");
        let answer = self.ask(&request).await?;
        let names: BTreeMap<String, IgnoredAny> = serde_json::from_slice(&answer.body).map_err(|wrong| {
            self.agents.fault(Reason::BadAnswer, &request, format_args!("not a list of services: {wrong}"))
        })?;
        if names.contains_key(self.service) {
            let what = "the service is listed, but no instance is shown: the token may not read their nodes";
            return Err(self.agents.fault(Reason::Acl, &request, what));
        }
        Ok(())
    }

    /// Every node that is missing from the answer must be one that the token would be shown.
    async fn nodes_may_be_read(&self, missing: &[&str], more: bool) -> Result<(), Fault> {
        let mut rights: Vec<_> = missing.iter().map(|node| Right::read("node", node)).collect();
        if more {
            // Nobody remembers all of the nodes, so nothing less than leave to read any will do.
            rights.push(Right::read("node", ""));
        }
        for batch in rights.chunks(BATCH) {
            let verdicts = self.authorize(batch).await?.unwrap_or_default();
            if let Some(at) = (0..batch.len()).find(|at| verdicts.get(*at) != Some(&true)) {
                return Err(self.denied(&authorize(), "node", &batch[at].segment));
            }
        }
        stream::iter(missing)
            .map(|node| async move {
                let request = scoped(self.config, &self.scope, Request::get(["coordinate", "node", node]));
                self.is_not_refused(&request, "node", node).await
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// What the agent says of these rights, in their order; `None` where ACLs are off.
    async fn authorize(&self, rights: &[Right]) -> Result<Option<Vec<bool>>, Fault> {
        let body = serde_json::to_vec(rights).unwrap_or_default();
        let request = scoped(self.config, &self.scope, authorize()).post(body);
        let answer = self.agents.send(Lane::Ask, &request, DEADLINE).await?;
        if answer.status != StatusCode::OK {
            if answer.body.starts_with(b"ACL support disabled") {
                return Ok(None);
            }
            return Err(self.agents.refusal(&request, &answer));
        }
        let verdicts: Vec<Verdict> = serde_json::from_slice(&answer.body).map_err(|wrong| {
            self.agents.fault(Reason::BadAnswer, &request, format_args!("not a list of rights: {wrong}"))
        })?;
        Ok(Some(verdicts.iter().map(|verdict| verdict.allow).collect()))
    }

    async fn is_not_refused(&self, request: &Request, kind: &str, name: &str) -> Result<(), Fault> {
        let answer = self.agents.send(Lane::Ask, request, DEADLINE).await?;
        match answer.status {
            StatusCode::OK | StatusCode::NOT_FOUND => Ok(()),
            StatusCode::FORBIDDEN => Err(self.denied(request, kind, name)),
            _ => Err(self.agents.refusal(request, &answer)),
        }
    }

    async fn ask(&self, request: &Request) -> Result<Answer, Fault> {
        let answer = self.agents.send(Lane::Ask, request, DEADLINE).await?;
        match answer.status {
            StatusCode::OK => Ok(answer),
            _ => Err(self.agents.refusal(request, &answer)),
        }
    }

    fn denied(&self, request: &Request, kind: &str, name: &str) -> Fault {
        let name = name.escape_debug();
        let what = match (kind, name.to_string().as_str()) {
            ("node", "") => {
                "the token may not read every node, and which nodes the service had is not known: \
                 grant `node_prefix \"\" { policy = \"read\" }`"
                    .to_owned()
            }
            (_, name) => format!(
                "the token may not read the {kind} {name}: grant `{kind} \"{name}\" {{ policy = \"read\" }}`"
            ),
        };
        self.agents.fault(Reason::Acl, request, what)
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Right {
    resource: &'static str,
    access: &'static str,
    segment: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Verdict {
    allow: bool,
}

impl Right {
    fn read(resource: &'static str, segment: &str) -> Self {
        Right { resource, access: "read", segment: segment.to_owned() }
    }
}

fn authorize() -> Request {
    Request::get(["internal", "acl", "authorize"])
}

/// Each request of a confirmation is given up after this time.
const DEADLINE: Duration = Duration::from_secs(5);
/// How many rights one request may ask for.
const BATCH: usize = 64;
/// How many nodes are asked about at a time.
const AT_ONCE: usize = 4;
