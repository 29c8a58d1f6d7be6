//! One watch for all services that get no query of their own, in one datacentre.
//!
//! Two blocking queries say that something has changed, and short reads find out what it is now:
//!
//! - `/v1/health/state/any` has every check. Which services' checks changed between two answers is known, and those are
//!   read at once. An answer has all checks of the cluster, so these queries have pauses in proportion to it.
//! - `/v1/catalog/services` moves with every registration, and does not say whose. Those with checks are known by them;
//!   for the others (an address that changed, an instance without checks) every service is read, one after the other,
//!   at a pace that the agent does not feel.
//!
//! So a change of health arrives one pause and one read later than by a query of its own, and any change one round later
//! at most: a round has [`PER_SECOND`] reads a second. Another round is made once a minute, whatever the queries say.

mod checks;
mod queue;

use std::cell::RefCell;
use std::hash::RandomState;
use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use reqwest::StatusCode;
use resolver_core::Reason;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::pace::{Backoff, Bucket};
use crate::record::ServiceSet;
use crate::source::Fault;

use super::agent::{Lane, Request};
use super::choice::{Consistency, Services};
use super::health::Health;
use super::memory::Memory;
use super::merged::Merged;
use super::poll::Poll;
use super::query::{Scope, scoped, service_request};
use super::watch::Shared;
use checks::{Checks, differing};
use queue::Queue;

/// The watch.
pub(super) struct Wide<'r, 'c> {
    shared: Shared<'r, 'c>,
    scope: Scope<'r>,
    memory: &'r Memory,
    queue: RefCell<Queue>,
    /// Wakes the reads.
    changed: Notify,
    /// Wakes the queries, which nobody needs before there is a service.
    needed: Notify,
    failures: RefCell<Backoff>,
}

impl<'r, 'c> Wide<'r, 'c> {
    pub(super) fn new(shared: Shared<'r, 'c>, scope: Scope<'r>, memory: &'r Memory) -> Self {
        Wide {
            shared,
            scope,
            memory,
            queue: RefCell::default(),
            changed: Notify::new(),
            needed: Notify::new(),
            failures: RefCell::new(Backoff::new(Duration::from_millis(100), Duration::from_secs(5))),
        }
    }

