//! The log of distinct errors: what went wrong, how often, when first and when last. Written by the table's writer, read by
//! whoever maps it.
//!
//! ```text
//! entry   | stamp | key | count | first | last | kind, lengths | text: 272 bytes ... |    stamp: odd while it is written
//! ```
//!
//! The same error again is a greater count and a later time, and no new entry. The same is: of the same kind, about the same,
//! in words that differ in their numbers at most. When all entries are in use, the one that was not seen for the
//! longest time gives way if that is an hour at least; else the new error is counted as not kept.
//!
//! An entry is written between an odd stamp and the next even one, so that a reader never sees the words of two errors
//! mixed (`docs/orderings.md`, "Incidents"); count and last time are words of their own and may be newer than the rest. A
//! writer that dies in an entry leaves its stamp odd: readers leave it out, and the next writer empties it.

use core::fmt;

use crate::cell::ROUNDS;
use crate::layout::incidents;
use crate::memory::{Line, WORDS};
use crate::sync::{self, Site};

/// Words of an entry.
pub(crate) const ENTRY: usize = incidents::LINES * WORDS;
const STAMP: usize = 0;
const KEY: usize = 1;
const COUNT: usize = 2;
const FIRST: usize = 3;
const LAST: usize = 4;
/// kind | cut << 8 | bytes of what it is about << 16 | bytes of the words << 32
const SHAPE: usize = 5;
const TEXT: usize = 6;

/// Bytes of an entry's text.
const TEXT_BYTES: usize = (ENTRY - TEXT) * 8;
/// The most of them that say what it is about.
const ABOUT_BYTES: usize = 96;
/// An error that was not seen for so long gives way to a new one, if there is no other room.
const OLD_MS: u64 = 3_600_000;

/// What kind of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum IncidentKind {
    /// A record cannot be used and is left out.
    BadRecord = 1,
    /// A source lost contact with its registry.
    ContactLost = 2,
    /// A service cannot be read although the registry answers.
    Doubt = 3,
    /// The last good set is held against what the registry says.
    Hold = 4,
    /// A publication was refused: it does not fit, or its name is another's.
    Refused = 5,
    /// The registry began a new history.
    Epoch = 6,
    /// A watch ended, which none should.
    WatchEnded = 7,
    /// A snapshot on disk was refused, or could not be written.
    Snapshot = 8,
    /// An operator took an endpoint out, or let it in again, and something about that did not go as it should.
    Operator = 9,
    /// Anything else.
    Other = 10,
}

impl IncidentKind {
    /// The short name that tools print.
    pub const fn name(self) -> &'static str {
        match self {
            IncidentKind::BadRecord => "bad-record",
            IncidentKind::ContactLost => "contact-lost",
            IncidentKind::Doubt => "doubt",
            IncidentKind::Hold => "hold",
            IncidentKind::Refused => "refused",
            IncidentKind::Epoch => "epoch",
            IncidentKind::WatchEnded => "watch-ended",
            IncidentKind::Snapshot => "snapshot",
            IncidentKind::Operator => "operator",
            IncidentKind::Other => "other",
        }
    }

    /// Reads a byte of a table; an unknown value is `None`.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => IncidentKind::BadRecord,
            2 => IncidentKind::ContactLost,
            3 => IncidentKind::Doubt,
            4 => IncidentKind::Hold,
            5 => IncidentKind::Refused,
            6 => IncidentKind::Epoch,
            7 => IncidentKind::WatchEnded,
            8 => IncidentKind::Snapshot,
            9 => IncidentKind::Operator,
            10 => IncidentKind::Other,
            _ => return None,
        })
    }
}

/// One distinct error of the log, copied whole.
#[derive(Clone, Copy)]
pub struct Incident {
    words: [u64; ENTRY],
}

/// Why an entry is no error that a writer of this version noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsound {
    /// Nothing is noted there.
    Empty,
    /// Its stamp is odd, or moved in every round.
    Unfinished,
    /// Its kind, lengths or text cannot be.
    Damaged,
}

impl Incident {
    /// What kind of error.
    pub fn kind(&self) -> IncidentKind {
        IncidentKind::from_byte(self.words[SHAPE] as u8).unwrap_or(IncidentKind::Other)
    }

    /// How often it came, since it is in the log.
    pub fn count(&self) -> u64 {
        self.words[COUNT]
    }

    /// When it came first, in milliseconds since 1970, by the writer's clock.
    pub fn first_ms(&self) -> u64 {
        self.words[FIRST]
    }

    /// When it came last, in milliseconds since 1970, by the writer's clock.
    pub fn last_ms(&self) -> u64 {
        self.words[LAST]
    }

