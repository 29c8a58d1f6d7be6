//! A Consul registry of the configuration.

use std::time::Duration;

use serde::Deserialize;

use super::super::{ConfigError, invalid};
use super::SourceConfig;
use crate::consul::{Consistency, ConsulConfig, ConsulKv, ConsulSource, Services, TlsConfig};
use crate::kv::Kv;
use crate::secret::Secret;
use crate::source::Source;

/// How current an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mode {
    Default,
    Stale,
    Consistent,
    Cached,
}

/// The settings that a Consul source has.
const SETTINGS: [&str; 25] = [
    "address",
    "addresses",
    "datacenter",
    "datacenters",
    "services",
    "queries",
    "query_interval",
    "consistency",
    "max_age",
    "stale_if_error",
    "health",
    "tagged_address",
    "filter",
    "tags",
    "node_meta",
    "near",
    "namespace",
    "partition",
    "token_file",
    "token_env",
    "ca_file",
    "cert_file",
    "key_file",
    "server_name",
    "wait_s",
];

/// The oldest answer that is believed, where the configuration does not say.
const MAX_AGE: Duration = Duration::from_secs(5);

impl SourceConfig {
    /// The source, ready to watch.
    pub(super) fn consul(
        &self,
        viewed: &[String],
        unhealthy: bool,
    ) -> Result<Box<dyn Source + Send>, ConfigError> {
        self.only(&[&SETTINGS[..], &["watch_limit"]].concat())?;
        match ConsulSource::new(self.consul_config(viewed, unhealthy)?) {
            Ok(source) => Ok(Box::new(source)),
            Err(error) => invalid(error.to_string()),
        }
    }

    /// Its keys.
    pub(super) fn consul_kv(&self) -> Result<Box<dyn Kv + Send>, ConfigError> {
        match ConsulKv::new(self.consul_config(&[], false)?) {
            Ok(kv) => Ok(Box::new(kv)),
            Err(error) => invalid(error.to_string()),
        }
    }

    fn consul_config(&self, viewed: &[String], unhealthy: bool) -> Result<ConsulConfig, ConfigError> {
        let mut config = ConsulConfig::new(&self.name, "127.0.0.1:8500");
        match (&self.address, &self.addresses) {
            (Some(_), Some(_)) => return self.refuse("set address or addresses, not both"),
            (Some(address), None) => config.addresses = vec![address.clone()],
            (None, Some(addresses)) => config.addresses = addresses.clone(),
            (None, None) => {}
        }
        config.datacenters = match (&self.datacenter, &self.datacenters) {
            (Some(_), Some(_)) => return self.refuse("set datacenter or datacenters, not both"),
            (Some(datacenter), None) => vec![datacenter.clone()],
            (None, datacenters) => datacenters.clone().unwrap_or_default(),
        };
        config.queries = self.queries.clone().unwrap_or_default();
        let viewed: Vec<_> = viewed.iter().filter(|name| !config.queries.contains(name)).cloned().collect();
        // Who asks for queries alone asks for no service.
        let views = !viewed.is_empty() || !config.queries.is_empty();
        let named = self.services.clone().or_else(|| views.then_some(viewed));
        config.services = named.map_or(Services::All, Services::Named);
        config.query_interval = self.query_interval.map_or(config.query_interval, |interval| interval.0);
        config.consistency = self.mode()?;
        config.health = self.health.unwrap_or_default();
        config.unhealthy = unhealthy;
        config.address = self.tagged_address.unwrap_or_default();
        config.filter = self.filter.clone();
        config.tags = self.tags.clone().unwrap_or_default();
        config.node_meta = self.node_meta.clone().unwrap_or_default();
        config.near = self.near.clone();
        config.namespace = self.namespace.clone();
        config.partition = self.partition.clone();
        config.token_file = self.token_file.clone();
        config.token = self.token_of_environment()?;
        config.tls = self.tls()?;
        config.wait = self.wait_s.map_or(config.wait, Duration::from_secs);
        config.watch_limit = self.watch_limit.unwrap_or(config.watch_limit);
        Ok(config)
    }

