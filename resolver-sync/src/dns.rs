//! DNS: the addresses of names, asked for again when they expire.
//!
//! DNS tells nobody of a change, so this is polling at the pace that the answers themselves set: each name is asked for
//! again when its time to live is over, at least [`DnsConfig::floor`] and at most [`DnsConfig::ceiling`] after the last
//! time, and a little later than that so that hosts do not ask in step. What was answered is current for as long as DNS
//! says so.
//!
//! A name that does not exist or has no address is an empty answer like any other: the guard has it read again before it is
//! believed, over TCP, on a connection of its own, and each server is asked before a name is said not to exist. A server
//! that fails, or does not answer, says nothing of the name; the last good set stands.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use resolver_core::Reason;
use tokio::sync::Semaphore;

use crate::pace::Backoff;
use crate::record::{Instance, Rejected, ServiceSet};
use crate::source::{Fault, Feed, LocalFuture, Source};

mod answer;
mod server;

use answer::{Answer, Question};
use server::Servers;

/// Questions under way at one time.
const AT_ONCE: usize = 16;
/// How often a source says that its answers hold.
const BEAT: Duration = Duration::from_secs(1);

/// Which names to ask for, and whom.
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// The source's name; unique among the sources of one agent.
    pub name: String,
    /// The servers, such as `127.0.0.1:8600` for a Consul agent; the system's where there is none.
    pub servers: Vec<SocketAddr>,
    /// What the questions travel by.
    pub transport: Transport,
    /// What to ask for each service. A name alone is asked for its SRV records; one with a port, such as
    /// `db.example.com:5432`, for its addresses.
    pub names: BTreeMap<String, String>,
    /// How long an answer may take, with all that it needs.
    pub deadline: Duration,
    /// The least time between two questions for one name, whatever its time to live; Consul's answers have 0.
    pub floor: Duration,
    /// The most time between two questions for one name.
    pub ceiling: Duration,
}

/// What DNS questions travel by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Whole answers always. Consul cuts an answer by UDP to three addresses and does not say so (unless it is told to, by
    /// `dns_config.enable_truncate`).
    #[default]
    Tcp,
    /// Datagrams, and TCP where an answer says that it was cut.
    Udp,
}

impl Default for DnsConfig {
    fn default() -> Self {
        DnsConfig {
            name: "dns".into(),
            servers: Vec::new(),
            transport: Transport::default(),
            names: BTreeMap::new(),
            deadline: Duration::from_secs(3),
            floor: Duration::from_secs(1),
            ceiling: Duration::from_secs(60),
        }
    }
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DnsError {
    /// Nothing to ask for.
    #[error(
        "a DNS source has no names; say what to ask for each service: names = {{ oms = \"_oms._tcp.example.com\" }}"
    )]
    NoNames,
    /// What is to be asked for a service cannot be.
    #[error("service {service:?}: {name:?} is neither a domain name nor a domain name with a port")]
    Name {
        /// The service.
        service: String,
        /// As configured.
        name: String,
    },
    /// A period that makes no sense.
    #[error("a DNS source's deadline and floor must not be 0, and its ceiling not below its floor")]
    Periods,
}

/// Asks for names, again and again.
///
/// # Examples
///
/// ```
/// use resolver_sync::dns::{DnsConfig, DnsSource};
///
/// let names = [("oms".to_owned(), "oms.service.consul".to_owned())].into();
/// let servers = vec![([127, 0, 0, 1], 8600).into()];
/// let source = DnsSource::new(DnsConfig { names, servers, ..DnsConfig::default() })?;
/// # Ok::<(), resolver_sync::dns::DnsError>(())
/// ```
pub struct DnsSource {
    config: DnsConfig,
    questions: BTreeMap<String, Question>,
    /// Counts the answers: DNS has no revisions of its own.
    revision: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was last reported of each service. Forgotten when something else may stand since: a second read that said
    /// otherwise, or a failure.
    reported: BTreeMap<String, (Vec<Instance>, Vec<Rejected>)>,
    /// Services that nobody has answered for yet.
    unasked: BTreeSet<String>,
    /// Services whose last question failed.
    failing: BTreeMap<String, Fault>,
}

impl DnsSource {
    /// Checks the configuration. Nothing is asked before [`Source::watch`].
    ///
    /// # Errors
    ///
    /// [`DnsError`] says which setting cannot be used.
    pub fn new(config: DnsConfig) -> Result<Self, DnsError> {
        if config.names.is_empty() {
            return Err(DnsError::NoNames);
        }
        if config.deadline.is_zero() || config.floor.is_zero() || config.ceiling < config.floor {
            return Err(DnsError::Periods);
        }
        let read = |(service, name): (&String, &String)| match Question::read(name) {
            Some(question) => Ok((service.clone(), question)),
            None => Err(DnsError::Name { service: service.clone(), name: name.clone() }),
        };
        let questions = config.names.iter().map(read).collect::<Result<_, _>>()?;
        Ok(DnsSource { config, questions, revision: AtomicU64::new(0), state: Mutex::default() })
    }

