//! How a Consul cluster is, as an agent has it.
//!
//! Who leads and who the servers are, everybody may ask; who of them votes, and how they are, takes `operator` read. A
//! consistent read, which the leader answers only after a majority has said that it still leads, is the quorum's proof;
//! it is filtered by the token, not refused, and its index means something all the same.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;

use crate::source::Fault;
use crate::status::{Member, Status, milliseconds};

use super::agent::{Agents, Answer, Lane, Request};
use super::kv::{ConsulKv, in_datacenter};

impl ConsulKv {
    /// How the cluster is. What cannot be had is a warning, no error.
    pub async fn status(&self) -> Status {
        let mut status = Status { registry: "consul", ..Status::default() };
        let mut warnings = Vec::new();
        let agents = self.agents();
        let ask = |request: Request| async move {
            let request = in_datacenter(self.config(), request);
            let answer = agents.send(Lane::Ask, &request, DEADLINE).await?;
            match answer.status {
                // Autopilot says with a 429 that somebody is not well.
                StatusCode::OK | StatusCode::TOO_MANY_REQUESTS => Ok(answer),
                _ => Err(agents.refusal(&request, &answer)),
            }
        };
        if let Err(fault) = answering(agents, self.config().addresses.len()).await {
            warnings.push(fault.detail);
            return status.conclude(warnings);
        }
        let leader = ask(Request::get(["status", "leader"])).await.ok().and_then(json::<String>);
        let leader = leader.filter(|leader| !leader.is_empty());
        let peers = ask(Request::get(["status", "peers"])).await.ok().and_then(json::<Vec<String>>);
        let raft = ask(Request::get(["operator", "raft", "configuration"])).await;
        let health = ask(Request::get(["operator", "autopilot", "health"])).await;
        if raft.is_err() && leader.is_some() {
            warnings.push("who votes is not known: give the token `operator = \"read\"`".into());
        }
        let servers = raft.ok().and_then(json::<Raft>).map(|raft| raft.servers).unwrap_or_default();
        let health = health.ok().and_then(json::<Health>).map(|health| health.servers).unwrap_or_default();
        let health: BTreeMap<_, _> =
            health.into_iter().map(|server| (server.address.clone(), server)).collect();
        for Server { node, address, leader, voter } in servers {
            status.members.push(Member { name: node, address, leader, voter, ..Member::default() });
        }
        for peer in peers.unwrap_or_default() {
            if status.members.iter().all(|member| member.address != peer) {
                let leads = leader.as_deref() == Some(&peer);
                let member = Member { name: peer.clone(), address: peer, voter: true, ..Member::default() };
                status.members.push(Member { leader: leads, ..member });
            }
        }
        for member in &mut status.members {
            if let Some(server) = health.get(&member.address) {
                member.healthy = Some(server.healthy);
                member.version = Some(server.version.clone());
                member.raft_index = Some(server.last_index);
            }
        }
        let named = status.members.iter().find(|member| member.leader).map(|member| member.name.clone());
        status.leader = leader.map(|address| named.unwrap_or(address));
        let request = Request::get(["catalog", "service", "consul"]).with("consistent", "");
        match ask(request).await {
            Ok(answer) => {
                status.quorum = answer.known_leader == Some(true);
                status.revision = answer.index;
                status.latency_ms = Some(milliseconds(answer.took));
            }
            Err(fault) => warnings.push(fault.detail),
        }
        status.conclude(warnings)
    }
}

/// Goes on to an agent that answers, if there is one.
async fn answering(agents: &Agents, count: usize) -> Result<(), Fault> {
    let mut last = Ok(());
    for _ in 0..count.max(1) {
        match agents.send(Lane::Ask, &Request::get(["status", "leader"]), DEADLINE).await {
            Ok(_) => return Ok(()),
            Err(fault) => {
                last = Err(fault);
                agents.rotate();
            }
        }
    }
    last
}

fn json<T: serde::de::DeserializeOwned>(answer: Answer) -> Option<T> {
    serde_json::from_slice(&answer.body).ok()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raft {
    servers: Vec<Server>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Server {
    node: String,
    address: String,
    leader: bool,
    voter: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    servers: Vec<Wellness>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wellness {
    address: String,
    healthy: bool,
    version: String,
    last_index: u64,
}

const DEADLINE: Duration = Duration::from_secs(5);
