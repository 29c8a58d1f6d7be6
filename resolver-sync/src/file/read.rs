//! Reading a file that others write.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// The longest file that is read, in bytes; some 100,000 instances.
const MAX: u64 = 16 << 20;

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

/// The file's stamp now; `None` where there is no such file or no way to it.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    std::fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata))
}

/// The whole file, and its stamp from before it was read.
pub(super) fn read(path: &Path) -> Result<(Vec<u8>, Stamp), String> {
    let words = |error: io::Error| format!("cannot be read: {error}");
    // Not to block for ever on a pipe that was put in the file's place.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| words(error.into()))?;
    let file = File::from(file);
    let metadata = file.metadata().map_err(words)?;
    if !metadata.is_file() {
        return Err("is not a regular file".into());
    }
    let mut bytes = Vec::new();
    file.take(MAX + 1).read_to_end(&mut bytes).map_err(words)?;
    if bytes.len() as u64 > MAX {
        return Err(format!("is longer than the limit of {MAX} bytes"));
    }
    Ok((bytes, Stamp::of(&metadata)))
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
