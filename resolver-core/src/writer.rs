//! The one writer of a table.

use crate::batch::{Batch, NONE};
use crate::cell;
use crate::error::{AddError, PublishError};
use crate::handle::Handle;
use crate::layout::{MAX_SOURCES, count, epoch, pulse};
use crate::memory::Line;
use crate::name::Name;
use crate::publication::Publication;
use crate::reader::Reader;
use crate::record::{Endpoint, Head, Words, head};
use crate::room::{Notes, Room};
use crate::slots::Slots;
use crate::source::SourceBeat;
use crate::state::{Reason, State};
use crate::table::View;

/// How a publisher says that a service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Fresh or stale; an empty set is always [`State::Empty`], and any other word on a set counts as stale.
    pub state: State,
    /// Why it is not fresh.
    pub reason: Reason,
    /// Number of the source that said so; see [`Writer::beat`].
    pub source: u8,
}

impl Standing {
    /// Fresh, from source 0.
    pub const FRESH: Standing = Standing { state: State::Fresh, reason: Reason::None, source: 0 };
}

/// How much of a table is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Leaves (lines for endpoints and tables) of published sets, each set rounded up to a power of two.
    pub leaves: usize,
    /// Leaves in all: twice the capacity in endpoints.
    pub leaves_total: usize,
    /// Different names that the table has seen.
    pub names: usize,
    /// Different names that it has room for.
    pub names_total: usize,
}

/// Publishes to a table. There is one for each table: it is not `Clone`, and every change takes `&mut self`.
///
/// # Progress
///
/// Every operation ends in a bounded number of steps; no reader can delay it.
pub struct Writer<'m> {
    pub(crate) view: View<'m>,
    pub(crate) room: Room<'m>,
    /// Notes of the heads: the links of the batch that is being staged.
    pub(crate) links: Notes<'m>,
    /// The slot that was staged last, and from there by the links; [`NONE`] where nothing is staged.
    pub(crate) staged: u32,
    pub(crate) services: Slots,
    pub(crate) settings: Slots,
}

impl<'m> Writer<'m> {
    /// For a table that nothing was published to.
    pub(crate) fn new(view: View<'m>) -> Self {
        let notes = Notes::new(view.notes, view.plan.cells());
        let room = Room::new(view.plan.leaves, view.bitmap, notes);
        let services = Slots::new(0..view.plan.services);
        let settings = Slots::new(view.plan.first_setting()..view.plan.cells());
        Writer { view, room, links: Notes::new(view.notes, 0), staged: NONE, services, settings }
    }

