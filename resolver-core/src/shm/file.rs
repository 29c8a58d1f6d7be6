//! The file behind a segment: opened without trust, created whole.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};

use super::SegmentError;

/// What the names of new files begin with.
const NEW: &str = ".new-";

/// Whose segments a reader trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This process's user, or root.
    SelfOrRoot,
    /// This user id and no other.
    Uid(u32),
}

/// How a segment is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Which file a path led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    pub(super) size: usize,
}

impl Identity {
    fn of(stat: &Stat) -> Self {
        Identity { device: stat.st_dev, inode: stat.st_ino, size: usize::try_from(stat.st_size).unwrap_or(0) }
    }

    pub(super) fn of_file(file: &File) -> io::Result<Self> {
        Ok(Identity::of(&rustix::fs::fstat(file)?))
    }

    /// Of the file that has this name. One that was removed is none, though a bind mount of it still shows it here.
    pub(super) fn of_path(path: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
        if stat.st_nlink == 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Identity::of(&stat))
    }

    pub(super) fn same_file(&self, other: &Identity) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// Opens a segment's file, following no link and waiting for no FIFO, and checks whose it is before a byte is read.
pub(super) fn open(path: &Path, owner: Owner, access: Access) -> Result<(File, Identity), SegmentError> {
    let mode = match access {
        Access::Read => OFlags::RDONLY,
        Access::Write => OFlags::RDWR,
    };
    let flags = mode | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::LOOP) => {
            return Err(SegmentError::untrusted(path, "it is a symbolic link; name the file itself"));
        }
        Err(error) => return Err(SegmentError::io("open", path, error)),
    };
    let stat = rustix::fs::fstat(&file).map_err(|error| SegmentError::io("look at", path, error))?;
    check(path, &stat, owner)?;
    Ok((file, Identity::of(&stat)))
}

fn check(path: &Path, stat: &Stat, owner: Owner) -> Result<(), SegmentError> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(SegmentError::untrusted(path, "it is not a regular file"));
    }
    let own = rustix::process::geteuid().as_raw();
    let trusted = match owner {
        Owner::SelfOrRoot => stat.st_uid == own || stat.st_uid == 0,
        Owner::Uid(uid) => stat.st_uid == uid,
    };
    if !trusted {
        let why = std::format!(
            "its owner is uid {}, and only {owner:?} (this is uid {own}) is accepted",
            stat.st_uid
        );
        return Err(SegmentError::untrusted(path, why));
    }
    if stat.st_mode & 0o022 != 0 {
        let why = std::format!("its mode {:o} lets others write to it; 640 is right", stat.st_mode & 0o7777);
        return Err(SegmentError::untrusted(path, why));
    }
    if stat.st_nlink != 1 {
        let why = std::format!("it has {} links; a segment has one", stat.st_nlink);
        return Err(SegmentError::untrusted(path, why));
    }
    Ok(())
}

/// Makes the directory if it is missing (mode 750), and checks that nobody else may plant files there.
pub(super) fn prepare_directory(path: &Path) -> Result<PathBuf, SegmentError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    match rustix::fs::mkdir(&directory, Mode::from_raw_mode(0o750)) {
        // As below: the umask must not decide who can resolve.
        Ok(()) => rustix::fs::chmod(&directory, Mode::from_raw_mode(0o750))
            .map_err(|error| SegmentError::io("open to readers", &directory, error))?,
        Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(SegmentError::io("make the directory", &directory, error)),
    }
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&directory, flags, Mode::empty())
        .map_err(|error| SegmentError::io("open the directory", &directory, error))?;
    let stat = rustix::fs::fstat(&opened).map_err(|error| SegmentError::io("look at", &directory, error))?;
    let own = rustix::process::geteuid().as_raw();
    if (stat.st_uid != own && stat.st_uid != 0) || stat.st_mode & 0o022 != 0 {
        let why = std::format!(
            "its owner is uid {} and its mode {:o}; a segment wants a directory of uid {own} that only it may write to",
            stat.st_uid,
            stat.st_mode & 0o7777
        );
        return Err(SegmentError::untrusted(&directory, why));
    }
    Ok(directory)
}

/// A new file under a name that nobody opens, with all its room allocated.
pub(super) fn create(directory: &Path, size: usize) -> Result<(File, PathBuf), SegmentError> {
    let path = directory.join(std::format!("{NEW}{}-{:016x}", std::process::id(), random()?));
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o640))
        .map_err(|error| SegmentError::io("create", &path, error))?;
    // The umask may have taken the group's right to read; it must not decide who can resolve.
    let allocated = rustix::fs::fchmod(&file, Mode::from_raw_mode(0o640))
        .and_then(|()| rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size as u64));
    if let Err(error) = allocated {
        remove(&path);
        return Err(SegmentError::io("allocate the whole segment in", &path, error));
    }
    Ok((File::from(file), path))
}

/// Removes new files whose makers died before they had a place. One that is being made is locked, or a moment away from
/// it: then its maker finds it gone, and begins again.
pub(super) fn sweep(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_new = entry.file_name().to_str().is_some_and(|name| name.starts_with(NEW));
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        if is_new
            && let Ok(file) = rustix::fs::open(&path, flags, Mode::empty())
            && rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            remove(&path);
        }
    }
}

/// Gives a new file its place: over what is there, or only where nothing is. Whether it got it.
pub(super) fn place(new: &Path, path: &Path, replace: bool) -> Result<bool, SegmentError> {
    let flags = if replace { rustix::fs::RenameFlags::empty() } else { rustix::fs::RenameFlags::NOREPLACE };
    match rustix::fs::renameat_with(CWD, new, CWD, path, flags) {
        Ok(()) => Ok(true),
        // Somebody was quicker, or swept it away.
        Err(rustix::io::Errno::EXIST | rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(SegmentError::io("put the new segment in place at", path, error)),
    }
}

pub(super) fn remove(path: &Path) {
    // Best effort: a file that nobody opens is left over at worst.
    let _ = rustix::fs::unlink(path);
}

/// Whether somebody holds the writer's lock on this very file.
pub(super) fn is_locked(path: &Path, identity: &Identity) -> Result<bool, SegmentError> {
    let (file, now) = open(path, Owner::Uid(owner_of(path)?), Access::Read)?;
    if !now.same_file(identity) {
        return Ok(false);
    }
    match rustix::fs::flock(file.as_fd(), rustix::fs::FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(SegmentError::io("ask for the lock of", path, error)),
    }
}

fn owner_of(path: &Path) -> Result<u32, SegmentError> {
    let stat = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| SegmentError::io("look at", path, error))?;
    Ok(stat.st_uid)
}

pub(super) fn random() -> Result<u64, SegmentError> {
    getrandom::u64().map_err(|_| {
        let error = io::Error::other("the system gave no random number");
        SegmentError::io("name a new segment by", Path::new("/dev/urandom"), error)
    })
}
