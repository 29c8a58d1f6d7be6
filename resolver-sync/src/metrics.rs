//! How an agent stands, for `/metrics` and `/health`: written by the sync thread with each beat, read by others. What it
//! counts is in its [`Ledger`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use resolver_core::Reason;

use crate::catalog::Catalog;
use crate::health::{Health, Verdict};
use crate::ledger::{Counts, Ledger, SourceCounts};

mod text;

use text::Page;

/// Upper bounds of the lag's buckets, in microseconds.
const BOUNDS: [u64; 11] = [10, 25, 50, 100, 250, 500, 1_000, 5_000, 25_000, 100_000, 1_000_000];
/// A sync thread that gave no sign of life for so long stands still; it gives one every 200 ms.
const SILENCE: Duration = Duration::from_secs(3);

/// How one agent stands. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    ledger: Ledger,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    lag: [AtomicU64; BOUNDS.len() + 1],
    lag_sum_ns: AtomicU64,
    latest: Mutex<Option<Tally>>,
}

/// How an agent stands, as of one beat.
#[derive(Clone, Debug)]
struct Tally {
    at: Instant,
    beats: u64,
    sources: Vec<SourceTally>,
}

/// How a source stands, as of one beat.
#[derive(Clone, Debug)]
pub(crate) struct SourceTally {
    pub(crate) name: String,
    /// Since it last proved that all it had said was current; `None` if it never did in this run.
    pub(crate) age: Option<Duration>,
    /// Whether it is older than the agent is patient.
    pub(crate) is_stale: bool,
    pub(crate) revision: u64,
    pub(crate) reason: Reason,
    pub(crate) bad_records: u32,
    pub(crate) holds: usize,
}

