//! The servers, and what their failures mean.

use std::future::Future;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RecordType};
use resolver_core::Reason;

use super::answer::{Answer, Question};
use super::{DnsConfig, Transport, unreachable};
use crate::source::Fault;

/// Asks the configured servers, or the system's.
pub(super) struct Servers {
    resolver: TokioResolver,
}

/// The records of an answer; or, where there is none, for how long.
pub(super) enum Found {
    Records(Box<Lookup>),
    Nothing(Duration),
}

impl Servers {
    pub(super) fn new(config: &DnsConfig) -> Result<Self, Fault> {
        let fault = |error: NetError| unreachable(format!("dns: cannot begin: {error}"));
        let mut builder = if config.servers.is_empty() {
            TokioResolver::builder_tokio().map_err(fault)?
        } else {
            let servers = config.servers.iter().map(|server| {
                let mut connections = match config.transport {
                    Transport::Tcp => vec![ConnectionConfig::tcp()],
                    Transport::Udp => vec![ConnectionConfig::udp(), ConnectionConfig::tcp()],
                };
                connections.iter_mut().for_each(|connection| connection.port = server.port());
                // One server's word that a name is not there is not enough while another has not been asked.
                NameServerConfig::new(server.ip(), false, connections)
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        set(builder.options_mut(), config.deadline);
        Ok(Servers { resolver: builder.build().map_err(fault)? })
    }

    /// Asks, within the deadline.
    pub(super) async fn ask(&self, question: &Question, deadline: Duration) -> Result<Answer, Fault> {
        within(deadline, question, question.ask(self)).await
    }

    /// One question of one type.
    pub(super) async fn records(&self, name: &Name, of: RecordType) -> Result<Found, Fault> {
        match self.resolver.lookup(name.clone(), of).await {
            Ok(lookup) => Ok(Found::Records(Box::new(lookup))),
            Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
                Ok(Found::Nothing(Duration::from_secs(nothing.negative_ttl.unwrap_or(0).into())))
            }
            Err(error) => {
                let reason = match &error {
                    NetError::Dns(_) | NetError::Proto(_) => Reason::BadAnswer,
                    _ => Reason::Unreachable,
                };
                Err(Fault::new(reason, format!("dns: {of} of {name}: {error}")))
            }
        }
    }
}

fn set(options: &mut ResolverOpts, deadline: Duration) {
    // Each question is asked when its time has come; a cache would answer with what was said before.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.edns0 = true;
    options.timeout = deadline / 2;
    options.attempts = 1;
    options.try_tcp_on_error = true;
}

async fn within<T>(
    deadline: Duration,
    question: &Question,
    asked: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let late = |_| Err(unreachable(format!("dns: {question}: no answer within {deadline:?}")));
    tokio::time::timeout(deadline, asked).await.unwrap_or_else(late)
}
