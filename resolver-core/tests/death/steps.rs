//! Death at each instruction: a writer is single-stepped through a publication, and at each step its readers look at all
//! there is; then it stays stopped, or is killed and followed by another.
//!
//! What this shows is the order of the stores in the program as compiled. Of the memory's order it says nothing: that is the
//! models' part.

use std::path::Path;

use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use resolver_core::shm::Origin;
use resolver_core::{Line, OwnedSegment, Segment, SegmentError, Table, Writer};

use super::truth::{self, CAPACITY, FULL, SERVICES, Watcher};
use super::writer::Forked;
use super::{alone, asked};

/// How many instructions may be stepped through for the sake of killed writers, for each kind of publication.
const BUDGET: &str = "RESOLVER_DEATH_STEPS";
const SHORT: u64 = 40_000;
/// Every how many instructions readers look: at each, but in an unoptimised build, which has many times as many.
const LOOK_EVERY: u64 = if cfg!(debug_assertions) { 64 } else { 1 };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// What the marks around a publication cost.
    Nothing,
    /// A set of a few endpoints.
    Record,
    /// A set with a reserve, a key table and a smooth order.
    Full,
    /// Four services and a setting.
    Batch,
    /// A new name with a set, and its removal.
    Name,
    /// A sign of life, with the word of three sources.
    Beat,
    /// An error in the log, over an old one where that is full.
    Note,
}

impl Action {
    fn run(self, writer: &mut Writer<'_>, n: u64) {
        match self {
            Action::Nothing => {}
            Action::Record => truth::publish(writer, 0, n),
            Action::Full => truth::publish(writer, FULL, n),
            Action::Batch => truth::publish_together(writer, n),
            Action::Beat => truth::beat(writer),
            Action::Note => truth::note(writer),
            Action::Name => {
                truth::come(writer, n);
                truth::go(writer);
            }
        }
    }
}

/// A writer that stands before its publication, traced.
pub struct Stepped {
    forked: Forked,
    steps: u64,
}

impl Stepped {
    pub fn start(path: &Path, action: Action) -> Self {
        let forked = Forked::start(|| {
            ptrace::traceme().expect("it can be traced");
            let mut owned = OwnedSegment::acquire(path, &CAPACITY).expect("its predecessor is dead");
            let mut writer = owned.writer().expect("it is whole");
            let n = truth::newest(&writer.reader()) + 1;
            raise(Signal::SIGSTOP).expect("the mark before");
            action.run(&mut writer, n);
            raise(Signal::SIGSTOP).expect("the mark after");
        });
        let stopped = waitpid(forked.pid(), None).expect("it is a child");
        assert_eq!(stopped, WaitStatus::Stopped(forked.pid(), Signal::SIGSTOP), "the writer failed");
        Stepped { forked, steps: 0 }
    }

    /// One instruction; `false` at the mark after the publication.
    pub fn step(&mut self) -> bool {
        ptrace::step(self.forked.pid(), None).expect("it is stopped");
        match waitpid(self.forked.pid(), None) {
            Ok(WaitStatus::Stopped(_, Signal::SIGTRAP)) => {
                self.steps += 1;
                true
            }
            Ok(WaitStatus::Stopped(_, Signal::SIGSTOP)) => false,
            other => panic!("step {}: {other:?}", self.steps),
        }
    }
}

/// Keeps this thread, and the writers that it starts, on the core where it is: to step is to change from one process to the
/// other and back, and across cores that takes ten times as long.
pub fn on_one_core() {
    let mut core = rustix::thread::CpuSet::new();
    core.set(rustix::thread::sched_getcpu());
    rustix::thread::sched_setaffinity(None, &core).expect("a thread may stay where it is");
}

/// Steps, reads and deaths of one kind of publication.
#[derive(Default)]
struct Tally {
    steps: u64,
    reads: u64,
    /// Steps after which the segment was another than before.
    states: u64,
    /// Takeovers of a copy of the segment that needed repair, of one at each of these.
    repaired: u64,
    deaths: u64,
    /// Deaths after which something had to be repaired.
    within: u64,
}

