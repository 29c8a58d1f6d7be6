//! `resolver`: the agent of a host, the demo, and the tools that read what the agent publishes.

mod agent;
#[cfg(feature = "demo")]
mod demo;
mod get;
mod kill;
mod kv;
mod list;
mod output;
mod reading;
mod register;
mod registry;
mod segment;
mod setting;
mod sources;
mod tls;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use resolver_core::shm;

/// The address of a service in nanoseconds, fed by Consul, etcd and files.
///
/// Exit codes: 0 fine, 1 the command failed at its work, 2 usage or configuration, 3 unknown service, 4 no endpoint,
/// 5 no or unreadable segment, or no agent; 6 no such key, 7 a comparison did not hold, 8 the registry has no quorum.
#[derive(Parser)]
#[command(name = "resolver", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the whole path at work, with an embedded registry: churn, a reader, latencies, an oracle.
    #[cfg(feature = "demo")]
    Demo(demo::DemoArgs),
    /// Watch the configured registries and publish to the host's segment, until SIGTERM or SIGINT.
    Agent(agent::AgentArgs),
    /// Show one service, as readers of the segment see it.
    Get(get::GetArgs),
    /// Read, write, watch, back up and restore keys of Consul or etcd.
    Kv(kv::KvCommand),
    /// Look at a registry's cluster.
    Registry(registry::RegistryCommand),
    /// Show typed configuration values, as readers of the segment see them.
    Setting(setting::SettingArgs),
    /// List every service of the segment.
    List(list::ListArgs),
    /// List the registries that the agent watches, how old their word is, and how many records it had to leave out.
    Sources(sources::SourcesArgs),
    /// Run a command and keep it registered with Consul or etcd for as long as it lives. Exits with its code.
    Register(Box<register::RegisterArgs>),
    /// Take one endpoint out of every answer at once, past any hold, for a time. The agent does it.
    Kill(kill::KillArgs),
    /// Let an endpoint in again that was taken out.
    Allow(kill::AllowArgs),
    /// List the endpoints that are out, until when, and why.
    Kills(kill::KillsArgs),
    /// Look into a segment's file: its owner and use, errors, faults, and all that is in it.
    Segment(segment::SegmentCommand),
    /// Print a line for each change of one service.
    Watch(watch::WatchArgs),
}

/// Which segment to read.
#[derive(Args)]
struct SegmentArgs {
    /// The segment's file.
    #[arg(long, value_name = "PATH", default_value = shm::DEFAULT_PATH)]
    segment: PathBuf,
    /// The user id that the segment belongs to, where it is neither this user's nor root's.
    #[arg(long, value_name = "UID")]
    owner: Option<u32>,
}

/// How a command ended, where it did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The demo found what must not be, or the agent could not go on.
    Failed = 1,
    /// Usage or configuration.
    Usage = 2,
    /// The segment has no such service.
    UnknownService = 3,
    /// The service has no endpoint.
    NoEndpoint = 4,
    /// There is no segment, or it cannot be read; or no agent answers.
    NoSegment = 5,
    /// The registry has no such key.
    NoKey = 6,
    /// A comparison did not hold.
    Conflict = 7,
    /// The registry has no quorum.
    NoQuorum = 8,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(&args),
        Command::Agent(args) => agent::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Kv(args) => kv::run(&args),
        Command::Registry(args) => registry::run(&args),
        Command::Setting(args) => setting::run(&args),
        Command::List(args) => list::run(&args),
        Command::Sources(args) => sources::run(&args),
        Command::Register(args) => register::run(&args),
        Command::Kill(args) => kill::kill(&args),
        Command::Allow(args) => kill::allow(&args),
        Command::Kills(args) => kill::kills(&args),
        Command::Segment(args) => segment::run(&args),
        Command::Watch(args) => watch::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure as u8),
    }
}
