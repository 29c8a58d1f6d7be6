//! Reporting costs the hot thread no allocation, whether or not there is room.

use std::hint::black_box;

use resolver_core::Handle;
use resolver_sync::report::{Outcome, queue};

#[test]
fn a_report_allocates_nothing() {
    let planted = allocation_counter::measure(|| {
        black_box(Box::new(1));
    });
    assert_eq!(planted.count_total, 1, "the counter counts");
    let (reporter, mut reports) = queue(1000);
    let counted = allocation_counter::measure(|| {
        for id in 0..5000 {
            black_box(reporter.report(Handle::from_bits(1), id, Outcome::Failure));
        }
    });
    assert_eq!(counted.count_total, 0);
    assert_eq!(reporter.dropped(), 4000);
    assert_eq!(std::iter::from_fn(|| reports.take()).count(), 1000);
}
