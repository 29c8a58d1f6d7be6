//! What a Consul source is told, and what is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::choice::{AddressKind, Consistency, HealthPolicy, Services, TlsConfig};
use crate::secret::Secret;

/// Which registry to watch, what of it, and how. [`ConsulConfig::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct ConsulConfig {
    /// The source's name; unique among the sources of one agent.
    pub name: String,
    /// Agents, asked one at a time in this order; the next one is tried when one fails. `host:port` is plain HTTP;
    /// else `http://host:port` or `https://host:port`. Must not be empty.
    pub addresses: Vec<String>,
    /// Which services to watch.
    pub services: Services,
    /// Whether `consul`, which every cluster registers for itself, belongs to [`Services::All`].
    pub include_consul: bool,
    /// The datacentres to ask for, in their order: instances of the first have tier 0, those of the next tier 1, and so on.
    /// The agent's own where there is none. Each takes queries of its own, through the same agent.
    pub datacenters: Vec<String>,
    /// Prepared queries by name or id, each reported as a service of that name. They cannot block, so each is executed
    /// every `query_interval`. Instances that a failover brought have the number of datacentres that failed as their tier.
    pub queries: Vec<String>,
    /// How often a prepared query is executed: 1 s to 1 h.
    pub query_interval: Duration,
    /// How current an answer must be.
    pub consistency: Consistency,
    /// Which instances serve.
    pub health: HealthPolicy,
    /// Whether the others are reported too, as [`ServiceSet::unhealthy`](crate::record::ServiceSet::unhealthy); but
    /// for those in maintenance. Costs the bytes that `?passing` would have saved.
    pub unhealthy: bool,
    /// Which of an instance's addresses is taken.
    pub address: AddressKind,
    /// A filter expression of Consul's own, sent along with every read of a service.
    pub filter: Option<String>,
    /// Tags that an instance must all have.
    pub tags: Vec<String>,
    /// Metadata that an instance's node must all have.
    pub node_meta: BTreeMap<String, String>,
    /// The node that answers are sorted by their distance from; `_agent` is the agent's own. A set has an order of its own,
    /// so this matters to prepared queries alone, which may cut their answers.
    pub near: Option<String>,
    /// The namespace (Consul Enterprise; others refuse it).
    pub namespace: Option<String>,
    /// The partition (Consul Enterprise; others ignore it).
    pub partition: Option<String>,
    /// How long the server may hold a blocking query: 10 to 60 s. It bounds how long a fault that nothing else shows
    /// can stay unseen.
    pub wait: Duration,
    /// Sent as a header that is never logged; over plain HTTP to loopback only.
    pub token: Option<Secret>,
    /// A file with the token, in place of `token`; read again when it has changed, and after a 403. Must be readable by its
    /// owner alone.
    pub token_file: Option<PathBuf>,
    /// For `https://` addresses; where there is none, the system's authorities are believed.
    pub tls: Option<TlsConfig>,
    /// How many services are watched by a blocking query of their own; those over it are watched together, and their
    /// changes arrive later. An agent allows 200 connections from one address unless
    /// `limits.http_max_conns_per_client` says otherwise, other tools use them too, and a query that is given up keeps
    /// its place for up to `wait`: so the default is what fits twice, with room for the rest. With several datacentres,
    /// each query counts.
    pub watch_limit: usize,
    /// The largest body that is read, in bytes, counted after decompression.
    pub body_limit: usize,
}

/// Why a source cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("consul source {source_name}: {what}")]
pub struct ConfigError {
    /// The source that was configured so.
    pub source_name: String,
    /// What is wrong with it, and what to do.
    pub what: String,
}

impl ConfigError {
    pub(super) fn new(source_name: &str, what: impl Into<String>) -> Self {
        ConfigError { source_name: source_name.into(), what: what.into() }
    }
}

