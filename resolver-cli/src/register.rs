//! `resolver register`: runs a command and keeps it registered for as long as it lives.

mod command;
mod signals;

use std::net::{IpAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use resolver_sync::config::parse_duration;
use resolver_sync::consul::ConsulConfig;
use resolver_sync::etcd::EtcdConfig;
use resolver_sync::register::{
    Check, Condition, Conflict, RegisterError, Registered, Registrar, Registration, Status,
};
use resolver_sync::secret::Secret;

use crate::agent::{LogFormat, log};
use crate::tls::TlsArgs;
use crate::{Failure, output};
use command::{Running, Stopping};
use signals::{Signals, Wish};

/// Where a token may be, where no file has it. The command does not get to see it.
const TOKEN: &str = "RESOLVER_CONSUL_TOKEN";
/// As [`TOKEN`], for etcd's user.
const PASSWORD: &str = "RESOLVER_ETCD_PASSWORD";

/// Durations are a whole number with its unit: 500ms, 10s, 1m.
#[derive(Args)]
pub(crate) struct RegisterArgs {
    /// The service's name.
    name: String,
    /// The port that callers connect to.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// This host's Consul agent; the default, at http://127.0.0.1:8500, where no registry is named.
    #[arg(long, value_name = "URL", conflicts_with = "etcd")]
    consul: Option<String>,
    /// A member of an etcd cluster; several by commas or by naming it again.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    etcd: Vec<String>,
    /// What stands before every key in the etcd cluster, and is shown in none; as an agent's source has it.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, requires = "etcd")]
    namespace: String,
    /// What every key begins with, in etcd.
    #[arg(long, value_name = "PREFIX", default_value = "/services/", requires = "etcd")]
    prefix: String,
    /// A file with Consul's token, mode 600; or else the variable RESOLVER_CONSUL_TOKEN.
    #[arg(long, value_name = "FILE", conflicts_with = "etcd")]
    token_file: Option<PathBuf>,
    /// The user of an etcd cluster with authentication.
    #[arg(long, value_name = "NAME", requires = "etcd")]
    user: Option<String>,
    /// A file with the user's password, mode 600; or else the variable RESOLVER_ETCD_PASSWORD.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsArgs,
    /// The instance's id [default: NAME-ADDRESS-PORT].
    #[arg(long)]
    id: Option<String>,
    /// The address that callers connect to [default: the node's in Consul; in etcd the one that etcd is reached from].
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// A tag; may be named several times.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// An entry of the metadata; may be named several times.
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = pair)]
    meta: Vec<(String, String)>,
    /// Its share of the traffic [default: 1].
    #[arg(long)]
    weight: Option<u16>,
    /// Its rack or zone.
    #[arg(long)]
    zone: Option<String>,
    /// Let Consul check that GET of this URL is answered with 2xx; may be named several times.
    #[arg(long, value_name = "URL")]
    check_http: Vec<String>,
    /// Let Consul check that this takes connections; may be named several times.
    #[arg(long, value_name = "HOST:PORT")]
    check_tcp: Vec<String>,
    /// Let Consul ask the gRPC health service there; may be named several times.
    #[arg(long, value_name = "HOST:PORT[/SERVICE]")]
    check_grpc: Vec<String>,
    /// How often Consul makes these checks.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    check_interval: Duration,
    /// How long one may take.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    check_timeout: Duration,
    /// Consul removes what was critical for so long, 1m at least; off: never.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    deregister_after: Duration,
    /// How long the registry believes in the instance without a sign of life.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    ttl: Duration,
    /// Register at once where the id is in use, and let the holder stand back. Otherwise: only if the holder is dead.
    #[arg(long)]
    take_over: bool,
    /// Critical (in etcd: absent) until the port takes a connection.
    #[arg(long)]
    ready_when_listening: bool,
    /// How long to wait for the registry before the command is started.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    wait: Duration,
    /// Do not start the command unless it is registered by then.
    #[arg(long)]
    required: bool,
    /// How long after it was deregistered the command gets the signal that ends it.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    drain: Duration,
    /// While it drains, leave it registered and in maintenance, which Consul's users can see.
    #[arg(long, conflicts_with = "etcd")]
    drain_in_maintenance: bool,
    /// Kill the command when it has not ended so long after the signal.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    kill_after: Option<Duration>,
    /// How to log, to standard error. What to log is in RUST_LOG (default: info).
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// What to run; nothing: stay registered until a signal comes.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<std::ffi::OsString>,
}

