//! The agent's configuration, from TOML.
//!
//! ```toml
//! [segment]
//! path = "/dev/shm/resolver/main.seg"   # where readers find the table
//! services = 4096                       # services at one time
//! endpoints = 65536                     # endpoints in all sets together
//!
//! [sync]
//! core = 0                              # the sync thread's core; anywhere where there is none
//! reader_cores = [2, 3]                 # cores that the sync thread must stay away from
//! stale_after_ms = 5000                 # a source that proved nothing for so long is stale
//! forget_after_s = 600                  # a discovered name that is empty for so long leaves the table
//!
//! [[source]]
//! name = "consul"
//! kind = "consul"
//! address = "127.0.0.1:8500"            # or addresses = [...], to fall back on
//! # services = ["orders"]              # left out: what the views ask for, or every service
//! # datacenters = ["east", "west"]     # tiers in this order; or datacenter = "east"
//! # queries = ["orders-anywhere"]      # prepared queries by name or id, executed every query_interval = "5s"
//! # consistency = "default"            # or "stale" (max_age = "5s"), "consistent", "cached" (max_age, stale_if_error)
//! # health = "passing"                 # or "passing-or-warning"
//! # tagged_address = "default"         # or lan, lan_ipv4, lan_ipv6, wan, wan_ipv4, wan_ipv6
//! # filter, tags, node_meta = { rack = "r1" }, near, namespace, partition
//! # token_file, or token_env = "CONSUL_HTTP_TOKEN"
//! # ca_file, cert_file, key_file, server_name   # for https:// addresses
//! # wait_s = 10                        # 10 to 60
//! # watch_limit = 90                   # services with a query of their own; the others are watched together
//!
//! [[source]]
//! name = "etcd"
//! kind = "etcd"
//! endpoints = ["http://127.0.0.1:2379"]
//! # namespace, prefix = "/services/", codec = "auto", user, password_file, ca_file, cert_file, key_file, server_name,
//! # relist_s = 60
//!
//! [[source]]
//! name = "static"
//! kind = "file"
//! path = "/etc/resolver/services.toml"
//!
//! [[source]]
//! name = "dns"
//! kind = "dns"
//! servers = ["127.0.0.1:8600"]          # left out: the system's; transport = "tcp" or "udp", max_ttl_s = 60
//! names = { oms = "oms.service.consul", db = "db.example.com:5432" }  # SRV records; addresses with a port
//!
//! [[source]]
//! name = "all"
//! kind = "overlay"                      # several sources as one; those named first win
//! sources = ["static", "consul", "dns"]
//! rule = "merge"                        # all instances; or "first", those of the first source that has any
//!
//! [[view]]                              # with no view, every service is published under its own name
//! name = "oms"
//! source = "consul"
//! service = "order-management"
//! tags = ["v2"]
//! policy = "primary"                    # or "sticky"
//! tag_bits = ["v2", "canary"]           # tags that readers can test for, at most 64
//! fail_back = "30s"                     # a lower tier serves again after so long; default "immediate"
//! zone = "prefer"                       # the own zone serves alone, while at least zone_min of it can; default "any"
//! zone_min = 2
//! slow_start = "60s"                    # over which a new instance gains its weight; default "off"
//! panic_threshold = 50                  # percent healthy, below which health is ignored; default 0, never
//! ejection = { failures = 5, base = "30s", max = "5m", max_ejected = 10 }  # by reports; left out: never
//! smooth = true                         # make the order of the smooth weighted round robin; default false
//! maglev = 10007                        # places of the Maglev table: 100 for each endpoint at least; default 0, none
//!
//! [host]
//! zones = ["east", "west"]              # zones by number, from 1 on
//! zone = "east"                         # this host's own
//!
//! [[setting]]                           # a typed value that readers read as fast as an address
//! name = "max_position"
//! source = "consul"                     # a source of kind consul or etcd; its address and token are used
//! key = "config/max_position"           # the keys of one directory are watched together
//! type = "i64"                          # i64, f64, bool, or bytes with max_length (48 at most)
//! min = 0                               # of numbers; left out: no bound
//! max = 1_000_000
//! on_delete = "keep"                    # keeps the last value, with an alarm; or "unset"
//!
//! [reports]
//! socket = "/run/resolver/report.sock"  # where other processes report; left out: nowhere
//! group = 1001                          # the id of the group that may; left out: the agent's user alone
//!
//! [health]
//! listen = "127.0.0.1:9600"             # /health, /ready, /metrics; left out: nowhere
//!
//! [state]                               # what outlives the machine's restart; left out: nothing does
//! directory = "/var/lib/resolver"       # one for each agent
//! every = "10s"                         # how often the last good table is written, if it is another
//! max_age = "24h"                       # how long it is good for an agent that starts with nothing else
//!
//! [control]                             # the operator's hand: resolver kill, allow, kills
//! socket = "/run/resolver/control.sock" # left out: beside the segment, main.seg.control
//! group = 1001                          # the id of the group that may ask; left out: the agent's user and root
//! kill_for = "30m"                      # how long an endpoint is out, where the operator does not say
//! kill_max = "24h"                      # the longest that may be asked for
//! ```

