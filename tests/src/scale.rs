//! Many services in one registry: how long until a table is full, what it takes, and what a storm of changes does.
//! `docs/scale.md` has the method.

mod fleet;
mod load;
mod pen;
mod reader;
mod storm;

use std::fmt::{self, Display};
use std::time::Duration;

use crate::cluster::now;
use crate::consul::{Consul, ConsulOptions};
use crate::etcd::{Etcd, EtcdOptions};
use crate::lag::{Registry, Spread};
use crate::process::Process;
use crate::resolver::Host;

use fleet::Fleet;
use load::Load;
use pen::Pen;
use reader::Table;
pub use storm::Storm;

/// For the registry to be filled and the table to be full.
const PATIENCE: Duration = Duration::from_secs(600);
/// For one change to be seen, and for all to be in step after a storm. Consul's wide watch takes 40 s to read 10,000 services.
const SEEN: Duration = Duration::from_secs(100);

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In which registry.
    pub registry: Registry,
    /// How many services.
    pub services: u32,
    /// Instances of each, at most 200.
    pub instances: u8,
    /// How long to look on while nothing changes.
    pub rest: Duration,
    /// Single changes.
    pub changes: u32,
    /// Storms, by their changes in a second.
    pub rates: Vec<u32>,
    /// How long each lasts.
    pub storm: Duration,
    /// How many queries the agent may hold of a Consul with its own limits; otherwise one for each service.
    pub watch_limit: Option<u32>,
}

/// What was found; prints as a table.
#[derive(Clone, Debug)]
pub struct Report {
    plan: Plan,
    filled: Duration,
    full: Duration,
    ran: Duration,
    before: Load,
    rest: Load,
    lag: Spread,
    registry_rss: u64,
    storms: Vec<Storm>,
}

impl Report {
    /// What each storm did.
    pub fn storms(&self) -> &[Storm] {
        &self.storms
    }
}

enum Server {
    Consul(Consul),
    Etcd(Etcd),
}

impl Server {
    fn start(plan: &Plan) -> Server {
        match plan.registry {
            Registry::Consul if plan.watch_limit.is_some() => {
                Server::Consul(Consul::start(ConsulOptions::new().durable()))
            }
            Registry::Consul => {
                // A query for each service, as many again that were given up and keep their place, and others' tools.
                let limit = (2 * plan.services + 100).clamp(200, 19_900);
                let config = serde_json::json!({ "limits": { "http_max_conns_per_client": limit } });
                Server::Consul(Consul::start(ConsulOptions::new().durable().config(config)))
            }
            // Its own limit is 8 GiB at most; what a storm writes is a few hundred MB.
            Registry::Etcd => {
                let options = EtcdOptions::new().arg("--quota-backend-bytes=8589934592");
                Server::Etcd(Etcd::start(options.arg("--auto-compaction-retention=1m")))
            }
        }
    }

    fn process(&self) -> &Process {
        match self {
            Server::Consul(consul) => consul,
            Server::Etcd(etcd) => etcd,
        }
    }

    fn url(&self) -> String {
        match self {
            Server::Consul(consul) => consul.url(),
            Server::Etcd(etcd) => etcd.url(),
        }
    }

    fn configuration(&self, plan: &Plan) -> String {
        let instances = u32::from(plan.instances).next_power_of_two();
        // Half as many again: blocks are aligned to their size.
        let endpoints = (plan.services * instances).div_ceil(2) * 3;
        let segment =
            format!("services = {}\nendpoints = {endpoints}\ntext_bytes = 64\n", plan.services + 64);
        let url = self.url();
        let source = match self {
            Server::Consul(_) => format!(
                "name = \"consul\"\nkind = \"consul\"\naddress = \"{url}\"\nwatch_limit = {}\n\
                 wait_s = 60\n",
                plan.watch_limit.unwrap_or(plan.services + 16)
            ),
            Server::Etcd(_) => format!("name = \"etcd\"\nkind = \"etcd\"\nendpoints = [\"{url}\"]\n"),
        };
        format!("[segment]\npath = \"SEGMENT\"\n{segment}\n[[source]]\n{source}")
    }
}

