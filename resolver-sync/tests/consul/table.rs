//! What a publisher would know: everything that a feed was told so far.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use resolver_sync::consul::{ConsulConfig, ConsulSource, Services};
use resolver_sync::record::ServiceSet;
use resolver_sync::source::{Fault, Feed, Source};

/// The sum of all reports.
#[derive(Debug, Default)]
pub struct Table {
    feed: Feed,
    pub sets: BTreeMap<String, ServiceSet>,
    pub doubts: BTreeMap<String, Fault>,
    pub lost: Option<Fault>,
    pub alive_at: Option<Instant>,
    pub epochs: Vec<String>,
}

impl Table {
    /// Until `condition` holds, for `seconds` at most; how long it took.
    pub async fn until(&mut self, what: &str, seconds: u64, condition: impl Fn(&Table) -> bool) -> Duration {
        let start = Instant::now();
        let limit = Duration::from_secs(seconds);
        loop {
            self.update();
            if condition(self) {
                return start.elapsed();
            }
            let left = limit.saturating_sub(start.elapsed());
            let ready = tokio::time::timeout(left, self.feed.ready()).await;
            assert!(ready.is_ok(), "not in {seconds} s: {what}\n{self:#?}");
        }
    }

    /// Until the source is alive for the first time, or again after now.
    pub async fn until_alive(&mut self, seconds: u64) -> Duration {
        self.update();
        self.alive_at = None;
        self.until("alive", seconds, Table::is_alive).await
    }

    pub fn is_alive(&self) -> bool {
        self.lost.is_none() && self.alive_at.is_some()
    }

    /// The ids of a service, without their node; `None` where nothing was ever reported.
    pub fn ids(&self, service: &str) -> Option<Vec<&str>> {
        let set = self.sets.get(service)?;
        let mut ids: Vec<_> =
            set.instances.iter().filter_map(|i| i.id.split_once('/')).map(|(_, id)| id).collect();
        ids.sort_unstable();
        Some(ids)
    }

    /// Whether a service has exactly these instances, in the order of their names.
    pub fn has(&self, service: &str, ids: &[&str]) -> bool {
        self.ids(service).is_some_and(|now| now == ids)
    }

    pub fn update(&mut self) {
        let report = self.feed.take();
        self.epochs.extend(report.new_epoch);
        for (name, set) in report.services {
            self.doubts.remove(&name);
            self.sets.insert(name, set);
        }
        self.doubts.extend(report.doubts);
        if report.alive_at.is_some() {
            self.alive_at = report.alive_at;
            self.lost = None;
        }
        if report.lost.is_some() {
            self.lost = report.lost;
            self.alive_at = None;
        }
    }
}

/// A source of these services with the defaults.
pub fn config(address: impl Into<String>, services: &[&str]) -> ConsulConfig {
    let mut config = ConsulConfig::new("test", address);
    config.services = Services::Named(services.iter().map(|name| name.to_string()).collect());
    config
}

pub fn source(config: ConsulConfig) -> ConsulSource {
    ConsulSource::new(config).expect("a source")
}

/// Runs `test` while the source watches.
pub async fn watching<T>(
    source: &ConsulSource,
    known: &[&str],
    test: impl AsyncFnOnce(&mut Table) -> T,
) -> T {
    let mut table = Table::default();
    let feed = table.feed.clone();
    let known = known.iter().map(|name| name.to_string()).collect();
    tokio::select! {
        () = source.watch(known, &feed) => panic!("a source never ends"),
        out = run(test, &mut table) => out,
    }
}

fn run<'a, T>(test: impl AsyncFnOnce(&'a mut Table) -> T, table: &'a mut Table) -> impl Future<Output = T> {
    test(table)
}
