//! Many changes at once, at a steady rate, and how old meanwhile is what `resolve()` gives.

use std::fmt::{self, Display};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{MissedTickBehavior, interval};

use super::fleet::{Fleet, Place};
use super::load::Load;
use super::pen::Pen;
use super::reader::Table;
use crate::cluster::now;
use crate::lag::Spread;
use crate::process::Process;

/// Between two transactions.
const TICK: Duration = Duration::from_millis(10);
/// Of them, between two changes of the probe.
const PROBE_TICKS: u64 = 5;
/// Transactions under way at one time; more than these, and the registry is behind.
const FLIGHT: usize = 64;
/// One part of a storm, to see whether anything grows.
const WINDOW: Duration = Duration::from_secs(10);
/// For the registry and the table to be in step after it.
const PATIENCE: Duration = Duration::from_secs(120);
/// The service that is looked at, and its first port in a storm. Its changes come one after the other, so that their
/// order is known.
const PROBE: u32 = 0;
const PROBE_PORT: u16 = 2000;

/// What one storm did.
#[derive(Clone, Debug)]
pub struct Storm {
    wanted: u32,
    changes: u64,
    took: Duration,
    windows: Vec<Window>,
    caught_up: Duration,
}

#[derive(Clone, Debug)]
struct Window {
    /// How old what `resolve()` gave was, each time that it changed: since the write after it was sent.
    age: Spread,
    agent: Load,
    registry: Load,
    probes: usize,
}

impl Storm {
    /// Changes that the registry took in a second.
    pub fn rate(&self) -> f64 {
        self.changes as f64 / self.took.as_secs_f64()
    }

    /// Whether the agent's memory still grew in the end: the last third above the second by more than a tenth. What is
    /// taken at first, for a listing beside the watch, say, is taken once.
    pub fn grew(&self) -> bool {
        let third = self.windows.len() / 3;
        let most = |windows: &[Window]| windows.iter().map(|window| window.agent.anon).max().unwrap_or(0);
        third > 0 && most(&self.windows[2 * third..]) * 10 > most(&self.windows[third..2 * third]) * 11
    }
}

/// What writer and reader share.
struct Probe {
    /// When each change of the probe was sent; 0 before.
    sent: Vec<AtomicU64>,
    changes: AtomicU32,
    over: AtomicBool,
}

impl Probe {
    /// The next change, as sent just now.
    fn next(&self) -> Place {
        let number = self.changes.load(Ordering::Relaxed) + 1;
        self.sent[number as usize].store(now(), Ordering::Release);
        self.changes.store(number, Ordering::Release);
        let port = PROBE_PORT + u16::try_from(number).expect("below 60,000");
        Place { service: PROBE, instance: 0, port }
    }
}

pub(super) fn run(
    rate: u32,
    length: Duration,
    fleet: Fleet,
    pen: &mut Pen,
    table: &Table,
    agent: &Process,
    registry: &Process,
) -> Storm {
    let probes = usize::try_from(length.as_millis() / TICK.as_millis()).unwrap_or(0) + 100;
    assert!(probes < 50_000, "a storm of at most 10 minutes: the probe's changes have a port each");
    let sent = (0..probes).map(|_| AtomicU64::new(0)).collect();
    let probe = Probe { sent, changes: AtomicU32::new(0), over: AtomicBool::new(false) };
    pen.write(&[Place { service: PROBE, instance: 0, port: PROBE_PORT }]);
    table.wait_for(PROBE, PROBE_PORT, PATIENCE, || {});

    let (changes, took, windows) = std::thread::scope(|scope| {
        let windows = scope.spawn(|| watch(&probe, table, agent, registry));
        let start = Instant::now();
        let changes = write(rate, length, fleet, pen, &probe);
        let took = start.elapsed();
        probe.over.store(true, Ordering::Relaxed);
        (changes, took, windows.join().expect("the thread that looks on"))
    });
    let ended = Instant::now();
    let caught_up = loop {
        let held = pen.read(fleet);
        let differing = table.differing(&held);
        if differing == 0 {
            break ended.elapsed();
        }
        assert!(agent.is_running(), "the agent has ended{}", agent.logs());
        assert!(ended.elapsed() < PATIENCE, "{differing} of {} differ{}", held.len(), agent.logs());
    };
    Storm { wanted: rate, changes, took, windows, caught_up }
}

