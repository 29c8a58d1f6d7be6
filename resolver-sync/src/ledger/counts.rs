//! What has been counted since the start, as finely as anybody asks.

use std::collections::BTreeMap;

use resolver_core::Counter;

/// The counts of one agent. They only grow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sources: BTreeMap<String, SourceCounts>,
    /// Second reads that have ended, by whether they proved anything.
    pub(crate) proven: u64,
    pub(crate) unproven: u64,
    /// Sets that were published. The table counts its own publications, which are batches of them and of values.
    pub(crate) published: u64,
    /// Sets that were refused, each reason once; the table counts each attempt that it refuses.
    pub(crate) refused: u64,
    others: Vec<(Counter, u64)>,
}

/// What a source has been through.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceCounts {
    /// The first one, and each one after a loss.
    pub(crate) contacts: u64,
    /// Those that came back.
    pub(crate) reconnects: u64,
    /// Those that were lost, by reason.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// Records that were newly left out.
    pub(crate) bad_records: u64,
}

impl Counts {
    pub(super) fn add(&mut self, counter: Counter, by: u64) {
        match self.others.iter_mut().find(|(known, _)| *known == counter) {
            Some((_, count)) => *count = count.saturating_add(by),
            None => self.others.push((counter, by)),
        }
    }

    pub(super) fn source(&mut self, name: &str) -> &mut SourceCounts {
        self.sources.entry(name.to_owned()).or_default()
    }

    /// How much more each counter of a table is than before; those alone that are.
    pub(super) fn since(&self, before: &Counts) -> Vec<(Counter, u64)> {
        let more = |counter| (counter, self.of(counter).saturating_sub(before.of(counter)));
        Counter::ALL.into_iter().map(more).filter(|(_, by)| *by > 0).collect()
    }

    /// As a counter of a table.
    fn of(&self, counter: Counter) -> u64 {
        let other = self.others.iter().find(|(known, _)| *known == counter).map_or(0, |(_, count)| *count);
        let sum = |of: fn(&SourceCounts) -> u64| self.sources.values().map(of).sum::<u64>();
        other
            + match counter {
                Counter::BadRecords => sum(|source| source.bad_records),
                Counter::Contacts => sum(|source| source.contacts),
                Counter::ContactsLost => sum(|source| source.faults.values().sum()),
                Counter::ConfirmationsFailed => self.unproven,
                _ => 0,
            }
    }
}
