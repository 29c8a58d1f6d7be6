//! All questions that there are, and what an answer must look like whatever the bytes are.

use std::time::Duration;

use resolver_core::pick::{
    Failover, Maglev, PowerOfTwo, Random, Rendezvous, RoundRobin, Smooth, Weighted, tagged,
};
use resolver_core::{
    Bytes, CachedHandle, Endpoint, FreshError, Handle, Liveness, MAX_NAME, MAX_SET, MAX_SOURCE_NAME, Name,
    Reader, ResolveError, Resolved, Segment, Setting, State, Value,
};

use crate::live::NAMES;

/// How many questions had an answer.
#[derive(Debug, Default)]
pub struct Asked {
    pub answers: u64,
    pub errors: u64,
}

impl Asked {
    fn note<T, E: std::fmt::Display>(&mut self, answer: Result<T, E>) -> Option<T> {
        match answer {
            Ok(value) => {
                self.answers += 1;
                Some(value)
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                self.errors += 1;
                None
            }
        }
    }

    fn endpoint<E: std::fmt::Display>(&mut self, answer: Result<Endpoint, E>) -> Result<(), String> {
        let Some(endpoint) = self.note(answer) else { return Ok(()) };
        let text = endpoint.address().to_string();
        if text.parse() == Ok(endpoint.address().socket_addr()) {
            return Ok(());
        }
        Err(format!("an address that is none: {text}"))
    }
}

/// Handles with what was read while all was well.
pub fn cached(segment: &Segment) -> Vec<CachedHandle<'_>> {
    let reader = segment.reader();
    let handles = NAMES.iter().filter_map(|name| reader.service(name));
    handles.map(|handle| reader.cached(handle)).collect()
}

pub fn everything(segment: &Segment, cached: Vec<CachedHandle<'_>>) -> Result<Asked, String> {
    let (reader, mut asked) = (segment.reader(), Asked::default());
    // Nothing can be more than there are lines, whatever the header says.
    let most = segment.inspect().size / 64;
    let mut handles = vec![Handle::from_bits(0), Handle::from_bits(u64::MAX)];
    let (mut told, mut wrong) = (0, None);
    reader.for_each(|name, handle| {
        told += 1;
        // It may be one that no writer would take: empty, or with characters that names do not have. Tools escape it.
        if name.len() > MAX_NAME {
            wrong = Some(format!("a name of {} bytes", name.len()));
        }
        if reader.service(name).is_some() {
            handles.push(handle);
        }
        told <= 2 * most
    });
    if told > 2 * most || wrong.is_some() {
        return Err(wrong.unwrap_or_else(|| format!("{told} names in {most} lines")));
    }
    handles.extend(NAMES.iter().filter_map(|name| reader.service(name)));
    for name in NAMES {
        asked.note(reader.resolve_name(&Name::new(name)).map(|_| ()));
    }
    for mut cached in cached {
        asked.note(cached.resolve(&reader).map(|_| ()));
        asked.note(cached.resolve(&reader).map(|_| ()));
    }
    let mut liveness = Liveness::new();
    for second in 0..2 {
        liveness.poll(&reader, Duration::from_secs(second));
    }
    for handle in &handles {
        of_service(&reader, *handle, &liveness, &mut asked)?;
    }
    settings(&reader, &mut asked)?;
    let mut changed = 0;
    let _ = reader.changes_since(0, |handle| {
        changed += 1;
        let _ = reader.resolve(handle);
    });
    if changed > most {
        return Err(format!("{changed} changes in {most} lines"));
    }
    let mut all = vec![Err(ResolveError::Busy); handles.len()];
    asked.note(reader.together(&handles, &mut all).map(|_| ()));
    for number in 0..=u8::MAX {
        let mut name = [0; MAX_SOURCE_NAME];
        let source = reader.source(number);
        let _ =
            source.map(|source| (source.name(&mut name).len(), source.age_at_beat(), source.reason().name()));
    }
    inspection(segment, most)?;
    Ok(asked)
}

fn resolved(resolved: &Resolved) -> Result<(), String> {
    // Any state that there is: one bit makes FRESH another one. (Only a fresh one passes `resolve_fresh`.)
    let is_set = State::from_byte(resolved.state() as u8) == Some(resolved.state());
    let text = resolved.address().to_string();
    let is_address = text.parse() == Ok(resolved.address().socket_addr());
    if is_set && is_address && resolved.endpoints() <= MAX_SET && !resolved.reason().name().is_empty() {
        return Ok(());
    }
    Err(format!("not a record: {resolved:?}"))
}

