//! Where other processes' reports and an operator's orders arrive: local sockets, made so that only the right ones can send.

use std::io::{Error, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Where the socket is, and who may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Its path, in a directory that only this user may write to; it is made if it is missing.
    pub path: PathBuf,
    /// The id of the group whose members may send. Without one, this user and root may.
    pub group: Option<u32>,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The system refused.
    #[error("local socket: cannot {doing} {}: {error}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: Error,
    },
    /// Somebody else could put a socket of his own there, or has.
    #[error("local socket: {}: {why}", path.display())]
    Untrusted {
        /// What was looked at.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        why: String,
    },
    /// Another process receives there.
    #[error("local socket: another process receives at {}; give each agent a path of its own", .0.display())]
    InUse(PathBuf),
}

/// A socket for datagrams of reports. Its file goes when it is dropped.
#[derive(Debug)]
pub struct ReportSocket {
    socket: Option<UnixDatagram>,
    place: Place,
}

/// A socket that an operator's tools connect to. Its file goes when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    socket: Option<UnixListener>,
    _place: Place,
}

/// A socket's file.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// Device and inode of the file that is ours.
    file: (u64, u64),
}

impl ReportSocket {
    /// Makes the socket: mode 600, or 660 with a group. It is complete before it appears under its name; a socket that
    /// nobody receives at any more gives way to it.
    ///
    /// # Errors
    ///
    /// [`SocketError`]: a directory that others may write to, anything at the path that is no socket (a symbolic link
    /// is not followed), or a socket that is in use. Nothing of it was touched then.
    pub fn bind(options: &SocketOptions) -> Result<Self, SocketError> {
        let (socket, place) = bind(options, SocketType::DGRAM)?;
        Ok(ReportSocket { socket: Some(UnixDatagram::from(socket)), place })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// The socket itself, which does not block; for one receiver.
    pub(super) fn take(&mut self) -> Option<UnixDatagram> {
        self.socket.take()
    }
}

impl ControlSocket {
    /// As [`ReportSocket::bind`], and listens.
    ///
    /// # Errors
    ///
    /// [`SocketError`].
    pub(crate) fn bind(options: &SocketOptions) -> Result<Self, SocketError> {
        let (socket, place) = bind(options, SocketType::STREAM)?;
        Ok(ControlSocket { socket: Some(UnixListener::from(socket)), _place: place })
    }

    /// The socket itself, which does not block; for one server.
    pub(crate) fn take(&mut self) -> Option<UnixListener> {
        self.socket.take()
    }
}

fn bind(options: &SocketOptions, kind: SocketType) -> Result<(OwnedFd, Place), SocketError> {
    let path = &options.path;
    let directory = prepare_directory(path)?;
    refuse_if_taken(path)?;
    let name = format!(".resolver-{}.sock", std::process::id());
    let made = directory.join(name);
    // A process of this id that was killed here; it is not this one, which has made none yet under that name.
    remove(&made);
    let bound = bind_at(&made, options.group, kind).and_then(|socket| {
        rustix::fs::rename(&made, path).map_err(|error| io("move in place", path, error))?;
        let stat = look(path)?.ok_or_else(|| io("find again", path, Errno::NOENT))?;
        Ok((socket, Place { path: path.clone(), file: (stat.st_dev, stat.st_ino) }))
    });
    bound.inspect_err(|_| remove(&made))
}

impl Drop for Place {
    fn drop(&mut self) {
        // Not a successor's.
        if let Ok(Some(stat)) = look(&self.path)
            && (stat.st_dev, stat.st_ino) == self.file
        {
            remove(&self.path);
        }
    }
}

/// A bound socket that only the right ones can send to.
fn bind_at(path: &Path, group: Option<u32>, kind: SocketType) -> Result<OwnedFd, SocketError> {
    let doing = |doing, path| move |error| io(doing, path, error);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)
        .map_err(doing("make a socket for", path))?;
    // Before it has a name: the file that bind makes takes this mode, so there is no moment at which others may send.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600)).map_err(doing("set the mode of", path))?;
    let address = SocketAddrUnix::new(path).map_err(doing("name a socket", path))?;
    rustix::net::bind(&socket, &address).map_err(doing("make", path))?;
    if let Some(group) = group {
        let group = Some(Gid::from_raw(group));
        rustix::fs::chownat(CWD, path, None, group, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(doing("give to its group", path))?;
    }
    // The umask may have taken something away; it must not decide who can report.
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).map_err(doing("set the mode of", path))?;
    if kind == SocketType::STREAM {
        rustix::net::listen(&socket, 16).map_err(doing("listen at", path))?;
    }
    Ok(socket)
}

