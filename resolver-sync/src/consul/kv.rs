//! Consul's keys: point reads, one transaction for every write, sessions as leases, and a blocking query as the watch.
//!
//! What the servers really do, and what follows:
//!
//! - A transaction's `get` of a key that the token may not read is a 200 without it, a recursive read of a prefix a 404.
//!   A read of one key is refused with 403. So one key is read by that, and a listing asks whether the token may
//!   read its prefix.
//! - Keys in a path are folded (`a//b`, `..`), keys in a transaction's body are not. Such keys are refused by both.
//! - An empty value is `null`.

mod wire;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use resolver_core::Reason;
use serde_json::json;

use crate::kv::{
    Check, Entry, Kv, KvError, KvFeed, Lease, Listing, Op, Outcome, Target, VALUE_LIMIT, check_key,
    check_prefix, retry, sort_in, vet,
};
use crate::source::{Fault, LocalFuture};

use super::agent::{Agents, Answer, Lane, Request};
use super::config::{ConfigError, ConsulConfig};
use super::contact::Contact;
use super::poll::Poll;
use super::query::{Scope, scoped};
use super::{Consistency, heartbeat};
use wire::{Allowed, Created, Pair, Transacted, Verb};

/// The keys of one Consul cluster, through an agent. Of the configuration, what is about services is left aside.
#[derive(Debug)]
pub struct ConsulKv {
    config: ConsulConfig,
    agents: Agents,
    value_limit: usize,
}

impl ConsulKv {
    /// Asks nothing yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where the configuration makes no sense, or would send the token unencrypted to another host.
    pub fn new(mut config: ConsulConfig) -> Result<Self, ConfigError> {
        // However services are read, a value is what the leader has.
        if !matches!(config.consistency, Consistency::Consistent) {
            config.consistency = Consistency::Default;
        }
        let agents = Agents::new(&config)?;
        Ok(ConsulKv { config, agents, value_limit: VALUE_LIMIT })
    }

    /// With another limit for values, in bytes. Consul's own is 512 KiB.
    #[must_use]
    pub fn with_value_limit(self, bytes: usize) -> Self {
        ConsulKv { value_limit: bytes, ..self }
    }

    pub(super) fn config(&self) -> &ConsulConfig {
        &self.config
    }

    pub(super) fn agents(&self) -> &Agents {
        &self.agents
    }

    async fn read(&self, request: &Request) -> Result<Answer, KvError> {
        let outcome = retry(|| async {
            let sent = self.agents.send(Lane::Ask, request, DEADLINE).await;
            let judged = sent.and_then(|answer| match answer.status {
                StatusCode::OK => Ok(answer),
                StatusCode::NOT_FOUND if request.or_absent => Ok(answer),
                _ => Err(self.agents.refusal(request, &answer)),
            });
            judged.map_err(|fault| {
                self.agents.rotate();
                KvError::Registry(fault)
            })
        });
        outcome.await
    }

    /// A write is sent once, so it goes to an agent that answers.
    async fn write(&self, request: &Request) -> Result<Answer, KvError> {
        if self.config.addresses.len() > 1 {
            self.read(&Request::get(["status", "leader"])).await?;
        }
        self.agents.send(Lane::Ask, request, DEADLINE).await.map_err(KvError::of_write)
    }

    async fn point(&self, key: &str) -> Result<Option<Entry>, KvError> {
        self.check_key(key)?;
        let request = in_datacenter(&self.config, path(key).or_absent().with("consistent", ""));
        let answer = self.read(&request).await?;
        if answer.known_leader != Some(true) {
            let what = "the server that answered knows no leader";
            return Err(KvError::Registry(self.agents.fault(Reason::NoLeader, &request, what)));
        }
        let entry = self.parse(&request, &answer.body)?.pop();
        match entry {
            Some(entry) if entry.value.len() > self.value_limit => {
                Err(KvError::too_large(key, entry.value.len(), self.value_limit))
            }
            entry => Ok(entry),
        }
    }

    async fn range(&self, prefix: &str) -> Result<Listing, KvError> {
        self.check_path(prefix)?;
        check_prefix(prefix)?;
        self.may_read(prefix).await?;
        let request = path(prefix).or_absent().with("recurse", "").with("consistent", "");
        let request = in_datacenter(&self.config, request);
        let answer = self.read(&request).await?;
        if answer.known_leader != Some(true) || answer.filtered {
            let (reason, what) = match answer.filtered {
                true => (Reason::Acl, "the answer was filtered; check what the token may read"),
                false => (Reason::NoLeader, "the server that answered knows no leader"),
            };
            return Err(KvError::Registry(self.agents.fault(reason, &request, what)));
        }
        self.listing(&request, &answer.body, answer.index.unwrap_or(0)).map_err(KvError::Registry)
    }

