//! How a reader opens a segment: whose it may be, how its memory is held, and how long it is waited for.

use core::fmt;
use std::path::Path;
use std::string::{String, ToString};
use std::time::{Duration, Instant};
use std::{format, io};

use memmap2::{Advice, MmapOptions, MmapRaw};

use super::file::{self, Owner};
use super::{Mapping, Segment, SegmentError};

/// The first pause between two looks at a path, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// Whether something is wanted of the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// No.
    #[default]
    No,
    /// If it can be had; [`Segment::effects`] says whether.
    Try,
    /// Without it the segment is not opened.
    Must,
}

/// How a reader opens a segment.
///
/// ```
/// use std::time::{Duration, Instant};
/// use resolver_core::{Capacity, OwnedSegment};
/// use resolver_core::shm::{SegmentOptions, Wish};
///
/// # let directory = tempfile::tempdir().expect("a directory");
/// # let path = directory.path().join("main.seg");
/// # let _owned = OwnedSegment::acquire(&path, &Capacity::SMALL)?;
/// let options = SegmentOptions { lock: Wish::Try, ..SegmentOptions::default() };
/// let segment = options.open_or_wait(&path, Instant::now() + Duration::from_secs(10))?;
/// println!("in memory for good: {}", segment.effects().lock);
/// # Ok::<(), resolver_core::SegmentError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentOptions {
    /// Whose segments are trusted.
    pub owner: Owner,
    /// Map every page at once (`MADV_POPULATE_READ`), so that no first read of a service faults. Wanted unless said otherwise.
    pub pretouch: Wish,
    /// Keep every page in memory (`mlock`): none is swapped out. Counts against `RLIMIT_MEMLOCK`.
    pub lock: Wish,
    /// Huge pages (`MADV_HUGEPAGE`): fewer entries of the TLB. On a tmpfs they are there only if it is mounted with
    /// `huge=advise` (or `within_size`, `always`), or `/sys/kernel/mm/transparent_hugepage/shmem_enabled` says so.
    pub huge_pages: Wish,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        SegmentOptions { owner: Owner::SelfOrRoot, pretouch: Wish::Try, lock: Wish::No, huge_pages: Wish::No }
    }
}

/// What became of a [`Wish`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Effect {
    /// It was not asked for.
    NotAsked,
    /// It took effect.
    Taken,
    /// The system took it, and did nothing with it.
    Ignored,
    /// The system refused it.
    Refused(io::Error),
}

impl Effect {
    /// Whether it took effect.
    pub fn is_taken(&self) -> bool {
        matches!(self, Effect::Taken)
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::NotAsked => f.write_str("not asked for"),
            Effect::Taken => f.write_str("took effect"),
            Effect::Ignored => f.write_str("accepted, without effect"),
            Effect::Refused(error) => write!(f, "refused: {error}"),
        }
    }
}

/// What became of each wish of [`SegmentOptions`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Effects {
    /// See [`SegmentOptions::pretouch`].
    pub pretouch: Effect,
    /// See [`SegmentOptions::lock`].
    pub lock: Effect,
    /// See [`SegmentOptions::huge_pages`].
    pub huge_pages: Effect,
}

impl Effects {
    /// In the order in which they help each other: pages are huge, or not, when they are first touched.
    pub(super) fn on(raw: &MmapRaw, options: &SegmentOptions, path: &Path) -> Result<Self, SegmentError> {
        let mut huge = wished(options.huge_pages, || raw.advise(Advice::HugePage));
        let pretouch = wished(options.pretouch, || raw.advise(Advice::PopulateRead));
        let lock = wished(options.lock, || raw.lock());
        // The advice is taken for any mapping, and says nothing of what there is.
        if huge.is_taken() && !has_huge_pages(raw) {
            huge = Effect::Ignored;
        }
        Ok(Effects {
            pretouch: granted(options.pretouch, pretouch, "touch every page of", path)?,
            lock: granted(options.lock, lock, "lock in memory (mlock; see RLIMIT_MEMLOCK)", path)?,
            huge_pages: granted(options.huge_pages, huge, "have huge pages for", path)?,
        })
    }
}

