//! A writer process that is stopped in the middle of a publication, and what reads cost meanwhile.
//!
//! The writer is this program again, publishing to one service of a segment without pause. It is stopped and sent on until
//! the first word of that service's line, as the file has it, is odd: then a publication is half done, and stays so.

use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use resolver_core::{Capacity, Endpoint, Handle, OwnedSegment, Reader, Resolved, Standing};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tempfile::TempDir;

/// The row of reads through a read-only mapping.
pub const MAPPED: &str = "resolve, read-only mapping";
/// The row of reads of the service whose publication is half done.
pub const STOPPED: &str = "resolve, writer stopped";
/// The argument that makes this program the writer.
pub const WRITER: &str = "--publish-without-pause";

/// Services in the segment. The one with index [`WRITTEN`] is published, the others rest.
pub const SERVICES: u32 = 16;
/// The service that is written.
pub const WRITTEN: usize = 7;
/// How long a writer may take to be caught: the line is half written for a few of a publication's 700 instructions.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of a table's header, by `LAYOUT_VERSION` 1; then the heads' lines, in the order of their slots.
const HEADER_LINES: u64 = 64;

/// A segment of [`SERVICES`] services, in a directory that goes with it.
pub struct Place {
    directory: TempDir,
}

impl Place {
    /// In memory, not on a disk.
    ///
    /// # Errors
    ///
    /// Where no directory can be made.
    pub fn new() -> io::Result<Self> {
        Ok(Place { directory: tempfile::Builder::new().prefix("resolver-benches-").tempdir_in("/dev/shm")? })
    }

    /// Of the segment.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("main.seg")
    }
}

/// The writer's side: takes the segment over, says `+` and publishes until it is killed.
///
/// # Errors
///
/// Where the segment cannot be had.
pub fn publish_without_pause(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    crate::writer::pin(1);
    let capacity = Capacity { services: SERVICES, endpoints: 2 * SERVICES, configs: 0, text_bytes: 0 };
    let mut owned = OwnedSegment::acquire(path, &capacity)?;
    let mut services = crate::Services::fill(owned.writer()?, SERVICES);
    eprint!("+");
    for n in 1.. {
        let set = [Endpoint::new(address(n)).with_id(n).with_tags(!n)];
        services.writer.publish(services.handles[WRITTEN], &set, Standing::FRESH, b"")?;
    }
    Ok(())
}

/// Everything in a record says `n`.
fn address(n: u64) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from_bits(n as u32), n as u16))
}

/// Whether a record is one publication's.
fn is_whole(resolved: &Resolved) -> bool {
    let n = resolved.id();
    resolved.address().socket_addr() == address(n) && resolved.tags() == !n
}

/// A writer process that publishes without pause, or is stopped.
pub struct Publisher {
    child: Child,
    pid: Pid,
    file: File,
    /// Times that it was stopped.
    pub stops: u32,
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Publisher {
    /// Starts this program as the writer of a segment.
    ///
    /// # Errors
    ///
    /// Where it does not start, or does not get the segment.
    pub fn start(path: &Path) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(WRITER).arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let mut said = [0];
        let heard = child.stderr.as_mut().map_or(Ok(()), |stderr| stderr.read_exact(&mut said));
        if heard.is_err() || said != *b"+" {
            let _ = child.kill();
            let _ = child.wait();
            return Err(io::Error::other(format!("no writer got the segment {}", path.display())));
        }
        Ok(Publisher { child, pid, file: File::open(path)?, stops: 0 })
    }

    /// Stops it, and sends it on, until the line of `handle` is half written. It stays stopped.
    ///
    /// # Errors
    ///
    /// Where it dies, or is not caught within a minute.
    pub fn stop_within_a_publication(&mut self, handle: Handle) -> io::Result<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            kill_process(self.pid, Signal::STOP)?;
            self.stops += 1;
            match waitpid(Some(self.pid), WaitOptions::UNTRACED)? {
                Some((_, status)) if status.stopped() => {}
                _ => return Err(io::Error::other("the writer died")),
            }
            if self.seq(handle)? & 1 == 1 {
                return Ok(());
            }
            // It has to get somewhere, or it would be stopped at the same place again.
            let before = self.seq(handle)?;
            self.go_on()?;
            while self.seq(handle)? == before && Instant::now() < end {}
        }
        Err(io::Error::other(format!("{} stops, and none within a publication", self.stops)))
    }

    /// Sends it on.
    ///
    /// # Errors
    ///
    /// Where it is dead.
    pub fn go_on(&self) -> io::Result<()> {
        Ok(kill_process(self.pid, Signal::CONT)?)
    }

    /// The first word of a head's line, as the file has it: odd while it is being written.
    fn seq(&self, handle: Handle) -> io::Result<u64> {
        // A handle's low half is where its line begins.
        let offset = u64::from(handle.to_bits() as u32);
        let mut word = [0; 8];
        self.file.read_exact_at(&mut word, HEADER_LINES * 64 + offset)?;
        Ok(u64::from_ne_bytes(word))
    }
}

/// Reads the half-written service so often: every read gives an answer, and that is one publication's. The answers.
///
/// # Errors
///
/// The first answer that is none, or torn, in words.
pub fn every_read_is_whole(reader: &Reader<'_>, handle: Handle, reads: u64) -> Result<u64, String> {
    for read in 0..reads {
        match reader.resolve(handle) {
            Ok(resolved) if is_whole(&resolved) => {}
            Ok(resolved) => return Err(format!("read {read} is torn: {resolved:?}")),
            Err(error) => return Err(format!("read {read} gave no answer: {error}")),
        }
    }
    Ok(reads)
}
