//! The control of `cargo xtask tsan`: words that are not atomic, in place of the table's. ThreadSanitizer must report it.
#![cfg(resolver_tsan)]

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a line of the table would be without atomics.
#[derive(Default)]
struct PlainLine {
    seq: AtomicU64,
    word: UnsafeCell<u64>,
}

// SAFETY: it is not sound, and that is the point: the race that this permits is what must be reported. It is built for
// that run alone.
unsafe impl Sync for PlainLine {}

impl PlainLine {
    fn word(&self) -> *mut u64 {
        self.word.get()
    }
}

#[test]
fn planted_race() {
    let line = PlainLine::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..1000 {
                // SAFETY: as above.
                unsafe { line.word().write(n) };
                line.seq.store(n, Ordering::Relaxed);
            }
        });
        let mut sum = 0;
        loop {
            // SAFETY: as above.
            sum ^= unsafe { line.word().read() };
            if line.seq.load(Ordering::Relaxed) == 999 {
                break;
            }
        }
        std::hint::black_box(sum);
    });
}