fn wished(wish: Wish, ask: impl FnOnce() -> io::Result<()>) -> Effect {
    match wish {
        Wish::No => Effect::NotAsked,
        Wish::Try | Wish::Must => ask().map_or_else(Effect::Refused, |()| Effect::Taken),
    }
}

fn granted(wish: Wish, effect: Effect, doing: &'static str, path: &Path) -> Result<Effect, SegmentError> {
    match effect {
        Effect::Refused(error) if wish == Wish::Must => Err(SegmentError::io(doing, path, error)),
        Effect::Ignored if wish == Wish::Must => {
            let error = io::Error::other("the file system has none; see `huge=` in tmpfs(5)");
            Err(SegmentError::io(doing, path, error))
        }
        effect => Ok(effect),
    }
}

/// Whether the kernel says that a part of this mapping is made of huge pages.
fn has_huge_pages(raw: &MmapRaw) -> bool {
    let map = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let start = format!("{:x}-", raw.as_ptr().addr());
    let mut lines = map.lines().skip_while(|line| !line.starts_with(&start)).skip(1);
    let of_this =
        lines.by_ref().take_while(|line| line.split(' ').next().is_some_and(|word| word.ends_with(':')));
    let huge = of_this.filter_map(|line| {
        let rest = line.strip_prefix("ShmemPmdMapped:").or_else(|| line.strip_prefix("FilePmdMapped:"))?;
        rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    });
    huge.sum::<u64>() > 0
}

impl SegmentOptions {
    /// Maps a segment for reading. No symbolic link is followed.
    ///
    /// # Errors
    ///
    /// [`SegmentError`]; a file that is missing is [`SegmentError::Io`]. A [`Wish::Must`] that the system refused, too.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Segment, SegmentError> {
        let path = path.as_ref();
        let (file, identity) = file::open(path, self.owner, file::Access::Read)?;
        let raw = MmapOptions::new()
            .len(identity.size)
            .map_raw_read_only(&file)
            .map_err(|error| SegmentError::io("map", path, error))?;
        let effects = Effects::on(&raw, self, path)?;
        let mapping = Mapping::new(raw);
        let view = mapping.view();
        let plan = view.map_err(|error| SegmentError::Table { path: path.to_path_buf(), error })?.plan;
        Ok(Segment { mapping, plan, path: path.to_path_buf(), identity, effects })
    }

    /// As [`SegmentOptions::open`], for a reader that starts before its agent: looks again, after pauses of up to 100 ms,
    /// while there is no segment or one of another layout. It is opened once it is there; that anything was published is
    /// for [`Reader::service`](crate::Reader::service) to say. Cold: it sleeps.
    ///
    /// # Errors
    ///
    /// [`SegmentError::Missing`] says what was not there at the deadline. What waiting does not mend (a file that may not be
    /// trusted, or not be read) is told at once.
    pub fn open_or_wait(&self, path: impl AsRef<Path>, deadline: Instant) -> Result<Segment, SegmentError> {
        let (path, began) = (path.as_ref(), Instant::now());
        let (mut pause, longest) = PAUSES;
        loop {
            let error = match self.open(path) {
                Err(error) if is_to_come(&error) => error,
                settled => return settled,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (path, waited) = (path.to_path_buf(), began.elapsed());
                return Err(SegmentError::Missing { what: missing(&path, &error), path, waited });
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(longest);
        }
    }
}

/// Whether an agent that starts can mend it.
fn is_to_come(error: &SegmentError) -> bool {
    match error {
        SegmentError::Io { error, .. } => error.kind() == io::ErrorKind::NotFound,
        SegmentError::Table { .. } => true,
        _ => false,
    }
}

fn missing(path: &Path, error: &SegmentError) -> String {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match (error, directory) {
        (SegmentError::Table { error, .. }, _) => format!("the file is there, but {error}"),
        (_, Some(directory)) if !directory.exists() => {
            format!("its directory {} does not exist; has an agent ever run here?", directory.display())
        }
        (SegmentError::Io { .. }, _) => {
            "its directory is there, and the file is not; does an agent publish to this path?".to_string()
        }
        (error, _) => error.to_string(),
    }
}
