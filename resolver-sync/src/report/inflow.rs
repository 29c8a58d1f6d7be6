//! The publisher's end: takes reports from the queue and the socket, a bounded number at a time.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::time::Instant;

use super::{DatagramError, MAX_DATAGRAM, Report, ReportSocket, Reports, decode};

/// Between two turns: how late a report may be, and what bounds the work that a flood makes.
const PERIOD: Duration = Duration::from_millis(10);
/// Datagrams in one turn. The kernel keeps only some more waiting; then it refuses the senders.
const DATAGRAMS: usize = 64;
/// Reports from the queue in one turn.
const QUEUED: usize = 4096;
/// Between two complaints in the log.
const COMPLAIN: Duration = Duration::from_secs(60);

/// Where a publisher's reports come from: nowhere, unless it is told.
#[derive(Debug, Default)]
pub struct Inflow {
    queue: Option<Reports>,
    socket: Option<ReportSocket>,
    receiver: Option<UnixDatagram>,
    /// Not before this.
    next: Option<Instant>,
    refused: Complaint,
    unknown: Complaint,
    dropped: u64,
    lost: Complaint,
}

/// Something that a log need not have each of.
#[derive(Debug, Default)]
struct Complaint {
    count: u64,
    said: u64,
    said_at: Option<Instant>,
}

impl Inflow {
    /// Takes reports of this process, too.
    pub fn with_queue(self, queue: Reports) -> Self {
        Inflow { queue: Some(queue), ..self }
    }

    /// Takes reports of other processes, too.
    pub fn with_socket(self, socket: ReportSocket) -> Self {
        Inflow { socket: Some(socket), ..self }
    }

    /// The next reports, at least one. Never ends where none can come. May be dropped and asked again: nothing is lost.
    pub(crate) async fn turn(&mut self) -> Vec<Report> {
        self.open();
        loop {
            if let Some(next) = self.next {
                tokio::time::sleep_until(next).await;
            }
            match (&self.queue, &self.receiver) {
                (None, None) => std::future::pending::<()>().await,
                // An error shows when it is read.
                (None, Some(receiver)) => drop(receiver.readable().await),
                // Nobody wakes us for the queue: its producers make no system call.
                (Some(_), _) => {}
            }
            let reports = self.drain();
            self.next = Some(Instant::now() + PERIOD);
            if !reports.is_empty() {
                return reports;
            }
        }
    }

    /// So many reports named a view or an endpoint that there is not (any more).
    pub(crate) fn unknown(&mut self, count: u64) {
        if self.unknown.is_due(count) {
            tracing::warn!(
                count = self.unknown.count,
                "reports named no endpoint of a view with ejection; they are ignored"
            );
        }
    }

    fn open(&mut self) {
        if let Some(socket) = self.socket.as_mut().and_then(ReportSocket::take) {
            match UnixDatagram::from_std(socket) {
                Ok(receiver) => self.receiver = Some(receiver),
                Err(error) => tracing::error!("reports of other processes cannot be received: {error}"),
            }
        }
    }

    fn drain(&mut self) -> Vec<Report> {
        let mut reports = Vec::new();
        if let Some(queue) = &mut self.queue {
            reports.extend(std::iter::from_fn(|| queue.take()).take(QUEUED));
            let dropped = queue.dropped();
            if self.lost.is_due(dropped - self.dropped) {
                tracing::warn!(count = dropped, "reports were dropped: the queue was full");
            }
            self.dropped = dropped;
        }
        // One byte more than is good: a longer datagram is cut to this, and then seen to be too long.
        let mut datagram = [0; MAX_DATAGRAM + 1];
        for _ in 0..DATAGRAMS {
            let Some(receiver) = &self.receiver else { break };
            match receiver.try_recv(&mut datagram) {
                Ok(length) => {
                    if let Err(wrong) = decode(&datagram[..length], |report| reports.push(report)) {
                        self.refuse(wrong);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    tracing::error!("reports of other processes cannot be received any more: {error}");
                    self.receiver = None;
                }
            }
        }
        reports
    }

    fn refuse(&mut self, wrong: DatagramError) {
        if self.refused.is_due(1) {
            tracing::warn!(
                count = self.refused.count,
                "datagrams of reports were refused, the last one for: {wrong}"
            );
        }
    }
}

impl Complaint {
    /// Counts more of it; whether it is time to say so.
    fn is_due(&mut self, more: u64) -> bool {
        self.count += more;
        let now = Instant::now();
        let due = self.count > self.said && self.said_at.is_none_or(|at| now - at >= COMPLAIN);
        if due {
            (self.said, self.said_at) = (self.count, Some(now));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram as Sender;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use resolver_core::Handle;

    use super::super::{MAX_REPORTS, Outcome, SocketOptions, encode, queue};
    use super::*;

    fn report(endpoint: u64) -> Report {
        Report { service: Handle::from_bits(1), endpoint, outcome: Outcome::Failure }
    }

    fn bound(directory: &tempfile::TempDir) -> (Inflow, Sender) {
        let path = directory.path().join("report.sock");
        let socket = ReportSocket::bind(&SocketOptions { path: path.clone(), group: None }).expect("bound");
        let sender = Sender::unbound().expect("a socket");
        sender.connect(path).expect("connected");
        (Inflow::default().with_socket(socket), sender)
    }

    #[tokio::test]
    async fn datagrams_arrive_and_bad_ones_are_counted() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut inflow, sender) = bound(&directory);
        let mut datagram = Vec::new();
        encode(&[report(1), report(2)], &mut datagram);
        sender.send(b"what?").expect("sent");
        sender.send(&datagram).expect("sent");
        sender.send(&[0; 4 * MAX_DATAGRAM]).expect("sent");
        assert_eq!(inflow.turn().await, [report(1), report(2)]);
        encode(&[report(3)], &mut datagram);
        sender.send(&datagram).expect("sent");
        assert_eq!(inflow.turn().await, [report(3)]);
        assert_eq!(inflow.refused.count, 2);
    }

    #[tokio::test]
    async fn a_flood_is_taken_a_turn_at_a_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut inflow, sender) = bound(&directory);
        let mut datagram = Vec::new();
        encode(&[report(7); MAX_REPORTS], &mut datagram);
        sender.set_nonblocking(true).expect("set");
        let stop = Arc::new(AtomicBool::new(false));
        let flood = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    if sender.send(&datagram).is_err() {
                        std::thread::yield_now();
                    }
                }
            }
        });
        let began = Instant::now();
        for _ in 0..20 {
            let reports = inflow.turn().await;
            assert!(reports.len() <= DATAGRAMS * MAX_REPORTS, "{}", reports.len());
        }
        assert!(began.elapsed() >= PERIOD * 19, "turns keep their distance, whatever waits");
        stop.store(true, Ordering::Relaxed);
        flood.join().expect("the flood ends");
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_drained_without_being_woken() {
        let (reporter, reports) = queue(10_000);
        let mut inflow = Inflow::default().with_queue(reports);
        (0..10_000).for_each(|id| assert!(reporter.report(Handle::from_bits(1), id, Outcome::Failure)));
        let sizes = [inflow.turn().await.len(), inflow.turn().await.len(), inflow.turn().await.len()];
        assert_eq!(sizes, [QUEUED, QUEUED, 10_000 - 2 * QUEUED]);
        let none = tokio::time::timeout(Duration::from_secs(5), inflow.turn()).await;
        assert!(none.is_err(), "an empty turn is none");
        reporter.report(Handle::from_bits(1), 5, Outcome::Failure);
        assert_eq!(inflow.turn().await, [report(5)]);
    }
}
