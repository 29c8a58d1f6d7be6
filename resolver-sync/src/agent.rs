//! The agent: one thread that watches the sources and publishes to a segment, until it is told to stop.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;

use resolver_core::shm::Origin;
use resolver_core::{Counter, IncidentKind, OwnedSegment, SegmentError, Writer};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::catalog::Catalog;
use crate::config::{Config, ConfigError};
use crate::control::Control;
use crate::health::{Health, HealthError, HealthServer};
use crate::kill::Kills;
use crate::last_good::{Filled, Keeper, LastGood};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::pin::{PinError, avoid, pin_sync};
use crate::policy::Zones;
use crate::publisher::{Ended, Hand, Patience, Publisher, Wanted};
use crate::report::{Inflow, ReportSocket, SocketError};
use crate::sealed::{Held, SealedError};
use crate::source::Source;
use crate::view::View;

/// Why an agent could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The sync thread could not be pinned.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The segment could not be owned.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// There is no socket for reports.
    #[error(transparent)]
    Reports(#[from] SocketError),
    /// Nobody could ask how the agent is.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// The directory for what outlives this process cannot be used.
    #[error(transparent)]
    State(#[from] SealedError),
    /// It cannot be known what an operator took out.
    #[error(
        "what an operator took out is not known: {0}; look at it, and remove it to let everything in again"
    )]
    Kills(SealedError),
    /// The runtime could not be started.
    #[error("cannot start the sync thread's runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Runs an agent on the calling thread, which is pinned as configured, until `stop` ends.
///
/// When the segment's file is removed or replaced under it, everything is published again to a new one.
///
/// # Errors
///
/// [`AgentError`]; a segment that another live process owns is one, and no byte of it is touched.
pub fn run(config: &Config, catalog: &Catalog, stop: impl Future<Output = ()>) -> Result<(), AgentError> {
    // Before this thread is pinned: what it starts would inherit its core.
    let (metrics, _health) = watched(config, catalog)?;
    if let Some(core) = config.sync.core {
        pin_sync(core, &config.sync.reader_cores)?;
    } else if !config.sync.reader_cores.is_empty() {
        avoid(&config.sync.reader_cores)?;
    }
    // One runtime for the agent's life: `stop` waits for signals that this runtime's driver receives.
    let runtime = runtime()?;
    let mut stop = pin!(stop);
    let ledger = metrics.ledger().clone();
    let mut keeper = None;
    let mut held = None;
    let mut kills = None;
    loop {
        let mut segment = OwnedSegment::acquire(&config.segment.path, &config.capacity())?;
        let (path, origin, size) = (config.segment.path.display(), segment.origin(), segment.size());
        tracing::info!(%path, ?origin, bytes = size, pid = std::process::id(), "owns the segment");
        let watch = segment.watch();
        let mut reports = Inflow::default();
        if let Some(options) = config.reports.options() {
            reports = reports.with_socket(ReportSocket::bind(&options)?);
            tracing::info!(path = %options.path.display(), "receives reports");
        }
        if let (None, Some(directory)) = (&held, &config.state.directory) {
            held = Some(Held::take(directory)?);
        }
        if keeper.is_none() {
            keeper = Some(keep(config, catalog, &ledger, is_cold(&segment)?)?);
        }
        let hand = hand(config, kills.take())?;
        let publication = Publication {
            sources: config.sources()?,
            views: config.views(),
            patience: config.patience(),
            catalog: catalog.clone(),
            zones: config.zones(),
            reports,
            settings: config.wanted()?,
        };
        let writer = segment.writer()?;
        let (ended, out) =
            publication.run_on(&runtime, writer, stop.as_mut(), || watch.is_current(), &metrics, hand);
        match ended {
            Ended::Stopped => {
                if let Some(Some(keeper)) = keeper {
                    keeper.finish();
                }
                tracing::info!(%path, "stopped; readers keep the last table");
                return Ok(());
            }
            Ended::Superseded => {
                // Their file may be gone with the segment's.
                kills = Some(out);
                tracing::warn!(%path, "the segment's file is gone or another; publishing anew")
            }
        }
    }
}

/// The agent's counts, and the server that shows them where the configuration wants one.
fn watched(config: &Config, catalog: &Catalog) -> Result<(Metrics, Option<HealthServer>), HealthError> {
    let metrics = Metrics::default();
    let Some(options) = config.health.options(&config.sync.reader_cores) else { return Ok((metrics, None)) };
    let health = Health::new();
    metrics.speak_for(&health);
    let (counts, catalog) = (metrics.clone(), catalog.clone());
    let server = HealthServer::start_with_metrics(options, health, move || counts.page(&catalog))?;
    tracing::info!("health and metrics on http://{}", server.address());
    Ok((metrics, Some(server)))
}

