//! Many services in one registry, and a storm of changes: `docs/scale.md`.

#![allow(clippy::print_stdout, reason = "a program that is asked for its output")]

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use resolver_tests::lag::Registry;
use resolver_tests::scale::{Plan, measure};

/// How long until a table of many services is full, what it takes, and what a storm of changes does. Exit code 1 if the
/// agent's memory grew in a storm.
#[derive(Parser)]
struct Args {
    /// Only this registry.
    #[arg(long, value_enum)]
    registry: Option<Name>,
    /// How many services.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=60_000))]
    services: u32,
    /// Instances of each.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=200))]
    instances: u8,
    /// Seconds of rest in which the agent's time on a core is taken.
    #[arg(long, default_value_t = 10)]
    rest: u64,
    /// Single changes, one after the other.
    #[arg(long, default_value_t = 200)]
    changes: u32,
    /// A storm of so many changes in a second; may be given several times. By default 5000 for etcd, 300 for Consul.
    #[arg(long)]
    rate: Vec<u32>,
    /// Seconds of each storm; by default 60 for etcd, 30 for Consul.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=500))]
    storm: Option<u64>,
    /// Consul as it comes, with its 200 connections, and at most so many queries of the agent's: the others' changes are
    /// found by the wide watch. Without storms.
    #[arg(long, conflicts_with_all = ["storm", "rate"], value_parser = clap::value_parser!(u32).range(4..=150))]
    watch_limit: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Consul,
    Etcd,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut grew = false;
    for (name, registry, rate, storm) in
        [(Name::Etcd, Registry::Etcd, 5000, 60), (Name::Consul, Registry::Consul, 300, 30)]
    {
        let wide = args.watch_limit.is_some();
        if args.registry.is_some_and(|only| only != name) || (wide && name == Name::Etcd) {
            continue;
        }
        let rates = if args.rate.is_empty() { vec![rate] } else { args.rate.clone() };
        let report = measure(&Plan {
            registry,
            services: args.services,
            instances: args.instances,
            rest: Duration::from_secs(args.rest),
            changes: args.changes,
            rates: if wide { vec![] } else { rates },
            storm: Duration::from_secs(args.storm.unwrap_or(storm)),
            watch_limit: args.watch_limit,
        });
        print!("{report}");
        if report.storms().iter().any(|storm| storm.grew()) {
            println!("  the agent's memory GREW in a storm");
            grew = true;
        }
    }
    if grew { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