pub(crate) fn run(args: &RegisterArgs) -> Result<(), Failure> {
    let registrar = args.registrar()?;
    let registration = args.registration()?;
    log(args.log_format);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| output::fail(Failure::Failed, error))?;
    match runtime.block_on(args.supervise(&registrar, registration))? {
        0 => Ok(()),
        // Everything that is to be dropped was dropped.
        code => std::process::exit(code),
    }
}

impl RegisterArgs {
    fn registrar(&self) -> Result<Registrar, Failure> {
        let registrar = if self.etcd.is_empty() {
            let address = self.consul.as_deref().unwrap_or("http://127.0.0.1:8500");
            let mut config = ConsulConfig::new("register", address);
            // A file is read again when it has changed: a registration outlives many a token.
            config.token_file.clone_from(&self.token_file);
            if self.token_file.is_none() {
                config.token = secret(TOKEN)?;
            }
            config.tls = self.tls.consul("register")?;
            Registrar::consul(config)
        } else {
            let password = match (&self.user, &self.password_file) {
                (Some(_), None) => secret(PASSWORD)?,
                _ => None,
            };
            Registrar::etcd(EtcdConfig {
                name: "register".into(),
                endpoints: self.etcd.clone(),
                namespace: self.namespace.clone(),
                prefix: self.prefix.clone(),
                user: self.user.clone(),
                password,
                password_file: self.password_file.clone(),
                tls: self.tls.etcd(),
                ..EtcdConfig::default()
            })
        };
        registrar.map_err(fail)
    }

    fn registration(&self) -> Result<Registration, Failure> {
        let mut registration = Registration::new(&self.name, self.port).ttl(self.ttl);
        let address = match (self.address, self.etcd.first()) {
            (None, Some(url)) => Some(own_address(url)?),
            (address, _) => address,
        };
        if let Some(address) = address {
            registration = registration.address(address);
        }
        if let Some(id) = &self.id {
            registration = registration.id(id);
        }
        if let Some(weight) = self.weight {
            registration = registration.weight(weight);
        }
        if let Some(zone) = &self.zone {
            registration = registration.zone(zone);
        }
        let deregister = Some(self.deregister_after).filter(|after| !after.is_zero());
        let http = self.check_http.iter().map(Check::http);
        let tcp = self.check_tcp.iter().map(Check::tcp);
        let checks = http.chain(tcp).chain(self.check_grpc.iter().map(Check::grpc));
        for check in checks {
            let check = check.every(self.check_interval).timeout(self.check_timeout);
            registration = registration.check(match deregister {
                Some(after) => check.deregister_critical_after(after),
                None => check,
            });
        }
        registration = self.tags.iter().fold(registration, Registration::tag);
        registration = self.meta.iter().fold(registration, |all, (key, value)| all.meta(key, value));
        if self.take_over {
            registration = registration.conflict(Conflict::TakeOver);
        }
        if self.ready_when_listening {
            registration = registration.condition(Condition::Critical);
        }
        Ok(registration.deregister_critical_after(deregister))
    }

