//! Name to handle: open addressing over buckets of 32 bytes.
//!
//! ```text
//! | name, zero padded: 23 | length: 1 | entry: incarnation 32, offset 32 |     long name: 0xff, length 16, place 32 | hash | 0
//! ```
//!
//! A bucket's name is written once in the life of a table; only the entry changes, in one store. 0 is a bucket that
//! was never used and ends every probe; [`TOMBSTONE`] is a name that was removed and may come back. Both have
//! incarnation 0, which no handle has. So a reader that sees an entry sees its name, and nothing ever moves.

use core::hint::cold_path;

use crate::handle::Handle;
use crate::layout::{BUCKET_WORDS, Plan, count};
use crate::memory::{Line, WORDS};
use crate::name::{self, Name};
use crate::sync::{self, AtomicU64, Ordering, Site};

/// The entry of a name that was removed.
const TOMBSTONE: u64 = 0xffff_ffff;

/// A bucket's words.
type Bucket = [AtomicU64; BUCKET_WORDS];
const BUCKET_BYTES: usize = BUCKET_WORDS * size_of::<u64>();

/// The directory's two sections, as readers see them.
#[derive(Clone, Copy)]
pub(crate) struct Directory<'m> {
    buckets: &'m [Line],
    /// Of the bytes of all buckets: what it leaves of a hash is where a bucket begins.
    mask: usize,
    long_names: &'m [Line],
}

/// Why a name could not be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Buckets,
    LongNames,
}

impl<'m> Directory<'m> {
    pub(crate) fn new(buckets: &'m [Line], long_names: &'m [Line]) -> Self {
        assert!(buckets.len().is_power_of_two(), "a plan has as many, or is none");
        let count = buckets.len() * WORDS / BUCKET_WORDS;
        Directory { buckets, mask: (count - 1) * BUCKET_BYTES, long_names }
    }

    pub(crate) fn of(lines: &'m [Line], plan: &Plan) -> Self {
        Self::new(&lines[plan.directory()..plan.long_names()], &lines[plan.long_names()..plan.changes()])
    }

    fn count(&self) -> usize {
        self.mask / BUCKET_BYTES + 1
    }

