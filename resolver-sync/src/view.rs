//! Named views: what the hot path asks for, evaluated here so that no filter runs there.

use std::net::SocketAddr;

use resolver_core::Endpoint;
use serde::{Deserialize, Serialize};

use crate::record::{Instance, ServiceSet};

/// A named query of one service of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The name that readers resolve.
    pub name: String,
    /// The source's name.
    pub source: String,
    /// The service's name in the source.
    pub service: String,
    /// Tags that an instance must all have.
    pub tags: Vec<String>,
    /// Which instance is the primary.
    pub policy: Policy,
}

/// How the primary, which `resolve()` gives, is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// The lowest tier, in it the highest weight, then the lowest address and port. Any process that knows the set
    /// comes to the same answer.
    #[default]
    Primary,
    /// The present primary for as long as it is in the set and no lower tier came; then as [`Policy::Primary`]. For
    /// routers that hold a session.
    Sticky,
}

/// One endpoint's words for people and tools, in the text of a published set. In the set's own order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Label {
    /// The instance's id.
    pub id: String,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl View {
    /// The view of everything that a service has, under its own name.
    pub fn of_service(source: &str, service: &str) -> Self {
        View {
            name: service.into(),
            source: source.into(),
            service: service.into(),
            tags: Vec::new(),
            policy: Policy::default(),
        }
    }

    /// The instances that belong to the view, the primary first. `primary` is where the present one is.
    pub fn select<'s>(&self, set: &'s ServiceSet, primary: Option<SocketAddr>) -> Vec<&'s Instance> {
        let mut chosen: Vec<&Instance> = set.instances.iter().filter(|i| i.has_tags(&self.tags)).collect();
        let sticks = |instance: &Instance| {
            self.policy == Policy::Sticky && primary == Some(SocketAddr::new(instance.address, instance.port))
        };
        chosen.sort_by_key(|instance| {
            let weight = std::cmp::Reverse(instance.weight);
            (instance.tier, !sticks(instance), weight, instance.address, instance.port)
        });
        chosen
    }
}

/// The record of an instance for the table.
pub fn endpoint(instance: &Instance) -> Endpoint {
    Endpoint::new(SocketAddr::new(instance.address, instance.port))
        .with_id(id_hash(&instance.id))
        .with_weight(instance.weight)
        .with_tier(instance.tier)
}

/// The set's text: a JSON array of [`Label`]s.
pub fn text(instances: &[&Instance]) -> Vec<u8> {
    let labels: Vec<Label> =
        instances.iter().map(|i| Label { id: i.id.clone(), tags: i.tags.clone() }).collect();
    serde_json::to_vec(&labels).unwrap_or_default()
}

/// An instance's id as the table has it: FNV-1a, the same in every process and version.
fn id_hash(id: &str) -> u64 {
    id.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Candidate;

    fn set() -> ServiceSet {
        let candidate = |port: i64, weight, tier, tags: &[&str]| Candidate {
            id: format!("i{port}"),
            address: "10.0.0.1".into(),
            port,
            weight: Some(weight),
            tier,
            tags: tags.iter().map(|tag| (*tag).into()).collect(),
            ..Candidate::default()
        };
        ServiceSet::check(
            [candidate(1, 1, 1, &["a", "b"]), candidate(2, 1, 0, &["a"]), candidate(3, 9, 0, &["b"])],
            1,
        )
    }

    fn ports(instances: &[&Instance]) -> Vec<u16> {
        instances.iter().map(|instance| instance.port).collect()
    }

    #[test]
    fn the_primary_has_the_lowest_tier_and_then_the_highest_weight() {
        let view = View::of_service("s", "oms");
        assert_eq!(ports(&view.select(&set(), None)), [3, 2, 1]);
    }

    #[test]
    fn a_sticky_primary_stays_within_its_tier() {
        let view = View { policy: Policy::Sticky, ..View::of_service("s", "oms") };
        let at = |port| Some(SocketAddr::from(([10, 0, 0, 1], port)));
        assert_eq!(ports(&view.select(&set(), at(2))), [2, 3, 1]);
        assert_eq!(ports(&view.select(&set(), at(1))), [3, 2, 1], "a lower tier came");
        assert_eq!(ports(&view.select(&set(), at(7))), [3, 2, 1], "it left");
    }

    #[test]
    fn tags_must_all_be_there() {
        let view = View { tags: vec!["a".into(), "b".into()], ..View::of_service("s", "oms") };
        assert_eq!(ports(&view.select(&set(), None)), [1]);
    }
}
