//! What the caller has a say in, through the C ABI as through Rust; and what there is for people.

mod native;

use std::ffi::{CStr, c_char, c_void};
use std::ptr::{null, null_mut};
use std::time::Duration;

use native::{Place, oms, publish};
use resolver_core::pick::{Ejections as CoreEjections, PowerOfTwo, Random, Rendezvous, RoundRobin, tagged};
use resolver_core::{Counter, Handle, IncidentKind, Reader, Standing as CoreStanding, Writer};
use resolver_ffi::*;

fn with(test: impl FnOnce(&mut Writer<'_>, &Reader<'_>, *mut Segment, Handle)) {
    let place = Place::new();
    let capacity = resolver_core::Capacity { text_bytes: 64, ..resolver_core::Capacity::SMALL };
    let mut owned = resolver_core::OwnedSegment::acquire(place.path(), &capacity).expect("it can be made");
    let mut writer = owned.writer().expect("it is new");
    publish(&mut writer);
    let reader = writer.reader();
    let mut segment = null_mut();
    // SAFETY: The path ends in a zero and the output is there.
    let code = unsafe { resolver_open(place.c_path().as_ptr(), -1, &mut segment) };
    assert_eq!(code, Code::Ok);
    let oms = reader.service("oms").expect("it is there");
    test(&mut writer, &reader, segment, oms);
    // SAFETY: The last use.
    unsafe { resolver_release(segment) };
}

const ANY: Conditions = Conditions {
    tags: 0,
    of_zone: false,
    reserved: 0,
    zone: 0,
    reserved2: 0,
    ejections: null(),
    now_ns: 0,
    accept: None,
    user: null_mut(),
};

struct Picks {
    segment: *const Segment,
    handle: u64,
    picker: *mut Picker,
}

impl Picks {
    fn new(segment: *const Segment, oms: Handle, kind: PickerKind, seed: u64) -> Picks {
        let mut picker = null_mut();
        // SAFETY: The output is there.
        assert_eq!(unsafe { resolver_picker_new(kind as i32, seed, &mut picker) }, Code::Ok);
        Picks { segment, handle: oms.to_bits(), picker }
    }

    fn id(&self, key: u64, conditions: &Conditions) -> Result<u64, Code> {
        let mut endpoint = Endpoint::default();
        // SAFETY: The segment is open, the picker there until it is freed, and what the conditions lead to is there.
        match unsafe {
            resolver_pick_where(self.segment, self.picker, self.handle, key, conditions, &mut endpoint)
        } {
            Code::Ok => Ok(endpoint.id),
            code => Err(code),
        }
    }
}

impl Drop for Picks {
    fn drop(&mut self) {
        // SAFETY: It is of `new`, and not used again.
        unsafe { resolver_picker_free(self.picker) };
    }
}

/// Whose ids have a remainder of the caller's.
unsafe extern "C" fn is_odd(endpoint: *const Endpoint, user: *mut c_void) -> bool {
    // SAFETY: An endpoint for as long as the call; the tests hand a number over.
    let (endpoint, calls) = unsafe { (&*endpoint, &mut *user.cast::<u64>()) };
    *calls += 1;
    endpoint.id / 0x1111 % 2 == 1
}

