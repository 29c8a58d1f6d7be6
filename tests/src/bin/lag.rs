//! Measures how much later `resolve()` shows a change than a bare watch of the registry sees it: `docs/lag.md`.

#![allow(clippy::print_stdout, reason = "a program that is asked for its output")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use resolver_sync::pin;
use resolver_tests::cluster::Options;
use resolver_tests::lag::{self, Change, MOST_CHANGES, Plan, Registry, Summary};

/// The median difference may be this much, and its 99th percentile. Nanoseconds.
const TARGET: (i64, i64) = (200_000, 1_000_000);

/// How much later resolve() shows a change than a bare watch of the registry sees it. Exit code 1 if a target is missed.
#[derive(Parser)]
struct Args {
    /// How many changes to make in each registry.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_CHANGES)))]
    changes: u16,
    /// Only this registry.
    #[arg(long, value_enum)]
    registry: Option<Name>,
    /// The core of the agent's thread; `any` leaves it to the scheduler.
    #[arg(long, default_value = "0", value_parser = core)]
    agent_core: Core,
    /// The core of the reader, by default the last one that is not the agent's; `any` leaves it to the scheduler.
    #[arg(long, value_parser = core)]
    reader_core: Option<Core>,
    /// Lets everything else run on the agent's core too. By default the core is the agent's own, as it is meant to be.
    #[arg(long)]
    share_core: bool,
    /// How long the reader sleeps between two polls, in microseconds; with 0 it spins.
    #[arg(long, default_value_t = 50)]
    poll: u64,
    /// Runs a second bare watch beside the first: what the two differ by, no agent could avoid.
    #[arg(long)]
    control: bool,
    /// Clusters of three with TLS and ACLs or authentication, a Consul client agent between; wants root.
    #[arg(long)]
    cluster: bool,
    /// With --cluster: without TLS (and without etcd's passwords, which want it).
    #[arg(long, requires = "cluster")]
    plain: bool,
    /// Runs the watchers, the bare one and the reader, ahead of everything else (SCHED_FIFO): on a machine with fewer cores than
    /// processes they would wait for the registry's. Wants root; the reader must not spin.
    #[arg(long)]
    realtime: bool,
    /// Writes every change to this file, as CSV.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Consul,
    Etcd,
}

#[derive(Clone, Copy)]
struct Core(Option<usize>);

fn core(text: &str) -> Result<Core, String> {
    match text {
        "any" => Ok(Core(None)),
        number => number.parse().map(|core| Core(Some(core))).map_err(|e| format!("{e}; a number, or `any`")),
    }
}

/// The last core that is not the agent's, if there is one.
fn last_but(agent: Core) -> Core {
    Core(pin::allowed().into_iter().rfind(|core| Some(*core) != agent.0))
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|name| lag::is_watcher(name)) {
        return lag::watch(&args);
    }
    let args = Args::parse();
    if args.realtime && args.poll == 0 {
        eprintln!(
            "--realtime with --poll 0: the reader would keep its core from all others; let it sleep, as with --poll 50"
        );
        return ExitCode::FAILURE;
    }
    // Whatever is started from here on inherits it; the agent pins itself.
    if let Some(core) = args.agent_core.0
        && !args.share_core
        && let Err(error) = pin::avoid(&[core])
    {
        eprintln!("the agent's core is not its own: {error}");
    }
    let own = std::env::current_exe().expect("a running program's own path");
    let mut met = true;
    let mut csv =
        "registry,number,sent,answered,bare,resolved,polled_before,agent_ran,agent_waited\n".to_owned();
    for (name, registry) in [(Name::Consul, Registry::Consul), (Name::Etcd, Registry::Etcd)] {
        if args.registry.is_some_and(|only| only != name) {
            continue;
        }
        let auth = !args.plain || registry == Registry::Consul;
        let plan = Plan {
            registry,
            cluster: args.cluster.then_some(Options { tls: !args.plain, auth }),
            changes: args.changes,
            agent_core: args.agent_core.0,
            reader_core: args.reader_core.unwrap_or_else(|| last_but(args.agent_core)).0,
            poll: Duration::from_micros(args.poll),
            control: args.control,
            realtime: args.realtime,
        };
        let changes = lag::measure(&plan, &own);
        let summary = Summary::of(&changes);
        let kind = match (args.cluster, args.plain) {
            (false, _) => "",
            (true, true) => ", three members",
            (true, false) => ", three members, TLS, ACL or authentication",
        };
        print!("{}{kind}: {summary}", registry.name());
        for (what, figure, target) in [
            ("median", summary.difference.p50, TARGET.0),
            ("99th percentile", summary.difference.p99, TARGET.1),
        ] {
            let verdict = if figure <= target { "met" } else { "MISSED" };
            met &= figure <= target;
            println!("  target: {what} of the difference at most {} ms: {verdict}", target as f64 / 1e6);
        }
        println!();
        changes.iter().for_each(|change| row(&mut csv, registry, change));
    }
    if let Some(path) = &args.csv
        && let Err(error) = std::fs::write(path, csv)
    {
        eprintln!("{}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn row(csv: &mut String, registry: Registry, change: &Change) {
    let Change { number, sent, answered, bare, resolved, polled_before, agent, .. } = change;
    let (name, ran, waited) = (registry.name(), agent.ran, agent.waited);
    csv.push_str(&format!(
        "{name},{number},{sent},{answered},{bare},{resolved},{polled_before},{ran},{waited}\n"
    ));
}
