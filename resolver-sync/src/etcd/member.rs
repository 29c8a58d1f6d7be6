//! The cluster's members: one client for one of them at a time, and what their errors mean.

use std::error::Error as _;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{Channel, Client, ConnectOptions, Error};
use resolver_core::Reason;
use tonic::Code;
use tonic::transport::Endpoint;

use crate::source::Fault;

use super::login::Login;
use super::{EtcdConfig, EtcdError, EtcdTls};

/// HTTP/2 pings. A server punishes what is faster than 5 s; the watch's own heartbeat finds silence sooner.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));
/// Pings that are faster are answered with `too_many_pings`, and the connection is closed.
const _: () = assert!(KEEP_ALIVE.0.as_secs() >= 5, "etcd's servers punish this");
/// What is being done, in a fault's words.
const CONNECTING: &str = "connecting";
/// Enough for a page of a thousand instances without waiting for window updates.
const WINDOW: u32 = 4 << 20;

/// Where the members are, and the client of the one in use.
pub(super) struct Members {
    endpoints: Vec<(String, Endpoint)>,
    tls: EtcdTls,
    login: Option<Login>,
    deadline: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    at: usize,
    client: Option<Client>,
}

/// What came of a call that failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The member cannot be believed, or does not answer.
    Fault(Fault),
    /// The revision that was asked for is gone.
    Compacted(String),
    /// The answer is over the limit of one message.
    TooLarge(String),
}

impl Members {
    pub(super) fn new(config: &EtcdConfig) -> Result<Self, EtcdError> {
        let endpoints: Result<Vec<_>, _> = config.endpoints.iter().map(|url| endpoint(url, config)).collect();
        let endpoints = endpoints?;
        if endpoints.is_empty() {
            return Err(EtcdError::NoEndpoints);
        }
        // What cannot be read now is said now; it is read again at each connection.
        for (_, endpoint) in endpoints.iter().filter(|(url, _)| url.starts_with("https://")) {
            let tls = config.tls.load(endpoint.uri().host().unwrap_or_default())?;
            if let Err(error) = endpoint.clone().tls_config(tls) {
                let url = endpoint.uri().to_string();
                return Err(EtcdError::Endpoint { url, why: causes(&error) });
            }
        }
        let (login, tls) = (Login::new(config)?, config.tls.clone());
        Ok(Members { endpoints, tls, login, deadline: config.deadline, state: Mutex::default() })
    }

    /// The URL of the member in use.
    pub(super) fn url(&self) -> &str {
        &self.endpoints[self.lock().at].0
    }

    /// A member's URL.
    pub(super) fn url_of(&self, member: usize) -> &str {
        &self.endpoints[member].0
    }

    /// The client of the member in use, connected if it is not.
    pub(super) async fn client(&self) -> Result<Client, Fault> {
        let (at, client) = {
            let state = self.lock();
            (state.at, state.client.clone())
        };
        if let Some(client) = client {
            return Ok(client);
        }
        let client = self.connect(at).await?;
        let mut state = self.lock();
        if state.at == at {
            state.client = Some(client.clone());
        }
        Ok(client)
    }

    /// Leaves the member in use for the next one.
    pub(super) fn rotate(&self) {
        let mut state = self.lock();
        state.client = None;
        state.at = (state.at + 1) % self.endpoints.len();
    }

    /// Closes the connection, once nobody else has the client.
    pub(super) fn close(&self) {
        self.lock().client = None;
    }

