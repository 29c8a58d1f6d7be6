//! What only root can show.

use std::os::unix::fs::{chown, symlink};

use resolver_core::shm::Owner;
use resolver_core::{Capacity, OwnedSegment, Segment, SegmentError};
use resolver_tests::Host;

/// Nobody of this number is on the host.
const STRANGER: u32 = 61_234;

#[test]
fn privileged_a_segment_of_another_user_is_refused_unless_it_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("main.seg");
    drop(OwnedSegment::acquire(&path, &Capacity::SMALL).expect("the segment"));
    chown(&path, Some(STRANGER), None).expect("root may do that");
    let refused = Segment::open(&path).err().expect("a stranger's segment").to_string();
    assert!(refused.contains("owner") && refused.contains(&STRANGER.to_string()), "{refused}");
    assert!(Segment::open_from(&path, Owner::Uid(STRANGER)).is_ok());
    let refused = OwnedSegment::acquire(&path, &Capacity::SMALL).err().expect("not ours to write to");
    assert!(matches!(refused, SegmentError::Untrusted { .. }), "{refused}");
}

#[test]
fn privileged_a_directory_of_another_user_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let planted = directory.path().join("planted");
    std::fs::create_dir(&planted).expect("a directory");
    chown(&planted, Some(STRANGER), None).expect("root may do that");
    let refused = OwnedSegment::acquire(planted.join("main.seg"), &Capacity::SMALL).err().expect("refused");
    assert!(matches!(refused, SegmentError::Untrusted { .. }), "{refused}");
    let link = directory.path().join("link");
    symlink(&planted, &link).expect("a link");
    let refused = OwnedSegment::acquire(link.join("main.seg"), &Capacity::SMALL).err().expect("refused");
    assert!(matches!(refused, SegmentError::Io { .. } | SegmentError::Untrusted { .. }), "{refused}");
    assert_eq!(std::fs::read_dir(&planted).expect("it is there").count(), 0, "nothing was written there");
}

#[test]
fn privileged_tools_read_another_users_segment_when_they_name_it() {
    let host = Host::new();
    drop(OwnedSegment::acquire(host.segment(), &Capacity::SMALL).expect("the segment"));
    chown(host.segment(), Some(STRANGER), None).expect("root may do that");
    assert_eq!(host.get("oms").code, Some(5), "a stranger's");
    let (segment, owner) = (host.segment().display().to_string(), STRANGER.to_string());
    let named = host.run(&["get", "oms", "--segment", &segment, "--owner", &owner]);
    assert_eq!(named.code, Some(3), "it was read, and has no such service");
}
