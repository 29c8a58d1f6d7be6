//! What a watch of keys has said since somebody last asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::source::{Feed, Report};

use super::{Entry, Listing, Refused};

/// The latest word on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is there.
    Value(Entry),
    /// It is there, and its value was not read.
    Refused(Refused),
    /// It is not there any more.
    Deleted {
        /// When that happened.
        revision: u64,
    },
}

impl Seen {
    /// When the key last changed.
    pub fn revision(&self) -> u64 {
        match self {
            Seen::Value(entry) => entry.revision,
            Seen::Refused(refused) => refused.revision,
            Seen::Deleted { revision } => *revision,
        }
    }
}

/// What a watch has said. Only the latest word on each key is kept, so memory is bounded by the number of keys.
#[derive(Debug, Default)]
pub struct KvReport {
    /// When everything was listed: a key that is not in `keys` is not there.
    pub complete: bool,
    /// The latest word on each key that was told of.
    pub keys: BTreeMap<String, Seen>,
    /// The highest revision that was told of.
    pub revision: u64,
    /// Contact, and new epochs; its `services` and `doubts` are empty.
    pub contact: Report,
}

/// Where a watch reports to. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct KvFeed {
    /// Carries contact and wakes the reader, as for services.
    pub contact: Feed,
    word: Arc<Mutex<Word>>,
}

#[derive(Debug, Default)]
struct Word {
    complete: bool,
    keys: BTreeMap<String, Seen>,
    revision: u64,
}

impl KvFeed {
    /// All that there is.
    pub fn listing(&self, listing: Listing) {
        let values = listing.entries.into_iter().map(|entry| (entry.key.clone(), Seen::Value(entry)));
        let refused = listing.refused.into_iter().map(|key| (key.key.clone(), Seen::Refused(key)));
        let keys = values.chain(refused).collect();
        self.update(|word| *word = Word { complete: true, keys, revision: listing.revision });
    }

    /// Some keys as of one moment: who takes the report has all of them or none.
    pub fn changes(&self, changes: Vec<(String, Seen)>, revision: u64) {
        self.update(|word| {
            word.keys.extend(changes);
            word.revision = word.revision.max(revision);
        });
    }

    /// Waits until something was reported since the last [`KvFeed::take`].
    pub async fn ready(&self) {
        self.contact.ready().await;
    }

    /// Everything reported since the last call.
    pub fn take(&self) -> KvReport {
        // Contact first: it is never told before what it is about.
        let contact = self.contact.take();
        let mut word = self.word.lock().unwrap_or_else(PoisonError::into_inner);
        let Word { complete, keys, revision } = std::mem::take(&mut *word);
        KvReport { complete, keys, revision, contact }
    }

    fn update(&self, change: impl FnOnce(&mut Word)) {
        change(&mut self.word.lock().unwrap_or_else(PoisonError::into_inner));
        self.contact.services([]);
    }
}