#[test]
fn picks_among_some_are_those_of_rust() {
    with(|_, reader, segment, oms| {
        let mut calls = 0u64;
        let odd = Conditions { accept: Some(is_odd), user: (&raw mut calls).cast(), ..ANY };
        let rust = |endpoint: &resolver_core::Endpoint| endpoint.id() / 0x1111 % 2 == 1;
        let published = "there are two";

        let (picks, mut ours) = (Picks::new(segment, oms, PickerKind::RoundRobin, 1), RoundRobin::from(1));
        for _ in 0..20 {
            assert_eq!(picks.id(0, &odd), Ok(ours.pick_where(reader, oms, rust).expect(published).id()));
        }
        let (picks, mut ours) = (Picks::new(segment, oms, PickerKind::Random, 42), Random::new(42));
        let mut drawn = Vec::new();
        for _ in 0..200 {
            let id = ours.pick_where(reader, oms, rust).expect(published).id();
            assert_eq!(picks.id(0, &odd), Ok(id));
            drawn.push(id / 0x1111);
        }
        // What every process and every binding must agree on, for ever.
        assert_eq!(drawn[..12], GOLDEN_RANDOM_ODD);
        let picks = Picks::new(segment, oms, PickerKind::Rendezvous, 0);
        for key in 0..200 {
            let id = Rendezvous::pick_where(reader, oms, key, rust).expect(published).id();
            assert_eq!(picks.id(key, &odd), Ok(id));
        }
        assert!(calls > 420, "it was asked: {calls}");
    });
}

const GOLDEN_RANDOM_ODD: [u64; 12] = [3, 3, 3, 1, 3, 1, 1, 3, 1, 1, 1, 1];
const GOLDEN_POWER_OF_TWO: [u64; 12] = [4, 4, 4, 4, 1, 4, 2, 1, 4, 2, 4, 4];

#[test]
fn tags_zones_and_ejections_are_conditions() {
    with(|writer, reader, segment, handle| {
        let mut set = oms();
        set[1] = set[1].with_tags(7).with_zone(9);
        set[2] = set[2].with_tags(2);
        writer.publish(handle, &set[..4], CoreStanding::FRESH, b"").expect("there is room");
        let picks = Picks::new(segment, handle, PickerKind::RoundRobin, 0);
        let three = |conditions: &Conditions| [0; 3].map(|_| picks.id(0, conditions).map(|id| id / 0x1111));
        let v2 = Conditions { tags: 2, ..ANY };
        let mut ours = RoundRobin::new();
        let wanted = [0; 3].map(|_| ours.pick_where(reader, handle, tagged(2)).map(|e| e.id() / 0x1111));
        assert_eq!(three(&v2), wanted.map(|id| id.map_err(Code::from)));
        assert_eq!(three(&Conditions { of_zone: true, zone: 9, ..ANY }), [Ok(2); 3]);
        assert_eq!(
            three(&Conditions { zone: 9, ..ANY }).map(|id| id.is_ok()),
            [true; 3],
            "no zone is asked for"
        );
        assert_eq!(three(&Conditions { of_zone: true, ..ANY }), [Err(Code::NoneAccepted); 3], "zone 0");
        assert_eq!(three(&Conditions { tags: 2, of_zone: true, zone: 9, ..ANY }), [Ok(2); 3]);

        let (mut ejections, mut core) = (null_mut(), CoreEjections::<64>::new(50));
        let second = Endpoint { id: 0x2222, ..Endpoint::default() };
        // SAFETY: Every pointer is there until it is freed.
        unsafe {
            assert_eq!(resolver_ejections_new(101, &mut ejections), Code::Argument);
            assert_eq!(resolver_ejections_new(50, &mut ejections), Code::Ok);
            for (id, wanted) in [(2, Code::Ok), (3, Code::Ok), (4, Code::NoneAccepted), (2, Code::Ok)] {
                let endpoint = Endpoint { id: id * 0x1111, ..Endpoint::default() };
                assert_eq!(resolver_eject(ejections, &endpoint, 100, 200, 4), wanted, "{id}");
                let (now, until) = (Duration::from_nanos(100), Duration::from_nanos(200));
                let is_out = core.eject(&set[id as usize - 1], now, until, 4);
                assert_eq!(is_out, wanted == Code::Ok, "{id}");
            }
            let at = |now_ns| Conditions { ejections, now_ns, ..ANY };
            assert_eq!(three(&at(199)).map(|id| id == Ok(1) || id == Ok(4)), [true; 3]);
            assert!(
                resolver_is_ejected(ejections, &second, 199) && !resolver_is_ejected(ejections, &second, 200)
            );
            assert!(
                three(&at(200)).iter().chain(&three(&at(200))).any(|id| *id == Ok(2)),
                "its time is over"
            );
            // The next candidate after a failure is one that is not left out.
            let walk = Picks::new(segment, handle, PickerKind::Failover, 0);
            assert_eq!(walk.id(0, &at(150)), Ok(0x1111));
            assert_eq!(resolver_picker_failed(walk.picker), Code::Ok);
            assert_eq!(walk.id(0, &at(150)), Ok(0x4444));
            assert_eq!(resolver_picker_failed(walk.picker), Code::Ok);
            assert_eq!(walk.id(0, &at(150)), Err(Code::NoneAccepted));
            resolver_ejections_clear(ejections);
            assert!(!resolver_is_ejected(ejections, &second, 150));
            resolver_ejections_free(ejections);
        }
        for kind in [PickerKind::Weighted, PickerKind::Smooth, PickerKind::Maglev, PickerKind::PowerOfTwo] {
            assert_eq!(Picks::new(segment, handle, kind, 0).id(0, &ANY), Err(Code::Argument), "{kind:?}");
        }
    });
}