impl ConsulConfig {
    /// A source with the defaults: every service but `consul`, passing instances only, the default consistency, a wait
    /// of 10 s, 90 watches, bodies of up to 4 MiB, no token.
    pub fn new(name: impl Into<String>, address: impl Into<String>) -> Self {
        ConsulConfig {
            name: name.into(),
            addresses: vec![address.into()],
            services: Services::All,
            include_consul: false,
            datacenters: Vec::new(),
            queries: Vec::new(),
            query_interval: Duration::from_secs(5),
            consistency: Consistency::default(),
            health: HealthPolicy::default(),
            unhealthy: false,
            address: AddressKind::default(),
            filter: None,
            tags: Vec::new(),
            node_meta: BTreeMap::new(),
            near: None,
            namespace: None,
            partition: None,
            wait: Duration::from_secs(10),
            token: None,
            token_file: None,
            tls: None,
            watch_limit: 90,
            body_limit: 4 << 20,
        }
    }

    /// The addresses as URLs, after everything that can be refused was looked at.
    pub(super) fn urls(&self) -> Result<Vec<Url>, ConfigError> {
        let refuse = |what: String| Err(ConfigError::new(&self.name, what));
        if !(Duration::from_secs(10)..=Duration::from_secs(60)).contains(&self.wait) {
            return refuse(format!("wait is {:?}; it must be 10 s to 60 s", self.wait));
        }
        if self.watch_limit == 0 {
            return refuse("the watch limit is 0; nothing could be watched".into());
        }
        self.check_names()?;
        self.check_options()?;
        if self.addresses.is_empty() {
            return refuse("no address; name at least one agent, such as 127.0.0.1:8500".into());
        }
        let mut urls = Vec::new();
        for address in &self.addresses {
            let with_scheme =
                if address.contains("://") { address.clone() } else { format!("http://{address}") };
            let url = match Url::parse(&with_scheme) {
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => url,
                _ => {
                    return refuse(
                        "an address is not host:port, http://host:port or https://host:port".into(),
                    );
                }
            };
            // Not quoted: what does not belong there may be a password.
            let plain = url.username().is_empty() && url.password().is_none();
            if !plain || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
                return refuse(
                    "an address has more than scheme, host and port; a token goes in its file".into(),
                );
            }
            let token = self.token.is_some() || self.token_file.is_some();
            if token && url.scheme() == "http" && !is_loopback(&url) {
                return refuse(format!(
                    "a token would go to {} unencrypted; use https:// or a loopback address",
                    url.host_str().unwrap_or("?")
                ));
            }
            if self.tls.is_some() && url.scheme() == "http" {
                return refuse(format!(
                    "there are TLS settings, but {} is asked over plain HTTP; write https://",
                    url.host_str().unwrap_or("?")
                ));
            }
            urls.push(url);
        }
        Ok(urls)
    }

    fn check_names(&self) -> Result<(), ConfigError> {
        let refuse = |what: String| Err(ConfigError::new(&self.name, what));
        let named: &[String] = match &self.services {
            Services::Named(names) => names,
            Services::All => &[],
        };
        // Consul reads an empty name, or one that a path folds away, as another endpoint.
        let folds = |name: &&String| matches!(name.as_str(), "" | "." | "..");
        if let Some(name) = named.iter().find(folds) {
            return refuse(format!("{name:?} is not the name of a service"));
        }
        if let Some(name) = self.queries.iter().find(folds) {
            return refuse(format!("{name:?} is not the name of a prepared query"));
        }
        if let Some(name) = self.queries.iter().find(|name| named.contains(name)) {
            return refuse(format!("{name:?} is both a service and a prepared query; rename the query"));
        }
        if self.datacenters.len() > MAX_DATACENTERS {
            let count = self.datacenters.len();
            return refuse(format!("there are {count} datacentres; at most {MAX_DATACENTERS} are tiers"));
        }
        let distinct: BTreeSet<&String> = self.datacenters.iter().collect();
        if distinct.len() < self.datacenters.len() || distinct.iter().any(|name| name.is_empty()) {
            return refuse("a datacentre is empty or there twice".into());
        }
        Ok(())
    }

    fn check_options(&self) -> Result<(), ConfigError> {
        let refuse = |what: String| Err(ConfigError::new(&self.name, what));
        let texts = [
            ("filter", &self.filter),
            ("near", &self.near),
            ("namespace", &self.namespace),
            ("partition", &self.partition),
        ];
        if let Some((key, _)) = texts.iter().find(|(_, text)| text.as_deref() == Some("")) {
            return refuse(format!("{key} is empty; leave it out"));
        }
        if self.tags.iter().any(String::is_empty) {
            return refuse("a tag is empty; leave it out".into());
        }
        // Consul divides at the first colon.
        if let Some(key) = self.node_meta.keys().find(|key| key.is_empty() || key.contains(':')) {
            return refuse(format!("the key {key:?} of node_meta is empty or has a colon"));
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&self.query_interval) {
            return refuse(format!("the query interval is {:?}; it must be 1 s to 1 h", self.query_interval));
        }
        match self.consistency {
            Consistency::Stale { max_age } if max_age.is_zero() => {
                return refuse("a stale answer may be 0 s old: that is the default consistency".into());
            }
            Consistency::Cached { max_age, .. } if max_age < Duration::from_secs(1) => {
                return refuse(
                    "a cached answer may be less than 1 s old; Consul counts whole seconds".into(),
                );
            }
            _ => {}
        }
        if self.token.is_some() && self.token_file.is_some() {
            return refuse("there is a token and a token's file; set one of them".into());
        }
        if let Some(tls) = &self.tls
            && tls.cert_file.is_some() != tls.key_file.is_some()
        {
            return refuse("a certificate of one's own wants both cert_file and key_file".into());
        }
        Ok(())
    }
}

