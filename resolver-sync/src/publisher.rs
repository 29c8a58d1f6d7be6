//! From what the sources say to what readers see: takes each report, asks the guard, publishes, and beats.
//!
//! One task, on the sync thread. Everything that it waits for ends: a report, a second read (with a deadline of its
//! own), a tick, or the word to stop.

mod cell;
mod confirming;
mod course;
mod hand;
mod inherited;
mod left;
mod overlays;
mod patience;
mod settings;
mod shelf;
mod staged;
mod task;
mod watched;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::select_all;
use futures_util::stream::FuturesUnordered;
use resolver_core::{SourceBeat, Writer};

use crate::catalog::Catalog;
use crate::control::Control;
use crate::guard::Verdict;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::policy::Zones;
use crate::record::ServiceSet;
use crate::report::Inflow;
use crate::source::{LocalFuture, Report, Source};
use crate::view::View;

pub(crate) use hand::Hand;
use hand::Orders;
use overlays::Overlays;
pub use patience::Patience;
pub use settings::Wanted;
use shelf::{Publication, Shelf};

use confirming::Confirmed;
use left::Left;
use settings::Settings;
use watched::Watched;

/// How often the publisher says that it lives, and looks at its clocks.
pub const BEAT: Duration = Duration::from_millis(200);
/// How long after its end a watch is started again.
const RESTART: Duration = Duration::from_secs(1);
/// Beats between two looks at whether the table is still the one that readers find.
const BEATS_PER_CHECK: u32 = 5;

/// Why a publisher ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// Readers find another table, or none: publish everything to a new one.
    Superseded,
}

/// Publishes what sources say to a table.
pub struct Publisher<'t> {
    shelf: Shelf<'t>,
    sources: Vec<Watched>,
    overlays: Overlays,
    /// Empty: every service of every source is published under its own name.
    views: Vec<View>,
    patience: Patience,
    confirming: FuturesUnordered<LocalFuture<'static, Confirmed>>,
    /// Second reads that wait for one of those under way to end.
    to_confirm: VecDeque<(usize, String)>,
    watches: FuturesUnordered<LocalFuture<'static, WatchEnded>>,
    /// What callers report, while nobody publishes.
    reports: Inflow,
    metrics: Metrics,
    /// Where operators ask, while nobody publishes.
    control: Option<Control>,
    ledger: Ledger,
    /// Typed configuration values.
    settings: Settings,
}

/// A source's watch that ended, and why.
struct WatchEnded {
    source: usize,
    why: String,
}

impl<'t> Publisher<'t> {
    /// A publisher to this table. Whatever a predecessor published there stands, as stale, until its source speaks; names
    /// that no source or view has any more leave the table. What only `catalog` knows, from a table that this one
    /// supersedes, is published again, as stale: the registry may be out of reach just now. What is counted in the ledger
    /// of `metrics`, by whomever, is entered into the table.
    pub fn new(
        writer: Writer<'t>,
        sources: Vec<Rc<dyn Source>>,
        views: Vec<View>,
        patience: Patience,
        catalog: Catalog,
        zones: Zones,
        metrics: Metrics,
    ) -> Self {
        let ledger = metrics.ledger().clone();
        let watched = |source| Watched::new(source, ledger.clone());
        let mut sources: Vec<Watched> = sources.into_iter().map(watched).collect();
        let overlays = Overlays::new(&sources);
        let mut shelf = Shelf::new(writer, catalog, zones, ledger.clone());
        for view in &views {
            if let Some(source) = sources.iter().position(|source| source.name() == view.source) {
                shelf.reserve(view, source as u8);
                for asked in overlays.with_members(source) {
                    sources[asked].expect(&view.service, &view.tags);
                }
            }
        }
        for name in shelf.names() {
            let left = shelf.left_by_predecessor(&name);
            let viewed = views.iter().find(|view| view.name == name);
            // A view keeps its name, its handle and its last good set, even if another source stood behind it before.
            let wanted = match viewed {
                Some(view) => Some(view.source.as_str()),
                None => views.is_empty().then_some(left.source.as_str()),
            };
            let owner = sources.iter().position(|source| wanted == Some(source.name()));
            match owner.filter(|owner| viewed.is_some() || !overlays.has_member(*owner)) {
                None => {
                    tracing::info!(
                        name,
                        source = left.source,
                        "no source or view has this name any more; it leaves the table"
                    );
                    shelf.remove(&name);
                }
                // Reserved, and never published.
                Some(_) if left.source.is_empty() => {}
                Some(owner) => {
                    shelf.inherit(&name, owner as u8, &left);
                    match viewed {
                        Some(view) => sources[owner].inherit(&view.service, &view.tags, left.endpoints),
                        None => sources[owner].inherit(&name, &[], left.endpoints),
                    }
                }
            }
        }
        Publisher {
            shelf,
            sources,
            overlays,
            views,
            patience,
            confirming: FuturesUnordered::new(),
            to_confirm: VecDeque::new(),
            watches: FuturesUnordered::new(),
            reports: Inflow::default(),
            metrics,
            control: None,
            ledger,
            settings: Settings::default(),
        }
    }

