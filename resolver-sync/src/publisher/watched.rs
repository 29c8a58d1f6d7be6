//! A source with everything that the publisher remembers of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use resolver_core::{Reason, SourceBeat, State};
use tokio::task::JoinHandle;

use crate::guard::{Guard, Verdict};
use crate::record::{Rejected, ServiceSet};
use crate::source::{Fault, Feed, Report, Source};

pub(super) struct Watched {
    source: Rc<dyn Source>,
    name: String,
    feed: Feed,
    services: BTreeMap<String, Service>,
    /// Services of views, whether or not the source has spoken of them.
    expected: BTreeSet<String>,
    alive_at: Option<Instant>,
    lost: Option<Fault>,
    revision: u64,
    /// How the whole source stood when its services were last restated.
    stood: Option<(State, Reason)>,
    /// Services whose hold came, went or changed since.
    changed: BTreeSet<String>,
    /// Services that are held or wait for a second read.
    unsettled: BTreeSet<String>,
    /// Services that are empty, and since when.
    empty: BTreeMap<String, Instant>,
}

#[derive(Default)]
struct Service {
    guard: Guard,
    /// As last reported, so that each record is named once.
    rejected: Vec<Rejected>,
}

impl Watched {
    pub(super) fn new(source: Rc<dyn Source>) -> Self {
        Watched {
            name: source.name().to_owned(),
            source,
            feed: Feed::default(),
            services: BTreeMap::new(),
            expected: BTreeSet::new(),
            alive_at: None,
            lost: None,
            revision: 0,
            stood: None,
            changed: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            empty: BTreeMap::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn source(&self) -> Rc<dyn Source> {
        Rc::clone(&self.source)
    }

    pub(super) fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Watches as a task of its own, from here on.
    pub(super) fn start(&self) -> JoinHandle<()> {
        let (source, feed) = (self.source(), self.feed.clone());
        let known = self.services.keys().cloned().collect();
        tokio::task::spawn_local(async move { source.watch(known, &feed).await })
    }

    /// A view asks for this service.
    pub(super) fn expect(&mut self, service: &str) {
        self.expected.insert(service.to_owned());
    }

    pub(super) fn inherit(&mut self, service: &str, endpoints: Vec<SocketAddr>) {
        let service = self.services.entry(service.to_owned()).or_default();
        service.guard = Guard::inherit(endpoints);
    }

    /// What is to be done about each service that was reported.
    pub(super) fn absorb(&mut self, mut report: Report) -> Vec<(String, Verdict)> {
        if let Some(why) = report.new_epoch.take() {
            tracing::warn!(source = self.name, "a new epoch: {why}");
            self.services.values_mut().for_each(|service| service.guard.new_epoch());
        }
        if report.complete {
            let revision = report.services.values().map(|set| set.revision).max().unwrap_or(self.revision);
            let missing: Vec<_> =
                self.services.keys().filter(|name| !report.services.contains_key(*name)).cloned().collect();
            let nothing = || ServiceSet { revision, ..ServiceSet::default() };
            report.services.extend(missing.into_iter().map(|name| (name, nothing())));
        }
        let mut verdicts = Vec::new();
        for (name, set) in report.services {
            self.revision = self.revision.max(set.revision);
            let service = self.services.entry(name.clone()).or_default();
            for rejected in set.rejected.iter().filter(|rejected| !service.rejected.contains(rejected)) {
                let (source, id) = (&self.name, &rejected.id);
                tracing::warn!(source, service = name, id = ?id, "a record is left out: {}", rejected.why);
            }
            service.rejected.clone_from(&set.rejected);
            let verdict = service.guard.offer(set);
            self.note(&name, &verdict);
            verdicts.push((name, verdict));
        }
        for (name, fault) in report.doubts {
            tracing::warn!(
                source = self.name,
                service = name,
                reason = fault.reason.name(),
                "{}",
                fault.detail
            );
            self.services.entry(name.clone()).or_default().guard.doubted(fault);
            self.note(&name, &Verdict::Keep);
        }
        if report.alive_at.is_some() {
            if self.lost.take().is_some() || self.alive_at.is_none() {
                tracing::info!(source = self.name, revision = self.revision, "in step with the registry");
            }
            self.alive_at = report.alive_at;
        }
        if let Some(fault) = report.lost {
            if self.lost.as_ref() != Some(&fault) {
                tracing::warn!(
                    source = self.name,
                    reason = fault.reason.name(),
                    "contact lost: {}",
                    fault.detail
                );
            }
            self.lost = Some(fault);
        }
        verdicts
    }

    pub(super) fn confirmed(
        &mut self,
        name: &str,
        answer: Result<ServiceSet, Fault>,
        now: Instant,
    ) -> Verdict {
        let Some(service) = self.services.get_mut(name) else { return Verdict::Keep };
        let verdict = service.guard.confirmed(answer, now);
        self.note(name, &verdict);
        verdict
    }

    /// Held services whose second read is due.
    pub(super) fn due_for_confirmation(&mut self, now: Instant) -> Vec<String> {
        let mut due = Vec::new();
        for name in &self.unsettled {
            let Some(service) = self.services.get_mut(name) else { continue };
            let before = service.guard.hold().cloned();
            if service.guard.tick(now) == Verdict::Confirm {
                due.push(name.clone());
            }
            if service.guard.hold() != before.as_ref() {
                self.changed.insert(name.clone());
            }
        }
        due
    }

    /// Services that have been empty for too long, which are forgotten here.
    pub(super) fn forget(&mut self, now: Instant, after: Duration) -> Vec<String> {
        let gone: Vec<_> = self
            .empty
            .iter()
            .filter(|(_, since)| now - **since >= after)
            .map(|(name, _)| name.clone())
            .collect();
        for name in &gone {
            self.empty.remove(name);
            self.services.remove(name);
            self.unsettled.remove(name);
        }
        gone
    }

    /// How a service stands: by the source as a whole, and then by its own hold.
    pub(super) fn standing(&self, service: &str, now: Instant, stale_after: Duration) -> (State, Reason) {
        let whole = self.whole(now, stale_after);
        if whole.0 == State::Stale {
            return whole;
        }
        match self.services.get(service).and_then(|service| service.guard.hold()) {
            Some(fault) => (State::Stale, fault.reason),
            None => whole,
        }
    }

    /// Why a service does not stand as the registry has it, in words.
    pub(super) fn detail(&self, service: &str) -> String {
        let own = self.services.get(service).and_then(|service| service.guard.hold());
        own.or(self.lost.as_ref()).map_or(String::new(), |fault| fault.detail.clone())
    }

    /// The services whose standing may have changed since the last call; all of them when the source's did.
    pub(super) fn restated(&mut self, now: Instant, stale_after: Duration) -> Option<Vec<String>> {
        let whole = self.whole(now, stale_after);
        let changed = std::mem::take(&mut self.changed);
        if self.stood.replace(whole) != Some(whole) {
            return Some(self.expected.iter().chain(self.services.keys()).cloned().collect());
        }
        (!changed.is_empty()).then(|| changed.into_iter().collect())
    }

    pub(super) fn beat(&self, now: Instant) -> SourceBeat<'_> {
        let rejected: usize = self.services.values().map(|service| service.rejected.len()).sum();
        SourceBeat {
            name: &self.name,
            age: self.alive_at.map(|at| now.saturating_duration_since(at)),
            revision: self.revision,
            reason: self.lost.as_ref().map_or(Reason::None, |fault| fault.reason),
            rejected: u32::try_from(rejected).unwrap_or(u32::MAX),
        }
    }

    fn whole(&self, now: Instant, stale_after: Duration) -> (State, Reason) {
        let lost = self.lost.as_ref().map(|fault| fault.reason);
        match self.alive_at {
            None => (State::Stale, lost.unwrap_or(Reason::Restored)),
            Some(at) if now.saturating_duration_since(at) >= stale_after => {
                (State::Stale, lost.unwrap_or(Reason::Unreachable))
            }
            Some(_) => (State::Fresh, Reason::None),
        }
    }

    fn note(&mut self, name: &str, verdict: &Verdict) {
        self.changed.insert(name.to_owned());
        if self.services.get(name).is_some_and(|service| service.guard.is_unsettled()) {
            self.unsettled.insert(name.to_owned());
        } else {
            self.unsettled.remove(name);
        }
        if let Verdict::Publish(set) = verdict {
            if set.instances.is_empty() {
                self.empty.entry(name.to_owned()).or_insert_with(Instant::now);
            } else {
                self.empty.remove(name);
            }
        }
    }
}
