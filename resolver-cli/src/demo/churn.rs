//! The demo's registry and what happens in it: instances come, go, fail, recover and move, and services with them. The
//! order is the same in every run; how much of it fits into a run is not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use resolver_core::{Reader, ResolveError, Resolved};
use resolver_sync::memory::MemoryRegistry;
use resolver_sync::policy::{Selection, Zones};
use resolver_sync::record::{Candidate, Instance, ServiceSet};
use resolver_sync::view::{self, View};

use super::oracle::{SERVICES, place};

/// What the demo resolves.
pub(crate) const NAMES: [&str; SERVICES] = [
    "order-gateway",
    "market-data",
    "risk-check",
    "position-keeper",
    "drop-copy",
    "matching-engine",
    "reference-data",
    "credit-limits",
    "clearing",
    "fix-bridge",
    "price-feed",
    "quote-engine",
    "smart-router",
    "surveillance",
    "session-store",
    "time-source",
];

/// Random, and the same in every run.
pub(crate) const SEED: u64 = 1;
/// Changes at a time, each in another service, and how long it is quiet after them.
const BURST: usize = 10;
const PAUSE: Duration = Duration::from_millis(1);
const FEWEST: usize = 2;
const MOST: usize = 12;

/// The registry, with the hand that changes it.
pub(crate) struct Churn {
    registry: MemoryRegistry,
    services: Vec<Service>,
    rng: Rng,
    next_service: usize,
}

struct Service {
    index: usize,
    up: Vec<Node>,
    /// Failed; some of them recover.
    down: Vec<Node>,
    next_number: u64,
    /// Taken out of the registry as a whole.
    is_gone: bool,
}

/// An instance by its number and how often it has moved; its id says both.
#[derive(Clone, Copy)]
struct Node {
    number: u64,
    moves: u64,
}

impl Churn {
    /// A registry with every service in it.
    pub(crate) fn new() -> Self {
        let service = |index| {
            let up = (0..4).map(|number| Node { number, moves: 0 }).collect();
            Service { index, up, down: Vec::new(), next_number: 4, is_gone: false }
        };
        let services: Vec<_> = (0..SERVICES).map(service).collect();
        let registry = MemoryRegistry::new();
        registry.replace(services.iter().map(|s| (NAMES[s.index].into(), s.candidates())).collect());
        Churn { registry, services, rng: Rng::with_seed(SEED), next_service: 0 }
    }

    pub(crate) fn registry(&self) -> MemoryRegistry {
        self.registry.clone()
    }

    /// Changes the registry until it is told to end; counts what it did.
    pub(crate) fn run(&mut self, changes: &AtomicU64, ending: &AtomicBool) {
        while !ending.load(Ordering::Relaxed) {
            for _ in 0..BURST {
                self.change();
                changes.fetch_add(1, Ordering::Relaxed);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn change(&mut self) {
        let service = &mut self.services[self.next_service];
        self.next_service = (self.next_service + 1) % SERVICES;
        service.change(&mut self.rng);
        let name = NAMES[service.index];
        if service.is_gone {
            self.registry.remove(name);
        } else {
            self.registry.set(name, service.candidates());
        }
    }

    /// How many services a reader finds as the registry has them now.
    pub(crate) fn agreed(&self, reader: &Reader<'_>) -> usize {
        let agrees = |service: &&Service| {
            let name = NAMES[service.index];
            let answer = reader.service(name).map(|handle| reader.resolve(handle));
            answer.is_some_and(|answer| service.agrees(name, answer))
        };
        self.services.iter().filter(agrees).count()
    }
}

impl Service {
    fn change(&mut self, rng: &mut Rng) {
        if std::mem::take(&mut self.is_gone) {
            return;
        }
        match rng.u32(0..1000) {
            0..5 => self.is_gone = true,
            5..200 => self.come(),
            200..400 if self.up.len() > FEWEST => drop(self.leave(rng)),
            400..600 if self.up.len() > FEWEST => {
                let failed = self.leave(rng);
                self.down.push(failed);
            }
            600..800 if !self.down.is_empty() && self.up.len() < MOST => {
                let recovered = self.down.swap_remove(rng.usize(..self.down.len()));
                self.up.push(recovered);
            }
            _ => {
                let mut node = self.leave(rng);
                node.moves += 1;
                self.up.push(node);
            }
        }
        // What stays down for long is given up.
        self.down.truncate(MOST);
    }

    fn come(&mut self) {
        if self.up.len() < MOST {
            self.up.push(Node { number: self.next_number, moves: 0 });
            self.next_number += 1;
        }
    }

    /// Takes one out; there always is one.
    fn leave(&mut self, rng: &mut Rng) -> Node {
        self.up.swap_remove(rng.usize(..self.up.len()))
    }

    fn candidates(&self) -> Vec<Candidate> {
        let name = NAMES[self.index];
        self.up
            .iter()
            .map(|node| candidate(self.index, format!("{name}-{}.{}", node.number, node.moves)))
            .collect()
    }

    fn agrees(&self, name: &str, answer: Result<Resolved, ResolveError>) -> bool {
        if self.is_gone {
            return answer == Err(ResolveError::Empty);
        }
        let set = ServiceSet::check(self.candidates(), 0);
        let view = View::of_service("", name);
        let ranked = Selection::default().rank(&view, &Zones::default(), &set, None, Instant::now());
        let (Some(expected), Ok(resolved)) = (ranked.endpoints.first(), answer) else { return false };
        (resolved.id(), resolved.address().socket_addr(), resolved.endpoints())
            == (expected.id(), expected.address().socket_addr(), ranked.active)
    }
}

/// An instance where its id says that it is.
fn candidate(service: usize, id: String) -> Candidate {
    let place = place(service, id_in_table(&id));
    Candidate {
        id,
        address: place.address.ip().to_string(),
        port: place.address.port().into(),
        weight: Some(place.weight.into()),
        tier: place.tier,
        ..Candidate::default()
    }
}

/// The id as the table has it.
fn id_in_table(id: &str) -> u64 {
    let instance = Instance {
        id: id.to_owned(),
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        port: 1,
        weight: 1,
        tier: 0,
        zone: String::new(),
        tags: Vec::new(),
        meta: Default::default(),
        source: None,
    };
    view::endpoint(&instance).id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_every_kind_of_change_and_only_good_records() {
        let mut churn = Churn::new();
        let (mut gone, mut fewest, mut most) = (0, usize::MAX, 0);
        for step in 0..20_000 {
            churn.change();
            let service = &churn.services[step % SERVICES];
            gone += usize::from(service.is_gone);
            fewest = fewest.min(service.up.len());
            most = most.max(service.up.len());
            let set = ServiceSet::check(service.candidates(), 0);
            assert_eq!((set.instances.len(), set.rejected.len()), (service.up.len(), 0));
        }
        assert!(gone > 0 && fewest >= 1 && most > 4 && most <= MOST, "{gone} {fewest} {most}");
        assert!(churn.services.iter().any(|s| s.up.iter().any(|node| node.moves > 0)));
    }

    #[test]
    fn runs_are_alike() {
        let after = |steps| {
            let mut churn = Churn::new();
            (0..steps).for_each(|_| churn.change());
            churn.services.iter().map(|s| s.candidates().iter().map(|c| c.id.clone()).collect()).collect()
        };
        let (one, other): (Vec<Vec<String>>, Vec<Vec<String>>) = (after(500), after(500));
        assert_eq!(one, other);
        assert_ne!(one, after(501));
    }
}
