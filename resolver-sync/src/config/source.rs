//! One registry of the configuration, and the source that it makes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, invalid};
use crate::consul::{ConsulConfig, ConsulKv, ConsulSource, Services};
use crate::file::FileSource;
use crate::kv::Kv;
use crate::secret::Secret;
use crate::source::Source;

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
}

impl SourceConfig {
    /// Whether the source's own list of services, if it has one, has this one.
    pub(super) fn watches(&self, service: &String) -> bool {
        self.services.as_ref().is_none_or(|services| services.contains(service))
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
        }
    }

    /// The source's registry as a store of keys.
    pub(super) fn kv(&self) -> Result<Box<dyn Kv + Send>, ConfigError> {
        match self.kind {
            Kind::Consul => match ConsulKv::new(self.consul_config(&[], false)?) {
                Ok(kv) => Ok(Box::new(kv)),
                Err(error) => invalid(error.to_string()),
            },
            Kind::Etcd => self.etcd_kv(),
            Kind::File => self.refuse("a file has no keys for settings"),
        }
    }

    fn consul(&self, viewed: &[String], unhealthy: bool) -> Result<Box<dyn Source + Send>, ConfigError> {
        match ConsulSource::new(self.consul_config(viewed, unhealthy)?) {
            Ok(source) => Ok(Box::new(source)),
            Err(error) => invalid(error.to_string()),
        }
    }

    fn consul_config(&self, viewed: &[String], unhealthy: bool) -> Result<ConsulConfig, ConfigError> {
        self.only(&[
            "address",
            "addresses",
            "datacenter",
            "token_file",
            "services",
            "wait_s",
            "watch_limit",
        ])?;
        let mut config = ConsulConfig::new(&self.name, "127.0.0.1:8500");
        match (&self.address, &self.addresses) {
            (Some(_), Some(_)) => return self.refuse("set address or addresses, not both"),
            (Some(address), None) => config.addresses = vec![address.clone()],
            (None, Some(addresses)) => config.addresses = addresses.clone(),
            (None, None) => {}
        }
        let named = self.services.clone().or_else(|| (!viewed.is_empty()).then(|| viewed.to_vec()));
        config.services = named.map_or(Services::All, Services::Named);
        config.datacenter = self.datacenter.clone();
        config.unhealthy = unhealthy;
        config.token = self.secret(self.token_file.as_deref())?;
        config.wait = self.wait_s.map_or(config.wait, Duration::from_secs);
        config.watch_limit = self.watch_limit.unwrap_or(config.watch_limit);
        Ok(config)
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
        use crate::etcd::EtcdConfig;

        self.only(&["endpoints", "prefix", "user", "password_file"])?;
        let defaults = EtcdConfig::default();
        let config = EtcdConfig {
            name: self.name.clone(),
            endpoints: self.endpoints.clone().unwrap_or_else(|| vec!["http://127.0.0.1:2379".into()]),
            prefix: self.prefix.clone().unwrap_or(defaults.prefix),
            user: self.user.clone(),
            password: self.secret(self.password_file.as_deref())?,
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
        ];
        match given.iter().find(|(key, given)| *given && !known.contains(key)) {
            Some((key, _)) => {
                self.refuse(&format!("{key} is not a setting of this kind; it has {}", known.join(", ")))
            }
            None => Ok(()),
        }
    }

    fn secret(&self, path: Option<&Path>) -> Result<Option<Secret>, ConfigError> {
        match path.map(Secret::from_file).transpose() {
            Ok(secret) => Ok(secret),
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn refuse<T>(&self, what: &str) -> Result<T, ConfigError> {
        invalid(format!("source {}: {what}", self.name))
    }
}
