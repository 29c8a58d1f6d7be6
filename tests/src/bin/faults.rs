//! What befalls a cluster, with repeats: how soon all is in step again. `faults witness ...` is the process that reads.

#![allow(clippy::print_stdout, reason = "a program that is asked for its output")]

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use resolver_tests::cluster::{Fault, Kind, Options, Recoveries, Stage, witness};

/// Real clusters, and what can befall them; wants root. Exit code 1 if a target is missed; a wrong answer ends it.
#[derive(Parser)]
struct Args {
    /// How often each fault is brought about.
    #[arg(long, default_value_t = 5)]
    repeats: u32,
    /// Only this registry.
    #[arg(long, value_enum)]
    registry: Option<Name>,
    /// Only faults whose name has this in it (LeaderKilled, CutFromPeers, Unplugged, ...).
    #[arg(long)]
    fault: Option<String>,
    /// Without TLS.
    #[arg(long)]
    plain: bool,
    /// Without ACLs and authentication.
    #[arg(long)]
    open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Consul,
    Etcd,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|name| name == "witness") {
        if let Err(why) = witness(&args) {
            eprintln!("{why}");
        }
        return ExitCode::FAILURE;
    }
    let args = Args::parse();
    let own = std::env::current_exe().expect("a running program's own path");
    let mut all = Recoveries::default();
    for (name, kind) in [(Name::Etcd, Kind::Etcd), (Name::Consul, Kind::Consul)] {
        if args.registry.is_some_and(|only| only != name) {
            continue;
        }
        let options =
            Options { tls: !args.plain && Options::SECURE.tls, auth: !args.open && Options::SECURE.auth };
        println!("{}: three members, {options:?}", kind.name());
        let mut stage = Stage::start(kind, options, &own);
        for repeat in 1..=args.repeats {
            for fault in Fault::of(kind, options) {
                if args.fault.as_ref().is_some_and(|only| !format!("{fault:?}").contains(only.as_str())) {
                    continue;
                }
                let start = Instant::now();
                fault.run(&mut stage, &mut all);
                println!("  {repeat}: {fault:?} in {:.1} s", start.elapsed().as_secs_f64());
            }
        }
        stage.look();
        println!("  {} answers were judged, none of them wrong\n", stage.judged());
    }
    println!("{all}");
    if all.met() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
