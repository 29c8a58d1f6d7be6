//! Whether this process works, and whether it is ready, for those who ask over HTTP.
//!
//! [`Health`] is what the process says of itself: as a whole ([`Health::set_healthy`]), by named components that
//! report ([`Component`]) and by probes that are made when somebody asks ([`Health::probe`]). [`HealthServer`] answers:
//!
//! | path | 200 | 503 |
//! |---|---|---|
//! | `/health` | no component has failed; some may be degraded | something has failed |
//! | `/ready` | the above, and everything that readiness waits for is there | not yet, or not any more |
//! | `/metrics` | text for Prometheus, where the process has some | |
//!
//! The answers of the first two are JSON with the reasons. A check of Consul's counts 200 as passing and 503 as critical.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

mod answer;
mod connections;
mod server;

pub use server::{HealthError, HealthOptions, HealthServer};

/// What a process says of itself. Cheap to clone; all clones are one.
///
/// # Examples
///
/// ```
/// use resolver_sync::health::Health;
///
/// let health = Health::new();
/// let feed = health.component("market-data");
/// feed.fail("no tick for 3 s");
/// assert!(!health.report().is_up());
/// feed.pass();
/// health.set_ready(true, "");
/// assert!(health.report().is_up() && health.readiness().is_up());
/// ```
#[derive(Clone, Default)]
pub struct Health {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Why it is unhealthy as a whole.
    unhealthy: Option<String>,
    /// Whether it said that it is ready; else why not.
    ready: Option<String>,
    started: bool,
    components: BTreeMap<String, Reported>,
    probes: BTreeMap<String, Probe>,
    /// What readiness waits for beside them.
    gates: BTreeMap<String, Probe>,
}

type Probe = Arc<dyn Fn() -> Verdict + Send + Sync>;

struct Reported {
    verdict: Verdict,
    at: Instant,
    /// Fails when nothing was reported for so long.
    within: Option<Duration>,
}

/// How one component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Passing,
    /// It works, but not well, for this reason. The process is up.
    Degraded(String),
    /// It does not work, for this reason. The process is not up.
    Failed(String),
}

/// One component of a process, to report how it is.
#[derive(Clone)]
pub struct Component {
    health: Health,
    name: String,
}