/// A load of the caller's, by id.
unsafe extern "C" fn load(endpoint: *const Endpoint, user: *mut c_void) -> u64 {
    // SAFETY: An endpoint for as long as the call; the tests hand five numbers over.
    unsafe { (&*user.cast::<[u64; 5]>())[((*endpoint).id / 0x1111 - 1) as usize] }
}

#[test]
fn the_less_loaded_of_two_is_the_one_of_rust() {
    with(|_, reader, segment, oms| {
        let mut loads = [5u64, 3, 9, 1, 0];
        let picks = Picks::new(segment, oms, PickerKind::PowerOfTwo, 42);
        let mut ours = PowerOfTwo::new(42);
        let (mut endpoint, mut first) = (Endpoint::default(), Vec::new());
        for _ in 0..200 {
            let wanted = ours.pick(reader, oms, |endpoint| loads[(endpoint.id() / 0x1111 - 1) as usize]);
            // SAFETY: All of it is there.
            let code = unsafe {
                let (user, out) = ((&raw mut loads).cast(), &mut endpoint);
                resolver_pick_less_loaded(segment, picks.picker, oms.to_bits(), Some(load), user, out)
            };
            assert_eq!((code, endpoint.id), (Code::Ok, wanted.expect("published").id()));
            first.push(endpoint.id / 0x1111);
            loads[(endpoint.id / 0x1111 - 1) as usize] += 1;
        }
        assert_eq!(first[..12], GOLDEN_POWER_OF_TWO);
        let robin = Picks::new(segment, oms, PickerKind::RoundRobin, 0);
        // SAFETY: As above.
        unsafe {
            let pick = |picker, load| {
                resolver_pick_less_loaded(
                    segment,
                    picker,
                    oms.to_bits(),
                    load,
                    null_mut(),
                    &mut Endpoint::default(),
                )
            };
            assert_eq!(pick(robin.picker, Some(load)), Code::Argument);
            assert_eq!(pick(picks.picker, None), Code::Null);
            assert_eq!(pick(null_mut(), Some(load)), Code::Null);
            let mut endpoint = Endpoint::default();
            assert_eq!(resolver_pick(segment, picks.picker, oms.to_bits(), 0, &mut endpoint), Code::Argument);
            assert_eq!(
                resolver_pick_where(segment, robin.picker, oms.to_bits(), 0, null(), &mut endpoint),
                Code::Null
            );
        }
    });
}

