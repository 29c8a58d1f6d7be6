//! Whether the publisher lives, and how old its word is, by the reader's own clock.

use core::fmt;
use core::time::Duration;

use crate::error::ResolveError;
use crate::layout::MAX_SOURCES;
use crate::reader::Reader;
use crate::record::Resolved;

/// Watches the publisher's pulse for one thread. Clocks of two processes are never compared (a time namespace shifts
/// them): the publisher counts beats, and this thread times the silence between them.
///
/// ```
/// use core::time::Duration;
/// use resolver_core::{Capacity, Liveness, Reason, SourceBeat, Table, heap};
///
/// let memory = heap(Capacity::SMALL.lines());
/// let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
/// let consul = SourceBeat { name: "consul", age: Some(Duration::from_millis(2)), revision: 7, reason: Reason::None, rejected: 0 };
///
/// let mut liveness = Liveness::new();
/// liveness.poll(&reader, Duration::from_secs(10));
/// assert_eq!(liveness.age(0), None, "no beat was seen yet");
/// writer.beat(&[consul]);
/// liveness.poll(&reader, Duration::from_secs(11));
/// liveness.poll(&reader, Duration::from_secs(13));
/// assert_eq!(liveness.age(0), Some(Duration::from_millis(3_002)));
/// # Ok::<(), resolver_core::CreateError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Liveness {
    beat: u64,
    /// When the last beat cannot have been earlier: the poll before the one that saw it.
    beat_at: Option<Duration>,
    polled_at: Option<Duration>,
    /// Seed of the table that was polled: a beat of another one says nothing of this one's publisher.
    table: Option<u64>,
    /// How long the publisher was silent at the last poll.
    silence: Option<Duration>,
    /// Each source's age at the last beat.
    at_beat: [Option<Duration>; MAX_SOURCES],
    /// And at the last poll: reckoned there, so that the hot path only looks.
    ages: [Option<Duration>; MAX_SOURCES],
}

/// Why [`Reader::resolve_fresh`] gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreshError {
    /// There is no endpoint at all.
    Resolve(ResolveError),
    /// There is one, and it may be older than was asked for.
    Old {
        /// How old, at most; `None` while no beat of the publisher was seen.
        age: Option<Duration>,
        /// The last answer, for a caller who prefers it to none.
        last: Resolved,
    },
}

impl fmt::Display for FreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FreshError::Resolve(error) => error.fmt(f),
            FreshError::Old { age: Some(age), last } => {
                write!(
                    f,
                    "{} is the last known address, and up to {} ms old",
                    last.address(),
                    age.as_millis()
                )
            }
            FreshError::Old { age: None, last } => {
                write!(
                    f,
                    "{} is the last known address, and the publisher gave no sign of life",
                    last.address()
                )
            }
        }
    }
}

impl core::error::Error for FreshError {}

impl From<ResolveError> for FreshError {
    fn from(error: ResolveError) -> Self {
        FreshError::Resolve(error)
    }
}

impl Default for Liveness {
    fn default() -> Self {
        Self::new()
    }
}

impl Liveness {
    /// Knows nothing yet: every age is `None` until a beat was seen.
    pub const fn new() -> Self {
        let none = [None; MAX_SOURCES];
        let (beat_at, polled_at, table, silence) = (None, None, None, None);
        Liveness { beat: 0, beat_at, polled_at, table, silence, at_beat: none, ages: none }
    }

    /// Looks at the pulse. `now` is any clock of this thread that only goes forward. Poll at least as often as the
    /// shortest age that is asked for: a beat counts as old as the poll before it, so ages err to the safe side. With
    /// a reader of another table it starts anew.
    pub fn poll(&mut self, reader: &Reader<'_>, now: Duration) {
        let table = Some(reader.seed());
        if self.table != table {
            // Field by field: a copy of all would want `memcpy`, which not every program has.
            (self.beat, self.beat_at, self.polled_at, self.table) = (0, None, None, table);
            self.at_beat.iter_mut().for_each(|age| *age = None);
        }
        let beat = reader.pulse();
        if let Some(before) = self.polled_at
            && beat != self.beat
        {
            for (number, age) in self.at_beat.iter_mut().enumerate() {
                // A source that this beat did not speak of has no age: what stands there is of an older beat.
                let source = reader.source(number as u8).filter(|source| source.beat() >= beat);
                *age = source.and_then(|source| source.age_at_beat());
            }
            self.beat_at = Some(before);
        }
        self.beat = beat;
        self.polled_at = Some(now);
        self.silence = self.beat_at.map(|beat_at| now.saturating_sub(beat_at));
        for (age, at_beat) in self.ages.iter_mut().zip(&self.at_beat) {
            *age = at_beat.zip(self.silence).map(|(age, silence)| age.saturating_add(silence));
        }
    }

    /// How long the publisher has been silent at the last poll, at most; `None` while no beat was seen.
    #[inline]
    pub fn silence(&self) -> Option<Duration> {
        self.silence
    }

    /// How old a source's word was at the last poll, at most; `None` while that is unknown.
    #[inline]
    pub fn age(&self, source: u8) -> Option<Duration> {
        *self.ages.get(usize::from(source))?
    }
}
