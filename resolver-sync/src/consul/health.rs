//! `/v1/health/service/:name`: from Consul's JSON to candidates.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::record::{Candidate, Rejected, ServiceSet};

use super::choice::{AddressKind, HealthPolicy};
use super::config::ConsulConfig;
use super::query::Scope;

/// The instances of an answer, whatever their health.
#[derive(Clone, Debug)]
pub(super) struct Health {
    entries: Vec<Entry>,
    rejected: Vec<Rejected>,
}

impl Health {
    /// Reads an answer. A record that is no instance is left out and named; the others stay.
    ///
    /// # Errors
    ///
    /// The parser's words where the whole is no JSON list.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        // One pass over an answer whose records are all sound, which is every answer but the rarest.
        let wrong = match serde_json::from_slice::<Option<Vec<Entry>>>(body) {
            Ok(entries) => return Ok(Health { entries: entries.unwrap_or_default(), rejected: Vec::new() }),
            Err(wrong) => wrong,
        };
        let values: Vec<serde_json::Value> =
            serde_json::from_slice(body).map_err(|_| format!("not a JSON list of instances: {wrong}"))?;
        let mut health = Health { entries: Vec::new(), rejected: Vec::new() };
        for (place, value) in values.into_iter().enumerate() {
            let id = id_of(&value).unwrap_or_else(|| format!("record {place}"));
            match serde_json::from_value(value) {
                Ok(entry) => health.entries.push(entry),
                Err(wrong) => health.rejected.push(Rejected { id, why: wrong.to_string() }),
            }
        }
        Ok(health)
    }

    /// Whether the answer had no record at all, sound or not.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.rejected.is_empty()
    }

    /// The nodes of every instance in it.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.node.node.as_str())
    }

    /// The checked set of the instances that the configuration lets through.
    pub(super) fn into_set(self, config: &ConsulConfig, scope: &Scope<'_>, revision: u64) -> ServiceSet {
        let mut rejected = self.rejected;
        let candidates = self.entries.into_iter().filter_map(|entry| entry.into_candidate(config, scope));
        // An address of the wanted kind that is not there is no reason to look for one elsewhere.
        let candidates = candidates.filter_map(|candidate| candidate.map_err(|r| rejected.push(r)).ok());
        let mut set = ServiceSet::check(candidates, revision);
        set.rejected.extend(rejected);
        set
    }
}

