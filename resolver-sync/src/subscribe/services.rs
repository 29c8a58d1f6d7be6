//! Changes of services, behind the same guard as the publisher's.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::Stream;
use resolver_core::Reason;

use crate::guard::{Guard, Verdict};
use crate::record::ServiceSet;
use crate::source::{Fault, Feed, LocalFuture, Report, Source};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceEvent {
    /// A service's instances, all of them, as they are now.
    Changed {
        /// The service.
        name: String,
        /// Empty only where a second, consistent read has confirmed it.
        set: ServiceSet,
    },
    /// A service cannot be read or confirmed. What was told before stands.
    Held {
        /// The service.
        name: String,
        /// Why.
        fault: Fault,
    },
    /// Contact is lost; what was told stands until [`ServiceEvent::Alive`].
    Lost(Fault),
    /// All that was told is current as of now. Comes with each heartbeat.
    Alive,
}

/// The services of a source, told as they change. Nothing happens unless it is asked for events.
pub struct ServiceSets {
    source: Rc<dyn Source>,
    feed: Feed,
    watching: LocalFuture<'static, ()>,
    guards: BTreeMap<String, Guard>,
    told: BTreeMap<String, ServiceSet>,
    held: BTreeMap<String, Fault>,
}

impl ServiceSets {
    /// Of all that the source watches.
    pub fn new(source: Rc<dyn Source>) -> Self {
        let feed = Feed::default();
        let (watched, told) = (Rc::clone(&source), feed.clone());
        ServiceSets {
            watching: Box::pin(async move { watched.watch(Vec::new(), &told).await }),
            source,
            feed,
            guards: BTreeMap::new(),
            told: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    /// What happened since the last call, as of one moment; never nothing.
    pub async fn next(&mut self) -> Vec<ServiceEvent> {
        loop {
            let events = tokio::select! {
                biased;
                () = &mut self.watching => vec![],
                () = self.feed.ready() => {
                    let report = self.feed.take();
                    self.absorb(report).await
                }
                () = tokio::time::sleep(TICK), if !self.held.is_empty() => self.tick().await,
            };
            if !events.is_empty() {
                return events;
            }
        }
    }

    /// As a stream, which does not end.
    pub fn into_stream(self) -> impl Stream<Item = Vec<ServiceEvent>> {
        futures_util::stream::unfold(self, |mut sets| async move {
            let events = sets.next().await;
            Some((events, sets))
        })
    }

    /// Calls back for each event, for ever.
    pub async fn for_each(mut self, mut callback: impl FnMut(ServiceEvent)) {
        loop {
            self.next().await.into_iter().for_each(&mut callback);
        }
    }

    async fn absorb(&mut self, mut report: Report) -> Vec<ServiceEvent> {
        let mut events = Vec::new();
        if report.new_epoch.is_some() {
            self.guards.values_mut().for_each(Guard::new_epoch);
        }
        if report.complete {
            let revision = report.services.values().map(|set| set.revision).max().unwrap_or(0);
            for name in self.guards.keys().filter(|name| !report.services.contains_key(*name)).cloned() {
                // Not `entry`: the names are those of the guards.
                report.doubts.remove(&name);
                events.push((name, ServiceSet { revision, ..ServiceSet::default() }));
            }
        }
        let sets = std::mem::take(&mut report.services).into_iter().chain(events).collect::<Vec<_>>();
        let mut events = Vec::new();
        for (name, set) in sets {
            let verdict = self.guards.entry(name.clone()).or_default().offer(set);
            events.extend(self.follow(name, verdict).await);
        }
        for (name, fault) in report.doubts {
            self.guards.entry(name.clone()).or_default().doubted(fault);
            events.extend(self.follow(name, Verdict::Keep).await);
        }
        if let Some(fault) = report.lost {
            events.push(ServiceEvent::Lost(fault));
        } else if report.alive_at.is_some() {
            events.push(ServiceEvent::Alive);
        }
        events
    }

    async fn tick(&mut self) -> Vec<ServiceEvent> {
        let mut events = Vec::new();
        for name in self.held.keys().cloned().collect::<Vec<_>>() {
            let Some(guard) = self.guards.get_mut(&name) else { continue };
            let verdict = guard.tick(Instant::now());
            events.extend(self.follow(name, verdict).await);
        }
        events
    }

    /// Does what the guard says; a second read may have to be read again.
    async fn follow(&mut self, name: String, mut verdict: Verdict) -> Option<ServiceEvent> {
        while verdict == Verdict::Confirm {
            let reading = tokio::time::timeout(DEADLINE, self.source.confirm(&name));
            let answer = tokio::select! {
                answer = reading => answer.unwrap_or_else(|_| {
                    Err(Fault::new(Reason::Unreachable, "a second read got no answer within 5 s"))
                }),
                () = &mut self.watching => return None,
            };
            verdict = match self.guards.get_mut(&name) {
                Some(guard) => guard.confirmed(answer, Instant::now()),
                None => Verdict::Keep,
            };
        }
        if let Verdict::Publish(set) = verdict {
            self.held.remove(&name);
            let same = self.told.get(&name).is_some_and(|told| told.instances == set.instances);
            self.told.insert(name.clone(), set.clone());
            return (!same).then_some(ServiceEvent::Changed { name, set });
        }
        match self.guards.get(&name).and_then(Guard::hold) {
            Some(fault) if self.held.get(&name) != Some(fault) => {
                self.held.insert(name.clone(), fault.clone());
                Some(ServiceEvent::Held { name, fault: fault.clone() })
            }
            Some(_) => None,
            None => {
                self.held.remove(&name);
                None
            }
        }
    }
}

/// A second read takes no longer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often what is held is looked at.
const TICK: Duration = Duration::from_millis(200);
