//! What callers say of the endpoints that they used, and how it gets to the publisher.
//!
//! ```text
//! hot thread -> Reporter -> queue -> publisher                                  in the agent's own process
//! hot thread -> Reporter -> queue -> ReportForwarder -> datagram -> ReportSocket -> publisher    in another one
//! ```
//!
//! Readers never write to the table: this is the only way back. A report is advice, and may be lost: a queue or a socket
//! that is full drops it and counts it, and nobody waits.

mod forward;
mod inflow;
mod socket;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use resolver_core::Handle;

pub use forward::{ForwardError, ReportForwarder};
pub use inflow::Inflow;
pub use socket::{ControlSocket, ReportSocket, SocketError, SocketOptions};
pub use wire::{DatagramError, MAX_DATAGRAM, MAX_REPORTS, VERSION, decode, encode};

/// How using an endpoint went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It answered. Failures before do not count any more.
    Success,
    /// It did not: no connection, no answer in time, an answer that says that it is broken.
    Failure,
}

/// One report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The view, by the handle that was resolved.
    pub service: Handle,
    /// The endpoint's id, as [`Endpoint::id`](resolver_core::Endpoint::id) and
    /// [`Resolved::id`](resolver_core::Resolved::id) give it.
    pub endpoint: u64,
    /// How it went.
    pub outcome: Outcome,
}

#[derive(Debug)]
struct Queue {
    /// With [`SPARE`] slots more than may be used.
    reports: ArrayQueue<Report>,
    capacity: usize,
    dropped: AtomicU64,
}

/// Slots that stay free. A producer that finds the very slot that is being emptied just now would wait for whoever empties
/// it, and yield to the system meanwhile; with these, the one consumer is always further away than so many producers get.
const SPARE: usize = 256;

/// The hot threads' end of a queue of reports. Cheap to clone; any number of threads may report.
#[derive(Clone, Debug)]
pub struct Reporter {
    queue: Arc<Queue>,
}

/// The other end: one for each queue, and one thread at a time.
#[derive(Debug)]
pub struct Reports {
    queue: Arc<Queue>,
}

/// A queue for so many reports (at least 1): 32 bytes each and 8 KiB more, allocated here and never again.
///
/// ```
/// use resolver_core::Handle;
/// use resolver_sync::report::{Outcome, queue};
///
/// let (reporter, mut reports) = queue(1);
/// let service = Handle::from_bits(7);
/// assert!(reporter.report(service, 42, Outcome::Failure));
/// assert!(!reporter.report(service, 42, Outcome::Failure), "full: dropped, and counted");
/// assert_eq!(reporter.dropped(), 1);
/// assert_eq!(reports.take().map(|report| report.endpoint), Some(42));
/// assert!(reports.take().is_none());
/// ```
pub fn queue(capacity: usize) -> (Reporter, Reports) {
    let capacity = capacity.clamp(1, usize::MAX / 4);
    let reports = ArrayQueue::new(capacity + SPARE);
    let queue = Arc::new(Queue { reports, capacity, dropped: AtomicU64::new(0) });
    (Reporter { queue: Arc::clone(&queue) }, Reports { queue })
}

impl Reporter {
    /// Says how using an endpoint went; `false` where the queue was full and the report is dropped.
    ///
    /// # Progress
    ///
    /// Lock-free for up to 256 threads that report at the same moment: no allocation, no system call, no waiting. They
    /// contend for the queue's tail, so report what went wrong, and a success after a failure; not each of a million
    /// successes.
    #[inline]
    pub fn report(&self, service: Handle, endpoint: u64, outcome: Outcome) -> bool {
        let has_room = self.queue.reports.len() < self.queue.capacity;
        let pushed = has_room && self.queue.reports.push(Report { service, endpoint, outcome }).is_ok();
        if !pushed {
            self.queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
        pushed
    }

    /// Reports dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped.load(Ordering::Relaxed)
    }
}

impl Reports {
    /// The oldest report that is still there. A thread that was preempted in the middle of its report is waited for.
    pub fn take(&mut self) -> Option<Report> {
        self.queue.reports.pop()
    }

    /// As [`Reporter::dropped`].
    pub fn dropped(&self) -> u64 {
        self.queue.dropped.load(Ordering::Relaxed)
    }

    /// Counts a report that was taken, and could not be passed on.
    fn drop_one(&self) {
        self.queue.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_report_at_once_and_each_report_is_there_or_counted() {
        let (reporter, mut reports) = queue(1000);
        let mut taken = 0;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let reporter = reporter.clone();
                    scope.spawn(move || {
                        (0..5000).for_each(|_| {
                            reporter.report(Handle::from_bits(thread), thread, Outcome::Failure);
                        });
                    })
                })
                .collect();
            while !threads.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                taken += std::iter::from_fn(|| reports.take()).count() as u64;
            }
        });
        taken += std::iter::from_fn(|| reports.take()).inspect(|report| assert!(report.endpoint < 4)).count()
            as u64;
        assert_eq!(taken + reporter.dropped(), 20_000);
        assert_eq!(reports.dropped(), reporter.dropped());
    }
}
