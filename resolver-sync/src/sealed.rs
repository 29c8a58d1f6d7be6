//! Files of the agent's own that must be whole or not be: written beside their place and moved there, read only with their
//! checksum, and only if nobody else can have written them.
//!
//! ```text
//! resolver KIND VERSION sha256 HEX bytes LENGTH\n
//! JSON
//! ```

use std::fs::File;
use std::io::{Error, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

/// Why a file of the agent's own was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedError {
    /// The system refused.
    #[error("cannot {doing} {}: {error}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: Error,
    },
    /// Somebody else can have written it.
    #[error("{} is not to be trusted: {why}", path.display())]
    Untrusted {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        why: String,
    },
    /// It is not what was written.
    #[error("{} is refused: {why}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl SealedError {
    pub(crate) fn refused(path: &Path, why: impl Into<String>) -> Self {
        SealedError::Refused { path: path.to_owned(), why: why.into() }
    }

    fn untrusted(path: &Path, why: impl Into<String>) -> Self {
        SealedError::Untrusted { path: path.to_owned(), why: why.into() }
    }
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(Errno) -> SealedError {
    move |error| SealedError::Io { doing, path: path.to_owned(), error: error.into() }
}

/// A directory that this process has for itself, until it is dropped: two that write there would write over each other.
#[derive(Debug)]
pub(crate) struct Held {
    _lock: File,
}

impl Held {
    /// Takes the directory, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// [`SealedError::Untrusted`] where another process has it.
    pub(crate) fn take(directory: &Path) -> Result<Self, SealedError> {
        let path = directory.join("lock");
        prepare_directory(&path)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let lock =
            rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)).map_err(unopened("open", &path))?;
        trust(&path, &rustix::fs::fstat(&lock).map_err(io("look at", &path))?)?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Held { _lock: File::from(lock) }),
            Err(Errno::WOULDBLOCK) => {
                let why = "another agent keeps its state there; give each a [state] directory of its own";
                Err(SealedError::untrusted(directory, why))
            }
            Err(error) => Err(io("lock", &path)(error)),
        }
    }
}

/// A file in a directory of the agent's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    path: PathBuf,
    kind: &'static str,
    version: u32,
    /// An older version that is read, too.
    older: Option<u32>,
}

/// The largest file that is read: a hundred times what a large host publishes.
const LARGEST: u64 = 256 << 20;

impl Sealed {
    pub(crate) fn new(path: PathBuf, kind: &'static str, version: u32) -> Self {
        Sealed { path, kind, version, older: None }
    }

