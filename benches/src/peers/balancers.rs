//! Balancers: one of several backends for each call.

use pingora_load_balancing::selection::{Consistent, Random, RoundRobin};
use pingora_load_balancing::{Backend, LoadBalancer};

use super::rows;
use crate::ours::{NOTHING, ROUND_ROBIN};
use crate::path::{Path, run};
use crate::subject::{Role, Subject};

const PEER: Role = Role::Peer { against: ROUND_ROBIN };
/// How many backends a balancer may look at, as pingora's own examples have it.
const LOOKS: usize = 256;

/// pingora's, each over the same static backends, all of them healthy.
pub struct Balancers {
    round_robin: LoadBalancer<RoundRobin>,
    random: LoadBalancer<Random>,
    consistent: LoadBalancer<Consistent>,
}

impl Balancers {
    /// Over this many backends.
    pub fn new(backends: usize) -> Self {
        let addresses: Vec<String> = (0..backends).map(|i| format!("10.0.0.{}:9000", i + 1)).collect();
        let why = "addresses that need no lookup";
        Balancers {
            round_robin: LoadBalancer::try_from_iter(&addresses).expect(why),
            random: LoadBalancer::try_from_iter(&addresses).expect(why),
            consistent: LoadBalancer::try_from_iter(&addresses).expect(why),
        }
    }

    /// A row for each.
    pub fn subjects<'a>(&'a self, path: Path, keys: &'a [usize]) -> Vec<Subject<'a>> {
        let Balancers { round_robin, random, consistent } = self;
        vec![
            Subject::new(rows::PINGORA_ROUND_ROBIN, PEER, move |n| {
                run!(path, n, &NOTHING, move |()| port(round_robin.select(b"", LOOKS)))
            }),
            Subject::new(rows::PINGORA_RANDOM, PEER, move |n| {
                run!(path, n, &NOTHING, move |()| port(random.select(b"", LOOKS)))
            }),
            Subject::new(rows::PINGORA_CONSISTENT, PEER, move |n| {
                run!(path, n, keys, move |at: usize| port(consistent.select(&at.to_le_bytes(), LOOKS)))
            }),
        ]
    }
}

/// Consumes a backend: the peer hands out a copy of it all, whatever is made of it.
fn port(backend: Option<Backend>) -> u64 {
    backend.and_then(|backend| Some(u64::from(backend.addr.as_inet()?.port()))).unwrap_or(0)
}
