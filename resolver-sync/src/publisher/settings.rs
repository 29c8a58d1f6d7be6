//! Typed configuration values: from keys to cells, through their schema.
//!
//! The keys of one directory are watched together, so what one transaction changes there is published as one batch. A
//! value that does not fit, or a key that is gone, changes nothing that readers read but how it stands, and is an alarm:
//! a line in the log, a count, and one more among the source's records that are left out.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::{FuturesUnordered, SelectAll, select_all};
use resolver_core::{Reason, Standing, State, Writer};
use tokio::sync::mpsc;

use super::Publisher;
use super::cell::Cell;
use super::task::AbortOnDrop;
use crate::catalog::{Catalog, SettingEntry};
use crate::kv::{Kv, Target};
use crate::schema::{OnDelete, Schema, Value};
use crate::source::{Fault, LocalFuture};
use crate::subscribe::{KeyEvent, Keys};

/// The settings of an agent: what they have to be, and the registries that their sources stand for.
#[derive(Default)]
pub struct Wanted {
    /// Each names its source.
    pub schemas: Vec<Schema>,
    /// By the source's name.
    pub registries: BTreeMap<String, Box<dyn Kv + Send>>,
}

/// What the publisher knows of its settings.
#[derive(Default)]
pub(super) struct Settings {
    catalog: Catalog,
    tracks: Vec<Track>,
    directories: Vec<Directory>,
    stale_after: Duration,
    events: SelectAll<LocalStream>,
    tasks: FuturesUnordered<LocalFuture<'static, usize>>,
}

type LocalStream = std::pin::Pin<Box<dyn futures_util::Stream<Item = (usize, Vec<KeyEvent>)>>>;

/// One setting.
struct Track {
    schema: Schema,
    directory: usize,
    cell: Option<Cell>,
    value: Option<Value>,
    /// Why the value is not simply what the registry has.
    problem: Option<Fault>,
    /// What stands in the cell.
    published: Option<(Value, Standing)>,
    /// How often a value of it was refused, or was missing.
    alarms: u64,
}

/// Keys that are watched together.
struct Directory {
    source: u8,
    kv: Rc<dyn Kv>,
    target: Target,
    keys: Vec<String>,
    alive_at: Option<Instant>,
    lost: Option<Fault>,
}

/// Where a key is: all up to its last slash, or the key alone.
fn directory_of(key: &str) -> Target {
    match key.rfind('/') {
        Some(at) if at > 0 => Target::Prefix(key[..=at].to_owned()),
        _ => Target::Key(key.to_owned()),
    }
}

impl Publisher<'_> {
    /// Publishes these settings too. Those of a predecessor that are not among them leave the table.
    pub fn with_settings(mut self, wanted: Wanted) -> Self {
        let names: Vec<&str> = self.sources.iter().map(|source| source.name()).collect();
        let (catalog, stale_after) = (self.shelf.catalog().clone(), self.patience.stale_after);
        self.settings = Settings::new(wanted, &names, self.shelf.writer(), catalog, stale_after);
        self
    }
}

impl Settings {
    /// Enters every setting. What a predecessor left stands, as stale, if it still fits; settings that nobody wants any
    /// more leave the table. `sources` are the sources' names, by number.
    pub(super) fn new(
        wanted: Wanted,
        sources: &[&str],
        writer: &mut Writer<'_>,
        catalog: Catalog,
        stale_after: Duration,
    ) -> Self {
        let mut left = Vec::new();
        writer.reader().for_each_setting(|name, _| {
            left.push(name.to_owned());
            true
        });
        for name in left.iter().filter(|name| wanted.schemas.iter().all(|schema| schema.name != **name)) {
            tracing::info!(setting = name, "nobody wants this setting any more; it leaves the table");
            writer.remove_setting(name);
        }
        let registries: BTreeMap<String, Rc<dyn Kv>> =
            wanted.registries.into_iter().map(|(name, kv)| (name, Rc::from(kv as Box<dyn Kv>))).collect();
        let mut settings = Settings {
            catalog,
            tracks: Vec::new(),
            directories: Vec::new(),
            stale_after,
            events: select_all([]),
            tasks: FuturesUnordered::new(),
        };
        for schema in wanted.schemas {
            let source = sources.iter().position(|name| *name == schema.source);
            let (Some(source), Some(kv)) = (source, registries.get(&schema.source)) else {
                tracing::error!(setting = schema.name, source = schema.source, "there is no such source");
                continue;
            };
            settings.enter(schema, source as u8, Rc::clone(kv), writer);
        }
        settings.publish(writer);
        settings
    }

