//! How an etcd cluster is, as its members have it.
//!
//! Only the members that the configuration names are asked: a password goes to no address that somebody else told. The
//! others are known by the list of members. A linearizable read is the quorum's proof; one that is refused for want of
//! rights proves it as well, for the server looks at rights after the majority has agreed.

use resolver_core::Reason;
use tokio::time::Instant;

use crate::source::Fault;
use crate::status::{Member, Status, milliseconds};

use super::kv::EtcdKv;
use super::member::within;

/// What one member said.
struct Said {
    id: u64,
    leader: u64,
    member: Member,
    /// Of everybody: id, name, the first address for clients, learner.
    all: Vec<(u64, String, String, bool)>,
}

impl EtcdKv {
    /// How the cluster is. What cannot be had is a warning, no error.
    pub async fn status(&self) -> Status {
        let mut status = Status { registry: "etcd", ..Status::default() };
        let (mut warnings, mut said, mut silent) = (Vec::new(), Vec::<Said>::new(), Vec::new());
        let members: Vec<usize> = self.members().order().collect();
        for member in &members {
            match self.ask(*member).await {
                Ok(answer) => said.push(answer),
                Err((url, fault)) => silent.push((url, fault)),
            }
        }
        let leader = said.iter().map(|said| said.leader).find(|leader| *leader != 0);
        let mut all =
            said.iter().map(|said| said.all.clone()).find(|all| !all.is_empty()).unwrap_or_default();
        for Said { id, member, .. } in said {
            let (_, name, _, learner) = match all.iter().position(|known| known.0 == id) {
                Some(at) => all.remove(at),
                None => (id, member.address.clone(), String::new(), false),
            };
            let leads = leader == Some(id);
            status.members.push(Member { name, voter: !learner, leader: leads, ..member });
        }
        // Who did not answer is one of those that are left, if the list has its address.
        for (id, name, address, learner) in all {
            let at = silent.iter().position(|(url, _)| *url == address);
            let error = at.map(|at| silent.remove(at).1.detail);
            let leads = leader == Some(id);
            status.members.push(Member {
                name: if name.is_empty() { format!("{id:x}") } else { name },
                address,
                voter: !learner,
                leader: leads,
                healthy: error.is_some().then_some(false),
                error,
                ..Member::default()
            });
        }
        if status.members.is_empty() {
            for (url, fault) in silent {
                let member = Member { name: url.clone(), address: url, voter: true, ..Member::default() };
                status.members.push(Member { healthy: Some(false), error: Some(fault.detail), ..member });
            }
        } else {
            warnings.extend(silent.into_iter().map(|(_, fault)| fault.detail));
        }
        status.leader = status.members.iter().find(|member| member.leader).map(|member| member.name.clone());
        match self.agreed().await {
            Ok((revision, latency)) => {
                (status.quorum, status.revision, status.latency_ms) = (true, revision, Some(latency));
            }
            Err(fault) => warnings.push(fault.detail),
        }
        status.conclude(warnings)
    }

    async fn ask(&self, member: usize) -> Result<Said, (String, Fault)> {
        let url = self.members().url_of(member).to_owned();
        let of_this = |fault| (url.clone(), self.members().noted(fault));
        let (client, url) = self.members().client_of(member).await.map_err(of_this)?;
        let deadline = self.config().deadline;
        let started = Instant::now();
        let mut maintenance = client.maintenance_client();
        let status = within(deadline, url, "asking for its status", maintenance.status()).await;
        let status = status.map_err(|trouble| of_this(trouble.into_fault()))?;
        let latency = milliseconds(started.elapsed());
        let mut cluster = client.cluster_client();
        let all = within(deadline, url, "asking for the members", cluster.member_list()).await;
        let all = all.map(|list| {
            let known = |member: &etcd_client::Member| {
                let address = member.client_urls().first().map(|url| url.trim_end_matches('/').to_owned());
                (member.id(), member.name().to_owned(), address.unwrap_or_default(), member.is_learner())
            };
            list.members().iter().map(known).collect()
        });
        let member = Member {
            address: url.to_owned(),
            healthy: Some(status.errors().is_empty()),
            version: Some(status.version().to_owned()),
            raft_index: Some(status.raft_index()),
            latency_ms: Some(latency),
            error: status.errors().first().cloned(),
            ..Member::default()
        };
        let id = status.header().map_or(0, |header| header.member_id());
        Ok(Said { id, leader: status.leader(), member, all: all.unwrap_or_default() })
    }

    /// A read that a majority has to agree to: the revision, if the token may see it, and how long it took.
    async fn agreed(&self) -> Result<(Option<u64>, f64), Fault> {
        let mut last = None;
        for member in self.members().order() {
            let (client, url) = match self.members().client_of(member).await {
                Ok(client) => client,
                Err(fault) => {
                    last = Some(fault);
                    continue;
                }
            };
            let started = Instant::now();
            let mut kv = client.kv_client();
            match within(self.config().deadline, url, "reading", kv.get(self.namespace().key(PROBE), None))
                .await
            {
                Ok(answer) => {
                    let revision = answer.header().and_then(|header| u64::try_from(header.revision()).ok());
                    return Ok((revision, milliseconds(started.elapsed())));
                }
                Err(trouble) => match trouble.into_fault() {
                    fault if fault.reason == Reason::Acl && fault.detail.contains("permission denied") => {
                        return Ok((None, milliseconds(started.elapsed())));
                    }
                    fault => last = Some(self.members().noted(fault)),
                },
            }
        }
        Err(last.unwrap_or_else(|| Fault::new(Reason::Unreachable, "etcd: no member to ask")))
    }
}

/// A key that need not be there.
const PROBE: &str = "resolver/status";
