//! What a publisher counts: typed, named, and never set back in the life of a table.

use crate::layout::{count, counter};
use crate::memory::WORDS;
use crate::writer::Writer;

/// Something that is counted since the table was created, over all of its writers. It only grows (a count of more than 64
/// bits begins anew).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Counter {
    /// Publications that were committed.
    Publications = 0,
    /// Publications that were refused because they did not fit, or were not valid.
    Refused = 1,
    /// Cells that takeovers had to repair.
    RepairedCells = 2,
    /// Errors that were noted, the same one as often as it came.
    Incidents = 3,
    /// Different errors for which the log had no room.
    IncidentsNotKept = 4,
    /// Records that were newly left out because they cannot be used.
    BadRecords = 5,
    /// Times that a last good set began to be held against what the registry says.
    Holds = 6,
    /// Second reads that were asked for.
    Confirmations = 7,
    /// Second reads that failed or proved nothing.
    ConfirmationsFailed = 8,
    /// Times that a source lost contact with its registry.
    ContactsLost = 9,
    /// Times that a source came into step with its registry: its first contact, and each one after a loss.
    Contacts = 10,
    /// New histories that a source began: another cluster, a restored snapshot.
    EpochChanges = 11,
    /// Services that a source could not read although the registry answered.
    Doubts = 12,
    /// Watches that ended, which none should, and were started again.
    WatchRestarts = 13,
    /// Snapshots of the last good table that were written to disk.
    Snapshots = 14,
    /// Snapshots that could not be written, or were refused when they were read.
    SnapshotsFailed = 15,
    /// Endpoints that an operator took out.
    Kills = 16,
    /// Endpoints that came back from that, by an operator's word or because it had run out.
    Allows = 17,
}

impl Counter {
    /// All of them, in the order of their numbers.
    pub const ALL: [Counter; 18] = [
        Counter::Publications,
        Counter::Refused,
        Counter::RepairedCells,
        Counter::Incidents,
        Counter::IncidentsNotKept,
        Counter::BadRecords,
        Counter::Holds,
        Counter::Confirmations,
        Counter::ConfirmationsFailed,
        Counter::ContactsLost,
        Counter::Contacts,
        Counter::EpochChanges,
        Counter::Doubts,
        Counter::WatchRestarts,
        Counter::Snapshots,
        Counter::SnapshotsFailed,
        Counter::Kills,
        Counter::Allows,
    ];

    /// The short name that tools print.
    pub const fn name(self) -> &'static str {
        match self {
            Counter::Publications => "publications",
            Counter::Refused => "refused",
            Counter::RepairedCells => "repaired-cells",
            Counter::Incidents => "incidents",
            Counter::IncidentsNotKept => "incidents-not-kept",
            Counter::BadRecords => "bad-records",
            Counter::Holds => "holds",
            Counter::Confirmations => "confirmations",
            Counter::ConfirmationsFailed => "confirmations-failed",
            Counter::ContactsLost => "contacts-lost",
            Counter::Contacts => "contacts",
            Counter::EpochChanges => "epoch-changes",
            Counter::Doubts => "doubts",
            Counter::WatchRestarts => "watch-restarts",
            Counter::Snapshots => "snapshots",
            Counter::SnapshotsFailed => "snapshots-failed",
            Counter::Kills => "kills",
            Counter::Allows => "allows",
        }
    }

    /// The counter of a number; `None` where this version knows none.
    pub fn from_number(number: u8) -> Option<Self> {
        Counter::ALL.get(usize::from(number)).copied()
    }

    /// Line of the header and word in it.
    pub(crate) const fn place(self) -> (usize, usize) {
        match self {
            Counter::Publications => (count::LINE, count::PUBLICATIONS),
            Counter::Refused => (count::LINE, count::REFUSED),
            Counter::RepairedCells => (count::LINE, count::REPAIRED),
            other => {
                let place = other as usize - FIRST;
                (counter::LINE + place / WORDS, place % WORDS)
            }
        }
    }
}

/// The first one that has its word among the counters.
const FIRST: usize = Counter::Incidents as usize;

impl Writer<'_> {
    /// Counts `by` more. Readers see it at once; it is ordered with nothing else.
    ///
    /// ```
    /// # use resolver_core::{Capacity, Counter, Table, heap};
    /// # let memory = heap(Capacity::SMALL.lines());
    /// let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
    /// writer.count(Counter::BadRecords, 2);
    /// assert_eq!(reader.counter(Counter::BadRecords), 2);
    /// # Ok::<(), resolver_core::CreateError>(())
    /// ```
    pub fn count(&mut self, counter: Counter, by: u64) {
        let (line, word) = counter.place();
        if let Some(line) = self.view.header.get(line) {
            line.store(word, line.load(word).wrapping_add(by));
        }
    }
}

const _: () = assert!(Counter::ALL.len() - FIRST <= counter::LINES * WORDS);

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_a_number_a_name_and_a_word_of_its_own() {
        for (number, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, number);
            assert_eq!(Counter::from_number(number as u8), Some(counter));
        }
        assert_eq!(Counter::from_number(Counter::ALL.len() as u8), None);
        let names: BTreeSet<_> = Counter::ALL.iter().map(|counter| counter.name()).collect();
        let places: BTreeSet<_> = Counter::ALL.iter().map(|counter| counter.place()).collect();
        assert_eq!((names.len(), places.len()), (Counter::ALL.len(), Counter::ALL.len()));
    }
}