    fn enter(&mut self, schema: Schema, source: u8, kv: Rc<dyn Kv>, writer: &mut Writer<'_>) {
        let cell = match Cell::add(writer, &schema.name, schema.bounds.kind()) {
            Ok(cell) => Some(cell),
            Err(error) => {
                tracing::error!(setting = schema.name, "the setting cannot be entered: {error}");
                None
            }
        };
        // From a predecessor, or else from the table that this one supersedes, or from disk.
        let left = cell.and_then(|cell| cell.get(&writer.reader()));
        let left = left.or_else(|| self.catalog.setting(&schema.name)?.value);
        let target = directory_of(&schema.key);
        let same = |known: &Directory| known.source == source && known.target == target;
        let directory = self.directories.iter().position(same).unwrap_or_else(|| {
            self.directories.push(Directory {
                source,
                kv,
                target: target.clone(),
                keys: Vec::new(),
                alive_at: None,
                lost: None,
            });
            self.directories.len() - 1
        });
        if !self.directories[directory].keys.contains(&schema.key) {
            self.directories[directory].keys.push(schema.key.clone());
        }
        let mut track =
            Track { schema, directory, cell, value: None, problem: None, published: None, alarms: 0 };
        match left.map(|left| (left, track.schema.bounds.admit(&left))) {
            None => {}
            Some((left, Ok(()))) => track.value = Some(left),
            Some((_, Err(error))) => {
                track.alarm(
                    Reason::BadRecords,
                    &format!("the last good value does not fit any more: {error}"),
                );
                if let Some(cell) = cell {
                    let mut batch = writer.batch();
                    cell.unset(&mut batch, Reason::BadRecords);
                    batch.commit();
                }
            }
        }
        self.tracks.push(track);
    }

    /// Starts the watches on the current [`LocalSet`](tokio::task::LocalSet).
    pub(super) fn start(&mut self) {
        (0..self.directories.len()).for_each(|directory| self.watch(directory, Duration::ZERO));
    }

    fn watch(&mut self, index: usize, pause: Duration) {
        let Directory { kv, target, keys, .. } = &self.directories[index];
        let mut keys = Keys::expecting(Rc::clone(kv), target.clone(), keys.iter().cloned());
        // One batch waits at most: while nobody takes it, the watch's feed keeps the latest word alone.
        let (sender, receiver) = mpsc::channel(1);
        let task = AbortOnDrop::spawn(async move {
            tokio::time::sleep(pause).await;
            while sender.send(keys.next().await).await.is_ok() {}
        });
        let events = futures_util::stream::unfold(receiver, move |mut receiver| async move {
            Some(((index, receiver.recv().await?), receiver))
        });
        self.events.push(Box::pin(events));
        self.tasks.push(Box::pin(async move {
            if let Err(error) = task.await {
                tracing::error!("the watch of settings has ended, and is started again: {error}");
            }
            index
        }));
    }

    /// The next thing that happened; waits for ever where there are no settings.
    pub(super) async fn next(&mut self) -> (usize, Vec<KeyEvent>) {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.tasks.next(), if !self.tasks.is_empty() => self.watch(ended, RESTART),
                Some(events) = self.events.next(), if !self.events.is_empty() => return events,
                else => std::future::pending().await,
            }
        }
    }

    /// Takes what happened and publishes it, all of it in one batch.
    pub(super) fn absorb(&mut self, (index, events): (usize, Vec<KeyEvent>), writer: &mut Writer<'_>) {
        for event in events {
            match event {
                KeyEvent::Put(entry) => {
                    self.of_key(index, &entry.key, |track| track.take(&entry.value));
                }
                KeyEvent::Refused(refused) => {
                    self.of_key(index, &refused.key, |track| track.alarm(Reason::BadRecords, &refused.why));
                }
                KeyEvent::Deleted { key } => self.of_key(index, &key, Track::deleted),
                KeyEvent::Held { key, fault } => self.of_key(index, &key, |track| {
                    let why = format!("it seems to be gone, and that cannot be confirmed: {}", fault.detail);
                    track.alarm(fault.reason, &why);
                }),
                KeyEvent::Alive => {
                    let directory = &mut self.directories[index];
                    if directory.lost.take().is_some() || directory.alive_at.is_none() {
                        tracing::info!(
                            keys = directory.target.text(),
                            "settings are in step with the registry"
                        );
                    }
                    directory.alive_at = Some(Instant::now());
                }
                KeyEvent::Lost(fault) => {
                    let directory = &mut self.directories[index];
                    if directory.lost.as_ref() != Some(&fault) {
                        let (keys, reason) = (directory.target.text(), fault.reason.name());
                        tracing::warn!(keys, reason, "settings stand as they are: {}", fault.detail);
                    }
                    directory.lost = Some(fault);
                }
                KeyEvent::NewEpoch(why) => {
                    let keys = self.directories[index].target.text();
                    tracing::warn!(keys, "settings: a new epoch: {why}");
                }
            }
        }
        self.publish(writer);
    }

    /// Looks at the clock: who proved nothing for long is stale.
    pub(super) fn tick(&mut self, writer: &mut Writer<'_>) {
        self.publish(writer);
    }

    /// How many settings of a source have a value that is refused, or missing.
    pub(super) fn refused(&self, source: u8) -> u32 {
        let is_bad = |track: &&Track| {
            self.directories[track.directory].source == source
                && track.problem.as_ref().is_some_and(|problem| problem.reason == Reason::BadRecords)
        };
        u32::try_from(self.tracks.iter().filter(is_bad).count()).unwrap_or(u32::MAX)
    }

    fn of_key(&mut self, directory: usize, key: &str, mut act: impl FnMut(&mut Track)) {
        let of_key = |track: &&mut Track| track.directory == directory && track.schema.key == key;
        self.tracks.iter_mut().filter(of_key).for_each(&mut act);
    }

    fn publish(&mut self, writer: &mut Writer<'_>) {
        let now = Instant::now();
        let mut batch = writer.batch();
        for track in &mut self.tracks {
            let directory = &self.directories[track.directory];
            let standing = directory.standing(track.problem.as_ref(), now, self.stale_after);
            let next = track.value.map(|value| (value, standing));
            let Some(cell) = track.cell else { continue };
            match next {
                Some((value, standing)) if next != track.published => cell.set(&mut batch, value, standing),
                None if track.published.is_some() => cell.unset(&mut batch, Reason::None),
                _ => {}
            }
            track.published = next;
            let (name, entry) = (&track.schema.name, track.entry(standing));
            if self.catalog.setting(name).as_deref() != Some(&entry) {
                self.catalog.put_setting(name, entry);
            }
        }
        batch.commit();
    }
}