    /// A recursive read leaves out what the token may not read, without a word.
    async fn may_read(&self, prefix: &str) -> Result<(), KvError> {
        if !prefix.is_empty() {
            let request = path(prefix).or_absent().with("consistent", "");
            return self.read(&in_datacenter(&self.config, request)).await.map(|_| ());
        }
        let body = json!([{ "Resource": "key", "Access": "read", "Segment": "" }]);
        let request = Request::get(["internal", "acl", "authorize"]).post(body.to_string().into());
        let request = in_datacenter(&self.config, request);
        let answer = self.agents.send(Lane::Ask, &request, DEADLINE).await.map_err(KvError::Registry)?;
        let verdicts: Vec<Allowed> = serde_json::from_slice(&answer.body).unwrap_or_default();
        match answer.status {
            StatusCode::OK if verdicts.iter().any(|verdict| verdict.allow) => Ok(()),
            StatusCode::OK => {
                let what = "the token may not read every key: grant `key_prefix \"\" { policy = \"read\" }`";
                Err(KvError::Registry(self.agents.fault(Reason::Acl, &request, what)))
            }
            _ if answer.body.starts_with(b"ACL support disabled") => Ok(()),
            _ => Err(KvError::Registry(self.agents.refusal(&request, &answer))),
        }
    }

    fn listing(&self, request: &Request, body: &[u8], index: u64) -> Result<Listing, Fault> {
        let mut listing = Listing { revision: index, ..Listing::default() };
        for entry in self.parse(request, body).map_err(into_fault)? {
            sort_in(&mut listing, entry, self.value_limit);
        }
        Ok(listing)
    }

    fn parse(&self, request: &Request, body: &[u8]) -> Result<Vec<Entry>, KvError> {
        if body.is_empty() {
            return Ok(Vec::new());
        }
        let wrong = |why: &dyn std::fmt::Display| {
            let what = format_args!("not a list of keys: {why}");
            KvError::Registry(self.agents.fault(Reason::BadAnswer, request, what))
        };
        let pairs: Vec<Pair> = serde_json::from_slice(body).map_err(|error| wrong(&error))?;
        let entry = |pair: Pair| {
            let value = STANDARD.decode(pair.value.unwrap_or_default()).map_err(|error| wrong(&error))?;
            let leased = pair.session.is_some_and(|session| !session.is_empty());
            Ok(Entry { key: pair.key, value, revision: pair.modify_index, flags: pair.flags, leased })
        };
        pairs.into_iter().map(entry).collect()
    }

    async fn transact(&self, checks: &[Check], ops: &[Op]) -> Result<Outcome, KvError> {
        vet(self, checks, ops)?;
        let verbs: Vec<Verb<'_>> = checks.iter().map(Verb::check).chain(ops.iter().map(Verb::op)).collect();
        let body: Vec<_> = verbs.iter().map(|verb| json!({ "KV": verb })).collect();
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let request = in_datacenter(&self.config, Request::get(["txn"]).put(body));
        let answer = self.write(&request).await?;
        let bad = |what: &str| KvError::Registry(self.agents.fault(Reason::BadAnswer, &request, what));
        if !matches!(answer.status, StatusCode::OK | StatusCode::CONFLICT) {
            return Err(KvError::of_write(self.agents.refusal(&request, &answer)));
        }
        let said: Transacted =
            serde_json::from_slice(&answer.body).map_err(|_| bad("not a transaction's answer"))?;
        if answer.status == StatusCode::OK {
            let results = said.results.unwrap_or_default();
            let put = |op: &Op| matches!(op, Op::Put { .. });
            let revision = results.iter().map(|result| result.kv.modify_index).max();
            return Ok(Outcome::Done { revision: revision.filter(|_| ops.iter().any(put)) });
        }
        let errors = said.errors.unwrap_or_default();
        let words: Vec<_> = errors.iter().map(|error| error.what.escape_debug().to_string()).collect();
        let why = words.join("; ");
        if why.contains("Permission denied") {
            let what = "Permission denied; check that the token may write the keys";
            return Err(KvError::Registry(self.agents.fault(Reason::Acl, &request, what)));
        }
        if why.contains("invalid session") {
            return Err(KvError::LeaseGone);
        }
        let known = ["exists", "doesn't exist", "stale", "lock", "index"];
        if known.iter().any(|known| why.contains(known)) {
            return Ok(Outcome::Conflict { why });
        }
        Err(bad(&why))
    }

    async fn session(&self, ttl: Duration) -> Result<Lease, KvError> {
        if !(Duration::from_secs(10)..=Duration::from_secs(86_400)).contains(&ttl) {
            return Err(KvError::Ttl(ttl));
        }
        // No delay before another may take the key: it is deleted, not handed on.
        let body = json!({
            "Name": "resolver", "TTL": format!("{}s", ttl.as_secs()), "Behavior": "delete", "LockDelay": "0s",
        });
        let request = Request::get(["session", "create"]).put(body.to_string().into());
        let request = in_datacenter(&self.config, request);
        let answer = self.write(&request).await?;
        if answer.status != StatusCode::OK {
            return Err(KvError::of_write(self.agents.refusal(&request, &answer)));
        }
        let created: Created = serde_json::from_slice(&answer.body).map_err(|_| {
            KvError::Registry(self.agents.fault(Reason::BadAnswer, &request, "not a session's id"))
        })?;
        Ok(Lease { id: created.id, ttl: Duration::from_secs(ttl.as_secs()) })
    }