    /// Whether its words were longer than an entry has room for.
    pub fn is_cut(&self) -> bool {
        self.words[SHAPE] >> 8 & 1 != 0
    }

    /// What it is about (a source, a service), in the caller's buffer.
    pub fn about<'b>(&self, buffer: &'b mut [u8; 272]) -> &'b str {
        let (about, _) = self.lengths();
        self.text(buffer, 0..about)
    }

    /// What went wrong, in the words of its first time, in the caller's buffer.
    pub fn words<'b>(&self, buffer: &'b mut [u8; 272]) -> &'b str {
        let (about, words) = self.lengths();
        self.text(buffer, about..about + words)
    }

    /// Both within the text, whatever a damaged entry says.
    fn lengths(&self) -> (usize, usize) {
        let about = ((self.words[SHAPE] >> 16 & 0xffff) as usize).min(TEXT_BYTES);
        (about, ((self.words[SHAPE] >> 32 & 0xffff) as usize).min(TEXT_BYTES - about))
    }

    fn text<'b>(&self, buffer: &'b mut [u8; TEXT_BYTES], range: core::ops::Range<usize>) -> &'b str {
        for (bytes, word) in buffer.chunks_exact_mut(8).zip(&self.words[TEXT..]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        core::str::from_utf8(&buffer[range]).unwrap_or("?")
    }

    fn is_sound(&self) -> bool {
        let about = self.words[SHAPE] >> 16 & 0xffff;
        let words = self.words[SHAPE] >> 32 & 0xffff;
        let mut buffer = [0; TEXT_BYTES];
        IncidentKind::from_byte(self.words[SHAPE] as u8).is_some()
            && about + words <= TEXT_BYTES as u64
            && self.text(&mut buffer, 0..(about as usize)) != "?"
            && self.text(&mut buffer, about as usize..(about + words) as usize) != "?"
    }
}

impl fmt::Debug for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incident")
            .field("kind", &self.kind())
            .field("count", &self.count())
            .field("about", &self.about(&mut [0; TEXT_BYTES]))
            .field("words", &self.words(&mut [0; TEXT_BYTES]))
            .finish()
    }
}

/// The errors of the log, in no order: [`Reader::incidents`](crate::Reader::incidents).
#[derive(Clone)]
pub struct Incidents<'m> {
    entries: core::slice::ChunksExact<'m, Line>,
}

#[cfg(not(resolver_loom))]
impl<'m> Incidents<'m> {
    pub(crate) fn of(lines: &'m [Line]) -> Self {
        Incidents { entries: lines.chunks_exact(incidents::LINES) }
    }
}

impl Iterator for Incidents<'_> {
    type Item = Incident;

    fn next(&mut self) -> Option<Incident> {
        self.entries.find_map(|entry| read(entry).ok())
    }
}

/// One entry, whole. Wait-free: at most 16 rounds of its 40 words.
pub(crate) fn read(entry: &[Line]) -> Result<Incident, Unsound> {
    let mut words = [0; ENTRY];
    if !read_words(entry, &mut words, ROUNDS) {
        return Err(Unsound::Unfinished);
    }
    let incident = Incident { words };
    match () {
        () if incident.count() == 0 => Err(Unsound::Empty),
        () if !incident.is_sound() => Err(Unsound::Damaged),
        () => Ok(incident),
    }
}

/// The words of one writing, if there are any within so many rounds.
pub(crate) fn read_words(entry: &[Line], into: &mut [u64], rounds: usize) -> bool {
    let mut stamp = load(entry, STAMP);
    for _ in 0..rounds {
        sync::fence_acquire(Site::AfterSeq);
        for (place, word) in into.iter_mut().enumerate() {
            *word = load(entry, place);
        }
        sync::fence_acquire(Site::AfterWords);
        let again = load(entry, STAMP);
        if again == stamp && stamp & 1 == 0 {
            return true;
        }
        stamp = again;
    }
    false
}

/// Writes an entry whole; the first word is the stamp's, and is not looked at.
pub(crate) fn write(entry: &[Line], words: &[u64]) {
    let odd = load(entry, STAMP) | 1;
    store(entry, STAMP, odd);
    sync::fence_release(Site::BeforeLine);
    for (place, word) in words.iter().enumerate().skip(1) {
        store(entry, place, *word);
    }
    sync::store_release(entry[0].word(STAMP), odd.wrapping_add(1), Site::MarkEven);
}

/// Empties what a dead writer was writing.
pub(crate) fn repair(lines: &[Line]) {
    for entry in lines.chunks_exact(incidents::LINES) {
        if load(entry, STAMP) & 1 != 0 {
            write(entry, &[0; ENTRY]);
        }
    }
}

