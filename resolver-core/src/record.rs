//! The two records of seven words, and how their fields lie in them.
//!
//! ```text
//! word  endpoint (six words of a leaf)                   head
//! 0, 1  address (IPv4: word 0)                           address of the primary
//! 2     alias 16 | zone 16 | port 16 | family 8 | tier 8   incarnation 32 | port 16 | family 8 | standing 8
//! 3     id                                               id of the primary
//! 4     tag bits                                         tag bits of the primary
//! 5     threshold 32 | weight 32                         generation
//! 6     -                                                first leaf 32 | tier 8 | source 5, indexed 1 | length 16
//! ```
//!
//! The first three words of a head answer the narrow read. Every value of every field decodes to something well
//! formed, so a damaged table cannot do more than give a wrong address.

mod address;
mod endpoint;

pub use address::Address;
pub use endpoint::Endpoint;

use crate::cell::{self, PAYLOAD};
use crate::layout::MAX_SOURCES;
use crate::state::{Reason, State};
use crate::writer::Standing;

/// Words of a record.
pub(crate) type Words = [u64; PAYLOAD];

/// What `resolve` gives: the service's primary endpoint, and how the whole service stands.
#[derive(Clone, Copy)]
pub struct Resolved {
    words: Words,
    /// The cell's, when it was read.
    seq: u64,
}

/// By what they say; when it was read is nothing to it.
impl PartialEq for Resolved {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl Eq for Resolved {}

impl Resolved {
    #[inline(always)]
    pub(crate) fn new(words: Words, seq: u64) -> Self {
        Resolved { words, seq }
    }

    /// The sequence of the service's cell when this was read: for bindings, to ask [`Reader::is_at`](crate::Reader::is_at).
    #[inline(always)]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The seven words as they lie in the table; see [`Address::to_words`].
    #[inline(always)]
    pub fn to_words(&self) -> [u64; 7] {
        self.words
    }

    /// Address and port of the primary endpoint.
    #[inline(always)]
    pub fn address(&self) -> Address {
        Address::from_words([self.words[0], self.words[1], self.words[2]])
    }

    /// [`State::Fresh`] or [`State::Stale`]: the publisher's last word. Whether the publisher itself lives is
    /// [`Liveness`](crate::Liveness)'s to say.
    #[inline]
    pub fn state(&self) -> State {
        standing(self.words[2]).0
    }

    /// Why the service is not fresh.
    #[inline]
    pub fn reason(&self) -> Reason {
        standing(self.words[2]).1
    }

    /// Id of the primary endpoint.
    #[inline(always)]
    pub fn id(&self) -> u64 {
        self.words[3]
    }

    /// Tag bits of the primary endpoint.
    #[inline(always)]
    pub fn tags(&self) -> u64 {
        self.words[4]
    }

    /// The publication that this is from. It only ever grows, over the whole table.
    #[inline(always)]
    pub fn generation(&self) -> u64 {
        self.words[5]
    }

    /// Active endpoints of the set: those that there are to be picked.
    #[inline(always)]
    pub fn endpoints(&self) -> usize {
        usize::from((self.words[6] >> 48) as u16)
    }

    /// Tier of the primary endpoint.
    #[inline(always)]
    pub fn tier(&self) -> u8 {
        (self.words[6] >> 32) as u8
    }

    /// Number of the source; see [`Reader::source`](crate::Reader::source).
    #[inline(always)]
    pub fn source(&self) -> u8 {
        head::source(&self.words)
    }
}

impl core::fmt::Debug for Resolved {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Resolved")
            .field("address", &self.address())
            .field("state", &self.state())
            .field("reason", &self.reason())
            .field("generation", &self.generation())
            .field("endpoints", &self.endpoints())
            .finish()
    }
}

/// What an answer takes of a cell; given the third word, which is read first as the incarnation is in it.
pub(crate) trait Take: Sized {
    /// Whether its words are in all registers that there are: `machine` has more on it.
    const IS_ALL: bool = false;

    fn take(third: u64, words: &impl cell::Words) -> Self;
}

/// A whole record.
impl Take for Words {
    const IS_ALL: bool = true;

    #[inline(always)]
    fn take(third: u64, words: &impl cell::Words) -> Self {
        let [a, b] = [words.at(0), words.at(1)];
        [a, b, third, words.at(3), words.at(4), words.at(5), words.at(6)]
    }
}

/// An address.
impl Take for [u64; 3] {
    #[inline(always)]
    fn take(third: u64, words: &impl cell::Words) -> Self {
        [words.at(0), words.at(1), third]
    }
}

/// A number: the first word.
impl Take for u64 {
    #[inline(always)]
    fn take(_third: u64, words: &impl cell::Words) -> Self {
        words.at(0)
    }
}

/// Where a set is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) generation: u64,
    /// See [`head::place`].
    pub(crate) word: u64,
}

impl Take for Place {
    #[inline(always)]
    fn take(_third: u64, words: &impl cell::Words) -> Self {
        Place { generation: words.at(5), word: words.at(6) }
    }
}

/// A service's head, field by field; how the writer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) primary: Option<Endpoint>,
    pub(crate) state: State,
    pub(crate) reason: Reason,
    pub(crate) incarnation: u32,
    pub(crate) generation: u64,
    pub(crate) first: u32,
    pub(crate) length: u16,
    pub(crate) source: u8,
    /// Whether an index follows the active endpoints.
    pub(crate) indexed: bool,
}

