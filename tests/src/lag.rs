//! How much later `resolve()` shows a change than a bare watch of the registry sees it. `docs/lag.md` has the method.
//!
//! Three processes besides the registry's own: `resolver agent`; a bare watch; and a reader that polls `resolve()` on the
//! agent's segment. The caller writes one change after another, each with a number of its own (the port), and waits
//! until both have seen it. All times are of CLOCK_MONOTONIC, which is one clock for all processes of a host.

mod bare;
mod load;
mod polling;
mod registry;
mod sheet;
mod summary;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::cluster::Options;
use crate::process::Process;
use crate::resolver::Host;
use crate::scratch;

use load::Loads;
use registry::Server;
use sheet::Sheet;

pub use load::Load;
pub use registry::Registry;
pub use summary::{Spread, Summary};

/// What moves: one of three instances, the one that `resolve()` gives.
const SERVICE: &str = "orders";
/// Change 0 has this port.
const FIRST_PORT: u16 = 1000;
/// So that every change has a port of its own.
pub const MOST_CHANGES: u16 = 60_000;
/// Changes before those that count: connections are made, code is paged in.
const WARM_UP: u16 = 20;
/// After a write and before the next one nothing else is done for so long.
const QUIET: Duration = Duration::from_millis(3);
/// One change may take so long to be seen; a leader that is lost under load comes back within it.
const SEEN: Duration = Duration::from_secs(20);

/// How to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whose lag.
    pub registry: Registry,
    /// Three members with these options; none is a single one, plain and open.
    pub cluster: Option<Options>,
    /// How many changes count.
    pub changes: u16,
    /// The core of the agent's thread; none leaves it to the scheduler.
    pub agent_core: Option<usize>,
    /// The core of the reader; none leaves it to the scheduler.
    pub reader_core: Option<usize>,
    /// How long the reader sleeps between two polls.
    pub poll: Duration,
    /// Whether a second bare watch runs beside the first: what the two differ by, no agent could avoid.
    pub control: bool,
    /// Whether all watchers run ahead of everything else (`chrt --fifo`), so that none waits for the registry's processes
    /// where it has no core of its own. Wants root.
    pub realtime: bool,
}

/// One change, in nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Counts from 1, the warm-up not included.
    pub number: u16,
    /// Just before the write was handed to its client.
    pub sent: u64,
    /// The write's own answer came.
    pub answered: u64,
    /// The bare watch had parsed the new address.
    pub bare: u64,
    /// `resolve()` had given the new address.
    pub resolved: u64,
    /// The second bare watch, if there is one, had parsed it.
    pub control: Option<u64>,
    /// The last poll before that, which still gave the old one.
    pub polled_before: u64,
    /// What the scheduler says of the three processes, from before the write until both had seen it.
    pub agent: Load,
    /// See [`Change::agent`].
    pub bare_load: Load,
    /// See [`Change::agent`].
    pub reader_load: Load,
}

impl Change {
    /// How much later than the bare watch `resolve()` gave it; negative where it was first. Nanoseconds.
    pub fn difference(&self) -> i64 {
        self.resolved as i64 - self.bare as i64
    }
}

