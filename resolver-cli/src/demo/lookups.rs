//! The thread that resolves, as order-routing code would: handles taken once, then `resolve(handle)`.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::{CreationError, Histogram};
use resolver_core::{Handle, Reader};

use super::oracle::{Oracle, SERVICES, Tally};

/// Lookups between two reads of the clock.
pub(crate) const BATCH: usize = 1024;
/// Lookups of a round that are timed one by one.
const SINGLES: usize = 16;
/// The histograms' range in ns, and two significant digits: every ns up to 255 is told apart.
const LONGEST: u64 = 60_000_000_000;
const DIGITS: u8 = 2;
const BATCH_DIGITS: u8 = 3;

/// What the reader has done so far, for those who watch it. It stores a few words here once a round.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) lookups: AtomicU64,
    pub(crate) batched: AtomicU64,
    pub(crate) batched_ns: AtomicU64,
    pub(crate) torn: AtomicU64,
}

/// What the reader found.
pub(crate) struct Findings {
    /// All lookups: batched, checked and timed one by one.
    pub(crate) lookups: u64,
    pub(crate) elapsed: Duration,
    /// Lookups in batches, which are timed as a whole and whose answers go unread.
    pub(crate) batched: u64,
    pub(crate) batched_ns: u64,
    /// What each batch took, in ns.
    pub(crate) batches: Histogram<u64>,
    /// One lookup between two reads of the clock, in ns.
    pub(crate) single: Histogram<u64>,
    /// Nothing between two reads of the clock, each right before one of the above.
    pub(crate) nothing: Histogram<u64>,
    pub(crate) tally: Tally,
    /// Of this thread, over the whole loop.
    pub(crate) allocations: u64,
    /// What the same counter said of one allocation that was made on purpose.
    pub(crate) planted_allocations: u64,
}

/// Resolves on the calling thread until it is told to end.
pub(crate) fn run(
    reader: Reader<'_>,
    handles: &[Handle; SERVICES],
    progress: &Progress,
    ending: &AtomicBool,
) -> Result<Findings, CreationError> {
    let histogram = || Histogram::new_with_bounds(1, LONGEST, DIGITS);
    let planted = allocation_counter::measure(|| drop(black_box(Box::new(1_u64))));
    let mut lookups = Lookups {
        reader,
        handles,
        oracle: Oracle::default(),
        findings: Findings {
            lookups: 0,
            elapsed: Duration::ZERO,
            batched: 0,
            batched_ns: 0,
            batches: Histogram::new_with_bounds(1, LONGEST, BATCH_DIGITS)?,
            single: histogram()?,
            nothing: histogram()?,
            tally: Tally::default(),
            allocations: 0,
            planted_allocations: planted.count_total,
        },
        next: 0,
    };
    let allocated = allocation_counter::measure(|| {
        let start = Instant::now();
        while !ending.load(Ordering::Relaxed) {
            lookups.batch();
            lookups.checked();
            lookups.singles();
            lookups.walk();
            lookups.show(progress);
        }
        lookups.findings.elapsed = start.elapsed();
    });
    lookups.findings.allocations = allocated.count_total;
    lookups.findings.tally = lookups.oracle.tally;
    Ok(lookups.findings)
}

struct Lookups<'a, 'm> {
    reader: Reader<'m>,
    handles: &'a [Handle; SERVICES],
    oracle: Oracle,
    findings: Findings,
    /// The service whose turn it is to be timed, and walked.
    next: usize,
}

impl Lookups<'_, '_> {
    /// What a lookup costs where there are many: nothing but lookups between two reads of the clock.
    #[inline(never)]
    fn batch(&mut self) {
        let reader = self.reader;
        let start = Instant::now();
        for _ in 0..BATCH / SERVICES {
            for handle in self.handles {
                // Whatever a caller may do with an answer, it has all of it.
                // What a router takes of an answer: where to send, and which of its sessions that is.
                if let Ok(resolved) = reader.resolve(*handle) {
                    black_box((resolved.address(), resolved.id()));
                }
            }
        }
        let took = nanoseconds(start);
        self.findings.batches.saturating_record(took);
        self.findings.batched_ns += took;
        self.findings.batched += BATCH as u64;
        self.findings.lookups += BATCH as u64;
    }

    /// As many again, each of them before the oracle.
    #[inline(never)]
    fn checked(&mut self) {
        for _ in 0..BATCH / SERVICES {
            for (service, handle) in self.handles.iter().enumerate() {
                self.oracle.check(service, self.reader.resolve(*handle));
            }
        }
        self.findings.lookups += BATCH as u64;
    }

    /// One at a time; beside each, what the clock says where nothing was done.
    #[inline(never)]
    fn singles(&mut self) {
        for _ in 0..SINGLES {
            self.next = (self.next + 1) % SERVICES;
            let start = Instant::now();
            self.findings.nothing.saturating_record(nanoseconds(start));

            let start = Instant::now();
            let answer = black_box(self.reader.resolve(black_box(self.handles[self.next])));
            self.findings.single.saturating_record(nanoseconds(start));
            self.oracle.check(self.next, answer);
        }
        self.findings.lookups += SINGLES as u64;
    }

    /// One service's whole set. One that is replaced meanwhile is left for the next time.
    fn walk(&mut self) {
        self.next = (self.next + 1) % SERVICES;
        let Ok(set) = self.reader.set(self.handles[self.next]) else { return };
        for endpoint in set {
            let Ok(endpoint) = endpoint else { return };
            self.oracle.check_endpoint(self.next, &endpoint);
        }
    }

    fn show(&self, progress: &Progress) {
        progress.lookups.store(self.findings.lookups, Ordering::Relaxed);
        progress.batched.store(self.findings.batched, Ordering::Relaxed);
        progress.batched_ns.store(self.findings.batched_ns, Ordering::Relaxed);
        progress.torn.store(self.oracle.tally.torn, Ordering::Relaxed);
    }
}

#[inline]
fn nanoseconds(since: Instant) -> u64 {
    since.elapsed().as_nanos() as u64
}
