//! What readers ask besides the hot path: all of it bounded, and none of it a write.

use core::hint::black_box;

use super::{Reader, why};
use crate::cell::{self, PAYLOAD, Unread};
use crate::error::ResolveError;
use crate::handle::Handle;
use crate::layout::MAX_SOURCES;
use crate::memory::WORDS;
use crate::record::{Place, Resolved, Words, head};
use crate::setting;
use crate::source::SourceStatus;
use crate::state::{Reason, State};
use crate::sync::{self, Site};

impl<'m> Reader<'m> {
    /// Several services as of one moment: either all from before a batch or all from after it, never some of each. Gives
    /// the epoch of that moment. (A [`Reader::resolve`] right after may still see the moment before, while the batch is
    /// landing line by line.) `into` has a place for each handle; further ones are left alone.
    ///
    /// # Progress
    ///
    /// At most 16 rounds. A writer that stops or dies, within a batch or not, delays nobody.
    ///
    /// # Errors
    ///
    /// [`ResolveError::Busy`] where a batch was committed in every round; `into` is then of no use.
    pub fn together(
        &self,
        handles: &[Handle],
        into: &mut [Result<Resolved, ResolveError>],
    ) -> Result<u64, ResolveError> {
        for _ in 0..cell::ROUNDS {
            let before = self.epoch();
            sync::fence_acquire(Site::AfterEpoch);
            for (handle, place) in handles.iter().zip(into.iter_mut()) {
                *place = self.at_epoch(*handle, before);
            }
            sync::fence_acquire(Site::BeforeEpochAgain);
            if self.epoch() == before {
                return Ok(before);
            }
        }
        Err(ResolveError::Busy)
    }

    #[inline]
    fn at_epoch(&self, handle: Handle, epoch: u64) -> Result<Resolved, ResolveError> {
        let line = self.heads.at(handle).ok_or(ResolveError::Gone)?;
        let shadow = self.shadow(handle).ok_or(ResolveError::Gone)?;
        let (words, seq) = cell::read_at_epoch::<PAYLOAD>(line, shadow, epoch);
        if cell::is_vacant_at(seq) || head::incarnation(&words) != handle.incarnation() {
            return Err(why(words[head::INCARNATION], handle));
        }
        Ok(Resolved::new(words, seq))
    }