    /// These have no query of their own.
    pub(super) fn add(&self, services: &[Rc<Merged<'c>>]) {
        services.iter().for_each(|merged| self.queue.borrow_mut().add(&merged.name));
        self.changed.notify_one();
        self.needed.notify_waiters();
    }

    /// This one has a query of its own from here on, or is gone.
    pub(super) fn remove(&self, name: &str) {
        self.queue.borrow_mut().remove(name);
    }

    /// Something was registered, and nobody knows what.
    pub(super) fn everything(&self) {
        self.queue.borrow_mut().everything();
        self.changed.notify_one();
    }

    /// Watches until it is dropped; asks nothing as long as there is no service.
    pub(super) async fn run(&self) {
        tokio::join!(self.read(), self.follow_checks(), self.follow_registrations());
    }

    async fn is_needed(&self) {
        loop {
            let needed = self.needed.notified();
            if !self.queue.borrow().services.is_empty() {
                return;
            }
            needed.await;
        }
    }

    fn poll(&self, request: Request) -> Poll<'r>
    where
        'c: 'r,
    {
        let Shared { config, agents, contact, .. } = self.shared;
        // What is read because of it must not be older than it: so the leader is asked, here and there.
        Poll::with(leaders(config.consistency), config, agents, contact, request)
    }

    async fn follow_checks(&self) {
        let mut last: Option<Checks> = None;
        let digests = RandomState::new();
        self.is_needed().await;
        let config = self.shared.config;
        let request = scoped(config, &self.scope, Request::get(["health", "state", "any"])).wide();
        let mut poll = self.poll(request.clone());
        let mut lasting = false;
        loop {
            let word = poll.next().await;
            let checks = word.and_then(|word| match Checks::parse(&word.body, &digests) {
                Ok(checks) => Ok((checks, word.body.len())),
                Err(wrong) => Err(self.shared.agents.fault(Reason::BadAnswer, &request, wrong)),
            });
            match checks {
                Ok((checks, size)) => {
                    lasting = false;
                    match &last {
                        Some(last) => self.hurry(&checks, last),
                        None => self.everything(),
                    }
                    poll.learned(true);
                    last = Some(checks);
                    let pause = Duration::from_secs_f64(size as f64 / BYTES_PER_SECOND);
                    tokio::time::sleep(pause.max(SHORTEST)).await;
                }
                Err(fault) => {
                    // Nobody says what changes: then all is read again and again, at its pace.
                    poll.disbelieve();
                    self.everything();
                    if !std::mem::replace(&mut lasting, true) {
                        let source = &config.name;
                        tracing::warn!(
                            source,
                            reason = fault.reason.name(),
                            "no wide watch: {}",
                            fault.detail
                        );
                    }
                }
            }
        }
    }

    fn hurry(&self, now: &Checks, last: &Checks) {
        let mut queue = self.queue.borrow_mut();
        for name in differing(&now.services, &last.services) {
            queue.hurry(name);
        }
        let nodes = differing(&now.nodes, &last.nodes);
        if !nodes.is_empty() {
            for node in nodes {
                let on_it = [now, last].into_iter().filter_map(|checks| checks.on_node.get(node)).flatten();
                on_it.for_each(|name| queue.hurry(name));
            }
            // Services without checks of their own may be there, too.
            queue.everything();
        }
        drop(queue);
        self.changed.notify_one();
    }

    async fn follow_registrations(&self) {
        if self.shared.config.services == Services::All {
            // Who follows the catalogue says so.
            return;
        }
        self.is_needed().await;
        let request = scoped(self.shared.config, &self.scope, Request::get(["catalog", "services"])).wide();
        let mut poll = self.poll(request);
        loop {
            if poll.next().await.is_ok() {
                poll.learned(true);
            }
            self.everything();
            tokio::time::sleep(SHORTEST).await;
        }
    }

    /// Reads what is due, a few services at a time.
    async fn read(&self) {
        let contact = self.shared.contact;
        let mut generation = 0;
        let mut pace = Bucket::new(READS, Duration::from_secs(1) / PER_SECOND);
        let mut reads = FuturesUnordered::new();
        // The first round of a generation is as fast as it goes: nobody knows anything before it is over.
        let mut unpaced = 0;
        let mut next_round = Instant::now() + ROUND;
        loop {
            let moment = contact.is_up().await;
            if moment.generation != generation {
                generation = moment.generation;
                reads.clear();
                self.queue.borrow_mut().reading.clear();
                self.everything();
                unpaced = self.queue.borrow().left;
            }
            while reads.len() < READS as usize {
                let Some((name, urgent)) = self.queue.borrow_mut().next() else { break };
                let free = urgent || unpaced > 0;
                unpaced = if urgent { unpaced } else { unpaced.saturating_sub(1) };
                let pause = if free { Duration::ZERO } else { pace.take(Instant::now()) };
                reads.push(async move {
                    self.read_one(&name, moment.generation, moment.epoch, pause).await;
                    name
                });
            }
            tokio::select! {
                biased;
                () = contact.is_past(generation) => {}
                Some(name) = reads.next() => self.queue.borrow_mut().done(&name),
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(next_round) => {
                    next_round = Instant::now() + ROUND;
                    self.everything();
                }
            }
        }
    }

    async fn read_one(&self, name: &str, generation: u64, epoch: u64, pause: Duration) {
        let Shared { config, contact, wanted, .. } = self.shared;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let Some(merged) = wanted.get(name) else { return self.remove(name) };
        let request = service_request(config, &self.scope, name, true);
        let proven = request.clone().with("consistent", "");
        let last = || self.queue.borrow().services.get(name).copied();
        let went_back = |set: &ServiceSet| {
            last().is_some_and(|(index, of_epoch)| of_epoch == epoch && set.revision < index)
        };
        let mut answer = match config.consistency {
            Consistency::Consistent => self.ask(name, &proven).await,
            _ => self.ask(name, &request).await,
        };
        // A new leader answers before it has read its own log, unless it is asked to prove itself.
        if config.consistency != Consistency::Consistent && answer.as_ref().is_ok_and(went_back) {
            answer = self.ask(name, &proven).await;
        }
        match answer {
            Ok(set) => {
                // It has a query of its own by now, or none any longer.
                let Some((index, _)) = last() else { return };
                if went_back(&set) {
                    let what = format_args!("the index went back from {index} to {}", set.revision);
                    let fault = self.shared.agents.fault(Reason::Regressed, &proven, what);
                    return contact.new_epoch(fault.detail);
                }
                self.queue.borrow_mut().services.insert(name.to_owned(), (set.revision, epoch));
                self.failures.borrow_mut().reset();
                merged.learn(self.scope.tier, set, generation);
                if merged.is_gone() && !wanted.is_wanted(name) {
                    self.remove(name);
                    wanted.ended(name);
                }
            }
            Err(fault) => {
                if matches!(fault.reason, Reason::Unreachable | Reason::NoLeader) {
                    contact.doubt();
                }
                merged.doubt(self.scope.tier, fault, generation);
                let pause = self.failures.borrow_mut().delay();
                tokio::time::sleep(pause).await;
                self.queue.borrow_mut().hurry(name);
            }
        }
    }

    /// One service as it is now.
    async fn ask(&self, name: &str, request: &Request) -> Result<ServiceSet, Fault> {
        let Shared { config, agents, .. } = self.shared;
        let answer = agents.send(Lane::Ask, request, DEADLINE).await?;
        let fault = |reason, what: &str| Err(agents.fault(reason, request, what));
        if answer.status != StatusCode::OK {
            return Err(agents.refusal(request, &answer));
        }
        let Some(index) = answer.index else {
            return fault(Reason::BadAnswer, "an answer without X-Consul-Index");
        };
        if answer.known_leader != Some(true) {
            return fault(Reason::NoLeader, "the server that answered knows no leader");
        }
        if answer.filtered {
            return fault(Reason::Acl, "the answer was filtered; check what the token may read");
        }
        match Health::parse(&answer.body) {
            Ok(health) => {
                self.memory.saw(name, health.nodes(), index);
                Ok(health.into_set(config, &self.scope, index))
            }
            Err(wrong) => fault(Reason::BadAnswer, &wrong),
        }
    }
}

/// The mode in which a leader answers.
fn leaders(configured: Consistency) -> Consistency {
    match configured {
        Consistency::Consistent => Consistency::Consistent,
        _ => Consistency::Default,
    }
}

/// How many services are read at a time.
const READS: u32 = 4;
/// How many of a round are read in a second.
const PER_SECOND: u32 = 250;
/// A round is made this long after the last one that nothing else asked for.
const ROUND: Duration = Duration::from_secs(60);
/// Each read is given up after this time.
const DEADLINE: Duration = Duration::from_secs(5);
/// How much of the cluster's checks is read in a second: an answer of 10,000 checks (3.5 MB) costs an agent 80 ms, and so a
/// fifth of one core at most.
const BYTES_PER_SECOND: f64 = 10e6;
/// The shortest pause between two wide queries.
const SHORTEST: Duration = Duration::from_millis(20);
