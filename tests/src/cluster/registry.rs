//! One cluster or the other, for what is asked of both.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};

use super::consul::{Consul, GATE};
use super::etcd::Etcd;
use super::network::Network;
use super::{MEMBERS, Options};
use crate::process::Process;
use crate::resolver::Host;
use crate::wait::until;

/// The secret of the token that the agent under test has.
pub(super) const TOKEN: &str = "0f5e1d5a-73d2-4c53-9f0e-6f2f6ad0c0de";
/// What it may do.
pub(super) const RULES: &str = r#"service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }
    service "kept" { policy = "write" }"#;
/// A node of nobody's agent: what is registered there stays as it was written.
const NODE: (&str, &str) = ("rack-1", "10.255.0.1");

/// For a cluster that has just elected to take an ACL.
const READY: Duration = Duration::from_secs(60);

/// Which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Three servers and a client agent.
    Consul,
    /// Three members.
    Etcd,
}

impl Kind {
    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Consul => "consul",
            Kind::Etcd => "etcd",
        }
    }
}

/// A running cluster.
#[derive(Debug)]
pub enum Registry {
    /// Three servers and a client agent.
    Consul(Consul),
    /// Three members.
    Etcd(Etcd),
}

impl Registry {
    /// Starts one, and waits until it is ready.
    #[track_caller]
    pub fn start(kind: Kind, options: Options) -> Registry {
        match kind {
            Kind::Consul => {
                let consul = Consul::start(options);
                if options.auth {
                    // A new leader is in legacy mode for a moment.
                    until(READY, "the agent's token", || consul.create_token(TOKEN, RULES));
                }
                Registry::Consul(consul)
            }
            Kind::Etcd => Registry::Etcd(Etcd::start(options)),
        }
    }

    /// Which one it is.
    pub fn kind(&self) -> Kind {
        match self {
            Registry::Consul(_) => Kind::Consul,
            Registry::Etcd(_) => Kind::Etcd,
        }
    }

    /// An agent's `[[source]]` for all of its services; files that it needs are put into the host's directory.
    #[track_caller]
    pub fn source(&self, host: &Host, options: Options) -> String {
        match self {
            Registry::Consul(consul) => {
                let mut source =
                    format!("[[source]]\nname = \"consul\"\nkind = \"consul\"\n{}", consul.settings());
                if options.auth {
                    let file = host.dir().join("token");
                    std::fs::write(&file, TOKEN).expect("a file in the test's own directory");
                    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("our own file");
                    source.push_str(&format!("token_file = \"{}\"\n", file.display()));
                }
                source
            }
            Registry::Etcd(etcd) => {
                let urls: Vec<String> = (0..MEMBERS).map(|member| etcd.url(member)).collect();
                let settings = etcd.settings(host.dir());
                format!(
                    "[[source]]\nname = \"etcd\"\nkind = \"etcd\"\nendpoints = {}\n{settings}",
                    json!(urls)
                )
            }
        }
    }

    /// The same, as options of our commands.
    #[track_caller]
    pub fn flags(&self, host: &Host, options: Options) -> Vec<String> {
        let mut flags = Vec::new();
        for (key, value) in self.source(host, options).lines().filter_map(|line| line.split_once(" = ")) {
            let value: Value = serde_json::from_str(value).expect("strings and lists of TOML are JSON's");
            let values = match &value {
                Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
                one => one.as_str().unwrap_or_default().to_owned(),
            };
            let flag = match key {
                "name" | "kind" => continue,
                "address" => "--consul".to_owned(),
                "endpoints" => "--etcd".to_owned(),
                other => format!("--{}", other.replace('_', "-")),
            };
            flags.extend([flag, values]);
        }
        flags
    }

    /// The cables.
    pub fn network(&self) -> &Network {
        match self {
            Registry::Consul(consul) => consul.network(),
            Registry::Etcd(etcd) => etcd.network(),
        }
    }

    /// The process of a member that votes.
    pub fn member(&self, member: usize) -> &Process {
        match self {
            Registry::Consul(consul) => consul.server(member),
            Registry::Etcd(etcd) => etcd.member(member),
        }
    }

