//! What a Consul source is told, and what is refused.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;

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
    /// The datacentre to ask for; the agent's own where there is none.
    pub datacenter: Option<String>,
    /// How current an answer must be.
    pub consistency: Consistency,
    /// Which instances serve.
    pub health: HealthPolicy,
    /// Whether the others are reported too, as [`ServiceSet::unhealthy`](crate::record::ServiceSet::unhealthy); but
    /// for those in maintenance. Costs the bytes that `?passing` would have saved.
    pub unhealthy: bool,
    /// A filter expression of Consul's own, sent along with every read of a service.
    pub filter: Option<String>,
    /// Tags that an instance must all have.
    pub tags: Vec<String>,
    /// How long the server may hold a blocking query: 10 to 60 s. It bounds how long a fault that nothing else shows
    /// can stay unseen.
    pub wait: Duration,
    /// Sent as a header that is never logged; over plain HTTP to loopback only.
    pub token: Option<Secret>,
    /// How many blocking queries are held at once. An agent allows 200 connections from one address unless
    /// `limits.http_max_conns_per_client` says otherwise, other tools use them too, and a query that is given up keeps
    /// its place for up to `wait`: so the default is what fits twice, with room for the heartbeat.
    pub watch_limit: usize,
    /// The largest body that is read, in bytes, counted after decompression.
    pub body_limit: usize,
}

/// Which services a source watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Services {
    /// These, whether or not the registry lists them.
    Named(Vec<String>),
    /// Each that the catalogue lists.
    All,
}

/// How current an answer must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// The leader answers; it may be deposed without knowing, for moments.
    #[default]
    Default,
    /// Any server answers. One that has no leader, or last heard from it longer ago than `max_age`, is not believed: the
    /// leader is asked instead.
    Stale {
        /// The most that `X-Consul-LastContact` may be.
        max_age: Duration,
    },
    /// The leader answers after it has made sure that it is one; a round trip dearer.
    Consistent,
}

/// Which instances serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HealthPolicy {
    /// Those whose checks all pass.
    #[default]
    Passing,
    /// Those whose worst check is a warning as well, with the weight that Consul has for it.
    PassingOrWarning,
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
            datacenter: None,
            consistency: Consistency::default(),
            health: HealthPolicy::default(),
            unhealthy: false,
            filter: None,
            tags: Vec::new(),
            wait: Duration::from_secs(10),
            token: None,
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
        if let Services::Named(names) = &self.services {
            // Consul reads an empty name, or one that a path folds away, as another endpoint.
            if let Some(name) = names.iter().find(|name| matches!(name.as_str(), "" | "." | "..")) {
                return refuse(format!("{name:?} is not the name of a service"));
            }
        }
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
            if self.token.is_some() && url.scheme() == "http" && !is_loopback(&url) {
                return refuse(format!(
                    "a token would go to {} unencrypted; use https:// or a loopback address",
                    url.host_str().unwrap_or("?")
                ));
            }
            urls.push(url);
        }
        Ok(urls)
    }
}

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
