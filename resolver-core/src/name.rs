//! Names of services, as the directory holds and hashes them.

use crate::layout::{MAX_NAME, SHORT_NAME};

/// Marks a bucket whose name is longer than fits: no UTF-8 text begins with this byte.
const LONG: u64 = 0xff;

/// A name ready to be looked up: its words and its hash. For a name known when the program is built, make it `const`.
///
/// ```
/// use resolver_core::Name;
///
/// const OMS: Name<'static> = Name::new("oms");
/// assert_eq!(OMS.as_str(), "oms");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    text: &'a str,
    words: [u64; 3],
    hash: u64,
}

/// Why a text cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// A name has at least one byte.
    Empty,
    /// A name has at most 255 bytes.
    Long,
    /// A name has no control characters.
    Control,
}

impl core::fmt::Display for NameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            NameError::Empty => "the name is empty",
            NameError::Long => "the name is longer than 255 bytes",
            NameError::Control => "the name has a control character",
        })
    }
}

impl core::error::Error for NameError {}

impl<'a> Name<'a> {
    /// Prepares a name for lookups. Any text may be looked up; only a valid name can be found.
    #[inline(always)]
    pub const fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        if bytes.len() > SHORT_NAME {
            let hash = Self::hash_long(bytes);
            // Where the bytes are, the writer adds to the first word.
            return Name { text, words: [LONG | (bytes.len() as u64) << 8, hash, 0], hash };
        }
        let [a, b, c] = pack(bytes, 0);
        // With its length no two texts are alike, whatever bytes they end with.
        let words = [a, b, c | (bytes.len() as u64) << 56];
        Name { text, words, hash: fold_short(words) }
    }

    #[inline(never)]
    const fn hash_long(bytes: &[u8]) -> u64 {
        let mut hash = bytes.len() as u64;
        let mut at = 0;
        while at < bytes.len() {
            hash = fold(pack(bytes, at), hash);
            at += 24;
        }
        hash
    }

    /// The text.
    pub const fn as_str(&self) -> &'a str {
        self.text
    }

    /// Checks that a service may have this name.
    ///
    /// # Errors
    ///
    /// A [`NameError`] for an empty name, one over 255 bytes or one with control characters.
    pub fn check(&self) -> Result<(), NameError> {
        if self.text.is_empty() {
            Err(NameError::Empty)
        } else if self.text.len() > MAX_NAME {
            Err(NameError::Long)
        } else if self.text.chars().any(char::is_control) {
            Err(NameError::Control)
        } else {
            Ok(())
        }
    }

    #[inline(always)]
    pub(crate) fn words(&self) -> [u64; 3] {
        self.words
    }

    #[inline(always)]
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    #[inline(always)]
    pub(crate) fn is_long(&self) -> bool {
        self.text.len() > SHORT_NAME
    }
}

/// The length and place of a long name, from the first word of its bucket; `None` for a short one.
pub(crate) fn long_place(word: u64) -> Option<(usize, usize)> {
    (word & 0xff == LONG).then_some(((word >> 8 & 0xffff) as usize, (word >> 32) as usize))
}

/// The length of a short name, from the third word of its bucket.
pub(crate) fn short_length(word: u64) -> usize {
    (word >> 56) as usize
}

/// The first word of a long name's bucket with the place of its bytes, in words.
pub(crate) fn with_place(word: u64, place: usize) -> u64 {
    word & 0xffff_ffff | (place as u64) << 32
}

/// Up to 24 bytes from `at` on as three words, padded with zeros.
#[inline(always)]
pub(crate) const fn pack(bytes: &[u8], at: usize) -> [u64; 3] {
    [word_at(bytes, at), word_at(bytes, at + 8), word_at(bytes, at + 16)]
}

/// Up to 8 bytes from `at` on, without a loop: what is left of a text is loaded with the bytes before it, and shifted.
#[inline(always)]
const fn word_at(bytes: &[u8], at: usize) -> u64 {
    let Some((before, rest)) = bytes.split_at_checked(at) else { return 0 };
    if let Some(whole) = rest.first_chunk::<8>() {
        return u64::from_le_bytes(*whole);
    }
    if rest.is_empty() {
        return 0;
    }
    if !before.is_empty()
        && let Some(last) = bytes.last_chunk::<8>()
    {
        return u64::from_le_bytes(*last) >> (64 - 8 * rest.len());
    }
    if let (Some(first), Some(last)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        return u32::from_le_bytes(*first) as u64
            | (u32::from_le_bytes(*last) as u64) << (8 * (rest.len() - 4));
    }
    // One to three bytes: the first, the middle and the last are all of them.
    let (middle, last) = (rest.len() / 2, rest.len() - 1);
    rest[0] as u64 | (rest[middle] as u64) << (8 * middle) | (rest[last] as u64) << (8 * last)
}

