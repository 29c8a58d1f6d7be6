//! The watch of keys, by the rules of the services' watch: a listing is the truth, every gap leads back to one, heartbeats
//! prove that the watch works, and a timed listing beside it repairs what it may have missed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use etcd_client::{Client, WatchOptions, WatchResponse};
use resolver_core::Reason;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::kv::{KvFeed, Seen, Target, sort_in};
use crate::pace::Backoff;
use crate::source::{Fault, LocalFuture};

use super::super::codec::Range;
use super::super::list::{Listing, Page};
use super::super::member::{Trouble, within};
use super::super::namespace::Namespace;
use super::super::watch::End;
use super::{EtcdKv, entry, number, seen};

/// Heartbeats without an answer after which a member is given up.
const MISSED: u32 = 3;
/// The largest message that is read. The server cuts what is larger than its own limit into fragments.
const MESSAGE: usize = 16 << 20;
/// The most that the fragments of one revision may hold together.
const FRAGMENTS: usize = 64 << 20;

/// A page, and the rest of its listing.
type NextPage = LocalFuture<'static, (Listing, Result<Page, Trouble>)>;

/// What is known of the keys.
struct Known {
    cluster: u64,
    namespace: Namespace,
    /// Every key that is there, as the cluster has it, and when it changed.
    keys: BTreeMap<Vec<u8>, i64>,
    /// Everything up to here has come through the watch.
    watched: i64,
    /// Deleted since the listing beside the watch began, so that it does not bring them back.
    gone: BTreeMap<Vec<u8>, i64>,
    fragments: Vec<WatchResponse>,
}

impl EtcdKv {
    pub(super) async fn run(&self, target: &Target, feed: &KvFeed) {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
        // The cluster and the revision that was told last.
        let mut told: Option<(u64, i64)> = None;
        loop {
            let mut proven = false;
            let end = self.session(target, feed, &mut told, &mut proven).await;
            if proven {
                backoff.reset();
            }
            match end {
                End::Gap(fault) if proven => {
                    tracing::info!(registry = %self.config.name, "listing again: {}", fault.detail);
                    continue;
                }
                End::Gap(fault) => feed.contact.lost(fault),
                End::Lost(fault) => {
                    feed.contact.lost(self.members.noted(fault));
                    self.members.rotate();
                }
            }
            backoff.wait().await;
        }
    }

    async fn session(
        &self,
        target: &Target,
        feed: &KvFeed,
        told: &mut Option<(u64, i64)>,
        proven: &mut bool,
    ) -> End {
        let client = match self.members.client().await {
            Ok(client) => client,
            Err(fault) => return End::Lost(fault),
        };
        let url = self.members.url();
        let mut listing = self.listing(&client, url, target);
        let mut all = crate::kv::Listing::default();
        let mut keys = BTreeMap::new();
        let (cluster, revision) = loop {
            let page = match listing.page().await {
                Ok(page) => page,
                Err(trouble) => return trouble.into(),
            };
            for kv in &page.kvs {
                keys.insert(kv.key().to_vec(), kv.mod_revision());
                match entry(kv, &self.namespace) {
                    Ok(entry) => sort_in(&mut all, entry, self.value_limit),
                    Err(refused) => all.refused.push(refused),
                }
            }
            if page.last {
                break (page.cluster, page.revision);
            }
        };
        match told.replace((cluster, revision)) {
            Some((before, _)) if before != cluster => {
                feed.contact.epoch_changed(format!("etcd cluster {cluster:x} in place of {before:x}"));
            }
            Some((_, before)) if revision < before => {
                feed.contact.epoch_changed(format!("etcd went back from revision {before} to {revision}"));
            }
            _ => {}
        }
        all.revision = number(revision);
        feed.listing(all);
        let namespace = self.namespace.clone();
        let (gone, fragments) = (BTreeMap::new(), Vec::new());
        let known = Known { cluster, namespace, keys, watched: revision, gone, fragments };
        self.follow(target, feed, &client, known, told, proven).await
    }