/// Tiers by datacentre.
const MAX_DATACENTERS: usize = 16;

/// Whether nothing that is sent there leaves the host.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut ConsulConfig)) -> String {
        let mut config = ConsulConfig::new("main", "127.0.0.1:8500");
        change(&mut config);
        config.urls().expect_err("refused").to_string()
    }

    #[test]
    fn the_defaults_are_accepted() {
        let urls = ConsulConfig::new("main", "127.0.0.1:8500").urls().expect("accepted");
        assert_eq!(urls[0].as_str(), "http://127.0.0.1:8500/");
    }

    #[test]
    fn a_token_goes_nowhere_unencrypted() {
        for address in ["10.0.0.1:8500", "http://consul.example:8500", "http://[2001:db8::1]:8500"] {
            let error = refused(|config| {
                config.addresses = vec!["127.0.0.1:8500".into(), address.into()];
                config.token = Some(Secret::new("canary"));
            });
            assert!(error.contains("unencrypted") && !error.contains("canary"), "{error}");
        }
        for address in ["https://10.0.0.1:8501", "127.9.9.9:8500", "localhost:8500", "http://[::1]:8500"] {
            let mut config = ConsulConfig::new("main", address);
            config.token = Some(Secret::new("canary"));
            assert!(config.urls().is_ok(), "{address}");
            assert!(!format!("{config:?}").contains("canary"));
        }
    }

    #[test]
    fn bad_addresses_are_refused() {
        for address in
            ["", "ftp://a:1", "http://", "http://a:1/v1", "http://u:canary@a:1", "a:1?token=canary"]
        {
            let error = refused(|config| config.addresses = vec![address.into()]);
            assert!(error.contains("address") && !error.contains("canary"), "{address}: {error}");
        }
        assert!(refused(|config| config.addresses.clear()).contains("no address"));
    }

    #[test]
    fn waits_and_limits_are_bounded() {
        assert!(refused(|config| config.wait = Duration::from_secs(9)).contains("10 s to 60 s"));
        assert!(refused(|config| config.wait = Duration::from_secs(61)).contains("10 s to 60 s"));
        assert!(refused(|config| config.watch_limit = 0).contains("watch limit"));
        assert!(
            refused(|config| config.services = Services::Named(vec!["..".into()])).contains("not the name")
        );
    }
}