    fn mode(&self) -> Result<Consistency, ConfigError> {
        let max_age = self.max_age.map_or(MAX_AGE, |age| age.0);
        let mode = self.consistency.unwrap_or(Mode::Default);
        if self.max_age.is_some() && !matches!(mode, Mode::Stale | Mode::Cached) {
            return self.refuse("max_age wants consistency = \"stale\" or \"cached\"");
        }
        if self.stale_if_error.is_some() && mode != Mode::Cached {
            return self.refuse("stale_if_error wants consistency = \"cached\"");
        }
        Ok(match mode {
            Mode::Default => Consistency::Default,
            Mode::Stale => Consistency::Stale { max_age },
            Mode::Consistent => Consistency::Consistent,
            Mode::Cached => {
                let stale_if_error = self.stale_if_error.map_or(max_age, |age| age.0);
                Consistency::Cached { max_age, stale_if_error }
            }
        })
    }

    fn token_of_environment(&self) -> Result<Option<Secret>, ConfigError> {
        let Some(variable) = &self.token_env else { return Ok(None) };
        // Its name alone is ever quoted.
        match std::env::var(variable) {
            Ok(token) if !token.trim().is_empty() => Ok(Some(Secret::new(token.trim()))),
            _ => self
                .refuse(&format!("token_env names {variable:?}, which is not set, or is empty or no text")),
        }
    }