/// Makes the directory if it is missing (mode 750), and checks that nobody else may plant a socket there: the same
/// rule as the segment's.
fn prepare_directory(path: &Path) -> Result<PathBuf, SocketError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    match rustix::fs::mkdir(&directory, Mode::from_raw_mode(0o750)) {
        Ok(()) => rustix::fs::chmod(&directory, Mode::from_raw_mode(0o750))
            .map_err(|error| io("open to senders", &directory, error))?,
        Err(Errno::EXIST) => {}
        Err(error) => return Err(io("make the directory", &directory, error)),
    }
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&directory, flags, Mode::empty())
        .map_err(|error| io("open the directory", &directory, error))?;
    let stat = rustix::fs::fstat(&opened).map_err(|error| io("look at", &directory, error))?;
    let own = rustix::process::geteuid().as_raw();
    if (stat.st_uid != own && stat.st_uid != 0) || stat.st_mode & 0o022 != 0 {
        let why = format!(
            "its owner is uid {} and its mode {:o}; it must be a directory of uid {own} that only it may write to",
            stat.st_uid,
            stat.st_mode & 0o7777
        );
        return Err(SocketError::Untrusted { path: directory, why });
    }
    Ok(directory)
}

/// Only what a receiver left behind that is gone may be replaced.
fn refuse_if_taken(path: &Path) -> Result<(), SocketError> {
    let Some(stat) = look(path)? else { return Ok(()) };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        let why = "it is no socket, and stays; remove it, or name another path".to_owned();
        return Err(SocketError::Untrusted { path: path.to_owned(), why });
    }
    let own = rustix::process::geteuid().as_raw();
    if stat.st_uid != own {
        let uid = stat.st_uid;
        let why = format!("its owner is uid {uid}, and this one's is {own}; remove it, or name another path");
        return Err(SocketError::Untrusted { path: path.to_owned(), why });
    }
    match UnixDatagram::unbound().and_then(|probe| probe.connect(path)) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(SocketError::Io { doing: "look who receives at", path: path.to_owned(), error })
        }
        // A socket of another kind is somebody's too.
        _ => Err(SocketError::InUse(path.to_owned())),
    }
}

/// What is at a path itself, no link followed.
fn look(path: &Path) -> Result<Option<Stat>, SocketError> {
    match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(io("look at", path, error)),
    }
}

/// Removes a file if it is there.
fn remove(path: &Path) {
    if let Err(error) = rustix::fs::unlink(path)
        && error != Errno::NOENT
    {
        tracing::warn!(path = %path.display(), "cannot be removed: {error}");
    }
}

fn io(doing: &'static str, path: &Path, error: Errno) -> SocketError {
    SocketError::Io { doing, path: path.to_owned(), error: error.into() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn options(path: PathBuf) -> SocketOptions {
        SocketOptions { path, group: None }
    }

    fn refused(path: &Path) -> SocketError {
        ReportSocket::bind(&options(path.to_owned())).expect_err("refused")
    }

    #[test]
    fn only_the_user_may_send_unless_a_group_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("below").join("report.sock");
        let mode = || std::fs::symlink_metadata(&path).expect("the socket").permissions().mode() & 0o7777;
        let socket = ReportSocket::bind(&options(path.clone())).expect("bound");
        assert_eq!((mode(), socket.path()), (0o600, path.as_path()));
        drop(socket);
        assert!(!path.exists(), "its file goes with it");
        let gid = rustix::process::getegid().as_raw();
        let _socket =
            ReportSocket::bind(&SocketOptions { path: path.clone(), group: Some(gid) }).expect("bound");
        assert_eq!((mode(), std::fs::metadata(&path).expect("the socket").gid()), (0o660, gid));
        let left = std::fs::read_dir(directory.path().join("below")).expect("a directory").count();
        assert_eq!(left, 1, "nothing is left beside it");
    }

    #[test]
    fn a_stale_socket_gives_way_and_one_in_use_does_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("report.sock");
        drop(UnixDatagram::bind(&path).expect("bound"));
        assert!(path.exists(), "it was left behind");
        let first = ReportSocket::bind(&options(path.clone())).expect("bound");
        assert!(matches!(refused(&path), SocketError::InUse(_)));
        drop(first);
        assert!(!path.exists());
    }

    #[test]
    fn a_successors_socket_is_not_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("report.sock");
        let mut first = ReportSocket::bind(&options(path.clone())).expect("bound");
        drop(first.take());
        let _second = ReportSocket::bind(&options(path.clone())).expect("nobody receives at the first");
        drop(first);
        assert!(path.exists());
    }

    #[test]
    fn what_is_no_socket_stays_and_no_link_is_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("report.sock");
        let target = directory.path().join("target");
        std::fs::write(&target, "mine").expect("a file");
        std::fs::copy(&target, &path).expect("a file");
        assert!(refused(&path).to_string().contains("no socket"));
        std::fs::remove_file(&path).expect("there");
        symlink(&target, &path).expect("a link");
        assert!(refused(&path).to_string().contains("no socket"));
        assert_eq!(std::fs::read_to_string(&target).expect("there"), "mine");
        assert!(std::fs::symlink_metadata(&path).expect("there").is_symlink());
        // Also one that leads to a socket that nobody receives at.
        std::fs::remove_file(&target).expect("there");
        drop(UnixDatagram::bind(&target).expect("bound"));
        assert!(refused(&path).to_string().contains("no socket"));
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).expect("ours");
        let path = directory.path().join("report.sock");
        assert!(refused(&path).to_string().contains("only it may write to"));
        assert!(!path.exists());
    }
}