fn of_service(
    reader: &Reader<'_>,
    handle: Handle,
    liveness: &Liveness,
    asked: &mut Asked,
) -> Result<(), String> {
    if let Some(answer) = asked.note(reader.resolve(handle)) {
        resolved(&answer)?;
        let _ = reader.is_current(handle, &answer);
    }
    match reader.resolve_fresh(handle, Duration::MAX, liveness) {
        Ok(answer) if answer.state() != State::Fresh => return Err(format!("fresh, and {answer:?}")),
        Ok(answer) | Err(FreshError::Old { last: answer, .. }) => resolved(&answer)?,
        Err(FreshError::Resolve(_)) => {}
    }
    asked.note(reader.resolve_address(handle).map(|address| address.to_string()));
    asked.note(reader.standing(handle).map(|standing| (standing.0.name(), standing.1.name())));
    asked.note(reader.generation(handle));
    asked.note(reader.cached(handle).resolve(reader).map(|_| ()));
    let mut text = [0; 300];
    asked.note(reader.text(handle, &mut text));
    let Some(set) = asked.note(reader.set(handle)) else { return Ok(()) };
    let length = set.len();
    let walked = set.into_iter().map(|endpoint| asked.endpoint(endpoint)).collect::<Result<Vec<_>, _>>()?;
    if walked.len() > length || length > MAX_SET {
        return Err(format!("{} endpoints of a set of {length}", walked.len()));
    }
    asked.note(set.all());
    for place in [0, 1, length, usize::MAX] {
        let _ = (set.get(place), set.reserve(place));
    }
    if reader.warm(handle) > MAX_SET {
        return Err("more is warm than a set can have".into());
    }
    picks(reader, handle, length, asked)
}

fn picks(reader: &Reader<'_>, handle: Handle, length: usize, asked: &mut Asked) -> Result<(), String> {
    let seed = handle.to_bits();
    asked.endpoint(RoundRobin::from(3).pick(reader, handle))?;
    asked.endpoint(Random::new(seed).pick(reader, handle))?;
    asked.endpoint(Weighted::new(seed).pick(reader, handle))?;
    asked.endpoint(PowerOfTwo::new(seed).pick(reader, handle, Endpoint::id))?;
    asked.endpoint(Rendezvous::pick(reader, handle, seed))?;
    asked.endpoint(Maglev::new().pick(reader, handle, seed))?;
    asked.endpoint(Smooth::from(7).pick(reader, handle))?;
    asked.endpoint(RoundRobin::new().pick_where(reader, handle, tagged(1)))?;
    // It is asked of each endpoint once in each round, and there are 16 rounds at most.
    let mut looked = 0;
    asked.endpoint(Random::new(seed).pick_where(reader, handle, |_| {
        looked += 1;
        false
    }))?;
    if looked > 16 * length {
        return Err(format!("{looked} looks at {length} endpoints"));
    }
    let mut failover = Failover::new();
    for _ in 0..6 {
        asked.endpoint(failover.pick(reader, handle))?;
        failover.failed();
    }
    Ok(())
}

fn settings(reader: &Reader<'_>, asked: &mut Asked) -> Result<(), String> {
    let mut names = Vec::new();
    reader.for_each_setting(|name, kind| {
        names.push(format!("{kind}"));
        name.len() <= MAX_NAME && names.len() < 10_000
    });
    if names.len() >= 10_000 {
        return Err("settings without end".into());
    }
    for name in ["max-position", "venue", "none"] {
        value::<i64>(reader, name, asked);
        value::<f64>(reader, name, asked);
        value::<bool>(reader, name, asked);
        if let Some(value) = value::<Bytes>(reader, name, asked)
            && value.as_slice().len() > 64
        {
            return Err("more bytes than a setting can have".into());
        }
    }
    Ok(())
}

fn value<T: Value>(reader: &Reader<'_>, name: &str, asked: &mut Asked) -> Option<T> {
    let setting: Setting<T> = reader.setting(name).ok()?;
    asked.note(reader.get_with_standing(setting).map(|(_, standing)| standing.state.name()));
    asked.note(reader.get(setting))
}

/// What `resolver segment stat` and `verify` go by.
fn inspection(segment: &Segment, most: usize) -> Result<(), String> {
    let inspection = segment.inspect();
    let used = inspection.used;
    let is_within = used.services <= inspection.capacity.services as usize
        && used.settings <= inspection.capacity.configs as usize
        && inspection.repair.half_written + inspection.repair.staged <= most
        && used.leaves_total <= most;
    if !is_within || inspection.process.name().is_empty() {
        return Err(format!("{inspection:?}"));
    }
    let faults = segment.faults();
    // A handful of each cell and each name.
    if faults.len() > 16 * most || faults.iter().any(|fault| fault.to_string().is_empty()) {
        return Err(format!("{} faults in {most} lines", faults.len()));
    }
    Ok(())
}