struct Stage<'m> {
    path: &'m Path,
    segment: &'m Segment,
    watcher: Watcher<'m>,
}

impl Stage<'_> {
    /// Looks after each instruction of one publication, which goes on to its end. Wherever the segment changed, a copy is
    /// taken over. At two instructions the writer stays stopped for a while: nobody takes it for dead, and readers go on.
    fn look_at_each_step(&mut self, action: Action, stops: [u64; 2]) -> Tally {
        let mut tally = Tally::default();
        let before = self.watcher.reads;
        let mut copy = Vec::new();
        let mut writer = Stepped::start(self.path, action);
        loop {
            let steps = writer.steps;
            if steps.is_multiple_of(LOOK_EVERY) {
                self.watcher.look().unwrap_or_else(|fault| panic!("{action:?}, step {steps}: {fault}"));
                let now = std::fs::read(self.path).expect("it can be read");
                if now != copy {
                    let repaired = self.take_over_copy(&now, action);
                    let repaired =
                        repaired.unwrap_or_else(|fault| panic!("{action:?}, copy at step {steps}: {fault}"));
                    tally.states += 1;
                    tally.repaired += u64::from(repaired);
                    copy = now;
                }
            }
            if stops.contains(&steps) {
                let refused = OwnedSegment::acquire(self.path, &CAPACITY).err();
                assert!(matches!(refused, Some(SegmentError::InUse { .. })), "step {steps}: {refused:?}");
                self.watcher.look().unwrap_or_else(|fault| panic!("{action:?}, stopped at {steps}: {fault}"));
            }
            if !writer.step() {
                break;
            }
        }
        tally.steps = writer.steps;
        tally.reads = self.watcher.reads - before;
        tally
    }

    /// The segment's bytes are all that a dead writer leaves: a new one takes a copy of them over, and publishes three times.
    /// Whether something had to be repaired.
    fn take_over_copy(&self, bytes: &[u8], action: Action) -> Result<bool, String> {
        let words = bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect::<Vec<_>>();
        let memory: Box<[Line]> = words.as_chunks().0.iter().map(|line| Line::from(*line)).collect();
        let reader = Table::open(&memory).map_err(|error| error.to_string())?;
        let mut watcher = self.watcher.of_copy(reader);
        watcher.look().map_err(|fault| format!("before the takeover: {fault}"))?;
        let before = memory.iter().map(Line::to_words).collect::<Vec<_>>();
        // SAFETY: the memory is this test's own, and nobody else writes to it.
        let mut writer = unsafe { Table::take_over(&memory) }.map_err(|error| error.to_string())?;
        let repaired = needs_repair(&before);
        watcher.look().map_err(|fault| format!("after the takeover: {fault}"))?;
        for _ in 0..3 {
            let n = truth::newest(&writer.reader()) + 1;
            action.run(&mut writer, n);
            watcher.look().map_err(|fault| format!("after publication {n}: {fault}"))?;
        }
        Ok(repaired)
    }

    /// Kills a writer after so many instructions, and lets the next one publish three times. Whether something had to be
    /// repaired; `None` where the publication has no so many instructions.
    fn die_at(&mut self, action: Action, step: u64) -> Option<bool> {
        let mut writer = Stepped::start(self.path, action);
        while writer.steps < step {
            if !writer.step() {
                return None;
            }
        }
        writer.forked.kill();
        let mut look = |when: &str| {
            self.watcher
                .look()
                .unwrap_or_else(|fault| panic!("{action:?}, death at step {step}, {when}: {fault}"));
        };
        look("before the takeover");
        let mut owned = OwnedSegment::acquire(self.path, &CAPACITY).expect("the writer is dead");
        assert_eq!(owned.origin(), Origin::TakenOver, "{action:?}, death at step {step}");
        let repaired = owned.repaired() > 0;
        look("after the takeover");
        let mut writer = owned.writer().expect("it is whole");
        for round in ["first", "second", "third"] {
            let n = truth::newest(&writer.reader()) + 1;
            action.run(&mut writer, n);
            look(round);
        }
        let changes = self.watcher.look_at_changes();
        changes.unwrap_or_else(|fault| panic!("{action:?}, death at step {step}: {fault}"));
        assert!(self.segment.is_current(), "readers never reopen");
        let faults = self.segment.faults();
        assert!(faults.is_empty(), "{action:?}, death at step {step}: {faults:?}");
        Some(repaired)
    }

    fn tally(&mut self, action: Action) -> Tally {
        // Once without a look, to know how long it is.
        let mut writer = Stepped::start(self.path, action);
        while writer.step() {}
        let length = writer.steps;
        drop(writer);
        let mut tally = self.look_at_each_step(action, [length / 3, length * 2 / 3]);
        // A death at step `n` takes `n` steps.
        let budget = asked(BUDGET).unwrap_or(SHORT).max(length * 2);
        let every = (length * length / 2 / budget).max(1);
        // Not each time at the same places of a loop.
        for step in (0..).step_by((every | 1) as usize) {
            let Some(repaired) = self.die_at(action, step) else { break };
            tally.deaths += 1;
            tally.within += u64::from(repaired);
        }
        tally
    }
}