    /// The same, which also reads files of an older version.
    pub(crate) fn or_version(self, older: u32) -> Self {
        Sealed { older: Some(older), ..self }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The body as it was written, and its version; `None` where there is no file.
    ///
    /// # Errors
    ///
    /// [`SealedError`] for anything that is not exactly that.
    pub(crate) fn read(&self) -> Result<Option<(u32, Vec<u8>)>, SealedError> {
        let path = &self.path;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(unopened("open", path)(error)),
        };
        let stat = rustix::fs::fstat(&file).map_err(io("look at", path))?;
        trust(path, &stat)?;
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| SealedError::Io {
            doing: "read",
            path: path.clone(),
            error,
        })?;
        self.open(&bytes).map(Some)
    }

    /// The version and the body of these bytes.
    fn open(&self, bytes: &[u8]) -> Result<(u32, Vec<u8>), SealedError> {
        let refuse = |why: &str| Err(SealedError::refused(&self.path, why));
        if bytes.len() as u64 > LARGEST {
            return refuse("it is larger than anything that was written there");
        }
        let Some(end) = bytes.iter().take(256).position(|byte| *byte == b'\n') else {
            return refuse("it is cut short, or no file of this agent: it has no first line");
        };
        let Ok(first) = std::str::from_utf8(&bytes[..end]) else {
            return refuse("its first line is damaged");
        };
        let body = &bytes[end + 1..];
        let ["resolver", kind, version, "sha256", sum, "bytes", length] =
            first.split(' ').collect::<Vec<_>>()[..]
        else {
            return refuse("its first line is damaged, or it is no file of this agent");
        };
        if kind != self.kind {
            return refuse(&format!("it is a file of kind {kind:?}, and should be {:?}", self.kind));
        }
        let known = [self.older, Some(self.version)].into_iter().flatten();
        let Some(version) = known.clone().find(|known| known.to_string() == version) else {
            let known = known.map(|known| known.to_string()).collect::<Vec<_>>().join(" and ");
            return refuse(&format!("it has version {version}; this agent reads version {known}"));
        };
        if length != body.len().to_string() {
            return refuse(&format!(
                "it should have {length} bytes after its first line, and has {}",
                body.len()
            ));
        }
        if sum != hex(&Sha256::digest(body)) {
            return refuse("its checksum does not match: it is damaged");
        }
        Ok((version, body.to_vec()))
    }

    /// Puts a body in place: whoever looks finds the old file or the new one, whole, also after a power failure.
    ///
    /// # Errors
    ///
    /// [`SealedError`]; the old file stands. What is there and cannot be an old one, or is another user's, stands too.
    pub(crate) fn write(&self, body: &[u8]) -> Result<(), SealedError> {
        let directory = prepare_directory(&self.path)?;
        match rustix::fs::statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => own_file(&self.path, &stat)?,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(io("look at", &self.path)(error)),
        }
        let name = format!(".new-{}-{}", self.kind, std::process::id());
        let new = directory.join(name);
        // A process of this id that was killed here; it is not this one, which writes one at a time.
        let _ = rustix::fs::unlink(&new);
        let written = self.write_new(&new, body).and_then(|()| {
            rustix::fs::rename(&new, &self.path).map_err(io("move in place", &self.path))?;
            let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened =
                rustix::fs::open(&directory, flags, Mode::empty()).map_err(io("open", &directory))?;
            rustix::fs::fsync(&opened).map_err(io("make durable", &directory))
        });
        written.inspect_err(|_| {
            // What was not moved in place is of no use.
            let _ = rustix::fs::unlink(&new);
        })
    }

    fn write_new(&self, new: &Path, body: &[u8]) -> Result<(), SealedError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(new, flags, Mode::from_raw_mode(0o600)).map_err(io("create", new))?;
        let mut file = File::from(file);
        let sum = hex(&Sha256::digest(body));
        let first = format!("resolver {} {} sha256 {sum} bytes {}\n", self.kind, self.version, body.len());
        let written = file.write_all(first.as_bytes()).and_then(|()| file.write_all(body));
        written.and_then(|()| file.sync_all()).map_err(|error| SealedError::Io {
            doing: "write",
            path: new.to_owned(),
            error,
        })
    }

    /// Moves a file that was refused out of the way, so that nothing is written over what somebody may want to look at. What
    /// is not this user's is left where it is.
    pub(crate) fn set_aside(&self) -> Option<PathBuf> {
        let stat = rustix::fs::statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return None;
        }
        let mut aside = self.path.clone().into_os_string();
        aside.push(".refused");
        rustix::fs::rename(&self.path, &aside).ok()?;
        Some(aside.into())
    }
}

/// Whether nobody else can have written a file.
fn trust(path: &Path, stat: &Stat) -> Result<(), SealedError> {
    own_file(path, stat)?;
    let mode = stat.st_mode & 0o7777;
    let why = match () {
        () if mode & 0o077 != 0 => {
            format!("its mode is {mode:03o}, and 600 is right: something has changed it; {LOOK}")
        }
        () if stat.st_nlink != 1 => {
            format!("it has {} links, and one is right: it has a second name; {LOOK}", stat.st_nlink)
        }
        () => return Ok(()),
    };
    Err(SealedError::untrusted(path, why))
}

/// Whether it is a file, and this user's.
fn own_file(path: &Path, stat: &Stat) -> Result<(), SealedError> {
    let own = rustix::process::geteuid().as_raw();
    let why = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if stat.st_uid == own => return Ok(()),
        FileType::RegularFile => {
            format!("its owner is uid {}, and this agent's is {own}; {LOOK}", stat.st_uid)
        }
        FileType::Symlink => format!("it is a symbolic link, which is not followed; {LOOK}"),
        _ => format!("it is not a regular file; {LOOK}"),
    };
    Err(SealedError::untrusted(path, why))
}

/// What to do about a file that should not be there.
const LOOK: &str = "look at it, and remove it";

