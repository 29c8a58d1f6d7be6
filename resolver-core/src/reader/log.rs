//! What the publisher counted, and what went wrong with it; for people and tools.

use super::Reader;
use crate::counter::Counter;
use crate::incident::Incidents;

impl<'m> Reader<'m> {
    /// One of the publisher's counters, since the table was created. One load.
    pub fn counter(&self, counter: Counter) -> u64 {
        let (line, word) = counter.place();
        self.view.header.get(line).map_or(0, |line| line.load(word))
    }

    /// The log of distinct errors; each is copied whole, and one that is being written at this moment is left out. Cold: 320
    /// bytes for each of up to 64.
    pub fn incidents(&self) -> Incidents<'m> {
        Incidents::of(self.view.incidents)
    }
}
