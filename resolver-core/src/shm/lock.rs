//! The lock that makes a process a segment's one writer: a file of its own beside the segment, which only the owner's user can
//! open, and which bears the segment's seed in its name.
//!
//! The kernel lets whoever can open a file for reading lock it. So a lock on the segment itself, which readers open, could be
//! kept from the next writer by any reader. The lock of this file cannot. It is in force once the segment's owner has written
//! the seed into it; before that (the file was removed, and this is a new one) the segment's own lock is wanted too, as the
//! old writer may hold that. `docs/segment.md` has the argument.

use std::fs::{File, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};

use super::SegmentError;
use super::file::Identity;

/// How often, and how far apart, a lock that is held is asked for again. A reader that asks for the owner
/// ([`Segment::has_owner`](super::Segment::has_owner)) holds the segment's for a moment; a writer that leaves, both.
const PROBES: u32 = 20;
const PROBE: Duration = Duration::from_millis(5);

/// The lock, held for as long as it is.
pub(super) struct OwnerLock {
    file: File,
    path: PathBuf,
    seed: u64,
}

impl OwnerLock {
    /// Takes it; `None` where another holds it.
    pub(super) fn take(segment: &Path, seed: u64) -> Result<Option<Self>, SegmentError> {
        let path = path_of(segment, seed);
        // A file that was removed between the two looks is nobody's: begin again with the one that is there.
        loop {
            let Some((file, identity)) = open(&path)? else { continue };
            match patiently(&file) {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(SegmentError::io("lock", &path, error)),
            }
            if Identity::of_path(&path).is_ok_and(|now| now.same_file(&identity)) {
                return Ok(Some(OwnerLock { file, path, seed }));
            }
        }
    }

    /// Whether who owns the segment holds this lock: an owner wrote so.
    pub(super) fn is_in_force(&self) -> bool {
        let mut named = [0; 8];
        self.file.read_exact_at(&mut named, 0).is_ok() && named == self.seed.to_ne_bytes()
    }

    /// From now on, who owns the segment holds this lock. The caller owns it.
    pub(super) fn put_in_force(&self) {
        if !self.is_in_force() {
            // Where it cannot be written (a full file system), the next owner needs the segment's own lock, too.
            let _ = self.file.write_all_at(&self.seed.to_ne_bytes(), 0);
        }
    }

    /// Lets go of a segment that has no place any more, or never had one.
    pub(super) fn remove(self) {
        super::file::remove(&self.path);
    }
}

/// Removes the locks of segments that were here before and are nobody's. One that somebody comes to hold at this moment is
/// missed by its holder, who makes a new one.
pub(super) fn sweep(segment: &Path, directory: &Path) {
    let Some(name) = segment.file_name().and_then(|name| name.to_str()) else { return };
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let of_this = entry.file_name().to_str().is_some_and(|entry| {
            let seed = entry.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')?.strip_suffix(LOCK));
            seed.is_some_and(|seed| seed.len() == 16 && seed.bytes().all(|byte| byte.is_ascii_hexdigit()))
        });
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        if of_this
            && let Ok(file) = rustix::fs::open(entry.path(), flags, Mode::empty()).map(File::from)
            && file.try_lock().is_ok()
        {
            super::file::remove(&entry.path());
        }
    }
}

/// What a lock's name ends with.
const LOCK: &str = ".lock";

/// Locks it, unless another holds it for longer than a moment.
pub(super) fn patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..PROBES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(PROBE),
            settled => return settled,
        }
    }
    file.try_lock()
}

fn path_of(segment: &Path, seed: u64) -> PathBuf {
    let mut path = segment.as_os_str().to_os_string();
    path.push(std::format!(".{seed:016x}{LOCK}"));
    PathBuf::from(path)
}

/// Makes it where it is not there; `None` for one that was removed while it was looked at.
fn open(path: &Path) -> Result<Option<(File, Identity)>, SegmentError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)) {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::LOOP) => {
            return Err(SegmentError::untrusted(path, "it is a symbolic link; remove it"));
        }
        Err(error) => return Err(SegmentError::io("open the owner's lock", path, error)),
    };
    let stat = rustix::fs::fstat(&file).map_err(|error| SegmentError::io("look at", path, error))?;
    if stat.st_nlink == 0 {
        return Ok(None);
    }
    let own = rustix::process::geteuid().as_raw();
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !is_file || stat.st_uid != own || stat.st_nlink != 1 || stat.st_mode & 0o077 != 0 {
        let why = std::format!(
            "a segment's lock is a regular file of uid {own}, with one link and mode 600; this one is of uid {}, with {} \
             links and mode {:o}; remove it while no agent runs",
            stat.st_uid,
            stat.st_nlink,
            stat.st_mode & 0o7777
        );
        return Err(SegmentError::untrusted(path, why));
    }
    let identity = Identity::of_file(&file).map_err(|error| SegmentError::io("look at", path, error))?;
    Ok(Some((file, identity)))
}