    /// Leaves out what an operator took out, and takes further orders.
    pub(crate) fn with_hand(mut self, hand: Hand) -> Self {
        *self.shelf.kills() = hand.kills;
        self.control = hand.control;
        self
    }

    /// Takes what callers report from here.
    pub fn with_reports(mut self, reports: Inflow) -> Self {
        self.reports = reports;
        self
    }

    /// What an operator took out until now.
    pub(crate) fn into_kills(mut self) -> crate::kill::Kills {
        std::mem::take(self.shelf.kills())
    }

    /// Starts the sources on the current [`LocalSet`](tokio::task::LocalSet), and publishes until `stop` ends or
    /// `is_current` says that readers find another table.
    pub async fn run(&mut self, stop: impl Future<Output = ()>, is_current: impl Fn() -> bool) -> Ended {
        // The sources' names are in the table before anything that refers to them.
        let now = Instant::now();
        self.shelf.beat(self.sources.iter().map(|source| source.beat(now)));
        self.restore();
        self.overlays.inherit(&self.sources);
        self.rejudge();
        for source in 0..self.sources.len() {
            self.watch(source, Duration::ZERO);
        }
        self.settings.start();
        self.publish_until(stop, is_current).await
    }

    /// Starts a source's watch, after a pause. Dropping the future ends it.
    fn watch(&mut self, index: usize, pause: Duration) {
        let task = self.sources[index].start(pause);
        self.watches.push(Box::pin(async move {
            let why = match task.await {
                Ok(()) => "it returned".to_owned(),
                Err(error) => error.to_string(),
            };
            WatchEnded { source: index, why }
        }));
    }

    async fn publish_until(
        &mut self,
        stop: impl Future<Output = ()>,
        is_current: impl Fn() -> bool,
    ) -> Ended {
        let feeds: Vec<_> = self.sources.iter().map(|source| source.feed().clone()).collect();
        let mut stop = pin!(stop);
        let mut ticks = tokio::time::interval(BEAT);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut beats: u32 = 0;
        let mut reports = std::mem::take(&mut self.reports);
        let mut orders = Orders::of(self.control.take());
        self.tick();
        loop {
            let any_report = async {
                if feeds.is_empty() {
                    std::future::pending::<()>().await;
                }
                select_all(feeds.iter().map(|feed| Box::pin(feed.ready()))).await.1
            };
            tokio::select! {
                biased;
                () = &mut stop => {
                    self.shelf.enter_ledger();
                    return Ended::Stopped;
                }
                // Before whatever a registry says: an order is to be done at once.
                asked = orders.next() => self.obey(asked, orders.terms()),
                source = any_report => {
                    let report = feeds[source].take();
                    self.absorb(source, report);
                }
                Some(confirmed) = self.confirming.next(), if !self.confirming.is_empty() => self.confirmed(confirmed),
                happened = self.settings.next() => self.settings.absorb(happened, self.shelf.writer()),
                Some(ended) = self.watches.next(), if !self.watches.is_empty() => {
                    self.sources[ended.source].ended(&ended.why);
                    self.restate(ended.source, Instant::now());
                    self.watch(ended.source, RESTART);
                }
                _ = ticks.tick() => {
                    self.tick();
                    beats = beats.wrapping_add(1);
                    if beats.is_multiple_of(BEATS_PER_CHECK) {
                        if !is_current() {
                            return Ended::Superseded;
                        }
                        self.shelf.retry();
                    }
                }
                // Last, and a bounded number at a time: a flood of reports keeps nothing else waiting.
                said = reports.turn() => {
                    let unknown = self.shelf.observe(&said);
                    reports.unknown(unknown);
                }
            }
        }
    }