/// Why a file or directory was not opened, where links are not followed.
fn unopened(doing: &'static str, path: &Path) -> impl FnOnce(Errno) -> SealedError {
    move |error| match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
            SealedError::untrusted(path, format!("it is a symbolic link, which is not followed; {LOOK}"))
        }
        _ => io(doing, path)(error),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes the directory if it is missing (mode 700), and checks that nobody else may write to it.
pub(crate) fn prepare_directory(path: &Path) -> Result<PathBuf, SealedError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    match rustix::fs::mkdir(&directory, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(io("make the directory", &directory)(error)),
    }
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&directory, flags, Mode::empty())
        .map_err(unopened("open the directory", &directory))?;
    let stat = rustix::fs::fstat(&opened).map_err(io("look at", &directory))?;
    let own = rustix::process::geteuid().as_raw();
    if (stat.st_uid != own && stat.st_uid != 0) || stat.st_mode & 0o022 != 0 {
        let why = format!(
            "its owner is uid {} and its mode {:o}; it must be a directory of uid {own} that only it may write to: make it one, or name another",
            stat.st_uid,
            stat.st_mode & 0o7777
        );
        return Err(SealedError::untrusted(&directory, why));
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn sealed(directory: &tempfile::TempDir) -> Sealed {
        Sealed::new(directory.path().join("state").join("last-good"), "last-good", 1)
    }

    fn refused(file: &Sealed) -> String {
        file.read().expect_err("refused").to_string()
    }

    #[test]
    fn what_was_written_is_read_and_is_nobody_elses() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = sealed(&directory);
        assert_eq!(file.read().expect("no file is no error"), None);
        for body in [&b"{}"[..], b"", b"a\nb"] {
            file.write(body).expect("written");
            assert_eq!(file.read().expect("read"), Some((1, body.to_vec())));
        }
        let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(file.path()), mode(&directory.path().join("state"))), (0o600, 0o700));
        let left = std::fs::read_dir(directory.path().join("state")).expect("there").count();
        assert_eq!(left, 1, "nothing is left beside it");
    }

    #[test]
    fn each_byte_counts() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = sealed(&directory);
        file.write(br#"{"services":[]}"#).expect("written");
        let good = std::fs::read(file.path()).expect("there");
        for place in 0..good.len() {
            let mut bytes = good.clone();
            bytes[place] ^= 1;
            std::fs::write(file.path(), &bytes).expect("written");
            assert!(matches!(file.read(), Err(SealedError::Refused { .. })), "byte {place}");
            std::fs::write(file.path(), &good[..place]).expect("written");
            assert!(matches!(file.read(), Err(SealedError::Refused { .. })), "cut at {place}");
        }
        std::fs::write(file.path(), [&good[..], b"x"].concat()).expect("written");
        assert!(refused(&file).contains("and has 16"), "{}", refused(&file));
        let other = String::from_utf8(good).expect("text").replacen("last-good 1", "last-good 2", 1);
        std::fs::write(file.path(), other).expect("written");
        assert!(refused(&file).contains("version 2; this agent reads version 1"), "{}", refused(&file));
        let newer = Sealed::new(file.path().to_owned(), "last-good", 3).or_version(2);
        assert_eq!(newer.read().expect("an older one is read").map(|(version, _)| version), Some(2));
        let newest = Sealed::new(file.path().to_owned(), "last-good", 4).or_version(3);
        assert!(refused(&newest).contains("version 2; this agent reads version 3 and 4"));
    }

    #[test]
    fn a_directory_is_one_agents() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = directory.path().join("state");
        let held = Held::take(&state).expect("nobody has it");
        assert!(Held::take(&state).expect_err("taken").to_string().contains("another agent"));
        drop(held);
        Held::take(&state).expect("it is free again");
    }

    #[test]
    fn what_others_can_have_written_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = sealed(&directory);
        file.write(b"{}").expect("written");
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o644)).expect("ours");
        assert!(refused(&file).contains("600 is right"));
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o600)).expect("ours");
        std::fs::hard_link(file.path(), directory.path().join("second")).expect("a link");
        assert!(refused(&file).contains("2 links"));
        std::fs::remove_file(file.path()).expect("there");
        symlink(directory.path().join("second"), file.path()).expect("a link");
        assert!(refused(&file).contains("symbolic link"));
        std::fs::set_permissions(directory.path().join("state"), PermissionsExt::from_mode(0o770))
            .expect("ours");
        assert!(matches!(file.write(b"{}"), Err(SealedError::Untrusted { .. })));
    }
}
