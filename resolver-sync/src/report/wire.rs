//! Reports as a datagram between two processes of one host.
//!
//! ```text
//! byte 0  4        5       6     8                                    all integers little-endian
//!      "RSRP" | version | count | 0 0 | count times: service 8 | endpoint 8 | outcome 1 | 0 x 7
//! ```
//!
//! Outcome 0 is a success, 1 a failure. What is not exactly this is refused whole.

use resolver_core::Handle;

use super::{Outcome, Report};

/// The version of the format; a receiver refuses any other.
pub const VERSION: u8 = 1;
/// The most reports in one datagram.
pub const MAX_REPORTS: usize = 64;
/// The longest datagram, in bytes.
pub const MAX_DATAGRAM: usize = HEADER + MAX_REPORTS * RECORD;

const MAGIC: [u8; 4] = *b"RSRP";
const HEADER: usize = 8;
const RECORD: usize = 24;

/// Why a datagram was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// It does not begin as ours do.
    #[error("no datagram of reports")]
    Magic,
    /// The sender speaks another version.
    #[error("version {0} in place of {VERSION}: the sender is of another release than the agent")]
    Version(u8),
    /// Its length is not what its count says, or the count is not 1 to [`MAX_REPORTS`].
    #[error("its length does not fit its count of reports")]
    Length,
    /// A record has something where nothing or another value should be.
    #[error("a record that makes no sense")]
    Record,
}

/// Writes up to [`MAX_REPORTS`] reports; those after them are left out. The buffer is cleared first.
pub fn encode(reports: &[Report], datagram: &mut Vec<u8>) {
    let reports = &reports[..reports.len().min(MAX_REPORTS)];
    datagram.clear();
    datagram.extend_from_slice(&MAGIC);
    datagram.extend_from_slice(&[VERSION, reports.len() as u8, 0, 0]);
    for report in reports {
        datagram.extend_from_slice(&report.service.to_bits().to_le_bytes());
        datagram.extend_from_slice(&report.endpoint.to_le_bytes());
        datagram.extend_from_slice(&[u8::from(report.outcome == Outcome::Failure), 0, 0, 0, 0, 0, 0, 0]);
    }
}

/// Reads a datagram, and hands its reports over once the whole of it was found good.
///
/// # Errors
///
/// [`DatagramError`]; then no report of it was handed over.
pub fn decode(datagram: &[u8], mut take: impl FnMut(Report)) -> Result<(), DatagramError> {
    let Some((header, records)) = datagram.split_at_checked(HEADER) else { return Err(DatagramError::Magic) };
    if header[..4] != MAGIC {
        return Err(DatagramError::Magic);
    }
    if header[4] != VERSION {
        return Err(DatagramError::Version(header[4]));
    }
    let count = usize::from(header[5]);
    if !(1..=MAX_REPORTS).contains(&count) || records.len() != count * RECORD {
        return Err(DatagramError::Length);
    }
    if header[6..] != [0, 0] || records.chunks_exact(RECORD).any(|record| read(record).is_none()) {
        return Err(DatagramError::Record);
    }
    records.chunks_exact(RECORD).filter_map(read).for_each(&mut take);
    Ok(())
}

fn read(record: &[u8]) -> Option<Report> {
    let word = |at: usize| record.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let outcome = match word(16)? {
        0 => Outcome::Success,
        1 => Outcome::Failure,
        _ => return None,
    };
    Some(Report { service: Handle::from_bits(word(0)?), endpoint: word(8)?, outcome })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(datagram: &[u8]) -> Result<Vec<Report>, DatagramError> {
        let mut reports = Vec::new();
        decode(datagram, |report| reports.push(report)).map(|()| reports.clone()).inspect_err(|_| {
            assert!(reports.is_empty(), "what is refused is refused whole");
        })
    }

    fn encoded(reports: &[Report]) -> Vec<u8> {
        let mut datagram = vec![9; 3];
        encode(reports, &mut datagram);
        datagram
    }

    const REPORT: Report = Report {
        service: Handle::from_bits(0x0102_0304_0506_0740),
        endpoint: 0x1112,
        outcome: Outcome::Failure,
    };

    /// The bytes themselves: another process may be of another release.
    #[test]
    fn the_format_is_as_it_is_written_down() {
        let mut expected = b"RSRP\x01\x01\0\0\x40\x07\x06\x05\x04\x03\x02\x01\x12\x11\0\0\0\0\0\0".to_vec();
        expected.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encoded(&[REPORT]), expected);
        assert_eq!(decoded(&expected), Ok(vec![REPORT]));
    }

    #[test]
    fn what_is_not_exactly_right_is_refused() {
        let good = encoded(&[REPORT, REPORT]);
        let with = |at: usize, byte: u8| {
            let mut datagram = good.clone();
            datagram[at] = byte;
            decoded(&datagram)
        };
        assert_eq!(decoded(&[]), Err(DatagramError::Magic));
        assert_eq!(decoded(&good[..7]), Err(DatagramError::Magic));
        assert_eq!(with(0, b'X'), Err(DatagramError::Magic));
        assert_eq!(with(4, 2), Err(DatagramError::Version(2)));
        for count in [0, 1, 3, 65, 255] {
            assert_eq!(with(5, count), Err(DatagramError::Length), "{count}");
        }
        assert_eq!(decoded(&good[..good.len() - 1]), Err(DatagramError::Length));
        assert_eq!(decoded(&encoded(&[])), Err(DatagramError::Length));
        assert_eq!(with(6, 1), Err(DatagramError::Record));
        assert_eq!(with(HEADER + 16, 2), Err(DatagramError::Record));
        assert_eq!(with(HEADER + RECORD + 23, 1), Err(DatagramError::Record));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(reports in prop::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 1..100)) {
            let report = |(service, endpoint, good)| Report {
                service: Handle::from_bits(service),
                endpoint,
                outcome: if good { Outcome::Success } else { Outcome::Failure },
            };
            let reports: Vec<Report> = reports.into_iter().map(report).collect();
            let datagram = encoded(&reports);
            prop_assert!(datagram.len() <= MAX_DATAGRAM);
            prop_assert_eq!(decoded(&datagram), Ok(reports[..reports.len().min(MAX_REPORTS)].to_vec()));
        }

        #[test]
        fn anything_is_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..2000), ours in any::<bool>()) {
            if ours && bytes.len() >= 6 {
                bytes[..5].copy_from_slice(b"RSRP\x01");
                bytes[5] %= 70;
            }
            let _ = decoded(&bytes);
        }
    }
}