    /// Takes everything that a source has reported since the last time.
    fn absorb(&mut self, source: usize, report: Report) {
        let (now, since) = (Instant::now(), report.since);
        let verdicts = self.sources[source].absorb(report);
        let mut sets = Vec::new();
        for (service, verdict) in verdicts {
            match verdict {
                Verdict::Publish(set) => sets.push((service, set)),
                Verdict::Confirm => self.confirm(source, service),
                Verdict::Keep => {}
            }
        }
        let since = since.filter(|_| !sets.is_empty());
        self.publish(source, sets);
        self.metrics.published_after(since);
        self.restate(source, now);
    }

    fn tick(&mut self) {
        let now = Instant::now();
        for (overlay, report) in self.overlays.pulses(&self.sources) {
            self.absorb(overlay, report);
        }
        for index in 0..self.sources.len() {
            for service in self.sources[index].due_for_confirmation(now) {
                self.confirm(index, service);
            }
            self.restate(index, now);
            // A name that a view fixes stays for ever; a discovered one goes when it has been empty for long.
            if self.views.is_empty() {
                for service in self.sources[index].forget(now, self.patience.forget_after) {
                    self.overlays.forget(index, &service);
                    if self.shelf.owner(&service) == Some(index as u8) {
                        tracing::info!(name = service, "empty for long; it leaves the table");
                        self.shelf.remove(&service);
                    }
                }
            }
        }
        self.end_kills(now);
        self.shelf.tick();
        self.shelf.enter_ledger();
        self.settings.tick(self.shelf.writer());
        self.beat(now);
        let sources = self.sources.iter().map(|source| source.tally(now, self.patience.stale_after));
        self.metrics.beat(now, sources.collect());
    }

    /// Says how old each source's word is, and that this one lives.
    fn beat(&mut self, now: Instant) {
        let beats = self.sources.iter().enumerate().map(|(index, source)| {
            let beat = source.beat(now);
            let refused = self.settings.refused(index as u8);
            SourceBeat { rejected: beat.rejected.saturating_add(refused), ..beat }
        });
        self.shelf.beat(beats);
    }

    /// Publishes sets of one source, all as of one moment.
    fn publish(&mut self, index: usize, sets: Vec<(String, ServiceSet)>) {
        let now = Instant::now();
        self.overlays.learn(index, &sets);
        if self.views.is_empty() && self.overlays.has_member(index) {
            return;
        }
        let source = &self.sources[index];
        let mut publications = Vec::new();
        for (service, set) in sets {
            let standing = source.standing(&service, now, self.patience.stale_after);
            let publication = |view| Publication { view, set: set.clone(), standing, source: index as u8 };
            if self.views.is_empty() {
                publications.push(publication(View::of_service(source.name(), &service)));
            } else {
                let of_service = |view: &&View| view.source == source.name() && view.service == service;
                publications.extend(self.views.iter().filter(of_service).cloned().map(publication));
            }
        }
        self.shelf.publish(publications);
    }

    /// Says anew how each service of a source stands, where that has changed.
    fn restate(&mut self, index: usize, now: Instant) {
        let stale_after = self.patience.stale_after;
        let Some(services) = self.sources[index].restated(now, stale_after) else { return };
        for (overlay, report) in self.overlays.reports(&self.sources, index, &services) {
            self.absorb(overlay, report);
        }
        let source = &self.sources[index];
        let mut standings = Vec::new();
        for service in services {
            let standing = source.standing(&service, now, stale_after);
            let detail = source.detail(&service);
            if self.views.is_empty() {
                standings.push((service, standing, detail));
            } else {
                let of_service = |view: &&View| view.source == source.name() && view.service == service;
                let views = self.views.iter().filter(of_service);
                standings.extend(views.map(|view| (view.name.clone(), standing, detail.clone())));
            }
        }
        self.shelf.mark(index as u8, standings);
    }
}