    /// Calls `each` with every service and setting that changed after `epoch`, and gives the epoch to ask with the next
    /// time. A change that is landing meanwhile may be told twice, and is never missed. Those that were removed are not
    /// told; their handles are [`Gone`](ResolveError::Gone). Begin with 0, or with [`Reader::epoch`] before a first look
    /// at everything.
    ///
    /// One load for each service of the capacity: for a thread that follows many services without asking for each.
    ///
    /// ```
    /// # use resolver_core::{Capacity, Endpoint, Standing, Table, heap};
    /// # let memory = heap(Capacity::SMALL.lines());
    /// let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
    /// let (oms, risk) = (writer.add("oms")?, writer.add("risk")?);
    /// let since = reader.epoch();
    /// writer.publish(risk, &[Endpoint::new("10.0.0.1:9000".parse()?)], Standing::FRESH, b"")?;
    ///
    /// let mut changed = Vec::new();
    /// let since = reader.changes_since(since, |handle| changed.push(handle));
    /// assert_eq!(changed, [risk]);
    /// assert_eq!(reader.changes_since(since, |_| unreachable!()), since);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn changes_since(&self, epoch: u64, mut each: impl FnMut(Handle)) -> u64 {
        let now = self.epoch();
        sync::fence_acquire(Site::AfterEpoch);
        let sources = self.view.plan.first_source()..self.view.plan.first_setting();
        for (slot, line) in self.view.cells.iter().enumerate().filter(|(slot, _)| !sources.contains(slot)) {
            let changed = self.view.changes().get(slot);
            // Epochs only grow, and 0 is a cell that never changed.
            if changed > epoch {
                let shadow = self.view.shadows.get(slot).unwrap_or(line);
                let words: Words = match cell::read(line, shadow) {
                    Ok((words, _)) | Err(Unread::Vacant(words)) => words,
                    // Whoever overtakes 16 reads changes it again, and it is told the next time too.
                    Err(Unread::Busy) => continue,
                };
                if head::incarnation(&words) != 0 && head::standing_of(&words).0 != State::Removed {
                    each(Handle::new(slot as u32, head::incarnation(&words)));
                }
            }
        }
        now
    }

    /// Brings a service's lines into this core's cache, its whole set with its tables and shadow included, so that the
    /// first pick after a pause finds them there. The endpoints that were touched; 0 where there is none.
    pub fn warm(&self, handle: Handle) -> usize {
        if let Some((line, shadow)) = self.view.cell(handle.slot()) {
            black_box((line.to_words(), shadow.to_words()));
        }
        let Ok(set) = self.set(handle) else { return 0 };
        let leaves = self.view.leaves.iter().skip(set.first()).take(set.leaves());
        leaves.for_each(|line| {
            black_box(line.to_words());
        });
        set.len()
    }

    /// How the service stands, whether or not it has an endpoint. Cold.
    ///
    /// # Errors
    ///
    /// [`ResolveError::Gone`] and [`ResolveError::Busy`].
    pub fn standing(&self, handle: Handle) -> Result<(State, Reason, u8, u64), ResolveError> {
        let line = self.heads.at(handle).ok_or(ResolveError::Gone)?;
        let shadow = self.shadow(handle).ok_or(ResolveError::Gone)?;
        let words: Words = match cell::read(line, shadow) {
            Ok((words, _)) | Err(Unread::Vacant(words)) => words,
            Err(Unread::Busy) => return Err(ResolveError::Busy),
        };
        let (state, reason) = head::standing_of(&words);
        let meant = handle.is_given_out() && head::incarnation(&words) == handle.incarnation();
        if !meant || state == State::Removed {
            return Err(ResolveError::Gone);
        }
        Ok((state, reason, head::source(&words), head::generation(&words)))
    }

    /// The text that was published with the set, copied to `buffer`: its length, which may be more than fits. Cold.
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`]; [`ResolveError::Busy`] where another set was published meanwhile, 16 times over.
    pub fn text(&self, handle: Handle, buffer: &mut [u8]) -> Result<usize, ResolveError> {
        let stride = self.view.plan.text_lines;
        for _ in 0..cell::ROUNDS {
            let (place, seq): (Place, _) = self.head(handle)?;
            let start = (head::place(place.word).0 as usize).saturating_mul(stride);
            let Some(lines) = self.view.text.get(start..).filter(|lines| !lines.is_empty()) else {
                return Ok(0);
            };
            let length = lines[0].load(0) as usize;
            for (at, bytes) in buffer.chunks_mut(8).enumerate().take(length.div_ceil(8)) {
                let Some(line) = lines.get((at + 1) / WORDS) else { break };
                let word = line.load((at + 1) % WORDS).to_le_bytes();
                bytes.copy_from_slice(&word[..bytes.len()]);
            }
            sync::fence_acquire(Site::AfterWords);
            if self.is_at(handle, seq) {
                return Ok(length);
            }
        }
        Err(ResolveError::Busy)
    }

    /// A source by number, as of the last beat. Cold.
    pub fn source(&self, number: u8) -> Option<SourceStatus> {
        if usize::from(number) >= MAX_SOURCES {
            return None;
        }
        let (line, shadow) = self.view.cell(self.view.plan.first_source() + usize::from(number))?;
        cell::read(line, shadow).ok().map(|(words, _)| SourceStatus::decode(&words))
    }

    /// Calls `each` with every service's name and handle, until it gives `false`. Cold; the order means nothing.
    pub fn for_each(&self, mut each: impl FnMut(&str, Handle) -> bool) {
        self.each_name(|text, handle| setting::name_of(text).is_some() || each(text, handle));
    }

    /// Every name that the directory has, of services and settings.
    pub(crate) fn each_name(&self, each: impl FnMut(&str, Handle) -> bool) {
        self.view.directory.for_each(each);
    }

    /// Random at the table's creation: the same in two readers only if they read the same table.
    pub fn seed(&self) -> u64 {
        self.view.seed()
    }
}