    /// The exit code.
    async fn supervise(&self, registrar: &Registrar, registration: Registration) -> Result<i32, Failure> {
        // Before anything that a signal would have to undo.
        let mut signals = Signals::new().map_err(|error| output::fail(Failure::Failed, error))?;
        let registered = registrar.start(registration).map_err(fail)?;
        tokio::select! {
            first = tokio::time::timeout(self.wait, registered.registered()) => match first {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(fail(error)),
                Err(_) => {
                    let last = match registered.status() {
                        Status::Trying(last) => last,
                        _ => None,
                    };
                    let late = RegisterError::Late { within: self.wait, last };
                    if self.required {
                        return Err(fail(late));
                    }
                    tracing::warn!("{late}; the command is started all the same, and registered when it can be");
                }
            },
            wish = signals.end() => {
                tracing::info!("{wish:?} before the command was started");
                return Ok(0);
            }
        }
        let mut running = match Running::start(&self.command, [TOKEN, PASSWORD]) {
            Ok(running) => running,
            Err((code, error)) => {
                output::fail(Failure::Failed, error);
                return Ok(code);
            }
        };
        let code = self.attend(&mut running, &registered, &mut signals).await;
        match code {
            // It ended by itself.
            Some(code) => {
                depart(registered);
                Ok(code)
            }
            None => Ok(self.end(running, registered, &mut signals).await),
        }
    }

    /// Until the command ends (its exit code) or is to be ended.
    async fn attend(
        &self,
        running: &mut Running,
        registered: &Registered,
        signals: &mut Signals,
    ) -> Option<i32> {
        let listening = async {
            if self.ready_when_listening {
                command::listens(self.address.unwrap_or(IpAddr::from([127, 0, 0, 1])), self.port).await;
                registered.set_condition(Condition::Passing, "it listens");
            }
            std::future::pending::<()>().await;
        };
        let mut listening = std::pin::pin!(listening);
        loop {
            tokio::select! {
                code = running.ended() => return Some(code),
                wish = signals.next() => match wish {
                    Wish::End(signal) => {
                        tracing::info!("{signal:?}");
                        running.note(signal);
                        return None;
                    }
                    Wish::Pass(signal) => running.signal(signal),
                },
                () = &mut listening => {}
            }
        }
    }

    /// Out of sight first, the signal after the drain, then the end: the exit code.
    async fn end(&self, mut running: Running, registered: Registered, signals: &mut Signals) -> i32 {
        let mut registered = Some(registered);
        if self.drain_in_maintenance {
            if let Some(registered) = &registered {
                registered.enter_maintenance("draining");
            }
        } else if let Some(registered) = registered.take() {
            depart(registered);
        }
        tokio::select! {
            () = tokio::time::sleep(self.drain) => {}
            code = running.ended() => return code,
            // Whoever says it twice does not want to wait.
            _ = signals.end() => tracing::info!("told again; the drain is cut short"),
        }
        if let Some(registered) = registered.take() {
            depart(registered);
        }
        let mut stopping = Stopping::of(running, self.kill_after);
        loop {
            tokio::select! {
                code = stopping.ended() => return code,
                wish = signals.next() => stopping.signal(wish.signal()),
            }
        }
    }
}

fn depart(registered: Registered) {
    // The keeper has logged what went wrong; the TTL does the rest.
    let _ = registered.deregister();
}

fn fail(error: RegisterError) -> Failure {
    let failure = match error {
        RegisterError::Config(_) => Failure::Usage,
        _ => Failure::Failed,
    };
    output::fail(failure, error)
}

/// From a variable, where no file has it.
fn secret(variable: &str) -> Result<Option<Secret>, Failure> {
    match std::env::var(variable) {
        Ok(value) if !value.is_empty() => Ok(Some(Secret::new(value))),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(output::fail(Failure::Usage, format_args!("{variable} is not printable text")))
        }
        _ => Ok(None),
    }
}

/// The address that a host is reached from. Nothing is sent for that.
fn own_address(url: &str) -> Result<IpAddr, Failure> {
    let authority = url.split("://").last().unwrap_or(url).trim_end_matches('/');
    let found = || {
        let target = authority.to_socket_addrs().ok()?.next()?;
        let unspecified: IpAddr = if target.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
        let socket = UdpSocket::bind((unspecified, 0)).ok()?;
        socket.connect(target).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    match found() {
        Some(address) if !address.to_canonical().is_loopback() => Ok(address),
        _ => Err(output::fail(
            Failure::Usage,
            "etcd does not know this host's address; name it with --address",
        )),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a whole number with its unit (ms, s, m, h), such as 30s".into())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is expected")?;
    Ok((key.into(), value.into()))
}