    async fn follow(
        &self,
        target: &Target,
        feed: &KvFeed,
        client: &Client,
        mut known: Known,
        told: &mut Option<(u64, i64)>,
        proven: &mut bool,
    ) -> End {
        let url = self.members.url();
        let config = &self.config;
        let Range { from, end } = self.namespace.range(target);
        let options =
            WatchOptions::new().with_range(end).with_start_revision(known.watched + 1).with_fragment();
        let mut watcher = client.watch_client().max_decoding_message_size(MESSAGE);
        let opened = watcher.watch(from, Some(options));
        let (mut requests, mut responses) = match within(config.deadline, url, "watching", opened).await {
            Ok(stream) => stream.split(),
            Err(trouble) => return trouble.into(),
        };
        let lost = |what: &str| End::Lost(Fault::new(Reason::Unreachable, format!("etcd {url}: {what}")));
        let mut beat = interval_at(Instant::now() + config.heartbeat, config.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unanswered = 0;
        let due = sleep_until(Instant::now() + config.relist);
        tokio::pin!(due);
        let mut next_page: Option<NextPage> = None;
        let mut listed: BTreeSet<Vec<u8>> = BTreeSet::new();
        loop {
            tokio::select! {
                response = responses.message() => {
                    let response = match response {
                        Ok(Some(response)) => response,
                        Ok(None) => return lost("the watch's stream ended"),
                        Err(error) => return Trouble::of(url, "watching", &error).into(),
                    };
                    *proven |= unanswered > 0;
                    unanswered = 0;
                    match known.take(response, self.value_limit, feed) {
                        Ok(()) => *told = Some((known.cluster, known.watched)),
                        Err((reason, why)) => return gap(url, reason, &why),
                    }
                }
                _ = beat.tick() => {
                    if unanswered >= MISSED {
                        return lost(&format!("{unanswered} heartbeats unanswered"));
                    }
                    unanswered += 1;
                    if requests.request_progress().await.is_err() {
                        return lost("the watch's stream is closed");
                    }
                }
                () = &mut due, if next_page.is_none() => {
                    (known.gone, listed) = (BTreeMap::new(), BTreeSet::new());
                    next_page = Some(read(self.listing(client, url, target)));
                }
                (listing, page) = async { next_page.as_mut().expect("only polled when there").await },
                    if next_page.is_some() =>
                {
                    next_page = None;
                    match page {
                        Ok(page) => {
                            let last = page.last;
                            if let Err(why) = known.repair(&page, &mut listed, self.value_limit, feed) {
                                return gap(url, Reason::Regressed, &why);
                            }
                            match last {
                                true => due.as_mut().reset(Instant::now() + config.relist),
                                false => next_page = Some(read(listing)),
                            }
                        }
                        Err(Trouble::Compacted(_)) => due.as_mut().reset(Instant::now() + config.heartbeat),
                        Err(trouble) => return trouble.into(),
                    }
                }
            }
        }
    }
}

fn read(mut listing: Listing) -> NextPage {
    Box::pin(async move {
        let page = listing.page().await;
        (listing, page)
    })
}

#[cfg(test)]
mod tests;

fn gap(url: &str, reason: Reason, why: &str) -> End {
    End::Gap(Fault::new(reason, format!("etcd {url}: {why}")))
}

impl Known {
    /// Takes a message. A cancelled watch's stream stays open and silent, so each message is looked at for that.
    fn take(&mut self, response: WatchResponse, limit: usize, feed: &KvFeed) -> Result<(), (Reason, String)> {
        if response.canceled() {
            let (compacted, why) = (response.compact_revision(), response.cancel_reason());
            if compacted > 0 {
                return Err((Reason::BadAnswer, format!("cancelled: compacted up to revision {compacted}")));
            }
            let reason = match why {
                why if why.contains("no leader") => Reason::NoLeader,
                why if why.contains("permission denied") || why.contains("auth") => Reason::Acl,
                _ => Reason::BadAnswer,
            };
            return Err((reason, format!("cancelled by the server: {why:?}")));
        }
        let Some((cluster, revision)) = response.header().map(|head| (head.cluster_id(), head.revision()))
        else {
            return Err((Reason::BadAnswer, "a message without a header".into()));
        };
        if cluster != self.cluster {
            return Err((
                Reason::Regressed,
                format!("the cluster is {cluster:x} and was {:x}", self.cluster),
            ));
        }
        if response.events().is_empty() {
            if revision < self.watched {
                return Err((Reason::Regressed, format!("at revision {revision}, after {}", self.watched)));
            }
            self.watched = revision;
            feed.contact.alive();
            return Ok(());
        }
        let unfinished = response.0.fragment;
        self.fragments.push(response);
        if unfinished {
            let kvs = self.fragments.iter().flat_map(|part| part.events()).filter_map(|event| event.kv());
            if kvs.map(|kv| kv.key().len() + kv.value().len()).sum::<usize>() > FRAGMENTS {
                return Err((Reason::BadAnswer, "a revision of more than 64 MiB".into()));
            }
            return Ok(());
        }
        let parts = std::mem::take(&mut self.fragments);
        let mut changes = Vec::new();
        let mut newest = self.watched;
        for event in parts.iter().flat_map(|part| part.events()) {
            // Not `event_type()`: it panics on a type that it does not know.
            let kind = event.0.r#type;
            let Some(kv) = event.kv().filter(|_| kind == 0 || kind == 1) else {
                return Err((Reason::BadAnswer, format!("an event of unknown type {kind}")));
            };
            let at = kv.mod_revision();
            // What a listing or an earlier message told already.
            if at <= self.watched || self.keys.get(kv.key()).is_some_and(|known| *known >= at) {
                continue;
            }
            newest = newest.max(at);
            if kind == 0 {
                self.keys.insert(kv.key().to_vec(), at);
                changes.push(seen(kv, &self.namespace, limit));
            } else {
                self.keys.remove(kv.key());
                self.gone.insert(kv.key().to_vec(), at);
                if let Ok(key) = std::str::from_utf8(self.namespace.inside(kv.key())) {
                    changes.push((key.to_owned(), Seen::Deleted { revision: number(at) }));
                }
            }
        }
        self.watched = newest;
        feed.changes(changes, number(newest));
        // A watch that catches up carries the cluster's revision over older events.
        if revision <= self.watched {
            feed.contact.alive();
        }
        Ok(())
    }

    /// Takes a page of the listing beside the watch, and tells what the watch has missed.
    fn repair(
        &mut self,
        page: &Page,
        listed: &mut BTreeSet<Vec<u8>>,
        limit: usize,
        feed: &KvFeed,
    ) -> Result<(), String> {
        if page.cluster != self.cluster {
            return Err(format!(
                "a listing is of cluster {:x}, the watch of {:x}",
                page.cluster, self.cluster
            ));
        }
        let mut changes = Vec::new();
        for kv in &page.kvs {
            listed.insert(kv.key().to_vec());
            let at = kv.mod_revision();
            let known = self.keys.get(kv.key()).is_some_and(|known| *known >= at);
            let gone = self.gone.get(kv.key()).is_some_and(|gone| *gone > page.revision);
            if !known && !gone {
                self.keys.insert(kv.key().to_vec(), at);
                changes.push(seen(kv, &self.namespace, limit));
            }
        }
        if page.last {
            let missing: Vec<_> = self
                .keys
                .iter()
                .filter(|(key, at)| **at <= page.revision && !listed.contains(*key))
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
            feed.changes(changes, number(page.revision));
        }
        Ok(())
    }
}
