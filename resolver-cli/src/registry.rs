//! Which registry a command speaks to, and `resolver registry status`.

use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;

use clap::{Args, Subcommand};
use resolver_sync::consul::{ConsulConfig, ConsulKv};
use resolver_sync::etcd::{EtcdConfig, EtcdKv};
use resolver_sync::kv::{Kv, VALUE_LIMIT};
use resolver_sync::secret::Secret;
use resolver_sync::status::{Member, Status};
use tracing_subscriber::EnvFilter;

use crate::tls::TlsArgs;
use crate::{Failure, output};

/// The registry. Secrets come from files or the environment, never from the command line.
#[derive(Args)]
pub(crate) struct RegistryArgs {
    /// An agent of Consul: host:port, http://host:port or https://host:port. May be given more than once.
    #[arg(long, value_name = "URL", global = true, conflicts_with = "etcd")]
    consul: Vec<String>,
    /// A member of an etcd cluster: http://host:port or https://host:port. May be given more than once.
    #[arg(long, value_name = "URL", global = true)]
    etcd: Vec<String>,
    /// A file, for its owner alone, with Consul's token; else CONSUL_HTTP_TOKEN_FILE or CONSUL_HTTP_TOKEN.
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "etcd")]
    token_file: Option<PathBuf>,
    /// Consul's datacentre, if it is not the agent's own.
    #[arg(long, value_name = "NAME", global = true, conflicts_with = "etcd")]
    datacenter: Option<String>,
    /// etcd's user; else ETCDCTL_USER (name or name:password).
    #[arg(long, value_name = "NAME", global = true, conflicts_with = "consul")]
    user: Option<String>,
    /// A file, for its owner alone, with the user's password; else ETCDCTL_PASSWORD or what is in ETCDCTL_USER.
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "consul")]
    password_file: Option<PathBuf>,
    /// What stands before every key in the etcd cluster, and is shown in none; as an agent's source has it.
    #[arg(long, value_name = "TEXT", global = true, conflicts_with = "consul")]
    namespace: Option<String>,
    /// The largest value that is read or written, in bytes.
    #[arg(long, value_name = "BYTES", global = true, default_value_t = VALUE_LIMIT)]
    value_limit: usize,
    #[command(flatten)]
    tls: TlsArgs,
}

/// A registry's keys and its state.
pub(crate) enum Registry {
    Consul(Rc<ConsulKv>),
    Etcd(Rc<EtcdKv>),
}

impl Registry {
    pub(crate) fn kv(&self) -> &dyn Kv {
        match self {
            Registry::Consul(kv) => kv.as_ref(),
            Registry::Etcd(kv) => kv.as_ref(),
        }
    }

    pub(crate) fn into_kv(self) -> Rc<dyn Kv> {
        match self {
            Registry::Consul(kv) => kv,
            Registry::Etcd(kv) => kv,
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Registry::Consul(_) => "consul",
            Registry::Etcd(_) => "etcd",
        }
    }

    async fn status(&self) -> Status {
        match self {
            Registry::Consul(kv) => kv.status().await,
            Registry::Etcd(kv) => kv.status().await,
        }
    }
}

impl RegistryArgs {
    /// The registry that is meant; connects to nothing yet.
    pub(crate) fn open(&self) -> Result<Registry, Failure> {
        let refuse = |why: &dyn std::fmt::Display| output::fail(Failure::Usage, why);
        if !self.consul.is_empty() {
            let mut config = ConsulConfig::new("consul", "");
            config.addresses.clone_from(&self.consul);
            config.datacenters.extend(self.datacenter.clone());
            // A file is read again when it has changed: a watch outlives many a token.
            config.token_file = self.token_file();
            if config.token_file.is_none() {
                config.token = from_env("CONSUL_HTTP_TOKEN").map(Secret::new);
            }
            config.tls = self.tls.consul("consul")?;
            // A whole store may be listed.
            config.body_limit = LISTED;
            let kv = ConsulKv::new(config).map_err(|error| refuse(&error))?;
            return Ok(Registry::Consul(Rc::new(kv.with_value_limit(self.value_limit))));
        }
        if self.etcd.is_empty() {
            return Err(refuse(&"name a registry: --consul URL or --etcd URL"));
        }
        let (user, password) = self.user();
        let config = EtcdConfig {
            endpoints: self.etcd.clone(),
            namespace: self.namespace.clone().unwrap_or_default(),
            user,
            password,
            password_file: self.password_file.clone(),
            tls: self.tls.etcd(),
            ..EtcdConfig::default()
        };
        let kv = EtcdKv::new(config).map_err(|error| refuse(&error))?;
        Ok(Registry::Etcd(Rc::new(kv.with_value_limit(self.value_limit))))
    }

