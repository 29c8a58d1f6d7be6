//! One registry of the configuration, and the source that it makes.

mod consul;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use self::consul::Mode;
use super::duration::Span;
use super::{ConfigError, invalid};
use crate::consul::{AddressKind, HealthPolicy};
use crate::dns::{DnsConfig, DnsSource, Transport};
#[cfg(feature = "etcd")]
use crate::etcd::Codec;
use crate::file::FileSource;
use crate::kv::Kv;
use crate::overlay::{OverlaySource, Rule};
use crate::source::Source;
#[cfg(not(feature = "etcd"))]
use serde::de::IgnoredAny as Codec;

/// A registry. Which settings there are depends on its kind; one of another kind is refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Unique, and at most 24 bytes.
    pub name: String,
    /// What it speaks.
    pub kind: Kind,
    address: Option<String>,
    addresses: Option<Vec<String>>,
    endpoints: Option<Vec<String>>,
    path: Option<PathBuf>,
    prefix: Option<String>,
    datacenter: Option<String>,
    token_file: Option<PathBuf>,
    services: Option<Vec<String>>,
    wait_s: Option<u64>,
    watch_limit: Option<usize>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    codec: Option<Codec>,
    relist_s: Option<u64>,
    // Consul's, from here on.
    datacenters: Option<Vec<String>>,
    queries: Option<Vec<String>>,
    query_interval: Option<Span>,
    consistency: Option<Mode>,
    max_age: Option<Span>,
    stale_if_error: Option<Span>,
    health: Option<HealthPolicy>,
    tagged_address: Option<AddressKind>,
    filter: Option<String>,
    tags: Option<Vec<String>>,
    node_meta: Option<BTreeMap<String, String>>,
    near: Option<String>,
    namespace: Option<String>,
    partition: Option<String>,
    token_env: Option<String>,
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    server_name: Option<String>,
    servers: Option<Vec<SocketAddr>>,
    transport: Option<Transport>,
    names: Option<BTreeMap<String, String>>,
    max_ttl_s: Option<u64>,
    sources: Option<Vec<String>>,
    rule: Option<Rule>,
}

/// The kinds of registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// HashiCorp Consul, through an agent.
    Consul,
    /// An etcd cluster.
    Etcd,
    /// A file of this host.
    File,
    /// Names of the DNS.
    Dns,
    /// Other sources, laid over each other.
    Overlay,
}

impl SourceConfig {
    /// Whether the source's own list of services, if it has one, has this one.
    pub(super) fn watches(&self, service: &String) -> bool {
        let queried = self.queries.as_ref().is_some_and(|queries| queries.contains(service));
        let listed = self.services.as_ref().is_none_or(|services| services.contains(service));
        queried || listed && self.names.as_ref().is_none_or(|names| names.contains_key(service))
    }

    /// The source, ready to watch; `viewed` are the services that views ask it for, and `unhealthy` is whether they ask
    /// for what does not work just now, too.
    pub(super) fn build(
        &self,
        viewed: &[String],
        unhealthy: bool,
    ) -> Result<Box<dyn Source + Send>, ConfigError> {
        match self.kind {
            Kind::Consul => self.consul(viewed, unhealthy),
            Kind::Etcd => self.etcd(),
            Kind::File => self.file(),
            Kind::Dns => self.dns(),
            Kind::Overlay => self.overlay(),
        }
    }

    /// The sources that it lays over each other, if it does.
    pub(super) fn members(&self) -> &[String] {
        self.sources.as_deref().unwrap_or_default()
    }