/// Whether a table's epoch is odd, or a cell or an error is half written: the header is 64 lines long, and has the epoch in its
/// third; the log of errors has 8 entries of 5 lines, and comes last.
fn needs_repair(lines: &[[u64; 8]]) -> bool {
    // Services' cells and sources' lie side by side.
    let cells = lines.iter().skip(64).take(CAPACITY.services as usize + resolver_core::MAX_SOURCES);
    let entries = lines[lines.len() - 8 * 5..].chunks(5).map(|entry| entry[0]);
    lines[2][0] & 1 != 0 || cells.copied().chain(entries).any(|line| line[0] & 1 != 0)
}

#[test]
fn at_each_instruction() {
    let _alone = alone();
    on_one_core();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("main.seg");
    let mut owned = OwnedSegment::acquire(&path, &CAPACITY).expect("it can be created");
    let mut writer = owned.writer().expect("it is new");
    for service in (0..SERVICES).filter(|service| !truth::TOGETHER.contains(service)) {
        truth::publish(&mut writer, service, 1);
    }
    truth::publish_together(&mut writer, 1);
    truth::beat(&mut writer);
    drop(owned);
    let segment = Segment::open(&path).expect("it can be read");
    let mut stage = Stage { path: &path, segment: &segment, watcher: Watcher::new(segment.reader()) };
    let marks = stage.look_at_each_step(Action::Nothing, [u64::MAX; 2]).steps;
    eprintln!("marks: {marks} instructions, which count in each line");
    let all = [Action::Record, Action::Beat, Action::Batch, Action::Name, Action::Note, Action::Full];
    // Without optimisation the others have so many instructions that they are left to the release build.
    let all = if cfg!(debug_assertions) { &all[..2] } else { &all[..] };
    for action in all.iter().copied() {
        let tally = stage.tally(action);
        eprintln!(
            "{action:?}: {} instructions, readers at one of {LOOK_EVERY} ({} reads); {} states of the segment, each taken over from \
             a copy ({} in the middle of landing); {} writers killed and replaced, {} of them within a publication; 0 torn, 0 \
             blocked, 0 back in time",
            tally.steps, tally.reads, tally.states, tally.repaired, tally.deaths, tally.within
        );
        assert!(tally.steps > marks + 100, "{action:?} was not stepped through");
        assert!(tally.repaired > 0 || LOOK_EVERY > 1, "{action:?} was never seen in the middle of landing");
    }
}
