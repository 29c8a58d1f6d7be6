//! Opening a segment: what is asked of the system and whether it was given, and waiting for a segment that is not there yet.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Uid, geteuid, setuid};
use resolver_core::shm::{Effect, Owner, SegmentOptions, Wish};
use resolver_core::{Capacity, OwnedSegment, Segment, SegmentError};
use tempfile::TempDir;

const SEGMENT: &str = "RESOLVER_TEST_LIMITED_READER";
const NOBODY: u32 = 65_534;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("its mode");
    let path = directory.path().join("main.seg");
    (directory, path)
}

fn create(path: &PathBuf) -> OwnedSegment {
    OwnedSegment::acquire(path, &Capacity::SMALL).expect("it can be created")
}

#[test]
fn what_is_not_asked_for_is_not_done() {
    let (_directory, path) = place();
    let owned = create(&path);
    let of_owner = owned.hold(&SegmentOptions::default()).expect("a wish does not fail");
    assert!(of_owner.pretouch.is_taken() && matches!(of_owner.lock, Effect::NotAsked), "{of_owner:?}");
    let segment = Segment::open(&path).expect("it can be read");
    assert!(segment.effects().pretouch.is_taken(), "{}", segment.effects().pretouch);
    assert!(matches!(segment.effects().lock, Effect::NotAsked));
    assert_eq!(segment.effects().huge_pages.to_string(), "not asked for");
}

/// Kilobytes that the kernel says are locked.
fn locked() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).expect("Linux says it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Runs one of the tests below in a process of its own, which may lose its rights.
fn alone(test: &str, path: &PathBuf) {
    let program = std::env::current_exe().expect("this binary");
    let ran = Command::new(program).args(["--exact", test, "--nocapture"]).env(SEGMENT, path).output();
    let ran = ran.expect("this binary can be started");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("looked"), "{said}");
}

#[test]
fn locked_pages_are_seen_by_the_kernel_and_a_limit_is_told() {
    let (_directory, path) = place();
    let owned = create(&path);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("its mode");
    alone("locks_its_pages", &path);
    alone("is_refused_by_a_limit", &path);
    drop(owned);
}

#[test]
fn locks_its_pages() {
    // Without the variable this is not that process, and there is nothing to do.
    let Some(path) = std::env::var_os(SEGMENT) else { return };
    let before = locked();
    let options = SegmentOptions { lock: Wish::Try, huge_pages: Wish::Try, ..SegmentOptions::default() };
    let segment = options.open(PathBuf::from(&path)).expect("a wish does not fail");
    let size = fs::metadata(&path).expect("it is there").len() / 1024;
    match &segment.effects().lock {
        Effect::Taken => assert!(locked() >= before + size, "{} kB are locked, of {size}", locked()),
        // A small limit is an answer too.
        refused => assert!(refused.to_string().contains("os error"), "{refused}"),
    }
    assert!(!matches!(segment.effects().huge_pages, Effect::NotAsked));
    // Asked for without fail, it is there or the segment is not opened.
    let must = SegmentOptions { huge_pages: Wish::Must, ..options }.open(PathBuf::from(&path));
    assert_eq!(must.is_ok(), segment.effects().huge_pages.is_taken());
    eprintln!("looked: lock {}, huge pages {}", segment.effects().lock, segment.effects().huge_pages);
}

#[test]
fn is_refused_by_a_limit() {
    let Some(path) = std::env::var_os(SEGMENT) else { return };
    let path = PathBuf::from(path);
    setrlimit(Resource::RLIMIT_MEMLOCK, 0, 0).expect("less is always allowed");
    let owner = geteuid().as_raw();
    if geteuid().is_root() {
        // Root is above that limit.
        setuid(Uid::from_raw(NOBODY)).expect("root may become anybody");
    }
    let options = SegmentOptions { owner: Owner::Uid(owner), lock: Wish::Try, ..SegmentOptions::default() };
    let segment = options.open(&path).expect("a wish does not fail");
    let refused = segment.effects().lock.to_string();
    assert!(refused.starts_with("refused: ") && refused.contains("os error"), "{refused}");
    assert!(segment.reader().service("none").is_none(), "it can be read all the same");
    match (SegmentOptions { lock: Wish::Must, ..options }).open(&path) {
        Err(error @ SegmentError::Io { .. }) => {
            assert!(error.to_string().contains("RLIMIT_MEMLOCK"), "{error}")
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was opened without its lock"),
    }
    eprintln!("looked: {refused}");
}

#[test]
fn a_segment_that_comes_later_is_waited_for() {
    let (directory, _) = place();
    // The directory is missing at first, too.
    let path = directory.path().join("later/main.seg");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| Segment::open_or_wait(&path, Instant::now() + Duration::from_secs(60)));
        assert!(matches!(Segment::open(&path), Err(SegmentError::Io { .. })));
        let _owned = create(&path);
        let segment = waiting.join().expect("it did not panic").expect("it came");
        assert!(segment.is_current());
    });
}

#[test]
fn what_is_missing_at_the_deadline_is_named() {
    let (directory, path) = place();
    let wait = |path: &PathBuf| match Segment::open_or_wait(path, Instant::now() + Duration::from_millis(5)) {
        Err(error @ SegmentError::Missing { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("there is none"),
    };
    let nowhere = directory.path().join("nowhere/main.seg");
    assert!(wait(&nowhere).contains("nowhere does not exist"), "{}", wait(&nowhere));
    assert!(wait(&path).contains("the file is not"), "{}", wait(&path));
    fs::write(&path, [0; 8192]).expect("written");
    assert!(wait(&path).contains("still being created"), "{}", wait(&path));
}

#[test]
fn what_waiting_does_not_mend_is_told_at_once() {
    let (_directory, path) = place();
    drop(create(&path));
    fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("its mode");
    // A deadline that no test run would live to see.
    let refused = Segment::open_or_wait(&path, Instant::now() + Duration::from_secs(86_400)).err();
    assert!(matches!(refused, Some(SegmentError::Untrusted { .. })), "{refused:?}");
}