    /// A reader of the same table.
    pub fn reader(&self) -> Reader<'m> {
        Reader::new(self.view)
    }

    /// The handle of a name; enters it where it is new, with nothing published ([`State::Never`]). Readers may take
    /// the handle from then on.
    ///
    /// # Errors
    ///
    /// [`AddError`] for what cannot be a name, and where the table is full.
    ///
    /// # Examples
    ///
    /// ```
    /// # use resolver_core::{Capacity, ResolveError, Table, heap};
    /// # let memory = heap(Capacity::SMALL.lines());
    /// let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
    /// let risk = writer.add("risk")?;
    /// assert_eq!(writer.add("risk")?, risk);
    /// assert_eq!(reader.service("risk"), Some(risk));
    /// assert_eq!(reader.resolve(risk), Err(ResolveError::Never));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add(&mut self, name: &str) -> Result<Handle, AddError> {
        let name = Name::new(name);
        name.check()?;
        if let Some(handle) = self.view.directory.find(&name) {
            return Ok(handle);
        }
        let slot = self.services.take(self.links).ok_or(AddError::Services)?;
        let incarnation = self.next_incarnation();
        let handle = Handle::new(slot as u32, incarnation);
        let words = self.vacant_head(State::Never, incarnation);
        self.restate(slot, &words);
        if self.view.directory.insert(&name, handle, self.counts()).is_err() {
            self.drop_slot(slot, incarnation);
            return Err(AddError::Names);
        }
        Ok(handle)
    }

    /// Takes a service out of the table; its handle is dead from then on. Whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let name = Name::new(name);
        name.check().is_ok() && self.remove_entry(&name)
    }

    /// Publishes a set: every reader sees the old one or the new one, whole. The first endpoint is the primary, which
    /// [`Reader::resolve`] gives; an empty set makes the service [`State::Empty`]. `text` is for tools
    /// ([`Reader::text`]). Gives the set's generation.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; the old set stands, and nothing of the new one is visible.
    pub fn publish(
        &mut self,
        handle: Handle,
        set: &[Endpoint],
        standing: Standing,
        text: &[u8],
    ) -> Result<u64, PublishError> {
        let mut batch = self.batch();
        let generation = batch.publish(handle, set, standing, text)?;
        batch.commit();
        Ok(generation)
    }

    /// Publishes a set with what more there is to it: reserves, and the tables that some pickers need.
    ///
    /// ```
    /// # use resolver_core::{Capacity, Endpoint, Publication, Standing, Table, heap};
    /// use resolver_core::pick::Maglev;
    ///
    /// # let memory = heap(Capacity::SMALL.lines());
    /// let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
    /// let oms = writer.add("oms")?;
    /// let set = ["10.0.0.1:9000".parse()?, "10.0.0.2:9000".parse()?].map(Endpoint::new);
    /// writer.publish_as(oms, &Publication { maglev: 500, ..Publication::new(&set, Standing::FRESH) })?;
    ///
    /// let account = 4711;
    /// let mut picker = Maglev::new();
    /// assert_eq!(picker.pick(&reader, oms, account)?, picker.pick(&reader, oms, account)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PublishError`]; the old set stands, and nothing of the new one is visible.
    pub fn publish_as(&mut self, handle: Handle, publication: &Publication<'_>) -> Result<u64, PublishError> {
        let mut batch = self.batch();
        let generation = batch.publish_as(handle, publication)?;
        batch.commit();
        Ok(generation)
    }

    /// Says anew how a service (or a setting, by its handle) stands, without touching its set. An empty service stays empty,
    /// with the new reason.
    ///
    /// # Errors
    ///
    /// [`PublishError::Gone`] and [`PublishError::Source`].
    pub fn mark(&mut self, handle: Handle, standing: Standing) -> Result<(), PublishError> {
        let mut batch = self.batch();
        batch.mark(handle, standing)?;
        batch.commit();
        Ok(())
    }

    /// Several publications that readers can see as of one moment. Dropped without
    /// [`commit`](Batch::commit), it leaves the table as it was.
    pub fn batch(&mut self) -> Batch<'_, 'm> {
        Batch::new(self)
    }

    /// Says that the publisher lives, and how old each source's word is. Readers judge the silence between beats by
    /// their own clock ([`Liveness`](crate::Liveness)). Sources are numbered by their place in the slice; there are
    /// [`MAX_SOURCES`] at most, and further ones are not published.
    pub fn beat(&mut self, sources: &[SourceBeat<'_>]) {
        let line = &self.view.header[pulse::LINE];
        let beat = line.load(pulse::BEAT).wrapping_add(1);
        for (index, source) in sources.iter().enumerate().take(MAX_SOURCES) {
            if let Some((line, shadow)) = self.view.cell(self.view.plan.first_source() + index) {
                cell::publish(line, shadow, &source.encode(beat), false);
            }
        }
        // Relaxed is enough: the fence BeforeLine of each cell stands before this store, and a reader's cell has its fences
        // after the beat was read. So who sees the beat sees at least every shadow that was written for it, and `seq` odd.
        line.store(pulse::BEAT, beat);
    }

    /// How full the table is.
    pub fn usage(&self) -> Usage {
        Usage {
            leaves: self.room.used(),
            leaves_total: self.view.plan.leaves,
            names: self.counts().load(count::BUCKETS) as usize,
            names_total: self.view.plan.buckets / 2,
        }
    }

    pub(crate) fn counts(&self) -> &'m Line {
        &self.view.header[count::LINE]
    }

    pub(crate) fn advance(&self, counter: usize) -> u64 {
        let value = self.counts().load(counter).wrapping_add(1);
        self.counts().store(counter, value);
        value
    }

    /// The words of the head that the handle means, staged ones before those that landed.
    pub(crate) fn head_words(&self, handle: Handle) -> Option<Words> {
        if handle.slot() < self.view.plan.services { self.known_words(handle) } else { None }
    }

    /// The words of the head or setting that the handle means, staged ones before those that landed.
    pub(crate) fn known_words(&self, handle: Handle) -> Option<Words> {
        let words: Words = cell::staged(self.view.shadows.get(handle.slot())?);
        let (state, _) = head::standing_of(&words);
        let known = handle.is_given_out() && head::incarnation(&words) == handle.incarnation();
        (known && state != State::Removed).then_some(words)
    }

    /// Leaves a head or setting vacant, with these words.
    pub(crate) fn restate(&mut self, slot: usize, words: &Words) {
        let mut batch = self.batch();
        batch.stage(slot, words, true);
        batch.commit();
    }

    /// The words of a head without a set.
    fn vacant_head(&self, state: State, incarnation: u32) -> Words {
        let generation = self.advance(count::GENERATION);
        let (reason, first, length, source, indexed) = (Reason::None, 0, 0, 0, false);
        Head { primary: None, state, reason, incarnation, generation, first, length, source, indexed }
            .encode()
    }

    /// Takes a name out of the directory, and its cell with it.
    pub(crate) fn remove_entry(&mut self, name: &Name<'_>) -> bool {
        let Some(handle) = self.view.directory.find(name) else { return false };
        self.view.directory.remove(name);
        self.drop_slot(handle.slot(), handle.incarnation());
        true
    }

    /// Gives a slot back that no name leads to.
    pub(crate) fn drop_slot(&mut self, slot: usize, incarnation: u32) {
        let words = self.vacant_head(State::Removed, incarnation);
        self.restate(slot, &words);
        let slots = if slot < self.view.plan.services { &mut self.services } else { &mut self.settings };
        slots.give(slot, self.links);
    }

    /// Whether a slot is nobody's, by its cell.
    pub(crate) fn is_free(view: &View<'_>, slot: usize) -> bool {
        let words: Words = cell::landed(&view.cells[slot]);
        let removed = head::standing_of(&words).0 == State::Removed;
        cell::is_vacant(&view.cells[slot]) && (head::incarnation(&words) == 0 || removed)
    }

    pub(crate) fn next_incarnation(&self) -> u32 {
        loop {
            let next = self.advance(count::INCARNATION) as u32;
            if next != 0 {
                return next;
            }
        }
    }

    pub(crate) fn epoch_line(&self) -> &'m Line {
        &self.view.header[epoch::LINE]
    }
}
