//! Segments: creation, takeover, supersession, and everything that is not to be trusted.

use std::fs::{self, File, OpenOptions, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use resolver_core::shm::{Origin, Owner};
use resolver_core::{
    Capacity, Endpoint, LAYOUT_VERSION, OpenError, OwnedSegment, ResolveError, Segment, SegmentError,
    Standing, Writer,
};
use tempfile::TempDir;

const CAPACITY: Capacity = Capacity { services: 4, endpoints: 16, configs: 0, text_bytes: 0 };

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o750)).expect("its mode");
    let path = directory.path().join("main.seg");
    (directory, path)
}

fn publish(writer: &mut Writer<'_>, name: &str, port: u16) {
    let handle = writer.add(name).expect("there is room");
    let endpoint = Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port)));
    writer.publish(handle, &[endpoint], Standing::FRESH, b"").expect("there is room");
}

fn acquire(path: &Path) -> OwnedSegment {
    OwnedSegment::acquire(path, &CAPACITY).expect("it can be acquired")
}

/// A segment that nobody owns, with one service.
fn abandoned(path: &Path) {
    publish(&mut acquire(path).writer().expect("it is whole"), "oms", 1);
}

fn why<T>(result: Result<T, SegmentError>) -> String {
    match result {
        Ok(_) => panic!("it was accepted"),
        Err(error @ SegmentError::Untrusted { .. }) => error.to_string(),
        Err(error) => panic!("not a matter of trust: {error}"),
    }
}

fn table_error(path: &Path) -> OpenError {
    match Segment::open(path) {
        Err(SegmentError::Table { error, .. }) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was accepted"),
    }
}

#[test]
fn a_takeover_in_place_goes_unnoticed() {
    let (_directory, path) = place();
    let mut owned = acquire(&path);
    assert_eq!(
        (owned.origin(), owned.owner().epoch, owned.owner().pid),
        (Origin::Created, 1, std::process::id())
    );
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o7777, 0o640);
    publish(&mut owned.writer().expect("it is whole"), "oms", 1);
    let segment = Segment::open(&path).expect("it can be read");
    assert!(segment.has_owner().expect("the lock can be asked for"));
    let reader = segment.reader();
    let oms = reader.service("oms").expect("it was added");
    assert_eq!(reader.resolve(oms).map(|resolved| resolved.address().port()), Ok(1));

    drop(owned);
    assert!(!segment.has_owner().expect("the lock can be asked for"));
    assert!(segment.is_current());
    assert!(reader.resolve(oms).is_ok(), "the last answers stay");

    let mut owned = acquire(&path);
    assert_eq!((owned.origin(), owned.owner().epoch, owned.repaired()), (Origin::TakenOver, 2, 0));
    publish(&mut owned.writer().expect("it is whole"), "oms", 2);
    assert!(segment.is_current() && owned.is_current());
    assert_eq!(
        reader.resolve(oms).map(|resolved| resolved.address().port()),
        Ok(2),
        "same mapping, same handle"
    );
    assert_eq!(segment.owner().epoch, 2);
    assert_eq!(
        fs::read_dir(path.parent().expect("a parent")).expect("it can be listed").count(),
        2,
        "it and its lock"
    );
}

#[test]
fn a_second_owner_is_refused_and_touches_nothing() {
    let (_directory, path) = place();
    let mut owned = acquire(&path);
    publish(&mut owned.writer().expect("it is whole"), "oms", 1);
    let before = fs::read(&path).expect("it can be read");
    for capacity in [CAPACITY, Capacity::SMALL] {
        match OwnedSegment::acquire(&path, &capacity) {
            Err(error @ SegmentError::InUse { pid, .. }) => {
                assert_eq!(pid, std::process::id());
                assert!(error.to_string().contains("its last owner was process"), "{error}");
            }
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("two owners"),
        }
    }
    assert!(before == fs::read(&path).expect("it can be read"), "bytes changed");
    assert!(owned.is_current());
}

#[test]
fn readers_that_ask_for_the_owner_keep_no_owner_out() {
    let (_directory, path) = place();
    abandoned(&path);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let segment = Segment::open(&path).expect("it can be read");
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                segment.has_owner().expect("the lock can be asked for");
            }
        });
        let refused = (0..200).find_map(|_| OwnedSegment::acquire(&path, &CAPACITY).err());
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(refused.is_none(), "{refused:?}");
    });
}

