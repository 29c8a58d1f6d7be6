//! How far apart the reader's and the writer's cores are now: it moves every figure beside a writer.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::paired::median;
use crate::writer::pin;

const TIMES: u64 = 2000;
/// The other core may be taken for a while.
const LONGEST: Duration = Duration::from_millis(20);

/// A line sent to that core and back, with two clock reads; the median.
pub fn median_ns(core: usize) -> f64 {
    let (ping, pong) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(core);
            let mut n = 0;
            while n < u64::MAX {
                n = ping.load(Ordering::Relaxed);
                pong.store(n, Ordering::Relaxed);
            }
        });
        let mut times = Vec::new();
        for n in 1..=TIMES {
            let start = Instant::now();
            ping.store(n, Ordering::Relaxed);
            while pong.load(Ordering::Relaxed) != n && start.elapsed() < LONGEST {}
            times.push(start.elapsed().as_secs_f64() * 1e9);
        }
        ping.store(u64::MAX, Ordering::Relaxed);
        black_box(median(times).round())
    })
}
