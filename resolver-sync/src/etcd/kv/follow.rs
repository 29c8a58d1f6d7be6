//! Plain keys, as they are followed: by the very watch of the services, with a store of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::kv::{KvFeed, Seen, Target, sort_in};
use crate::source::Feed;

use super::super::list::Page;
use super::super::namespace::Namespace;
use super::super::watch::{Event, Follow, Followed};
use super::{EtcdKv, entry, number, seen};

/// What is known of the keys, and who is told of them.
struct Known<'a> {
    feed: &'a KvFeed,
    namespace: &'a Namespace,
    /// The largest value that is told.
    limit: usize,
    /// The first listing, until it is told.
    all: crate::kv::Listing,
    /// Every key that is there, as the cluster has it, and when it changed.
    keys: BTreeMap<Vec<u8>, i64>,
    applied: i64,
    /// Deleted since the listing beside the watch began, so that it does not bring them back.
    gone: BTreeMap<Vec<u8>, i64>,
    /// What that listing has told so far.
    listed: BTreeSet<Vec<u8>>,
}

impl EtcdKv {
    pub(super) async fn run(&self, target: &Target, feed: &KvFeed) {
        let (config, members, position) = (&self.config, &self.members, &Mutex::default());
        let follow = Follow { config, members, range: self.namespace.range(target), position };
        follow.run(&feed.contact, || Known::new(feed, &self.namespace, self.value_limit)).await;
    }
}

impl<'a> Known<'a> {
    fn new(feed: &'a KvFeed, namespace: &'a Namespace, limit: usize) -> Self {
        Known {
            feed,
            namespace,
            limit,
            all: crate::kv::Listing::default(),
            keys: BTreeMap::new(),
            applied: 0,
            gone: BTreeMap::new(),
            listed: BTreeSet::new(),
        }
    }
}

impl Followed for Known<'_> {
    fn contact(&self) -> &Feed {
        &self.feed.contact
    }

    fn list(&mut self, page: &Page) {
        for kv in &page.kvs {
            self.keys.insert(kv.key().to_vec(), kv.mod_revision());
            match entry(kv, self.namespace) {
                Ok(entry) => sort_in(&mut self.all, entry, self.limit),
                Err(refused) => self.all.refused.push(refused),
            }
        }
    }

    fn listed(&mut self, revision: i64) {
        self.applied = revision;
        let all = std::mem::take(&mut self.all);
        self.feed.listing(crate::kv::Listing { revision: number(revision), ..all });
    }

    fn apply(&mut self, events: &[Event<'_>], watched: i64) {
        let mut changes = Vec::new();
        let mut newest = watched;
        for Event { kv, deleted } in events {
            let at = kv.mod_revision();
            // What a listing or an earlier message told already.
            if at <= watched || self.keys.get(kv.key()).is_some_and(|known| *known >= at) {
                continue;
            }
            newest = newest.max(at);
            if !deleted {
                self.keys.insert(kv.key().to_vec(), at);
                changes.push(seen(kv, self.namespace, self.limit));
            } else {
                self.keys.remove(kv.key());
                self.gone.insert(kv.key().to_vec(), at);
                if let Ok(key) = std::str::from_utf8(self.namespace.inside(kv.key())) {
                    changes.push((key.to_owned(), Seen::Deleted { revision: number(at) }));
                }
            }
        }
        self.applied = newest;
        self.feed.changes(changes, number(newest));
    }

    fn begin(&mut self) {
        (self.gone, self.listed) = (BTreeMap::new(), BTreeSet::new());
    }

    fn repair(&mut self, page: &Page, _watched: i64) {
        let mut changes = Vec::new();
        for kv in &page.kvs {
            self.listed.insert(kv.key().to_vec());
            let at = kv.mod_revision();
            let known = self.keys.get(kv.key()).is_some_and(|known| *known >= at);
            let gone = self.gone.get(kv.key()).is_some_and(|gone| *gone > page.revision);
            if !known && !gone {
                self.keys.insert(kv.key().to_vec(), at);
                changes.push(seen(kv, self.namespace, self.limit));
            }
        }
        if page.last {
            let missing: Vec<_> = self
                .keys
                .iter()
                .filter(|(key, at)| **at <= page.revision && !self.listed.contains(*key))
                .map(|(key, _)| key.clone())
                .collect();
            for key in missing {
                self.keys.remove(&key);
                if let Ok(key) = std::str::from_utf8(self.namespace.inside(&key)) {
                    changes.push((key.to_owned(), Seen::Deleted { revision: number(page.revision) }));
                }
            }
        }
        if !changes.is_empty() {
            // The watch may only be late; then its own words are dropped when they come.
            tracing::debug!(count = changes.len(), "a listing was ahead of the watch");
            self.feed.changes(changes, number(page.revision));
        }
    }

    fn applied(&self) -> i64 {
        self.applied
    }
}

#[cfg(test)]
mod tests;
