//! Everything that the sync side knows of each service, for people and tools of the same process. The hot path never
//! looks here.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use resolver_core::{Reason, State};

use crate::record::ServiceSet;
use crate::schema::Value;

/// One name of the table, with everything that its records leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The source that it is from.
    pub source: String,
    /// The set as the source reported it: ids, tags, metadata, and the records that were left out.
    pub set: ServiceSet,
    /// As the table has it.
    pub state: State,
    /// As the table has it.
    pub reason: Reason,
    /// Why the last good set stands, in words; empty where there is no hold.
    pub detail: String,
    /// Generation of the publication.
    pub generation: u64,
}

/// One typed configuration value.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingEntry {
    /// As readers have it; `None` where there is no good one yet, or none any more.
    pub value: Option<Value>,
    /// As the table has it.
    pub state: State,
    /// As the table has it.
    pub reason: Reason,
    /// Why the last good value stands, in words; empty where the value is the registry's own.
    pub detail: String,
    /// How often a value was refused, or was missing, since this process started.
    pub alarms: u64,
}

/// Shared and cheap to clone; reading never waits for the publisher.
///
/// A change of one service swaps that service's entry alone; the map itself is swapped only when names come or go.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    services: Arc<ArcSwap<BTreeMap<String, Arc<ArcSwap<Entry>>>>>,
    settings: Arc<ArcSwap<BTreeMap<String, Arc<SettingEntry>>>>,
}

impl Catalog {
    /// A name's entry as it is now.
    pub fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.services.load().get(name).map(|entry| entry.load_full())
    }

    /// Every name, sorted.
    pub fn names(&self) -> Vec<String> {
        self.services.load().keys().cloned().collect()
    }

    /// A setting as it is now.
    pub fn setting(&self, name: &str) -> Option<Arc<SettingEntry>> {
        self.settings.load().get(name).cloned()
    }

    /// Every setting by its name.
    pub fn settings(&self) -> BTreeMap<String, Arc<SettingEntry>> {
        BTreeMap::clone(&self.settings.load())
    }

    pub(crate) fn put_setting(&self, name: &str, entry: SettingEntry) {
        let mut next = self.settings();
        next.insert(name.into(), Arc::new(entry));
        self.settings.store(Arc::new(next));
    }

    pub(crate) fn put(&self, name: &str, entry: Entry) {
        let services = self.services.load();
        match services.get(name) {
            Some(place) => place.store(Arc::new(entry)),
            None => {
                let mut next = BTreeMap::clone(&services);
                next.insert(name.into(), Arc::new(ArcSwap::from_pointee(entry)));
                self.services.store(Arc::new(next));
            }
        }
    }

    pub(crate) fn remove(&self, name: &str) {
        let mut next = BTreeMap::clone(&self.services.load());
        if next.remove(name).is_some() {
            self.services.store(Arc::new(next));
        }
    }
}
