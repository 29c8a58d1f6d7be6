//! Sends a process's reports to the agent, on a thread of its own.

use std::io::{Error, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::{MAX_DATAGRAM, MAX_REPORTS, Report, Reports, encode};
use crate::pin::{PinError, avoid};

/// How long a report may wait for others to go with it.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the agent may keep a datagram waiting; then it is dropped.
const PATIENCE: Duration = Duration::from_millis(100);

/// Why reports cannot be forwarded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The thread may only run where it must not.
    #[error("the forwarding thread: {0}; start it from a thread that is not pinned")]
    Pin(#[from] PinError),
    /// The thread could not be started.
    #[error("the forwarding thread cannot be started: {0}")]
    Thread(#[from] Error),
}

/// Forwards reports until it is dropped; then it sends what the queue still has, and ends.
///
/// The agent need not be there: what cannot be sent is dropped and counted ([`Reports::dropped`]), and the next datagram
/// tries again.
#[derive(Debug)]
pub struct ReportForwarder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ReportForwarder {
    /// Starts a thread that sends to the agent's `report_socket`, and stays away from `reader_cores`. It inherits the
    /// caller's cores: start it before the caller is pinned.
    ///
    /// # Errors
    ///
    /// [`ForwardError`].
    ///
    /// # Examples
    ///
    /// ```
    /// use resolver_sync::report::{ReportForwarder, queue};
    ///
    /// let (reporter, reports) = queue(4096);
    /// let forwarder = ReportForwarder::start("/run/resolver/report.sock", reports, &[])?;
    /// // `reporter` goes to the hot threads.
    /// # drop((reporter, forwarder));
    /// # Ok::<(), resolver_sync::report::ForwardError>(())
    /// ```
    pub fn start(
        path: impl Into<PathBuf>,
        reports: Reports,
        reader_cores: &[usize],
    ) -> Result<Self, ForwardError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (path, cores, stopped) = (path.into(), reader_cores.to_vec(), Arc::clone(&stop));
        let (tell, told) = mpsc::channel();
        let work = move || {
            let placed = if cores.is_empty() { Ok(()) } else { avoid(&cores) };
            let stays = placed.is_ok();
            // Whoever started it is waiting for this.
            let _ = tell.send(placed);
            if stays {
                Forwarding { path, reports, socket: None, failed: false }.run(&stopped);
            }
        };
        let thread = std::thread::Builder::new().name("report-forwarder".into()).spawn(work)?;
        told.recv().unwrap_or(Ok(()))?;
        Ok(ReportForwarder { stop, thread: Some(thread) })
    }
}

impl Drop for ReportForwarder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It does not panic; and if it did, dropping is no place to go on with it.
            let _ = thread.join();
        }
    }
}

struct Forwarding {
    path: PathBuf,
    reports: Reports,
    socket: Option<UnixDatagram>,
    /// Whether the last datagram could not be sent; so that it is said once.
    failed: bool,
}

impl Forwarding {
    fn run(mut self, stop: &AtomicBool) {
        let mut batch: Vec<Report> = Vec::with_capacity(MAX_REPORTS);
        let mut datagram = Vec::with_capacity(MAX_DATAGRAM);
        loop {
            // Read before the queue: what was reported before the stop is sent.
            let stopped = stop.load(Ordering::Relaxed);
            batch.clear();
            batch.extend(std::iter::from_fn(|| self.reports.take()).take(MAX_REPORTS));
            if batch.is_empty() {
                if stopped {
                    return;
                }
                std::thread::park_timeout(PAUSE);
                continue;
            }
            encode(&batch, &mut datagram);
            match self.send(&datagram) {
                Ok(()) => self.failed = false,
                Err(error) => {
                    batch.iter().for_each(|_| self.reports.drop_one());
                    self.socket = None;
                    if !std::mem::replace(&mut self.failed, true) {
                        tracing::warn!(path = %self.path.display(), "reports do not reach the agent, and are dropped: {error}");
                    }
                }
            }
        }
    }

    /// Sends it; once more where the agent that was there has been replaced.
    fn send(&mut self, datagram: &[u8]) -> Result<(), Error> {
        if let Some(socket) = &self.socket {
            match socket.send(datagram) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                sent => return sent.map(drop),
            }
        }
        let socket = connect(&self.path)?;
        socket.send(datagram)?;
        self.socket = Some(socket);
        Ok(())
    }
}

fn connect(path: &Path) -> Result<UnixDatagram, Error> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect(path)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use resolver_core::Handle;

    use super::super::{Outcome, decode, queue};
    use super::*;

    fn receive(socket: &UnixDatagram, wanted: usize) -> Vec<u64> {
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let mut endpoints = Vec::new();
        let mut datagram = [0; MAX_DATAGRAM + 1];
        while endpoints.len() < wanted {
            let length = socket.recv(&mut datagram).expect("a datagram");
            decode(&datagram[..length], |report| endpoints.push(report.endpoint)).expect("good");
        }
        endpoints
    }

    #[test]
    fn reports_arrive_in_their_order_and_the_last_ones_too() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("report.sock");
        let socket = UnixDatagram::bind(&path).expect("bound");
        let (reporter, reports) = queue(1000);
        let forwarder = ReportForwarder::start(&path, reports, &[]).expect("started");
        (0..300).for_each(|id| assert!(reporter.report(Handle::from_bits(1), id, Outcome::Failure)));
        let receiver = std::thread::spawn(move || receive(&socket, 300));
        drop(forwarder);
        assert_eq!(receiver.join().expect("received"), (0..300).collect::<Vec<_>>());
        assert_eq!(reporter.dropped(), 0);
    }

    #[test]
    fn an_agent_that_is_not_there_costs_reports_and_one_that_comes_back_gets_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("report.sock");
        let (reporter, reports) = queue(1000);
        let _forwarder = ReportForwarder::start(&path, reports, &[]).expect("started");
        let report = |id| assert!(reporter.report(Handle::from_bits(1), id, Outcome::Failure));
        let until_dropped = |count| {
            let deadline = std::time::Instant::now() + Duration::from_secs(20);
            while reporter.dropped() < count {
                assert!(std::time::Instant::now() < deadline, "{} dropped", reporter.dropped());
                std::thread::yield_now();
            }
        };
        report(1);
        until_dropped(1);
        let first = UnixDatagram::bind(&path).expect("bound");
        report(2);
        assert_eq!(receive(&first, 1), [2]);
        drop(first);
        report(3);
        until_dropped(2);
        std::fs::remove_file(&path).expect("left behind");
        let second = UnixDatagram::bind(&path).expect("bound");
        report(4);
        assert_eq!(receive(&second, 1), [4]);
    }

    #[test]
    fn a_thread_that_can_only_be_where_it_must_not_is_refused() {
        let cores = crate::pin::allowed();
        let (_, reports) = queue(1);
        let error = ReportForwarder::start("/nowhere", reports, &cores).expect_err("refused");
        assert!(error.to_string().contains("not pinned"), "{error}");
    }
}
