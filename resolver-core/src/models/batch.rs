//! Batches: several cells as of one moment, by the epoch; a death in the middle, and what the next writer makes of it.

extern crate std;

use loom::sync::Arc;
use loom::thread;

use super::{explore, must_catch};
use crate::cell;
use crate::memory::Line;
use crate::sync::{Site, fence_acquire, store_release};

const CELLS: usize = 2;

struct Small {
    lines: [Line; CELLS],
    shadows: [Line; CELLS],
    epoch: Line,
    /// As `Batch::commit` notes them.
    changes: Line,
}

impl Small {
    fn new() -> Arc<Self> {
        let small = Small {
            lines: core::array::from_fn(|_| Line::new()),
            shadows: core::array::from_fn(|_| Line::new()),
            epoch: Line::new(),
            changes: Line::new(),
        };
        for (line, shadow) in small.lines.iter().zip(&small.shadows) {
            cell::init(line, shadow);
        }
        Arc::new(small)
    }

    /// The steps of `Batch::commit`, up to `steps` of them.
    fn publish(&self, value: u64, steps: usize) {
        for (line, shadow) in self.lines.iter().zip(&self.shadows).take(steps) {
            cell::stage(line, shadow, &[value], false);
        }
        if steps <= CELLS {
            return;
        }
        let before = self.epoch.load(0);
        store_release(self.epoch.word(0), before + 1, Site::EpochOdd);
        for (slot, (line, shadow)) in self.lines.iter().zip(&self.shadows).enumerate().take(steps - CELLS - 1)
        {
            self.changes.store(slot, before + 2);
            cell::apply(line, shadow, &[value]);
        }
        if steps > 2 * CELLS + 1 {
            store_release(self.epoch.word(0), before + 2, Site::EpochEven);
        }
    }

    /// One round of `Reader::together`. That the values are those of the epoch, which never goes back, is what keeps a
    /// reader from going back in time.
    fn together(&self) -> Option<[u64; CELLS]> {
        let before = self.epoch.load(0);
        fence_acquire(Site::AfterEpoch);
        let values = core::array::from_fn(|i| {
            let ([value], seq) = cell::read_at_epoch::<1>(&self.lines[i], &self.shadows[i], before);
            if cell::is_vacant_at(seq) { 0 } else { value }
        });
        fence_acquire(Site::BeforeEpochAgain);
        let whole = self.epoch.load(0) == before;
        assert!(!whole || values == [before.div_ceil(2); CELLS], "{values:?} is not of the moment {before}");
        whole.then_some(values)
    }

    fn repair(&self) {
        let before = self.epoch.load(0);
        fence_acquire(Site::AfterEpoch);
        for (slot, (line, shadow)) in self.lines.iter().zip(&self.shadows).enumerate() {
            if cell::repair::<1>(line, shadow, before & 1 != 0) && before & 1 != 0 {
                self.changes.store(slot, before + 1);
            }
        }
        if before & 1 != 0 {
            store_release(self.epoch.word(0), before + 1, Site::EpochEven);
        }
    }
}

const WHOLE: usize = usize::MAX / 2;

impl Small {
    /// As `Reader::changes_since`: the cells that changed after an epoch, and the epoch to ask with next.
    fn changes_since(&self, epoch: u64) -> ([bool; CELLS], u64) {
        let now = self.epoch.load(0);
        fence_acquire(Site::AfterEpoch);
        (core::array::from_fn(|slot| self.changes.load(slot) > epoch), now)
    }

    /// The value of a cell: whatever stands, or is landing.
    fn value(&self, slot: usize) -> u64 {
        cell::read::<1>(&self.lines[slot], &self.shadows[slot]).map_or(0, |([value], _)| value)
    }
}

/// Who asks for changes and looks at what is told knows everything up to the epoch that was given.
fn changes_are_told(small: &Small, asks: usize) {
    let (mut since, mut known) = (0, [0; CELLS]);
    for _ in 0..asks {
        let (changed, now) = small.changes_since(since);
        since = now;
        for slot in 0..CELLS {
            if changed[slot] {
                known[slot] = small.value(slot);
            }
            assert!(known[slot] >= since / 2, "a change of before {since} was not told: {known:?}");
        }
    }
}

fn changes_of_a_batch() {
    let small = Small::new();
    let follower = {
        let small = small.clone();
        thread::spawn(move || changes_are_told(&small, 2))
    };
    small.publish(1, WHOLE);
    follower.join().expect("the reader does not panic");
    changes_are_told(&small, 1);
}

#[test]
fn loom_batch_changes_are_told() {
    explore("changes of a batch of 2 cells, asked for twice", 2, changes_of_a_batch);
    // Of the writer's orderings before the even epoch there are several, each enough alone.
    must_catch(Site::AfterEpoch, "changes of a batch of 2 cells", 2, changes_of_a_batch);
}

#[test]
fn loom_batch_changes_are_told_over_a_death() {
    for steps in CELLS + 1..=2 * CELLS + 1 {
        explore("changes over a death and repair", 2, move || {
            let small = Small::new();
            let follower = {
                let small = small.clone();
                thread::spawn(move || changes_are_told(&small, 2))
            };
            small.publish(1, steps);
            small.repair();
            follower.join().expect("the reader does not panic");
            changes_are_told(&small, 1);
        });
    }
}

/// A thread that reads all cells once.
fn reader(small: &Arc<Small>) -> thread::JoinHandle<()> {
    let small = small.clone();
    thread::spawn(move || {
        small.together();
    })
}

fn two_batches() {
    let small = Small::new();
    let reader = reader(&small);
    small.publish(1, WHOLE);
    small.publish(2, WHOLE);
    reader.join().expect("the reader does not panic");
    assert_eq!(small.together(), Some([2; CELLS]));
}

#[test]
fn loom_batch_is_seen_as_of_one_moment() {
    explore("batch of 2 cells, twice, 1 read", 2, two_batches);
}

pub(super) const MUTANTS: &[Site] = &[
    Site::BeforeShadow,
    Site::BeforeLine,
    Site::EpochOdd,
    Site::EpochEven,
    Site::AfterEpoch,
    Site::BeforeEpochAgain,
];

#[test]
fn loom_batch_needs_each_ordering() {
    for &site in MUTANTS {
        must_catch(site, "batch of 2 cells, twice, 1 read", 2, two_batches);
    }
}

#[test]
fn loom_batch_survives_a_death_at_each_step() {
    for steps in 0..=2 * CELLS + 1 {
        explore("batch death and repair", 2, move || {
            let small = Small::new();
            small.publish(1, WHOLE);
            let reader = reader(&small);
            small.publish(2, steps);
            small.repair();
            let next = small.epoch.load(0) / 2 + 1;
            small.publish(next, WHOLE);
            reader.join().expect("the reader does not panic");
            let committed = steps > CELLS;
            assert_eq!(small.together(), Some([if committed { 3 } else { 2 }; CELLS]));
        });
    }
}
