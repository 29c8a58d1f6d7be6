//! Readers of a table: loads only, from memory that may be mapped without write permission.

mod cold;
#[cfg(not(resolver_loom))]
mod log;

use core::hint::cold_path;
use core::time::Duration;

use crate::cached::CachedHandle;
use crate::cell::{self, Unread, Words as _};
use crate::cells::{Cells, offset};
use crate::error::ResolveError;
use crate::fresh::{FreshError, Liveness};
use crate::handle::Handle;
use crate::layout::{epoch, pulse};
use crate::machine;
use crate::memory::Line;
use crate::name::Name;
use crate::record::{Address, Place, Resolved, Take, Words, head};
use crate::set::{Set, SetPlace};
use crate::state::State;
use crate::table::{Pairs, View};

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
    /// The heads alone, so that one comparison bounds a handle.
    heads: Cells<'m>,
    /// Heads, sources and settings.
    cells: Cells<'m>,
    view: View<'m>,
}

impl<'m> Reader<'m> {
    pub(crate) fn new(view: View<'m>) -> Self {
        let heads = Cells::new(&view.cells[..view.plan.services]);
        Reader { heads, cells: Cells::new(view.cells), view }
    }

    /// The handle of a name, to be taken once and kept. Cold. A name that nothing was published under has a handle
    /// too, if the writer knows it.
    pub fn service(&self, name: &str) -> Option<Handle> {
        let name = Name::new(name);
        // Settings' names are in the same directory, behind a character that no service's name may have.
        if name.check().is_ok() { self.find(&name) } else { None }
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
        self.head(handle).map(|(words, seq)| Resolved::new(words, seq))
    }

