//! What is asked: the endpoint of a read, with every option of the configuration that it takes.

use super::agent::Request;
use super::choice::HealthPolicy;
use super::config::ConsulConfig;

/// One of the datacentres that a source reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope<'a> {
    /// The agent's own where there is none.
    pub(super) datacenter: Option<&'a str>,
    /// Its place in the configured order, and the tier of its instances.
    pub(super) tier: u8,
    /// Whether it is one of several: then ids begin with its name, since two may have a node and a service of one id.
    pub(super) several: bool,
}

impl<'a> Scope<'a> {
    /// The agent's own datacentre.
    #[cfg(test)]
    pub(super) const OWN: Scope<'static> = Scope { datacenter: None, tier: 0, several: false };

    /// The datacentres of a configuration, in their order; never none.
    pub(super) fn all(config: &'a ConsulConfig) -> Vec<Self> {
        let several = config.datacenters.len() > 1;
        let named = config.datacenters.iter().zip(0..);
        let mut all: Vec<_> =
            named.map(|(name, tier)| Scope { datacenter: Some(name), tier, several }).collect();
        if all.is_empty() {
            all.push(Scope { datacenter: None, tier: 0, several });
        }
        all
    }

    /// The id of an instance there.
    pub(super) fn id(&self, node: &str, service: &str) -> String {
        match self.datacenter {
            Some(datacenter) if self.several => format!("{datacenter}/{node}/{service}"),
            _ => format!("{node}/{service}"),
        }
    }
}

/// The read of one service. `narrow` leaves it to the server to drop what does not pass.
pub(super) fn service_request(
    config: &ConsulConfig,
    scope: &Scope<'_>,
    service: &str,
    narrow: bool,
) -> Request {
    let mut request = scoped(config, scope, Request::get(["health", "service", service]));
    if narrow && config.health == HealthPolicy::Passing && !config.unhealthy {
        request = request.with("passing", "1");
    }
    if let Some(filter) = &config.filter {
        request = request.with("filter", filter);
    }
    if let Some(near) = &config.near {
        request = request.with("near", near);
    }
    let request = config.tags.iter().fold(request, |request, tag| request.with("tag", tag));
    let meta = config.node_meta.iter();
    meta.fold(request, |request, (key, value)| request.with("node-meta", format!("{key}:{value}")))
}

/// A request with what every endpoint takes: where it is to be answered.
pub(super) fn scoped(config: &ConsulConfig, scope: &Scope<'_>, mut request: Request) -> Request {
    if let Some(datacenter) = scope.datacenter {
        request = request.with("dc", datacenter);
    }
    if let Some(namespace) = &config.namespace {
        request = request.with("ns", namespace);
    }
    if let Some(partition) = &config.partition {
        request = request.with("partition", partition);
    }
    request
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::*;

    #[test]
    fn every_option_is_sent_escaped() {
        let mut config = ConsulConfig::new("main", "127.0.0.1:8500");
        config.datacenters = vec!["dc 1".into(), "dc2".into()];
        config.filter = Some("Service.Meta.a == \"b&c\"".into());
        config.near = Some("_agent".into());
        config.tags = vec!["v1".into(), "a&b".into()];
        config.node_meta = [("rack".to_owned(), "r 1:x".to_owned())].into();
        config.namespace = Some("team/a".into());
        config.partition = Some("p?1".into());
        let scopes = Scope::all(&config);
        let base = Url::parse("http://127.0.0.1:8500").expect("a URL");
        let url = service_request(&config, &scopes[0], "a/b", true).url(&base);
        assert_eq!(url.path(), "/v1/health/service/a%2Fb");
        assert_eq!(
            url.query(),
            Some(
                "dc=dc+1&ns=team%2Fa&partition=p%3F1&passing=1&filter=Service.Meta.a+%3D%3D+%22b%26c%22&near=_agent\
                 &tag=v1&tag=a%26b&node-meta=rack%3Ar+1%3Ax"
            )
        );
        assert_eq!((scopes[1].tier, scopes[1].id("n", "s")), (1, "dc2/n/s".into()));
    }

    #[test]
    fn ids_of_one_datacentre_do_not_name_it() {
        let mut config = ConsulConfig::new("main", "127.0.0.1:8500");
        assert_eq!(Scope::all(&config), [Scope::OWN]);
        config.datacenters = vec!["dc1".into()];
        assert_eq!(Scope::all(&config)[0].id("n", "s"), "n/s");
    }
}
