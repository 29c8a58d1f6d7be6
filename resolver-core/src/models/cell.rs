//! The cell: two publications against two reads, a death at each step, repair.

extern crate std;

use loom::sync::Arc;
use loom::thread;

use super::{explore, must_catch, must_fail};
use crate::cell::{self, Unread, Words};
use crate::memory::Line;
use crate::sync::Site;

/// Words in use: two are enough to be torn, and keep the models small. The code is the same for any number.
const N: usize = 2;

fn words(line: &Line) -> [u64; N] {
    core::array::from_fn(|index| line.at(index))
}

/// A reader makes the first round alone, and all of them where that settled nothing. What the one saw is nothing to the
/// other, so models read in one form or the other: both in each read are too many interleavings.
#[derive(Clone, Copy)]
enum Form {
    AtOnce,
    Rounds,
}

fn read_in(form: Form, line: &Line, shadow: &Line) -> Result<([u64; N], u64), Unread<[u64; N]>> {
    match form {
        Form::AtOnce => {
            cell::read_once(line, || Some(shadow), |line| Some(words(line)), true).map_err(|_| Unread::Busy)
        }
        Form::Rounds => cell::read(line, shadow),
    }
}

struct Pair {
    line: Line,
    shadow: Line,
}

impl Pair {
    fn new() -> Arc<Self> {
        let pair = Pair { line: Line::new(), shadow: Line::new() };
        cell::init(&pair.line, &pair.shadow);
        Arc::new(pair)
    }

    fn publish(&self, value: u64) {
        cell::publish(&self.line, &self.shadow, &[value, value], false);
    }

    /// The value that is read, 0 for none. Checks that it is whole, and that it is the one `seq` stands for.
    fn read(&self) -> Option<u64> {
        self.read_in(Form::Rounds)
    }

    fn read_in(&self, form: Form) -> Option<u64> {
        match read_in(form, &self.line, &self.shadow) {
            Ok(([a, b], seq)) => {
                assert_eq!(a, b, "torn");
                // `seq` counts publications in steps of 4, and is one step behind while the line is written.
                let published = if seq & 1 == 0 { seq / 4 } else { seq / 4 + 1 };
                assert_eq!(a, published, "the words are not of this seq");
                Some(a)
            }
            Err(Unread::Vacant(_)) => Some(0),
            Err(Unread::Busy) => None,
        }
    }
}

/// A thread that reads twice. Reads that were overtaken give what stands still: nothing, or the first value again.
fn reader(pair: &Arc<Pair>, forms: [Form; 2]) -> thread::JoinHandle<(u64, u64)> {
    let pair = pair.clone();
    thread::spawn(move || {
        let [first, second] = forms.map(|form| pair.read_in(form));
        (first.unwrap_or(0), second.or(first).unwrap_or(0))
    })
}

/// Two publications against two reads: whole, of their `seq`, never back in time, and the last one in the end.
fn two_by_two(forms: [Form; 2]) {
    let pair = Pair::new();
    let reader = reader(&pair, forms);
    pair.publish(1);
    pair.publish(2);
    let (first, second) = reader.join().expect("the reader does not panic");
    assert!(first <= second, "back in time");
    assert_eq!(pair.read(), Some(2), "the last publication is lost");
}

/// The same over a cell that has a value: its publications are not of those that end a vacancy, which have code of their own.
fn over_a_standing(forms: [Form; 2]) {
    let pair = Pair::new();
    pair.publish(1);
    let reader = reader(&pair, forms);
    pair.publish(2);
    pair.publish(3);
    let (first, second) = reader.join().expect("the reader does not panic");
    assert!(first <= second, "back in time");
    assert_eq!(pair.read(), Some(3), "the last publication is lost");
}

#[test]
fn loom_cell_reads_over_a_value_are_whole_and_go_forward() {
    explore("standing cell 2 publications, 2 reads", 2, || over_a_standing([Form::Rounds; 2]));
    explore("standing cell 2 publications, 2 reads at once", 3, || over_a_standing([Form::AtOnce; 2]));
}

#[test]
fn loom_cell_reads_are_whole_and_go_forward() {
    explore("cell 2 publications, 2 reads", 3, || two_by_two([Form::Rounds; 2]));
    explore("cell 2 publications, 2 reads at once", 3, || two_by_two([Form::AtOnce; 2]));
    explore("cell 2 publications, a read at once and one", 3, || two_by_two([Form::AtOnce, Form::Rounds]));
    explore("cell 2 publications, a read and one at once", 3, || two_by_two([Form::Rounds, Form::AtOnce]));
}

#[test]
fn loom_cell_two_readers() {
    explore("cell 1 publication, 2 readers", 3, || {
        let pair = Pair::new();
        pair.publish(1);
        let readers: std::vec::Vec<_> = (0..2)
            .map(|_| {
                let pair = pair.clone();
                thread::spawn(move || pair.read())
            })
            .collect();
        pair.publish(2);
        for reader in readers {
            let read = reader.join().expect("a reader does not panic");
            assert!(matches!(read, Some(1 | 2)), "read {read:?}");
        }
        assert_eq!(pair.read(), Some(2));
    });
}

pub(super) const MUTANTS: &[Site] =
    &[Site::BeforeShadow, Site::MarkOdd, Site::BeforeLine, Site::MarkEven, Site::AfterSeq, Site::AfterWords];

