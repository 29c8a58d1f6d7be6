//! What is counted and what goes wrong on the sync side: each event once, and here.
//!
//! Whoever notices something notes it here, on any thread. `/metrics` reads the counts; the publisher, which alone may write
//! to the table, takes what has come since its last beat over into the segment, where every reader can look at it. So both
//! say the same, the segment over all agents of its life, and `/metrics` since the start of this one.

mod counts;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use resolver_core::{Counter, IncidentKind, Reason, Writer};

pub(crate) use counts::{Counts, SourceCounts};

/// A place to count and to note errors. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    inbox: Arc<Mutex<Inbox>>,
}

#[derive(Debug, Default)]
struct Inbox {
    counts: Counts,
    /// The counts as they were when they were last entered into a table.
    entered: Counts,
    notes: Vec<Note>,
    /// Notes for which there was no room until the next beat.
    lost: u64,
}

#[derive(Debug)]
struct Note {
    kind: IncidentKind,
    about: String,
    words: String,
    at_ms: u64,
}

/// Notes that wait for the next beat, at most.
const MOST: usize = 256;

impl Ledger {
    /// Counts `by` more of what nobody wants to know more of than how often it was.
    pub fn count(&self, counter: Counter, by: u64) {
        self.change(|inbox| inbox.counts.add(counter, by));
    }

    /// A source came into step with its registry; `again`: after it had been.
    pub(crate) fn contact(&self, source: &str, again: bool) {
        self.of_source(source, |counts| {
            counts.contacts += 1;
            counts.reconnects += u64::from(again);
        });
    }

    /// A source lost contact with its registry.
    pub(crate) fn contact_lost(&self, source: &str, reason: Reason) {
        self.of_source(source, |counts| *counts.faults.entry(reason.name()).or_default() += 1);
    }

    /// A record of a source was newly left out.
    pub(crate) fn bad_record(&self, source: &str) {
        self.of_source(source, |counts| counts.bad_records += 1);
    }

    /// A second read has ended.
    pub(crate) fn confirmed(&self, proven: bool) {
        self.change(|inbox| {
            let counts = &mut inbox.counts;
            *if proven { &mut counts.proven } else { &mut counts.unproven } += 1;
        });
    }

    /// A set was published.
    pub(crate) fn published(&self) {
        self.change(|inbox| inbox.counts.published += 1);
    }

    /// A set was newly refused.
    pub(crate) fn refused(&self) {
        self.change(|inbox| inbox.counts.refused += 1);
    }

    /// All that was counted since the start.
    pub(crate) fn counts(&self) -> Counts {
        self.change(|inbox| inbox.counts.clone())
    }

    /// Notes an error; see [`Writer::note`]. Everybody who can read the segment can read this: what stands before the `@` of an
    /// address is taken out, and callers hand over no secrets.
    pub fn note(&self, kind: IncidentKind, about: &str, words: &str) {
        let (about, words) = (without_userinfo(about), without_userinfo(words));
        let note = Note { kind, about, words, at_ms: now_ms() };
        self.change(|inbox| if inbox.notes.len() < MOST { inbox.notes.push(note) } else { inbox.lost += 1 });
    }

    /// Writes down what has come since the last time.
    pub(crate) fn enter(&self, writer: &mut Writer<'_>) {
        let (new, notes, lost) = self.change(|inbox| {
            let new = inbox.counts.since(&inbox.entered);
            if !new.is_empty() {
                inbox.entered.clone_from(&inbox.counts);
            }
            (new, std::mem::take(&mut inbox.notes), std::mem::take(&mut inbox.lost))
        });
        for (counter, by) in new {
            writer.count(counter, by);
        }
        for Note { kind, about, words, at_ms } in notes {
            writer.note(kind, &about, &words, at_ms);
        }
        writer.count(Counter::Incidents, lost);
        writer.count(Counter::IncidentsNotKept, lost);
    }

