//! Writes the last good table to disk, on a thread of its own: a disk may take its time, and the sync thread has none.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use resolver_core::{Counter, IncidentKind};

use super::{Body, LastGood, LastGoodOptions, SavedService, SavedSetting};
use crate::catalog::Catalog;
use crate::ledger::{Ledger, now_ms};
use crate::schema::Schema;
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
    /// confirms it has the time of the last confirmation. `wanted`: what the configuration wants published.
    ///
    /// # Errors
    ///
    /// [`std::io::Error`] where no thread can be started.
    pub fn start(
        options: LastGoodOptions,
        known: LastGood,
        catalog: Catalog,
        wanted: (Vec<View>, Vec<Schema>),
        ledger: Ledger,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let keeping = Keeping::new(options, known, catalog, wanted, ledger);
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
    schemas: Vec<Schema>,
    ledger: Ledger,
    /// As last written, or read.
    last: LastGood,
    written_ms: u64,
    /// As last logged, so that it is logged once.
    failed: Option<String>,
}

impl Keeping {
    pub(super) fn new(
        options: LastGoodOptions,
        known: LastGood,
        catalog: Catalog,
        (views, schemas): (Vec<View>, Vec<Schema>),
        ledger: Ledger,
    ) -> Self {
        Keeping { options, catalog, views, schemas, ledger, last: known, written_ms: 0, failed: None }
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
        let table = self.table(written_ms);
        let period = u64::try_from(self.options.every.as_millis()).unwrap_or(u64::MAX);
        let is_due = written_ms.saturating_sub(self.written_ms) >= period.saturating_mul(PERIODS);
        let confirmed = table != self.last;
        if table.is_same(&self.last) && !(confirmed && (now || is_due)) {
            return Ok(false);
        }
        let LastGood { services, settings } = table;
        let body = Body { written_ms, services, settings };
        let bytes = serde_json::to_vec(&body).map_err(|error| {
            SealedError::refused(&self.options.path, format!("it cannot be said in JSON: {error}"))
        })?;
        self.options.file().write(&bytes)?;
        let Body { services, settings, .. } = body;
        (self.last, self.written_ms) = (LastGood { services, settings }, written_ms);
        Ok(true)
    }

    /// What there is to keep now.
    pub(super) fn table(&self, now: u64) -> LastGood {
        let service = |name: String| {
            let before = self.last.services.get(&name).map(|last| last.good_ms);
            let saved = SavedService::of(&name, &*self.catalog.get(&name)?, &self.views, before, now)?;
            Some((name, saved))
        };
        let setting = |schema: &Schema| {
            let before = self.last.settings.get(&schema.name).map(|last| last.good_ms);
            let saved = SavedSetting::of(schema, &*self.catalog.setting(&schema.name)?, before, now)?;
            Some((schema.name.clone(), saved))
        };
        LastGood {
            services: self.catalog.names().into_iter().filter_map(service).collect(),
            settings: self.schemas.iter().filter_map(setting).collect(),
        }
    }
}
