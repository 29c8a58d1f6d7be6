//! A writer that is stopped in the middle of a publication and stays so: readers go on at the same pace with the same
//! answers, learn that the answers grow old, and learn that they are fresh again when the writer goes on.
//!
//! The writer is this very test binary, started again with a variable that names the segment, and stopped by a signal.
//! Two seconds, unless `RESOLVER_FROZEN_SECONDS` says more: `cargo xtask soak` has 60. What is compared is from one run: the
//! quantile of single reads while the writer runs, while it is stopped between publications, and while it is stopped within one.

mod pace;
mod writer;

use std::path::Path;
use std::time::{Duration, Instant};

use pace::{Pace, Watch};
use resolver_core::{Handle, OwnedSegment, Reader, Resolved, Segment, SegmentError};
use writer::{CAPACITY, Publisher, SERVICES, address, name};

const SECONDS: &str = "RESOLVER_FROZEN_SECONDS";
/// For what another process must do on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much longer the slowest of a thousand reads may take than before. They take the same; what is left is for a machine
/// that has other things to do in the one or the other span.
const FACTOR: f64 = 3.0;

fn seconds() -> u64 {
    let Ok(text) = std::env::var(SECONDS) else { return 2 };
    text.parse().unwrap_or_else(|_| panic!("{SECONDS}={text}: not a number of seconds"))
}

/// The service whose line is half written, if there is one: its shadow is what is read, and `seq` says so.
fn half_written(reader: &Reader<'_>, handles: &[Handle]) -> Option<Handle> {
    let is_odd = |handle: &Handle| reader.resolve(*handle).is_ok_and(|resolved| resolved.seq() & 1 == 1);
    handles.iter().copied().find(is_odd)
}

/// Stops the writer, and sends it on, until it was caught where it is wanted; it stays stopped. How often.
fn stop_where(publisher: &Publisher, reader: &Reader<'_>, is_wanted: impl Fn() -> bool) -> u32 {
    let deadline = Instant::now() + PATIENCE;
    for stops in 1.. {
        publisher.stop();
        if is_wanted() {
            return stops;
        }
        assert!(Instant::now() < deadline, "{stops} stops, and none where it was wanted");
        // It has to get somewhere, or it would be stopped at the same place again.
        let epoch = reader.epoch();
        publisher.go_on();
        while reader.epoch() == epoch && Instant::now() < deadline {
            std::hint::spin_loop();
        }
    }
    unreachable!("there is no end of numbers")
}

/// The answers of all services; each is one publication's, whole.
fn answers(reader: &Reader<'_>, handles: &[Handle]) -> Vec<Resolved> {
    let whole = |(service, handle): (usize, &Handle)| {
        let resolved = reader.resolve(*handle).expect("it has a set, whatever the writer does");
        let n = resolved.id();
        let is_whole = resolved.address().socket_addr() == address(service, n) && resolved.tags() == !n;
        assert!(is_whole, "torn: {resolved:?}");
        assert_eq!(reader.resolve_name(&resolver_core::Name::new(&name(service))), Ok(resolved));
        let set = reader.set(*handle).expect("it has a set");
        assert!(
            set.into_iter().all(|endpoint| endpoint.is_ok_and(|endpoint| endpoint.id() == n)),
            "{service}"
        );
        resolved
    };
    handles.iter().enumerate().map(whole).collect()
}

#[test]
fn a_stopped_writer_costs_its_readers_nothing_and_they_know_it() {
    let time = Duration::from_secs(seconds());
    // In memory: a file of a disk would be written back meanwhile.
    let directory = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" });
    let directory = directory.expect("a directory");
    let path = directory.path().join("main.seg");
    let publisher = Publisher::start(&path);
    let segment = Segment::open(&path).expect("it can be read");
    let reader = segment.reader();
    let handles: Vec<Handle> =
        (0..SERVICES).map(|service| reader.service(&name(service)).expect("it was added")).collect();
    let max_age = (time / 10).min(Duration::from_secs(1));
    let mut watch = Watch::new(reader, handles[0], max_age);

    watch.until("fresh before", PATIENCE, |is_fresh| is_fresh);
    let written = Pace::over(time / 10, &reader, &handles, &mut watch);
    stop_where(&publisher, &reader, || !segment.inspect().repair.is_needed());
    let rested = Pace::over(time / 10, &reader, &handles, &mut watch);
    publisher.go_on();
    watch.until("fresh after a rest", PATIENCE, |is_fresh| is_fresh);

    let stops = stop_where(&publisher, &reader, || half_written(&reader, &handles).is_some());
    let stopped_at = Instant::now();
    let half = half_written(&reader, &handles).expect("the writer is stopped");
    let before = answers(&reader, &handles);
    let repair = segment.inspect().repair;
    assert!(repair.batch && repair.half_written == 1, "{repair:?}");
    watch.until("no longer fresh", PATIENCE, |is_fresh| !is_fresh);
    let stale_after = stopped_at.elapsed();
    let frozen = Pace::over(time.saturating_sub(stopped_at.elapsed()), &reader, &handles, &mut watch);
    assert!(!watch.is_fresh(), "nobody had said anything");
    assert_eq!(answers(&reader, &handles), before, "an answer changed, and nobody wrote");
    let mut together = vec![Err(resolver_core::ResolveError::Busy); handles.len()];
    reader.together(&handles, &mut together).expect("nobody writes");
    let first = together[0].as_ref().map(Resolved::id);
    assert!(together.iter().all(|answer| answer.as_ref().map(Resolved::id) == first), "half of a batch");
    assert_eq!(half_written(&reader, &handles), Some(half), "somebody went on with it");
    assert!(segment.has_owner().expect("the lock can be asked for"), "a stopped owner is one");
    let refused = OwnedSegment::acquire(&path, &CAPACITY).err();
    assert!(matches!(refused, Some(SegmentError::InUse { .. })), "{refused:?}");

    let (stopped, went_on) = (stopped_at.elapsed(), Instant::now());
    publisher.go_on();
    watch.until("fresh again", PATIENCE, |is_fresh| is_fresh);
    let fresh_after = went_on.elapsed();
    let is_later = || {
        handles
            .iter()
            .zip(&before)
            .all(|(handle, then)| reader.resolve(*handle).is_ok_and(|now| now.id() > then.id()))
    };
    let deadline = Instant::now() + PATIENCE;
    while !is_later() {
        assert!(Instant::now() < deadline, "the writer went on, and something stood still");
        std::hint::spin_loop();
    }

    eprintln!(
        "stopped within a publication (stop {stops}) for {:.1} s; bound {} ms: STALE {} ms after the stop, FRESH {} ms after the \
         writer went on; {} polls, none of another word than the beats allow",
        stopped.as_secs_f64(),
        max_age.as_millis(),
        stale_after.as_millis(),
        fresh_after.as_millis(),
        watch.polls
    );
    eprintln!(
        "{:<38} {:>11} {:>9} {:>9}   (with the clock's own)",
        "reads while the writer is", "reads", "p50 ns", "p99.9 ns"
    );
    for (what, pace) in
        [("writing", &written), ("stopped between publications", &rested), ("stopped within one", &frozen)]
    {
        eprintln!("{what:<38} {:>11} {:>9.0} {:>9.0}", pace.reads, pace.median, pace.slow);
    }
    let ratios = (frozen.slow / rested.slow, frozen.slow / written.slow);
    eprintln!(
        "p99.9 to that of a writer between publications {:.2}, of one that writes {:.2}",
        ratios.0, ratios.1
    );
    assert!(ratios.0 <= FACTOR, "the p99.9 is {:.2} times what it was", ratios.0);
}