    /// The bucket that a hash leads to, or the other one of that line.
    #[inline(always)]
    #[cfg(not(resolver_loom))]
    fn bucket(&self, hash: u64, other: bool) -> &'m Bucket {
        let offset = (hash as usize & self.mask) ^ if other { BUCKET_BYTES } else { 0 };
        // SAFETY: the section is a power of two of lines, at least one, so `mask` is its size in bytes less one bucket, with
        // the five lowest bits clear and the sixth set. So `offset`, either way, is a multiple of a bucket's 32 bytes that leaves room
        // for one. A bucket is four words of a line, which are atomics, and aligned as they are.
        unsafe { &*self.buckets.as_ptr().cast::<Bucket>().byte_add(offset) }
    }

    /// The same where lines are loom's, and of another size.
    #[cfg(resolver_loom)]
    fn bucket(&self, hash: u64, other: bool) -> &'m Bucket {
        let offset = (hash as usize & self.mask) ^ if other { BUCKET_BYTES } else { 0 };
        let (line, word) = self.place(offset).expect("the mask leaves what is there");
        line.words(word)
    }

    /// The line that a bucket is in, and its first word there. Never `None` for what the mask leaves; and no panic on the path.
    fn place(&self, offset: usize) -> Option<(&'m Line, usize)> {
        let word = offset / size_of::<u64>();
        // Two buckets a line: their first words are 0 and 4, which tells the compiler that all four are within it.
        Some((self.buckets.get(word / WORDS)?, word & BUCKET_WORDS))
    }

    /// The buckets in which a name may be, in order: its own, the other one of that line, and then line by line.
    fn probes(&self, hash: u64) -> impl Iterator<Item = (&'m Line, usize)> {
        let directory = *self;
        (0..self.count()).map_while(move |step| {
            let line = (hash as usize).wrapping_add(step / 2 * 2 * BUCKET_BYTES) & directory.mask;
            directory.place(line ^ (step % 2 * BUCKET_BYTES))
        })
    }

    /// The handle that stands under a name. Nearly every short name is in its own bucket or in the other one of the line, and
    /// only these are inlined.
    #[inline(always)]
    pub(crate) fn find(&self, name: &Name<'_>) -> Option<Handle> {
        given_out(self.entry(name))
    }

    /// The entry of a name; what no table gives out where it does not stand.
    #[inline(always)]
    pub(crate) fn entry(&self, name: &Name<'_>) -> u64 {
        if !name.is_long() {
            if let Some(entry) = entry_of(self.bucket(name.hash(), false), name.words()) {
                return entry;
            }
            if let Some(entry) = entry_of(self.bucket(name.hash(), true), name.words()) {
                return entry;
            }
        }
        cold_path();
        self.find_again(name.as_str())
    }

    /// The entry of a name, wherever its bucket is; 0 for none. By its text, so that a caller's [`Name`] need not lie in
    /// memory.
    #[inline(never)]
    fn find_again(self, text: &str) -> u64 {
        let name = &Name::new(text);
        for (line, word) in self.probes(name.hash()) {
            let entry = line.load(word + 3);
            if entry == 0 {
                break;
            }
            sync::fence_acquire(Site::AfterEntry);
            if self.is_name(line, word, name) {
                return entry;
            }
        }
        0
    }

    /// Compares a long name with the one that a bucket's first word places.
    #[cold]
    fn is_long(&self, first: u64, wanted: u64, name: &Name<'_>) -> bool {
        let Some((_, place)) = name::long_place(first) else { return false };
        if name::with_place(first, 0) != wanted {
            return false;
        }
        let bytes = name.as_str().as_bytes();
        (0..bytes.len().div_ceil(8)).all(|i| {
            let word = place + i;
            let line = self.long_names.get(word / WORDS);
            line.is_some_and(|line| line.load(word % WORDS) == name::pack(bytes, i * 8)[0])
        })
    }

    /// Calls `each` with every name that stands and its handle, until it returns `false`. Cold.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&str, Handle) -> bool) {
        for (line, word) in self.probes(0) {
            let entry = line.load(word + 3);
            sync::fence_acquire(Site::AfterEntry);
            let Some(handle) = given_out(entry) else { continue };
            let mut bytes = [0u8; 256];
            let text = self.text(line, word, &mut bytes);
            if text.is_some_and(|text| !each(text, handle)) {
                return;
            }
        }
    }

    /// A bucket's name; `None` where its bytes are no name, in a damaged table.
    fn text<'b>(&self, line: &Line, word: usize, bytes: &'b mut [u8; 256]) -> Option<&'b str> {
        let first = line.load(word);
        let length = if let Some((length, place)) = name::long_place(first) {
            if length > crate::layout::MAX_NAME {
                return None;
            }
            for i in 0..length.div_ceil(8) {
                let value = self.long_names.get((place + i) / WORDS)?.load((place + i) % WORDS);
                bytes[i * 8..i * 8 + 8].copy_from_slice(&value.to_le_bytes());
            }
            length
        } else {
            for i in 0..3 {
                bytes[i * 8..i * 8 + 8].copy_from_slice(&line.load(word + i).to_le_bytes());
            }
            name::short_length(line.load(word + 2))
        };
        core::str::from_utf8(bytes.get(..length)?).ok()
    }

    /// Enters a name, or gives a removed one its new handle. The name is valid and does not stand.
    pub(crate) fn insert(&self, name: &Name<'_>, handle: Handle, counts: &Line) -> Result<(), Full> {
        let entry = handle.to_bits();
        for (line, word) in self.probes(name.hash()) {
            let old = line.load(word + 3);
            if old == 0 {
                // Half full at most: beyond that probes grow long, and a new segment must supersede this one.
                let used = counts.load(count::BUCKETS);
                if used as usize >= self.count() / 2 {
                    return Err(Full::Buckets);
                }
                let mut words = name.words();
                if name.is_long() {
                    words[0] = name::with_place(words[0], self.store_long(name, counts)?);
                }
                for (i, value) in words.iter().enumerate() {
                    line.store(word + i, *value);
                }
                counts.store(count::BUCKETS, used + 1);
                sync::store_release(line.word(word + 3), entry, Site::EntryStore);
                return Ok(());
            }
            if self.is_name(line, word, name) {
                sync::store_release(line.word(word + 3), entry, Site::EntryStore);
                return Ok(());
            }
        }
        Err(Full::Buckets)
    }

    /// Takes a name away: its bucket becomes a tombstone, for the same name only.
    pub(crate) fn remove(&self, name: &Name<'_>) {
        for (line, word) in self.probes(name.hash()) {
            let entry = line.load(word + 3);
            if entry == 0 {
                return;
            }
            if self.is_name(line, word, name) {
                sync::store_release(line.word(word + 3), TOMBSTONE, Site::EntryStore);
                return;
            }
        }
    }

    /// Makes a tombstone of every entry that `keep` refuses; how a new writer drops what a dead one left half done.
    pub(crate) fn retain(&self, mut keep: impl FnMut(Handle) -> bool) -> usize {
        let mut dropped = 0;
        for (line, word) in self.probes(0) {
            let entry = line.load(word + 3);
            if given_out(entry).is_some_and(|handle| !keep(handle)) {
                sync::store_release(line.word(word + 3), TOMBSTONE, Site::EntryStore);
                dropped += 1;
            }
        }
        dropped
    }

    fn is_name(&self, line: &Line, word: usize, name: &Name<'_>) -> bool {
        let words = name.words();
        let first = line.load(word);
        line.load(word + 1) == words[1]
            && line.load(word + 2) == words[2]
            && if name.is_long() { self.is_long(first, words[0], name) } else { first == words[0] }
    }

    fn store_long(&self, name: &Name<'_>, counts: &Line) -> Result<usize, Full> {
        let bytes = name.as_str().as_bytes();
        let place = counts.load(count::LONG_NAMES) as usize;
        let words = bytes.len().div_ceil(8);
        // In a damaged table the count may be anything.
        if place.saturating_add(words) > self.long_names.len() * WORDS {
            return Err(Full::LongNames);
        }
        for i in 0..words {
            let word = place + i;
            self.long_names[word / WORDS].store(word % WORDS, name::pack(bytes, i * 8)[0]);
        }
        counts.store(count::LONG_NAMES, (place + words) as u64);
        Ok(place)
    }
}

