//! Everything that the sync side knows of each service, for people and tools of the same process. The hot path never
//! looks here.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
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
/// A change of one service swaps that service's entry alone; a map is swapped only when names come or go. There are many
/// maps, and a name's hash says which is its own: with one for all, a registry of 10,000 services was copied 10,000 times
/// while it was read for the first time.
#[derive(Clone, Debug)]
pub struct Catalog {
    services: Arc<[ArcSwap<Names>; SHARDS]>,
    settings: Arc<ArcSwap<BTreeMap<String, Arc<SettingEntry>>>>,
}

type Names = BTreeMap<String, Arc<ArcSwap<Entry>>>;

/// So that a map of a table of 100,000 services has some 400.
const SHARDS: usize = 256;

impl Default for Catalog {
    fn default() -> Self {
        Catalog { services: Arc::new(std::array::from_fn(|_| ArcSwap::default())), settings: Arc::default() }
    }
}

impl Catalog {
    /// A name's entry as it is now.
    pub fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.shard(name).load().get(name).map(|entry| entry.load_full())
    }

    /// Every name, sorted.
    pub fn names(&self) -> Vec<String> {
        let shards = self.services.iter().map(ArcSwap::load);
        let mut names: Vec<String> =
            shards.flat_map(|shard| shard.keys().cloned().collect::<Vec<_>>()).collect();
        names.sort_unstable();
        names
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
        let shard = self.shard(name);
        let services = shard.load();
        match services.get(name) {
            Some(place) => place.store(Arc::new(entry)),
            None => {
                let mut next = BTreeMap::clone(&services);
                next.insert(name.into(), Arc::new(ArcSwap::from_pointee(entry)));
                shard.store(Arc::new(next));
            }
        }
    }

    pub(crate) fn remove(&self, name: &str) {
        let shard = self.shard(name);
        let mut next = BTreeMap::clone(&shard.load());
        if next.remove(name).is_some() {
            shard.store(Arc::new(next));
        }
    }

    fn shard(&self, name: &str) -> &ArcSwap<Names> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        // The remainder is below the length.
        &self.services[(hasher.finish() % SHARDS as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(generation: u64) -> Entry {
        let (source, set, detail) = (String::new(), ServiceSet::default(), String::new());
        Entry { source, set, state: State::Fresh, reason: Reason::None, detail, generation }
    }

    #[test]
    fn names_are_sorted_whichever_map_they_are_in() {
        let catalog = Catalog::default();
        let mut names: Vec<String> = (0..1000).map(|number| format!("service-{number}")).collect();
        names.iter().for_each(|name| catalog.put(name, entry(1)));
        names.sort();
        assert_eq!(catalog.names(), names);
        catalog.put("service-7", entry(2));
        assert_eq!(catalog.get("service-7").map(|entry| entry.generation), Some(2));
        catalog.remove("service-7");
        assert_eq!((catalog.get("service-7"), catalog.names().len()), (None, 999));
        let largest = catalog.services.iter().map(|shard| shard.load().len()).max();
        assert!(
            largest.is_some_and(|largest| largest < 20),
            "{largest:?} of 1000 names in one of {SHARDS} maps"
        );
    }
}