#[test]
fn another_capacity_supersedes() {
    let (_directory, path) = place();
    abandoned(&path);
    let old = Segment::open(&path).expect("it can be read");
    let oms = old.reader().service("oms").expect("it was added");
    let mut owned = OwnedSegment::acquire(&path, &Capacity::SMALL).expect("it can be acquired");
    assert_eq!(owned.origin(), Origin::Superseded);
    publish(&mut owned.writer().expect("it is whole"), "oms", 2);
    assert!(!old.is_current());
    assert_eq!(
        old.reader().resolve(oms).map(|resolved| resolved.address().port()),
        Ok(1),
        "the old mapping goes on"
    );
    assert!(!old.has_owner().expect("the lock can be asked for"));
    let new = Segment::open(&path).expect("it can be read");
    assert_ne!(new.reader().seed(), old.reader().seed());
    assert_eq!(new.reader().resolve(oms), Err(ResolveError::Gone), "an old handle means nothing here");
    assert_eq!(
        new.reader().resolve(new.reader().service("oms").expect("it was added")).map(|r| r.address().port()),
        Ok(2)
    );
}

#[test]
fn a_segment_that_was_removed_is_noticed() {
    let (_directory, path) = place();
    let mut owned = acquire(&path);
    publish(&mut owned.writer().expect("it is whole"), "oms", 1);
    let segment = Segment::open(&path).expect("it can be read");
    fs::remove_file(&path).expect("it can be removed");
    assert!(!owned.is_current() && !segment.is_current());
    let again = acquire(&path);
    assert_eq!(again.origin(), Origin::Created);
    assert!(!owned.is_current() && again.is_current());
}

#[test]
fn what_is_no_file_of_ours_is_refused() {
    let (directory, path) = place();
    let missing = Segment::open(&path);
    assert!(
        matches!(&missing, Err(SegmentError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound)
    );
    abandoned(&path);

    let link = directory.path().join("link.seg");
    symlink(&path, &link).expect("a link");
    assert!(why(Segment::open(&link)).contains("symbolic link"));
    assert!(why(OwnedSegment::acquire(&link, &CAPACITY)).contains("symbolic link"));
    assert!(fs::symlink_metadata(&link).expect("it is there").is_symlink());

    let fifo = directory.path().join("fifo.seg");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o640),
        0,
    )
    .expect("a fifo");
    assert!(why(Segment::open(&fifo)).contains("not a regular file"));
    assert!(why(OwnedSegment::acquire(&fifo, &CAPACITY)).contains("not a regular file"));
    // A directory cannot be opened for writing at all.
    assert!(why(Segment::open(directory.path())).contains("not a regular file"));
    assert!(matches!(
        OwnedSegment::acquire(directory.path().join("."), &CAPACITY),
        Err(SegmentError::Io { .. } | SegmentError::Untrusted { .. })
    ));

    let hard = directory.path().join("hard.seg");
    fs::hard_link(&path, &hard).expect("a hard link");
    assert!(why(Segment::open(&path)).contains("2 links"));
    assert!(why(OwnedSegment::acquire(&hard, &CAPACITY)).contains("2 links"));
    fs::remove_file(&hard).expect("it can be removed");

    for mode in [0o660, 0o646, 0o666] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
        assert!(why(Segment::open(&path)).contains("lets others write"), "{mode:o}");
        assert!(why(OwnedSegment::acquire(&path, &CAPACITY)).contains("lets others write"), "{mode:o}");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("its mode");
    let own = rustix::process::geteuid().as_raw();
    assert!(Segment::open_from(&path, Owner::Uid(own)).is_ok());
    assert!(why(Segment::open_from(&path, Owner::Uid(own + 1))).contains("owner is uid"));
    assert!(Segment::open(&path).is_ok(), "after all that it is as it was");

    fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).expect("its mode");
    assert!(why(OwnedSegment::acquire(&path, &CAPACITY)).contains("a segment wants a directory"));
}

