//! How fast reads are, and what a reader knows of its answers' age.

use std::time::{Duration, Instant};

use resolver_core::{FreshError, Handle, Liveness, Reader};

/// Timed reads of a slice: the eleventh slowest of them is its p99.9.
const SLICE: usize = 10_000;
/// Between slices: the machine is not ours alone.
const PAUSE: Duration = Duration::from_millis(1);

/// Quantiles of single reads, over all services in turn: the middle one of the slices'. A slice in which the machine did
/// something else is one of many.
pub struct Pace {
    pub reads: usize,
    pub median: f64,
    /// p99.9; one service of 32 is half written, so this is of its reads.
    pub slow: f64,
}

impl Pace {
    /// Reads for so long; at least so much that there is something to be compared.
    pub fn over(time: Duration, reader: &Reader<'_>, handles: &[Handle], watch: &mut Watch<'_>) -> Pace {
        let (start, mut medians, mut slow) = (Instant::now(), Vec::new(), Vec::new());
        let mut times = vec![0; SLICE];
        while start.elapsed() < time || slow.len() < 21 {
            for (read, time) in times.iter_mut().enumerate() {
                let handle = handles[read % handles.len()];
                let before = Instant::now();
                let resolved = reader.resolve(handle);
                *time = before.elapsed().as_nanos() as u64;
                assert!(resolved.is_ok(), "{resolved:?}");
            }
            times.sort_unstable();
            medians.push(times[SLICE / 2]);
            slow.push(times[SLICE - 1 - SLICE / 1000]);
            watch.poll();
            std::thread::sleep(PAUSE);
        }
        Pace { reads: slow.len() * SLICE, median: middle(medians), slow: middle(slow) }
    }
}

fn middle(mut values: Vec<u64>) -> f64 {
    values.sort_unstable();
    values[values.len() / 2] as f64
}

/// Asks for an answer that is no older than a bound, and checks each verdict by what it saw of the beats itself.
pub struct Watch<'m> {
    reader: Reader<'m>,
    handle: Handle,
    max_age: Duration,
    liveness: Liveness,
    start: Instant,
    /// The last poll's time and beat.
    last: Option<(Duration, u64)>,
    /// When the newest beat cannot have been earlier.
    beat_at: Option<Duration>,
    /// Whether the newest beat came between two polls. One that came within a poll is dated by this one or by the next.
    is_dated: bool,
    is_fresh: bool,
    pub polls: u64,
}

impl<'m> Watch<'m> {
    pub fn new(reader: Reader<'m>, handle: Handle, max_age: Duration) -> Self {
        let (liveness, start) = (Liveness::new(), Instant::now());
        Watch {
            reader,
            handle,
            max_age,
            liveness,
            start,
            last: None,
            beat_at: None,
            is_dated: true,
            is_fresh: false,
            polls: 0,
        }
    }

    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// Polls once. The word must be fresh exactly while the newest beat is no older than the bound: it cannot come late.
    pub fn poll(&mut self) {
        let before = self.reader.pulse();
        let now = self.start.elapsed();
        self.liveness.poll(&self.reader, now);
        let after = self.reader.pulse();
        let answer = self.reader.resolve_fresh(self.handle, self.max_age, &self.liveness);
        self.is_fresh = match answer {
            Ok(_) => true,
            Err(FreshError::Old { .. }) => false,
            Err(error) => panic!("{error}"),
        };
        self.polls += 1;
        // The poll saw a beat from `before` to `after`; while the writer beats, which one is not known.
        if before != after {
            self.is_dated = false;
        } else if let Some((then, _)) = self.last.filter(|(_, beat)| *beat != after) {
            (self.beat_at, self.is_dated) = (Some(then), true);
        }
        self.last = Some((now, after));
        let silence = self.beat_at.map(|beat_at| now - beat_at);
        if self.is_dated {
            let expected = silence.is_some_and(|silence| silence <= self.max_age);
            assert_eq!(self.is_fresh, expected, "silent for {silence:?} of {:?}", self.max_age);
        }
    }

    /// Polls until the word is that.
    pub fn until(&mut self, what: &str, patience: Duration, wanted: impl Fn(bool) -> bool) {
        let deadline = Instant::now() + patience;
        loop {
            self.poll();
            if wanted(self.is_fresh) {
                return;
            }
            assert!(Instant::now() < deadline, "not {what} within {patience:?}");
            std::thread::sleep(PAUSE);
        }
    }
}