/// Notes an error; `false` where there is no room for it.
#[cfg(not(resolver_loom))]
fn note(lines: &[Line], kind: IncidentKind, about: &str, words: &str, now_ms: u64) -> bool {
    let key = key_of(kind, about, words);
    let mut place = None;
    for entry in lines.chunks_exact(incidents::LINES) {
        let count = load(entry, COUNT);
        if count != 0 && load(entry, KEY) == key {
            store(entry, COUNT, count.saturating_add(1));
            // Not back, though the clock may go.
            store(entry, LAST, now_ms.max(load(entry, LAST)));
            return true;
        }
        let seen = if count == 0 { 0 } else { load(entry, LAST) };
        if place.is_none_or(|(_, earliest)| seen < earliest) {
            place = Some((entry, seen));
        }
    }
    match place {
        Some((entry, seen)) if seen == 0 || now_ms.saturating_sub(seen) >= OLD_MS => {
            let about_end = end_of(about, ABOUT_BYTES);
            let words_end = end_of(words, TEXT_BYTES - about_end);
            let cut = about_end < about.len() || words_end < words.len();
            let mut entry_words = [0; ENTRY];
            let shape =
                kind as u64 | u64::from(cut) << 8 | (about_end as u64) << 16 | (words_end as u64) << 32;
            (entry_words[KEY], entry_words[COUNT], entry_words[SHAPE]) = (key, 1, shape);
            (entry_words[FIRST], entry_words[LAST]) = (now_ms.max(1), now_ms.max(1));
            let bytes = about.as_bytes()[..about_end].iter().chain(&words.as_bytes()[..words_end]);
            for (at, byte) in bytes.enumerate() {
                // A log has readers with terminals.
                let byte = if byte.is_ascii_control() { b' ' } else { *byte };
                entry_words[TEXT + at / 8] |= u64::from(byte) << (at % 8 * 8);
            }
            write(entry, &entry_words);
            true
        }
        _ => false,
    }
}

/// The same for errors whose words differ in their numbers alone: FNV-1a.
#[cfg(not(resolver_loom))]
fn key_of(kind: IncidentKind, about: &str, words: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut take = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    take(kind as u8);
    about.bytes().for_each(&mut take);
    take(0);
    let mut in_number = false;
    for byte in words.bytes() {
        if !byte.is_ascii_digit() {
            take(byte);
        } else if !in_number {
            take(b'0');
        }
        in_number = byte.is_ascii_digit();
    }
    hash
}

/// The most bytes of a text that fit and end with a character.
#[cfg(not(resolver_loom))]
fn end_of(text: &str, room: usize) -> usize {
    let mut end = text.len().min(room);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

#[cfg(not(resolver_loom))]
impl crate::Writer<'_> {
    /// Notes an error in the table's log: what kind, what about (a source, a service), what went wrong, and when in
    /// milliseconds since 1970. Longer texts are cut at 96 and 272 bytes in all; control characters become spaces. Whoever can read
    /// the table can read this: no secrets.
    ///
    /// The same error again (of the same kind, about the same, in words that differ in their numbers at most) is counted
    /// where it is. Whether it is in the log; without room it is counted as
    /// [`IncidentsNotKept`](crate::Counter::IncidentsNotKept).
    ///
    /// ```
    /// # use resolver_core::{Capacity, IncidentKind, Table, heap};
    /// # let memory = heap(Capacity::SMALL.lines());
    /// let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
    /// for port in [0, 70000] {
    ///     writer.note(IncidentKind::BadRecord, "consul/oms", &format!("port {port} is none"), 1_000 + port);
    /// }
    /// let incident = reader.incidents().next().expect("it was noted");
    /// assert_eq!((incident.count(), incident.words(&mut [0; 272])), (2, "port 0 is none"));
    /// # Ok::<(), resolver_core::CreateError>(())
    /// ```
    pub fn note(&mut self, kind: IncidentKind, about: &str, words: &str, now_ms: u64) -> bool {
        let kept = note(self.view.incidents, kind, about, words, now_ms);
        self.count(crate::Counter::Incidents, 1);
        if !kept {
            self.count(crate::Counter::IncidentsNotKept, 1);
        }
        kept
    }
}

fn load(entry: &[Line], place: usize) -> u64 {
    entry[place / WORDS].load(place % WORDS)
}

fn store(entry: &[Line], place: usize, value: u64) {
    entry[place / WORDS].store(place % WORDS, value);
}

const _: () = assert!(TEXT_BYTES == 272 && ABOUT_BYTES < TEXT_BYTES);

#[cfg(all(test, not(resolver_loom)))]
mod tests;