    async fn run(&self, known: Vec<String>, feed: &Feed) {
        *self.lock() = State { unasked: self.questions.keys().cloned().collect(), ..State::default() };
        // What a predecessor asked for and nobody asks for any more.
        for service in known.into_iter().filter(|service| !self.questions.contains_key(service)) {
            feed.service(service, self.set(Vec::new()));
        }
        let servers = loop {
            match Servers::new(&self.config) {
                Ok(servers) => break servers,
                Err(fault) => feed.lost(fault),
            }
            tokio::time::sleep(self.config.ceiling).await;
        };
        let room = Semaphore::new(AT_ONCE);
        let each = self.questions.iter();
        let all =
            join_all(each.map(|(service, question)| self.follow(service, question, &servers, &room, feed)));
        tokio::join!(all, self.beat(feed));
    }

    /// Asks for one name for ever.
    async fn follow(
        &self,
        service: &str,
        question: &Question,
        servers: &Servers,
        room: &Semaphore,
        feed: &Feed,
    ) {
        let mut backoff = Backoff::new(self.config.floor, self.config.ceiling.min(Duration::from_secs(10)));
        loop {
            let answer = {
                // Never closed, so always given.
                let _place = room.acquire().await;
                servers.ask(question, self.config.deadline).await
            };
            match answer {
                Ok(Answer { candidates, ttl }) => {
                    backoff.reset();
                    self.answered(service, self.set(candidates), feed);
                    tokio::time::sleep(pause(ttl, self.config.floor, self.config.ceiling)).await;
                }
                Err(fault) => {
                    self.failed(service, fault, feed);
                    backoff.wait().await;
                }
            }
        }
    }

    fn set(&self, candidates: Vec<crate::record::Candidate>) -> ServiceSet {
        ServiceSet::check(candidates, self.revision.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn answered(&self, service: &str, set: ServiceSet, feed: &Feed) {
        let mut state = self.lock();
        let healed = state.failing.remove(service).is_some();
        let first = state.unasked.remove(service);
        let now = (set.instances.clone(), set.rejected.clone());
        let same = state.reported.get(service) == Some(&now);
        if !same || healed {
            state.reported.insert(service.into(), now);
            feed.service(service, set);
        }
        if first || healed {
            state.say(self.questions.len(), feed);
        }
    }

    fn failed(&self, service: &str, fault: Fault, feed: &Feed) {
        let mut state = self.lock();
        state.unasked.remove(service);
        state.reported.remove(service);
        feed.doubt(service, fault.clone());
        state.failing.insert(service.into(), fault);
        state.say(self.questions.len(), feed);
    }

    async fn beat(&self, feed: &Feed) {
        loop {
            tokio::time::sleep(BEAT).await;
            self.lock().say(self.questions.len(), feed);
        }
    }

    async fn read_again(&self, service: &str) -> Result<ServiceSet, Fault> {
        let Some(question) = self.questions.get(service) else { return Ok(self.set(Vec::new())) };
        let servers = Servers::new(&DnsConfig { transport: Transport::Tcp, ..self.config.clone() })?;
        let Answer { candidates, .. } = servers.ask(question, self.config.deadline).await?;
        let set = self.set(candidates);
        // What it says may be believed in place of what was reported, so the next answer is news whatever it says.
        self.lock().reported.remove(service);
        Ok(set)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Says how the source stands as a whole.
    fn say(&self, questions: usize, feed: &Feed) {
        if !self.unasked.is_empty() {
            return;
        }
        match self.failing.values().next() {
            Some(fault) if self.failing.len() == questions => feed.lost(fault.clone()),
            _ => feed.alive(),
        }
    }
}

/// How long an answer is good for.
fn pause(ttl: Duration, floor: Duration, ceiling: Duration) -> Duration {
    // Never sooner than the answer expires, as a cache on the way would give it once more.
    ttl.clamp(floor, ceiling).mul_f64(1.0 + fastrand::f64() / 10.0)
}

impl Source for DnsSource {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn watch<'a>(&'a self, known: Vec<String>, feed: &'a Feed) -> LocalFuture<'a, ()> {
        Box::pin(self.run(known, feed))
    }

    fn confirm<'a>(&'a self, service: &'a str) -> LocalFuture<'a, Result<ServiceSet, Fault>> {
        Box::pin(self.read_again(service))
    }
}

/// A fault with its reason and words; here so that every part says the same of the same.
fn unreachable(words: String) -> Fault {
    Fault::new(Reason::Unreachable, words)
}

#[cfg(test)]
mod tests;
