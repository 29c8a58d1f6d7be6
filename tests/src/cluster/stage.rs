//! A cluster, an agent of ours on it, and a witness of what it publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::history::{History, Judge};
use super::kept::Kept;
use super::registry::{Kind, Registry};
use super::witness::{Sighting, Witness};
use super::{Options, now};
use crate::follower::Place;
use crate::process::Process;
use crate::resolver::Host;
use crate::wait::{try_until, until};

/// What is watched; three instances of each.
pub(super) const SERVICES: [&str; 2] = ["orders", "quotes"];
const INSTANCES: u8 = 3;
/// For the registry to take a write, and for what it took to be read. What is asserted of the times is asserted of the
/// figures, not by these.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub struct Stage {
    witness: Witness,
    agent: Process,
    kept: Kept,
    registry: Registry,
    // Dropped after the processes that use it: fields drop in their order.
    host: Host,
    history: History,
    judge: Judge,
    last: BTreeMap<String, Sighting>,
    moves: u16,
}

impl Stage {
    /// Starts all of it, and waits until it is in step. `program` calls [`super::witness`] with its arguments.
    #[track_caller]
    pub fn start(kind: Kind, options: Options, program: &Path) -> Stage {
        let registry = Registry::start(kind, options);
        let mut history = History::default();
        for service in SERVICES {
            for instance in 1..=INSTANCES {
                let place = at(instance, 0);
                history.note(service, instance, Some(place));
                until(PATIENCE, "the first instances", || registry.write(service, instance, Some(place)));
            }
        }
        let host = Host::new();
        let agent = host.agent(&registry.source(&host, options));
        let kept = Kept::start(&host, &registry, options);
        let witness = Witness::start(program, &host, &SERVICES);
        let (judge, last) = (Judge::default(), BTreeMap::new());
        let mut stage = Stage { witness, agent, kept, registry, host, history, judge, last, moves: 0 };
        stage.in_step(now());
        stage
    }

    /// The cluster.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// `resolver agent`.
    pub fn agent(&self) -> &Process {
        &self.agent
    }

    /// An instance that `resolver register` keeps there.
    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// The agent's host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// How many answers were judged.
    pub fn judged(&self) -> usize {
        self.judge.judged
    }

    /// Moves an instance of each service, and waits for the registry to take it: when it took the first one.
    #[track_caller]
    pub fn change(&mut self) -> u64 {
        self.moves += 1;
        let place = at(1, self.moves);
        let mut taken = None;
        for service in SERVICES {
            self.write(service, 1, Some(place));
            taken = taken.or(Some(now()));
        }
        taken.unwrap_or_else(now)
    }

    /// Writes one instance, and waits for the registry to take it.
    #[track_caller]
    pub fn write(&mut self, service: &str, instance: u8, place: Option<SocketAddr>) {
        self.history.note(service, instance, place);
        let registry = &self.registry;
        let (witness, judge, history, last) = (&self.witness, &mut self.judge, &self.history, &mut self.last);
        let written = try_until(PATIENCE, || {
            look(witness, judge, history, last);
            registry.write(service, instance, place)
        });
        if let Err(why) = written {
            panic!("the registry takes no write within {PATIENCE:?}: {why}{}", self.agent.logs());
        }
    }

    /// Notes what comes, for a change that a test makes in its own way.
    pub fn note(&mut self, service: &str, instance: u8, place: Option<SocketAddr>) {
        self.history.note(service, instance, place);
    }

    /// An address that no instance had yet.
    pub fn fresh_place(&mut self, instance: u8) -> SocketAddr {
        self.moves += 1;
        at(instance, self.moves)
    }

    /// What the registry holds now, to come back to.
    pub fn mark(&self) -> BTreeMap<String, BTreeMap<u8, SocketAddr>> {
        self.history.mark()
    }

    /// The registry goes back to a mark.
    pub fn rewind(&mut self, mark: &BTreeMap<String, BTreeMap<u8, SocketAddr>>) {
        self.history.rewind(mark);
    }

    /// Judges all answers up to now.
    ///
    /// # Panics
    ///
    /// At the first that is wrong.
    #[track_caller]
    pub fn look(&mut self) {
        look(&self.witness, &mut self.judge, &self.history, &mut self.last);
    }

    /// Waits until the last answer of each service meets a condition, judging all on the way.
    #[track_caller]
    pub fn until(&mut self, what: &str, condition: impl Fn(&Sighting) -> bool) {
        let (witness, judge, history, last) = (&self.witness, &mut self.judge, &self.history, &mut self.last);
        let met = try_until(PATIENCE, || {
            look(witness, judge, history, last);
            if SERVICES.iter().all(|service| last.get(*service).is_some_and(&condition)) {
                Ok(())
            } else {
                Err(())
            }
        });
        if met.is_err() {
            panic!(
                "not within {PATIENCE:?}: {what}; the last answers: {:#?}{}",
                self.last,
                self.agent.logs()
            );
        }
    }

    /// Asserts that every service is held as it was last good.
    #[track_caller]
    pub fn held(&mut self) {
        self.look();
        let held = self.last.values().all(|seen| seen.state == "STALE");
        assert!(held, "the fault is no fault: {:#?}{}", self.last, self.agent.logs());
    }

    /// Waits until each service is FRESH and as the registry holds it: how long after `since` that was first read. What
    /// the registry holds is asked of it, too: the history must not be wrong about it.
    #[track_caller]
    pub fn in_step(&mut self, since: u64) -> Duration {
        let wanted: BTreeMap<&str, BTreeSet<SocketAddr>> =
            SERVICES.iter().map(|service| (*service, self.history.addresses(service))).collect();
        self.until("all are fresh, and as the registry has them", |seen| {
            seen.state == "FRESH" && wanted.get(seen.service.as_str()) == Some(&seen.set)
        });
        for service in SERVICES {
            let held = until(PATIENCE, "the registry says what it holds", || self.registry.read(service));
            assert_eq!(Some(&held), wanted.get(service), "the registry and the history of {service} differ");
        }
        let last = self.last.values().map(|seen| seen.at).max().unwrap_or(since);
        Duration::from_nanos(last.saturating_sub(since))
    }
}

#[track_caller]
fn look(witness: &Witness, judge: &mut Judge, history: &History, last: &mut BTreeMap<String, Sighting>) {
    for seen in witness.take() {
        if let Err(why) = judge.judge(history, &seen) {
            panic!("a wrong answer: {why}");
        }
        last.insert(seen.service.clone(), seen);
    }
}

/// Where an instance is after so many moves.
fn at(instance: u8, moves: u16) -> SocketAddr {
    let place = Place::new(instance, moves);
    SocketAddr::from((place.address(), place.port()))
}
