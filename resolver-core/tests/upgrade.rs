//! The agent goes over to another layout under readers that stay: old readers keep the old mapping and its answers, learn that
//! they have been superseded, and are told plainly why they cannot read what is there now. Never does anybody misread.
//!
//! There is one layout in this program, so the other one is simulated: a segment of this version whose header says another
//! number, newer or older by one. A newer agent's part (a new inode that is renamed into place) is played by the test; an older
//! one's segment, and an older writer that still lives, by one whose number was changed after it was opened.

use std::fs::{self, File, OpenOptions, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use resolver_core::shm::Origin;
use resolver_core::{
    Capacity, Endpoint, LAYOUT_VERSION, OpenError, OwnedSegment, Segment, SegmentError, Standing,
};
use tempfile::TempDir;

const CAPACITY: Capacity = Capacity { services: 4, endpoints: 16, configs: 1, text_bytes: 0 };
const NEWER: u32 = LAYOUT_VERSION + 1;
const OLDER: u32 = LAYOUT_VERSION - 1;
/// Bytes of the header before its version, in every layout: the magic number.
const VERSION_AT: u64 = 8;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("main.seg");
    (directory, path)
}

fn publish(owned: &mut OwnedSegment, port: u16) {
    let mut writer = owned.writer().expect("it is whole");
    let oms = writer.add("oms").expect("there is room");
    let endpoint = Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port)));
    writer.publish(oms, &[endpoint], Standing::FRESH, b"").expect("there is room");
}

/// The port that a reader has for the one service.
fn port(segment: &Segment) -> u16 {
    let reader = segment.reader();
    let oms = reader.service("oms").expect("it was published");
    reader.resolve(oms).expect("it has a set").address().port()
}

/// Changes the layout's number in a file, and nothing else.
fn say_version(path: &Path, version: u32) {
    let file = OpenOptions::new().write(true).open(path).expect("its owner may");
    file.write_all_at(&u64::from(version).to_ne_bytes(), VERSION_AT).expect("it can be written");
}

/// What the agent of a newer layout leaves: a new file in the old one's place.
fn put_newer_in_place(path: &Path) {
    let new = path.with_extension("new");
    fs::copy(path, &new).expect("it can be copied");
    fs::set_permissions(&new, Permissions::from_mode(0o640)).expect("its mode");
    say_version(&new, NEWER);
    fs::rename(&new, path).expect("it takes the place");
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).expect("it is there").ino()
}

#[track_caller]
fn refused(path: &Path, version: u32) {
    match Segment::open(path) {
        Err(error @ SegmentError::Table { error: OpenError::Version(found), .. }) => {
            let text = error.to_string();
            assert_eq!(found, version);
            assert!(text.contains(&format!("layout version {version}")), "{text}");
            assert!(text.contains(&format!("reads version {LAYOUT_VERSION}")), "{text}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a table of another layout was opened"),
    }
}

#[test]
fn readers_of_before_stay_on_the_old_mapping_and_are_told() {
    let (_directory, path) = place();
    let mut owned = OwnedSegment::acquire(&path, &CAPACITY).expect("it can be created");
    publish(&mut owned, 1);
    let old = Segment::open(&path).expect("it can be read");
    let (reader, before) = (old.reader(), inode(&path));
    let oms = reader.service("oms").expect("it was published");
    let mut cached = reader.cached(oms);
    let resolved = cached.resolve(&reader);
    // The old agent makes way, and the newer one comes.
    drop(owned);
    put_newer_in_place(&path);
    assert_ne!(inode(&path), before, "another inode");
    // The poll: the path leads elsewhere.
    assert!(!old.is_current() && !old.has_owner().expect("it can be asked for"));
    // What is there cannot be read, and says so; nor by one that waits.
    refused(&path, NEWER);
    match Segment::open_or_wait(&path, Instant::now() + Duration::from_millis(5)) {
        Err(error @ SegmentError::Missing { .. }) => {
            let text = error.to_string();
            assert!(
                text.contains("the file is there") && text.contains(&format!("version {NEWER}")),
                "{text}"
            );
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a table of another layout was opened"),
    }
    // The old mapping is as it was, though its file has no name any more.
    assert_eq!((reader.resolve(oms), cached.resolve(&reader)), (resolved, resolved));
    assert_eq!(port(&old), 1);
    assert!(old.faults().is_empty(), "{:?}", old.faults());
    assert_eq!(old.inspect().layout, LAYOUT_VERSION);
    // Somebody writes to what is there now: nothing of it reaches the old one.
    let new = OpenOptions::new().write(true).open(&path).expect("its owner may");
    new.write_all_at(&[0xff; 4096], 4096).expect("it can be written");
    assert_eq!((reader.resolve(oms), port(&old)), (resolved, 1));
}

#[test]
fn one_that_waits_gets_the_segment_of_its_own_version_when_it_comes() {
    let (_directory, path) = place();
    publish(&mut OwnedSegment::acquire(&path, &CAPACITY).expect("it can be created"), 1);
    put_newer_in_place(&path);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| Segment::open_or_wait(&path, Instant::now() + Duration::from_secs(60)));
        refused(&path, NEWER);
        // An agent of this version comes (back): a new inode again, never over the bytes of another layout.
        let (before, held) = (inode(&path), File::open(&path).expect("it can be read"));
        let bytes = fs::read(&path).expect("it can be read");
        let mut owned = OwnedSegment::acquire(&path, &CAPACITY).expect("nobody owns it");
        assert_eq!(owned.origin(), Origin::Superseded);
        publish(&mut owned, 2);
        assert_ne!(inode(&path), before);
        let mut now = vec![0; bytes.len()];
        held.read_exact_at(&mut now, 0).expect("it is there while it is open");
        assert!(now == bytes, "bytes of another layout were changed");
        let segment = waiting.join().expect("no panic").expect("it came");
        assert!(segment.is_current());
        assert_eq!(port(&segment), 2);
    });
}

