//! One watch: its heartbeat, and the timed listing beside it.

use etcd_client::{Client, WatchOptions};
use resolver_core::Reason;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::source::{Fault, Feed, LocalFuture};

use super::EtcdSource;
use super::catalogue::Catalogue;
use super::list::{Listing, Page};
use super::member::{Trouble, within};
use super::tail::Tail;

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

impl EtcdSource {
    /// Watches from where `catalogue` ends.
    pub(super) async fn follow(
        &self,
        feed: &Feed,
        client: &Client,
        catalogue: Catalogue,
        cluster: u64,
        proven: &mut bool,
    ) -> End {
        let url = self.members.url();
        let config = &self.config;
        let options =
            WatchOptions::new().with_prefix().with_start_revision(catalogue.applied() + 1).with_fragment();
        let mut watcher = client.watch_client().max_decoding_message_size(MESSAGE);
        let opened = watcher.watch(self.below(), Some(options));
        let (mut requests, mut responses) = match within(config.deadline, url, "watching", opened).await {
            Ok(stream) => stream.split(),
            Err(trouble) => return trouble.into(),
        };
        let mut tail = Tail::new(self, feed, catalogue, cluster);
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
