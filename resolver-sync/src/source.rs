//! The contract between a registry and everything behind it.
//!
//! A [`Source`] watches one registry for ever and reports to a [`Feed`]; when the guard doubts what it was told, it
//! asks the source for a second, consistent read ([`Source::confirm`]). Sources run as tasks of one current-thread
//! runtime, so their futures need not be `Send`.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use resolver_core::Reason;
use tokio::sync::Notify;

use crate::overlay::OverlaySource;
use crate::record::ServiceSet;

/// A boxed future of the sync thread.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Watches one registry.
///
/// # Contract
///
/// - `watch` never returns: errors are reported with [`Feed::lost`] or [`Feed::doubt`], waited out with back-off and
///   jitter, and tried again. Dropping the future ends the watch and closes its connections.
/// - After (re)connecting it reports everything it watches before it calls [`Feed::alive`].
/// - It never reports an older revision than it did before, unless it said [`Feed::epoch_changed`] first.
/// - A record that cannot be used is in [`ServiceSet::rejected`]; it never drops the set.
pub trait Source {
    /// The name that the configuration gave it; unique among the sources of one agent.
    fn name(&self) -> &str;

    /// Watches for ever and reports to `feed`. `known` are the services that the table already has from this source
    /// (a predecessor published them): they are watched too, whether or not the registry still lists them.
    fn watch<'a>(&'a self, known: Vec<String>, feed: &'a Feed) -> LocalFuture<'a, ()>;

    /// Reads one service again, consistently (Consul: `?consistent`, a known leader, and leave to read by
    /// `/v1/internal/acl/authorize`; etcd: a linearizable range, the same cluster id, no older revision).
    ///
    /// # Errors
    ///
    /// A [`Fault`] where the second read failed or cannot be believed; the last good set stands, with its reason.
    fn confirm<'a>(&'a self, service: &'a str) -> LocalFuture<'a, Result<ServiceSet, Fault>>;

    /// The overlay, if this is one: the publisher feeds it with what its members are believed to say.
    fn overlay(&self) -> Option<&OverlaySource> {
        None
    }
}

/// Why a source, or one service of it, cannot be believed now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In the table's own short vocabulary; published with the set that stands.
    pub reason: Reason,
    /// For a person: which registry, what was asked, what came. Never a token.
    pub detail: String,
}

impl Fault {
    /// A fault with its reason and words.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Fault { reason, detail: detail.into() }
    }
}

/// What a source has said since the publisher last asked. Only the latest word on each service is kept, so a burst
/// costs the publisher one publication, and memory is bounded by the number of services.
#[derive(Debug, Default)]
pub struct Report {
    /// The source began a new history (another cluster, a restored snapshot): older revisions are to be believed.
    pub new_epoch: Option<String>,
    /// When a snapshot came: every service that is not in `services` has no instance.
    pub complete: bool,
    /// The latest set of each service that was reported.
    pub services: BTreeMap<String, ServiceSet>,
    /// Services that cannot be read now; a later set of the same service clears its fault.
    pub doubts: BTreeMap<String, Fault>,
    /// Contact is lost for the whole source; the last `alive` cleared it.
    pub lost: Option<Fault>,
    /// When the source last proved that all it had reported was current.
    pub alive_at: Option<Instant>,
    /// When the first set of this report was reported; nothing in it has waited for longer.
    pub since: Option<Instant>,
}

/// Where a source reports to. Cheap to clone; may be used from any thread.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    inbox: Arc<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    report: Mutex<Report>,
    ready: Notify,
}

impl Feed {
    /// One service's set as it is now.
    pub fn service(&self, name: impl Into<String>, set: ServiceSet) {
        self.services([(name.into(), set)]);
    }

    /// Several services as of one moment: who takes the report has all of them or none.
    pub fn services(&self, sets: impl IntoIterator<Item = (String, ServiceSet)>) {
        self.update(|report| {
            report.since.get_or_insert_with(Instant::now);
            for (name, set) in sets {
                report.doubts.remove(&name);
                report.services.insert(name, set);
            }
        });
    }

    /// Every service of the registry; what is not named has no instance.
    pub fn snapshot(&self, services: BTreeMap<String, ServiceSet>) {
        self.update(|report| {
            report.since.get_or_insert_with(Instant::now);
            report.complete = true;
            report.doubts.clear();
            report.services = services;
        });
    }

    /// One service cannot be read, though the registry answers.
    pub fn doubt(&self, name: impl Into<String>, fault: Fault) {
        self.update(|report| {
            report.doubts.insert(name.into(), fault);
        });
    }

    /// All that was reported is current as of now.
    pub fn alive(&self) {
        self.update(|report| {
            report.lost = None;
            report.alive_at = Some(Instant::now());
        });
    }

    /// Contact is lost; sets stand until [`Feed::alive`].
    pub fn lost(&self, fault: Fault) {
        self.update(|report| report.lost = Some(fault));
    }

    /// What follows may have lower revisions than what came before, for this reason.
    pub fn epoch_changed(&self, why: impl Into<String>) {
        self.update(|report| report.new_epoch = Some(why.into()));
    }

    /// Waits until something was reported since the last [`Feed::take`].
    pub async fn ready(&self) {
        self.inbox.ready.notified().await;
    }

    /// Everything reported since the last call.
    pub fn take(&self) -> Report {
        std::mem::take(&mut *self.inbox.report.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn update(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.inbox.report.lock().unwrap_or_else(PoisonError::into_inner));
        self.inbox.ready.notify_one();
    }
}
