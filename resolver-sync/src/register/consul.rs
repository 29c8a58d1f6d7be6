//! Registration through a Consul agent.
//!
//! The agent is asked for its own services, so a look costs its servers nothing; what the catalogue shows is looked at
//! beside it, because a service that was removed there alone comes back by itself only after a minute.

use std::time::Duration;

use resolver_core::Reason;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::consul::ConsulConfig;
use crate::consul::service::{LocalAgent, LocalService};
use crate::source::Fault;

use super::backend::{Backend, Beat, Orders, Presence, Trouble};
use super::check::consul_duration;
use super::error::RegisterError;
use super::instance::{Condition, Conflict, INCARNATION, Registration};

pub(super) struct AgentBackend<'a> {
    agent: LocalAgent,
    registration: &'a Registration,
    id: String,
    /// Of the TTL check.
    check: String,
    /// Which process this is: an id can be another's.
    incarnation: String,
    /// Whether it was there, with this incarnation.
    was_ours: bool,
    /// A holder that may be dead, and since when it is looked at.
    suspect: Option<(String, Instant)>,
    /// The maintenance that the agent was told of.
    maintenance: Option<String>,
}

impl<'a> AgentBackend<'a> {
    pub(super) fn new(config: &ConsulConfig, registration: &'a Registration) -> Result<Self, RegisterError> {
        let id = registration.instance();
        Ok(AgentBackend {
            agent: LocalAgent::new(config)?,
            registration,
            check: format!("service:{id}:ttl"),
            id,
            incarnation: incarnation(),
            was_ours: false,
            suspect: None,
            maintenance: None,
        })
    }

    /// What the agent has under the id, if that is another's.
    fn foreign(&self, service: &LocalService) -> Option<String> {
        let incarnation = service.meta.as_ref().and_then(|meta| meta.get(INCARNATION));
        if incarnation == Some(&self.incarnation) {
            return None;
        }
        let who = incarnation.map_or("one that nothing is known of", String::as_str);
        let (address, port) = (service.address.as_deref().unwrap_or(""), service.port.unwrap_or(0));
        Some(format!("another process ({who}, at {address}:{port})"))
    }

    /// Whether the place is free, or may be taken.
    async fn claim(&mut self) -> Result<(), Trouble> {
        let Some(service) = self.agent.service(&self.id).await? else { return Ok(()) };
        let Some(holder) = self.foreign(&service) else { return Ok(()) };
        if self.was_ours {
            return Err(Trouble::TakenOver(holder));
        }
        if self.registration.conflict == Conflict::TakeOver {
            tracing::warn!(id = self.id, "taking over from {holder}");
            return Ok(());
        }
        let ours = service.meta.is_some_and(|meta| meta.contains_key(INCARNATION));
        let check = if ours { self.agent.check(&self.check).await? } else { None };
        // Nobody but its own process could show that it is dead.
        let Some(check) = check else { return Err(Trouble::Refused(holder)) };
        let expired = check.output.unwrap_or_default().starts_with("TTL expired");
        if check.status.as_deref() == Some("critical") && expired {
            tracing::info!(id = self.id, "{holder} is dead by its TTL; taking its place");
            return Ok(());
        }
        let since = match &self.suspect {
            Some((suspect, since)) if *suspect == holder => *since,
            _ => {
                let now = Instant::now();
                self.suspect = Some((holder.clone(), now));
                now
            }
        };
        // Its TTL is not shown; the two are one service, so it is taken for ours.
        if since.elapsed() > self.registration.ttl + Duration::from_millis(500) {
            return Err(Trouble::Refused(holder));
        }
        Err(Trouble::Held(holder))
    }

    /// Put there, and not there: somebody removed it at that moment, or the agent is on its way down.
    fn lost(&self) -> Trouble {
        let what = format!("the agent took {}, and does not have it", self.id);
        Fault::new(Reason::Unreachable, what).into()
    }

