//! A writer of another process, stopped in mid-publication: the state that a reader must not notice.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use resolver_core::{Capacity, Handle, OwnedSegment, Reader, Segment};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_parent_process_death_signal, waitpid};

use super::field::publish;
use crate::writer::pin;

/// The option that makes the program this writer; the segment's path comes after it.
pub const OPTION: &str = "--write-to";
/// A table's first head lies behind 64 lines of header (`layout.rs` in resolver-core). [`stop`] checks it.
const HEAD: u64 = 64 * 64;
/// For the whole of it. An odd word is seen in some 2 % of the stops.
const DEADLINE: Duration = Duration::from_secs(20);
const SERVICE: &str = "svc";
const CAPACITY: Capacity = Capacity { services: 1, endpoints: 2, configs: 0, text_bytes: 0 };

/// A writer that stands still in the middle of a publication, until it is dropped.
pub struct Stopped {
    segment: Segment,
    handle: Handle,
    /// How often it was stopped before it stood where it should.
    pub stops: u32,
    // Before the directory: it goes first.
    _child: Killed,
    _directory: tempfile::TempDir,
}

/// Ends with its owner.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Best effort: it ends with this process at the latest.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The writer: publishes to this segment without end.
///
/// # Errors
///
/// Where the segment cannot be made.
pub fn write_to(path: &Path, core: usize) -> Result<std::convert::Infallible, String> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| format!("die with the parent: {e}"))?;
    pin(core);
    let wrong = |e| format!("{}: {e}", path.display());
    let mut owned = OwnedSegment::acquire(path, &CAPACITY).map_err(wrong)?;
    let mut writer = owned.writer().map_err(wrong)?;
    let handle = writer.add(SERVICE).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut n = 0;
    loop {
        n += 1;
        publish(&mut writer, handle, 1, n);
    }
}

impl Stopped {
    /// Starts `program` as the writer, and stops it until the service's head is half written.
    ///
    /// # Errors
    ///
    /// In words: where it cannot be started, or was not met in a publication within 20 s.
    pub fn start(program: &Path, core: usize) -> Result<Stopped, String> {
        let directory =
            tempfile::tempdir_in("/dev/shm").map_err(|e| format!("a directory in /dev/shm: {e}"))?;
        let path = directory.path().join("main.seg");
        let mut command = Command::new(program);
        command.arg("--writer-core").arg(core.to_string()).arg(OPTION).arg(&path).stdin(Stdio::null());
        let mut child = Killed(command.spawn().map_err(|e| format!("the writer cannot be started: {e}"))?);
        let end = Instant::now() + DEADLINE;
        let segment = loop {
            match Segment::open(&path) {
                Ok(segment) if has_published(&segment.reader()) => break segment,
                _ if Instant::now() > end => return Err("the writer made no segment within 20 s".into()),
                _ => {}
            }
            if let Ok(Some(status)) = child.0.try_wait() {
                return Err(format!("the writer ended: {status}"));
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let handle = segment.reader().service(SERVICE).ok_or("the service is gone")?;
        let pid = i32::try_from(child.0.id()).ok().and_then(Pid::from_raw).ok_or("no process id")?;
        let stops = stop(pid, &path, &segment.reader(), handle, end)?;
        Ok(Stopped { segment, handle, stops, _child: child, _directory: directory })
    }

    /// A reader, and the service's handle.
    pub fn reader(&self) -> (Reader<'_>, Handle) {
        (self.segment.reader(), self.handle)
    }
}

/// Stops the process again and again until the head's first word is odd. How often.
fn stop(pid: Pid, path: &PathBuf, reader: &Reader<'_>, handle: Handle, end: Instant) -> Result<u32, String> {
    let file = File::open(path).map_err(|e| format!("the segment's file: {e}"))?;
    let signal = |signal| kill_process(pid, signal).map_err(|e| format!("signal to the writer: {e}"));
    let mut stops = 0;
    while Instant::now() < end {
        stops += 1;
        signal(Signal::STOP)?;
        let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED)
            .map_err(|e| format!("wait for the writer: {e}"))?
            .ok_or("the writer's state is unknown")?;
        if !status.stopped() {
            return Err("the writer ended".into());
        }
        let resolved = reader.resolve(handle).map(|resolved| resolved.to_words());
        let words = resolved.map_err(|e| format!("a reader beside a stopped writer gets {e:?}: a defect"))?;
        let head = head(&file)?;
        if head[0] & 1 == 1 {
            return Ok(stops);
        }
        // At rest the line is what a reader gets; else this is no head, and its first word means nothing.
        if words != head[1..] {
            return Err("the service's head is not where layout.rs had it: correct HEAD".into());
        }
        let epoch = reader.epoch();
        signal(Signal::CONT)?;
        while reader.epoch() == epoch && Instant::now() < end {
            std::thread::yield_now();
        }
    }
    Err(format!("{stops} stops within 20 s, none of them in a publication of the head"))
}

fn has_published(reader: &Reader<'_>) -> bool {
    reader.service(SERVICE).is_some_and(|handle| reader.resolve(handle).is_ok())
}

fn head(file: &File) -> Result<[u64; 8], String> {
    let mut bytes = [0; 64];
    file.read_exact_at(&mut bytes, HEAD).map_err(|e| format!("the service's head: {e}"))?;
    let word = |i: usize| u64::from_ne_bytes(std::array::from_fn(|k| bytes[8 * i + k]));
    Ok(std::array::from_fn(word))
}
