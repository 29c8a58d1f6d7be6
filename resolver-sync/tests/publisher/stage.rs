//! A table in memory, a publisher on a thread of its own, and sources to feed it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use resolver_core::{Capacity, OwnedSegment, Reader, Segment};
use resolver_sync::agent::Publication;
use resolver_sync::catalog::Catalog;
use resolver_sync::memory::{MemoryRegistry, MemorySource};
use resolver_sync::policy::Zones;
use resolver_sync::publisher::Patience;
use resolver_sync::record::{Candidate, ServiceSet};
use resolver_sync::report::Inflow;
use resolver_sync::source::{Fault, Feed, LocalFuture, Source};
use resolver_sync::view::View;
use tokio::sync::{Notify, oneshot};

pub(crate) type AnySource = Box<dyn Source + Send>;

/// Where publishers come and go.
pub(crate) struct Stage {
    directory: tempfile::TempDir,
    capacity: Capacity,
}

impl Stage {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Stage { directory: tempfile::tempdir().expect("a directory"), capacity }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("main.seg")
    }

    /// The table's epoch, between two publishers.
    pub(crate) fn epoch(&self) -> u64 {
        Segment::open(self.path()).expect("the segment").reader().epoch()
    }

    /// Publishes for as long as `play` runs, and then stops.
    pub(crate) fn run<T>(
        &self,
        sources: Vec<AnySource>,
        views: Vec<View>,
        patience: Patience,
        play: impl FnOnce(Reader<'_>) -> T,
    ) -> T {
        self.run_with(sources, views, patience, Inflow::default(), play)
    }

    /// The same, with reports of this process.
    pub(crate) fn run_with<T>(
        &self,
        sources: Vec<AnySource>,
        views: Vec<View>,
        patience: Patience,
        reports: Inflow,
        play: impl FnOnce(Reader<'_>) -> T,
    ) -> T {
        let mut segment = OwnedSegment::acquire(self.path(), &self.capacity).expect("the segment");
        let writer = segment.writer().expect("the writer");
        let reader = writer.reader();
        let publication = Publication {
            settings: resolver_sync::publisher::Wanted::default(),
            sources,
            views,
            patience,
            catalog: Catalog::default(),
            zones: Zones::default(),
            reports,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::scope(|scope| {
            let publisher = scope.spawn(move || {
                let stopped = async move {
                    // Told to stop, or the play panicked: either ends it.
                    let _ = stopped.await;
                };
                publication.run(writer, stopped).expect("a runtime");
            });
            let played = play(reader);
            drop(stop);
            publisher.join().expect("the publisher does not panic");
            played
        })
    }
}

pub(crate) fn memory(name: &str, registry: &MemoryRegistry) -> AnySource {
    Box::new(MemorySource::new(name, registry.clone()))
}

pub(crate) fn candidate(port: i64, tags: &[&str]) -> Candidate {
    Candidate {
        id: format!("i{port}"),
        address: "10.0.0.1".into(),
        port,
        tags: tags.iter().map(|tag| (*tag).into()).collect(),
        ..Candidate::default()
    }
}

pub(crate) fn candidates(ports: Range<i64>) -> Vec<Candidate> {
    ports.map(|port| candidate(port, &[])).collect()
}

/// Polls until there is something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A source that says what it is told to, and confirms what it is told to.
pub(crate) fn scripted(name: &str) -> (AnySource, Script) {
    let script = Script { shared: Arc::new(Shared::default()) };
    (Box::new(Scripted { name: name.into(), shared: script.shared.clone() }), script)
}

pub(crate) struct Script {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    sets: Mutex<BTreeMap<String, ServiceSet>>,
    answer: Mutex<Option<Result<ServiceSet, Fault>>>,
    confirmations: Mutex<usize>,
    dies: AtomicBool,
    said: Notify,
}

struct Scripted {
    name: String,
    shared: Arc<Shared>,
}

impl Script {
    pub(crate) fn say(&self, service: &str, set: ServiceSet) {
        self.shared.sets.lock().expect("no panic").insert(service.into(), set);
        self.shared.said.notify_one();
    }

    pub(crate) fn confirm_with(&self, answer: Result<ServiceSet, Fault>) {
        *self.shared.answer.lock().expect("no panic") = Some(answer);
    }

    /// The watch panics at its next turn.
    pub(crate) fn die(&self) {
        self.shared.dies.store(true, Ordering::Relaxed);
        self.shared.said.notify_one();
    }

    pub(crate) fn confirmations(&self) -> usize {
        *self.shared.confirmations.lock().expect("no panic")
    }
}

impl Source for Scripted {
    fn name(&self) -> &str {
        &self.name
    }

    fn watch<'a>(&'a self, _known: Vec<String>, feed: &'a Feed) -> LocalFuture<'a, ()> {
        Box::pin(async move {
            loop {
                assert!(!self.shared.dies.swap(false, Ordering::Relaxed), "as the script has it");
                let sets = std::mem::take(&mut *self.shared.sets.lock().expect("no panic"));
                for (service, set) in sets {
                    feed.service(service, set);
                }
                feed.alive();
                let _ = tokio::time::timeout(Duration::from_millis(50), self.shared.said.notified()).await;
            }
        })
    }

    fn confirm<'a>(&'a self, _service: &'a str) -> LocalFuture<'a, Result<ServiceSet, Fault>> {
        Box::pin(async move {
            *self.shared.confirmations.lock().expect("no panic") += 1;
            let answer = self.shared.answer.lock().expect("no panic").clone();
            match answer {
                Some(answer) => answer,
                // A registry that does not answer a second read.
                None => std::future::pending().await,
            }
        })
    }
}
