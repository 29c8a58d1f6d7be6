//! All checks of a cluster, and what changed between two answers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

use serde::Deserialize;

/// What an answer of `/v1/health/state/any` comes to.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// A digest of each service's checks.
    pub(super) services: BTreeMap<String, u64>,
    /// A digest of each node's own checks.
    pub(super) nodes: BTreeMap<String, u64>,
    pub(super) on_node: HashMap<String, BTreeSet<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    #[serde(default)]
    node: String,
    #[serde(rename = "CheckID", default)]
    check_id: String,
    #[serde(default)]
    service_name: String,
    /// Moves with each change: so a state that came back is not mistaken for one that never left.
    #[serde(default)]
    modify_index: u64,
}

impl Checks {
    pub(super) fn parse(body: &[u8], digests: &RandomState) -> Result<Self, String> {
        let all: Option<Vec<Check>> =
            serde_json::from_slice(body).map_err(|wrong| format!("not a list of checks: {wrong}"))?;
        let mut checks = Checks::default();
        for check in all.unwrap_or_default() {
            // In whatever order they come: the sum is the same.
            let digest = digests.hash_one((&check.node, &check.check_id, check.modify_index));
            let sum = if check.service_name.is_empty() {
                checks.nodes.entry(check.node).or_default()
            } else {
                checks.on_node.entry(check.node).or_default().insert(check.service_name.clone());
                checks.services.entry(check.service_name).or_default()
            };
            *sum = sum.wrapping_add(digest);
        }
        Ok(checks)
    }
}

/// The keys whose values are not the same in both.
pub(super) fn differing<'m>(
    now: &'m BTreeMap<String, u64>,
    last: &'m BTreeMap<String, u64>,
) -> Vec<&'m String> {
    let changed = now.iter().filter(|(key, value)| last.get(*key) != Some(value));
    let gone = last.iter().filter(|(key, _)| !now.contains_key(*key));
    changed.chain(gone).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(node: &str, id: &str, service: &str, index: u64) -> String {
        format!(
            r#"{{"Node":"{node}","CheckID":"{id}","ServiceName":"{service}","Status":"passing","ModifyIndex":{index}}}"#
        )
    }

    fn checks(all: &[String], digests: &RandomState) -> Checks {
        Checks::parse(format!("[{}]", all.join(",")).as_bytes(), digests).expect("a list")
    }

    #[test]
    fn what_changed_came_or_went_differs_and_order_does_not_matter() {
        let digests = RandomState::new();
        let (a, b, serf) =
            (check("n1", "a", "web", 5), check("n2", "b", "db", 6), check("n1", "serf", "", 1));
        let before = checks(&[a.clone(), b.clone(), serf.clone()], &digests);
        let same = checks(&[serf.clone(), b.clone(), a.clone()], &digests);
        assert!(differing(&same.services, &before.services).is_empty());
        let after = checks(
            &[check("n1", "a", "web", 9), check("n3", "c", "new", 7), check("n1", "serf", "", 8)],
            &digests,
        );
        assert_eq!(differing(&after.services, &before.services), ["new", "web", "db"]);
        assert_eq!(differing(&after.nodes, &before.nodes), ["n1"]);
        assert!(before.on_node["n1"].contains("web"));
        assert!(Checks::parse(b"null", &digests).expect("no list").services.is_empty());
        assert!(Checks::parse(b"{", &digests).is_err());
    }
}
