//! Writes the last good table to disk, on a thread of its own: a disk may take its time, and the sync thread has none.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use resolver_core::{Counter, IncidentKind, Reason, State};

use super::{Body, LastGood, LastGoodOptions, Saved, SavedInstance};
use crate::catalog::{Catalog, Entry};
use crate::ledger::{Ledger, now_ms};
use crate::sealed::SealedError;
use crate::view::View;

/// After how many periods it is written anew though only the time of its last confirmation has changed.
const PERIODS: u64 = 6;

/// Keeps a catalogue on disk until it is finished or dropped.
#[derive(Debug)]
pub struct Keeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts to keep a catalogue, on a thread with the caller's cores. `known` is what was read before: of what nobody
    /// confirms it has the time of the last confirmation.
    ///
    /// # Errors
    ///
    /// [`std::io::Error`] where no thread can be started.
    pub fn start(
        options: LastGoodOptions,
        known: LastGood,
        catalog: Catalog,
        views: Vec<View>,
        ledger: Ledger,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let keeping = Keeping::new(options, known, catalog, views, ledger);
        let thread =
            std::thread::Builder::new().name("last-good".into()).spawn(move || keeping.run(&stopped))?;
        Ok(Keeper { stop: Some(stop), thread: Some(thread) })
    }

    /// Writes once more, and waits until that is done.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps the last good table panicked");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.end();
    }
}

pub(super) struct Keeping {
    options: LastGoodOptions,
    catalog: Catalog,
    views: Vec<View>,
    ledger: Ledger,
    /// As last written, or read.
    last: BTreeMap<String, Saved>,
    written_ms: u64,
    /// As last logged, so that it is logged once.
    failed: Option<String>,
}

impl Keeping {
    pub(super) fn new(
        options: LastGoodOptions,
        known: LastGood,
        catalog: Catalog,
        views: Vec<View>,
        ledger: Ledger,
    ) -> Self {
        let last = known.services;
        Keeping { options, catalog, views, ledger, last, written_ms: 0, failed: None }
    }

    fn run(mut self, stopped: &Receiver<()>) {
        loop {
            let end = stopped.recv_timeout(self.options.every) != Err(RecvTimeoutError::Timeout);
            match self.save(end) {
                Ok(true) => {
                    self.ledger.count(Counter::Snapshots, 1);
                    self.failed = None;
                }
                Ok(false) => {}
                Err(error) => {
                    let words = error.to_string();
                    self.ledger.count(Counter::SnapshotsFailed, 1);
                    self.ledger.note(IncidentKind::Snapshot, "last-good", &words);
                    if self.failed.as_ref() != Some(&words) {
                        tracing::error!("the last good table is not kept: {words}");
                        self.failed = Some(words);
                    }
                }
            }
            if end {
                return;
            }
        }
    }

    /// Writes if there is something new; whether it did. `now` makes it write newer times of confirmation, too.
    pub(super) fn save(&mut self, now: bool) -> Result<bool, SealedError> {
        let written_ms = now_ms();
        let services = self.services(written_ms);
        let same = |(name, saved): (&String, &Saved)| {
            let good_ms = saved.good_ms;
            self.last.get(name).is_some_and(|last| Saved { good_ms, ..last.clone() } == *saved)
        };
        let nothing_new = services.len() == self.last.len() && services.iter().all(same);
        let period = u64::try_from(self.options.every.as_millis()).unwrap_or(u64::MAX);
        let is_due = written_ms.saturating_sub(self.written_ms) >= period.saturating_mul(PERIODS);
        let confirmed = services != self.last;
        if nothing_new && !(confirmed && (now || is_due)) {
            return Ok(false);
        }
        let body = Body { written_ms, services };
        let bytes = serde_json::to_vec(&body).map_err(|error| {
            SealedError::refused(&self.options.path, format!("it cannot be said in JSON: {error}"))
        })?;
        self.options.file().write(&bytes)?;
        (self.last, self.written_ms) = (body.services, written_ms);
        Ok(true)
    }

    #[cfg(test)]
    pub(super) fn services_at(&self, now: u64) -> BTreeMap<String, Saved> {
        self.services(now)
    }

    fn services(&self, now: u64) -> BTreeMap<String, Saved> {
        let saved = |name: String| {
            let entry = self.catalog.get(&name).filter(|entry| !entry.set.instances.is_empty())?;
            let view = match self.views.iter().find(|view| view.name == name) {
                Some(view) => view.clone(),
                None => View::of_service(&entry.source, &name),
            };
            let before = self.last.get(&name).map(|last| last.good_ms);
            let good_ms = if is_confirmed(&entry) { now } else { before.unwrap_or(now) };
            let instances = entry.set.instances.iter().map(SavedInstance::of).collect();
            let View { source, service, tags, .. } = view;
            Some((name, Saved { source, service, tags, good_ms, revision: entry.set.revision, instances }))
        };
        self.catalog.names().into_iter().filter_map(saved).collect()
    }
}

/// Whether its registry stands by it at this moment.
fn is_confirmed(entry: &Entry) -> bool {
    // An operator took all of it out; the registry still has it.
    entry.state == State::Fresh || (entry.state == State::Empty && entry.reason == Reason::Killed)
}