/// What is answered: the word for the whole, and each component's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    status: &'static str,
    /// Everything that is not as it should be.
    reasons: Vec<String>,
    components: BTreeMap<String, ComponentReport>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct ComponentReport {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Health {
    /// Healthy, and not ready before [`Health::set_ready`] says so.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the process works as a whole; the reason counts where it does not.
    pub fn set_healthy(&self, healthy: bool, reason: impl Into<String>) {
        self.lock().unhealthy = (!healthy).then(|| reason.into());
    }

    /// Whether the process can serve; the reason counts where it cannot.
    pub fn set_ready(&self, ready: bool, reason: impl Into<String>) {
        let mut state = self.lock();
        state.started = true;
        state.ready = (!ready).then(|| reason.into());
    }

    /// A component of this name, passing until it reports otherwise.
    pub fn component(&self, name: impl Into<String>) -> Component {
        self.reporting(name.into(), None)
    }

    /// As [`Health::component`]; it fails by itself when it has reported nothing for so long. For loops that must turn.
    pub fn component_within(&self, name: impl Into<String>, within: Duration) -> Component {
        self.reporting(name.into(), Some(within))
    }

    /// A component that is asked when somebody asks. It runs on the server's thread, and must not wait.
    pub fn probe(&self, name: impl Into<String>, probe: impl Fn() -> Verdict + Send + Sync + 'static) {
        self.lock().probes.insert(name.into(), Arc::new(probe));
    }

    /// As [`Health::probe`], for readiness alone.
    pub fn gate(&self, name: impl Into<String>, probe: impl Fn() -> Verdict + Send + Sync + 'static) {
        self.lock().gates.insert(name.into(), Arc::new(probe));
    }

    /// How the process is now.
    pub fn report(&self) -> Report {
        Report::of(self.verdicts(false))
    }

    /// Whether the process can serve now.
    pub fn readiness(&self) -> Report {
        Report::of(self.verdicts(true))
    }

    fn verdicts(&self, readiness: bool) -> BTreeMap<String, Verdict> {
        let mut verdicts = BTreeMap::new();
        // Probes may look at this very health: they are made without its lock.
        let probes = {
            let state = self.lock();
            if let Some(reason) = &state.unhealthy {
                verdicts.insert("process".into(), Verdict::Failed(reason.clone()));
            }
            if readiness && let Some(verdict) = state.readiness() {
                verdicts.insert("ready".into(), verdict);
            }
            verdicts.extend(state.components.iter().map(|(name, reported)| (name.clone(), reported.now())));
            let mut probes = state.probes.clone();
            if readiness {
                probes.extend(state.gates.clone());
            }
            probes
        };
        verdicts.extend(probes.into_iter().map(|(name, probe)| (name, probe())));
        verdicts
    }

    fn reporting(&self, name: String, within: Option<Duration>) -> Component {
        let reported = Reported { verdict: Verdict::Passing, at: Instant::now(), within };
        self.lock().components.insert(name.clone(), reported);
        Component { health: self.clone(), name }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn readiness(&self) -> Option<Verdict> {
        match (&self.ready, self.started) {
            (Some(reason), _) => Some(Verdict::Failed(reason.clone())),
            // Gates can say it all.
            (None, false) if self.gates.is_empty() => Some(Verdict::Failed("it has not said so yet".into())),
            (None, _) => None,
        }
    }
}

impl Reported {
    fn now(&self) -> Verdict {
        match self.within {
            Some(within) if self.at.elapsed() > within => {
                Verdict::Failed(format!("no word for more than {within:?}"))
            }
            _ => self.verdict.clone(),
        }
    }
}

impl Component {
    /// It works.
    pub fn pass(&self) {
        self.report(Verdict::Passing);
    }

    /// It works, but not well.
    pub fn degrade(&self, reason: impl Into<String>) {
        self.report(Verdict::Degraded(reason.into()));
    }

    /// It does not work.
    pub fn fail(&self, reason: impl Into<String>) {
        self.report(Verdict::Failed(reason.into()));
    }

    /// How it is.
    pub fn report(&self, verdict: Verdict) {
        if let Some(reported) = self.health.lock().components.get_mut(&self.name) {
            (reported.verdict, reported.at) = (verdict, Instant::now());
        }
    }
}

impl Report {
    fn of(verdicts: BTreeMap<String, Verdict>) -> Self {
        let mut report = Report { status: "ok", reasons: Vec::new(), components: BTreeMap::new() };
        for (name, verdict) in verdicts {
            let (status, reason) = match verdict {
                Verdict::Passing => ("ok", None),
                Verdict::Degraded(reason) => ("degraded", Some(reason)),
                Verdict::Failed(reason) => ("failed", Some(reason)),
            };
            if status == "failed" || report.status == "ok" {
                report.status = status;
            }
            report.reasons.extend(reason.iter().map(|reason| format!("{name}: {reason}")));
            report.components.insert(name, ComponentReport { status, reason });
        }
        report
    }

    /// Whether nothing has failed: 200, not 503.
    pub fn is_up(&self) -> bool {
        self.status != "failed"
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Health").field(&self.report()).finish()
    }
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Component").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(report: &Report) -> serde_json::Value {
        serde_json::to_value(report).expect("strings alone")
    }

    #[test]
    fn the_worst_component_decides_and_each_has_its_reason() {
        let health = Health::new();
        let (disk, feed) = (health.component("disk"), health.component("feed"));
        assert_eq!(json(&health.report())["status"], "ok");
        disk.degrade("90 % full");
        assert_eq!(json(&health.report())["status"], "degraded");
        assert!(health.report().is_up());
        feed.fail("cut");
        disk.pass();
        disk.degrade("91 % full");
        let report = json(&health.report());
        assert_eq!((&report["status"], health.report().is_up()), (&"failed".into(), false));
        assert_eq!(report["reasons"], serde_json::json!(["disk: 91 % full", "feed: cut"]));
        assert_eq!(report["components"]["feed"], serde_json::json!({ "status": "failed", "reason": "cut" }));
        feed.pass();
        health.set_healthy(false, "told so");
        assert_eq!(json(&health.report())["components"]["process"]["reason"], "told so");
        health.set_healthy(true, "");
        assert!(health.report().is_up());
    }

    #[test]
    fn ready_only_when_it_was_said_and_everything_else_holds() {
        let health = Health::new();
        assert!(health.report().is_up() && !health.readiness().is_up());
        health.set_ready(true, "");
        assert!(health.readiness().is_up());
        let feed = health.component("feed");
        feed.fail("cut");
        assert!(!health.readiness().is_up(), "what does not work cannot serve");
        feed.pass();
        health.gate("table", || Verdict::Failed("none yet".into()));
        assert!(health.report().is_up() && !health.readiness().is_up());
        health.gate("table", || Verdict::Passing);
        assert!(health.readiness().is_up());
        health.set_ready(false, "draining");
        assert_eq!(json(&health.readiness())["reasons"], serde_json::json!(["ready: draining"]));
    }

    #[test]
    fn a_loop_that_stands_still_fails_by_itself() {
        let health = Health::new();
        let turning = health.component_within("loop", Duration::from_secs(60));
        assert!(health.report().is_up());
        let standing = health.component_within("stuck", Duration::ZERO);
        assert!(!health.report().is_up());
        standing.pass();
        assert!(!health.report().is_up(), "its word is too old again");
        turning.pass();
    }
}
