//! Changes of keys.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use futures_util::Stream;
use tokio::time::Instant;

use crate::kv::{Entry, Kv, KvError, KvFeed, KvReport, Refused, Seen, Target};
use crate::pace::Backoff;
use crate::source::{Fault, LocalFuture};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyEvent {
    /// A key is there, or has another value or revision.
    Put(Entry),
    /// A key is gone, or one that was expected is not there; a second, consistent read has confirmed it.
    Deleted {
        /// The key.
        key: String,
    },
    /// A key is there, and its value was not read: over the limit, or no text as a key. What was told before stands.
    Refused(Refused),
    /// A key seems to be gone, and that cannot be confirmed. What was told before stands, and it is tried again.
    Held {
        /// The key.
        key: String,
        /// Why.
        fault: Fault,
    },
    /// Contact is lost; what was told stands until [`KeyEvent::Alive`].
    Lost(Fault),
    /// All that was told is current as of now. Comes with each heartbeat.
    Alive,
    /// The registry began a new history (another cluster, a restored snapshot): revisions may be lower from here on. What
    /// is as it was told is not told again.
    NewEpoch(String),
}

/// What was told of a key, and in which history: revisions compare within one only.
struct Known {
    seen: Seen,
    epoch: u64,
}

/// A watch of keys whose deletions are confirmed. Nothing happens unless it is asked for events.
pub struct Keys {
    kv: Rc<dyn Kv>,
    target: Target,
    feed: KvFeed,
    watching: LocalFuture<'static, ()>,
    /// `None` of a key that is expected and was not told of yet.
    known: BTreeMap<String, Option<Known>>,
    /// How many new histories have begun.
    epoch: u64,
    /// Seem to be gone.
    suspects: BTreeSet<String>,
    /// Why the suspects stand, as it was told.
    held: BTreeMap<String, Fault>,
    retry_at: Instant,
    backoff: Backoff,
}

impl Keys {
    /// Of a key, or of all below a prefix.
    pub fn new(kv: Rc<dyn Kv>, target: Target) -> Self {
        Self::expecting(kv, target, [])
    }

