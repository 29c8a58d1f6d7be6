//! One name of the table, as it is kept.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use resolver_core::{Reason, State};
use serde::{Deserialize, Serialize};

use crate::catalog::Entry;
use crate::record::{Candidate, Instance, ServiceSet};
use crate::view::View;

/// One name of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedService {
    /// What the name stood for: what the configuration says now must be the same.
    source: String,
    service: String,
    tags: Vec<String>,
    /// When the registry last confirmed it, in milliseconds since 1970.
    pub(super) good_ms: u64,
    revision: u64,
    instances: Vec<SavedInstance>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedInstance {
    id: String,
    address: IpAddr,
    port: u16,
    weight: u32,
    tier: u8,
    zone: String,
    tags: Vec<String>,
    meta: BTreeMap<String, String>,
    /// Who said so, where several sources are laid over each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said_by: Option<String>,
}

impl SavedService {
    /// What is kept of an entry; nothing of one that is empty. `before`: when it was last confirmed, as far as is known.
    pub(super) fn of(
        name: &str,
        entry: &Entry,
        views: &[View],
        before: Option<u64>,
        now: u64,
    ) -> Option<Self> {
        if entry.set.instances.is_empty() {
            return None;
        }
        let view = match views.iter().find(|view| view.name == name) {
            Some(view) => view.clone(),
            None => View::of_service(&entry.source, name),
        };
        let good_ms = if is_confirmed(entry) { now } else { before.unwrap_or(now) };
        let instances = entry.set.instances.iter().map(SavedInstance::of).collect();
        let View { source, service, tags, .. } = view;
        Some(SavedService { source, service, tags, good_ms, revision: entry.set.revision, instances })
    }

    /// Whether another one differs in no more than the time of its confirmation.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let SavedService { source, service, tags, good_ms: _, revision, instances } = self;
        (source, service, tags, *revision) == (&other.source, &other.service, &other.tags, other.revision)
            && *instances == other.instances
    }

    /// Whether the name stands for the same now: with views, the same source, service and tags.
    pub(super) fn is_still(&self, name: &str, views: &[View]) -> bool {
        match views.iter().find(|view| view.name == name) {
            Some(view) => {
                (&view.source, &view.service, &view.tags) == (&self.source, &self.service, &self.tags)
            }
            None => views.is_empty() && name == self.service && self.tags.is_empty(),
        }
    }

    /// For a catalogue, as STALE; nothing where none of its instances is good.
    pub(super) fn entry(&self, name: &str) -> Option<Entry> {
        let candidates = self.instances.iter().map(SavedInstance::candidate);
        let mut set = ServiceSet::check(candidates, self.revision);
        for instance in &mut set.instances {
            let kept = self.instances.iter().find(|kept| kept.id == instance.id);
            instance.source = kept.and_then(|kept| kept.said_by.as_deref()).map(Arc::from);
        }
        for rejected in &set.rejected {
            tracing::warn!(name, id = rejected.id, "kept, and left out: {}", rejected.why);
        }
        if set.instances.is_empty() {
            return None;
        }
        Some(Entry {
            source: self.source.clone(),
            set: ServiceSet { rejected: Vec::new(), ..set },
            state: State::Stale,
            reason: Reason::Restored,
            detail: super::FROM_DISK.into(),
            generation: 0,
        })
    }
}

impl SavedInstance {
    fn of(instance: &Instance) -> Self {
        let Instance { id, address, port, weight, tier, zone, tags, meta, source } = instance.clone();
        let said_by = source.map(|source| source.to_string());
        SavedInstance { id, address, port, weight, tier, zone, tags, meta, said_by }
    }

    /// To be checked like any record: that a file is whole does not make it right.
    fn candidate(&self) -> Candidate {
        let SavedInstance { id, address, port, weight, tier, zone, tags, meta, said_by: _ } = self.clone();
        Candidate {
            id,
            address: address.to_string(),
            port: port.into(),
            weight: Some(weight.into()),
            tier,
            zone,
            tags,
            meta,
            unhealthy: false,
        }
    }
}

/// Whether its registry stands by it at this moment.
fn is_confirmed(entry: &Entry) -> bool {
    // An operator took all of it out; the registry still has it.
    entry.state == State::Fresh || (entry.state == State::Empty && entry.reason == Reason::Killed)
}
