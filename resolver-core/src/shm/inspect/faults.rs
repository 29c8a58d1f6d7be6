//! What does not fit together in a segment.

use core::fmt;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use crate::cell::{self, Unread};
use crate::directory::Directory;
use crate::incident::{self, Unsound};
use crate::layout::{count, incidents};
use crate::reader::Reader;
use crate::record::{Words, head};
use crate::room::Notes;
use crate::setting;
use crate::state::{Reason, State};
use crate::table::View;

/// Something that no writer of this version leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A name leads to a slot that is not its own.
    Name {
        /// The name.
        name: String,
        /// Where it leads.
        slot: usize,
    },
    /// A service or setting that no name leads to.
    Nameless {
        /// Its slot.
        slot: usize,
    },
    /// A cell whose words never stood still.
    Busy {
        /// Its slot.
        slot: usize,
    },
    /// How a service or setting stands is no standing that this version knows.
    Standing {
        /// Its slot.
        slot: usize,
        /// The byte that says it.
        byte: u8,
    },
    /// A set lies where none can.
    Place {
        /// The service's slot.
        slot: usize,
        /// The set's first leaf.
        first: usize,
        /// Its active endpoints.
        length: usize,
    },
    /// Two sets lie in the same leaves.
    Overlap {
        /// The one service's slot.
        slot: usize,
        /// The other's.
        other: usize,
    },
    /// A part of a set is not of that set.
    Leaf {
        /// The service's slot.
        slot: usize,
        /// Which part.
        part: &'static str,
    },
    /// The primary endpoint is not the set's first one.
    Primary {
        /// The service's slot.
        slot: usize,
    },
    /// A generation that was not given out yet.
    Generation {
        /// The service's slot.
        slot: usize,
        /// Its generation.
        generation: u64,
        /// The last one that was given out.
        last: u64,
    },
    /// An entry of the log of distinct errors is no error that a writer of this version notes.
    Incident {
        /// Its place in the log.
        entry: usize,
    },
    /// A count is beyond what there is room for.
    Count {
        /// Of what.
        of: &'static str,
        /// As counted.
        counted: u64,
        /// The most that there can be.
        most: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Name { name, slot } => {
                write!(f, "the name {name:?} leads to slot {slot}, which is not its own")
            }
            Fault::Nameless { slot } => write!(f, "slot {slot} is in use, and no name leads to it"),
            Fault::Busy { slot } => write!(f, "slot {slot} never stood still"),
            Fault::Standing { slot, byte } => {
                write!(f, "slot {slot} stands as {byte:#04x}, which is no standing")
            }
            Fault::Place { slot, first, length } => {
                write!(
                    f,
                    "slot {slot}: its set of {length} endpoints begins at leaf {first}, where none can lie"
                )
            }
            Fault::Overlap { slot, other } => {
                write!(f, "slots {slot} and {other} have their sets in the same leaves")
            }
            Fault::Leaf { slot, part } => {
                write!(f, "slot {slot}: {part} of its set is of another set, or damaged")
            }
            Fault::Primary { slot } => {
                write!(f, "slot {slot}: its primary endpoint is not its set's first one")
            }
            Fault::Generation { slot, generation, last } => {
                write!(
                    f,
                    "slot {slot} has generation {generation}, and {last} is the last that was given out"
                )
            }
            Fault::Incident { entry } => {
                write!(f, "entry {entry} of the log of errors has a kind, a length or a text that cannot be")
            }
            Fault::Count { of, counted, most } => {
                write!(f, "{counted} {of} are counted, and there can be {most}")
            }
        }
    }
}

/// The block of a service's set: its first leaf, and how many it has; `None` where there is no set, or none can be.
pub(super) fn block_of(view: &View<'_>, slot: usize) -> Option<(usize, usize)> {
    let words: Words = words_of(view, slot)?;
    let (first, length) = (head::first(&words) as usize, head::length(&words));
    if length == 0 || first >= view.plan.leaves {
        return None;
    }
    // The note of a block's first leaf has its size, as a power of two, in its lower half.
    let class = Notes::new(view.notes, view.plan.cells()).get(first) & 0xffff_ffff;
    let leaves = 1usize.checked_shl(u32::try_from(class).ok()?)?;
    let fits = length <= leaves && first.is_multiple_of(leaves) && leaves <= view.plan.leaves - first;
    fits.then_some((first, leaves))
}

fn words_of(view: &View<'_>, slot: usize) -> Option<Words> {
    let (line, shadow) = view.cell(slot)?;
    match cell::read(line, shadow) {
        Ok((words, _)) | Err(Unread::Vacant(words)) => Some(words),
        Err(Unread::Busy) => None,
    }
}

