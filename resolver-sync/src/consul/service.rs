//! What a registration asks of an agent: the agent's own services, their checks, and what the catalogue shows of them.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::source::Fault;

use super::agent::{Agents, Answer, Lane, Request};
use super::config::{ConfigError, ConsulConfig};

/// One agent, as a registration sees it.
pub(crate) struct LocalAgent {
    agents: Agents,
}

/// A service as the agent has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct LocalService {
    pub(crate) service: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) port: Option<i64>,
    pub(crate) meta: Option<std::collections::BTreeMap<String, String>>,
}

/// A check as the agent has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct LocalCheck {
    pub(crate) status: Option<String>,
    pub(crate) output: Option<String>,
}

/// For one call to an agent, which answers most of them by itself.
const DEADLINE: Duration = Duration::from_secs(2);

impl LocalAgent {
    /// An agent keeps what was registered with it, so there is exactly one.
    pub(crate) fn new(config: &ConsulConfig) -> Result<Self, ConfigError> {
        if config.addresses.len() != 1 {
            let what = "a registration belongs to one agent, this host's own; name one address";
            return Err(ConfigError::new(&config.name, what));
        }
        Ok(LocalAgent { agents: Agents::new(config)? })
    }

    /// Takes the token and the certificates that are in their files now.
    pub(crate) fn refresh(&self) {
        self.agents.refresh();
    }

    /// The agent's own service of this id.
    pub(crate) async fn service(&self, id: &str) -> Result<Option<LocalService>, Fault> {
        let request = Request::get(["agent", "service", id]);
        let answer = self.send(&request).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.json(&request, answer).map(Some)
    }

    /// The agent's own check of this id.
    pub(crate) async fn check(&self, id: &str) -> Result<Option<LocalCheck>, Fault> {
        let request = Request::get(["agent", "checks"]).with("filter", format!("CheckID == {}", quoted(id)));
        let answer = self.send(&request).await?;
        let mut checks: std::collections::BTreeMap<String, LocalCheck> = self.json(&request, answer)?;
        Ok(checks.remove(id))
    }

    /// Registers, or registers anew; checks that are not named go.
    pub(crate) async fn register(&self, service: &Value) -> Result<(), Fault> {
        let request = Request::get(["agent", "service", "register"]).with("replace-existing-checks", "true");
        self.put(request, service.to_string().into_bytes()).await.map(|_| ())
    }

    /// A service that is not there is none the worse.
    pub(crate) async fn deregister(&self, id: &str) -> Result<(), Fault> {
        let request = Request::get(["agent", "service", "deregister", id]);
        self.put(request, Vec::new()).await.map(|_| ())
    }

    /// Whether the agent has a TTL check of this id, which is now as said.
    pub(crate) async fn update(&self, check: &str, status: &str, output: &str) -> Result<bool, Fault> {
        let body = serde_json::json!({ "Status": status, "Output": output }).to_string().into_bytes();
        let request = Request::get(["agent", "check", "update", check]).putting(body);
        let answer = self.send(&request).await?;
        // Older agents say 500 and newer ones 404.
        let unknown = String::from_utf8_lossy(&answer.body).contains("does not have associated TTL");
        if unknown || answer.status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        self.good(&request, answer).map(|_| true)
    }

    /// Takes a service out for maintenance, or back in; `false` where it is not there.
    pub(crate) async fn maintain(&self, id: &str, reason: Option<&str>) -> Result<bool, Fault> {
        let mut request = Request::get(["agent", "service", "maintenance", id])
            .with("enable", if reason.is_some() { "true" } else { "false" });
        if let Some(reason) = reason {
            request = request.with("reason", reason);
        }
        let request = request.putting(Vec::new());
        let answer = self.send(&request).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        self.good(&request, answer).map(|_| true)
    }

    /// Whether the catalogue has a service of this name with this entry in its metadata.
    pub(crate) async fn is_listed(&self, name: &str, key: &str, value: &str) -> Result<bool, Fault> {
        let filter = format!("ServiceMeta[{}] == {}", quoted(key), quoted(value));
        let request = Request::get(["catalog", "service", name]).with("filter", filter);
        let answer = self.send(&request).await?;
        self.json::<Vec<serde::de::IgnoredAny>>(&request, answer).map(|listed| !listed.is_empty())
    }

    async fn put(&self, request: Request, body: Vec<u8>) -> Result<Answer, Fault> {
        let request = request.putting(body);
        let answer = self.send(&request).await?;
        self.good(&request, answer)
    }

    async fn send(&self, request: &Request) -> Result<Answer, Fault> {
        self.agents.send(Lane::Ask, request, DEADLINE).await
    }

    fn good(&self, request: &Request, answer: Answer) -> Result<Answer, Fault> {
        if answer.status == StatusCode::OK { Ok(answer) } else { Err(self.agents.refusal(request, &answer)) }
    }

    fn json<T: serde::de::DeserializeOwned>(&self, request: &Request, answer: Answer) -> Result<T, Fault> {
        let answer = self.good(request, answer)?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            self.agents.fault(
                resolver_core::Reason::BadAnswer,
                request,
                format_args!("no such JSON: {error}"),
            )
        })
    }
}

impl Request {
    /// Makes it a PUT.
    fn putting(mut self, body: Vec<u8>) -> Self {
        self.method = Some(Method::PUT);
        self.body = Some(body);
        self
    }
}

/// A string of Consul's filter language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
