//! One blocking query, asked for ever by the official rules.
//!
//! [`Poll::next`] yields an answer that may be believed, or the fault that stands in its way, and never turns into a hot
//! loop: how soon it asks again depends on what the last turn brought.

use std::time::Duration;

use reqwest::StatusCode;
use resolver_core::Reason;

use crate::pace::{Backoff, Bucket};
use crate::source::Fault;

use super::agent::{Agents, Answer, Lane, Request};
use super::choice::Consistency;
use super::config::ConsulConfig;
use super::contact::Contact;
use super::index::{Cursor, Verdict};

/// A blocking query that goes on for ever.
pub(super) struct Poll<'a> {
    agents: &'a Agents,
    contact: &'a Contact<'a>,
    request: Request,
    consistency: Consistency,
    wait: Duration,
    cursor: Cursor,
    /// The generation and the epoch that the cursor belongs to.
    generation: u64,
    epoch: u64,
    /// The highest index that was yielded in this epoch.
    yielded: u64,
    /// An index went back. A new leader answers before it has read its own log, unless it is asked to prove itself; only
    /// what it says then is another history.
    proof: bool,
    pacing: Pacing,
}

/// An answer that may be believed.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) body: Vec<u8>,
    pub(super) index: u64,
    /// The generation in which it was read.
    pub(super) generation: u64,
}

impl<'a> Poll<'a> {
    pub(super) fn new(
        config: &ConsulConfig,
        agents: &'a Agents,
        contact: &'a Contact<'a>,
        request: Request,
    ) -> Self {
        Self::with(config.consistency, config, agents, contact, request)
    }

    /// In another mode than the configured one.
    pub(super) fn with(
        consistency: Consistency,
        config: &ConsulConfig,
        agents: &'a Agents,
        contact: &'a Contact<'a>,
        request: Request,
    ) -> Self {
        Poll {
            agents,
            contact,
            request,
            consistency,
            wait: config.wait,
            cursor: Cursor::default(),
            generation: 0,
            epoch: 0,
            yielded: 0,
            proof: false,
            pacing: Pacing::new(),
        }
    }

    /// The generation of the last attempt.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// What the last answer brought, once it was reported: a change may be followed by the next one at once.
    pub(super) fn learned(&mut self, changed: bool) {
        self.pacing.turn = if changed { Turn::Changed } else { self.pacing.turn };
    }

    /// The last answer cannot be used after all: read again after the delay of a failure.
    pub(super) fn disbelieve(&mut self) {
        self.cursor.reset();
        self.pacing.turn = Turn::Failed;
    }

    /// The next answer, or why there is none. Waits for as long as contact is down.
    pub(super) async fn next(&mut self) -> Result<Word, Fault> {
        loop {
            let moment = self.contact.is_up().await;
            if moment.generation != self.generation {
                self.start_over(moment.generation, moment.epoch).await;
                continue;
            }
            let (agents, contact) = (self.agents, self.contact);
            tokio::select! {
                biased;
                () = contact.is_past(self.generation) => continue,
                () = self.pacing.wait() => {}
            }
            let (request, deadline) = self.shape();
            let lane = if self.cursor.index().is_none() { Lane::Read } else { Lane::Watch };
            // What was asked in a generation that has passed is not looked at: it is read again.
            let outcome = tokio::select! {
                biased;
                () = contact.is_past(self.generation) => continue,
                outcome = agents.send(lane, &request, deadline) => outcome,
            };
            match outcome.and_then(|answer| self.judge(&request, answer)) {
                Ok(Some(word)) => return Ok(word),
                Ok(None) => {}
                Err(fault) => {
                    self.disbelieve();
                    if matches!(fault.reason, Reason::Unreachable | Reason::NoLeader) {
                        contact.doubt();
                    }
                    return Err(fault);
                }
            }
        }
    }

    async fn start_over(&mut self, generation: u64, epoch: u64) {
        // The first time there is no crowd to spread.
        if self.generation != 0 {
            tokio::time::sleep(SPREAD.mul_f64(fastrand::f64())).await;
        }
        if epoch != self.epoch {
            self.yielded = 0;
        }
        (self.generation, self.epoch) = (generation, epoch);
        self.proof = false;
        self.cursor.reset();
        self.pacing.restart();
    }

    /// The request as it is to be sent now, and how long it may take.
    fn shape(&self) -> (Request, Duration) {
        let mut request = self.request.clone();
        // After an answer that was not believed, the leader is asked.
        match self.consistency {
            _ if self.is_proven() => request = request.with("consistent", ""),
            Consistency::Stale { .. } if self.pacing.strange == 0 => request = request.with("stale", ""),
            Consistency::Cached { max_age, stale_if_error } if self.pacing.strange == 0 => {
                let (age, error) = (max_age.as_secs(), stale_if_error.as_secs());
                request = request.with("cached", "");
                request.cache_control = Some(format!("max-age={age}, stale-if-error={error}"));
            }
            _ => {}
        }
        match self.cursor.index() {
            None => (request, READ),
            Some(index) => {
                let wait = format!("{}ms", self.wait.as_millis());
                // The server adds up to a sixteenth, so that a crowd does not return at one moment.
                (request.with("index", index.to_string()).with("wait", wait), self.wait * 17 / 16 + SLACK)
            }
        }
    }

