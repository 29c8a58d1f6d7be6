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
}

impl Small {
    fn new() -> Arc<Self> {
        let small = Small {
            lines: core::array::from_fn(|_| Line::new()),
            shadows: core::array::from_fn(|_| Line::new()),
            epoch: Line::new(),
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
        for (line, shadow) in self.lines.iter().zip(&self.shadows).take(steps - CELLS - 1) {
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
            let ([value], vacant) = cell::read_at_epoch::<1>(&self.lines[i], &self.shadows[i], before);
            if vacant { 0 } else { value }
        });
        fence_acquire(Site::BeforeEpochAgain);
        let whole = self.epoch.load(0) == before;
        assert!(!whole || values == [before.div_ceil(2); CELLS], "{values:?} is not of the moment {before}");
        whole.then_some(values)
    }

    fn repair(&self) {
        let before = self.epoch.load(0);
        fence_acquire(Site::AfterEpoch);
        for (line, shadow) in self.lines.iter().zip(&self.shadows) {
            cell::repair::<1>(line, shadow, before & 1 != 0);
        }
        if before & 1 != 0 {
            store_release(self.epoch.word(0), before + 1, Site::EpochEven);
        }
    }
}

const WHOLE: usize = usize::MAX / 2;

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