mod duration;
mod health;
mod host;
mod source;
mod state;
mod sync;
mod view;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use resolver_core::{Capacity, MAX_SOURCE_NAME, MAX_SOURCES, shm};
use serde::Deserialize;

use crate::policy::Zones;
use crate::publisher::{Patience, Wanted};
use crate::schema::{Schema, SettingConfig};
use crate::source::Source;
use crate::view::View;

pub use duration::parse as parse_duration;
pub use health::HealthConfig;
pub use host::{HostConfig, ReportsConfig};
pub use source::{Kind, SourceConfig};
pub(crate) use state::fits;
pub use state::{ControlConfig, StateConfig, control_path};
pub use sync::SyncConfig;
pub use view::{EjectionConfig, ViewConfig, ZoneConfig};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It is no TOML of this shape; the words name the line.
    #[error("{}: {error}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where, and what would be right.
        error: Box<toml::de::Error>,
    },
    /// A setting makes no sense.
    #[error("{0}")]
    Invalid(String),
}

fn invalid<T>(what: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError::Invalid(what.into()))
}

/// What an agent does.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the table is.
    pub segment: SegmentConfig,
    /// How the sync thread runs.
    pub sync: SyncConfig,
    /// The registries, those named first before the others where two have a service of one name.
    #[serde(rename = "source")]
    pub sources: Vec<SourceConfig>,
    /// What is published; everything, where there is none.
    #[serde(rename = "view")]
    pub views: Vec<ViewConfig>,
    /// Where this host is.
    pub host: HostConfig,
    /// Where callers' reports arrive.
    pub reports: ReportsConfig,
    /// Where the agent says how it is.
    pub health: HealthConfig,
    /// What outlives the machine's restart.
    pub state: StateConfig,
    /// Where operators ask.
    pub control: ControlConfig,
    /// Typed configuration values.
    #[serde(rename = "setting")]
    pub settings: Vec<SettingConfig>,
}

/// Where the table is, and how large.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentConfig {
    /// The segment's file.
    pub path: PathBuf,
    /// See [`Capacity::services`].
    pub services: u32,
    /// See [`Capacity::endpoints`].
    pub endpoints: u32,
    /// See [`Capacity::text_bytes`].
    pub text_bytes: u32,
}

