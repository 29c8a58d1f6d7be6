//! Who owns a segment: what a reader does to its file keeps no writer out, and what becomes of the lock's file lets no two in.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Barrier;

use resolver_core::shm::Origin;
use resolver_core::{Capacity, OwnedSegment, Segment, SegmentError};
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("main.seg");
    (directory, path)
}

/// The segment's one lock.
fn lock_of(path: &Path) -> PathBuf {
    let entries = fs::read_dir(path.parent().expect("it has one")).expect("it can be listed");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    let locks: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "lock")).collect();
    assert_eq!(locks.len(), 1, "{locks:?}");
    locks[0].clone()
}

fn acquire(path: &Path) -> Result<OwnedSegment, SegmentError> {
    OwnedSegment::acquire(path, &Capacity::SMALL)
}

#[track_caller]
fn is_in_use(path: &Path) {
    match acquire(path) {
        Err(SegmentError::InUse { pid, .. }) => assert_eq!(pid, std::process::id()),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("two owners"),
    }
}

#[test]
fn a_reader_that_locks_the_segment_keeps_no_writer_out() {
    for exclusive in [false, true] {
        let (_directory, path) = place();
        let owned = acquire(&path).expect("it can be created");
        let seed = owned.reader().expect("it is whole").seed();
        drop(owned);
        // All that a reader can: the file is open to read.
        let reader = File::open(&path).expect("it can be read");
        if exclusive { reader.lock() } else { reader.lock_shared() }.expect("the kernel lets it");
        let owned = acquire(&path).expect("nobody owns it");
        assert_eq!(owned.origin(), Origin::TakenOver);
        is_in_use(&path);
        drop(owned);
        let other = OwnedSegment::acquire(&path, &Capacity { services: 9, ..Capacity::SMALL });
        let other = other.expect("nobody owns it");
        assert_eq!(other.origin(), Origin::Superseded);
        assert_ne!(other.reader().expect("it is whole").seed(), seed);
        assert_eq!(fs::metadata(lock_of(&path)).expect("it is there").permissions().mode() & 0o7777, 0o600);
    }
}

#[test]
fn a_lock_that_was_removed_lets_no_second_owner_in() {
    let (_directory, path) = place();
    let owned = acquire(&path).expect("it can be created");
    for _ in 0..2 {
        // Twice: the refused one leaves a lock's file behind, which is nobody's and names no segment.
        is_in_use(&path);
        fs::remove_file(lock_of(&path)).expect("its user can");
        is_in_use(&path);
        assert!(lock_of(&path).exists());
        is_in_use(&path);
    }
    drop(owned);
    // Then it is free; and with a reader's lock as well from the second one on.
    drop(acquire(&path).expect("nobody owns it"));
    let reader = File::open(&path).expect("it can be read");
    reader.lock_shared().expect("the kernel lets it");
    assert_eq!(acquire(&path).expect("nobody owns it").origin(), Origin::TakenOver);
}

#[test]
fn a_removed_lock_and_a_reader_that_locks_is_told_as_in_use() {
    // The one case that a reader can block: nothing tells it from an owner whose lock's file was removed.
    let (_directory, path) = place();
    drop(acquire(&path).expect("it can be created"));
    fs::remove_file(lock_of(&path)).expect("its user can");
    let reader = File::open(&path).expect("it can be read");
    reader.lock_shared().expect("the kernel lets it");
    is_in_use(&path);
    // The way out is the operator's.
    fs::remove_file(&path).expect("its user can");
    assert_eq!(acquire(&path).expect("there is none").origin(), Origin::Created);
}

#[test]
fn a_segment_that_was_removed_is_nobody_elses_to_keep() {
    // Its owner is stopped, say, and the operator wants another agent: the file is removed, and its lock is of no account.
    let (_directory, path) = place();
    let old = acquire(&path).expect("it can be created");
    fs::remove_file(&path).expect("its user can");
    let new = acquire(&path).expect("there is none");
    assert!(new.is_current() && !old.is_current());
    is_in_use(&path);
    drop((old, new));
    fs::remove_file(&path).expect("its user can");
    drop(acquire(&path).expect("there is none"));
    assert!(lock_of(&path).exists(), "the others' locks are swept");
}

#[test]
fn of_many_that_start_at_once_one_owns_it() {
    for round in 0..20 {
        let (_directory, path) = place();
        if round % 2 == 1 {
            drop(acquire(&path).expect("it can be created"));
        }
        if round % 4 == 3 {
            fs::remove_file(lock_of(&path)).expect("its user can");
        }
        let (start, end) = (Barrier::new(4), Barrier::new(4));
        let owners: usize = std::thread::scope(|scope| {
            let one = || {
                start.wait();
                let owned = acquire(&path);
                // All have tried before the first one leaves.
                end.wait();
                match owned {
                    Ok(owned) => {
                        assert!(owned.is_current(), "round {round}: an owner of what has no name");
                        1
                    }
                    Err(SegmentError::InUse { .. }) => 0,
                    Err(error) => panic!("{error}"),
                }
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it did not panic")).sum()
        });
        assert_eq!(owners, 1, "round {round}");
    }
}

#[test]
fn a_lock_that_others_can_open_is_refused() {
    let (directory, path) = place();
    drop(acquire(&path).expect("it can be created"));
    let lock = lock_of(&path);
    let refused = || match acquire(&path) {
        Err(error @ SegmentError::Untrusted { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was accepted"),
    };
    fs::set_permissions(&lock, Permissions::from_mode(0o640)).expect("its mode");
    assert!(refused().contains("mode 600; this one is"), "{}", refused());
    fs::remove_file(&lock).expect("its user can");
    let target = directory.path().join("target");
    fs::write(&target, b"untouched").expect("written");
    symlink(&target, &lock).expect("a link");
    assert!(refused().contains("symbolic link"), "{}", refused());
    fs::remove_file(&lock).expect("its user can");
    fs::set_permissions(&target, Permissions::from_mode(0o600)).expect("its mode");
    fs::hard_link(&target, &lock).expect("a link");
    assert!(refused().contains("2 links"), "{}", refused());
    assert_eq!(fs::read(&target).expect("it is there"), b"untouched");
    // Readers have nothing to do with it.
    assert!(Segment::open(&path).is_ok());
}
