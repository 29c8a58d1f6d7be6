//! The two records of seven words, and how their fields lie in them.
//!
//! ```text
//! word  endpoint                                         head
//! 0, 1  address (IPv4: word 0)                           address of the primary
//! 2     port 16 | family 8 | tier 8 | alias 16 | zone 16   port 16 | family 8 | standing 8 | incarnation 32
//! 3     id                                               id of the primary
//! 4     tag bits                                         tag bits of the primary
//! 5     weight 32 | threshold 32                         generation
//! 6     generation                                       first cell 32 | length 16 | tier 8 | source 8
//! ```
//!
//! The first three words of a head answer the narrow read. Every value of every field decodes to something well
//! formed, so a damaged table cannot do more than give a wrong address.

mod address;
mod endpoint;

pub use address::Address;
pub use endpoint::Endpoint;

use crate::cell::PAYLOAD;
use crate::state::{Reason, State};
use crate::writer::Standing;

/// Words of a record.
pub(crate) type Words = [u64; PAYLOAD];

/// What `resolve` gives: the service's primary endpoint, and how the whole service stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    words: Words,
}

impl Resolved {
    #[inline(always)]
    pub(crate) fn from_words(words: Words) -> Self {
        Resolved { words }
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

    /// Endpoints in the set.
    #[inline(always)]
    pub fn endpoints(&self) -> usize {
        usize::from((self.words[6] >> 32) as u16)
    }

    /// Tier of the primary endpoint.
    #[inline(always)]
    pub fn tier(&self) -> u8 {
        (self.words[6] >> 48) as u8
    }

    /// Number of the source; see [`Reader::source`](crate::Reader::source).
    #[inline(always)]
    pub fn source(&self) -> u8 {
        (self.words[6] >> 56) as u8
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
}

impl Head {
    pub(crate) fn encode(&self) -> Words {
        let primary = self.primary.map_or([0; PAYLOAD], |endpoint| endpoint.words());
        [
            primary[0],
            primary[1],
            primary[2] & 0xff_ffff
                | standing_byte(self.state, self.reason) << 24
                | u64::from(self.incarnation) << 32,
            primary[3],
            primary[4],
            self.generation,
            u64::from(self.first)
                | u64::from(self.length) << 32
                | (primary[2] >> 24 & 0xff) << 48
                | u64::from(self.source) << 56,
        ]
    }
}

/// The fields of a head's words that are not the primary's.
pub(crate) mod head {
    use super::{Reason, Standing, State, Words, standing, standing_byte};

    #[inline(always)]
    pub(crate) fn incarnation(words: &[u64]) -> u32 {
        (words[2] >> 32) as u32
    }

    #[inline(always)]
    pub(crate) fn standing_of(words: &[u64]) -> (State, Reason) {
        standing(words[2])
    }

    pub(crate) fn with_standing(mut words: Words, standing: Standing) -> Words {
        words[2] = words[2] & !(0xff << 24) | standing_byte(standing.state, standing.reason) << 24;
        words[6] = words[6] & !(0xff << 56) | u64::from(standing.source) << 56;
        words
    }

    /// The word that says where the set is.
    pub(crate) const PLACE: usize = 6;

    /// First cell and length of the set, from that word.
    #[inline(always)]
    pub(crate) fn place(word: u64) -> (u32, u16) {
        (word as u32, (word >> 32) as u16)
    }

    #[inline(always)]
    pub(crate) fn first(words: &Words) -> u32 {
        words[6] as u32
    }

    #[inline(always)]
    pub(crate) fn length(words: &Words) -> usize {
        usize::from((words[6] >> 32) as u16)
    }

    #[inline(always)]
    pub(crate) fn source(words: &Words) -> u8 {
        (words[6] >> 56) as u8
    }

    #[inline(always)]
    pub(crate) fn generation(words: &Words) -> u64 {
        words[5]
    }
}

fn standing_byte(state: State, reason: Reason) -> u64 {
    state as u64 | (reason as u64) << 3
}

/// Reads the standing out of a head's third word. What no version of this crate wrote is stale, and says so.
fn standing(word: u64) -> (State, Reason) {
    let byte = (word >> 24) as u8;
    (
        State::from_byte(byte & 7).unwrap_or(State::Stale),
        Reason::from_byte(byte >> 3).unwrap_or(Reason::BadAnswer),
    )
}

const _: () = assert!((State::Removed as u8) < 8 && (Reason::BadAnswer as u8) < 32);

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
        let words = [0x0a01_0203, 0, 0x6677_0012_0504_1234, 7, 9, 0x8000_0000_0000_aabb, 11];
        assert_eq!(endpoint.words_in(11, 0x8000_0000, 0x12), words);
        let read = Endpoint::from_words(words);
        assert_eq!(
            (read.threshold(), read.alias(), read.tier(), read.zone()),
            (0x8000_0000, 0x12, 5, 0x6677)
        );
        assert_eq!(read.address().socket_addr(), v4);

        let v6 = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 80));
        assert_eq!(Endpoint::new(v6).words_in(0, 0, 0), [0x2001_0db8_0000_0000, 1, 0x6_0050, 0, 0, 1, 0]);

        let head = Head {
            primary: Some(endpoint),
            state: State::Stale,
            reason: Reason::Unconfirmed,
            incarnation: 0xdead_beef,
            generation: 12,
            first: 0x0102_0304,
            length: 0x0506,
            source: 0x1f,
        };
        let words = [0x0a01_0203, 0, 0xdead_beef_2204_1234, 7, 9, 12, 0x1f05_0506_0102_0304];
        assert_eq!(head.encode(), words);
        assert_eq!(head::incarnation(&words), 0xdead_beef);
        assert_eq!(head::standing_of(&words), (State::Stale, Reason::Unconfirmed));
        assert_eq!((head::first(&words), head::length(&words)), (0x0102_0304, 0x0506));
        assert_eq!((head::source(&words), head::generation(&words)), (0x1f, 12));
        let resolved = Resolved::from_words(words);
        assert_eq!(
            (resolved.address().socket_addr(), resolved.tier(), resolved.endpoints()),
            (v4, 5, 0x0506)
        );
    }

    /// What no version wrote is stale, and says so.
    #[test]
    fn an_unknown_standing_is_stale() {
        assert_eq!(standing(7 << 24), (State::Stale, Reason::None));
        assert_eq!(standing(31 << 27 | 1 << 24), (State::Fresh, Reason::BadAnswer));
    }
}