/// Sends the changes of each tick as one transaction, but for the probe's, which goes by itself.
fn write(rate: u32, length: Duration, fleet: Fleet, pen: &mut Pen, probe: &Probe) -> u64 {
    let most = pen.parts().1.most();
    let ticks = u64::try_from(length.as_millis() / TICK.as_millis()).unwrap_or(0);
    let due = |tick: u64| usize::try_from(u64::from(rate) * tick / 100).unwrap_or(0);
    let mut services = shuffled(fleet).into_iter().cycle();
    let places: Vec<Place> =
        services.by_ref().take(due(ticks)).map(|service| pen.next(fleet, service)).collect();
    let (runtime, client) = pen.parts();
    runtime.block_on(async {
        let mut probes = 0;
        let (mut flight, mut probing) = (FuturesUnordered::new(), FuturesUnordered::new());
        let mut tick = interval(TICK);
        // What was missed as we had no core is made up for; a registry that cannot follow is bounded by the flight.
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut number, mut written) = (0, 0);
        let started = Instant::now();
        while started.elapsed() < length && number < ticks {
            tokio::select! {
                biased;
                Some(()) = probing.next(), if !probing.is_empty() => {}
                Some(()) = flight.next(), if !flight.is_empty() => {}
                _ = tick.tick(), if flight.len() < FLIGHT => {
                    number += 1;
                    flight.extend(places[written..due(number)].chunks(most).map(|part| client.write(part)));
                    written = due(number);
                    if number % PROBE_TICKS == 0 && probing.is_empty() {
                        probes += 1;
                        let place = probe.next();
                        probing.push(async move { client.write(&[place]).await });
                    }
                }
            }
        }
        while let Some(()) = flight.next().await {}
        while let Some(()) = probing.next().await {}
        written as u64 + probes
    })
}

/// Every service but the probe, in an order of no meaning.
fn shuffled(fleet: Fleet) -> Vec<u32> {
    let mut order: Vec<u32> = (1..fleet.services).collect();
    let mut random = 0x9e37_79b9_u32;
    for at in (1..order.len()).rev() {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        order.swap(at, (random >> 8) as usize % (at + 1));
    }
    order
}

/// Looks at the probe all the time, and at both processes in each window.
fn watch(probe: &Probe, table: &Table, agent: &Process, registry: &Process) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut last = 0_u32;
    while !probe.over.load(Ordering::Relaxed) {
        let (start, mut ages) = (Instant::now(), Vec::new());
        let before = [agent, registry].map(|process| Load::of(process.pid()));
        while start.elapsed() < WINDOW && !probe.over.load(Ordering::Relaxed) {
            let port = table.port(PROBE).unwrap_or(PROBE_PORT);
            let at = now();
            let number = u32::from(port.saturating_sub(PROBE_PORT));
            if number > last {
                // The one before was out of date from the moment that the change after it was sent.
                let sent = probe.sent[last as usize + 1].load(Ordering::Acquire);
                ages.push(i64::try_from(at.saturating_sub(sent)).unwrap_or(i64::MAX));
                last = number;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        let over = start.elapsed();
        if over < WINDOW / 2 && !windows.is_empty() {
            break;
        }
        // What is not seen at all counts, too.
        if last < probe.changes.load(Ordering::Acquire) {
            let sent = probe.sent[last as usize + 1].load(Ordering::Acquire);
            ages.push(i64::try_from(now().saturating_sub(sent)).unwrap_or(i64::MAX));
        }
        let [agent, registry] = [(agent, &before[0]), (registry, &before[1])]
            .map(|(process, before)| Load::of(process.pid()).since(before, over));
        windows.push(Window { probes: ages.len(), age: Spread::of(ages), agent, registry });
    }
    windows
}

impl Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rate, took) = (self.rate(), self.took.as_secs_f64());
        writeln!(
            f,
            "  storm: {} changes/s wanted, {rate:.0} taken by the registry, {took:.0} s, in step {:.2} s after it",
            self.wanted,
            self.caught_up.as_secs_f64()
        )?;
        writeln!(
            f,
            "    {:<6}{:>9}{:>9}{:>9}{:>9}{:>8}{:>12}{:>12}{:>12}{:>14}",
            "part", "p50", "p90", "p99", "max", "seen", "agent core", "agent MiB", "registry", "registry MiB"
        )?;
        for (number, window) in self.windows.iter().enumerate() {
            let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
            writeln!(
                f,
                "    {:<6}{}{:>8}{:>10.1} %{:>12.1}{:>10.1} %{:>14.0}",
                number + 1,
                window.age,
                window.probes,
                window.agent.percent(),
                mib(window.agent.anon),
                window.registry.percent(),
                mib(window.registry.rss)
            )?;
        }
        Ok(())
    }
}