    async fn of_session(&self, verb: &str, lease: &Lease) -> Result<(), KvError> {
        let request = in_datacenter(&self.config, Request::get(["session", verb, &lease.id]).put(Vec::new()));
        let answer = self.agents.send(Lane::Ask, &request, DEADLINE).await.map_err(KvError::Registry)?;
        match answer.status {
            StatusCode::OK => Ok(()),
            StatusCode::NOT_FOUND => Err(KvError::LeaseGone),
            _ => {
                self.agents.rotate();
                Err(KvError::Registry(self.agents.refusal(&request, &answer)))
            }
        }
    }

    async fn follow(&self, target: &Target, feed: &KvFeed) {
        let contact = Contact::new(&feed.contact);
        let mut request = path(target.text()).or_absent();
        if matches!(target, Target::Prefix(_)) {
            request = request.with("recurse", "");
        }
        let request = in_datacenter(&self.config, request);
        let member = contact.join();
        let watch = async {
            let mut poll = Poll::new(&self.config, &self.agents, &contact, request.clone());
            let mut last = None;
            loop {
                let said = match poll.next().await {
                    Ok(word) => self
                        .listing(&request, &word.body, word.index)
                        .map(|listing| (listing, word.generation))
                        .inspect_err(|_| poll.disbelieve()),
                    Err(fault) => Err(fault),
                };
                match said {
                    Ok((listing, generation)) => {
                        let what = (listing.entries.clone(), listing.refused.clone());
                        poll.learned(last.as_ref() != Some(&what));
                        last = Some(what);
                        feed.listing(listing);
                        member.settle(generation);
                    }
                    Err(fault) => {
                        member.unsettle();
                        feed.contact.lost(fault);
                    }
                }
                // Who was told goes first, and the next query has time.
                tokio::task::yield_now().await;
            }
        };
        let ((), ()) = tokio::join!(heartbeat::beat(&self.agents, &contact), watch);
    }

    /// What a path would fold is another key for the one API than for the other.
    fn check_path(&self, key: &str) -> Result<(), KvError> {
        let key = key.strip_suffix('/').unwrap_or(key);
        let folds = |part: &str| matches!(part, "" | "." | "..");
        match key.split('/').any(folds) && !key.is_empty() {
            true => {
                Err(KvError::key(key, "Consul folds empty parts, `.` and `..`, a leading slash included"))
            }
            false => Ok(()),
        }
    }
}

impl Kv for ConsulKv {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn value_limit(&self) -> usize {
        self.value_limit
    }

    fn get<'a>(&'a self, key: &'a str) -> LocalFuture<'a, Result<Option<Entry>, KvError>> {
        Box::pin(self.point(key))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> LocalFuture<'a, Result<Listing, KvError>> {
        Box::pin(self.range(prefix))
    }

    fn txn<'a>(&'a self, checks: &'a [Check], ops: &'a [Op]) -> LocalFuture<'a, Result<Outcome, KvError>> {
        Box::pin(self.transact(checks, ops))
    }

    fn grant<'a>(&'a self, ttl: Duration) -> LocalFuture<'a, Result<Lease, KvError>> {
        Box::pin(self.session(ttl))
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> LocalFuture<'a, Result<(), KvError>> {
        Box::pin(self.of_session("renew", lease))
    }

    fn revoke<'a>(&'a self, lease: &'a Lease) -> LocalFuture<'a, Result<(), KvError>> {
        Box::pin(self.of_session("destroy", lease))
    }

    fn watch<'a>(&'a self, target: &'a Target, feed: &'a KvFeed) -> LocalFuture<'a, ()> {
        Box::pin(self.follow(target, feed))
    }

    fn check_key(&self, key: &str) -> Result<(), KvError> {
        check_key(key)?;
        self.check_path(key)
    }
}

/// The read of a key or a prefix; each part is escaped, the slashes between them are not.
fn path(key: &str) -> Request {
    let parts = std::iter::once("kv").chain(key.split('/'));
    Request::of(parts.map(String::from).collect())
}

/// Where it is to be answered: in the first datacentre that the configuration names.
pub(super) fn in_datacenter(config: &ConsulConfig, request: Request) -> Request {
    match Scope::all(config).first() {
        Some(scope) => scoped(config, scope, request),
        None => request,
    }
}

fn into_fault(error: KvError) -> Fault {
    match error {
        KvError::Registry(fault) | KvError::InDoubt(fault) => fault,
        other => Fault::new(Reason::BadAnswer, other.to_string()),
    }
}

/// For one request.
const DEADLINE: Duration = Duration::from_secs(5);