impl Default for SegmentConfig {
    fn default() -> Self {
        let Capacity { services, endpoints, text_bytes, .. } = Capacity::HOST;
        SegmentConfig { path: shm::DEFAULT_PATH.into(), services, endpoints, text_bytes }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], with the line where the file's form is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        Self::parse(&text, path)
    }

    /// Reads and checks a text; `path` is for the words of errors.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], with the line where the text's form is wrong.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Config = toml::from_str(text)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), error: Box::new(error) })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.sources.is_empty() {
            return invalid("there is no [[source]]; name at least one registry or file");
        }
        if self.sources.len() > MAX_SOURCES {
            return invalid(format!("there are {} sources; a table names {MAX_SOURCES}", self.sources.len()));
        }
        let mut names = BTreeSet::new();
        for source in &self.sources {
            if source.name.is_empty() || source.name.len() > MAX_SOURCE_NAME || !names.insert(&source.name) {
                return invalid(format!(
                    "source name {:?} is empty, longer than {MAX_SOURCE_NAME} bytes, or there twice",
                    source.name
                ));
            }
        }
        for source in &self.sources {
            source.check(&self.sources)?;
        }
        let zones = match self.host.zones() {
            Ok(zones) => zones,
            Err(error) => return invalid(format!("host: {error}")),
        };
        if let Err(error) = self.reports.check() {
            return invalid(format!("reports: {error}"));
        }
        if let Err(error) = self.health.check() {
            return invalid(format!("health: {error}"));
        }
        if let Err(error) = self.state.check().and_then(|()| self.control.check()) {
            return invalid(error);
        }
        let mut names = BTreeSet::new();
        for view in &self.views {
            if !names.insert(&view.name) {
                return invalid(format!("view {:?} is there twice", view.name));
            }
            if let Err(error) = view.check(&self.sources, &zones) {
                return invalid(format!("view {:?}: {error}", view.name));
            }
        }
        let mut names = BTreeSet::new();
        for setting in &self.settings {
            if !names.insert(&setting.name) {
                return invalid(format!("setting {:?} is there twice", setting.name));
            }
            if let Err(error) = setting.schema() {
                return invalid(format!("setting {:?}: {error}", setting.name));
            }
        }
        self.wanted()?;
        if self.segment.services == 0 || self.segment.endpoints == 0 {
            return invalid("segment: services and endpoints must be at least 1");
        }
        if self.sync.stale_after_ms < 1000 {
            return invalid(format!(
                "sync: stale_after_ms is {}; sources prove themselves every second or two, so it must be 1000 at least",
                self.sync.stale_after_ms
            ));
        }
        if let Some(core) = self.sync.core
            && self.sync.reader_cores.contains(&core)
        {
            return invalid(format!("sync: core {core} is listed in reader_cores"));
        }
        self.sources().map(|_| ())
    }

    /// What the table has room for.
    pub fn capacity(&self) -> Capacity {
        let SegmentConfig { services, endpoints, text_bytes, .. } = self.segment;
        let settings = u32::try_from(self.settings.len()).unwrap_or(u32::MAX);
        let configs = Capacity::HOST.configs.max(settings);
        Capacity { services, endpoints, text_bytes, configs }
    }

    /// The settings, and the registries of their sources. Reads the files with secrets.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`], with the setting's name.
    pub fn wanted(&self) -> Result<Wanted, ConfigError> {
        let schemas = self.schemas();
        let mut wanted = Wanted::default();
        for Schema { name, source, key, .. } in &schemas {
            let known = self.sources.iter().find(|known| known.name == *source);
            let Some(known) = known else {
                return invalid(format!("setting {name:?}: its source is {source:?}, which there is not"));
            };
            if !wanted.registries.contains_key(source) {
                wanted.registries.insert(source.clone(), known.kv()?);
            }
            if let Some(Err(error)) = wanted.registries.get(source).map(|kv| kv.check_key(key)) {
                return invalid(format!("setting {name:?}: {error}"));
            }
        }
        wanted.schemas = schemas;
        Ok(wanted)
    }

    /// What the settings have to be.
    pub fn schemas(&self) -> Vec<Schema> {
        // What makes no sense was refused when the configuration was read.
        self.settings.iter().filter_map(|setting| setting.schema().ok()).collect()
    }

    /// How patient the publisher is.
    pub fn patience(&self) -> Patience {
        Patience {
            stale_after: Duration::from_millis(self.sync.stale_after_ms),
            forget_after: Duration::from_secs(self.sync.forget_after_s),
        }
    }

    /// The views.
    pub fn views(&self) -> Vec<View> {
        // What makes no sense was refused when the configuration was read.
        self.views.iter().filter_map(|view| view.view().ok()).collect()
    }

    /// Zones by number, and the host's own.
    pub fn zones(&self) -> Zones {
        self.host.zones().unwrap_or_default()
    }

    /// The sources, ready to watch. Reads the files with secrets.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`], with the source's name.
    pub fn sources(&self) -> Result<Vec<Box<dyn Source + Send>>, ConfigError> {
        let build = |source: &SourceConfig| {
            // Whoever may panic must know of the unhealthy, too.
            let of_source =
                |view: &View| self.is_asked(&source.name, view) && view.policies.panic_threshold > 0;
            source.build(&self.services_of(&source.name), self.views().iter().any(of_source))
        };
        self.sources.iter().map(build).collect()
    }

    /// Whether a view is of this source, by itself or by an overlay.
    fn is_asked(&self, source: &str, view: &View) -> bool {
        let overlay = || self.sources.iter().find(|overlay| overlay.name == view.source);
        view.source == source
            || overlay().is_some_and(|overlay| overlay.members().iter().any(|member| member == source))
    }

    /// The services that the views ask a source for.
    fn services_of(&self, source: &str) -> Vec<String> {
        let services =
            self.views().into_iter().filter(|view| self.is_asked(source, view)).map(|view| view.service);
        services.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