    fn tls(&self) -> Result<Option<TlsConfig>, ConfigError> {
        let (ca_file, cert_file, key_file) =
            (self.ca_file.clone(), self.cert_file.clone(), self.key_file.clone());
        TlsConfig::of(&self.name, ca_file, cert_file, key_file, self.server_name.clone())
            .or_else(|error| invalid(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::super::Config;
    use super::*;
    use crate::consul::{AddressKind, HealthPolicy};

    const HEAD: &str = "[[source]]\nname = \"c\"\nkind = \"consul\"\n";

    fn parse(more: &str) -> Result<Config, String> {
        Config::parse(&format!("{HEAD}{more}"), Path::new("agent.toml")).map_err(|error| error.to_string())
    }

    fn config(more: &str) -> ConsulConfig {
        let config = parse(more).expect(more);
        config.sources[0].consul_config(&["web".into(), "q".into()], false).expect(more)
    }

    #[test]
    fn each_setting_arrives() {
        let config = config(
            "addresses = [\"127.0.0.1:8500\", \"127.0.0.2:8500\"]\ndatacenters = [\"east\", \"west\"]\n\
             queries = [\"q\"]\nquery_interval = \"2s\"\nconsistency = \"stale\"\nmax_age = \"3s\"\n\
             health = \"passing-or-warning\"\ntagged_address = \"wan_ipv4\"\nfilter = \"Service.Port > 1\"\n\
             tags = [\"v2\"]\nnode_meta = { rack = \"r1\" }\nnear = \"_agent\"\nnamespace = \"team\"\n\
             partition = \"p\"\nwait_s = 20\nwatch_limit = 300\n",
        );
        assert_eq!(config.datacenters, ["east", "west"]);
        assert_eq!((config.queries, config.query_interval), (vec!["q".into()], Duration::from_secs(2)));
        assert_eq!(config.services, Services::Named(vec!["web".into()]), "a query is no service");
        assert_eq!(config.consistency, Consistency::Stale { max_age: Duration::from_secs(3) });
        assert_eq!((config.health, config.address), (HealthPolicy::PassingOrWarning, AddressKind::WanIpv4));
        assert_eq!(
            (config.filter.as_deref(), config.near.as_deref()),
            (Some("Service.Port > 1"), Some("_agent"))
        );
        assert_eq!((config.tags, config.node_meta["rack"].as_str()), (vec!["v2".into()], "r1"));
        assert_eq!((config.namespace.as_deref(), config.partition.as_deref()), (Some("team"), Some("p")));
        assert_eq!((config.wait, config.watch_limit), (Duration::from_secs(20), 300));
    }

    #[test]
    fn modes_have_their_bounds() {
        let second = Duration::from_secs(1);
        assert_eq!(config("").consistency, Consistency::Default);
        assert_eq!(config("consistency = \"consistent\"\n").consistency, Consistency::Consistent);
        let cached = Consistency::Cached { max_age: second * 9, stale_if_error: second * 4 };
        let text = "consistency = \"cached\"\nmax_age = \"9s\"\nstale_if_error = \"4s\"\n";
        assert_eq!(config(text).consistency, cached);
        let stale = Consistency::Stale { max_age: MAX_AGE };
        assert_eq!(config("consistency = \"stale\"\n").consistency, stale);
    }

    #[test]
    fn nonsense_is_refused_in_clear_words() {
        let many: Vec<String> = (0..17).map(|n| format!("\"d{n}\"")).collect();
        for (more, words) in [
            ("address = \"127.0.0.1:1\"\naddresses = []\n".to_owned(), "not both"),
            ("addresses = []\n".into(), "no address"),
            ("datacenter = \"a\"\ndatacenters = [\"b\"]\n".into(), "not both"),
            ("datacenters = [\"a\", \"a\"]\n".into(), "there twice"),
            (format!("datacenters = [{}]\n", many.join(",")), "at most 16"),
            ("consistency = \"weak\"\n".into(), "line 4"),
            ("max_age = \"5s\"\n".into(), "consistency = \"stale\""),
            ("consistency = \"stale\"\nmax_age = \"0s\"\n".into(), "default consistency"),
            ("consistency = \"cached\"\nmax_age = \"500ms\"\n".into(), "whole seconds"),
            ("stale_if_error = \"5s\"\n".into(), "\"cached\""),
            ("health = \"all\"\n".into(), "passing-or-warning"),
            ("tagged_address = \"wan_ipv5\"\n".into(), "wan_ipv4"),
            ("filter = \"\"\n".into(), "filter is empty"),
            ("near = \"\"\n".into(), "near is empty"),
            ("tags = [\"\"]\n".into(), "a tag is empty"),
            ("node_meta = { \"a:b\" = \"c\" }\n".into(), "colon"),
            ("queries = [\"..\"]\n".into(), "prepared query"),
            ("services = [\"web\"]\nqueries = [\"web\"]\n".into(), "both a service and"),
            ("query_interval = \"500ms\"\n".into(), "1 s to 1 h"),
            ("token_env = \"RESOLVER_NO_SUCH_VARIABLE\"\n".into(), "RESOLVER_NO_SUCH_VARIABLE"),
            ("token_file = \"/nowhere/token\"\n".into(), "/nowhere/token"),
            (
                "ca_file = \"/nowhere/ca.pem\"\naddress = \"https://127.0.0.1:8501\"\n".into(),
                "/nowhere/ca.pem",
            ),
            ("ca_file = \"/nowhere/ca.pem\"\n".into(), "https://"),
            ("cert_file = \"/nowhere/a.pem\"\n".into(), "ca_file"),
            ("server_name = \"a\"\n".into(), "ca_file"),
            (
                "ca_file = \"/x\"\ncert_file = \"/y\"\naddress = \"https://127.0.0.1:1\"\n".into(),
                "cert_file and key_file",
            ),
            ("prefix = \"/a/\"\n".into(), "prefix is not a setting"),
            ("token_file = \"/x\"\naddress = \"10.0.0.1:8500\"\n".into(), "unencrypted"),
        ] {
            let error = parse(&more).expect_err(&more);
            assert!(error.contains(words), "{more}: {error}");
        }
    }

    #[test]
    fn a_token_comes_from_the_environment_and_is_never_shown() {
        // A variable that every process has, for a test cannot set one safely.
        let config = config("token_env = \"PATH\"\n");
        let path = std::env::var("PATH").expect("set");
        assert_eq!(config.token.as_ref().map(Secret::expose), Some(path.trim()));
        assert!(!format!("{config:?}").contains(path.trim()));
    }
}