    /// What is wrong with the members, which have to be other sources of the configuration.
    pub(super) fn check(&self, sources: &[SourceConfig]) -> Result<(), ConfigError> {
        for (place, name) in self.members().iter().enumerate() {
            match sources.iter().find(|source| source.name == *name) {
                None => return self.refuse(&format!("it lays {name:?} over others, which there is not")),
                Some(source) if source.kind == Kind::Overlay => {
                    return self.refuse(&format!("{name:?} is an overlay itself; name the sources it is of"));
                }
                Some(_) if self.members()[..place].contains(name) => {
                    return self.refuse(&format!("it names {name:?} twice"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The source's registry as a store of keys.
    pub(super) fn kv(&self) -> Result<Box<dyn Kv + Send>, ConfigError> {
        match self.kind {
            Kind::Consul => self.consul_kv(),
            Kind::Etcd => self.etcd_kv(),
            Kind::File | Kind::Dns | Kind::Overlay => {
                self.refuse("it has no keys for settings; only consul and etcd do")
            }
        }
    }

    #[cfg(feature = "etcd")]
    fn etcd(&self) -> Result<Box<dyn Source + Send>, ConfigError> {
        match crate::etcd::EtcdSource::new(self.etcd_config()?) {
            Ok(source) => Ok(Box::new(source)),
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    #[cfg(feature = "etcd")]
    fn etcd_kv(&self) -> Result<Box<dyn Kv + Send>, ConfigError> {
        match crate::etcd::EtcdKv::new(self.etcd_config()?) {
            Ok(kv) => Ok(Box::new(kv)),
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    #[cfg(feature = "etcd")]
    fn etcd_config(&self) -> Result<crate::etcd::EtcdConfig, ConfigError> {
        use crate::etcd::{EtcdConfig, EtcdTls};

        self.only(&[
            "endpoints",
            "namespace",
            "prefix",
            "codec",
            "user",
            "password_file",
            "ca_file",
            "cert_file",
            "key_file",
            "server_name",
            "relist_s",
        ])?;
        let defaults = EtcdConfig::default();
        let codec = self.codec.unwrap_or_default();
        let config = EtcdConfig {
            name: self.name.clone(),
            endpoints: self.endpoints.clone().unwrap_or_else(|| vec!["http://127.0.0.1:2379".into()]),
            namespace: self.namespace.clone().unwrap_or_default(),
            prefix: self.prefix.clone().unwrap_or_else(|| codec.usual_prefix().into()),
            codec,
            user: self.user.clone(),
            password_file: self.password_file.clone(),
            tls: EtcdTls {
                ca_file: self.ca_file.clone(),
                cert_file: self.cert_file.clone(),
                key_file: self.key_file.clone(),
                server_name: self.server_name.clone(),
            },
            relist: self.relist_s.map_or(defaults.relist, Duration::from_secs),
            ..EtcdConfig::default()
        };
        Ok(config)
    }

    #[cfg(not(feature = "etcd"))]
    fn etcd_kv(&self) -> Result<Box<dyn Kv + Send>, ConfigError> {
        self.refuse("this program was built without the feature \"etcd\"")
    }

    #[cfg(not(feature = "etcd"))]
    fn etcd(&self) -> Result<Box<dyn Source + Send>, ConfigError> {
        self.refuse("this program was built without the feature \"etcd\"")
    }

    fn dns(&self) -> Result<Box<dyn Source + Send>, ConfigError> {
        self.only(&["servers", "transport", "names", "max_ttl_s"])?;
        let defaults = DnsConfig::default();
        let config = DnsConfig {
            name: self.name.clone(),
            servers: self.servers.clone().unwrap_or_default(),
            transport: self.transport.unwrap_or_default(),
            names: self.names.clone().unwrap_or_default(),
            ceiling: self.max_ttl_s.map_or(defaults.ceiling, Duration::from_secs),
            ..defaults
        };
        match DnsSource::new(config) {
            Ok(source) => Ok(Box::new(source)),
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn overlay(&self) -> Result<Box<dyn Source + Send>, ConfigError> {
        self.only(&["sources", "rule"])?;
        if self.members().len() < 2 {
            return self.refuse("an overlay needs two sources at least: sources = [\"pins\", \"consul\"]");
        }
        let members = self.members().iter().cloned();
        Ok(Box::new(OverlaySource::new(&self.name, members, self.rule.unwrap_or_default())))
    }

    fn file(&self) -> Result<Box<dyn Source + Send>, ConfigError> {
        self.only(&["path"])?;
        match &self.path {
            Some(path) => Ok(Box::new(FileSource::new(&self.name, path))),
            None => self.refuse("a file source needs its path"),
        }
    }

    /// Refuses settings that this kind does not have.
    fn only(&self, known: &[&str]) -> Result<(), ConfigError> {
        let given = [
            ("address", self.address.is_some()),
            ("addresses", self.addresses.is_some()),
            ("endpoints", self.endpoints.is_some()),
            ("path", self.path.is_some()),
            ("prefix", self.prefix.is_some()),
            ("datacenter", self.datacenter.is_some()),
            ("token_file", self.token_file.is_some()),
            ("services", self.services.is_some()),
            ("wait_s", self.wait_s.is_some()),
            ("watch_limit", self.watch_limit.is_some()),
            ("user", self.user.is_some()),
            ("password_file", self.password_file.is_some()),
            ("codec", self.codec.is_some()),
            ("relist_s", self.relist_s.is_some()),
            ("datacenters", self.datacenters.is_some()),
            ("queries", self.queries.is_some()),
            ("query_interval", self.query_interval.is_some()),
            ("consistency", self.consistency.is_some()),
            ("max_age", self.max_age.is_some()),
            ("stale_if_error", self.stale_if_error.is_some()),
            ("health", self.health.is_some()),
            ("tagged_address", self.tagged_address.is_some()),
            ("filter", self.filter.is_some()),
            ("tags", self.tags.is_some()),
            ("node_meta", self.node_meta.is_some()),
            ("near", self.near.is_some()),
            ("namespace", self.namespace.is_some()),
            ("partition", self.partition.is_some()),
            ("token_env", self.token_env.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("cert_file", self.cert_file.is_some()),
            ("key_file", self.key_file.is_some()),
            ("server_name", self.server_name.is_some()),
            ("servers", self.servers.is_some()),
            ("transport", self.transport.is_some()),
            ("names", self.names.is_some()),
            ("max_ttl_s", self.max_ttl_s.is_some()),
            ("sources", self.sources.is_some()),
            ("rule", self.rule.is_some()),
        ];
        match given.iter().find(|(key, given)| *given && !known.contains(key)) {
            Some((key, _)) => {
                self.refuse(&format!("{key} is not a setting of this kind; it has {}", known.join(", ")))
            }
            None => Ok(()),
        }
    }

    fn refuse<T>(&self, what: &str) -> Result<T, ConfigError> {
        invalid(format!("source {}: {what}", self.name))
    }
}
