//! A file as the registry: TOML or JSON, read again whenever it changes.
//!
//! ```toml
//! [[service]]
//! name = "oms"
//! [[service.instance]]
//! id = "oms-1"
//! address = "10.0.0.1"
//! port = 9000
//! weight = 10        # optional: weight, tier, zone, tags, meta
//! ```
//!
//! As JSON: `{"service":[{"name":"oms","instance":[{"id":"oms-1","address":"10.0.0.1","port":9000}]}]}`.
//!
//! A file is taken whole or not at all: one with a mistake in it leaves everything as it was, and the mistake's line is
//! said. An address or port that cannot be used leaves out that one instance, as with every source.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use resolver_core::Reason;

use crate::record::ServiceSet;
use crate::source::{Fault, Feed, LocalFuture, Source};

#[cfg_attr(not(target_os = "linux"), path = "file/timed.rs")]
mod directory;
mod format;
mod read;

use directory::Directory;
use read::Stamp;

/// How often the file is looked at even if no event says that it has changed.
const CHECK: Duration = Duration::from_secs(1);
/// A file that changed without an event may be half written: it has to stay as it is for this long.
const QUIET: Duration = Duration::from_millis(500);
/// A file that cannot be read may be half written as well: it is read again after this.
const SETTLE: Duration = Duration::from_millis(50);
/// How often an unreadable file is given time to settle before it is reported.
const PATIENCE: u32 = 4;

/// What was seen of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// It was written and closed, moved into place, or taken away.
    Written,
    /// The time is up, or something else happened beside it: it may have changed or not.
    Nothing,
}

/// Reports what a file says.
///
/// # Examples
///
/// ```
/// let source = resolver_sync::file::FileSource::new("static", "/etc/resolver/services.toml");
/// ```
#[derive(Debug)]
pub struct FileSource {
    name: String,
    path: PathBuf,
    loaded: Mutex<Loaded>,
}

/// The last good contents.
#[derive(Debug, Default)]
struct Loaded {
    /// Counts the loads that brought something new; 0 before the first.
    revision: u64,
    bytes: Vec<u8>,
    services: BTreeMap<String, ServiceSet>,
}

impl FileSource {
    /// A source of this name. JSON where the path ends in `.json`, else TOML. The file need not exist yet.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        FileSource { name: name.into(), path: path.into(), loaded: Mutex::default() }
    }

    async fn run(&self, feed: &Feed) {
        let directory = Directory::new(&self.path);
        let mut reported = 0;
        let mut failures = 0;
        // How the file looked last, and whether it was read while it looked like that.
        let mut stamp = None;
        let mut settled = false;
        let mut wait = CHECK;
        let mut seen = Seen::Written;
        loop {
            if seen == Seen::Nothing {
                let now = read::stamp(&self.path);
                let same = now == stamp;
                stamp = now;
                if !same {
                    // Nobody said that the writer is done: it has to look the same twice.
                    settled = false;
                    seen = directory.wait(QUIET).await;
                    continue;
                }
            }
            if !settled {
                match self.load() {
                    Ok(load) => {
                        // A change within one tick of the file's clock leaves the stamp as it is. So what was read at
                        // an event is read once more when all is quiet.
                        settled = seen == Seen::Nothing;
                        stamp = Some(load.stamp);
                        failures = 0;
                        wait = CHECK;
                        if load.revision != reported {
                            reported = load.revision;
                            feed.snapshot(load.services);
                        }
                    }
                    // It may be half written.
                    Err(_) if failures + 1 < PATIENCE => {
                        failures += 1;
                        wait = SETTLE;
                    }
                    Err(fault) => {
                        feed.lost(fault);
                        wait = CHECK;
                    }
                }
            }
            if failures == 0 {
                feed.alive();
            }
            seen = directory.wait(wait).await;
            settled &= seen == Seen::Nothing;
        }
    }

    /// Reads the file. What it says is taken as a new revision if it is not what it said before.
    fn load(&self) -> Result<Load, Fault> {
        let fault = |reason, words: String| {
            Fault::new(reason, format!("{}: {words}; the last good services stand", self.path.display()))
        };
        let (bytes, stamp) = read::read(&self.path).map_err(|words| fault(Reason::Unreachable, words))?;
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.revision == 0 || loaded.bytes != bytes {
            let services =
                format::parse(&self.path, &bytes).map_err(|words| fault(Reason::BadAnswer, words))?;
            let revision = loaded.revision + 1;
            let check = |(name, instances)| (name, ServiceSet::check(instances, revision));
            let services = services.into_iter().map(check).collect();
            *loaded = Loaded { revision, bytes, services };
        }
        Ok(Load { stamp, revision: loaded.revision, services: loaded.services.clone() })
    }
}

/// A file that was read and understood.
struct Load {
    stamp: Stamp,
    revision: u64,
    services: BTreeMap<String, ServiceSet>,
}

impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn watch<'a>(&'a self, _known: Vec<String>, feed: &'a Feed) -> LocalFuture<'a, ()> {
        Box::pin(self.run(feed))
    }

    /// Reads the file again.
    fn confirm<'a>(&'a self, service: &'a str) -> LocalFuture<'a, Result<ServiceSet, Fault>> {
        Box::pin(async move {
            let mut load = self.load()?;
            let set = load.services.remove(service).unwrap_or_default();
            Ok(ServiceSet { revision: load.revision, ..set })
        })
    }
}
