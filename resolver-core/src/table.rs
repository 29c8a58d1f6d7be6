//! A table: its sections over a slice of lines, created or opened with every bound checked.

use crate::cell;
use crate::directory::Directory;
use crate::handle::MAX_SLOT;
use crate::layout::{self, Capacity, LAYOUT_VERSION, MAGIC, Plan, identity};
use crate::memory::Line;
use crate::reader::Reader;
use crate::room::Notes;
use crate::sync::{self, Ordering, Site};
use crate::takeover::Damaged;
use crate::writer::Writer;

/// A new table; split it into its one writer and its readers.
pub struct Table<'m> {
    view: View<'m>,
}

/// Why a table could not be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateError {
    /// The memory has fewer lines than [`Capacity::lines`] asks for.
    TooSmall {
        /// Lines that the capacity needs.
        needed: usize,
        /// Lines that were given.
        given: usize,
    },
    /// A count of the capacity has more than 32 bits: at most 2^31 endpoints, 2^26 services and settings, 4 MiB of text for each endpoint.
    TooLarge,
    /// The memory is not zero: a table was created there already, and another writer may be using it.
    InUse,
}

/// Why memory is not a table that this version can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Not a table: the magic number is another. (`0` is one that is still being created.)
    Magic(u64),
    /// Written on a machine of the other byte order.
    ByteOrder,
    /// Another layout version than [`LAYOUT_VERSION`].
    Version(u32),
    /// The header's checksum does not match its fields.
    Checksum,
    /// The header's sizes do not fit each other or the memory.
    Size {
        /// Lines that the header asks for.
        needed: usize,
        /// Lines that are there.
        given: usize,
    },
}

impl core::fmt::Display for CreateError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            CreateError::TooSmall { needed, given } => {
                write!(f, "the table needs {needed} lines of 64 bytes and was given {given}")
            }
            CreateError::TooLarge => f.write_str(
                "the capacity is too large: at most 2^31 endpoints, 2^26 services and settings less 33, 4 MiB of text for each",
            ),
            CreateError::InUse => f.write_str("there is a table in this memory already"),
        }
    }
}

impl core::fmt::Display for OpenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            OpenError::Magic(0) => f.write_str("the table is still being created, or the memory is empty"),
            OpenError::Magic(found) => write!(f, "not a resolver table (it begins with {found:#018x})"),
            OpenError::ByteOrder => f.write_str("a resolver table of a machine with the other byte order"),
            OpenError::Version(found) => {
                write!(f, "layout version {found}; this program reads version {LAYOUT_VERSION}")
            }
            OpenError::Checksum => f.write_str("the header's checksum does not match: the table is damaged"),
            OpenError::Size { needed, given } => {
                write!(f, "the header asks for {needed} lines of 64 bytes and there are {given}")
            }
        }
    }
}

/// Why a table could not be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeOverError {
    /// It is no table that this version reads.
    Open(OpenError),
    /// Its sets cannot be where its heads say.
    Damaged(Damaged),
}

