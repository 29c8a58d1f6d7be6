//! The services of a prefix, as they are followed.

use std::collections::BTreeSet;

use crate::source::Feed;

use super::catalogue::{Catalogue, Change};
use super::list::Page;
use super::watch::{Event, Followed};

/// What is known of the services, and who is told of them.
pub(super) struct Services<'a> {
    /// For the log.
    url: &'a str,
    feed: &'a Feed,
    catalogue: Catalogue,
    /// The revision that reports carry; it never goes down.
    reported: i64,
}

impl<'a> Services<'a> {
    /// The catalogue waits for a listing, or has one.
    pub(super) fn new(url: &'a str, feed: &'a Feed, catalogue: Catalogue) -> Self {
        let reported = catalogue.applied();
        Services { url, feed, catalogue, reported }
    }

    fn report(&mut self, touched: BTreeSet<String>) {
        self.reported = self.reported.max(self.catalogue.applied());
        let sets = touched.into_iter().map(|service| {
            let set = self.catalogue.set(&service, self.reported);
            (service, set)
        });
        // A transaction is one change.
        self.feed.services(sets.collect::<Vec<_>>());
    }
}

impl Followed for Services<'_> {
    fn contact(&self) -> &Feed {
        self.feed
    }

    fn list(&mut self, page: &Page) {
        self.catalogue.page(page.changes(), page.done.clone(), page.revision);
    }

    fn listed(&mut self, revision: i64) {
        self.catalogue.finish();
        self.reported = self.reported.max(self.catalogue.applied());
        self.feed.snapshot(self.catalogue.all(revision));
    }

    fn apply(&mut self, events: &[Event<'_>], _watched: i64) {
        let changes = events.iter().map(|Event { kv, deleted }| {
            let value = (!deleted).then(|| kv.value());
            Change { key: kv.key(), value, revision: kv.mod_revision() }
        });
        let touched = self.catalogue.apply(changes);
        self.report(touched);
    }

    fn begin(&mut self) {
        self.catalogue.begin();
    }

    fn repair(&mut self, page: &Page, watched: i64) {
        let touched = self.catalogue.page(page.changes(), page.done.clone(), page.revision);
        if watched >= page.revision && !touched.is_empty() {
            let url = self.url;
            tracing::warn!(%url, services = ?touched, "the watch had missed changes; a listing has repaired them");
        }
        self.reported = self.reported.max(page.revision);
        self.report(touched);
        if page.last {
            self.catalogue.finish();
        }
    }

    fn applied(&self) -> i64 {
        self.catalogue.applied()
    }
}