const K: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

/// The hash of a short name: one folded multiplication. Part of the layout: every process must find the same bucket. `spread`
/// in the tests holds it to few probes on sequential names, which a weaker fold does not stand: the last word is multiplied
/// so that the same digits in it and in the first do not cancel. (The second factor is never 0: no text has these bytes.)
#[inline(always)]
const fn fold_short(words: [u64; 3]) -> u64 {
    multiply(words[0] ^ K[0] ^ words[2].wrapping_mul(K[2]), words[1] ^ K[1])
}

/// Two folded multiplications over three words.
#[inline(always)]
pub(crate) const fn fold(words: [u64; 3], seed: u64) -> u64 {
    let first = multiply(words[0] ^ K[0] ^ seed, words[1] ^ K[1]);
    multiply(first ^ words[2], K[2])
}

/// A folded multiplication: the low and the high half of the product, by exclusive or.
#[inline(always)]
pub(crate) const fn multiply(a: u64, b: u64) -> u64 {
    let wide = a as u128 * b as u128;
    wide as u64 ^ (wide >> 64) as u64
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::HashMap;
    use std::format;
    use std::string::String;

    use super::*;

    #[test]
    fn words_hold_the_name_and_nothing_else() {
        assert_eq!(Name::new("oms").words(), [0x73_6d_6f, 0, 3 << 56]);
        assert_ne!(Name::new("oms").words(), Name::new("oms\0").words());
        assert_eq!(Name::new("abcdefghi").words()[1], u64::from(b'i'));
        assert!(!Name::new(&"x".repeat(23)).is_long());
        assert_eq!(long_place(Name::new(&"x".repeat(24)).words()[0]), Some((24, 0)));
        assert_eq!(long_place(Name::new("oms").words()[0]), None);
    }

    /// Against the plain loop, for every length and place.
    #[test]
    fn words_are_the_bytes_in_order() {
        let text: std::vec::Vec<u8> = (1..=60).collect();
        for length in 0..=text.len() {
            for at in 0..=length + 8 {
                let mut plain = 0;
                for (i, byte) in text[..length].iter().skip(at).take(8).enumerate() {
                    plain |= u64::from(*byte) << (8 * i);
                }
                assert_eq!(word_at(&text[..length], at), plain, "{length} {at}");
            }
        }
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(Name::new("").check(), Err(NameError::Empty));
        assert_eq!(Name::new("a\nb").check(), Err(NameError::Control));
        assert_eq!(Name::new(&"x".repeat(256)).check(), Err(NameError::Long));
        assert_eq!(Name::new(&"é".repeat(127)).check(), Ok(()));
    }

    /// Sequential names at a load of 1/4: nearly all are found at the first probe, as chance would have it.
    #[test]
    fn spread() {
        for make in [
            |i: usize| format!("svc-{i:08}"),
            |i: usize| format!("{i}"),
            |i: usize| format!("a-service-with-a-rather-long-name-{i}"),
            |i: usize| format!("{i:08}-order-router"),
            |i: usize| format!("order-router-{i:08}"),
            |i: usize| format!("a-service-of-host-{i:05}"),
            |i: usize| format!("{i:08}--------{i:07}"),
            |i: usize| format!("{:04}/{:04}-order-{:06}", i / 64, i % 64, 7 * i),
            |i: usize| format!("10.{}.{}.{}:{}", i / 512, i / 16 % 32, i % 16, 9000 + i),
            |i: usize| format!("node{i:04}--------{i:04}"),
        ] {
            let mut places: HashMap<u64, u32> = HashMap::new();
            let count = 4096;
            for i in 0..count {
                let name: String = make(i);
                // Buckets are of 32 bytes, so the lowest five bits are not used.
                *places.entry(Name::new(&name).hash() >> 5 & (4 * count as u64 - 1)).or_default() += 1;
            }
            let shared: u32 = places.values().map(|n| n - 1).sum();
            // Chance gives 4096 - 16384 * (1 - e^(-1/4)) = 472.
            assert!(shared < 560, "{shared} of {count} names like {} share a bucket", make(1));
        }
    }
}