/// Whether no registry has ever spoken through this segment: what is on disk is newer than what it has, then.
fn is_cold(segment: &OwnedSegment) -> Result<bool, SegmentError> {
    Ok(segment.origin() != Origin::TakenOver || segment.reader()?.counter(Counter::Contacts) == 0)
}

/// Reads the last good table, where it is kept, for an agent that has no other; and keeps it from now on.
fn keep(config: &Config, catalog: &Catalog, ledger: &Ledger, cold: bool) -> std::io::Result<Option<Keeper>> {
    let Some(options) = config.state.last_good() else { return Ok(None) };
    let known = LastGood::read(&options).unwrap_or_else(|error| {
        let aside = LastGood::set_aside(&options);
        let aside = aside.map_or(String::new(), |path| format!("; it is {} now", path.display()));
        tracing::error!("the last good table is not served: {error}{aside}");
        ledger.count(Counter::SnapshotsFailed, 1);
        ledger.note(IncidentKind::Snapshot, "last-good", &error.to_string());
        LastGood::default()
    });
    if cold && !known.is_empty() {
        let Filled { services, settings } = known.fill(catalog, &config.views(), &config.schemas());
        let path = options.path.display();
        tracing::warn!(%path, services, settings, "serves the last good table from disk, as STALE, until the registries answer");
    }
    let wanted = (config.views(), config.schemas());
    Keeper::start(options, known, catalog.clone(), wanted, ledger.clone()).map(Some)
}

/// What an operator took out, and where operators ask. `known`: what this agent has known, if it is not at its start.
fn hand(config: &Config, known: Option<Kills>) -> Result<Hand, AgentError> {
    let segment = &config.segment.path;
    let store = config.state.kills(segment);
    let kills = match known {
        Some(kills) => {
            if let Err(error) = store.write(&kills.list()) {
                tracing::error!("what is out is not kept, and lost with this agent: {error}");
            }
            kills
        }
        None => store.read().map_err(AgentError::Kills)?,
    };
    for kill in kills.list() {
        tracing::warn!(target = %kill.target, service = kill.service, reason = kill.reason, "is out, by an operator's order");
    }
    let (options, named) = config.control.options(segment);
    let control = if named || crate::config::fits(&options.path) {
        Some(Control::bind(&options, store, config.control.terms())?)
    } else {
        let path = options.path.display();
        tracing::warn!(%path, "too long for a socket, so no operator can ask this agent; name one: [control] socket");
        None
    };
    Ok(Hand { kills, control })
}

/// Everything that a sync thread needs besides a table.
pub struct Publication {
    /// The registries.
    pub sources: Vec<Box<dyn Source + Send>>,
    /// What is published; everything, where there is none.
    pub views: Vec<View>,
    /// How patient it is.
    pub patience: Patience,
    /// Where people and tools of this process look.
    pub catalog: Catalog,
    /// Zones by number, and the host's own.
    pub zones: Zones,
    /// Where callers' reports come from.
    pub reports: Inflow,
    /// Typed configuration values.
    pub settings: Wanted,
}

impl Publication {
    /// Publishes to any table, on the calling thread, until `stop` ends.
    ///
    /// # Errors
    ///
    /// [`std::io::Error`] where the runtime cannot be started.
    pub fn run(self, writer: Writer<'_>, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let runtime = runtime()?;
        let _ = self.run_on(&runtime, writer, stop, || true, &Metrics::default(), Hand::default());
        Ok(())
    }

    fn run_on(
        self,
        runtime: &Runtime,
        writer: Writer<'_>,
        stop: impl Future<Output = ()>,
        is_current: impl Fn() -> bool,
        metrics: &Metrics,
        hand: Hand,
    ) -> (Ended, Kills) {
        let sources = self.sources.into_iter().map(|source| Rc::from(source as Box<dyn Source>)).collect();
        let mut publisher = Publisher::new(
            writer,
            sources,
            self.views,
            self.patience,
            self.catalog,
            self.zones,
            metrics.clone(),
        )
        .with_reports(self.reports)
        .with_settings(self.settings)
        .with_hand(hand);
        let ended = LocalSet::new().block_on(runtime, publisher.run(stop, is_current));
        (ended, publisher.into_kills())
    }
}

/// Current-thread: everything that the sync side does, it does on the one core that it was given.
fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