    /// Every member, the one in use first.
    pub(super) fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let (at, count) = (self.lock().at, self.endpoints.len());
        (0..count).map(move |step| (at + step) % count)
    }

    /// The client of the given member: the shared one if it is in use, else a connection of its own.
    pub(super) async fn client_of(&self, member: usize) -> Result<(Client, &str), Fault> {
        let shared = {
            let state = self.lock();
            (state.at == member).then(|| state.client.clone()).flatten()
        };
        let client = match shared {
            Some(client) => client,
            None => self.connect(member).await?,
        };
        Ok((client, &self.endpoints[member].0))
    }

    async fn connect(&self, member: usize) -> Result<Client, Fault> {
        let (url, endpoint) = &self.endpoints[member];
        let endpoint = self.secured(url, endpoint)?;
        // Without a leader a member would sit on its watches for ever; so it has to end them.
        let nobody = || ConnectOptions::new().with_require_leader(true);
        let options = match &self.login {
            // The client renews its token by the password of now; one that was changed wants a new client.
            Some(login) => {
                nobody().with_auto_token_refresh(true).with_user(login.user(), login.password().expose())
            }
            None => nobody(),
        };
        let connect = async {
            let channel = Channel::Tonic(endpoint.connect().await?);
            match Client::from_channel(channel.clone(), Some(options)).await {
                // Users are made before authentication is enabled; until then nobody has to log in.
                Err(Error::GRpcStatus(status))
                    if self.login.is_some() && status.message().contains("not enabled") =>
                {
                    tracing::warn!(%url, "a user is configured, but the cluster's authentication is off");
                    Client::from_channel(channel, Some(nobody())).await
                }
                other => other,
            }
        };
        match within(self.deadline, url, CONNECTING, connect).await {
            Ok(client) => Ok(client),
            Err(trouble) => Err(self.noted(trouble.into_fault())),
        }
    }

    /// Takes note of a fault on its way out. One for want of a right ends the connection if there is another password by
    /// now. One of TLS is given what to do about it, once: a member's word on our certificate comes with the first answer,
    /// after the connection.
    pub(super) fn noted(&self, mut fault: Fault) -> Fault {
        if fault.reason == Reason::Acl && self.login.as_ref().is_some_and(Login::has_changed) {
            self.close();
        }
        let shown = self.tls.shown();
        let started = fault.detail.contains("https://") && fault.detail.contains(CONNECTING);
        let advice = if started { shown.advice_at_start(&fault.detail) } else { shown.advice(&fault.detail) };
        if let Some(advice) = advice
            && !fault.detail.ends_with(&advice)
        {
            fault.detail = format!("{}; {advice}", fault.detail);
        }
        fault
    }

    /// With the certificates as they are now: they may have been renewed since the last connection.
    fn secured(&self, url: &str, endpoint: &Endpoint) -> Result<Endpoint, Fault> {
        if !url.starts_with("https://") {
            return Ok(endpoint.clone());
        }
        let fault = |why: String| Fault::new(Reason::Unreachable, format!("etcd {url}: {CONNECTING}: {why}"));
        let host = endpoint.uri().host().unwrap_or_default();
        let tls = self.tls.load(host).map_err(|error| fault(error.to_string()))?;
        endpoint.clone().tls_config(tls).map_err(|error| fault(causes(&error)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a call with a deadline; etcd's own timeouts cover neither a frozen server nor a cut cable.
pub(super) async fn within<T>(
    deadline: Duration,
    url: &str,
    what: &str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(deadline, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Trouble::of(url, what, &error)),
        Err(_) => {
            let detail = format!("etcd {url}: {what}: no answer within {deadline:?}");
            Err(Trouble::Fault(Fault::new(Reason::Unreachable, detail)))
        }
    }
}

impl Trouble {
    /// What an error of the client means.
    pub(super) fn of(url: &str, what: &str, error: &Error) -> Self {
        // The words of a status without its metadata; those of anything else with its causes.
        let words = match error {
            Error::GRpcStatus(status) => caused(status.message(), status.source()),
            Error::TransportError(error) => causes(error),
            other => other.to_string(),
        };
        let detail = format!("etcd {url}: {what}: {words}");
        let reason = match error {
            Error::GRpcStatus(status) => match status.code() {
                Code::OutOfRange if words.contains("compacted") => return Trouble::Compacted(detail),
                Code::OutOfRange if words.contains("too large") => return Trouble::TooLarge(detail),
                Code::PermissionDenied | Code::Unauthenticated => Reason::Acl,
                Code::InvalidArgument if words.contains("authentication failed") => Reason::Acl,
                Code::InvalidArgument if words.contains("user name is empty") => Reason::Acl,
                _ if words.contains("no leader") || words.contains("leader changed") => Reason::NoLeader,
                // A member that has lost its quorum says so of reads that have to be agreed on.
                _ if words.contains("etcdserver: request timed out") => Reason::NoLeader,
                Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded => {
                    Reason::Unreachable
                }
                _ => Reason::BadAnswer,
            },
            Error::TransportError(_) | Error::IoError(_) | Error::WatchError(_) => Reason::Unreachable,
            _ => Reason::BadAnswer,
        };
        Trouble::Fault(Fault::new(reason, detail))
    }

    /// For a caller that has no other way on.
    pub(super) fn into_fault(self) -> Fault {
        match self {
            Trouble::Fault(fault) => fault,
            Trouble::Compacted(detail) | Trouble::TooLarge(detail) => Fault::new(Reason::BadAnswer, detail),
        }
    }
}

/// An error with all that caused it.
fn causes(error: &dyn std::error::Error) -> String {
    caused(&error.to_string(), error.source())
}

fn caused(words: &str, source: Option<&(dyn std::error::Error + 'static)>) -> String {
    let causes = std::iter::successors(source, |cause| (*cause).source());
    causes.fold(words.to_owned(), |words, cause| format!("{words}: {cause}"))
}

/// Whether nothing that is sent there leaves the host.
fn is_loopback(authority: &str) -> bool {
    let host = authority.trim_end_matches('/').rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.to_canonical().is_loopback())
}

fn endpoint(url: &str, config: &EtcdConfig) -> Result<(String, Endpoint), EtcdError> {
    let invalid = |why: &str| EtcdError::Endpoint { url: url.into(), why: why.into() };
    let (secure, authority) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(authority), _) => (true, authority),
        (None, Some(authority)) => (false, authority),
        (None, None) => return Err(invalid("it has to begin with https:// or http://")),
    };
    if authority.contains('@') {
        // Not quoted: what stands before the @ may be a password.
        let why = "it holds a user; set user and password apart from it".into();
        return Err(EtcdError::Endpoint { url: "(not shown)".into(), why });
    }
    if !secure && config.tls.is_set() {
        return Err(invalid("certificates are set, and http:// uses none; it has to begin with https://"));
    }
    if (config.password.is_some() || config.password_file.is_some()) && !secure && !is_loopback(authority) {
        return Err(invalid(
            "a password would go there unencrypted; it goes to a loopback address or by https:// only",
        ));
    }
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| invalid(&error.to_string()))?
        .connect_timeout(config.deadline.min(Duration::from_secs(1)))
        .http2_keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .tcp_nodelay(true);
    Ok((url.trim_end_matches('/').to_owned(), endpoint))
}