    fn definition(&self, orders: &Orders) -> Value {
        let Registration { name, port, tags, checks, .. } = self.registration;
        let mut meta = self.registration.meta.clone();
        meta.insert(INCARNATION.into(), self.incarnation.clone());
        if let Some(zone) = &self.registration.zone {
            meta.insert("zone".into(), zone.clone());
        }
        let id = &self.id;
        let mut all: Vec<Value> = checks
            .iter()
            .enumerate()
            .map(|(number, check)| check.definition(&format!("service:{id}:{}", number + 1)))
            .collect();
        if self.registration.ttl_check {
            let mut check = json!({
                "CheckID": self.check, "Name": "sign of life",
                "TTL": consul_duration(self.registration.ttl), "Status": status(orders.condition),
            });
            if let Some(after) = self.registration.deregister_after {
                check["DeregisterCriticalServiceAfter"] = consul_duration(after).into();
            }
            all.push(check);
        }
        let mut service = json!({
            "Name": name, "ID": id, "Port": port, "Tags": tags, "Meta": meta, "Checks": all,
        });
        if let Some(address) = self.registration.address {
            service["Address"] = address.to_string().into();
        }
        if let Some((passing, warning)) = self.registration.weights {
            service["Weights"] = json!({ "Passing": passing, "Warning": warning });
        }
        service
    }

    /// The TTL check and the maintenance, as ordered; `false` where the agent does not know of them.
    async fn say(&mut self, orders: &Orders) -> Result<bool, Trouble> {
        let wanted = match &orders.presence {
            Presence::Maintenance(reason) => Some(reason.clone()),
            _ => None,
        };
        if wanted != self.maintenance {
            if !self.agent.maintain(&self.id, wanted.as_deref()).await? {
                return Ok(false);
            }
            self.maintenance = wanted;
        }
        if !self.registration.ttl_check {
            return Ok(true);
        }
        Ok(self.agent.update(&self.check, status(orders.condition), &orders.note).await?)
    }
}

impl Backend for AgentBackend<'_> {
    async fn register(&mut self, orders: &Orders) -> Result<(), Trouble> {
        // What was renewed meanwhile is taken without a restart.
        self.agent.refresh();
        self.claim().await?;
        self.agent.register(&self.definition(orders)).await?;
        // Two may have found the place free at one moment; the later one has it.
        match self.agent.service(&self.id).await? {
            Some(service) => {
                if let Some(holder) = self.foreign(&service) {
                    return Err(Trouble::Refused(holder));
                }
            }
            None => return Err(self.lost()),
        }
        self.was_ours = true;
        self.maintenance = None;
        if !self.say(orders).await? {
            return Err(self.lost());
        }
        Ok(())
    }

    async fn beat(&mut self, orders: &Orders) -> Result<Beat, Trouble> {
        self.agent.refresh();
        // First of all: a pass for a check of this id must not be one for another's service.
        let Some(service) = self.agent.service(&self.id).await? else {
            return Ok(Beat::Vanished("the agent does not have it".into()));
        };
        if let Some(holder) = self.foreign(&service) {
            return Err(Trouble::TakenOver(holder));
        }
        if !self.say(orders).await? {
            return Ok(Beat::Vanished("the agent does not have its check".into()));
        }
        // Without a leader there is no catalogue to look at, and the agent puts things right when there is one again.
        match self.agent.is_listed(&self.registration.name, INCARNATION, &self.incarnation).await {
            Ok(false) => Ok(Beat::Vanished("the catalogue does not have it".into())),
            Ok(true) => Ok(Beat::Fine),
            Err(fault) => {
                tracing::debug!(id = self.id, "the catalogue was not looked at: {}", fault.detail);
                Ok(Beat::Fine)
            }
        }
    }

    async fn leave(&mut self) -> Result<(), Trouble> {
        match self.agent.service(&self.id).await? {
            Some(service) if self.foreign(&service).is_none() => Ok(self.agent.deregister(&self.id).await?),
            _ => Ok(()),
        }
    }
}

fn status(condition: Condition) -> &'static str {
    match condition {
        Condition::Passing => "passing",
        Condition::Warning => "warning",
        Condition::Critical => "critical",
    }
}

/// Never the same twice: who, when, and chance.
fn incarnation() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{:x}-{:08x}", std::process::id(), now.as_nanos(), fastrand::u32(..))
}