impl core::fmt::Display for TakeOverError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            TakeOverError::Open(error) => error.fmt(f),
            TakeOverError::Damaged(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for TakeOverError {}

impl From<OpenError> for TakeOverError {
    fn from(error: OpenError) -> Self {
        TakeOverError::Open(error)
    }
}

impl From<Damaged> for TakeOverError {
    fn from(error: Damaged) -> Self {
        TakeOverError::Damaged(error)
    }
}

impl core::error::Error for CreateError {}
impl core::error::Error for OpenError {}

impl<'m> Table<'m> {
    /// Creates an empty table in zeroed memory. `seed` should be random where more than one table is around (each
    /// segment of a host): handles of one then mean nothing in another.
    ///
    /// # Errors
    ///
    /// [`CreateError`] where the memory is too small, or holds a table already.
    ///
    /// # Examples
    ///
    /// ```
    /// use resolver_core::{Capacity, Endpoint, Standing, Table, heap};
    ///
    /// let memory = heap(Capacity::SMALL.lines());
    /// let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
    ///
    /// let oms = writer.add("oms")?;
    /// writer.publish(oms, &[Endpoint::new("10.0.0.1:9000".parse()?)], Standing::FRESH, b"")?;
    /// assert_eq!(reader.resolve(oms)?.address().port(), 9000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create(lines: &'m [Line], capacity: &Capacity, seed: u64) -> Result<Self, CreateError> {
        if !capacity.is_sayable() {
            return Err(CreateError::TooLarge);
        }
        let plan = Plan::of(capacity);
        if lines.len() < plan.total {
            return Err(CreateError::TooSmall { needed: plan.total, given: lines.len() });
        }
        let header = &lines[identity::LINE];
        // The one exchange of the crate: of two that create in the same memory, one is told so.
        let claim = header.word(identity::TOTAL_LINES).compare_exchange(
            0,
            plan.total as u64,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if claim.is_err() {
            return Err(CreateError::InUse);
        }
        header.store(identity::MAGIC, MAGIC);
        header.store(identity::SERVICES, plan.services as u64 | (plan.configs as u64) << 32);
        header.store(identity::LEAVES, plan.leaves as u64 | (plan.text_lines as u64) << 32);
        header.store(identity::NAMES, plan.buckets as u64 | (plan.long_lines as u64) << 32);
        header.store(identity::SEED, seed);
        header.store(identity::CHECKSUM, checksum(header));
        let view = View::new(lines, plan);
        for (line, shadow) in view.cells.iter().zip(view.shadows) {
            cell::init(line, shadow);
        }
        lines[layout::count::LINE].store(layout::count::INCARNATION, seed & 0xffff_ffff);
        sync::store_release(header.word(identity::VERSION), u64::from(LAYOUT_VERSION), Site::VersionStore);
        Ok(Table { view })
    }

    /// A reader of a table that is there already. Everything that the header says is checked against the memory, and
    /// every place that is read later is too: a damaged or hostile table gives errors or wrong records, never
    /// undefined behaviour.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what is wrong with the header.
    pub fn open(lines: &'m [Line]) -> Result<Reader<'m>, OpenError> {
        View::open(lines).map(Reader::new)
    }

    /// Becomes the writer of a table whose last writer is dead, after repairing what it left. Handles, generations and
    /// readers stay good.
    ///
    /// # Errors
    ///
    /// [`TakeOverError`]; a new table must supersede this one.
    ///
    /// # Safety
    ///
    /// No other writer of this table is alive, in any process, nor comes to be before this one is dropped. (Nothing
    /// worse than records that mix two publications comes of two; but that is what this crate is there to prevent.)
    pub unsafe fn take_over(lines: &'m [Line]) -> Result<Writer<'m>, TakeOverError> {
        let view = View::open(lines)?;
        Ok(Writer::take_over(view)?)
    }

    /// The one writer, and a reader to copy as often as wanted.
    pub fn split(self) -> (Writer<'m>, Reader<'m>) {
        let writer = Writer::new(self.view);
        (writer, Reader::new(self.view))
    }
}

/// A table's sections.
#[derive(Clone, Copy)]
pub(crate) struct View<'m> {
    pub(crate) plan: Plan,
    /// Of a fixed length, so that no panic is compiled into a look at one of its words.
    pub(crate) header: &'m [Line; layout::HEADER_LINES],
    pub(crate) cells: &'m [Line],
    pub(crate) shadows: &'m [Line],
    pub(crate) leaves: &'m [Line],
    pub(crate) directory: Directory<'m>,
    pub(crate) changes: &'m [Line],
    pub(crate) notes: &'m [Line],
    pub(crate) bitmap: &'m [Line],
    pub(crate) text: &'m [Line],
    pub(crate) incidents: &'m [Line],
}

impl<'m> View<'m> {
    /// The sections by a plan that was checked against this memory.
    pub(crate) fn new(lines: &'m [Line], plan: Plan) -> Self {
        View {
            plan,
            header: lines.first_chunk().expect("a plan begins with the header"),
            cells: &lines[plan.lines()..plan.shadows()],
            shadows: &lines[plan.shadows()..plan.directory()],
            directory: Directory::of(lines, &plan),
            leaves: &lines[plan.leaves()..plan.text()],
            changes: &lines[plan.changes()..plan.notes()],
            notes: &lines[plan.notes()..plan.bitmap()],
            bitmap: &lines[plan.bitmap()..plan.leaves()],
            text: &lines[plan.text()..plan.incidents()],
            incidents: &lines[plan.incidents()..plan.total],
        }
    }

    /// Checks that memory holds a table, and finds its sections. Nothing is stored.
    pub(crate) fn open(lines: &'m [Line]) -> Result<Self, OpenError> {
        let given = lines.len();
        if given < layout::HEADER_LINES {
            return Err(OpenError::Size { needed: layout::HEADER_LINES, given });
        }
        let header = &lines[identity::LINE];
        let version = header.load(identity::VERSION);
        sync::fence_acquire(Site::AfterVersion);
        let magic = header.load(identity::MAGIC);
        if magic == MAGIC.swap_bytes() {
            return Err(OpenError::ByteOrder);
        }
        if magic != MAGIC || version == 0 {
            return Err(OpenError::Magic(if magic == MAGIC { 0 } else { magic }));
        }
        if version != u64::from(LAYOUT_VERSION) {
            return Err(OpenError::Version(version as u32));
        }
        if header.load(identity::CHECKSUM) != checksum(header) {
            return Err(OpenError::Checksum);
        }
        let plan = plan_of(header).ok_or(OpenError::Size { needed: usize::MAX, given })?;
        if plan.total as u64 != header.load(identity::TOTAL_LINES) || plan.total > given {
            return Err(OpenError::Size { needed: plan.total, given });
        }
        Ok(View::new(lines, plan))
    }

    pub(crate) fn seed(&self) -> u64 {
        self.header[identity::LINE].load(identity::SEED)
    }

    /// The epoch that each cell last changed with.
    pub(crate) fn changes(&self) -> Notes<'m> {
        Notes::new(self.changes, 0)
    }

    /// A cell with its shadow; `None` for a slot that the table does not have.
    #[inline(always)]
    pub(crate) fn cell(&self, index: usize) -> Option<(&'m Line, &'m Line)> {
        self.pairs().at(index)
    }

    #[inline(always)]
    pub(crate) fn pairs(&self) -> Pairs<'m> {
        Pairs { lines: self.cells, shadows: self.shadows }
    }
}

