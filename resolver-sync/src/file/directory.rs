//! Waiting for a file to change. The directory is watched, not the file: a file that is renamed over is another file.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Seen;

/// A file's directory.
pub(super) struct Directory {
    path: PathBuf,
    file: OsString,
    /// `None` where the system gives no more of them: then the timed look is all there is.
    inotify: Option<AsyncFd<OwnedFd>>,
}

/// For events beside the file, a pause, so that a busy directory is not a busy loop.
const PAUSE: Duration = Duration::from_millis(50);

impl Directory {
    pub(super) fn new(file: &Path) -> Self {
        let inotify = events().inspect_err(|error| {
            tracing::warn!(file = %file.display(), %error, "no inotify; changes are seen by a timed look only");
        });
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = Directory {
            path: parent.unwrap_or(Path::new(".")).into(),
            file: file.file_name().unwrap_or_default().into(),
            inotify: inotify.ok(),
        };
        directory.watch();
        directory
    }

    /// Waits for a change, but no longer than this.
    pub(super) async fn wait(&self, most: Duration) -> Seen {
        tokio::time::timeout(most, self.event()).await.unwrap_or_else(|_| {
            // The directory itself may have been replaced; on the same one this changes nothing.
            self.watch();
            Seen::Nothing
        })
    }

    fn watch(&self) {
        let Some(inotify) = &self.inotify else { return };
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        // A directory that is not there is told of by the file that cannot be read.
        let _ = inotify::add_watch(inotify, &self.path, flags);
    }

    async fn event(&self) -> Seen {
        let Some(inotify) = &self.inotify else { return std::future::pending().await };
        match self.drain(inotify).await {
            Seen::Written => Seen::Written,
            Seen::Nothing => {
                tokio::time::sleep(PAUSE).await;
                Seen::Nothing
            }
        }
    }

    /// Takes all the events there are, at least one.
    async fn drain(&self, inotify: &AsyncFd<OwnedFd>) -> Seen {
        let mut seen = None;
        let read = inotify.async_io(Interest::READABLE, |fd| {
            let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
            let mut events = inotify::Reader::new(fd, &mut buffer);
            loop {
                match events.next() {
                    Ok(event) => {
                        let ours =
                            event.file_name().is_some_and(|name| name.to_bytes() == self.file.as_bytes());
                        let lost = event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                        if ours || lost {
                            seen = Some(Seen::Written);
                        } else {
                            seen.get_or_insert(Seen::Nothing);
                        }
                    }
                    Err(Errno::INTR) => {}
                    Err(Errno::WOULDBLOCK) if seen.is_some() => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
        });
        match read.await {
            Ok(()) => seen.unwrap_or(Seen::Nothing),
            Err(error) => {
                tracing::warn!(directory = %self.path.display(), %error, "inotify failed; a timed look remains");
                std::future::pending().await
            }
        }
    }
}

#[expect(deprecated, reason = "sound for an OwnedFd; what replaces it asks the same of any type, by unsafe")]
fn events() -> std::io::Result<AsyncFd<OwnedFd>> {
    let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    AsyncFd::with_interest(fd, Interest::READABLE)
}