#[test]
fn loom_cell_needs_each_ordering() {
    for &site in MUTANTS {
        must_catch(site, "cell 2 publications, 2 reads", 2, || two_by_two([Form::Rounds; 2]));
    }
    for &site in MUTANTS {
        must_catch(site, "cell 2 publications, 2 reads at once", 2, || two_by_two([Form::AtOnce; 2]));
    }
    for &site in MUTANTS {
        must_catch(site, "standing cell 2 publications, 2 reads", 2, || over_a_standing([Form::Rounds; 2]));
    }
}

/// Where a writer can die within a publication: after the shadow, with the line marked, half written, or whole.
#[derive(Clone, Copy, PartialEq)]
enum Death {
    ShadowHalf,
    Staged,
    Odd,
    LineHalf,
    LineWhole,
}

/// The stores of a publication, up to the death.
fn die_publishing(pair: &Pair, value: u64, death: Death) {
    use crate::sync::{fence_release, store_release};

    let seq = pair.line.load(0);
    if death == Death::ShadowHalf {
        fence_release(Site::BeforeShadow);
        pair.shadow.store(1, value);
        return;
    }
    cell::stage(&pair.line, &pair.shadow, &[value, value], false);
    if death == Death::Staged {
        return;
    }
    store_release(pair.line.word(0), seq & !2 | 1, Site::MarkOdd);
    fence_release(Site::BeforeLine);
    if death == Death::Odd {
        return;
    }
    pair.line.store(1, value);
    if death == Death::LineWhole {
        pair.line.store(2, value);
    }
}

/// A thread that reads once or twice, as [`reader`].
fn reads(pair: &Arc<Pair>, twice: bool) -> thread::JoinHandle<(u64, u64)> {
    if twice {
        return reader(pair, [Form::Rounds; 2]);
    }
    let pair = pair.clone();
    thread::spawn(move || {
        let only = pair.read();
        // A read that was overtaken everywhere has seen nothing older than the first value.
        (1, only.unwrap_or(1))
    })
}

/// Two reads cost ten times what one does: they are shown at one preemption less.
const READS: [(bool, usize); 2] = [(true, 1), (false, 2)];

/// A writer dies; a reader goes on reading while the next writer repairs and publishes.
fn death_and_repair(death: Death, twice: bool) {
    let pair = Pair::new();
    pair.publish(1);
    let reader = reads(&pair, twice);
    die_publishing(&pair, 2, death);
    cell::repair::<N>(&pair.line, &pair.shadow, false);
    let next = if pair.line.load(0) / 4 == 1 { 2 } else { 3 };
    pair.publish(next);
    let (first, second) = reader.join().expect("the reader does not panic");
    assert!(first <= second, "back in time");
    assert!(first >= 1, "the value from before the death is lost");
    let last = pair.read();
    assert!(matches!(last, Some(2 | 3)), "read {last:?}");
}

#[test]
fn loom_cell_survives_a_death_at_each_step() {
    for death in [Death::ShadowHalf, Death::Staged, Death::Odd, Death::LineHalf, Death::LineWhole] {
        for (twice, bound) in READS {
            explore("cell death and repair", bound, move || death_and_repair(death, twice));
        }
    }
}

/// The next writer dies too, within its repair; the one after it repairs again.
#[test]
fn loom_cell_survives_a_death_within_repair() {
    for (whole, (twice, bound)) in [(false, READS[0]), (false, READS[1]), (true, READS[0]), (true, READS[1])]
    {
        explore("cell death within repair", bound, move || {
            let pair = Pair::new();
            pair.publish(1);
            let reader = reads(&pair, twice);
            die_publishing(&pair, 2, Death::LineHalf);
            // The stores of `cell::repair` for an odd `seq`, up to the second death.
            pair.shadow.store(0, 8);
            crate::sync::fence_release(Site::BeforeLine);
            pair.line.store(1, 2);
            if whole {
                pair.line.store(2, 2);
            }
            cell::repair::<N>(&pair.line, &pair.shadow, false);
            pair.publish(3);
            let (first, second) = reader.join().expect("the reader does not panic");
            assert!(1 <= first && first <= second, "back in time");
            assert_eq!(pair.read(), Some(3));
        });
    }
}

/// A mutant that is no ordering: a reader that takes the line while `seq` is odd.
#[test]
fn loom_cell_needs_the_shadow() {
    must_fail("cell read from the line while it is written", 2, || {
        let pair = Pair::new();
        pair.publish(1);
        let reader = {
            let pair = pair.clone();
            thread::spawn(move || {
                // The line in place of the shadow.
                if let Ok(([a, b], _)) = cell::read::<N>(&pair.line, &pair.line) {
                    assert_eq!(a, b, "torn");
                }
            })
        };
        pair.publish(2);
        reader.join().expect("torn");
    });
}

/// Without repair the next publication begins at an odd `seq`, which sends readers to the shadow it is writing.
#[test]
fn loom_cell_needs_repair() {
    must_fail("cell death without repair", 2, || {
        let pair = Pair::new();
        pair.publish(1);
        let reader = {
            let pair = pair.clone();
            thread::spawn(move || {
                if let Ok(([a, b], _)) = cell::read::<N>(&pair.line, &pair.shadow) {
                    assert_eq!(a, b, "torn");
                }
            })
        };
        die_publishing(&pair, 2, Death::LineHalf);
        pair.publish(3);
        reader.join().expect("torn");
    });
}