    /// Which member leads.
    ///
    /// # Errors
    ///
    /// Why none is known to.
    pub fn leader(&self) -> Result<usize, String> {
        match self {
            Registry::Consul(consul) => consul.leader(),
            Registry::Etcd(etcd) => etcd.leader(),
        }
    }

    /// Puts an instance at a place, or removes it, through the first member that takes it.
    ///
    /// # Errors
    ///
    /// Why the last one that was asked did not. It may have been written all the same.
    pub fn write(&self, service: &str, instance: u8, place: Option<SocketAddr>) -> Result<(), String> {
        self.some(|member| match self {
            Registry::Consul(consul) => {
                // A server holds a write for some seconds while nobody leads, and may carry it out after whoever sent it has sent
                // it again, and another one: each moves a key from where it was when that was read, so a late one fails.
                let gate = consul.get(member, &format!("/v1/kv/{GATE}?consistent"))?;
                let gate =
                    json!({ "Verb": "cas", "Key": GATE, "Value": "", "Index": gate[0]["ModifyIndex"] });
                let id = format!("{service}-{instance}");
                let (verb, definition) = match place {
                    Some(place) => (
                        "set",
                        json!({ "ID": id, "Service": service, "Address": place.ip(), "Port": place.port() }),
                    ),
                    None => ("delete", json!({ "ID": id, "Service": service })),
                };
                let node = json!({ "Verb": "set", "Node": { "Node": NODE.0, "Address": NODE.1 } });
                let service = json!({ "Verb": verb, "Node": NODE.0, "Service": definition });
                let all = json!([{ "KV": gate }, { "Node": node }, { "Service": service }]);
                consul.put(member, "/v1/txn", &all).map(drop)
            }
            Registry::Etcd(etcd) => {
                let key = format!("/services/{service}/{instance}");
                let value = place.map(value);
                match &value {
                    Some(value) => etcd.etcdctl(member, &["put", "--", &key, value]),
                    None => etcd.etcdctl(member, &["del", "--", &key]),
                }
                .map(drop)
            }
        })
    }

    /// A service's addresses by a read that no deposed leader can answer.
    ///
    /// # Errors
    ///
    /// Why no member gave it.
    pub fn read(&self, service: &str) -> Result<BTreeSet<SocketAddr>, String> {
        let address = |ip: &Value, port: &Value| {
            let text = format!("{}:{port}", ip.as_str().unwrap_or("?"));
            text.parse::<SocketAddr>().map_err(|e| format!("{text}: {e}"))
        };
        self.some(|member| match self {
            Registry::Consul(consul) => {
                let found =
                    consul.get(member, &format!("/v1/health/service/{service}?consistent&passing"))?;
                let entries = found.as_array().cloned().unwrap_or_default();
                entries
                    .iter()
                    .map(|entry| address(&entry["Service"]["Address"], &entry["Service"]["Port"]))
                    .collect()
            }
            Registry::Etcd(etcd) => {
                let found = etcd.all(member, &format!("/services/{service}/"))?;
                found
                    .iter()
                    .map(|(_, value)| {
                        let value: Value = serde_json::from_str(value).unwrap_or_default();
                        address(&value["address"], &value["port"])
                    })
                    .collect()
            }
        })
    }

    /// Waits until every member takes part again.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        match self {
            Registry::Consul(consul) => consul.wait_until_ready(),
            Registry::Etcd(etcd) => etcd.wait_until_ready(),
        }
    }

    /// What the first member answers that runs, has its cables and answers.
    fn some<T>(&self, ask: impl Fn(usize) -> Result<T, String>) -> Result<T, String> {
        let mut last = "no member runs".to_owned();
        for member in 0..MEMBERS {
            if self.member(member).is_running() && !self.network().is_cut(member) {
                match ask(member) {
                    Ok(answer) => return Ok(answer),
                    Err(why) => last = why,
                }
            }
        }
        Err(last)
    }
}

/// An instance's value in etcd.
pub(super) fn value(place: SocketAddr) -> String {
    json!({ "address": place.ip(), "port": place.port() }).to_string()
}
