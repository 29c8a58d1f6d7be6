//! Bits that turn over in copies of a live segment: every read gives a typed error or a well-formed record, and ends.
//!
//! The copies are taken of the file while its writer is at work, so half-written cells, and batches that have landed in part, are among
//! them. Bits are turned over before a copy is opened or under a reader that has it open already; with the header's checksum
//! left wrong, or put right again as somebody who means harm would.
//!
//! `damage` has the same for whole words of a quiet table, and writers that take one over; the fuzz targets look for what
//! chance does not find.

mod ask;
mod live;

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::sync::OnceLock;
use std::time::Duration;

use ask::Asked;
use proptest::prelude::*;
use resolver_core::{Line, Segment, SegmentError};
use rustix::time::{ClockId, clock_gettime};

/// How much longer the questions may take to a damaged copy than to a whole one, in this thread's own time. A name that is
/// searched for through a full directory takes longer; what has no end would take more than any factor.
const FACTOR: u32 = 300;

/// Copies of a segment at work; half a dozen of them in the middle of a batch.
fn copies() -> &'static [Vec<u8>] {
    static COPIES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    COPIES.get_or_init(|| live::copies(48))
}

fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("it only grows")
}

/// Puts the header's checksum right, whatever the header says.
fn seal(bytes: &mut [u8]) {
    let words = |bytes: &[u8]| std::array::from_fn(|at| u64::from_ne_bytes(bytes.as_chunks().0[at]));
    let header = Line::from(words(&bytes[..64]));
    resolver_core::probe::seal(&header);
    for (at, word) in header.to_words().into_iter().enumerate() {
        bytes[at * 8..at * 8 + 8].copy_from_slice(&word.to_ne_bytes());
    }
}

/// A bit of a file: of its header, of what readers go by first, or anywhere.
#[derive(Clone, Debug)]
struct Flip {
    place: proptest::sample::Index,
    near: u8,
    bit: u8,
}

impl Flip {
    fn byte(&self, size: usize) -> usize {
        match self.near {
            // Counts, seed and checksum are the first line; heads, sources and settings begin at the 65th.
            0 => self.place.index(64),
            1 => self.place.index(64 * 64),
            2 => 64 * 64 + self.place.index((size - 64 * 64) / 4),
            _ => self.place.index(size),
        }
    }
}

fn flips() -> impl Strategy<Value = Vec<Flip>> {
    let flip = (any::<proptest::sample::Index>(), 0u8..8, 0u8..8).prop_map(|(place, near, bit)| Flip {
        place,
        near,
        bit,
    });
    proptest::collection::vec(flip, 1..60)
}

/// Asks everything of a segment in this file, with what bits turned over before and after it was opened.
fn ask(bytes: &[u8], after: &[(usize, u8)]) -> Result<Option<Asked>, TestCaseError> {
    let directory = if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let directory = tempfile::tempdir_in(directory).expect("a directory");
    let path = directory.path().join("copy.seg");
    fs::write(&path, bytes).expect("it can be written");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("its mode");
    let segment = match Segment::open(&path) {
        Ok(segment) => segment,
        Err(SegmentError::Table { error, .. }) => {
            prop_assert!(!error.to_string().is_empty());
            return Ok(None);
        }
        Err(error) => return Err(TestCaseError::fail(error.to_string())),
    };
    let file = OpenOptions::new().write(true).open(&path).expect("its owner may");
    let before = ask::cached(&segment);
    for (byte, value) in after {
        file.write_all_at(&[*value], *byte as u64).expect("it can be written");
    }
    ask::everything(&segment, before).map(Some).map_err(TestCaseError::fail)
}

/// What the questions take of a whole copy.
fn usual() -> Duration {
    static USUAL: OnceLock<Duration> = OnceLock::new();
    *USUAL.get_or_init(|| {
        let mut times: Vec<_> = copies()
            .iter()
            .map(|copy| {
                let start = processor_time();
                let asked = ask(copy, &[]).expect("nothing is wrong with it");
                assert!(
                    asked.as_ref().is_some_and(|asked| asked.answers > 20),
                    "a live copy has answers: {asked:?}"
                );
                processor_time() - start
            })
            .collect();
        times.sort_unstable();
        times[times.len() / 2]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn turned_bits_give_errors_or_records(
        copy in any::<proptest::sample::Index>(),
        flips in flips(),
        is_sealed in any::<bool>(),
        is_open in any::<bool>(),
    ) {
        let usual = usual();
        let copy = copy.get(copies());
        let mut bytes = copy.clone();
        for flip in &flips {
            bytes[flip.byte(copy.len())] ^= 1 << flip.bit;
        }
        if is_sealed {
            seal(&mut bytes);
        }
        let changed = |at: &usize| bytes[*at] != copy[*at];
        let changes: Vec<_> = (0..bytes.len()).filter(changed).map(|at| (at, bytes[at])).collect();
        let start = processor_time();
        let asked = if is_open { ask(copy, &changes)? } else { ask(&bytes, &[])? };
        let took = processor_time() - start;
        // A header that changes under an open reader changes nothing for it.
        prop_assert!(asked.is_some() || !is_open);
        prop_assert!(took < usual * FACTOR, "{took:?}, and {usual:?} of a whole copy");
    }
}

/// The first word that lies in the way of a reader, one bit after the other.
#[test]
fn each_bit_of_the_header_alone() {
    let copy = &copies()[0];
    let (mut refused, mut opened) = (0, 0);
    for bit in 0..64 * 8 {
        for is_sealed in [false, true] {
            let mut bytes = copy.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if is_sealed {
                seal(&mut bytes);
            }
            match ask(&bytes, &[]).expect("an error or records") {
                None => refused += 1,
                Some(_) => {
                    opened += 1;
                    assert!(is_sealed, "bit {bit} of the header was not missed");
                }
            }
        }
    }
    eprintln!("{refused} headers refused, {opened} opened that were signed");
    assert!(refused >= 512 && opened > 0, "{refused} refused, {opened} opened");
}