/// A record's health over all of its checks, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Aggregate {
    Passing,
    Warning,
    Critical,
    Maintenance,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: Node,
    service: Service,
    #[serde(default, deserialize_with = "null_is_empty")]
    checks: Vec<Check>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    node: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    address: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    meta: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    tagged_addresses: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Tagged {
    #[serde(deserialize_with = "null_is_empty")]
    address: String,
    #[serde(deserialize_with = "null_is_empty")]
    port: i64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    address: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    port: i64,
    #[serde(default, deserialize_with = "null_is_empty")]
    tags: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    meta: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    weights: Weights,
    #[serde(default, deserialize_with = "null_is_empty")]
    tagged_addresses: BTreeMap<String, Tagged>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Weights {
    passing: Option<i64>,
    warning: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    #[serde(rename = "CheckID", default, deserialize_with = "null_is_empty")]
    check_id: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    status: String,
}

impl Entry {
    /// `None` where it does not serve; an error where it would, but has no address of the wanted kind.
    fn into_candidate(self, config: &ConsulConfig, scope: &Scope<'_>) -> Option<Result<Candidate, Rejected>> {
        let Weights { passing, warning } = self.service.weights;
        let (weight, unhealthy) = match (aggregate(&self.checks), config.health) {
            (Aggregate::Passing, _) => (passing, false),
            (Aggregate::Warning, HealthPolicy::PassingOrWarning) => (warning, false),
            // What a person took out is out, whatever a panic may want.
            (Aggregate::Warning | Aggregate::Critical, _) if config.unhealthy => (passing, true),
            _ => return None,
        };
        let id = scope.id(&self.node.node, &self.service.id);
        let Some((address, port)) = self.place(config.address) else {
            let why = format!("it has no address {}", config.address.key().unwrap_or("of its own"));
            return (!unhealthy).then_some(Err(Rejected { id, why }));
        };
        let Entry { node, service, .. } = self;
        let zone = service.meta.get(ZONE).or_else(|| node.meta.get(ZONE)).cloned().unwrap_or_default();
        Some(Ok(Candidate {
            id,
            address,
            port,
            weight,
            tier: scope.tier,
            zone,
            tags: service.tags,
            meta: service.meta,
            unhealthy,
        }))
    }

    /// Where it is, by the kind of address that is wanted.
    fn place(&self, kind: AddressKind) -> Option<(String, i64)> {
        let Entry { node, service, .. } = self;
        let tagged = kind.key().and_then(|key| service.tagged_addresses.get(key));
        let port = tagged.map(|tagged| tagged.port).filter(|port| *port != 0).unwrap_or(service.port);
        let at_node = kind.key().and_then(|key| node.tagged_addresses.get(key));
        // Consul's own order; an empty address is none.
        let candidates = [
            (tagged.map(|tagged| &tagged.address), port),
            (Some(&service.address), service.port),
            (at_node, service.port),
            (Some(&node.address), service.port),
        ];
        let mut candidates = candidates.into_iter().filter_map(|(address, port)| Some((address?, port)));
        let fits = |(address, _): &(&String, i64)| !address.is_empty() && kind.admits(address);
        match candidates.find(fits) {
            Some((address, port)) => Some((address.clone(), port)),
            // The record's check has the words for an address that is missing altogether.
            None => (kind == AddressKind::Default).then(|| (String::new(), service.port)),
        }
    }
}

/// Maintenance over critical over warning over passing; no checks is passing.
fn aggregate(checks: &[Check]) -> Aggregate {
    checks.iter().map(Check::state).max().unwrap_or(Aggregate::Passing)
}

impl Check {
    fn state(&self) -> Aggregate {
        if self.check_id == "_node_maintenance" || self.check_id.starts_with("_service_maintenance:") {
            return Aggregate::Maintenance;
        }
        match self.status.as_str() {
            "passing" => Aggregate::Passing,
            "warning" => Aggregate::Warning,
            // A status that nobody knows is no reason to send orders there.
            _ => Aggregate::Critical,
        }
    }
}

/// Go writes an empty list, map or string as null where it feels like it.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

fn id_of(value: &serde_json::Value) -> Option<String> {
    let node = value.get("Node")?.get("Node")?.as_str()?;
    let service = value.get("Service")?.get("ID")?.as_str()?;
    Some(format!("{node}/{service}"))
}

/// The key of the metadata that names an instance's zone, on the service or else on its node.
const ZONE: &str = "zone";

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn set(body: &str, policy: HealthPolicy) -> ServiceSet {
        let config = ConsulConfig { health: policy, ..ConsulConfig::new("main", "127.0.0.1:8500") };
        Health::parse(body.as_bytes()).expect("a list").into_set(&config, &Scope::OWN, 5)
    }

    fn entry(node: &str, id: &str, rest: &str, checks: &str) -> String {
        format!(
            r#"{{"Node":{{"Node":"{node}","Address":"10.0.0.9","Meta":{{"zone":"rack-1"}}}},
                "Service":{{"ID":"{id}","Service":"web",{rest}}},"Checks":[{checks}]}}"#
        )
    }

    const GOOD: &str =
        r#""Address":"10.0.0.1","Port":80,"Weights":{"Passing":3,"Warning":2},"Tags":["b","a","b"]"#;

    #[test]
    fn a_whole_record() {
        let body = format!("[{}]", entry("n1", "w1", GOOD, r#"{"CheckID":"serfHealth","Status":"passing"}"#));
        let set = set(&body, HealthPolicy::Passing);
        let web = &set.instances[0];
        assert_eq!((web.id.as_str(), web.address, web.port), ("n1/w1", IpAddr::from([10, 0, 0, 1]), 80));
        assert_eq!((web.weight, web.zone.as_str(), set.revision), (3, "rack-1", 5));
        assert_eq!(web.tags, ["a", "b"]);
    }

    #[test]
    fn an_empty_address_is_the_nodes() {
        for address in [r#""Address":"","#, r#""Address":null,"#, ""] {
            let body = format!("[{}]", entry("n1", "w1", &format!(r#"{address}"Port":80"#), ""));
            assert_eq!(set(&body, HealthPolicy::Passing).instances[0].address, IpAddr::from([10, 0, 0, 9]));
        }
    }

    #[test]
    fn a_services_zone_goes_before_its_nodes() {
        let rest = r#""Address":"10.0.0.1","Port":80,"Meta":{"zone":"rack-2","x":"y"}"#;
        let set = set(&format!("[{}]", entry("n1", "w1", rest, "")), HealthPolicy::Passing);
        assert_eq!(set.instances[0].zone, "rack-2");
        assert_eq!(set.instances[0].meta["x"], "y");
    }

    #[test]
    fn the_worst_check_decides() {
        let check = |id: &str, status: &str| format!(r#"{{"CheckID":"{id}","Status":"{status}"}}"#);
        let weight = |checks: &[String], policy| {
            let body = format!("[{}]", entry("n1", "w1", GOOD, &checks.join(",")));
            set(&body, policy).instances.first().map(|web| web.weight)
        };
        let (passing, warning) = (check("a", "passing"), check("b", "warning"));
        let cases = [
            (vec![], Some(3), Some(3)),
            (vec![passing.clone()], Some(3), Some(3)),
            (vec![passing.clone(), warning.clone()], None, Some(2)),
            (vec![warning, check("c", "critical")], None, None),
            (vec![passing.clone(), check("_node_maintenance", "passing")], None, None),
            (vec![passing.clone(), check("_service_maintenance:w1", "critical")], None, None),
            (vec![passing, check("d", "on fire")], None, None),
        ];
        for (checks, strict, lenient) in cases {
            assert_eq!(weight(&checks, HealthPolicy::Passing), strict, "{checks:?}");
            assert_eq!(weight(&checks, HealthPolicy::PassingOrWarning), lenient, "{checks:?}");
        }
    }

    #[test]
    fn the_unhealthy_are_kept_apart_where_they_are_asked_for() {
        let check = |id: &str, status: &str| format!(r#"{{"CheckID":"{id}","Status":"{status}"}}"#);
        let at = |port: u16| format!(r#""Address":"10.0.0.1","Port":{port},"Weights":{{"Passing":3}}"#);
        let records = [
            entry("n1", "good", &at(1), &check("a", "passing")),
            entry("n1", "bad", &at(2), &check("a", "critical")),
            entry("n1", "warned", &at(3), &check("a", "warning")),
            entry("n1", "out", &at(4), &check("_service_maintenance:out", "critical")),
            entry("n1", "same-place", &at(1), &check("a", "critical")),
            entry("n1", "no-port", &at(0), &check("a", "critical")),
        ];
        let body = format!("[{}]", records.join(","));
        let mut config = ConsulConfig::new("main", "127.0.0.1:8500");
        let ids = |instances: &[crate::record::Instance]| -> Vec<String> {
            instances.iter().map(|instance| format!("{} {}", instance.id, instance.weight)).collect()
        };
        for unhealthy in [false, true] {
            config.unhealthy = unhealthy;
            let set = Health::parse(body.as_bytes()).expect("a list").into_set(&config, &Scope::OWN, 5);
            assert_eq!(ids(&set.instances), ["n1/good 3"]);
            assert_eq!(ids(&set.unhealthy), if unhealthy { vec!["n1/bad 3", "n1/warned 3"] } else { vec![] });
            assert_eq!(set.rejected, [], "a bad record that would not serve is no news");
        }
    }

    #[test]
    fn null_absent_and_empty_are_the_same() {
        let nulls = r#"[{"Node":{"Node":"n1","Address":"10.0.0.9","Meta":null},"Checks":null,
            "Service":{"ID":"w1","Address":"10.0.0.1","Port":80,"Tags":null,"Meta":null,"Weights":null}}]"#;
        let absent = r#"[{"Node":{"Node":"n1"},"Service":{"ID":"w1","Address":"10.0.0.1","Port":80}}]"#;
        assert_eq!(set(nulls, HealthPolicy::Passing), set(absent, HealthPolicy::Passing));
        for none in ["[]", "null", " [ ] "] {
            assert!(Health::parse(none.as_bytes()).expect("a list").is_empty());
        }
    }

    #[test]
    fn bad_records_are_named_and_the_others_stay() {
        let records = [
            entry("n1", "good", GOOD, ""),
            entry("n1", "port-0", r#""Address":"10.0.0.2","Port":0"#, ""),
            entry("n1", "port-70000", r#""Address":"10.0.0.2","Port":70000"#, ""),
            entry("n1", "port-text", r#""Address":"10.0.0.2","Port":"80""#, ""),
            entry("n1", "host", r#""Address":"web.example","Port":80"#, ""),
            entry("n2", "double", GOOD, ""),
            r#"{"Node":null}"#.into(),
            "7".into(),
        ];
        let set = set(&format!("[{}]", records.join(",")), HealthPolicy::Passing);
        assert_eq!(set.instances.iter().map(|web| &web.id).collect::<Vec<_>>(), ["n1/good"]);
        let mut rejected: Vec<_> = set.rejected.iter().map(|r| r.id.as_str()).collect();
        rejected.sort_unstable();
        assert_eq!(
            rejected,
            ["n1/host", "n1/port-0", "n1/port-70000", "n1/port-text", "n2/double", "record 6", "record 7"]
        );
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        for body in ["", "{}", "ACL not found", "[", r#"[{"Node":"#, "\"[]\""] {
            assert!(Health::parse(body.as_bytes()).is_err(), "{body}");
        }
        let deep = "[".repeat(100_000);
        assert!(Health::parse(deep.as_bytes()).is_err());
    }
}
