//! Which nodes a service was seen on. An answer that lost some of them may have been filtered: then whether the token
//! may still read those nodes tells a filtered answer from a true one.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

/// What a source remembers of each service that has, or had, instances.
#[derive(Debug, Default)]
pub(super) struct Memory {
    services: RefCell<HashMap<String, Seen>>,
}

/// What is remembered of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Each node since the last confirmation.
    pub(super) nodes: BTreeSet<String>,
    /// It may have had nodes that are not in `nodes`: a predecessor watched it, or they were too many.
    pub(super) partly: bool,
    /// The index of the last answer.
    pub(super) revision: u64,
}

impl Memory {
    /// A predecessor has published these; on which nodes they were is not known.
    pub(super) fn inherit(&self, services: &[String]) {
        let mut memory = self.services.borrow_mut();
        for service in services {
            memory.entry(service.clone()).or_default().partly = true;
        }
    }

    /// An answer named these nodes.
    pub(super) fn saw<'n>(&self, service: &str, nodes: impl Iterator<Item = &'n str>, revision: u64) {
        let mut memory = self.services.borrow_mut();
        let mut nodes = nodes.peekable();
        if !memory.contains_key(service) {
            if nodes.peek().is_none() {
                return;
            }
            memory.insert(service.to_owned(), Seen::default());
        }
        let Some(seen) = memory.get_mut(service) else { return };
        seen.revision = revision;
        for node in nodes {
            if seen.nodes.contains(node) {
                continue;
            }
            if seen.nodes.len() < NODES {
                seen.nodes.insert(node.to_owned());
            } else {
                seen.partly = true;
            }
        }
    }

    /// An answer with exactly these nodes was confirmed: what was before no longer matters.
    pub(super) fn confirmed(&self, service: &str, nodes: BTreeSet<String>, revision: u64) {
        let mut memory = self.services.borrow_mut();
        if nodes.is_empty() {
            memory.remove(service);
            return;
        }
        memory.insert(service.to_owned(), Seen { nodes, partly: false, revision });
    }

    /// What is remembered of a service.
    pub(super) fn of(&self, service: &str) -> Seen {
        self.services.borrow().get(service).cloned().unwrap_or_default()
    }
}

/// How many nodes are remembered for each service.
const NODES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_kept_until_a_confirmation() {
        let memory = Memory::default();
        memory.saw("web", ["a", "b"].into_iter(), 5);
        memory.saw("web", ["a"].into_iter(), 6);
        assert_eq!(memory.of("web").nodes, BTreeSet::from(["a".into(), "b".into()]));
        assert_eq!(memory.of("web").revision, 6);
        memory.confirmed("web", BTreeSet::from(["a".into()]), 7);
        assert_eq!(memory.of("web").nodes, BTreeSet::from(["a".into()]));
        memory.confirmed("web", BTreeSet::new(), 8);
        assert_eq!(memory.of("web"), Seen::default());
    }

    #[test]
    fn a_service_that_was_never_there_takes_no_memory() {
        let memory = Memory::default();
        memory.saw("web", std::iter::empty(), 5);
        assert!(memory.services.borrow().is_empty());
    }

    #[test]
    fn what_a_predecessor_knew_is_known_in_part() {
        let memory = Memory::default();
        memory.inherit(&["web".into()]);
        memory.saw("web", ["a"].into_iter(), 5);
        assert!(memory.of("web").partly);
        memory.confirmed("web", BTreeSet::from(["a".into()]), 7);
        assert!(!memory.of("web").partly);
    }

    #[test]
    fn too_many_nodes_are_known_in_part() {
        let memory = Memory::default();
        let names: Vec<String> = (0..=NODES).map(|n| n.to_string()).collect();
        memory.saw("web", names.iter().map(String::as_str), 5);
        assert_eq!(memory.of("web").nodes.len(), NODES);
        assert!(memory.of("web").partly);
    }
}
