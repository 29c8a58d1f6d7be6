//! What no protocol can beat: plain loads of one line, torn under a writer. And the plain seqlock that the latch is held to.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use resolver_core::Handle;

use crate::ours::Places;
use crate::path::{Path, reads};
use crate::subject::{Role, Subject};
use crate::work::{fold, mix};

/// Eight loads of one line: the base of the figures by handle.
pub const LINE: &str = "torn line, 8 loads";
/// As many loads as an address needs, `seq` twice and the incarnation included.
pub const HALF_LINE: &str = "torn line, 4 loads";
/// The least that any answer takes: what a form that reads eight bytes could gain at most.
pub const ONE_LOAD: &str = "torn line, 1 load";
/// A seqlock without a second copy: its readers wait for a writer that is stopped.
pub const PLAIN: &str = "plain seqlock, one line";

/// One cache line without a sequence, read by eight plain loads: what no protocol can be faster than. A reader of it
/// sees torn records.
#[repr(align(64))]
#[derive(Default)]
pub struct TornLine {
    words: [AtomicU64; 8],
}

impl TornLine {
    /// Stores all words: different ones, so that no fold of them is a constant.
    #[inline(always)]
    pub fn store(&self, value: u64) {
        for (word, odd) in self.words.iter().zip((1..).step_by(2)) {
            word.store(value.wrapping_mul(odd), Ordering::Relaxed);
        }
    }

    /// Loads the first `N` words and folds them.
    #[inline(always)]
    pub fn fold<const N: usize>(&self) -> u64 {
        fold(std::array::from_fn::<u64, N, _>(|i| self.words[i].load(Ordering::Relaxed)))
    }
}

/// A seqlock in one line, one copy: the sequence and seven words, the third with the incarnation that a handle is checked
/// against. For one writer. What it leaves out beside our cell is the second copy, and so all that a stopped writer needs.
#[repr(align(64))]
#[derive(Default)]
pub struct PlainSeqlock {
    seq: AtomicU64,
    words: [AtomicU64; 7],
}

impl PlainSeqlock {
    /// Publishes.
    #[inline(always)]
    pub fn store(&self, incarnation: u32, value: u64) {
        let seq = self.seq.load(Ordering::Relaxed);
        self.seq.store(seq.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        for (index, word) in self.words.iter().enumerate() {
            let word_value = if index == 2 { value << 32 | u64::from(incarnation) } else { value };
            word.store(word_value, Ordering::Relaxed);
        }
        self.seq.store(seq.wrapping_add(2), Ordering::Release);
    }

    /// Reads, and waits while a writer is within. Another incarnation counts as 0.
    #[inline(always)]
    pub fn fold(&self, incarnation: u32) -> u64 {
        loop {
            let seq = self.seq.load(Ordering::Acquire);
            if seq & 1 == 0 {
                let words = std::array::from_fn::<u64, 7, _>(|i| self.words[i].load(Ordering::Relaxed));
                fence(Ordering::Acquire);
                if self.seq.load(Ordering::Relaxed) == seq {
                    return if words[2] as u32 == incarnation { fold(words) } else { 0 };
                }
            }
            std::hint::spin_loop();
        }
    }
}

/// A line and a plain seqlock for each service.
pub struct Floors {
    lines: Vec<TornLine>,
    seqlocks: Vec<PlainSeqlock>,
    incarnations: Vec<u32>,
}

impl Floors {
    /// For the services with these handles.
    pub fn new(handles: &[Handle]) -> Self {
        let floors = Floors {
            lines: handles.iter().map(|_| TornLine::default()).collect(),
            seqlocks: handles.iter().map(|_| PlainSeqlock::default()).collect(),
            incarnations: handles.iter().map(|handle| (handle.to_bits() >> 32) as u32).collect(),
        };
        for index in 0..handles.len() {
            floors.lines[index].store(mix(index as u64));
            floors.seqlocks[index].store(floors.incarnations[index], mix(index as u64));
        }
        floors
    }

    /// The whole line alone, for tables that need no more than their base.
    pub fn base<'a>(&'a self, path: Path, places: &'a Places) -> Subject<'a> {
        let (lines, indices) = (&self.lines[..], &places.indices[..]);
        let read = reads!(path, indices, move |at: usize| lines[at].fold::<8>());
        Subject::new(LINE, Role::Floor, read).written(move |at, n| lines[at].store(n))
    }

    /// All of them, the base first.
    pub fn subjects<'a>(&'a self, path: Path, places: &'a Places) -> Vec<Subject<'a>> {
        let (lines, seqlocks, incarnations) = (&self.lines[..], &self.seqlocks[..], &self.incarnations[..]);
        let (indices, handles) = (&places.indices[..], &places.handles[..]);
        let half = reads!(path, indices, move |at: usize| lines[at].fold::<4>());
        let one = reads!(path, indices, move |at: usize| lines[at].fold::<1>());
        let plain = reads!(path, handles, move |handle: Handle| {
            let bits = handle.to_bits();
            seqlocks.get(bits as u32 as usize / 64).map_or(0, |seqlock| seqlock.fold((bits >> 32) as u32))
        });
        vec![
            self.base(path, places),
            Subject::new(HALF_LINE, Role::Floor, half).written(move |at, n| lines[at].store(n)),
            Subject::new(ONE_LOAD, Role::Floor, one).written(move |at, n| lines[at].store(n)),
            Subject::new(PLAIN, Role::Floor, plain)
                .written(move |at, n| seqlocks[at].store(incarnations[at], n)),
        ]
    }
}
