//! A table in a file that the whole host maps: readers without write permission, one writer under a lock.
//!
//! [`Segment`] is a reader's mapping, [`OwnedSegment`] the writer's. The file lies in a directory of its owner's
//! (`/dev/shm/resolver` by default), is created whole under another name and renamed into place, and never shrinks.
//! The lock is the kernel's (`flock`): it is free exactly when its holder is gone, so a takeover never guesses by time. It is
//! on a file of its own, so that no reader can hold it (`docs/segment.md`).

mod file;
mod inspect;
mod lock;
mod options;
mod owned;

use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::time::{Duration, Instant};
use std::{fmt, io};

use memmap2::MmapRaw;

pub use file::Owner;
pub use inspect::{Fault, Inspection, Process, Repair, Used};
pub use options::{Effect, Effects, SegmentOptions, Wish};
pub use owned::{Origin, OwnedSegment, SegmentWatch};

use crate::layout::{Plan, owner};
use crate::memory::{Line, lines_from_raw};
use crate::reader::Reader;
use crate::table::{CreateError, OpenError, View};
use crate::takeover::Damaged;

/// Where the agent publishes unless told otherwise.
pub const DEFAULT_PATH: &str = "/dev/shm/resolver/main.seg";

/// A mapping that only reads. It stays good, with the last answers, whatever becomes of the file or the writer.
///
/// ```
/// use resolver_core::{Capacity, Endpoint, OwnedSegment, Segment, Standing};
///
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("main.seg");
/// let mut owned = OwnedSegment::acquire(&path, &Capacity::SMALL)?;
/// let mut writer = owned.writer()?;
/// let oms = writer.add("oms")?;
/// writer.publish(oms, &[Endpoint::new("10.0.0.1:9000".parse()?)], Standing::FRESH, b"")?;
///
/// // In another process:
/// let segment = Segment::open(&path)?;
/// let reader = segment.reader();
/// let oms = reader.service("oms").ok_or("no such service")?;
/// assert_eq!(reader.resolve(oms)?.address().port(), 9000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Segment {
    mapping: Mapping,
    /// Of the header as it was checked: a header that changes afterwards changes nothing here.
    plan: Plan,
    path: PathBuf,
    identity: file::Identity,
    effects: Effects,
}

/// What the header says of the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerInfo {
    /// Counts the writers that this segment has had.
    pub epoch: u64,
    /// Process id of the last one.
    pub pid: u32,
    /// When it took over, in milliseconds since 1970.
    pub since_ms: u64,
}

/// Why a segment could not be opened or owned.
#[derive(Debug)]
#[non_exhaustive]
pub enum SegmentError {
    /// The system refused something.
    Io {
        /// What was asked of it.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// The file is not one that may be trusted: its kind, owner, mode or links are wrong.
    Untrusted {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        why: String,
    },
    /// The bytes are no table that this version reads.
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: OpenError,
    },
    /// A live process owns the segment. Nothing was touched.
    InUse {
        /// The file.
        path: PathBuf,
        /// The owner's process id, by the header; 0 where that does not say.
        pid: u32,
    },
    /// There was no segment to be read until the deadline.
    Missing {
        /// Where it was waited for.
        path: PathBuf,
        /// What is not there, and what to look for.
        what: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The table could not be created.
    Create(CreateError),
    /// The table's sets cannot be where its heads say.
    Damaged(Damaged),
}

impl SegmentError {
    fn io(doing: &'static str, path: &Path, error: impl Into<io::Error>) -> Self {
        SegmentError::Io { doing, path: path.to_path_buf(), error: error.into() }
    }