/// All cells: their lines, and their shadows in the same order.
#[derive(Clone, Copy)]
pub(crate) struct Pairs<'m> {
    lines: &'m [Line],
    shadows: &'m [Line],
}

impl<'m> Pairs<'m> {
    /// Those of these lines, which are the first.
    #[inline(always)]
    pub(crate) fn only(self, lines: &'m [Line]) -> Self {
        Pairs { lines, ..self }
    }

    /// A cell with its shadow; `None` for a slot that the table does not have.
    #[inline(always)]
    pub(crate) fn at(&self, slot: usize) -> Option<(&'m Line, &'m Line)> {
        Some((self.lines.get(slot)?, self.shadows.get(slot)?))
    }
}

/// The sections that a header describes; `None` where its counts cannot be.
fn plan_of(header: &Line) -> Option<Plan> {
    let halves = |word: usize| {
        let value = header.load(word);
        ((value & 0xffff_ffff) as usize, (value >> 32) as usize)
    };
    let (services, configs) = halves(identity::SERVICES);
    let (leaves, text_lines) = halves(identity::LEAVES);
    let (buckets, long_lines) = halves(identity::NAMES);
    // Each below 2^32, so the sums below 2^64 need these bounds only.
    let sane = services > 0
        && leaves > 0
        && leaves.is_multiple_of(64)
        && buckets.is_power_of_two()
        && buckets >= 2
        && text_lines <= layout::MAX_TEXT_LINES;
    let plan = sane.then(|| Plan::with(services, configs, leaves, text_lines, buckets, long_lines));
    // A handle must be able to lead to every cell.
    plan.filter(|plan| plan.cells() <= MAX_SLOT as usize)
}

fn checksum(header: &Line) -> u64 {
    let fields = [identity::MAGIC, identity::TOTAL_LINES, identity::SERVICES];
    let more = [identity::LEAVES, identity::NAMES, identity::SEED];
    let first = crate::name::fold(fields.map(|word| header.load(word)), u64::from(LAYOUT_VERSION));
    crate::name::fold(more.map(|word| header.load(word)), first)
}

/// Signs whatever a header says, for tests of what a hostile one does; see `probe`.
#[cfg(feature = "probe")]
pub(crate) fn seal(header: &Line) {
    header.store(identity::MAGIC, MAGIC);
    header.store(identity::VERSION, u64::from(LAYOUT_VERSION));
    if let Some(plan) = plan_of(header) {
        header.store(identity::TOTAL_LINES, plan.total as u64);
    }
    header.store(identity::CHECKSUM, checksum(header));
}