    /// Whether the next answer is one that a majority stands behind.
    fn is_proven(&self) -> bool {
        self.proof || self.consistency == Consistency::Consistent
    }

    /// Whether the next answer may come from somebody else than the leader.
    fn may_be_old(&self) -> bool {
        let by_others = matches!(self.consistency, Consistency::Stale { .. } | Consistency::Cached { .. });
        by_others && self.pacing.strange == 0
    }

    /// Whether an answer may be believed: `None` asks for another read.
    fn judge(&mut self, request: &Request, answer: Answer) -> Result<Option<Word>, Fault> {
        let absent = request.or_absent && answer.status == StatusCode::NOT_FOUND;
        if answer.status != StatusCode::OK && !absent {
            return Err(self.agents.refusal(request, &answer));
        }
        let fault = |reason, what| Err(self.agents.fault(reason, request, what));
        let Some(index) = answer.index else {
            return fault(
                Reason::BadAnswer,
                "an answer without X-Consul-Index; is there a proxy that drops it?",
            );
        };
        let too_old = match self.consistency {
            Consistency::Stale { max_age } => answer.last_contact > max_age,
            Consistency::Cached { max_age, .. } => answer.age > max_age,
            Consistency::Default | Consistency::Consistent => false,
        };
        if self.may_be_old() && (answer.known_leader != Some(true) || too_old) {
            self.cursor.reset();
            self.pacing.distrust();
            return Ok(None);
        }
        if answer.known_leader != Some(true) {
            return fault(Reason::NoLeader, "the server that answered knows no leader");
        }
        if answer.filtered {
            let what =
                "the answer was filtered: give the token `service_prefix \"\"` and `node_prefix \"\"` read";
            return fault(Reason::Acl, what);
        }
        match self.cursor.answered(index, answer.took < self.wait) {
            Verdict::Early | Verdict::Lower => {
                self.pacing.distrust();
                return Ok(None);
            }
            Verdict::Read if index < self.yielded => {
                if !self.is_proven() {
                    // A server that lags, or a leader that is still reading: the first is cured by asking the leader.
                    self.proof = !self.may_be_old();
                    self.cursor.reset();
                    self.pacing.distrust();
                    return Ok(None);
                }
                let what = format_args!("the index went back from {} to {index}", self.yielded);
                self.contact.new_epoch(self.agents.fault(Reason::Regressed, request, what).detail);
                // Only the others have to read again.
                let moment = self.contact.moment();
                (self.generation, self.epoch) = (moment.generation, moment.epoch);
                self.pacing.turn = Turn::Idle;
            }
            Verdict::Read => self.pacing.turn = Turn::Idle,
            Verdict::Waited => self.pacing.restart(),
            Verdict::Advanced => {
                self.pacing.restart();
                self.pacing.turn = Turn::Idle;
            }
        }
        self.yielded = index.max(1);
        self.proof = false;
        Ok(Some(Word { body: answer.body, index: self.yielded, generation: self.generation }))
    }
}

/// What the last turn brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Nothing yet, or the whole wait has passed.
    Rested,
    /// A change; the next one may follow closely.
    Changed,
    /// An answer that changed nothing.
    Idle,
    /// An answer that was not believed.
    Strange,
    /// A failure.
    Failed,
}

/// How soon the next query goes out.
#[derive(Debug)]
struct Pacing {
    turn: Turn,
    /// How many answers in a row were not believed.
    strange: u32,
    changes: Bucket,
    idle: Bucket,
    disbelief: Backoff,
    failures: Backoff,
}

impl Pacing {
    fn new() -> Self {
        Pacing {
            turn: Turn::Rested,
            strange: 0,
            changes: Bucket::new(BURST, Duration::from_millis(1)),
            idle: Bucket::new(BURST, Duration::from_millis(50)),
            disbelief: Backoff::new(Duration::from_millis(100), Duration::from_secs(2)),
            failures: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
        }
    }

    /// The server behaves: no delay grows any longer.
    fn restart(&mut self) {
        self.turn = Turn::Rested;
        self.strange = 0;
        self.disbelief.reset();
        self.failures.reset();
    }

    fn distrust(&mut self) {
        self.turn = Turn::Strange;
        self.strange = self.strange.saturating_add(1);
    }

    async fn wait(&mut self) {
        match self.turn {
            Turn::Rested => {}
            Turn::Changed => self.changes.wait().await,
            Turn::Idle if self.strange <= BURST => self.idle.wait().await,
            Turn::Strange if self.strange <= BURST => {}
            Turn::Idle | Turn::Strange => self.disbelief.wait().await,
            Turn::Failed => self.failures.wait().await,
        }
    }
}

/// How many queries may follow each other at once.
const BURST: u32 = 2;
/// A read that does not block is given up after this time.
const READ: Duration = Duration::from_secs(5);
/// What a blocking query is given beyond the longest that the server may hold it.
const SLACK: Duration = Duration::from_secs(2);
/// Over which time the queries of one source come back after a loss.
const SPREAD: Duration = Duration::from_millis(200);
