//! A process of its own that reads a segment all the time and writes down each answer.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use resolver_core::{Handle, Reader, Segment};
use serde::{Deserialize, Serialize};

use super::now;
use crate::process::Process;
use crate::resolver::Host;

/// Between two looks.
const REST: Duration = Duration::from_millis(1);
/// For the segment and each service to be there.
const PATIENCE: u64 = 60_000_000_000;

/// One answer, noted when it is another than the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// When it was first read. Nanoseconds of CLOCK_MONOTONIC.
    pub at: u64,
    /// Of which service.
    pub service: String,
    /// FRESH, STALE, EMPTY, NEVER or REMOVED.
    pub state: String,
    /// Why it is not FRESH.
    pub reason: String,
    /// What `resolve()` gave.
    pub endpoint: Option<SocketAddr>,
    /// The whole set.
    pub set: BTreeSet<SocketAddr>,
}

/// A running witness.
#[derive(Debug)]
pub struct Witness {
    process: Process,
    /// Bytes of its output that were taken.
    taken: std::cell::Cell<usize>,
}

impl Witness {
    /// Starts `program`, which must call [`witness`] with its arguments, on a host's segment.
    #[track_caller]
    pub fn start(program: &Path, host: &Host, services: &[&str]) -> Witness {
        let segment = host.segment().display().to_string();
        let args: Vec<&str> = ["witness", &segment].into_iter().chain(services.iter().copied()).collect();
        let process = Process::start("witness", program, &args, host.dir());
        Witness { process, taken: std::cell::Cell::new(0) }
    }

    /// What it wrote down since the last call.
    ///
    /// # Panics
    ///
    /// If it has ended.
    #[track_caller]
    pub fn take(&self) -> Vec<Sighting> {
        assert!(self.process.is_running(), "the witness has ended{}", self.process.logs());
        let said = self.process.stdout();
        // The last line may not be whole yet.
        let end = said.rfind('\n').map_or(0, |end| end + 1);
        let lines = said[self.taken.get()..end].lines();
        self.taken.set(end);
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
    }
}

/// The witness's own process: `witness SEGMENT SERVICE...`. Ends only with an error, or when it is killed.
pub fn witness(args: &[String]) -> Result<(), Box<dyn Error>> {
    let [_, path, services @ ..] = args else { return Err("usage: witness SEGMENT SERVICE...".into()) };
    let start = now();
    let segment = loop {
        match Segment::open(path) {
            Ok(segment) => break segment,
            Err(error) if now() - start > PATIENCE => return Err(error.into()),
            Err(_) => std::thread::sleep(REST),
        }
    };
    let reader = segment.reader();
    let mut handles: BTreeMap<&str, Handle> = BTreeMap::new();
    let mut last: BTreeMap<&str, Sighting> = BTreeMap::new();
    let mut out = std::io::stdout().lock();
    loop {
        for service in services {
            let handle = match handles.get(service.as_str()) {
                Some(handle) => *handle,
                None => match reader.service(service) {
                    Some(handle) => *handles.entry(service).or_insert(handle),
                    None if now() - start > PATIENCE => return Err(format!("no {service} in {path}").into()),
                    None => continue,
                },
            };
            let Some(mut seen) = look(&reader, handle, service) else { continue };
            if let Some(last) = last.get(service.as_str()) {
                seen.at = last.at;
                if *last == seen {
                    continue;
                }
            }
            seen.at = now();
            let mut line = serde_json::to_vec(&seen)?;
            line.push(b'\n');
            // Whole, so that no half of it is ever read.
            out.write_all(&line)?;
            out.flush()?;
            last.insert(service, seen);
        }
        std::thread::sleep(REST);
    }
}

/// One answer, all of it of one publication; none if one came between.
fn look(reader: &Reader<'_>, handle: Handle, service: &str) -> Option<Sighting> {
    let (state, reason, _, generation) = reader.standing(handle).ok()?;
    let (mut set, mut endpoint) = (BTreeSet::new(), None);
    if let Ok(resolved) = reader.resolve(handle) {
        if resolved.generation() != generation {
            return None;
        }
        endpoint = Some(resolved.address().socket_addr());
        let walk = reader.set(handle).ok()?;
        for found in walk {
            set.insert(found.ok()?.address().socket_addr());
        }
        if walk.generation() != generation {
            return None;
        }
    }
    let (now_state, now_reason, _, now_generation) = reader.standing(handle).ok()?;
    if (now_state, now_reason, now_generation) != (state, reason, generation) {
        return None;
    }
    let (state, reason) = (state.name().to_owned(), reason.name().to_owned());
    Some(Sighting { at: 0, service: service.to_owned(), state, reason, endpoint, set })
}
