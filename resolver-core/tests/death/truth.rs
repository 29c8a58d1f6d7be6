//! What is published, and the reader that knows it: every field follows from the service and a number.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use resolver_core::pick::{Maglev, Smooth, Weighted};
use resolver_core::{
    CachedHandle, Capacity, Endpoint, FreshError, Handle, IncidentKind, Liveness, Name, Publication, Reader,
    Reason, ResolveError, Resolved, Setting, SourceBeat, Standing, Writer,
};

/// 64 services, so that a reader can look at all of them at each instruction.
pub const CAPACITY: Capacity = Capacity { services: 64, endpoints: 512, configs: 2, text_bytes: 64 };
/// Services that stay. There is room for one that comes and goes.
pub const SERVICES: usize = 62;
/// The service that has reserves and tables.
pub const FULL: usize = 1;
/// Those that are only ever published together, with the setting.
pub const TOGETHER: std::ops::Range<usize> = 2..6;
/// Sources that beat.
const SOURCES: usize = 3;
pub const SETTING: &str = "max-position";
/// Over 23 bytes: its name lies elsewhere than its entry.
pub const PASSING: &str = "a-name-that-comes-and-goes";

pub fn name(service: usize) -> String {
    format!("s{service}")
}

fn address(service: usize, n: u64) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from_bits((n as u32) << 8 | service as u32), n as u16))
}

fn active(service: usize, n: u64) -> usize {
    if service == FULL { 3 } else { n as usize % 3 + 1 }
}

/// The set of a service: every endpoint says `n`.
pub fn set(service: usize, n: u64) -> Vec<Endpoint> {
    let endpoint = Endpoint::new(address(service, n)).with_id(n).with_tags(!n);
    vec![endpoint; active(service, n) + usize::from(service == FULL)]
}

/// Publishes to one service.
pub fn publish(writer: &mut Writer<'_>, service: usize, n: u64) {
    let handle = writer.add(&name(service)).expect("there is room");
    let (set, text) = (set(service, n), n.to_le_bytes());
    let mut publication = Publication { text: &text, ..Publication::new(&set, Standing::FRESH) };
    if service == FULL {
        publication = Publication { active: 3, maglev: 300, smooth: true, ..publication };
    }
    writer.publish_as(handle, &publication).expect("there is room");
}

/// Publishes to several services and a setting, as of one moment.
pub fn publish_together(writer: &mut Writer<'_>, n: u64) {
    let setting = writer.add_setting::<i64>(SETTING).expect("there is room");
    let handles = TOGETHER.map(|service| writer.add(&name(service)).expect("there is room"));
    let handles: Vec<_> = handles.collect();
    let mut batch = writer.batch();
    for (service, handle) in TOGETHER.zip(handles) {
        batch.publish(handle, &set(service, n), Standing::FRESH, &n.to_le_bytes()).expect("there is room");
    }
    batch.set(setting, n as i64, Standing::FRESH).expect("it was added");
    batch.commit();
}

/// A name comes, and has a set; then it goes, and its slot and leaves are free again.
pub fn come(writer: &mut Writer<'_>, n: u64) {
    let handle = writer.add(PASSING).expect("there is room");
    writer.publish(handle, &set(SERVICES, n), Standing::FRESH, &n.to_le_bytes()).expect("there is room");
}

pub fn go(writer: &mut Writer<'_>) {
    writer.remove(PASSING);
}

/// Every source says the same of this beat.
pub fn beat(writer: &mut Writer<'_>) {
    let n = writer.reader().pulse() + 1;
    let age = Some(Duration::from_nanos(n));
    let source = SourceBeat { name: "source", age, revision: n, reason: Reason::None, rejected: n as u32 };
    writer.beat(&[source; SOURCES]);
}

/// More than what is kept against a new error.
const LATER: u64 = 4_000_000;

/// A new error each time: who it is about and its words are one number, in letters, as digits make no other error.
pub fn note(writer: &mut Writer<'_>) {
    let last = writer.reader().incidents().map(|incident| incident.last_ms() / LATER).max();
    let n = last.unwrap_or(0) + 1;
    let about = letters(n);
    assert!(writer.note(IncidentKind::Other, &about, &about.repeat(12), n * LATER), "one is old enough");
}

fn letters(n: u64) -> String {
    n.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}

/// The greatest number that was published anywhere.
pub fn newest(reader: &Reader<'_>) -> u64 {
    let resolved = |service| reader.resolve(reader.service(&name(service))?).ok();
    (0..SERVICES).filter_map(|service| Some(resolved(service)?.id())).max().unwrap_or(0)
}

