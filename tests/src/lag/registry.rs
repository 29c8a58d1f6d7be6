//! The registry that is measured, and who writes to it.

use std::time::Duration;

use serde_json::json;
use tokio::runtime::Runtime;

use crate::cluster::{self, Access};
use crate::consul::{Consul, ConsulOptions};
use crate::etcd::{Etcd, EtcdOptions};
use crate::resolver::Host;

use super::{SERVICE, now};

/// Below it lie etcd's services.
pub(super) const PREFIX: &str = "/services/";
/// For a write.
const DEADLINE: Duration = Duration::from_secs(20);

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registry {
    /// One agent in development mode: all in memory, the shortest time from a write to its watchers.
    Consul,
    /// One member, with its writes on disk.
    Etcd,
}

impl Registry {
    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            Registry::Consul => "consul",
            Registry::Etcd => "etcd",
        }
    }

    /// What the bare watcher is asked for by.
    pub(super) fn bare(self) -> &'static str {
        match self {
            Registry::Consul => "watch-consul",
            Registry::Etcd => "watch-etcd",
        }
    }
}

pub(super) enum Server {
    Consul(Consul),
    Etcd(Etcd),
    Cluster(Box<cluster::Registry>, cluster::Options),
}

impl Server {
    pub(super) fn start(registry: Registry, options: Option<cluster::Options>) -> Self {
        let cluster =
            |kind, options| Server::Cluster(Box::new(cluster::Registry::start(kind, options)), options);
        match (registry, options) {
            (Registry::Consul, None) => Server::Consul(Consul::start(ConsulOptions::new())),
            (Registry::Etcd, None) => Server::Etcd(Etcd::start(EtcdOptions::new())),
            (Registry::Consul, Some(options)) => cluster(cluster::Kind::Consul, options),
            (Registry::Etcd, Some(options)) => cluster(cluster::Kind::Etcd, options),
        }
    }

    /// How the bare watch reaches it: the same member, or client agent, as the agent under test.
    pub(super) fn access(&self) -> Access {
        match self {
            Server::Consul(consul) => Access::plain(consul.url()),
            Server::Etcd(etcd) => Access::plain(etcd.url()),
            Server::Cluster(cluster, _) => match &**cluster {
                cluster::Registry::Consul(consul) => consul.access(),
                cluster::Registry::Etcd(etcd) => etcd.access(0),
            },
        }
    }

    /// How the writer does: through another member.
    fn writing(&self) -> Access {
        if let Server::Cluster(cluster, _) = self
            && let cluster::Registry::Etcd(etcd) = &**cluster
        {
            return etcd.access(1);
        }
        self.access()
    }

    /// The agent's configuration of it. Nothing is named: every service is watched.
    pub(super) fn source(&self, host: &Host) -> String {
        match self {
            Server::Consul(consul) => {
                let url = consul.url();
                format!("[[source]]\nname = \"consul\"\nkind = \"consul\"\naddress = \"{url}\"\n")
            }
            Server::Etcd(etcd) => {
                let url = etcd.url();
                format!("[[source]]\nname = \"etcd\"\nkind = \"etcd\"\nendpoints = [\"{url}\"]\n")
            }
            Server::Cluster(registry, options) => registry.source(host, *options),
        }
    }

    pub(super) fn writer(&self) -> Writer {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime needs an epoll descriptor and an eventfd");
        let access = self.writing();
        let url = &access.url;
        let is_consul = match self {
            Server::Consul(_) => true,
            Server::Etcd(_) => false,
            Server::Cluster(cluster, _) => cluster.kind() == cluster::Kind::Consul,
        };
        let client = if is_consul {
            let client = access.consul(Some(DEADLINE)).unwrap_or_else(|e| panic!("{url}: {e}"));
            Client::Consul(client, format!("{url}/v1/agent/service/register"))
        } else {
            let client = runtime.block_on(access.etcd());
            Client::Etcd(Box::new(client.unwrap_or_else(|e| panic!("{url}: {e}"))))
        };
        Writer { runtime, client }
    }
}

/// Writes on one connection that stays open.
pub(super) struct Writer {
    runtime: Runtime,
    client: Client,
}

enum Client {
    Consul(reqwest::Client, String),
    Etcd(Box<etcd_client::Client>),
}

impl Writer {
    /// The instance that moves gets this port: when the write was sent, and when it was answered.
    pub(super) fn move_to(&mut self, port: u16) -> (u64, u64) {
        // The lowest address of the three: the primary.
        self.write("moving", "10.0.0.1", port)
    }

    pub(super) fn write(&mut self, id: &str, address: &str, port: u16) -> (u64, u64) {
        self.runtime.block_on(async {
            match &mut self.client {
                Client::Consul(client, url) => {
                    let body = json!({ "Name": SERVICE, "ID": id, "Address": address, "Port": port });
                    let request = client.put(url.as_str()).body(body.to_string());
                    let sent = now();
                    let answer = request.send().await.unwrap_or_else(|e| panic!("register {id}: {e}"));
                    assert!(answer.status().is_success(), "register {id}: {}", answer.status());
                    (sent, now())
                }
                Client::Etcd(client) => {
                    let key = format!("{PREFIX}{SERVICE}/{id}");
                    let value = json!({ "address": address, "port": port }).to_string();
                    let sent = now();
                    let put = tokio::time::timeout(DEADLINE, client.put(key, value, None)).await;
                    let put = put.unwrap_or_else(|_| panic!("put {id}: no answer within {DEADLINE:?}"));
                    put.unwrap_or_else(|e| panic!("put {id}: {e}"));
                    (sent, now())
                }
            }
        })
    }

    /// Sleeps, while its connection is still served.
    pub(super) fn rest(&self, time: Duration) {
        // Inside of the runtime: a timer wants its clock.
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }
}