    /// The primary endpoint's address alone: fewer loads than [`Reader::resolve`], and no word on age.
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`].
    #[inline(always)]
    pub fn resolve_address(&self, handle: Handle) -> Result<Address, ResolveError> {
        self.head(handle).map(|(words, _)| Address::from_words(words))
    }

    /// Finds a name and resolves it. Three times the price of [`Reader::resolve`]: take a handle where you can.
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`]; a name that the table does not know is [`ResolveError::Gone`].
    #[inline(always)]
    pub fn resolve_name(&self, name: &Name<'_>) -> Result<Resolved, ResolveError> {
        // Of a name that does not stand, the entry is a handle that is none, and so gone.
        self.resolve(Handle::from_bits(self.view.directory.entry(name)))
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
    /// assert_eq!(cached.resolve(&reader)?.address().port(), 9000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cached(&self, handle: Handle) -> CachedHandle<'m> {
        CachedHandle::new(handle, self.heads.at(handle).unwrap_or(&self.view.header[epoch::LINE]))
    }

    /// The service's whole set, to walk.
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`].
    #[inline(always)]
    pub fn set(&self, handle: Handle) -> Result<Set<'m>, ResolveError> {
        self.place(handle).map(|(place, _)| self.set_at(place))
    }

    /// Whether a service still stands as it was resolved: one load. `false` may come a moment early, while the same is
    /// being said anew; `true` never comes late. For who keeps an answer and asks before using it again;
    /// [`CachedHandle`] does both.
    #[inline(always)]
    pub fn is_current(&self, handle: Handle, resolved: &Resolved) -> bool {
        // `seq` of a line only grows, so a slot that was used again has another.
        self.is_at(handle, resolved.seq())
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

    /// What is to be taken of a head or setting, and its `seq`, if it is the one that the handle means.
    ///
    /// The first round comes first, alone; whatever it does not settle begins anew. All is looked at again there, so that
    /// the first round has no register to keep for it but the reader's: where the words were loaded in vain, the handle is
    /// in the line's address and the third word.
    #[inline(always)]
    fn known<T: Take>(
        &self,
        section: impl Fn(&Self) -> Cells<'m>,
        handle: Handle,
    ) -> Result<(T, u64), ResolveError> {
        let take = |line: &Line| {
            let third = line.at(head::INCARNATION);
            handle.means(third).then(|| (third, T::take(third, line)))
        };
        let Some(line) = section(self).at(handle) else {
            cold_path();
            return Err(ResolveError::Gone);
        };
        let line = if T::IS_ALL { machine::forget(line) } else { line };
        // By a method, as a closure would have the section looked up before it is needed.
        let handle = match cell::read_once(line, || self.shadow(handle), take, T::IS_ALL) {
            Ok(((_, taken), seq)) => return Ok((taken, seq)),
            Err(Some((third, _))) if T::IS_ALL => self.known_at(line, machine::forget_word(third)),
            Err(_) => handle,
        };
        cold_path();
        let mut words: Words = [0; 7];
        let mut seq = 0;
        match known_again(self.view.pairs(), handle, &mut words, &mut seq) {
            None => Ok((T::take(words[head::INCARNATION], &words), seq)),
            Some(error) => Err(error),
        }
    }

    /// The handle that led to this line, where this third word is what it meant. From where all cells begin: what its
    /// own section begins with would be kept for it.
    #[inline(always)]
    fn known_at(&self, line: &Line, third: u64) -> Handle {
        Handle::of(offset(self.view.cells.as_ptr(), line), third as u32)
    }

    /// As [`Reader::is_current`], for bindings, which keep the sequence alone ([`Resolved::seq`]).
    #[inline(always)]
    pub fn is_at(&self, handle: Handle, seq: u64) -> bool {
        self.heads.at(handle).is_some_and(|line| cell::is_at(line, seq))
    }

    /// Where a service's set is, and the head's `seq`.
    #[inline(always)]
    pub(crate) fn place(&self, handle: Handle) -> Result<(SetPlace, u64), ResolveError> {
        self.head(handle).map(|(place, seq): (Place, _)| (place.into(), seq))
    }

    #[inline(always)]
    pub(crate) fn set_at(&self, place: SetPlace) -> Set<'m> {
        Set::new(self.view.leaves, place)
    }

    /// What is to be taken of a head, and its `seq`.
    #[inline(always)]
    fn head<T: Take>(&self, handle: Handle) -> Result<(T, u64), ResolveError> {
        self.known(|reader| reader.heads, handle)
    }

    /// What is to be taken of a setting.
    #[inline(always)]
    pub(crate) fn setting_words<T: Take>(&self, handle: Handle) -> Result<T, ResolveError> {
        self.known(|reader| reader.cells, handle).map(|(taken, _)| taken)
    }

    /// The heads alone, with their shadows.
    #[inline(always)]
    pub(crate) fn heads(&self) -> Pairs<'m> {
        self.view.pairs().only(self.heads.lines())
    }

    pub(crate) fn view(&self) -> &View<'m> {
        &self.view
    }

    #[inline(always)]
    fn shadow(&self, handle: Handle) -> Option<&'m Line> {
        self.view.shadows.get(handle.slot())
    }
}

/// All rounds. Gives the error, if it is one; a value so small that it comes back in a register.
///
/// It is not given the reader: a caller's own copy of one whose address nobody takes can lie in registers.
#[cold]
#[inline(never)]
pub(crate) fn known_again(
    cells: Pairs<'_>,
    handle: Handle,
    into: &mut Words,
    at: &mut u64,
) -> Option<ResolveError> {
    let Some((line, shadow)) = cells.at(handle.slot()) else { return Some(ResolveError::Gone) };
    match cell::read(line, shadow) {
        Ok((words, seq)) if handle.means(words[head::INCARNATION]) => {
            (*into, *at) = (words, seq);
            None
        }
        Ok(_) => Some(ResolveError::Gone),
        Err(Unread::Busy) => Some(ResolveError::Busy),
        Err(Unread::Vacant(words)) => Some(why(words[head::INCARNATION], handle)),
    }
}

/// Why a vacant cell with this third word gives nothing.
#[inline(always)]
pub(crate) fn why(word: u64, handle: Handle) -> ResolveError {
    if !handle.means(word) || !handle.is_given_out() {
        return ResolveError::Gone;
    }
    match head::standing_in(word).0 {
        State::Never => ResolveError::Never,
        State::Removed => ResolveError::Gone,
        _ => ResolveError::Empty,
    }
}
