//! The writer's side of a segment: create it, or take it over from one that is gone.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::{MmapOptions, MmapRaw};

use super::file::{self, Access, Identity, Owner};
use super::lock::{self, OwnerLock};
use super::{Effects, Mapping, OwnerInfo, SegmentError, SegmentOptions};
use crate::layout::{Capacity, Plan, count, owner};
use crate::memory::Line;
use crate::reader::Reader;
use crate::table::{CreateError, OpenError, Table};
use crate::writer::Writer;

/// A segment that this process owns, until it is dropped: the lock is held, and nobody else can write.
pub struct OwnedSegment {
    mapping: Mapping,
    /// Holds the segment's own lock for as long as it is open, for [`Segment::has_owner`](super::Segment::has_owner).
    _told: File,
    /// What makes this process the owner.
    _held: OwnerLock,
    path: PathBuf,
    identity: Identity,
    origin: Origin,
    repaired: u64,
}

/// Tells whether a path still leads to a segment.
#[derive(Clone, Debug)]
pub struct SegmentWatch {
    path: PathBuf,
    identity: Identity,
}

impl SegmentWatch {
    /// A system call. When it is `false`, readers that start now find another segment or none: acquire again, and
    /// publish everything to that.
    pub fn is_current(&self) -> bool {
        Identity::of_path(&self.path).is_ok_and(|now| now.same_file(&self.identity))
    }
}

/// How a segment came to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// There was none.
    Created,
    /// From an owner that is gone; readers go on without noticing.
    TakenOver,
    /// There was one of another capacity or layout, or a damaged one; a new file took its place, and readers reopen.
    Superseded,
}

impl OwnedSegment {
    /// Becomes the segment's owner: takes it over in place if its owner is gone, creates it if there is none or it is of
    /// another capacity or layout.
    ///
    /// # Errors
    ///
    /// [`SegmentError::InUse`] where a live process owns it (no byte is touched), and where the file or its directory
    /// cannot be trusted or made.
    pub fn acquire(path: impl AsRef<Path>, capacity: &Capacity) -> Result<Self, SegmentError> {
        let path = path.as_ref();
        let directory = file::prepare_directory(path)?;
        // Two that start at once: one gets the place or the lock; the other finds it taken when it looks again.
        loop {
            let old = match find(path)? {
                Existing::None => None,
                Existing::Replaced => continue,
                Existing::Free(free) => {
                    let repaired = take_over(path, &free.mapping, capacity)?;
                    match (repaired, free.held) {
                        (Some(repaired), Some(held)) => {
                            let from = (Origin::TakenOver, repaired);
                            return Self::owning(free.mapping, free.file, held, path, from);
                        }
                        // Stays locked until the new one is in place.
                        (_, held) => Some((free.file, held)),
                    }
                }
            };
            let origin = if old.is_some() { Origin::Superseded } else { Origin::Created };
            if let Some((mapping, file, held)) = create(path, &directory, capacity, old.is_some())? {
                if let Some((_, Some(held))) = old {
                    held.remove();
                }
                return Self::owning(mapping, file, held, path, (origin, 0));
            }
            if old.is_some() {
                return Err(SegmentError::untrusted(path, "it was replaced during a replacement"));
            }
        }
    }

    fn owning(
        mapping: Mapping,
        file: File,
        held: OwnerLock,
        path: &Path,
        (origin, repaired): (Origin, u64),
    ) -> Result<Self, SegmentError> {
        let identity = Identity::of_file(&file).map_err(|error| SegmentError::io("look at", path, error))?;
        held.put_in_force();
        let path = path.to_path_buf();
        Ok(OwnedSegment { mapping, _told: file, _held: held, path, identity, origin, repaired })
    }

    /// The writer, after repairing whatever a dead predecessor left. There is one at a time: it borrows the segment.
    ///
    /// # Errors
    ///
    /// [`SegmentError::Damaged`]; remove the file, so that a new one is created.
    pub fn writer(&mut self) -> Result<Writer<'_>, SegmentError> {
        let view = self.mapping.view().map_err(|error| self.damaged(error))?;
        Ok(Writer::take_over(view)?)
    }

    /// A reader of the same memory.
    ///
    /// # Errors
    ///
    /// [`SegmentError::Table`] where the header was damaged meanwhile.
    pub fn reader(&self) -> Result<Reader<'_>, SegmentError> {
        Ok(Reader::new(self.mapping.view().map_err(|error| self.damaged(error))?))
    }

    /// Asks the system to hold this mapping as the options say, and tells what it did. (All of it is touched already.)
    ///
    /// # Errors
    ///
    /// [`SegmentError::Io`] for a [`Wish::Must`](super::Wish::Must) that was refused; the segment stays this process's.
    pub fn hold(&self, options: &SegmentOptions) -> Result<Effects, SegmentError> {
        Effects::on(&self.mapping.raw, options, &self.path)
    }

    /// Whether the path still leads to this segment; see [`SegmentWatch::is_current`].
    pub fn is_current(&self) -> bool {
        self.watch().is_current()
    }

    /// What tells whether the path still leads to this segment; apart from it, as the writer borrows it whole.
    pub fn watch(&self) -> SegmentWatch {
        SegmentWatch { path: self.path.clone(), identity: self.identity }
    }

    /// How it came to this owner.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Cells that a dead predecessor had left half written, and this owner's takeover finished or took back.
    pub fn repaired(&self) -> u64 {
        self.repaired
    }

    /// This owner, as readers see it.
    pub fn owner(&self) -> OwnerInfo {
        self.mapping.owner()
    }

    /// Size of the file in bytes.
    pub fn size(&self) -> usize {
        self.identity.size
    }

    fn damaged(&self, error: OpenError) -> SegmentError {
        SegmentError::Table { path: self.path.clone(), error }
    }
}

