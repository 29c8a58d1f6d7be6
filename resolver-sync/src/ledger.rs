//! What is counted and what goes wrong on the sync side, on its way into the segment, where every reader can look at it.
//!
//! Whoever notices something notes it here, on any thread; the publisher, which alone may write to the table, takes it over
//! with each of its beats.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use resolver_core::{Counter, IncidentKind, Writer};

/// A place to count and to note errors. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    inbox: Arc<Mutex<Inbox>>,
}

#[derive(Debug, Default)]
struct Inbox {
    counts: Vec<(Counter, u64)>,
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
    /// Counts `by` more.
    pub fn count(&self, counter: Counter, by: u64) {
        self.change(|inbox| match inbox.counts.iter_mut().find(|(known, _)| *known == counter) {
            Some((_, count)) => *count = count.saturating_add(by),
            None => inbox.counts.push((counter, by)),
        });
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
        let Inbox { counts, notes, lost } = self.change(std::mem::take);
        for (counter, by) in counts {
            writer.count(counter, by);
        }
        for Note { kind, about, words, at_ms } in notes {
            writer.note(kind, &about, &words, at_ms);
        }
        writer.count(Counter::Incidents, lost);
        writer.count(Counter::IncidentsNotKept, lost);
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