/// Starts a registry, an agent and both watchers, makes the changes, and ends them all.
///
/// `watcher` is a program that calls [`watch`] with its arguments.
///
/// # Panics
///
/// If something cannot be started, or a watcher misses a change, sees one twice, or sees them in another order.
pub fn measure(plan: &Plan, watcher: &Path) -> Vec<Change> {
    assert!(plan.changes <= MOST_CHANGES, "at most {MOST_CHANGES} changes have a port of their own");
    let host = Host::new();
    let dir = scratch::in_memory();
    let server = Server::start(plan.registry, plan.cluster);
    let mut writer = server.writer();
    for (id, address) in [("still-1", "10.0.0.2"), ("still-2", "10.0.0.3")] {
        writer.write(id, address, FIRST_PORT);
    }
    writer.move_to(FIRST_PORT);
    let agent = host.agent(&configuration(plan, &server, &host));

    let start = |name: &str, watches: &str, args: &[&str]| {
        let mut sheet = Sheet::new(&dir.path().join(name));
        let path = sheet.path().display().to_string();
        let program = watcher.display().to_string();
        let command: &[&str] = if plan.realtime { &["chrt", "--fifo", "1", &program] } else { &[&program] };
        let args: Vec<&str> = command[1..].iter().chain(&[watches, &path]).chain(args).copied().collect();
        let process = Process::start(name, Path::new(command[0]), &args, dir.path());
        sheet.wait_for(FIRST_PORT, SEEN, || writer.rest(Duration::from_millis(1)), &[&process, &agent]);
        (sheet, process)
    };
    let core = plan.reader_core.map_or("any".into(), |core| core.to_string());
    let poll = plan.poll.as_micros().to_string();
    let bare = plan.registry.bare();
    let access = serde_json::to_string(&server.access()).expect("strings");
    let mut control = plan.control.then(|| start("control", bare, &[&access]));
    let (mut bare, watching) = start("bare", bare, &[&access]);
    let (mut polls, polling) =
        start(POLLING, POLLING, &[&host.segment().display().to_string(), &core, &poll]);

    let processes = [&agent, &watching, &polling];
    let mut changes = Vec::with_capacity(plan.changes.into());
    for number in 1..=WARM_UP + plan.changes {
        let port = FIRST_PORT + number;
        // Both are parked again, and no period of anything is in step with the changes.
        writer.rest(QUIET + Duration::from_micros(u64::from(number) * 37 % 41 * 50));
        let before = Loads::of(processes);
        let (sent, answered) = writer.move_to(port);
        // Off the cores, which the watchers want now.
        writer.rest(QUIET);
        let seen_by_bare = bare.wait_for(port, SEEN, || writer.rest(Duration::from_millis(1)), &processes);
        let resolved = polls.wait_for(port, SEEN, || writer.rest(Duration::from_millis(1)), &processes);
        let mut rest = || writer.rest(Duration::from_millis(1));
        let control =
            control.as_mut().map(|(sheet, process)| sheet.wait_for(port, SEEN, &mut rest, &[process]).at);
        let [agent, bare_load, reader_load] = Loads::of(processes).since(&before);
        if let Some(number) = number.checked_sub(WARM_UP).filter(|number| *number > 0) {
            let (bare, resolved, polled_before) = (seen_by_bare.at, resolved.at, resolved.before);
            changes.push(Change {
                number,
                sent,
                answered,
                bare,
                resolved,
                control,
                polled_before,
                agent,
                bare_load,
                reader_load,
            });
        }
    }
    changes
}

/// A watcher's own process: its arguments as [`measure`] gave them. Ends only with an error, or when it is killed.
pub fn watch(args: &[String]) -> ExitCode {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ended = match args.as_slice() {
        [name, sheet, access] if is_bare(name) => match serde_json::from_str(access) {
            Ok(access) if *name == Registry::Consul.bare() => bare::consul(&access, Path::new(sheet)),
            Ok(access) => bare::etcd(&access, Path::new(sheet)),
            Err(wrong) => Err(wrong.into()),
        },
        [POLLING, sheet, segment, core, poll] => {
            polling::poll(Path::new(segment), core.parse().ok(), poll, Path::new(sheet))
        }
        _ => Err(format!("{args:?} are no arguments of a watcher").into()),
    };
    if let Err(why) = ended {
        eprintln!("{}: {why}", args.first().unwrap_or(&"watcher"));
    }
    ExitCode::FAILURE
}

/// Whether a program's first argument asks for [`watch`].
pub fn is_watcher(name: &str) -> bool {
    name == POLLING || is_bare(name)
}

fn is_bare(name: &str) -> bool {
    [Registry::Consul.bare(), Registry::Etcd.bare()].contains(&name)
}

const POLLING: &str = "poll-resolve";

/// Why a watcher ended.
type Ended = Result<(), Box<dyn std::error::Error>>;

fn configuration(plan: &Plan, server: &Server, host: &Host) -> String {
    let pinned = plan.agent_core.map_or(String::new(), |core| format!("[sync]\ncore = {core}\n\n"));
    format!("{pinned}{}", server.source(host))
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // Both are positive: the clock counts from the host's start.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