impl Metrics {
    /// Where this agent counts.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// From a source's word to what readers see.
    pub(crate) fn published_after(&self, since: Option<Instant>) {
        let Some(lag) = since.map(|since| since.elapsed()) else { return };
        let nanos = u64::try_from(lag.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| bound * 1000 < nanos);
        self.seen.lag[bucket].fetch_add(1, Ordering::Relaxed);
        self.seen.lag_sum_ns.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn beat(&self, at: Instant, sources: Vec<SourceTally>) {
        let mut latest = self.lock();
        let beats = latest.as_ref().map_or(0, |tally| tally.beats) + 1;
        *latest = Some(Tally { at, beats, sources });
    }

    /// Makes `health` speak for the agent: failed while the sync thread stands still, degraded while a source is stale,
    /// ready once each source was in step.
    pub fn speak_for(&self, health: &Health) {
        let metrics = self.clone();
        health.probe("sync", move || metrics.sync());
        let metrics = self.clone();
        health.probe("sources", move || metrics.sources());
        let metrics = self.clone();
        health.gate("table", move || metrics.table());
    }

    fn sync(&self) -> Verdict {
        match &*self.lock() {
            None => Verdict::Degraded("it has not begun yet".into()),
            Some(tally) if tally.at.elapsed() > SILENCE => {
                Verdict::Failed(format!("no sign of life for {} ms", tally.at.elapsed().as_millis()))
            }
            Some(_) => Verdict::Passing,
        }
    }

    fn sources(&self) -> Verdict {
        let latest = self.lock();
        let sources = latest.iter().flat_map(|tally| &tally.sources);
        let stale: Vec<_> = sources
            .filter(|source| source.is_stale)
            .map(|source| format!("{} is stale ({})", source.name, source.reason.name()))
            .collect();
        if stale.is_empty() { Verdict::Passing } else { Verdict::Degraded(stale.join(", ")) }
    }

    fn table(&self) -> Verdict {
        let latest = self.lock();
        let Some(tally) = &*latest else { return Verdict::Failed("there is none yet".into()) };
        let silent: Vec<_> =
            tally.sources.iter().filter(|source| source.age.is_none()).map(|source| &*source.name).collect();
        if silent.is_empty() {
            Verdict::Passing
        } else {
            Verdict::Failed(format!("not in step yet: {}", silent.join(", ")))
        }
    }

    /// A page in Prometheus's text format.
    pub fn page(&self, catalog: &Catalog) -> String {
        let mut page = Page::default();
        page.family(
            "gauge",
            "resolver_build_info",
            "The version that runs.",
            [(vec![("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        );
        self.table_page(&mut page, catalog);
        let counts = self.ledger.counts();
        if let Some(tally) = self.lock().clone() {
            tally.page(&mut page, &counts);
        }
        page.family(
            "counter",
            "resolver_confirmations_total",
            "Second reads of what looked like an outage, by whether they proved anything.",
            [
                (vec![("result", "proven")], counts.proven as f64),
                (vec![("result", "failed")], counts.unproven as f64),
            ],
        );
        let lag: Vec<u64> = self.seen.lag.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let buckets: Vec<(f64, u64)> =
            BOUNDS.iter().zip(&lag).map(|(bound, values)| (*bound as f64 / 1e6, *values)).collect();
        page.histogram(
            "resolver_publication_lag_seconds",
            "From the moment a source has said something to the moment readers see it.",
            &buckets,
            lag[BOUNDS.len()],
            self.seen.lag_sum_ns.load(Ordering::Relaxed) as f64 / 1e9,
        );
        page.into_text()
    }

    fn table_page(&self, page: &mut Page, catalog: &Catalog) {
        let mut services: BTreeMap<(String, &str, &str), f64> = BTreeMap::new();
        let mut endpoints: BTreeMap<String, f64> = BTreeMap::new();
        for entry in catalog.names().iter().filter_map(|name| catalog.get(name)) {
            let key = (entry.source.clone(), entry.state.name(), entry.reason.name());
            *services.entry(key).or_default() += 1.0;
            *endpoints.entry(entry.source.clone()).or_default() += entry.set.instances.len() as f64;
        }
        page.family(
            "gauge",
            "resolver_services",
            "Names in the table, by source, state and reason.",
            services.iter().map(|((source, state, reason), count)| {
                (vec![("source", source.as_str()), ("state", state), ("reason", reason)], *count)
            }),
        );
        page.family(
            "gauge",
            "resolver_endpoints",
            "Endpoints of all names, by source.",
            endpoints.iter().map(|(source, count)| (vec![("source", source.as_str())], *count)),
        );
    }

    fn lock(&self) -> MutexGuard<'_, Option<Tally>> {
        self.seen.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn page(&self, page: &mut Page, counts: &Counts) {
        let since = self.at.elapsed();
        page.one(
            "gauge",
            "resolver_beat_age_seconds",
            "Since the sync thread's last sign of life.",
            since.as_secs_f64(),
        );
        page.one("counter", "resolver_beats_total", "The sync thread's signs of life.", self.beats as f64);
        page.one(
            "counter",
            "resolver_publications_total",
            "Sets that were published.",
            counts.published as f64,
        );
        page.one(
            "counter",
            "resolver_publications_refused_total",
            "Sets that were not published: no room, or another source has the name.",
            counts.refused as f64,
        );
        let none = SourceCounts::default();
        let counts = |source: &SourceTally| counts.sources.get(&source.name).unwrap_or(&none);
        let mut family = |kind: &str, name: &str, help: &str, value: &dyn Fn(&SourceTally) -> Option<f64>| {
            let samples = self
                .sources
                .iter()
                .filter_map(|source| Some((vec![("source", source.name.as_str())], value(source)?)));
            page.family(kind, name, help, samples);
        };
        family(
            "gauge",
            "resolver_source_up",
            "Whether the source is in step with its registry.",
            &|source| Some(f64::from(u8::from(!source.is_stale && source.age.is_some()))),
        );
        family(
            "gauge",
            "resolver_source_age_seconds",
            "Since the source last proved that all it had said was current; missing before the first time.",
            &|source| Some((source.age? + since).as_secs_f64()),
        );
        family("gauge", "resolver_source_revision", "The registry's own count of changes.", &|source| {
            Some(source.revision as f64)
        });
        family("gauge", "resolver_source_bad_records", "Records that are left out now.", &|source| {
            Some(f64::from(source.bad_records))
        });
        family("counter", "resolver_source_bad_records_total", "Records that were left out.", &|source| {
            Some(counts(source).bad_records as f64)
        });
        family("gauge", "resolver_source_holds", "Services whose last good set is held.", &|source| {
            Some(source.holds as f64)
        });
        family("counter", "resolver_source_reconnects_total", "Times that contact came back.", &|source| {
            Some(counts(source).reconnects as f64)
        });
        let faults = self.sources.iter().flat_map(|source| {
            let faults = counts(source).faults.iter();
            faults.map(|(reason, count)| {
                (vec![("source", source.name.as_str()), ("reason", *reason)], *count as f64)
            })
        });
        page.family(
            "counter",
            "resolver_source_faults_total",
            "Times that contact was lost, by reason.",
            faults,
        );
    }
}
