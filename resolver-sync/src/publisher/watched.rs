//! A source with everything that the publisher remembers of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::task::AbortOnDrop;
use resolver_core::{Counter, IncidentKind, Reason, SourceBeat, State};

use crate::guard::{Guard, Verdict};
use crate::ledger::Ledger;
use crate::metrics::SourceTally;
use crate::overlay::Word;
use crate::record::{Rejected, ServiceSet};
use crate::source::{Fault, Feed, Report, Source};

pub(super) struct Watched {
    source: Rc<dyn Source>,
    name: String,
    feed: Feed,
    services: BTreeMap<String, Service>,
    /// Services of views, whether or not the source has spoken of them, with the tags of each view.
    viewed: BTreeMap<String, Vec<Vec<String>>>,
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
    ledger: Ledger,
}

/// How many new bad records of a service are named in the log at once.
const NAMED: usize = 20;

struct Service {
    guard: Guard,
    /// As last reported, so that each record is named once.
    rejected: BTreeSet<Rejected>,
    /// As last noted.
    held: Option<Fault>,
}

impl Watched {
    pub(super) fn new(source: Rc<dyn Source>, ledger: Ledger) -> Self {
        Watched {
            name: source.name().to_owned(),
            source,
            feed: Feed::default(),
            services: BTreeMap::new(),
            viewed: BTreeMap::new(),
            alive_at: None,
            lost: None,
            revision: 0,
            stood: None,
            changed: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            empty: BTreeMap::new(),
            ledger,
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

    /// Watches as a task of its own, after a pause; the task ends with the value that stands for it.
    pub(super) fn start(&self, pause: Duration) -> AbortOnDrop {
        let (source, feed) = (self.source(), self.feed.clone());
        let known = self.services.keys().cloned().collect();
        AbortOnDrop::spawn(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            source.watch(known, &feed).await;
        })
    }

    /// A view asks for this service. All of them are named before anything is inherited or reported.
    pub(super) fn expect(&mut self, service: &str, tags: &[String]) {
        self.viewed.entry(service.to_owned()).or_default().push(tags.to_vec());
    }

    /// A predecessor published these under the view with these tags.
    pub(super) fn inherit(&mut self, service: &str, tags: &[String], endpoints: Vec<SocketAddr>) {
        self.service(service).guard.inherit(tags, endpoints);
    }

    /// Every service that it knows of, by whatever way.
    pub(super) fn known(&self) -> Vec<String> {
        self.services.keys().cloned().collect()
    }

    /// When it last proved that all it had said was current.
    pub(super) fn alive_at(&self) -> Option<Instant> {
        self.alive_at
    }

    /// Why contact is lost.
    pub(super) fn lost(&self) -> Option<&Fault> {
        self.lost.as_ref()
    }

    /// How it stands to a service, for those who lay its sets over others'.
    pub(super) fn word(&self, service: &str) -> Word {
        if self.alive_at.is_none() {
            let silent = || Fault::new(Reason::Restored, "it has not spoken yet");
            return Word::None(self.lost.clone().unwrap_or_else(silent));
        }
        let Some(guard) = self.services.get(service).map(|service| &service.guard) else { return Word::Good };
        match guard.hold() {
            Some(fault) if guard.has_believed() => Word::Held(fault.clone()),
            Some(fault) => Word::None(fault.clone()),
            // A first answer that waits for its second read.
            None if !guard.has_believed() => Word::None(Fault::new(Reason::Unconfirmed, "not confirmed yet")),
            None => Word::Good,
        }
    }

    fn service(&mut self, name: &str) -> &mut Service {
        let Watched { services, viewed, .. } = self;
        services.entry(name.to_owned()).or_insert_with(|| Service {
            guard: viewed.get(name).map_or_else(Guard::default, |tags| Guard::new(tags.iter().cloned())),
            rejected: BTreeSet::new(),
            held: None,
        })
    }

    /// What is to be done about each service that was reported.
    pub(super) fn absorb(&mut self, mut report: Report) -> Vec<(String, Verdict)> {
        if let Some(why) = report.new_epoch.take() {
            tracing::warn!(source = self.name, "a new epoch: {why}");
            self.ledger.count(Counter::EpochChanges, 1);
            self.ledger.note(IncidentKind::Epoch, &self.name, &why);
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
            let rejected: BTreeSet<Rejected> = set.rejected.iter().cloned().collect();
            let before = std::mem::replace(&mut self.service(&name).rejected, rejected.clone());
            self.name_rejected(&name, rejected.difference(&before));
            let verdict = self.service(&name).guard.offer(set);
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
            self.ledger.count(Counter::Doubts, 1);
            self.ledger.note(IncidentKind::Doubt, &self.about(&name), &fault.detail);
            // It is the hold that is noted here.
            self.service(&name).held = Some(fault.clone());
            self.service(&name).guard.doubted(fault);
            self.note(&name, &Verdict::Keep);
        }
        if report.alive_at.is_some() {
            let was_lost = self.lost.take().is_some();
            let was_alive = self.alive_at.is_some();
            if was_lost || !was_alive {
                tracing::info!(source = self.name, revision = self.revision, "in step with the registry");
                self.ledger.contact(&self.name, was_alive);
            }
            self.alive_at = report.alive_at;
        }
        if let Some(fault) = report.lost {
            if self.lost.is_none() {
                self.ledger.contact_lost(&self.name, fault.reason);
            }
            if self.lost.as_ref() != Some(&fault) {
                let words = format!("{}: {}", fault.reason.name(), fault.detail);
                self.ledger.note(IncidentKind::ContactLost, &self.name, &words);
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

    /// The first ones by name, the others by number: a source can have thousands, and a log has readers.
    fn name_rejected<'r>(&self, service: &str, new: impl Iterator<Item = &'r Rejected>) {
        let mut unnamed = 0;
        for (place, rejected) in new.enumerate() {
            self.ledger.bad_record(&self.name);
            if place < NAMED {
                let words = format!("{}: {}", rejected.id, rejected.why);
                self.ledger.note(IncidentKind::BadRecord, &self.about(service), &words);
                let (source, id) = (&self.name, &rejected.id);
                tracing::warn!(source, service, id = ?id, "a record is left out: {}", rejected.why);
            } else {
                unnamed += 1;
            }
        }
        if unnamed > 0 {
            tracing::warn!(source = self.name, service, "{unnamed} more records are left out");
        }
    }

    /// The source's watch has ended, which none may: it is lost until it is started again.
    pub(super) fn ended(&mut self, why: &str) {
        tracing::error!(source = self.name, "the watch has ended, and is started again: {why}");
        self.ledger.count(Counter::WatchRestarts, 1);
        self.ledger.note(IncidentKind::WatchEnded, &self.name, why);
        self.lost = Some(Fault::new(Reason::BadAnswer, format!("its watch ended: {why}")));
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
        for name in self.unsettled.clone() {
            let Some(service) = self.services.get_mut(&name) else { continue };
            let before = service.guard.hold().cloned();
            if service.guard.tick(now) == Verdict::Confirm {
                due.push(name.clone());
            }
            if service.guard.hold() != before.as_ref() {
                self.changed.insert(name.clone());
                self.note_hold(&name);
            }
        }
        due
    }

    /// Notes a hold when it begins, and again when it has another reason.
    fn note_hold(&mut self, name: &str) {
        let about = self.about(name);
        let Some(service) = self.services.get_mut(name) else { return };
        let hold = service.guard.hold().cloned();
        if let Some(fault) = hold.as_ref().filter(|_| hold != service.held) {
            if service.held.is_none() {
                self.ledger.count(Counter::Holds, 1);
            }
            self.ledger.note(
                IncidentKind::Hold,
                &about,
                &format!("{}: {}", fault.reason.name(), fault.detail),
            );
        }
        service.held = hold;
    }

    fn about(&self, service: &str) -> String {
        format!("{}/{service}", self.name)
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
        match self.services.get(service).map(|service| &service.guard) {
            Some(guard) if guard.hold().is_some() => {
                (State::Stale, guard.hold().map_or(Reason::None, |fault| fault.reason))
            }
            // What a predecessor left stays in doubt until its service was read.
            Some(guard) if !guard.has_believed() => (State::Stale, Reason::Restored),
            _ => whole,
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
            return Some(self.viewed.keys().chain(self.services.keys()).cloned().collect());
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

    /// For those who watch the watchers.
    pub(super) fn tally(&self, now: Instant, stale_after: Duration) -> SourceTally {
        let SourceBeat { age, revision, reason, rejected, .. } = self.beat(now);
        let is_held =
            |name: &&String| self.services.get(*name).is_some_and(|service| service.guard.hold().is_some());
        SourceTally {
            name: self.name.clone(),
            age,
            is_stale: self.whole(now, stale_after).0 == State::Stale,
            revision,
            reason,
            bad_records: rejected,
            holds: self.unsettled.iter().filter(is_held).count(),
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
        self.note_hold(name);
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