#[test]
fn a_cached_handle_answers_as_resolve_and_holds_its_segment() {
    with(|writer, _, segment, oms_handle| {
        let (mut cached, mut record, mut wanted) = (null_mut(), Record::default(), Record::default());
        // SAFETY: Every pointer is there until it is freed.
        unsafe {
            assert_eq!(resolver_cached_new(null(), oms_handle.to_bits(), &mut cached), Code::Null);
            assert_eq!(resolver_cached_new(segment, oms_handle.to_bits(), &mut cached), Code::Ok);
            let mut same = || {
                assert_eq!(resolver_resolve(segment, oms_handle.to_bits(), &mut wanted), Code::Ok);
                assert_eq!((resolver_cached_resolve(cached, &mut record), record), (Code::Ok, wanted));
            };
            same();
            same();
            writer.publish(oms_handle, &oms()[2..], CoreStanding::FRESH, b"").expect("there is room");
            same();
            writer.publish(oms_handle, &[], CoreStanding::FRESH, b"").expect("there is room");
            assert_eq!(resolver_cached_resolve(cached, &mut record), Code::Empty);
            assert_eq!(record, wanted, "the last answer is still there");
            let mut stray = null_mut();
            assert_eq!(resolver_cached_new(segment, 0xdead_beef_0000_0000, &mut stray), Code::Ok);
            assert_eq!(resolver_cached_resolve(stray, &mut record), Code::Gone);
            resolver_cached_free(stray);
            assert_eq!(resolver_cached_resolve(null_mut(), &mut record), Code::Null);
            // It outlives every other reference.
            resolver_retain(segment);
            resolver_release(segment);
            resolver_cached_free(cached);
        }
    });
    // The last reference is the cached handle's own.
    let place = Place::new();
    let mut owned = place.own();
    publish(&mut owned.writer().expect("it is new"));
    let (mut segment, mut cached, mut handle) = (null_mut(), null_mut(), 0);
    let mut record = Record::default();
    // SAFETY: As above.
    unsafe {
        assert_eq!(resolver_open(place.c_path().as_ptr(), -1, &mut segment), Code::Ok);
        assert_eq!(resolver_service(segment, c"oms".as_ptr(), 3, &mut handle), Code::Ok);
        assert_eq!(resolver_cached_new(segment, handle, &mut cached), Code::Ok);
        resolver_release(segment);
        assert_eq!(resolver_cached_resolve(cached, &mut record), Code::Ok);
        resolver_cached_free(cached);
    }
}

#[test]
fn a_segment_is_waited_for_and_missed_by_name() {
    let place = Place::new();
    let path = place.c_path();
    let (mut segment, mut message) = (null_mut(), [0 as c_char; 256]);
    let mut wait = |milliseconds| {
        // SAFETY: The path ends in a zero, and every output is there.
        unsafe {
            resolver_open_or_wait(
                path.as_ptr(),
                -1,
                milliseconds,
                &mut segment,
                message.as_mut_ptr(),
                message.len(),
            )
        }
    };
    assert_eq!(wait(20), Code::Missing);
    let maker = std::thread::spawn({
        let path = place.path();
        move || {
            let capacity = resolver_core::Capacity::SMALL;
            let mut owned = resolver_core::OwnedSegment::acquire(path, &capacity).expect("it can be made");
            publish(&mut owned.writer().expect("it is new"));
        }
    });
    assert_eq!(wait(60_000), Code::Ok);
    maker.join().expect("it was made");
    // SAFETY: The text ends in a zero; the segment is open.
    unsafe {
        assert_eq!(CStr::from_ptr(message.as_ptr()).to_bytes(), b"", "on success it is empty");
        resolver_release(segment);
    }
}