#[test]
fn an_older_segment_is_superseded_and_its_readers_go_on() {
    let (_directory, path) = place();
    let mut owned = OwnedSegment::acquire(&path, &CAPACITY).expect("it can be created");
    publish(&mut owned, 1);
    // A reader of the older version, to which this number is its own.
    let old = Segment::open(&path).expect("it can be read");
    say_version(&path, OLDER);
    refused(&path, OLDER);

    // While the older agent lives, stopped or not, it keeps the place; and not a byte of its is touched.
    let bytes = fs::read(&path).expect("it can be read");
    let kept = OwnedSegment::acquire(&path, &CAPACITY).err();
    assert!(matches!(kept, Some(SegmentError::InUse { .. })), "{kept:?}");
    assert!(owned.is_current() && fs::read(&path).expect("it can be read") == bytes);
    assert_eq!(port(&old), 1);

    drop(owned);
    let held = File::open(&path).expect("it can be read");
    let mut owned = OwnedSegment::acquire(&path, &CAPACITY).expect("nobody owns it");
    assert_eq!(owned.origin(), Origin::Superseded);
    publish(&mut owned, 2);
    let new = Segment::open(&path).expect("it is of this version");
    assert_ne!(new.reader().seed(), old.reader().seed());
    assert_eq!((port(&old), port(&new)), (1, 2));
    assert!(!old.is_current() && new.is_current());
    let mut now = vec![0; bytes.len()];
    held.read_exact_at(&mut now, 0).expect("it is there while it is open");
    assert!(now == bytes, "the old segment was changed");
    // A handle of the one means nothing in the other.
    let oms = old.reader().service("oms").expect("it was published");
    assert!(new.reader().resolve(oms).is_err());
}

/// The number says that a reader of the one could misread the other, so it is looked at before anything else is.
#[test]
fn the_number_is_looked_at_before_sizes_and_checksum() {
    let (_directory, path) = place();
    publish(&mut OwnedSegment::acquire(&path, &CAPACITY).expect("it can be created"), 1);
    let file = OpenOptions::new().write(true).open(&path).expect("its owner may");
    // The counts and the checksum of a newer layout are anything, and may lie anywhere.
    file.write_all_at(&[0xa5; 48], 16).expect("it can be written");
    for version in [NEWER, OLDER, u32::MAX] {
        say_version(&path, version);
        refused(&path, version);
    }
    say_version(&path, LAYOUT_VERSION);
    assert!(matches!(
        Segment::open(&path),
        Err(SegmentError::Table { error: OpenError::Checksum | OpenError::Size { .. }, .. })
    ));
}
