//! The agent: one thread that watches the sources and publishes to a segment, until it is told to stop.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;

use resolver_core::{OwnedSegment, SegmentError, Writer};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::catalog::Catalog;
use crate::config::{Config, ConfigError};
use crate::pin::{PinError, avoid, pin_sync};
use crate::policy::Zones;
use crate::publisher::{Ended, Patience, Publisher, Wanted};
use crate::report::{Inflow, ReportSocket, SocketError};
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
    if let Some(core) = config.sync.core {
        pin_sync(core, &config.sync.reader_cores)?;
    } else if !config.sync.reader_cores.is_empty() {
        avoid(&config.sync.reader_cores)?;
    }
    // One runtime for the agent's life: `stop` waits for signals that this runtime's driver receives.
    let runtime = runtime()?;
    let mut stop = pin!(stop);
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
        let publication = Publication {
            sources: config.sources()?,
            views: config.views(),
            patience: config.patience(),
            catalog: catalog.clone(),
            zones: config.zones(),
            reports,
            settings: config.wanted()?,
        };
        let ended = publication.run_on(&runtime, segment.writer()?, stop.as_mut(), || watch.is_current());
        match ended {
            Ended::Stopped => {
                tracing::info!(%path, "stopped; readers keep the last table");
                return Ok(());
            }
            Ended::Superseded => {
                tracing::warn!(%path, "the segment's file is gone or another; publishing anew")
            }
        }
    }
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
        self.run_on(&runtime, writer, stop, || true);
        Ok(())
    }

    fn run_on(
        self,
        runtime: &Runtime,
        writer: Writer<'_>,
        stop: impl Future<Output = ()>,
        is_current: impl Fn() -> bool,
    ) -> Ended {
        let sources = self.sources.into_iter().map(|source| Rc::from(source as Box<dyn Source>)).collect();
        let mut publisher =
            Publisher::new(writer, sources, self.views, self.patience, self.catalog, self.zones)
                .with_reports(self.reports)
                .with_settings(self.settings);
        LocalSet::new().block_on(runtime, publisher.run(stop, is_current))
    }
}

/// Current-thread: everything that the sync side does, it does on the one core that it was given.
fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