/// A reader that remembers: no answer may be torn, missing, or older than one that it had before.
pub struct Watcher<'m> {
    reader: Reader<'m>,
    names: Vec<String>,
    handles: Vec<Handle>,
    cached: Vec<CachedHandle<'m>>,
    setting: Setting<i64>,
    last: Vec<(u64, u64)>,
    last_setting: i64,
    last_beats: [u64; SOURCES],
    /// Of a reader that looks only at what it is told to have changed.
    since: u64,
    told: HashMap<Handle, u64>,
    pub reads: u64,
}

impl<'m> Watcher<'m> {
    pub fn new(reader: Reader<'m>) -> Self {
        let names: Vec<_> = (0..SERVICES).map(name).collect();
        let handles: Vec<_> =
            names.iter().map(|name| reader.service(name).expect("it was published")).collect();
        Watcher {
            reader,
            cached: handles.iter().map(|handle| reader.cached(*handle)).collect(),
            setting: reader.setting(SETTING).expect("it was published"),
            last: vec![(0, 0); SERVICES],
            last_setting: 0,
            last_beats: [0; SOURCES],
            since: 0,
            told: HashMap::new(),
            names,
            handles,
            reads: 0,
        }
    }

    /// The same memory of answers, over a copy of the table.
    pub fn of_copy<'c>(&self, reader: Reader<'c>) -> Watcher<'c> {
        let (last, last_setting, last_beats) = (self.last.clone(), self.last_setting, self.last_beats);
        Watcher { last, last_setting, last_beats, ..Watcher::new(reader) }
    }

    /// Asks for everything, in every form; the writer is stopped or dead, so every answer must be there.
    pub fn look(&mut self) -> Result<(), String> {
        for service in 0..SERVICES {
            self.look_at(service).map_err(|fault| format!("service {service}: {fault}"))?;
        }
        self.look_at_together()?;
        self.look_at_the_sources()?;
        self.look_at_the_errors()?;
        self.look_at_the_passing()
    }

    /// Each error that can be read is whole.
    fn look_at_the_errors(&mut self) -> Result<(), String> {
        for incident in self.reader.incidents() {
            let wanted = letters(incident.first_ms() / LATER);
            let (mut about, mut words) = ([0; 272], [0; 272]);
            let is_whole = incident.about(&mut about) == wanted
                && incident.words(&mut words) == wanted.repeat(12)
                && (incident.count(), incident.last_ms()) == (1, incident.first_ms());
            if !is_whole {
                return Err(format!("{incident:?} is no error of one moment"));
            }
            self.reads += 1;
        }
        Ok(())
    }

    fn look_at_the_sources(&mut self) -> Result<(), String> {
        let pulse = self.reader.pulse();
        for (number, last) in self.last_beats.iter_mut().enumerate() {
            // The sources' cells are written before the pulse says so.
            let source = self.reader.source(number as u8).ok_or("a source is gone")?;
            let n = source.beat();
            let is_whole = source.revision() == n
                && source.rejected() == n as u32
                && source.age_at_beat() == Some(Duration::from_nanos(n));
            if !is_whole || n < *last || n < pulse {
                return Err(format!("{source:?} after {last}, at the pulse {pulse}"));
            }
            *last = n;
            self.reads += 1;
        }
        Ok(())
    }

    fn look_at(&mut self, service: usize) -> Result<(), String> {
        let (reader, handle) = (self.reader, self.handles[service]);
        let resolved = reader.resolve(handle).map_err(|error| format!("resolve: {error}"))?;
        let n = whole(service, &resolved)?;
        let generation = resolved.generation();
        let (last, last_generation) = self.last[service];
        if n < last || generation < last_generation || (n > last) != (generation > last_generation) {
            return Err(format!("{n} (generation {generation}) after {last} ({last_generation})"));
        }
        self.last[service] = (n, generation);
        let again = [
            reader.resolve_name(&Name::new(&self.names[service])),
            self.cached[service].resolve(&reader),
            reader.cached(handle).resolve(&reader),
            match reader.resolve_fresh(handle, Duration::ZERO, &Liveness::new()) {
                Err(FreshError::Old { last, .. }) => Ok(last),
                Err(FreshError::Resolve(error)) => Err(error),
                Ok(resolved) => Ok(resolved),
            },
        ];
        if again.iter().any(|answer| answer.as_ref() != Ok(&resolved)) {
            return Err(format!("{again:?} beside {resolved:?}"));
        }
        if reader.resolve_address(handle).map(|found| found.socket_addr()) != Ok(address(service, n)) {
            return Err(format!("another address than that of {n}"));
        }
        if reader.generation(handle) != Ok(generation)
            || reader.standing(handle).map(|standing| standing.3) != Ok(generation)
            || !reader.is_current(handle, &resolved)
        {
            return Err(format!("another standing than that of {n}"));
        }
        self.reads += 10;
        self.look_at_the_set(service, n)
    }

    /// No leaf of a set that a head leads to may be of another one.
    fn look_at_the_set(&mut self, service: usize, n: u64) -> Result<(), String> {
        let (reader, handle) = (self.reader, self.handles[service]);
        let set = reader.set(handle).map_err(|error| format!("set: {error}"))?;
        let walk: Result<Vec<_>, _> = set.into_iter().collect();
        let mut walk = walk.map_err(|error| format!("walk: {error}"))?;
        if walk.len() != active(service, n) {
            return Err(format!("{} endpoints of {n}", walk.len()));
        }
        if service == FULL {
            walk.push(set.reserve(0).ok_or("no reserve")?.map_err(|error| format!("reserve: {error}"))?);
            for key in 0..4 {
                let picked = Maglev::new().pick(&reader, handle, key);
                walk.push(picked.map_err(|error| format!("maglev: {error}"))?);
            }
            let mut smooth = Smooth::new();
            for _ in 0..4 {
                walk.push(smooth.pick(&reader, handle).map_err(|error| format!("smooth: {error}"))?);
            }
        }
        let picked = Weighted::new(n).pick(&reader, handle);
        walk.push(picked.map_err(|error| format!("weighted: {error}"))?);
        for endpoint in &walk {
            let is_whole = endpoint.id() == n && endpoint.tags() == !n;
            if !is_whole || endpoint.address().socket_addr() != address(service, n) {
                return Err(format!("{endpoint:?} in the set of {n}"));
            }
        }
        let mut text = [0; 8];
        if reader.text(handle, &mut text) != Ok(8) || u64::from_le_bytes(text) != n {
            return Err(format!("the text {text:?} beside {n}"));
        }
        self.reads += walk.len() as u64 + 2;
        Ok(())
    }

    fn look_at_together(&mut self) -> Result<(), String> {
        let mut all = [Err(ResolveError::Busy); TOGETHER.end - TOGETHER.start];
        self.reader
            .together(&self.handles[TOGETHER], &mut all)
            .map_err(|error| format!("together: {error}"))?;
        let first = all[0].as_ref().map(Resolved::id);
        if first.is_err() || all.iter().any(|answer| answer.as_ref().map(Resolved::id) != first) {
            return Err(format!("half of a batch: {all:?}"));
        }
        let value = self.reader.get(self.setting).map_err(|error| format!("setting: {error}"))?;
        if value < self.last_setting {
            return Err(format!("the setting is {value} after {}", self.last_setting));
        }
        self.last_setting = value;
        self.reads += 2;
        Ok(())
    }

    fn look_at_the_passing(&mut self) -> Result<(), String> {
        self.reads += 1;
        let Some(handle) = self.reader.service(PASSING) else { return Ok(()) };
        match self.reader.resolve(handle) {
            Ok(resolved) => whole(SERVICES, &resolved).map(drop),
            Err(ResolveError::Never) => Ok(()),
            Err(error) => Err(format!("a name that stands, and {error}")),
        }
    }

    /// Between publications: who looks only at what changed has seen it all, and the setting is of its batch.
    pub fn look_at_changes(&mut self) -> Result<(), String> {
        let (reader, told) = (self.reader, &mut self.told);
        self.since = reader.changes_since(self.since, |handle| {
            if let Ok(generation) = reader.generation(handle) {
                told.insert(handle, generation);
            }
        });
        for (service, handle) in self.handles.iter().enumerate() {
            if self.told.get(handle) != Some(&self.last[service].1) {
                return Err(format!("service {service}: a change was not told"));
            }
        }
        let together = self.last[TOGETHER.start].0;
        if self.last_setting != together as i64 {
            return Err(format!("the setting is {} in the batch of {together}", self.last_setting));
        }
        Ok(())
    }
}

/// The number of an answer, if all of it is of that number.
fn whole(service: usize, resolved: &Resolved) -> Result<u64, String> {
    let n = resolved.id();
    let is_whole = resolved.address().socket_addr() == address(service, n)
        && resolved.tags() == !n
        && resolved.endpoints() == active(service, n);
    if is_whole {
        Ok(n)
    } else {
        Err(format!("torn: {resolved:?} with id {n} and tags {:x}", resolved.tags()))
    }
}