/// What a segment of this mapping was before it had this owner, repaired and signed; `None` where a new one must supersede it.
fn take_over(path: &Path, mapping: &Mapping, capacity: &Capacity) -> Result<Option<u64>, SegmentError> {
    let view = match mapping.view() {
        Ok(view) => view,
        Err(OpenError::Magic(magic)) if magic != 0 => {
            return Err(SegmentError::untrusted(path, OpenError::Magic(magic)));
        }
        Err(_) => return Ok(None),
    };
    let repaired = || view.header[count::LINE].load(count::REPAIRED);
    let before = repaired();
    if view.plan != Plan::of(capacity) || Writer::take_over(view).is_err() {
        return Ok(None);
    }
    let repaired = repaired().wrapping_sub(before);
    sign(mapping);
    Ok(Some(repaired))
}

/// A new file in place; `None` where another was quicker.
fn create(
    path: &Path,
    directory: &Path,
    capacity: &Capacity,
    replace: bool,
) -> Result<Option<(Mapping, File, OwnerLock)>, SegmentError> {
    if !capacity.is_sayable() {
        return Err(CreateError::TooLarge.into());
    }
    let size = capacity.lines() * size_of::<Line>();
    file::sweep(directory);
    let (file, new) = file::create(directory, size)?;
    // Nobody's yet, but for a reader that means harm; then it is not told that there is an owner.
    let _ = lock::patiently(&file);
    lock::sweep(path, directory);
    let made = fill(&new, &file, size, capacity).and_then(|(mapping, seed)| {
        let in_use = || SegmentError::InUse { path: path.to_path_buf(), pid: 0 };
        let held = OwnerLock::take(path, seed)?.ok_or_else(in_use)?;
        match file::place(&new, path, replace) {
            Ok(true) => Ok(Some((mapping, file, held))),
            not_placed => {
                held.remove();
                not_placed.map(|_| None)
            }
        }
    });
    if !matches!(made, Ok(Some(_))) {
        file::remove(&new);
    }
    made
}

enum Existing {
    None,
    /// It was there and is no longer the same; look again.
    Replaced,
    Free(Free),
}

/// A segment that nobody else owns.
struct Free {
    file: File,
    mapping: Mapping,
    /// `None` where the header says no seed: then a new segment supersedes it.
    held: Option<OwnerLock>,
}

/// Whether somebody else owns what is there, by who holds its lock.
fn find(path: &Path) -> Result<Existing, SegmentError> {
    let own = Owner::Uid(rustix::process::geteuid().as_raw());
    let (file, identity) = match file::open(path, own, Access::Write) {
        Ok(opened) => opened,
        Err(SegmentError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Existing::None);
        }
        Err(error) => return Err(error),
    };
    let mapping = map(path, &file, identity.size)?;
    let seed = mapping.view().ok().map(|view| view.seed());
    let pid = seed.map_or(0, |_| mapping.owner().pid);
    let in_use = || SegmentError::InUse { path: path.to_path_buf(), pid };
    let held = match seed {
        Some(seed) => Some(OwnerLock::take(path, seed)?.ok_or_else(in_use)?),
        None => None,
    };
    match lock::patiently(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            // Its owner would hold the lock that this process holds: so that is a reader, and nobody owns it.
            if !held.as_ref().is_some_and(OwnerLock::is_in_force) {
                return Err(in_use());
            }
        }
        Err(TryLockError::Error(error)) => return Err(SegmentError::io("lock", path, error)),
    }
    match Identity::of_path(path) {
        Ok(now) if now.same_file(&identity) => Ok(Existing::Free(Free { file, mapping, held })),
        _ => Ok(Existing::Replaced),
    }
}

fn map(path: &Path, file: &File, size: usize) -> Result<Mapping, SegmentError> {
    if size < size_of::<Line>() {
        return Err(SegmentError::untrusted(path, "it is too short to be a segment; remove it"));
    }
    let raw: Result<MmapRaw, _> = MmapOptions::new().len(size).populate().map_raw(file);
    Ok(Mapping::new(raw.map_err(|error| SegmentError::io("map", path, error))?))
}

fn fill(path: &Path, file: &File, size: usize, capacity: &Capacity) -> Result<(Mapping, u64), SegmentError> {
    let mapping = map(path, file, size)?;
    let seed = file::random()?;
    Table::create(mapping.lines(), capacity, seed)?;
    sign(&mapping);
    Ok((mapping, seed))
}

/// Enters this process as the owner.
fn sign(mapping: &Mapping) {
    let line = &mapping.lines()[owner::LINE];
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    line.store(owner::PID, u64::from(std::process::id()));
    line.store(owner::SINCE, u64::try_from(since.as_millis()).unwrap_or(0));
    for (word, value) in boot_id().into_iter().enumerate() {
        line.store(owner::BOOT + word, value);
    }
    line.store(owner::EPOCH, line.load(owner::EPOCH).wrapping_add(1));
}

/// The kernel's id of this boot, as two words; zeros where it cannot be read.
pub(super) fn boot_id() -> [u64; 2] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: std::string::String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let word = |part: Option<&str>| part.and_then(|part| u64::from_str_radix(part, 16).ok()).unwrap_or(0);
    [word(digits.get(..16)), word(digits.get(16..32))]
}