    fn untrusted(path: &Path, why: impl ToString) -> Self {
        SegmentError::Untrusted { path: path.to_path_buf(), why: why.to_string() }
    }
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SegmentError::Io { doing, path, error } => {
                write!(f, "cannot {doing} {}: {error}", path.display())
            }
            SegmentError::Untrusted { path, why } => {
                write!(f, "{} is not to be trusted: {why}", path.display())
            }
            SegmentError::Table { path, error } => write!(f, "{}: {error}", path.display()),
            SegmentError::InUse { path, pid: 0 } => {
                write!(f, "{} is locked by a live process, and its header does not say which", path.display())
            }
            SegmentError::InUse { path, pid } => {
                write!(f, "{} is locked by a live process; its last owner was process {pid}", path.display())
            }
            SegmentError::Missing { path, what, waited } => {
                write!(f, "no segment at {} after {} ms: {what}", path.display(), waited.as_millis())
            }
            SegmentError::Create(error) => error.fmt(f),
            SegmentError::Damaged(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SegmentError {}

impl From<CreateError> for SegmentError {
    fn from(error: CreateError) -> Self {
        SegmentError::Create(error)
    }
}

impl From<Damaged> for SegmentError {
    fn from(error: Damaged) -> Self {
        SegmentError::Damaged(error)
    }
}

impl Segment {
    /// Maps a segment for reading, if it belongs to this process's user or to root.
    ///
    /// # Errors
    ///
    /// [`SegmentError`]; a file that is missing is [`SegmentError::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SegmentError> {
        Self::open_from(path, Owner::SelfOrRoot)
    }

    /// Maps a segment for reading, if it belongs to the owner named here. No symbolic link is followed.
    ///
    /// # Errors
    ///
    /// [`SegmentError`].
    pub fn open_from(path: impl AsRef<Path>, owner: Owner) -> Result<Self, SegmentError> {
        SegmentOptions { owner, ..SegmentOptions::default() }.open(path)
    }

    /// As [`Segment::open`], for a reader that starts before its agent; see [`SegmentOptions::open_or_wait`].
    ///
    /// # Errors
    ///
    /// [`SegmentError::Missing`] at the deadline; what waiting does not mend, at once.
    pub fn open_or_wait(path: impl AsRef<Path>, deadline: Instant) -> Result<Self, SegmentError> {
        SegmentOptions::default().open_or_wait(path, deadline)
    }

    /// Which of the wishes of its [`SegmentOptions`] took effect.
    pub fn effects(&self) -> &Effects {
        &self.effects
    }

    /// A reader of this mapping.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(View::new(self.mapping.lines(), self.plan))
    }

    /// Whether the path still leads to this mapping. When it does not, another segment superseded it: open that one.
    /// A system call; for the cold path, when [`Liveness`](crate::Liveness) reports silence.
    pub fn is_current(&self) -> bool {
        file::Identity::of_path(&self.path).is_ok_and(|now| now.same_file(&self.identity))
    }

    /// What the header says of the writer.
    pub fn owner(&self) -> OwnerInfo {
        self.mapping.owner()
    }

    /// Whether the kernel says that a writer holds the segment; a stopped one does too. A system call. Good for a report: a
    /// reader that locks the file can make it say yes, or, if it did so while a writer took over, no.
    ///
    /// # Errors
    ///
    /// [`SegmentError::Io`].
    pub fn has_owner(&self) -> Result<bool, SegmentError> {
        file::is_locked(&self.path, &self.identity)
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Mapped memory, as lines.
struct Mapping {
    raw: MmapRaw,
}

impl Mapping {
    fn new(raw: MmapRaw) -> Self {
        Mapping { raw }
    }

    fn lines(&self) -> &[Line] {
        // SAFETY:
        // - A mapping begins at a page, so it is aligned to 64, and is as long as `len` for as long as `self.raw` is.
        //   The file never shrinks: this crate only ever sets its size at creation (see "Segment" in docs/design.md for
        //   what a hostile owner can do).
        // - All access to a segment, by this crate in any process, is by whole atomic words; before the rename into
        //   place only its creator has it. Where the mapping is read-only, it is reached through `Reader` alone, which
        //   stores nothing.
        unsafe { lines_from_raw(self.raw.as_ptr(), self.raw.len() / size_of::<Line>()) }
    }

    fn view(&self) -> Result<View<'_>, OpenError> {
        View::open(self.lines())
    }

    fn owner(&self) -> OwnerInfo {
        let line = &self.lines()[owner::LINE];
        OwnerInfo {
            epoch: line.load(owner::EPOCH),
            pid: line.load(owner::PID) as u32,
            since_ms: line.load(owner::SINCE),
        }
    }
}
