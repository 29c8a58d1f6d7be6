//! The memory that a table lives in: lines of eight atomic words, whoever owns them.
//!
//! The protocol takes `&[Line]` and does not know its storage. Static memory, the heap, a mapped file and a loom
//! model all come in through here; the one cast from raw memory is [`lines_from_raw`].

use crate::sync::{AtomicU64, Ordering};

/// Words in a line.
pub(crate) const WORDS: usize = 8;

/// One cache line: 64 bytes as eight words. Only whole words are ever read or written, always atomically.
#[repr(C, align(64))]
pub struct Line {
    words: [AtomicU64; WORDS],
}

impl Line {
    /// A line of zeros.
    #[cfg(not(resolver_loom))]
    pub const fn new() -> Self {
        Line { words: [const { AtomicU64::new(0) }; WORDS] }
    }

    /// A line of zeros, within a loom model.
    #[cfg(resolver_loom)]
    pub fn new() -> Self {
        Line { words: core::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// The line's words, each as it is at some moment: to save or inspect a table. Not a way to read records.
    pub fn to_words(&self) -> [u64; WORDS] {
        core::array::from_fn(|index| self.load(index))
    }

    #[inline(always)]
    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        &self.words[index]
    }

    /// Some words from this one on.
    #[cfg(resolver_loom)]
    pub(crate) fn words<const N: usize>(&self, first: usize) -> &[AtomicU64; N] {
        self.words[first..].first_chunk().expect("they are within the line")
    }

    #[inline(always)]
    pub(crate) fn load(&self, index: usize) -> u64 {
        self.words[index].load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn store(&self, index: usize, value: u64) {
        self.words[index].store(value, Ordering::Relaxed);
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

/// A line of a table that was saved word by word.
impl From<[u64; WORDS]> for Line {
    fn from(words: [u64; WORDS]) -> Self {
        Line { words: words.map(AtomicU64::new) }
    }
}

/// Memory for a table in a `static` or on the stack.
///
/// ```
/// use resolver_core::{Capacity, Memory, Table};
///
/// const CAPACITY: Capacity = Capacity { services: 16, endpoints: 64, ..Capacity::SMALL };
/// static MEMORY: Memory<{ CAPACITY.lines() }> = Memory::new();
///
/// let (writer, reader) = Table::create(MEMORY.lines(), &CAPACITY, 1)?.split();
/// # let _ = (writer, reader);
/// # Ok::<(), resolver_core::CreateError>(())
/// ```
#[cfg(not(resolver_loom))]
pub struct Memory<const LINES: usize>([Line; LINES]);

#[cfg(not(resolver_loom))]
impl<const LINES: usize> Memory<LINES> {
    /// Zeros, ready for [`Table::create`](crate::Table::create).
    pub const fn new() -> Self {
        Memory([const { Line::new() }; LINES])
    }

    /// The lines, to create a table in.
    pub const fn lines(&self) -> &[Line] {
        &self.0
    }
}

#[cfg(not(resolver_loom))]
impl<const LINES: usize> Default for Memory<LINES> {
    fn default() -> Self {
        Self::new()
    }
}

/// Zeroed memory on the heap for a table of this many lines ([`Capacity::lines`](crate::Capacity::lines)).
#[cfg(feature = "std")]
pub fn heap(lines: usize) -> std::boxed::Box<[Line]> {
    (0..lines).map(|_| Line::new()).collect()
}

/// Sees mapped memory as lines.
///
/// # Safety
///
/// - `start` is aligned to 64 bytes and valid for reads of `count` lines for all of `'m`. Nothing unmaps or shrinks it.
/// - Every access to that memory, from any process, is atomic and of whole aligned words, or happens before this
///   one. Where the memory is mapped without write permission, nothing is stored through the lines.
#[cfg(all(any(feature = "shm", feature = "numa"), not(resolver_loom)))]
pub(crate) unsafe fn lines_from_raw<'m>(start: *const u8, count: usize) -> &'m [Line] {
    debug_assert!(start.addr().is_multiple_of(align_of::<Line>()));
    // SAFETY:
    // - Alignment, extent and lifetime are the caller's word.
    // - Any bytes are a valid `Line`: it is eight `AtomicU64`, which have no invalid values.
    // - A shared slice of atomics permits changes by others; they are atomic and of the same size by the caller's word.
    unsafe { core::slice::from_raw_parts(start.cast::<Line>(), count) }
}
