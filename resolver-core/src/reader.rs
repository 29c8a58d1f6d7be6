//! Readers of a table: loads only, from memory that may be mapped without write permission.

use core::hint::cold_path;
use core::time::Duration;

use crate::cached::CachedHandle;
use crate::cell::{self, PAYLOAD, Unread};
use crate::error::{ResolveError, WalkError};
use crate::fresh::{FreshError, Liveness};
use crate::handle::Handle;
use crate::layout::{MAX_SOURCES, epoch, pulse};
use crate::memory::{Line, WORDS};
use crate::name::Name;
use crate::record::{Address, Resolved, Words, head};
use crate::set::Set;
use crate::source::SourceStatus;
use crate::state::{Reason, State};
use crate::sync::{self, Site};
use crate::table::View;

/// Reads a table. Copy it to every thread that resolves: it is a few pointers, and writes nothing, ever.
///
/// ```
/// # use resolver_core::{Capacity, Table, heap};
/// # let memory = heap(Capacity::SMALL.lines());
/// # let (_writer, reader) = Table::create(&memory, &Capacity::SMALL, 1).unwrap().split();
/// fn is_for_all_threads<T: Copy + Send + Sync>(_: T) {}
/// is_for_all_threads(reader);
/// ```
#[derive(Clone, Copy)]
pub struct Reader<'m> {
    /// The heads alone, so that one comparison bounds a slot.
    heads: &'m [Line],
    view: View<'m>,
}

impl<'m> Reader<'m> {
    pub(crate) fn new(view: View<'m>) -> Self {
        Reader { heads: &view.cells[..view.plan.services], view }
    }

    /// The handle of a name, to be taken once and kept. Cold. A name that nothing was published under has a handle
    /// too, if the writer knows it.
    pub fn service(&self, name: &str) -> Option<Handle> {
        self.find(&Name::new(name))
    }

    /// As [`Reader::service`], for a name that was hashed beforehand.
    #[inline(always)]
    pub fn find(&self, name: &Name<'_>) -> Option<Handle> {
        self.view.directory.find(name)
    }

    /// The service's primary endpoint, and how the service stands. The hot path.
    ///
    /// # Progress
    ///
    /// Wait-free: one cache line and no repetition while nothing is being written to this service; else the line and
    /// its shadow, in at most 16 rounds. A writer that stops or dies at any point delays nobody.
    ///
    /// # Errors
    ///
    /// [`ResolveError`] says why there is no endpoint.
    #[inline(always)]
    pub fn resolve(&self, handle: Handle) -> Result<Resolved, ResolveError> {
        self.head::<PAYLOAD>(handle).map(|(words, _)| Resolved::from_words(words))
    }