impl Head {
    pub(crate) fn encode(&self) -> Words {
        let primary = self.primary.map_or([0; PAYLOAD], |endpoint| endpoint.words());
        [
            primary[0],
            primary[1],
            u64::from(self.incarnation)
                | primary[2] & 0xff_ffff << 32
                | standing_byte(self.state, self.reason) << 56,
            primary[3],
            primary[4],
            self.generation,
            u64::from(self.first)
                | (primary[2] >> 56) << 32
                | u64::from(self.source & SOURCE) << 40
                | u64::from(self.indexed) << INDEXED
                | u64::from(self.length) << 48,
        ]
    }
}

/// The fields of a head's words that are not the primary's.
pub(crate) mod head {
    use super::{INDEXED, Reason, SOURCE, Standing, State, Words, standing, standing_byte};

    #[inline(always)]
    pub(crate) fn incarnation(words: &[u64]) -> u32 {
        words[2] as u32
    }

    #[inline(always)]
    pub(crate) fn standing_of(words: &[u64]) -> (State, Reason) {
        standing(words[2])
    }

    #[inline(always)]
    pub(crate) fn standing_in(word: u64) -> (State, Reason) {
        standing(word)
    }

    pub(crate) fn with_standing(mut words: Words, standing: Standing) -> Words {
        words[2] = words[2] & !(0xff << 56) | standing_byte(standing.state, standing.reason) << 56;
        words[6] = words[6] & !(u64::from(SOURCE) << 40) | u64::from(standing.source & SOURCE) << 40;
        words
    }

    /// The word with the incarnation.
    pub(crate) const INCARNATION: usize = 2;

    /// The word that says where the set is.
    pub(crate) const PLACE: usize = 6;

    /// First leaf and active endpoints of the set, from that word.
    #[inline(always)]
    pub(crate) fn place(word: u64) -> (u32, u16) {
        (word as u32, (word >> 48) as u16)
    }

    #[inline(always)]
    pub(crate) fn first(words: &Words) -> u32 {
        words[6] as u32
    }

    #[inline(always)]
    pub(crate) fn length(words: &Words) -> usize {
        usize::from((words[6] >> 48) as u16)
    }

    #[inline(always)]
    pub(crate) fn source(words: &Words) -> u8 {
        (words[6] >> 40) as u8 & SOURCE
    }

    #[inline(always)]
    pub(crate) fn is_indexed(word: u64) -> bool {
        word >> INDEXED & 1 != 0
    }

    #[inline(always)]
    pub(crate) fn generation(words: &Words) -> u64 {
        words[5]
    }
}

/// The source's bits in their byte of a head's last word.
const SOURCE: u8 = MAX_SOURCES as u8 - 1;
/// The bit of that word that says whether there is an index.
const INDEXED: u32 = 45;

pub(crate) fn standing_byte(state: State, reason: Reason) -> u64 {
    state as u64 | (reason as u64) << 3
}

/// Reads the standing out of a head's third word. What no version of this crate wrote is stale, and says so.
fn standing(word: u64) -> (State, Reason) {
    let byte = (word >> 56) as u8;
    (
        State::from_byte(byte & 7).unwrap_or(State::Stale),
        Reason::from_byte(byte >> 3).unwrap_or(Reason::BadAnswer),
    )
}

const _: () = assert!((State::Removed as u8) < 8 && (Reason::Killed as u8) < 32);
const _: () = assert!(MAX_SOURCES.is_power_of_two() && MAX_SOURCES <= 32);

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use super::*;

    /// Where every field lies: a change here is a new layout version.
    #[test]
    fn words_are_as_the_layout_says() {
        let v4 = SocketAddr::from(([10, 1, 2, 3], 0x1234));
        let endpoint =
            Endpoint::new(v4).with_id(7).with_tags(9).with_weight(0xaabb).with_tier(5).with_zone(0x6677);
        let words = [0x0a01_0203, 0, 0x0504_1234_6677_0012, 7, 9, 0x0000_aabb_8000_0000];
        assert_eq!(endpoint.leaf_words(0x8000_0000, 0x12), words);
        let read = Endpoint::from_leaf(words, 11);
        assert_eq!(read.generation(), 11);
        assert_eq!(
            (read.threshold(), read.alias(), read.tier(), read.zone()),
            (0x8000_0000, 0x12, 5, 0x6677)
        );
        assert_eq!(read.address().socket_addr(), v4);

        let v6 = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 80));
        assert_eq!(
            Endpoint::new(v6).leaf_words(0, 0),
            [0x2001_0db8_0000_0000, 1, 0x6_0050_0000_0000, 0, 0, 1 << 32]
        );

        let head = Head {
            primary: Some(endpoint),
            state: State::Stale,
            reason: Reason::Unconfirmed,
            incarnation: 0xdead_beef,
            generation: 12,
            first: 0x0102_0304,
            length: 0x0506,
            source: 0x1f,
            indexed: true,
        };
        let words = [0x0a01_0203, 0, 0x2204_1234_dead_beef, 7, 9, 12, 0x0506_3f05_0102_0304];
        assert_eq!(head.encode(), words);
        assert_eq!(head::incarnation(&words), 0xdead_beef);
        assert_eq!(head::standing_of(&words), (State::Stale, Reason::Unconfirmed));
        assert_eq!((head::first(&words), head::length(&words)), (0x0102_0304, 0x0506));
        assert_eq!((head::source(&words), head::generation(&words)), (0x1f, 12));
        assert!(head::is_indexed(words[6]));
        let resolved = Resolved::new(words, 4);
        assert_eq!(
            (resolved.address().socket_addr(), resolved.tier(), resolved.endpoints()),
            (v4, 5, 0x0506)
        );
    }

    /// What no version wrote is stale, and says so.
    #[test]
    fn an_unknown_standing_is_stale() {
        assert_eq!(standing(7 << 56), (State::Stale, Reason::None));
        assert_eq!(standing(31 << 59 | 1 << 56), (State::Fresh, Reason::BadAnswer));
    }
}