/// All that is wrong at this moment, or seems to be while a writer is at work.
pub(super) fn of(view: &View<'_>) -> Vec<Fault> {
    let mut faults = counts(view);
    let entries = view.incidents.chunks_exact(incidents::LINES).enumerate();
    let damaged = entries.filter(|(_, entry)| matches!(incident::read(entry), Err(Unsound::Damaged)));
    faults.extend(damaged.map(|(entry, _)| Fault::Incident { entry }));
    let named = names(view, &mut faults);
    let last = view.header[count::LINE].load(count::GENERATION);
    let mut taken: Vec<Option<usize>> = vec![None; view.plan.leaves];
    let settings = view.plan.first_setting()..view.plan.cells();
    for slot in (0..view.plan.services).chain(settings) {
        let Some(words) = words_of(view, slot) else {
            faults.push(Fault::Busy { slot });
            continue;
        };
        let byte = (words[2] >> 56) as u8;
        let state = State::from_byte(byte & 7);
        if state.is_none() || Reason::from_byte(byte >> 3).is_none() {
            faults.push(Fault::Standing { slot, byte });
        }
        let in_use = head::incarnation(&words) != 0 && state != Some(State::Removed);
        if in_use && !named[slot] {
            faults.push(Fault::Nameless { slot });
        }
        if slot < view.plan.services {
            set(view, slot, &words, last, &mut taken, &mut faults);
        }
    }
    faults
}

fn counts(view: &View<'_>) -> Vec<Fault> {
    let counts = &view.header[count::LINE];
    let limits = [
        ("names", counts.load(count::BUCKETS), view.plan.buckets as u64 / 2),
        ("words of long names", counts.load(count::LONG_NAMES), view.plan.long_lines as u64 * 8),
    ];
    let over = limits.into_iter().filter(|(_, counted, most)| counted > most);
    over.map(|(of, counted, most)| Fault::Count { of, counted, most }).collect()
}

/// Which slots have a name.
fn names(view: &View<'_>, faults: &mut Vec<Fault>) -> Vec<bool> {
    let directory: Directory<'_> = view.directory;
    let mut named = vec![false; view.plan.cells()];
    directory.for_each(|name, handle| {
        let slot = handle.slot();
        let is_setting = setting::name_of(name).is_some();
        let section =
            if is_setting { view.plan.first_setting()..view.plan.cells() } else { 0..view.plan.services };
        let words = section.contains(&slot).then(|| words_of(view, slot)).flatten();
        let is_own = words.is_some_and(|words| {
            head::incarnation(&words) == handle.incarnation() && head::standing_of(&words).0 != State::Removed
        });
        if is_own && !named[slot] {
            named[slot] = true;
        } else {
            let name = setting::name_of(name).unwrap_or(name).to_string();
            faults.push(Fault::Name { name, slot });
        }
        true
    });
    named
}

/// A service's set, leaf by leaf.
fn set(
    view: &View<'_>,
    slot: usize,
    words: &Words,
    last: u64,
    taken: &mut [Option<usize>],
    faults: &mut Vec<Fault>,
) {
    let generation = head::generation(words);
    if generation > last {
        faults.push(Fault::Generation { slot, generation, last });
    }
    let (first, length) = (head::first(words) as usize, head::length(words));
    if length == 0 {
        return;
    }
    let Some((block, leaves)) = block_of(view, slot).filter(|(block, _)| *block == first) else {
        faults.push(Fault::Place { slot, first, length });
        return;
    };
    for leaf in &mut taken[block..block + leaves] {
        if let Some(other) = leaf.replace(slot) {
            faults.push(Fault::Overlap { slot: other, other: slot });
            break;
        }
    }
    let handle = crate::Handle::new(slot as u32, head::incarnation(words));
    let reader = Reader::new(*view);
    let Ok(set) = reader.set(handle) else { return };
    let mut damaged = |part| faults.push(Fault::Leaf { slot, part });
    match set.into_iter().collect::<Result<Vec<_>, _>>() {
        Err(_) => damaged("an active endpoint"),
        Ok(walk) => {
            let of_primary = |endpoint: &crate::Endpoint| {
                let words = endpoint.leaf_words(0, 0);
                [words[0], words[1], words[2] & 0xff_ffff << 32, words[3], words[4]]
            };
            let of_head = [words[0], words[1], words[2] & 0xff_ffff << 32, words[3], words[4]];
            if walk.first().map(of_primary) != Some(of_head) {
                faults.push(Fault::Primary { slot });
            }
        }
    }
    let mut damaged = |part| faults.push(Fault::Leaf { slot, part });
    let Ok(index) = set.index() else { return damaged("the index") };
    if head::is_indexed(words[head::PLACE]) && set.leaves() > leaves {
        return damaged("the index");
    }
    if (0..index.all.saturating_sub(length)).any(|place| !matches!(set.reserve(place), Some(Ok(_)))) {
        damaged("a reserve");
    }
    if (0..index.keys.length).any(|leaf| set.word(index.keys.first.wrapping_add(leaf), 0).is_err()) {
        damaged("the key table");
    }
    let steps = index.steps.length.div_ceil(crate::publication::PLACES);
    if (0..steps).any(|leaf| set.word(index.steps.first.wrapping_add(leaf), 0).is_err()) {
        damaged("the smooth order");
    }
}