#[test]
fn texts_names_counters_and_errors_can_be_read() {
    with(|writer, reader, segment, oms_handle| {
        let bits = oms_handle.to_bits();
        writer.publish(oms_handle, &oms(), CoreStanding::FRESH, b"[{\"id\":\"a\"}]").expect("there is room");
        writer.count(Counter::Holds, 3);
        writer.note(IncidentKind::Hold, "consul/oms", "an empty answer", 1_000);
        writer.note(IncidentKind::Hold, "consul/oms", "an empty answer", 2_000);
        writer.note(IncidentKind::BadRecord, "consul/oms", &"x".repeat(500), 3_000);
        let (mut text, mut length) = ([b'.' as c_char; 64], 0);
        // SAFETY: The segment is open, and every output is there.
        unsafe {
            let code = resolver_text(segment, bits, text.as_mut_ptr(), 4, &mut length);
            let whole = reader.text(oms_handle, &mut []).expect("published");
            assert_eq!((code, length, whole), (Code::Ok, 12, 12));
            assert_eq!(
                text[..6].iter().map(|byte| *byte as u8).collect::<Vec<_>>(),
                b"[{\"i..",
                "no more than there is room for"
            );
            assert_eq!(resolver_text(segment, bits, null_mut(), 0, &mut length), Code::Ok);
            assert_eq!(resolver_text(segment, bits, null_mut(), 1, &mut length), Code::Null);
            assert_eq!(resolver_text(segment, 0, null_mut(), 0, &mut length), Code::Gone);

            assert_eq!(resolver_source_name(segment, 0, text.as_mut_ptr(), 64), Code::Unknown);
            writer.beat(&[resolver_core::SourceBeat {
                name: "consul",
                age: None,
                revision: 0,
                reason: resolver_core::Reason::None,
                rejected: 0,
            }]);
            assert_eq!(resolver_source_name(segment, 0, text.as_mut_ptr(), 5), Code::Ok);
            assert_eq!(CStr::from_ptr(text.as_ptr()).to_bytes(), b"cons");
            assert_eq!(resolver_source_name(segment, 0, text.as_mut_ptr(), 0), Code::Length);

            let mut names = Vec::new();
            for number in 0.. {
                match resolver_counter_name(number, text.as_mut_ptr(), 64) {
                    Code::Ok => names.push(CStr::from_ptr(text.as_ptr()).to_str().expect("ASCII").to_owned()),
                    code => {
                        assert_eq!(code, Code::Unknown);
                        break;
                    }
                }
            }
            assert_eq!(names, Counter::ALL.map(|counter| counter.name().to_owned()));
            let holds = names.iter().position(|name| name == "holds").expect("there is one");
            assert_eq!(resolver_counter(segment, holds as u8), 3);
            assert_eq!((resolver_counter(segment, 255), resolver_counter(null(), 0)), (0, 0));

            let none = Incident {
                count: 0,
                first_ms: 0,
                last_ms: 0,
                kind: 0,
                is_cut: false,
                reserved: [0; 6],
                about: [0; 280],
                words: [0; 280],
            };
            let (mut incidents, mut count) = ([none; 2], 0);
            assert_eq!(resolver_incidents(segment, incidents.as_mut_ptr(), 1, &mut count), Code::Ok);
            assert_eq!((incidents[1], count), (none, 2));
            assert_eq!(resolver_incidents(segment, incidents.as_mut_ptr(), 2, &mut count), Code::Ok);
            let [hold, bad] = incidents;
            assert_eq!((hold.count, hold.first_ms, hold.last_ms, hold.is_cut), (2, 1_000, 2_000, false));
            assert_eq!(CStr::from_ptr(hold.about.as_ptr()), c"consul/oms");
            assert_eq!(CStr::from_ptr(hold.words.as_ptr()), c"an empty answer");
            assert!(bad.is_cut && CStr::from_ptr(bad.words.as_ptr()).to_bytes().len() == 272 - 10);
            assert_eq!(resolver_incident_kind(hold.kind, text.as_mut_ptr(), 64), Code::Ok);
            assert_eq!(CStr::from_ptr(text.as_ptr()), c"hold");
            assert_eq!(resolver_incident_kind(0, text.as_mut_ptr(), 64), Code::Unknown);
        }
    });
}