/// Fills a registry, starts an agent on it, and measures.
///
/// # Panics
///
/// If something cannot be started, or the table is not in step in the end.
pub fn measure(plan: &Plan) -> Report {
    let server = Server::start(plan);
    let fleet = Fleet { services: plan.services, instances: plan.instances };
    let mut pen = Pen::new(plan.registry, &server.url());
    let start = now();
    pen.fill(fleet);
    let filled = Duration::from_nanos(now() - start);

    let host = Host::new();
    let segment = host.segment();
    let configuration = server.configuration(plan).replace("SEGMENT", &segment.display().to_string());
    let start = now();
    let agent = host.agent(&configuration);
    let table = Table::open(&segment, PATIENCE);
    table.wait_until_full(fleet, PATIENCE, || {
        assert!(agent.is_running(), "the agent has ended{}", agent.logs());
    });
    let full = Duration::from_nanos(now() - start);
    let before = Load::of(agent.pid());
    let ran = before.ran;

    // What follows the first listing, at most.
    pen.rest(Duration::from_secs(5));
    let resting = Load::of(agent.pid());
    pen.rest(plan.rest);
    let rest = Load::of(agent.pid()).since(&resting, plan.rest);

    let lag = single_changes(plan, fleet, &mut pen, &table, &agent);
    let registry_rss = Load::of(server.process().pid()).rss;
    let storms = plan
        .rates
        .iter()
        .map(|rate| storm::run(*rate, plan.storm, fleet, &mut pen, &table, &agent, server.process()))
        .collect();
    Report { plan: plan.clone(), filled, full, ran, before, rest, lag, registry_rss, storms }
}

fn single_changes(plan: &Plan, fleet: Fleet, pen: &mut Pen, table: &Table, agent: &Process) -> Spread {
    let times = (1..=plan.changes).map(|number| {
        // Spread over all services.
        let service = number.wrapping_mul(7_919) % fleet.services;
        let place = pen.next(fleet, service);
        let sent = now();
        pen.write(&[place]);
        let seen = table.wait_for(service, place.port, SEEN, || {
            assert!(agent.is_running(), "the agent has ended{}", agent.logs());
        });
        pen.rest(Duration::from_millis(2));
        i64::try_from(seen - sent).unwrap_or(i64::MAX)
    });
    Spread::of(times.collect::<Vec<_>>())
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { registry, services, instances, watch_limit, .. } = self.plan;
        let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / (1 << 20) as f64);
        let mut row = |what: &str, found: String| writeln!(f, "  {what:<58}{found}");
        row(&format!("{}: services x instances", registry.name()), format!("{services} x {instances}"))?;
        if let Some(limit) = watch_limit {
            row("queries held at most; the others are watched together", limit.to_string())?;
        }
        row("written to the registry in", format!("{:.1} s", self.filled.as_secs_f64()))?;
        row("agent's start to a full table", format!("{:.2} s", self.full.as_secs_f64()))?;
        row("  agent's thread ran of it", format!("{:.2} s", self.ran.as_secs_f64()))?;
        row("agent's own memory, table full", mib(self.before.anon))?;
        row("agent's share of the segment, table full", mib(self.before.shared))?;
        row("agent at rest, of one core", format!("{:.2} %", self.rest.percent()))?;
        row("registry's memory", mib(self.registry_rss))?;
        writeln!(f, "  {:<58}{:>9}{:>9}{:>9}{:>9}", "ms", "p50", "p90", "p99", "max")?;
        writeln!(f, "  {:<58}{}", "one change, write sent -> resolve()", self.lag)?;
        self.storms.iter().try_for_each(|storm| write!(f, "{storm}"))
    }
}
