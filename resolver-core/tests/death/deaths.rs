//! Death at any moment: a writer that publishes without pause is killed and replaced, over and over.

use std::time::{Duration, Instant};

use resolver_core::{OwnedSegment, Segment};

use super::truth::{self, CAPACITY, FULL, SERVICES, Watcher};
use super::writer::Forked;
use super::{alone, asked};

/// How many writers die; a million for the long form.
const DEATHS: &str = "RESOLVER_DEATHS";
const SHORT: u64 = 500;
/// How long a writer may take to take over, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// All kinds of publication, without end.
fn write(path: &std::path::Path) {
    let mut owned = OwnedSegment::acquire(path, &CAPACITY).expect("its predecessor is dead");
    let mut writer = owned.writer().expect("it is whole");
    let mut n = truth::newest(&writer.reader());
    loop {
        n += 1;
        truth::publish(&mut writer, 0, n);
        truth::publish_together(&mut writer, n);
        truth::come(&mut writer, n);
        truth::publish(&mut writer, 6 + n as usize % (SERVICES - 6), n);
        truth::go(&mut writer);
        truth::beat(&mut writer);
        if n.is_multiple_of(8) {
            truth::publish(&mut writer, FULL, n);
        }
    }
}

/// Numbers without a pattern.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

#[test]
fn at_any_moment() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("main.seg");
    let mut owned = OwnedSegment::acquire(&path, &CAPACITY).expect("it can be created");
    let mut writer = owned.writer().expect("it is new");
    (0..SERVICES).for_each(|service| truth::publish(&mut writer, service, 1));
    truth::publish_together(&mut writer, 1);
    truth::beat(&mut writer);
    drop(owned);
    let segment = Segment::open(&path).expect("it can be read");
    let reader = segment.reader();
    let mut watcher = Watcher::new(reader);
    let (deaths, start) = (asked(DEATHS).unwrap_or(SHORT), Instant::now());
    let (mut within, mut committed, mut random) = (0u64, 0u64, 0x9e37_79b9_7f4a_7c15u64);
    for death in 0..deaths {
        let (owner, deadline) = (segment.owner().epoch, Instant::now() + PATIENCE);
        let writer = Forked::start(|| write(&path));
        let mut rounds = 0u64;
        while segment.owner().epoch == owner {
            std::hint::spin_loop();
            rounds += 1;
            if rounds.is_multiple_of(1 << 14) {
                assert!(writer.runs(), "death {death}: the takeover failed");
                assert!(Instant::now() < deadline, "death {death}: no takeover within {PATIENCE:?}");
            }
        }
        // Another moment each time, without a clock.
        for _ in 0..next(&mut random) % 20_000 {
            std::hint::spin_loop();
        }
        writer.kill();
        watcher.look().unwrap_or_else(|fault| panic!("death {death}: {fault}"));
        let inspection = segment.inspect();
        within += u64::from(inspection.repair.is_needed());
        committed += u64::from(inspection.repair.batch);
        if death.is_multiple_of(100_000) && death > 0 {
            eprintln!("{death} deaths, {within} of them within a publication, {:?}", start.elapsed());
        }
    }
    drop(OwnedSegment::acquire(&path, &CAPACITY).expect("the last one is dead"));
    watcher.look().and_then(|()| watcher.look_at_changes()).expect("all of it is whole in the end");
    eprintln!(
        "{deaths} deaths in {:?}, {within} of them within a publication ({committed} after its commit); {} publications, {} \
         reads of dead writers' segments; 0 torn, 0 blocked, 0 back in time, 0 failed takeovers",
        start.elapsed(),
        truth::newest(&reader),
        watcher.reads
    );
    assert!(within > 0, "no death was within a publication: this showed nothing");
}