#[test]
fn what_is_no_table_is_refused() {
    let (_directory, path) = place();
    // Too short for anything, and too short for a header.
    for (bytes, refused) in [(0, "too short"), (63, "too short")] {
        fs::write(&path, vec![0u8; bytes]).expect("it can be written");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("its mode");
        assert!(matches!(table_error(&path), OpenError::Size { .. }), "{bytes}");
        assert!(why(OwnedSegment::acquire(&path, &CAPACITY)).contains(refused), "{bytes}");
    }
    fs::write(&path, vec![0u8; 200]).expect("it can be written");
    assert!(matches!(table_error(&path), OpenError::Size { .. }));

    // Somebody else's file: never replaced.
    let foreign = b"SQLite format 3\0 and so on ".repeat(400);
    fs::write(&path, &foreign).expect("it can be written");
    assert!(matches!(table_error(&path), OpenError::Magic(magic) if magic != 0));
    assert!(why(OwnedSegment::acquire(&path, &CAPACITY)).contains("not a resolver table"));
    assert!(fs::read(&path).expect("it can be read") == foreign);

    // Zeros: one whose creation was cut short. Nobody can have published there.
    fs::write(&path, vec![0u8; 8192]).expect("it can be written");
    assert_eq!(table_error(&path), OpenError::Magic(0));
    assert_eq!(acquire(&path).origin(), Origin::Superseded);
}

/// Changes one word of a segment's file.
fn poke(path: &Path, word: u64, change: impl Fn(u64) -> u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("it can be opened");
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, word * 8).expect("it can be read");
    file.write_all_at(&change(u64::from_ne_bytes(bytes)).to_ne_bytes(), word * 8).expect("it can be written");
}

#[test]
fn a_damaged_or_foreign_header_is_refused_and_superseded() {
    type Damage = (u64, fn(u64) -> u64, fn(OpenError) -> bool);
    let damages: [Damage; 5] = [
        (1, |version| version + 1, |error| error == OpenError::Version(LAYOUT_VERSION + 1)),
        (3, |services| services + 1, |error| error == OpenError::Checksum),
        (6, |seed| !seed, |error| error == OpenError::Checksum),
        (7, |checksum| checksum ^ 1 << 40, |error| error == OpenError::Checksum),
        (2, |total| total + 1, |error| error == OpenError::Checksum),
    ];
    for (word, change, expected) in damages {
        let (_directory, path) = place();
        abandoned(&path);
        poke(&path, word, change);
        let error = table_error(&path);
        assert!(expected(error), "{error:?}");
        assert_eq!(acquire(&path).origin(), Origin::Superseded);
        assert!(Segment::open(&path).is_ok());
    }
    let (_directory, path) = place();
    abandoned(&path);
    poke(&path, 0, u64::swap_bytes);
    assert_eq!(table_error(&path), OpenError::ByteOrder);

    // Truncated before it was opened.
    let (_directory, path) = place();
    abandoned(&path);
    let size = fs::metadata(&path).expect("it is there").len();
    File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(size - 4096))
        .expect("it can be cut");
    assert!(matches!(table_error(&path), OpenError::Size { .. }));
    assert_eq!(acquire(&path).origin(), Origin::Superseded);
}

#[test]
fn a_damaged_head_is_superseded() {
    let (_directory, path) = place();
    abandoned(&path);
    // The head of slot 0: line 64, its seventh payload word names the set's first cell. A set where none can be.
    poke(&path, 64 * 8 + 7, |word| word | 0xffff_ff00);
    assert_eq!(acquire(&path).origin(), Origin::Superseded);
}

#[test]
fn a_header_that_changes_after_open_breaks_nothing() {
    let (_directory, path) = place();
    abandoned(&path);
    let segment = Segment::open(&path).expect("it can be read");
    for word in 0..8 {
        poke(&path, word, |word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1));
    }
    let reader = segment.reader();
    assert!(reader.service("oms").is_some_and(|oms| reader.resolve(oms).is_ok()));
}

#[test]
fn what_a_dead_maker_left_is_swept_and_what_a_live_one_makes_is_not() {
    let (directory, path) = place();
    let dead = directory.path().join(".new-1-0000000000000001");
    let live = directory.path().join(".new-2-0000000000000002");
    fs::write(&dead, b"half a segment").expect("written");
    fs::write(&live, b"half a segment").expect("written");
    let maker = fs::File::open(&live).expect("opened");
    maker.lock().expect("locked");
    let _owned = acquire(&path);
    assert!(!dead.exists() && live.exists());
}