    /// The primary endpoint's address alone: fewer loads than [`Reader::resolve`], and no word on age.
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`].
    #[inline(always)]
    pub fn resolve_address(&self, handle: Handle) -> Result<Address, ResolveError> {
        self.head::<3>(handle).map(|(words, _)| Address::from_words(words))
    }

    /// Finds a name and resolves it. Three times the price of [`Reader::resolve`]: take a handle where you can.
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`]; a name that the table does not know is [`ResolveError::Gone`].
    #[inline(always)]
    pub fn resolve_name(&self, name: &Name<'_>) -> Result<Resolved, ResolveError> {
        match self.find(name) {
            Some(handle) => self.resolve(handle),
            None => Err(ResolveError::Gone),
        }
    }

    /// As [`Reader::resolve`], unless the answer may be older than `max_age`: the registry's last proof at the
    /// publisher's last beat, and the silence since. `liveness` is this thread's, polled as often as the bound asks.
    ///
    /// # Errors
    ///
    /// [`FreshError`], with the age where that is the reason.
    #[inline]
    pub fn resolve_fresh(
        &self,
        handle: Handle,
        max_age: Duration,
        liveness: &Liveness,
    ) -> Result<Resolved, FreshError> {
        let resolved = self.resolve(handle)?;
        match liveness.age(resolved.source()) {
            Some(age) if age <= max_age && resolved.state() == State::Fresh => Ok(resolved),
            age => {
                cold_path();
                Err(FreshError::Old { age, last: resolved })
            }
        }
    }

    /// A handle with a private copy, for one that is asked all the time: one load while nothing changed.
    ///
    /// ```
    /// # use resolver_core::{Capacity, Endpoint, Standing, Table, heap};
    /// # let memory = heap(Capacity::SMALL.lines());
    /// # let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
    /// # let oms = writer.add("oms")?;
    /// # writer.publish(oms, &[Endpoint::new("10.0.0.1:9000".parse()?)], Standing::FRESH, b"")?;
    /// let mut cached = reader.cached(oms);
    /// assert_eq!(cached.resolve()?.address().port(), 9000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cached(&self, handle: Handle) -> CachedHandle<'m> {
        let cell = self.heads.get(handle.slot()).map(|line| (line, self.shadow(handle.slot(), line)));
        CachedHandle::new(handle, cell, &self.view.header[epoch::LINE])
    }

    /// The service's whole set, to walk.
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`].
    #[inline]
    pub fn set(&self, handle: Handle) -> Result<Set<'m>, ResolveError> {
        let (words, _) = self.head::<PAYLOAD>(handle)?;
        Ok(Set::new(*self, &words))
    }

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
        let line = self.heads.get(handle.slot()).ok_or(ResolveError::Gone)?;
        let (words, vacant) = cell::read_at_epoch::<PAYLOAD>(line, self.shadow(handle.slot(), line), epoch);
        if vacant || head::incarnation(&words) != handle.incarnation() {
            return Err(why(Unread::Vacant(words), handle));
        }
        Ok(Resolved::from_words(words))
    }

    /// How the service stands, whether or not it has an endpoint. Cold.
    ///
    /// # Errors
    ///
    /// [`ResolveError::Gone`] and [`ResolveError::Busy`].
    pub fn standing(&self, handle: Handle) -> Result<(State, Reason, u8, u64), ResolveError> {
        let line = self.heads.get(handle.slot()).ok_or(ResolveError::Gone)?;
        let words: Words = match cell::read(line, self.shadow(handle.slot(), line)) {
            Ok(words) | Err(Unread::Vacant(words)) => words,
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
            let (words, seq) = self.head::<PAYLOAD>(handle)?;
            let start = (head::first(&words) as usize).saturating_mul(stride);
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
            if cell::is_at(&self.heads[handle.slot()], seq) {
                return Ok(length);
            }
        }
        Err(ResolveError::Busy)
    }

    /// Moves with every publication, anywhere in the table: a cheap "did anything change?". One load. It is odd while
    /// a batch is landing.
    #[inline(always)]
    pub fn epoch(&self) -> u64 {
        self.view.header[epoch::LINE].load(epoch::EPOCH)
    }

    /// The generation of the service's set; one line.
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`].
    #[inline(always)]
    pub fn generation(&self, handle: Handle) -> Result<u64, ResolveError> {
        Ok(self.resolve(handle)?.generation())
    }

    /// The publisher's count of beats. One load.
    #[inline(always)]
    pub fn pulse(&self) -> u64 {
        self.view.header[pulse::LINE].load(pulse::BEAT)
    }

    /// A source by number, as of the last beat. Cold.
    pub fn source(&self, number: u8) -> Option<SourceStatus> {
        if usize::from(number) >= MAX_SOURCES {
            return None;
        }
        let (line, shadow) = self.view.cell(self.view.plan.first_source() + usize::from(number))?;
        cell::read(line, shadow).ok().map(|words| SourceStatus::decode(&words))
    }

    /// Calls `each` with every name and its handle, until it gives `false`. Cold; the order means nothing.
    pub fn for_each(&self, each: impl FnMut(&str, Handle) -> bool) {
        self.view.directory.for_each(each);
    }

    /// Random at the table's creation: the same in two readers only if they read the same table.
    pub fn seed(&self) -> u64 {
        self.view.seed()
    }

    /// A head's first words and its `seq`, if it is the one that the handle means.
    ///
    /// The first round is inlined; whatever it does not settle begins anew in [`Reader::head_again`], which asks nothing
    /// of the first round: so no register is kept for it, and the answer goes through memory only there.
    #[inline(always)]
    pub(crate) fn head<const N: usize>(&self, handle: Handle) -> Result<([u64; N], u64), ResolveError> {
        const { assert!(N >= 3, "the incarnation is in the third word") };
        if let Some(line) = self.heads.get(handle.slot())
            && let Some((words, seq)) = cell::read_line(line)
            && head::incarnation(&words) == handle.incarnation()
        {
            return Ok((words, seq));
        }
        cold_path();
        let mut again = [0; N];
        let mut seq = 0;
        match self.head_again(handle, &mut again, &mut seq) {
            None => Ok((again, seq)),
            Some(error) => Err(error),
        }
    }

    /// Gives the error, if it is one; a value so small that it comes back in a register.
    #[cold]
    #[inline(never)]
    fn head_again<const N: usize>(
        &self,
        handle: Handle,
        into: &mut [u64; N],
        at: &mut u64,
    ) -> Option<ResolveError> {
        let Some(line) = self.heads.get(handle.slot()) else { return Some(ResolveError::Gone) };
        match head_of(line, self.shadow(handle.slot(), line), handle) {
            Ok(read) => {
                (*into, *at) = read;
                None
            }
            Err(error) => Some(error),
        }
    }

    /// An endpoint cell of a set of this generation.
    #[inline(always)]
    pub(crate) fn endpoint(&self, index: usize, generation: u64) -> Result<Words, WalkError> {
        let Some((line, shadow)) = self.view.cell(self.view.plan.first_endpoint().wrapping_add(index)) else {
            cold_path();
            return Err(WalkError::Changed);
        };
        match cell::read::<PAYLOAD>(line, shadow) {
            Ok(words) if words[6] == generation => Ok(words),
            Ok(_) | Err(Unread::Vacant(_)) => Err(WalkError::Changed),
            Err(Unread::Busy) => Err(WalkError::Busy),
        }
    }

    /// The shadow of a head. The sections are of one length; the line stands in so that no panic is compiled in.
    #[inline(always)]
    fn shadow(&self, slot: usize, line: &'m Line) -> &'m Line {
        self.view.shadows.get(slot).unwrap_or(line)
    }
}

/// A head's first words and its `seq`, if it is the one that the handle means: all rounds.
pub(crate) fn head_of<const N: usize>(
    line: &Line,
    shadow: &Line,
    handle: Handle,
) -> Result<([u64; N], u64), ResolveError> {
    match cell::read_counted(line, shadow) {
        Ok((words, seq)) if head::incarnation(&words) == handle.incarnation() => Ok((words, seq)),
        Ok(_) => Err(ResolveError::Gone),
        Err(unread) => Err(why(unread, handle)),
    }
}

fn why<const N: usize>(unread: Unread<N>, handle: Handle) -> ResolveError {
    match unread {
        Unread::Busy => ResolveError::Busy,
        Unread::Vacant(words)
            if head::incarnation(&words) != handle.incarnation() || !handle.is_given_out() =>
        {
            ResolveError::Gone
        }
        Unread::Vacant(words) => match head::standing_of(&words).0 {
            State::Never => ResolveError::Never,
            State::Removed => ResolveError::Gone,
            _ => ResolveError::Empty,
        },
    }
}
