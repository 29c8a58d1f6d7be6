//! How long a mapping lives, and how a reader learns that another one has taken its place.

mod native;

use std::ffi::c_char;
use std::ptr::null_mut;

use native::{Place, publish};
use resolver_core::{Capacity, OwnedSegment};
use resolver_ffi::*;

/// How often this process has the file mapped.
fn mappings(place: &Place) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux says what is mapped");
    // One that was replaced is "(deleted)" behind its path.
    let path = place.path();
    let path = path.to_str().expect("letters");
    maps.lines().filter(|line| line.contains(path)).count()
}

fn open(place: &Place) -> *mut Segment {
    let mut segment = null_mut();
    // SAFETY: The path ends in a zero and the output is there.
    let code = unsafe { resolver_open(place.c_path().as_ptr(), -1, &mut segment) };
    assert_eq!(code, Code::Ok);
    segment
}

fn handle(segment: *const Segment, name: &str) -> u64 {
    let mut handle = 0;
    // SAFETY: The name is as long as said, the segment open.
    let code = unsafe { resolver_service(segment, name.as_ptr().cast::<c_char>(), name.len(), &mut handle) };
    assert_eq!(code, Code::Ok);
    handle
}

/// A segment may go to other threads; that is what C does without a word.
#[derive(Clone, Copy)]
struct Shared(*mut Segment);

// SAFETY: A segment is for all threads (`segment.rs` asserts it of its type), and these tests count references.
unsafe impl Send for Shared {}

#[test]
fn the_last_release_unmaps() {
    let place = Place::new();
    let mut owned = place.own();
    publish(&mut owned.writer().expect("it is new"));
    drop(owned);
    assert_eq!(mappings(&place), 0);
    let segment = open(&place);
    assert_eq!(mappings(&place), 1);
    let oms = handle(segment, "oms");
    let shared = Shared(segment);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            // SAFETY: It is open; the reference is the thread's.
            unsafe { resolver_retain(segment) };
            std::thread::spawn(move || {
                let Shared(segment) = { shared };
                let mut record = Record::default();
                // SAFETY: The reference is this thread's until it is released.
                unsafe {
                    assert_eq!(resolver_resolve(segment, oms, &mut record), Code::Ok);
                    resolver_release(segment);
                }
                record
            })
        })
        .collect();
    // SAFETY: The first reference is this thread's.
    unsafe { resolver_retain(segment) };
    // SAFETY: As above; another one is left.
    unsafe { resolver_release(segment) };
    let records: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    assert!(records.iter().all(|record| record.id == 0x1111 && record.address.port == 9001));
    assert_eq!(mappings(&place), 1, "one reference is left");
    let mut record = Record::default();
    // SAFETY: It is this thread's still.
    assert_eq!(unsafe { resolver_resolve(segment, oms, &mut record) }, Code::Ok);
    // SAFETY: The last use.
    unsafe { resolver_release(segment) };
    assert_eq!(mappings(&place), 0);
}

#[test]
fn a_replaced_segment_is_noticed_and_stays_readable() {
    let place = Place::new();
    let mut owned = place.own();
    publish(&mut owned.writer().expect("it is new"));
    let old = open(&place);
    let oms = handle(old, "oms");
    // SAFETY: It is open.
    assert_eq!(unsafe { resolver_poll(old) }, Code::Ok);
    drop(owned);

    // Another capacity wants another file.
    let larger = Capacity { services: 128, ..Capacity::SMALL };
    let mut owned = OwnedSegment::acquire(place.path(), &larger).expect("the first owner is gone");
    let mut writer = owned.writer().expect("it is new");
    writer.add("other").expect("there is room");
    publish(&mut writer);
    // SAFETY: It is open.
    assert_eq!(unsafe { resolver_poll(old) }, Code::Replaced);
    let mut record = Record::default();
    // SAFETY: It is open.
    assert_eq!(unsafe { resolver_resolve(old, oms, &mut record) }, Code::Ok, "with its last answers");
    assert_eq!(record.address.port, 9001);

    let new = open(&place);
    // SAFETY: Both are open until they are released here.
    unsafe {
        assert_eq!(resolver_poll(new), Code::Ok);
        assert_eq!(resolver_resolve(new, oms, &mut record), Code::Gone, "an old handle means nothing here");
        assert_eq!(resolver_resolve(new, handle(new, "oms"), &mut record), Code::Ok);
        std::fs::remove_file(place.path()).expect("it is there");
        assert_eq!(resolver_poll(new), Code::Replaced, "there is none");
        resolver_release(old);
        assert_eq!(resolver_resolve(new, handle(new, "oms"), &mut record), Code::Ok);
        resolver_release(new);
    }
}
