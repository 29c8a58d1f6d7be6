//! Sources by number: the registries that a publisher reads, and how old their word is.

use core::time::Duration;

use crate::cell::PAYLOAD;
use crate::layout::MAX_SOURCE_NAME;
use crate::name;
use crate::record::Words;
use crate::state::Reason;

/// What a publisher says of one source with each beat.
#[derive(Clone, Copy, Debug)]
pub struct SourceBeat<'a> {
    /// The configuration's name for it; the first 24 bytes are published.
    pub name: &'a str,
    /// How long ago the source last proved that what it said was current; `None` if it never did.
    pub age: Option<Duration>,
    /// The source's own count of changes, as it last said.
    pub revision: u64,
    /// Why it is silent, if it is.
    pub reason: Reason,
    /// Records that are left out now because they cannot be used.
    pub rejected: u32,
}

/// The same, as a reader finds it in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceStatus {
    name: [u64; 3],
    age: u64,
    revision: u64,
    rejected: u32,
    reason: Reason,
    beat: u64,
}

const NEVER: u64 = u64::MAX;

impl SourceBeat<'_> {
    pub(crate) fn encode(&self, beat: u64) -> Words {
        let mut end = self.name.len().min(MAX_SOURCE_NAME);
        while !self.name.is_char_boundary(end) {
            end -= 1;
        }
        let [a, b, c] = name::pack(&self.name.as_bytes()[..end], 0);
        let age = self.age.map_or(NEVER, |age| u64::try_from(age.as_nanos()).unwrap_or(NEVER - 1));
        [a, b, c, age, self.revision, u64::from(self.rejected) | (self.reason as u64) << 32, beat]
    }
}

impl SourceStatus {
    pub(crate) fn decode(words: &[u64; PAYLOAD]) -> Self {
        SourceStatus {
            name: [words[0], words[1], words[2]],
            age: words[3],
            revision: words[4],
            rejected: words[5] as u32,
            reason: Reason::from_byte((words[5] >> 32) as u8).unwrap_or(Reason::BadAnswer),
            beat: words[6],
        }
    }

    /// The name, in the caller's buffer.
    pub fn name<'b>(&self, buffer: &'b mut [u8; MAX_SOURCE_NAME]) -> &'b str {
        for (bytes, word) in buffer.chunks_exact_mut(8).zip(self.name) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(MAX_SOURCE_NAME);
        core::str::from_utf8(&buffer[..end]).unwrap_or("?")
    }

    /// How old its word was at the beat that it was published with; `None` if it never said anything.
    pub fn age_at_beat(&self) -> Option<Duration> {
        (self.age != NEVER).then(|| Duration::from_nanos(self.age))
    }

    /// See [`SourceBeat::revision`].
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// See [`SourceBeat::rejected`].
    pub fn rejected(&self) -> u32 {
        self.rejected
    }

    /// See [`SourceBeat::reason`].
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The beat that it was published with.
    pub fn beat(&self) -> u64 {
        self.beat
    }
}