    /// The same; each of these keys is told of even if it is not there.
    pub fn expecting(kv: Rc<dyn Kv>, target: Target, keys: impl IntoIterator<Item = String>) -> Self {
        let feed = KvFeed::default();
        let (watched, what, told) = (Rc::clone(&kv), target.clone(), feed.clone());
        Keys {
            watching: Box::pin(async move { watched.watch(&what, &told).await }),
            kv,
            target,
            feed,
            known: keys.into_iter().map(|key| (key, None)).collect(),
            epoch: 0,
            suspects: BTreeSet::new(),
            held: BTreeMap::new(),
            retry_at: Instant::now(),
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(5)),
        }
    }

    /// What happened since the last call, as of one moment; never nothing.
    pub async fn next(&mut self) -> Vec<KeyEvent> {
        loop {
            let due = !self.suspects.is_empty();
            let events = tokio::select! {
                biased;
                () = &mut self.watching => vec![],
                () = self.feed.ready() => {
                    let report = self.feed.take();
                    self.absorb(report)
                }
                () = tokio::time::sleep_until(self.retry_at), if due => self.confirm().await,
            };
            if !events.is_empty() {
                return events;
            }
        }
    }

    /// As a stream, which does not end.
    pub fn into_stream(self) -> impl Stream<Item = Vec<KeyEvent>> {
        futures_util::stream::unfold(self, |mut keys| async move {
            let events = keys.next().await;
            Some((events, keys))
        })
    }

    /// Calls back for each event, for ever.
    pub async fn for_each(mut self, mut callback: impl FnMut(KeyEvent)) {
        loop {
            self.next().await.into_iter().for_each(&mut callback);
        }
    }

    fn absorb(&mut self, report: KvReport) -> Vec<KeyEvent> {
        let mut events = Vec::new();
        let suspected = self.suspects.len();
        if let Some(why) = report.contact.new_epoch {
            self.epoch += 1;
            events.push(KeyEvent::NewEpoch(why));
        }
        if report.complete {
            let missing = self.known.keys().filter(|key| !report.keys.contains_key(*key));
            self.suspects.extend(missing.cloned());
        }
        for (key, seen) in report.keys {
            match seen {
                Seen::Deleted { .. } if self.known.contains_key(&key) => {
                    self.suspects.insert(key);
                }
                Seen::Deleted { .. } => {}
                seen => events.extend(self.tell(key, seen)),
            }
        }
        if self.suspects.len() > suspected {
            self.retry_at = Instant::now();
        }
        if let Some(fault) = report.contact.lost {
            events.push(KeyEvent::Lost(fault));
        } else if report.contact.alive_at.is_some() {
            events.push(KeyEvent::Alive);
        }
        events
    }

    fn tell(&mut self, key: String, seen: Seen) -> Option<KeyEvent> {
        self.suspects.remove(&key);
        let was_held = self.held.remove(&key).is_some();
        let epoch = self.epoch;
        if let Some(Some(before)) = self.known.get_mut(&key) {
            let newer = before.seen.revision() > seen.revision() && seen.revision() != 0;
            if newer && before.epoch == epoch {
                return None;
            }
            before.epoch = epoch;
            if before.seen == seen && !was_held {
                return None;
            }
        }
        let event = match &seen {
            Seen::Value(entry) => KeyEvent::Put(entry.clone()),
            Seen::Refused(refused) => KeyEvent::Refused(refused.clone()),
            Seen::Deleted { .. } => return None,
        };
        self.known.insert(key, Some(Known { seen, epoch }));
        Some(event)
    }

    /// The second read of what seems to be gone, while the watch goes on.
    async fn confirm(&mut self) -> Vec<KeyEvent> {
        let suspects: Vec<String> = self.suspects.iter().cloned().collect();
        let reading = read_again(Rc::clone(&self.kv), self.target.clone(), suspects);
        let answers = tokio::select! {
            answers = reading => answers,
            () = &mut self.watching => return vec![],
        };
        let mut events = Vec::new();
        for (key, answer) in answers {
            match answer {
                Ok(Some(seen)) => events.extend(self.tell(key, seen)),
                Ok(None) => {
                    self.suspects.remove(&key);
                    self.held.remove(&key);
                    self.known.remove(&key);
                    events.push(KeyEvent::Deleted { key });
                }
                Err(fault) => {
                    if self.held.insert(key.clone(), fault.clone()).as_ref() != Some(&fault) {
                        events.push(KeyEvent::Held { key, fault });
                    }
                }
            }
        }
        if self.suspects.is_empty() {
            self.backoff.reset();
            self.retry_at = Instant::now();
        } else {
            self.retry_at = Instant::now() + self.backoff.delay();
        }
        events
    }
}

type Answer = Result<Option<Seen>, Fault>;

async fn read_again(kv: Rc<dyn Kv>, target: Target, keys: Vec<String>) -> Vec<(String, Answer)> {
    if let (Target::Prefix(prefix), true) = (&target, keys.len() > POINT_READS) {
        // A listing proves that the token may read the prefix.
        let listing = kv.list(prefix).await.map(|listing| {
            let values = listing.entries.into_iter().map(|entry| (entry.key.clone(), Seen::Value(entry)));
            let refused = listing.refused.into_iter().map(|key| (key.key.clone(), Seen::Refused(key)));
            values.chain(refused).collect::<BTreeMap<_, _>>()
        });
        let answer = |key: &String| match &listing {
            Ok(all) => Ok(all.get(key).cloned()),
            Err(error) => Err(fault_of(error)),
        };
        return keys.iter().map(|key| (key.clone(), answer(key))).collect();
    }
    let mut answers = Vec::new();
    for key in keys {
        let answer = match kv.get(&key).await {
            Ok(entry) => Ok(entry.map(Seen::Value)),
            Err(error @ KvError::TooLarge { .. }) => {
                let refused = Refused { key: key.clone(), why: error.to_string(), revision: 0 };
                Ok(Some(Seen::Refused(refused)))
            }
            Err(error) => Err(fault_of(&error)),
        };
        answers.push((key, answer));
    }
    answers
}

fn fault_of(error: &KvError) -> Fault {
    let other = || Fault::new(resolver_core::Reason::BadAnswer, error.to_string());
    error.fault().cloned().unwrap_or_else(other)
}

#[cfg(test)]
mod tests;

/// How many suspects are read one by one; more are listed at once.
const POINT_READS: usize = 8;