impl Track {
    fn entry(&self, standing: Standing) -> SettingEntry {
        let (state, reason) = match self.value {
            Some(_) => (standing.state, standing.reason),
            None => (State::Empty, self.problem.as_ref().map_or(Reason::None, |why| why.reason)),
        };
        let detail = self.problem.as_ref().map_or(String::new(), |problem| problem.detail.clone());
        SettingEntry { value: self.value, state, reason, detail, alarms: self.alarms }
    }

    fn take(&mut self, raw: &[u8]) {
        match self.schema.bounds.parse(raw) {
            Ok(value) => {
                if self.problem.take().is_some() || self.value != Some(value) {
                    tracing::info!(setting = self.schema.name, %value, "set");
                }
                self.value = Some(value);
            }
            Err(error) => self.alarm(Reason::BadRecords, &error.to_string()),
        }
    }

    fn deleted(&mut self) {
        match (self.schema.on_delete, self.value) {
            (_, None) => self.alarm(Reason::BadRecords, "there is no such key"),
            (OnDelete::Keep, Some(_)) => self.alarm(Reason::BadRecords, "the key was deleted"),
            (OnDelete::Unset, Some(_)) => {
                tracing::warn!(setting = self.schema.name, "the key was deleted; there is no value any more");
                (self.value, self.problem) = (None, None);
            }
        }
    }

    fn alarm(&mut self, reason: Reason, why: &str) {
        let problem = Fault::new(reason, why);
        if self.problem.as_ref() == Some(&problem) {
            return;
        }
        self.alarms += 1;
        let Schema { name, key, .. } = &self.schema;
        match self.value {
            Some(value) => tracing::error!(
                setting = name, key, alarms = self.alarms, reason = reason.name(), %value,
                "refused, and the last good value stands: {why}"
            ),
            None => tracing::error!(
                setting = name,
                key,
                alarms = self.alarms,
                reason = reason.name(),
                "refused, and there is no value: {why}"
            ),
        }
        self.problem = Some(problem);
    }
}

impl Directory {
    fn standing(&self, problem: Option<&Fault>, now: Instant, stale_after: Duration) -> Standing {
        let lost = self.lost.as_ref().map(|fault| fault.reason);
        let stale = |reason| Standing { state: State::Stale, reason, source: self.source };
        match self.alive_at {
            None => stale(lost.unwrap_or(Reason::Restored)),
            Some(at) if now.saturating_duration_since(at) >= stale_after => {
                stale(lost.unwrap_or(Reason::Unreachable))
            }
            Some(_) => match problem {
                Some(problem) => stale(problem.reason),
                None => Standing { state: State::Fresh, reason: Reason::None, source: self.source },
            },
        }
    }
}

/// How long after its end a watch is started again.
const RESTART: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_watched_by_directory() {
        assert_eq!(directory_of("config/risk/max"), Target::Prefix("config/risk/".into()));
        assert_eq!(directory_of("/config/max"), Target::Prefix("/config/".into()));
        assert_eq!(directory_of("max"), Target::Key("max".into()));
        // Not the whole store.
        assert_eq!(directory_of("/max"), Target::Key("/max".into()));
    }
}
