//! A registry in this process: for the demo, for tests, and for programs that know their instances themselves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::record::{Candidate, ServiceSet};
use crate::source::{Fault, Feed, LocalFuture, Source};

/// How many changes a source may be behind before it takes everything anew.
const LOG: usize = 1024;
/// How often a quiet registry says that it is there.
const BEAT: Duration = Duration::from_secs(1);

/// The services that a [`MemorySource`] reports. Cheap to clone; may be used from any thread, inside a runtime or not.
///
/// # Examples
///
/// ```
/// use resolver_sync::memory::{MemoryRegistry, MemorySource};
/// use resolver_sync::record::Candidate;
///
/// let registry = MemoryRegistry::new();
/// let source = MemorySource::new("memory", registry.clone());
/// let instance = Candidate { id: "oms-1".into(), address: "10.0.0.1".into(), port: 9000, ..Default::default() };
/// registry.set("oms", vec![instance]);
/// registry.remove("oms");
/// # fn is_shared<T: Clone + Send + Sync>(_: &T) {}
/// # is_shared(&registry);
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryRegistry {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Counts every change.
    revision: u64,
    services: BTreeMap<String, ServiceSet>,
    /// The service that each of the latest changes was of; the last one is that of `revision`.
    log: VecDeque<String>,
    /// While there is one, the source can see nothing.
    fault: Option<Fault>,
    /// Counts the faults, so that one that was healed at once is seen too.
    faults: u64,
}

impl MemoryRegistry {
    /// A registry without services.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts these instances in the place of all that the service had.
    pub fn set(&self, service: impl Into<String>, instances: Vec<Candidate>) {
        let service = service.into();
        self.change(|state| {
            let set = ServiceSet::check(instances, state.record(service.clone()));
            state.services.insert(service, set);
        });
    }

    /// Takes the service out; it has no instance from then on.
    pub fn remove(&self, service: &str) {
        self.change(|state| {
            if state.services.remove(service).is_some() {
                state.record(service.into());
            }
        });
    }

    /// Puts these services in the place of all there were, as one change.
    pub fn replace(&self, services: BTreeMap<String, Vec<Candidate>>) {
        self.change(|state| {
            state.revision += 1;
            // Nobody can follow by the log, so everybody takes everything anew.
            state.log.clear();
            let revision = state.revision;
            let check = |(name, instances)| (name, ServiceSet::check(instances, revision));
            state.services = services.into_iter().map(check).collect();
        });
    }

    /// From now on the source has lost contact, for this reason; changes are kept for when it is back.
    pub fn fail(&self, fault: Fault) {
        self.change(|state| {
            state.fault = Some(fault);
            state.faults += 1;
        });
    }

    /// Ends what [`MemoryRegistry::fail`] began.
    pub fn heal(&self) {
        self.change(|state| state.fault = None);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.shared.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn record(&mut self, service: String) -> u64 {
        self.revision += 1;
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        self.log.push_back(service);
        self.revision
    }

    /// The services changed after `seen`; `None` where that is too long ago to tell.
    fn since(&self, seen: u64) -> Option<BTreeSet<&String>> {
        let behind = usize::try_from(self.revision - seen).ok().filter(|behind| *behind <= self.log.len())?;
        Some(self.log.range(self.log.len() - behind..).collect())
    }
}

/// Reports what a [`MemoryRegistry`] holds.
#[derive(Debug)]
pub struct MemorySource {
    name: String,
    registry: MemoryRegistry,
}

impl MemorySource {
    /// A source of this name.
    pub fn new(name: impl Into<String>, registry: MemoryRegistry) -> Self {
        MemorySource { name: name.into(), registry }
    }

    async fn run(&self, feed: &Feed) {
        let mut changed = self.registry.shared.changed.subscribe();
        let mut seen = None;
        let mut faults = 0;
        loop {
            changed.mark_unchanged();
            self.report(feed, &mut seen, &mut faults);
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep(BEAT) => {}
            }
        }
    }

    fn report(&self, feed: &Feed, seen: &mut Option<u64>, faults: &mut u64) {
        let state = self.registry.lock();
        if *faults != state.faults || state.fault.is_some() {
            // Contact that was lost begins with a snapshot when it is back.
            *seen = None;
            *faults = state.faults;
        }
        if let Some(fault) = &state.fault {
            feed.lost(fault.clone());
            return;
        }
        match seen.and_then(|seen| state.since(seen)) {
            Some(services) => {
                for service in services {
                    let gone = || ServiceSet { revision: state.revision, ..ServiceSet::default() };
                    feed.service(service, state.services.get(service).cloned().unwrap_or_else(gone));
                }
            }
            None => feed.snapshot(state.services.clone()),
        }
        *seen = Some(state.revision);
        feed.alive();
    }
}