/// The entry of a bucket, if it is of a short name of these words.
#[inline(always)]
fn entry_of(bucket: &Bucket, words: [u64; 3]) -> Option<u64> {
    let word = |index: usize| bucket[index].load(Ordering::Relaxed);
    let entry = word(3);
    sync::fence_acquire(Site::AfterEntry);
    let differs = (word(0) ^ words[0]) | (word(1) ^ words[1]) | (word(2) ^ words[2]);
    (differs == 0).then_some(entry)
}

#[inline(always)]
fn given_out(entry: u64) -> Option<Handle> {
    let handle = Handle::from_bits(entry);
    handle.is_given_out().then_some(handle)
}

#[cfg(all(test, not(resolver_loom)))]
mod tests {
    extern crate std;

    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    /// Two names of one length whose hashes agree: the first factor of the second fold is 0, so the second is lost. Text
    /// that does this is found in a few thousand tries, so a registry could hold it.
    fn colliding() -> [String; 2] {
        const K: u64 = 0x9e37_79b9_7f4a_7c15;
        for i in 0..1_000_000 {
            let start = format!("{i:024}");
            let seed = name::fold(name::pack(start.as_bytes(), 0), 48);
            let zero = (K ^ seed).to_le_bytes();
            if zero.iter().all(|byte| byte.is_ascii_graphic()) {
                let zero: String = zero.iter().map(|byte| char::from(*byte)).collect();
                return ["first---", "second--"].map(|rest| format!("{start}{zero}{rest}tail----"));
            }
        }
        unreachable!("one in 3000 tries is text")
    }

    #[test]
    fn names_that_share_a_hash_are_two_names() {
        let lines: Vec<Line> = (0..8).map(|_| Line::new()).collect();
        let long_names: Vec<Line> = (0..8).map(|_| Line::new()).collect();
        let counts = Line::new();
        let directory = Directory::new(&lines, &long_names);
        let names = colliding();
        let [first, second] = [Name::new(&names[0]), Name::new(&names[1])];
        assert_eq!(first.hash(), second.hash());
        directory.insert(&first, Handle::new(0, 1), &counts).expect("there is room");
        assert_eq!(directory.find(&second), None, "another service's handle");
        directory.insert(&second, Handle::new(1, 2), &counts).expect("there is room");
        assert_eq!(directory.find(&first), Some(Handle::new(0, 1)));
        assert_eq!(directory.find(&second), Some(Handle::new(1, 2)));
        directory.remove(&first);
        assert_eq!(directory.find(&first), None);
        assert_eq!(directory.find(&second), Some(Handle::new(1, 2)));
    }
}
