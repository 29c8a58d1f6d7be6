//! The one way to follow a range of keys, for services and for plain keys: list all of it, tell it, watch from there, and list
//! again after every gap. Beside the watch go its heartbeat and a timed listing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{Client, KeyValue, WatchOptions};
use resolver_core::Reason;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::pace::Backoff;
use crate::source::{Fault, Feed, LocalFuture};

use super::codec::Range;
use super::list::{Listing, Page};
use super::member::{Members, Trouble, within};
use super::tail::Tail;
use super::{EtcdConfig, Position};

/// What is known of a range, and who is told of it. Each session begins with a new one.
pub(super) trait Followed {
    /// Where contact and new epochs are told.
    fn contact(&self) -> &Feed;

    /// Takes a page of the listing that a session begins with.
    fn list(&mut self, page: &Page);

    /// That was the last one: tells all that there is, as of this revision.
    fn listed(&mut self, revision: i64);

    /// Takes the events of whole revisions, in their order, and tells what they change. `watched`: everything up to this revision
    /// has come before.
    fn apply(&mut self, events: &[Event<'_>], watched: i64);

    /// A listing beside the watch is about to be asked for.
    fn begin(&mut self);

    /// Takes a page of that listing, and tells what the watch has missed.
    fn repair(&mut self, page: &Page, watched: i64);

    /// The revision at or below which nothing is missing.
    fn applied(&self) -> i64;
}

/// An event of a kind that is known.
pub(super) struct Event<'a> {
    pub(super) kv: &'a KeyValue,
    pub(super) deleted: bool,
}

/// A range of a cluster's keys that is to be followed.
pub(super) struct Follow<'a> {
    pub(super) config: &'a EtcdConfig,
    pub(super) members: &'a Members,
    pub(super) range: Range,
    pub(super) position: &'a Mutex<Position>,
}

/// Heartbeats without an answer after which a member is given up.
const MISSED: u32 = 3;
/// The largest message that is read. The server cuts what is larger than its own limit for requests (1.5 MiB as it
/// comes) into fragments.
const MESSAGE: usize = 16 << 20;

/// Why a session is over.
#[derive(Debug)]
pub(super) enum End {
    /// Events may have been missed; the member itself is not in doubt.
    Gap(Fault),
    /// The member does not serve us now.
    Lost(Fault),
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Fault(fault) => End::Lost(fault),
            Trouble::Compacted(detail) | Trouble::TooLarge(detail) => {
                End::Gap(Fault::new(Reason::BadAnswer, detail))
            }
        }
    }
}

type NextPage = LocalFuture<'static, (Listing, Result<Page, Trouble>)>;

impl Follow<'_> {
    /// Follows for ever; `begin` makes what a session begins with, and its feed is told of contact.
    pub(super) async fn run<F: Followed>(&self, feed: &Feed, begin: impl Fn() -> F) {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
        loop {
            let mut proven = false;
            let end = self.session(begin(), &mut proven).await;
            if proven {
                backoff.reset();
            }
            match end {
                // The member is fine and only the thread of events is cut: a listing mends it at once.
                End::Gap(fault) if proven => {
                    tracing::info!(source = %self.config.name, "listing again: {}", fault.detail);
                    continue;
                }
                End::Gap(fault) => feed.lost(fault),
                End::Lost(fault) => {
                    feed.lost(self.members.noted(fault));
                    self.members.rotate();
                }
            }
            backoff.wait().await;
        }
    }

    /// Lists, tells, watches, until something ends it. `proven` is set once the watch has shown that it works.
    async fn session<F: Followed>(&self, mut followed: F, proven: &mut bool) -> End {
        let client = match self.members.client().await {
            Ok(client) => client,
            Err(fault) => return End::Lost(fault),
        };
        let mut listing = self.listing(&client, self.members.url());
        let (cluster, revision) = loop {
            match listing.page().await {
                Ok(page) => {
                    followed.list(&page);
                    if page.last {
                        break (page.cluster, page.revision);
                    }
                }
                Err(trouble) => return trouble.into(),
            }
        };
        self.accept(cluster, revision, followed.contact());
        followed.listed(revision);
        self.follow(&client, followed, cluster, proven).await
    }

    fn listing(&self, client: &Client, url: &str) -> Listing {
        Listing::new(client, url, self.range.clone(), self.config.page, self.config.deadline)
    }

    /// A complete listing is the truth; where it contradicts the history so far, a new history has begun.
    fn accept(&self, cluster: u64, revision: i64, feed: &Feed) {
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        if position.cluster != 0 && position.cluster != cluster {
            feed.epoch_changed(format!("etcd cluster {cluster:x} in place of {:x}", position.cluster));
        } else if revision < position.revision {
            feed.epoch_changed(format!("etcd went back from revision {} to {revision}", position.revision));
        }
        *position = Position { cluster, revision };
    }

    /// Watches from where the listing ended.
    async fn follow<F: Followed>(
        &self,
        client: &Client,
        followed: F,
        cluster: u64,
        proven: &mut bool,
    ) -> End {
        let url = self.members.url();
        let config = self.config;
        let options = WatchOptions::new()
            .with_range(self.range.end.clone())
            .with_start_revision(followed.applied() + 1)
            .with_fragment();
        let mut watcher = client.watch_client().max_decoding_message_size(MESSAGE);
        let opened = watcher.watch(self.range.from.clone(), Some(options));
        let (mut requests, mut responses) = match within(config.deadline, url, "watching", opened).await {
            Ok(stream) => stream.split(),
            Err(trouble) => return trouble.into(),
        };
        let mut tail = Tail::new(url, self.position, followed, cluster);
        let mut beat = interval_at(Instant::now() + config.heartbeat, config.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unanswered = 0;
        let due = sleep_until(Instant::now() + config.relist);
        tokio::pin!(due);
        let mut next_page: Option<NextPage> = None;
        loop {
            tokio::select! {
                response = responses.message() => {
                    let response = match response {
                        Ok(Some(response)) => response,
                        Ok(None) => return tail.lost("the watch's stream ended"),
                        Err(error) => return Trouble::of(url, "watching", &error).into(),
                    };
                    // An answer to a heartbeat; before the first of them the watch has proven nothing.
                    *proven |= unanswered > 0;
                    unanswered = 0;
                    if let Err(end) = tail.take(response) {
                        return end;
                    }
                }
                _ = beat.tick() => {
                    if unanswered >= MISSED {
                        let silence = config.heartbeat * unanswered;
                        return tail.lost(&format!("silent for {silence:?}: {unanswered} heartbeats unanswered"));
                    }
                    unanswered += 1;
                    if requests.request_progress().await.is_err() {
                        return tail.lost("the watch's stream is closed");
                    }
                }
                () = &mut due, if next_page.is_none() => {
                    tail.begin_listing();
                    next_page = Some(read(self.listing(client, url)));
                }
                (listing, page) = async { next_page.as_mut().expect("only polled when there").await },
                    if next_page.is_some() =>
                {
                    next_page = None;
                    match page.map(|page| (page.last, tail.take_page(&page))) {
                        Ok((_, Err(end))) => return end,
                        Ok((false, Ok(()))) => next_page = Some(read(listing)),
                        Ok((true, Ok(()))) => due.as_mut().reset(Instant::now() + config.relist),
                        // Compacted between two pages: the watch is not concerned, and the next listing is soon.
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
