//! A range of keys, read page by page at one revision.

use std::time::Duration;

use etcd_client::{Client, GetOptions, KeyValue, KvClient};
use resolver_core::Reason;

use crate::source::Fault;

use super::catalogue::Change;
use super::codec::Range;
use super::member::{Trouble, within};

/// The next page of a listing, and the rest of it.
pub(super) struct Listing {
    client: KvClient,
    url: String,
    from: Vec<u8>,
    end: Vec<u8>,
    limit: i64,
    deadline: Duration,
    /// The cluster and the revision of the first page; the rest is read at that revision.
    origin: Option<(u64, i64)>,
}

/// Some of the keys as they were at `revision`.
pub(super) struct Page {
    pub(super) kvs: Vec<KeyValue>,
    /// The keys below this one (and from where the last page ended) are all in `kvs`.
    pub(super) done: Vec<u8>,
    pub(super) cluster: u64,
    pub(super) revision: i64,
    pub(super) last: bool,
}

impl Listing {
    /// Every key of a range. The first page is linearizable.
    pub(super) fn new(client: &Client, url: &str, range: Range, limit: u32, deadline: Duration) -> Self {
        Listing {
            client: client.kv_client(),
            url: url.into(),
            from: range.from,
            end: range.end,
            limit: i64::from(limit.max(1)),
            deadline,
            origin: None,
        }
    }

    /// The next page. Not to be asked for after the last one.
    pub(super) async fn page(&mut self) -> Result<Page, Trouble> {
        loop {
            let mut options = GetOptions::new().with_range(self.end.clone()).with_limit(self.limit);
            if let Some((_, revision)) = self.origin {
                // The same member has that revision already: no need to ask the others again.
                options = options.with_revision(revision).with_serializable();
            }
            let call = self.client.get(self.from.clone(), Some(options));
            let mut answer = match within(self.deadline, &self.url, "listing", call).await {
                Err(Trouble::TooLarge(_)) if self.limit > 1 => {
                    self.limit = (self.limit / 4).max(1);
                    continue;
                }
                other => other?,
            };
            let Some(header) = answer.header() else {
                let detail = format!("etcd {}: listing: an answer without a header", self.url);
                return Err(Trouble::Fault(Fault::new(Reason::BadAnswer, detail)));
            };
            let (cluster, revision) = *self.origin.get_or_insert((header.cluster_id(), header.revision()));
            let more = answer.more();
            let kvs = answer.take_kvs();
            let (done, last) = match kvs.last() {
                Some(kv) if more => ([kv.key(), &[0]].concat(), false),
                _ => (self.end.clone(), true),
            };
            self.from.clone_from(&done);
            return Ok(Page { kvs, done, cluster, revision, last });
        }
    }
}

impl Page {
    pub(super) fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.kvs.iter().map(|kv| Change {
            key: kv.key(),
            value: Some(kv.value()),
            revision: kv.mod_revision(),
        })
    }
}
