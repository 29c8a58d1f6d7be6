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
    #[inline]
    pub const fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        if bytes.len() <= SHORT_NAME {
            // A zero at the end would look like padding, and the text like another name: such a text is never found.
            let padded = matches!(bytes, [.., 0]);
            let words = if padded { [0; 3] } else { pack(bytes, 0) };
            return Name { text, words, hash: fold(words, 0) };
        }
        let mut hash = bytes.len() as u64;
        let mut at = 0;
        while at < bytes.len() {
            hash = fold(pack(bytes, at), hash);
            at += SHORT_NAME;
        }
        // Where the rest is, the writer adds to the first word.
        Name { text, words: [LONG | (bytes.len() as u64) << 8, hash, 0], hash }
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

/// The first word of a long name's bucket with the place of its bytes, in words.
pub(crate) fn with_place(word: u64, place: usize) -> u64 {
    word & 0xffff_ffff | (place as u64) << 32
}

/// Up to 24 bytes from `at` on as three words, padded with zeros. A valid name has no zero byte, so no two are alike.
#[inline(always)]
pub(crate) const fn pack(bytes: &[u8], at: usize) -> [u64; 3] {
    [word_at(bytes, at), word_at(bytes, at + 8), word_at(bytes, at + 16)]
}

#[inline(always)]
const fn word_at(bytes: &[u8], at: usize) -> u64 {
    if let Some((_, rest)) = bytes.split_at_checked(at)
        && let Some(whole) = rest.first_chunk::<8>()
    {
        return u64::from_le_bytes(*whole);
    }
    let mut word = 0;
    let mut i = 0;
    while i < 8 && at + i < bytes.len() {
        word |= (bytes[at + i] as u64) << (8 * i);
        i += 1;
    }
    word
}

/// Two folded multiplications over the three words. Part of the layout: every process must find the same bucket.
/// `spread` in the tests holds it to few probes on sequential names, which a weaker fold does not stand.
#[inline(always)]
pub(crate) const fn fold(words: [u64; 3], seed: u64) -> u64 {
    const K: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];
    let first = multiply(words[0] ^ K[0] ^ seed, words[1] ^ K[1]);
    multiply(first ^ words[2], K[2])
}

#[inline(always)]
const fn multiply(a: u64, b: u64) -> u64 {
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
        assert_eq!(Name::new("oms").words(), [0x73_6d_6f, 0, 0]);
        assert_eq!(Name::new("abcdefghi").words()[1], u64::from(b'i'));
        assert!(!Name::new(&"x".repeat(24)).is_long());
        assert_eq!(long_place(Name::new(&"x".repeat(25)).words()[0]), Some((25, 0)));
        assert_eq!(long_place(Name::new("oms").words()[0]), None);
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
        ] {
            let mut places: HashMap<u64, u32> = HashMap::new();
            let count = 4096;
            for i in 0..count {
                let name: String = make(i);
                *places.entry(Name::new(&name).hash() & (4 * count as u64 - 1)).or_default() += 1;
            }
            let shared: u32 = places.values().map(|n| n - 1).sum();
            // Chance gives 4096 - 16384 * (1 - e^(-1/4)) = 472.
            assert!(shared < 560, "{shared} of {count} names like {} share a bucket", make(1));
        }
    }
}