impl Source for MemorySource {
    fn name(&self) -> &str {
        &self.name
    }

    fn watch<'a>(&'a self, _known: Vec<String>, feed: &'a Feed) -> LocalFuture<'a, ()> {
        Box::pin(self.run(feed))
    }

    fn confirm<'a>(&'a self, service: &'a str) -> LocalFuture<'a, Result<ServiceSet, Fault>> {
        Box::pin(async move {
            let state = self.registry.lock();
            if let Some(fault) = &state.fault {
                return Err(fault.clone());
            }
            let set = state.services.get(service).cloned().unwrap_or_default();
            Ok(ServiceSet { revision: state.revision, ..set })
        })
    }
}

#[cfg(test)]
mod tests {
    use resolver_core::Reason;

    use super::*;
    use crate::source::Report;

    fn at(port: i64) -> Vec<Candidate> {
        vec![Candidate { id: port.to_string(), address: "10.0.0.1".into(), port, ..Candidate::default() }]
    }

    /// Runs the watch until it says something. (The feed may wake its reader once more for what was taken already.)
    async fn report(watch: &mut LocalFuture<'_, ()>, feed: &Feed) -> Report {
        loop {
            tokio::select! {
                () = &mut *watch => unreachable!("a watch never returns"),
                () = feed.ready() => {}
            }
            let report = feed.take();
            if report.alive_at.is_some() || report.lost.is_some() {
                return report;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_then_changes() {
        let registry = MemoryRegistry::new();
        let source = MemorySource::new("m", registry.clone());
        let feed = Feed::default();
        registry.set("a", at(1));
        let mut watch = source.watch(Vec::new(), &feed);
        let first = report(&mut watch, &feed).await;
        assert!(first.complete && first.alive_at.is_some());
        assert_eq!(first.services["a"].instances[0].port, 1);

        registry.set("b", at(2));
        registry.set("b", at(3));
        registry.remove("a");
        registry.remove("never there");
        let second = report(&mut watch, &feed).await;
        assert!(!second.complete);
        assert_eq!(second.services["b"].instances[0].port, 3);
        assert!(second.services["a"].instances.is_empty() && second.services["a"].revision == 4);
        assert_eq!(second.services.len(), 2);

        registry.replace(BTreeMap::from([("c".into(), at(4))]));
        let third = report(&mut watch, &feed).await;
        assert!(third.complete && third.services.keys().eq(["c"]));

        for port in 1..=LOG as i64 + 1 {
            registry.set("d", at(port));
        }
        let fourth = report(&mut watch, &feed).await;
        assert!(fourth.complete && fourth.services.keys().eq(["c", "d"]), "too far behind for the log");

        let beat = report(&mut watch, &feed).await;
        assert!(beat.alive_at.is_some() && beat.services.is_empty() && !beat.complete);
    }

    #[tokio::test]
    async fn a_fault_hides_changes_until_it_is_healed() {
        let registry = MemoryRegistry::new();
        let source = MemorySource::new("m", registry.clone());
        let feed = Feed::default();
        registry.fail(Fault::new(Reason::Unreachable, "pulled"));
        registry.set("a", at(1));
        let mut watch = source.watch(Vec::new(), &feed);
        let lost = report(&mut watch, &feed).await;
        assert_eq!(lost.lost.expect("lost").detail, "pulled");
        assert!(lost.services.is_empty() && lost.alive_at.is_none());
        assert_eq!(source.confirm("a").await.expect_err("no contact").reason, Reason::Unreachable);
        registry.heal();
        let back = report(&mut watch, &feed).await;
        assert!(back.complete && back.lost.is_none() && back.services.contains_key("a"));
    }

    #[tokio::test]
    async fn the_second_read() {
        let registry = MemoryRegistry::new();
        let source = MemorySource::new("m", registry.clone());
        registry.set("a", at(1));
        registry.set("b", at(0));
        let set = source.confirm("a").await.expect("answered");
        assert_eq!((set.instances.len(), set.revision), (1, 2));
        assert_eq!(source.confirm("b").await.expect("answered").rejected.len(), 1);
        assert_eq!(
            source.confirm("c").await.expect("answered"),
            ServiceSet { revision: 2, ..Default::default() }
        );
    }
}