    fn token_file(&self) -> Option<PathBuf> {
        self.token_file.clone().or_else(|| from_env("CONSUL_HTTP_TOKEN_FILE").map(PathBuf::from))
    }

    /// And the password, if no file has it.
    fn user(&self) -> (Option<String>, Option<Secret>) {
        let both = from_env("ETCDCTL_USER").unwrap_or_default();
        let (name, with_it) = match both.split_once(':') {
            Some((name, password)) => (name.to_owned(), Some(Secret::new(password))),
            None => (both, None),
        };
        let user = self.user.clone().or_else(|| (!name.is_empty()).then_some(name));
        if user.is_none() && self.password_file.is_none() {
            return (None, None);
        }
        let password = match &self.password_file {
            Some(_) => None,
            None => from_env("ETCDCTL_PASSWORD").map(Secret::new).or(with_it),
        };
        (user, password)
    }
}

fn from_env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Runs a command's work on this thread. What it logs goes to standard error; RUST_LOG says what (default: warn).
pub(crate) fn run_here<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| output::fail(Failure::Failed, error))?.block_on(work)
}

#[derive(Args)]
pub(crate) struct RegistryCommand {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Members, leader, quorum, revision and latency, and what should be looked at. Exit code 8 where there is no quorum.
    Status {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(args: &RegistryCommand) -> Result<(), Failure> {
    let registry = args.registry.open()?;
    let Command::Status { json } = args.command;
    let status = run_here(async { Ok(registry.status().await) })?;
    if json {
        output::line(serde_json::to_string(&status).unwrap_or_default())?;
    } else {
        lines(&status).into_iter().try_for_each(|line| output::line(output::printable(&line)))?;
    }
    if status.quorum { Ok(()) } else { Err(Failure::NoQuorum) }
}

fn lines(status: &Status) -> Vec<String> {
    let leader = status.leader.as_deref().unwrap_or("none");
    let quorum = if status.quorum { "yes" } else { "NO" };
    let revision = status.revision.map_or("unknown".into(), |revision| revision.to_string());
    let latency = status.latency_ms.map_or("unknown".into(), |latency| format!("{latency} ms"));
    let mut lines = vec![format!(
        "{}  quorum {quorum}  leader {leader}  {} voters, {} may fail  revision {revision}  latency {latency}",
        status.registry, status.voters, status.tolerance
    )];
    lines.extend(status.members.iter().map(line));
    lines.extend(status.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines
}

fn line(member: &Member) -> String {
    let role = match (member.leader, member.voter) {
        (true, _) => "leader",
        (false, true) => "voter",
        (false, false) => "learner",
    };
    let health = match member.healthy {
        Some(true) => "well",
        Some(false) => "NOT WELL",
        None => "not asked",
    };
    let mut line = format!("  {}  {}  {role}  {health}", member.name, member.address);
    if let Some(version) = &member.version {
        line += &format!("  version {version}");
    }
    if let Some(index) = member.raft_index {
        line += &format!("  log {index}");
    }
    if let Some(latency) = member.latency_ms {
        line += &format!("  {latency} ms");
    }
    if let Some(error) = &member.error {
        line += &format!("  ({error})");
    }
    line
}

/// The largest answer of Consul that a listing takes, in bytes.
const LISTED: usize = 512 << 20;