    fn of_source(&self, source: &str, change: impl FnOnce(&mut SourceCounts)) {
        self.change(|inbox| change(inbox.counts.source(source)));
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inbox) -> T) -> T {
        change(&mut self.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Takes names and passwords out of addresses: `http://user:password@host` becomes `http://[redacted]@host`.
fn without_userinfo(text: &str) -> String {
    let mut rest = text;
    let mut clean = String::with_capacity(text.len());
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let authority =
            after.find(|c: char| c == '/' || c.is_whitespace() || c == '"').unwrap_or(after.len());
        rest = after;
        if let Some(end) = after[..authority].rfind('@') {
            clean.push_str("[redacted]");
            rest = &after[end..];
        }
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use resolver_core::{Capacity, Table, heap};

    use super::*;

    #[test]
    fn what_was_noted_is_in_the_table_after_the_next_beat() {
        let memory = heap(Capacity::SMALL.lines());
        let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1).expect("it fits").split();
        let ledger = Ledger::default();
        let other = ledger.clone();
        other.count(Counter::Holds, 2);
        ledger.count(Counter::Holds, 1);
        ledger.note(IncidentKind::Hold, "consul/oms", "an empty answer");
        for n in 0..2 * MOST {
            ledger.note(IncidentKind::Other, "x", &n.to_string());
        }
        ledger.enter(&mut writer);
        assert_eq!((reader.counter(Counter::Holds), reader.incidents().count()), (3, 2));
        assert_eq!(reader.counter(Counter::Incidents), 2 * MOST as u64 + 1, "none is forgotten");
        assert_eq!(reader.counter(Counter::IncidentsNotKept), MOST as u64 + 1);
        ledger.enter(&mut writer);
        assert_eq!(reader.counter(Counter::Holds), 3, "each is entered once");
    }

    #[test]
    fn the_segment_and_the_metrics_say_the_same() {
        let ledger = Ledger::default();
        ledger.contact("a", false);
        ledger.contact("a", true);
        ledger.contact("b", false);
        ledger.contact_lost("a", Reason::Unreachable);
        ledger.contact_lost("a", Reason::Acl);
        ledger.contact_lost("b", Reason::Acl);
        (0..4).for_each(|_| ledger.bad_record("b"));
        ledger.count(Counter::Confirmations, 3);
        ledger.confirmed(true);
        ledger.confirmed(false);
        let expected = [
            (Counter::BadRecords, 4),
            (Counter::Confirmations, 3),
            (Counter::ConfirmationsFailed, 1),
            (Counter::ContactsLost, 3),
            (Counter::Contacts, 3),
            (Counter::Holds, 0),
        ];
        let counts = ledger.counts();
        let (a, b) = (&counts.sources["a"], &counts.sources["b"]);
        assert_eq!((a.contacts, a.reconnects, a.bad_records), (2, 1, 0));
        assert_eq!((b.contacts, b.reconnects, b.bad_records), (1, 0, 4));
        assert_eq!((a.faults["unreachable"], a.faults["acl"], b.faults["acl"]), (1, 1, 1));
        assert_eq!((counts.proven, counts.unproven), (1, 1));

        let memory = heap(Capacity::SMALL.lines());
        let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1).expect("it fits").split();
        for _ in 0..2 {
            ledger.enter(&mut writer);
            for (counter, count) in expected {
                assert_eq!(reader.counter(counter), count, "{}", counter.name());
            }
        }
        // A table that takes the place of this one begins with what comes from then on.
        ledger.bad_record("a");
        let memory = heap(Capacity::SMALL.lines());
        let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1).expect("it fits").split();
        ledger.enter(&mut writer);
        assert_eq!((reader.counter(Counter::BadRecords), reader.counter(Counter::Contacts)), (1, 0));
    }

    #[test]
    fn no_password_of_an_address_is_noted() {
        for (text, clean) in [
            ("get http://u:canary@h:1/x: refused", "get http://[redacted]@h:1/x: refused"),
            ("http://a/b@c and https://canary@d", "http://a/b@c and https://[redacted]@d"),
            ("no address, a@b", "no address, a@b"),
            ("http://p@ss:canary@h\" etc", "http://[redacted]@h\" etc"),
        ] {
            assert_eq!(without_userinfo(text), clean);
        }
    }
}
