//! `follow SEGMENT SERVICE`: opens the segment once, takes the handle once, resolves all the time, and prints a JSON line
//! when what it sees has changed and each second. Never ends by itself. See `resolver_tests::Follower`.

#![allow(clippy::print_stdout, reason = "a program that is asked for its output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use resolver_core::{Handle, Liveness, Reader, ResolveError, Segment, WalkError};
use resolver_tests::Place;
use serde_json::{Value, json};

/// For the service to appear in the segment.
const PATIENCE: Duration = Duration::from_secs(20);
/// Silence of the publisher that counts as such, and how old an answer may be: as `resolver get` has them.
const SILENT: Duration = Duration::from_secs(1);
/// Reads for each look at the clock. Between two looks it sleeps: the cores are shared.
const READS: u64 = 200;
const REST: Duration = Duration::from_millis(1);
/// Between two lines about changes, and between two lines at all.
const LINES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What was seen up to now.
#[derive(Default)]
struct Seen {
    reads: u64,
    /// Sets walked from end to end.
    walks: u64,
    /// Answers, or sets, whose parts do not belong together.
    torn: u64,
    /// Answers older than one before.
    back: u64,
    /// Readings without an endpoint after the first with one, by reason.
    empty: u64,
    gone: u64,
    busy: u64,
    /// The last reading was not `Ok`: why.
    why: Option<ResolveError>,
    generation: u64,
    /// The head's address and id at that generation.
    head: Option<(std::net::SocketAddr, u64)>,
    length: usize,
    /// By instance: its id and how often it had moved.
    instances: BTreeMap<u8, (u64, u16)>,
}

impl Seen {
    fn read(&mut self, reader: &Reader<'_>, handle: Handle) {
        self.reads += 1;
        match reader.resolve(handle) {
            Ok(resolved) => {
                let address = resolved.address().socket_addr();
                let head = (address, resolved.id());
                self.why = None;
                match resolved.generation().cmp(&self.generation) {
                    std::cmp::Ordering::Less => self.back += 1,
                    std::cmp::Ordering::Equal => {
                        self.torn += u64::from(self.head.is_some_and(|old| old != head))
                    }
                    std::cmp::Ordering::Greater => self.place(address, resolved.id(), None),
                }
                self.generation = resolved.generation();
                self.head = Some(head);
            }
            Err(why) => {
                let counts = self.head.is_some();
                match why {
                    ResolveError::Busy => self.busy += 1,
                    ResolveError::Gone => self.gone += u64::from(counts),
                    ResolveError::Empty | ResolveError::Never => self.empty += u64::from(counts),
                }
                self.why = Some(why);
            }
        }
    }

    fn walk(&mut self, reader: &Reader<'_>, handle: Handle) {
        let Ok(set) = reader.set(handle) else { return };
        match set.into_iter().collect::<Result<Vec<_>, _>>() {
            Ok(endpoints) => {
                self.walks += 1;
                self.length = endpoints.len();
                self.torn += u64::from(endpoints.len() != set.len());
                self.back += u64::from(set.generation() < self.generation);
                for endpoint in endpoints {
                    self.place(endpoint.address().socket_addr(), endpoint.id(), Some(endpoint.weight()));
                }
            }
            Err(WalkError::Changed) => {}
        }
    }

    /// An address, its port, its weight and its id belong together, and no instance goes back to where it was.
    fn place(&mut self, address: std::net::SocketAddr, id: u64, weight: Option<u32>) {
        let Some(place) = Place::of(address) else {
            self.torn += 1;
            return;
        };
        let (known, moves) = self.instances.entry(place.instance).or_insert((id, place.moves));
        self.torn += u64::from(*known != id || weight.is_some_and(|weight| weight != place.weight()));
        self.back += u64::from(place.moves < *moves);
        *moves = place.moves;
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.as_slice() {
        [segment, service] => follow(segment, service),
        _ => Err("usage: follow SEGMENT SERVICE".into()),
    };
    if let Err(why) = result {
        eprintln!("{why}");
    }
    ExitCode::FAILURE
}

fn follow(path: &str, service: &str) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let segment = Segment::open(path)?;
    let reader = segment.reader();
    let handle = loop {
        match reader.service(service) {
            Some(handle) => break handle,
            None if began.elapsed() > PATIENCE => return Err(format!("no {service} in {path}").into()),
            None => std::thread::sleep(REST),
        }
    };
    let mut liveness = Liveness::new();
    let mut seen = Seen::default();
    let mut shown = (Value::Null, Duration::ZERO);
    loop {
        for _ in 0..READS {
            seen.read(&reader, handle);
        }
        seen.walk(&reader, handle);
        let now = began.elapsed();
        liveness.poll(&reader, now);
        let state = state(&segment, &reader, handle, &liveness, &seen);
        let since = now - shown.1;
        if since >= LINES.1 || (since >= LINES.0 && state != shown.0) {
            println!("{}", line(&state, now, &seen));
            shown = (state, now);
        }
        std::thread::sleep(REST);
    }
}

/// What counts as a change.
fn state(segment: &Segment, reader: &Reader<'_>, handle: Handle, liveness: &Liveness, seen: &Seen) -> Value {
    let standing = reader.standing(handle).ok();
    let live = liveness.silence().is_some_and(|silence| silence < SILENT);
    json!({
        "handle": handle.to_bits(),
        // None where the handle is of no service any more.
        "state": standing.map(|(state, ..)| state.name()),
        "reason": standing.map(|(_, reason, ..)| reason.name()),
        "live": live,
        "why": seen.why.map(|why| format!("{why:?}")),
        "generation": seen.generation,
        "endpoint": seen.head.map(|(address, _)| address.to_string()),
        "length": seen.length,
        // Counts the agents that this mapping has had.
        "owner": segment.owner().epoch,
    })
}

fn line(state: &Value, now: Duration, seen: &Seen) -> Value {
    let mut line = state.clone();
    for (name, count) in [
        ("ms", u64::try_from(now.as_millis()).unwrap_or(u64::MAX)),
        ("reads", seen.reads),
        ("walks", seen.walks),
        ("torn", seen.torn),
        ("back", seen.back),
        ("empty", seen.empty),
        ("gone", seen.gone),
        ("busy", seen.busy),
    ] {
        line[name] = json!(count);
    }
    line
}
