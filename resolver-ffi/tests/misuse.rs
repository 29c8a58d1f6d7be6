//! Null, wrong lengths, text that is not UTF-8, numbers that mean nothing: a code each time, and no byte written.

mod native;

use std::ffi::{CString, c_char};
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

use native::{Place, publish};
use resolver_ffi::*;

/// Opens a segment that must open.
fn open(place: &Place) -> *mut Segment {
    let mut segment = null_mut();
    // SAFETY: The path ends in a zero and the output is there.
    let code = unsafe { resolver_open(place.c_path().as_ptr(), -1, &mut segment) };
    assert_eq!(code, Code::Ok);
    segment
}

fn service(segment: *const Segment, name: &[u8]) -> Result<u64, Code> {
    let mut handle = 77;
    // SAFETY: The name is as long as said; the segment is open.
    match unsafe { resolver_service(segment, name.as_ptr().cast::<c_char>(), name.len(), &mut handle) } {
        Code::Ok => Ok(handle),
        code => {
            assert_eq!(handle, 77, "it wrote to its output");
            Err(code)
        }
    }
}

#[test]
fn paths_and_owners() {
    let mut segment: *mut Segment = null_mut();
    let mut open = |path: &[u8], owner: i64| {
        let path = CString::new(path).expect("no zero");
        // SAFETY: The path ends in a zero and the output is there.
        let code = unsafe { resolver_open(path.as_ptr(), owner, &mut segment) };
        assert!(segment.is_null(), "it wrote to its output");
        code
    };
    assert_eq!(open(b"/no-such/main.seg", -1), Code::Io);
    assert_eq!(open(b"", -1), Code::Length);
    assert_eq!(open(&[b'a'; 4096], -1), Code::Length);
    assert_eq!(open(&[b'a'; 4095], -1), Code::Io, "the system's own limit is for a name of it");
    assert_eq!(open(b"/no-such/main.seg", -2), Code::Argument);
    assert_eq!(open(b"/no-such/main.seg", 1 << 32), Code::Argument);
    assert_eq!(open(b"/", -1), Code::Untrusted);

    let place = Place::new();
    std::fs::write(place.path(), [7; 8192]).expect("it can be written");
    let path = place.c_path();
    let mut message = [b'x' as c_char; 24];
    let text = |message: &[c_char]| message.iter().map(|byte| *byte as u8 as char).collect::<String>();
    // SAFETY: As above, and the message has the room that is said.
    unsafe {
        let mut tell =
            |room| resolver_open_with_message(path.as_ptr(), -1, &mut segment, message.as_mut_ptr(), room);
        assert_eq!(tell(0), Code::Table);
        assert_eq!(tell(20), Code::Table);
    }
    let wanted = &path.to_str().expect("letters")[..19];
    assert_eq!(text(&message), format!("{wanted}\0xxxx"), "cut, with its zero, and no further");
}

#[test]
fn null_is_a_code() {
    let place = Place::new();
    let mut owned = place.own();
    publish(&mut owned.writer().expect("it is new"));
    let segment = open(&place);
    let oms = service(segment, b"oms").expect("it is there");
    let name = c"oms".as_ptr();
    let path = place.c_path();
    let mut handle = 0;
    let mut record = Record::default();
    let mut address = Address::default();
    let mut endpoint = Endpoint::default();
    let mut standing = MaybeUninit::uninit();
    let (mut count, mut number, mut real, mut truth) = (0, 0, 0.0, false);
    let mut bytes = MaybeUninit::uninit();
    let (mut picker, mut liveness) = (null_mut(), null_mut());
    // SAFETY: Every pointer is null or leads to what it is asked for.
    unsafe {
        assert_eq!(resolver_open(null(), -1, &mut null_mut()), Code::Null);
        assert_eq!(resolver_open(path.as_ptr(), -1, null_mut()), Code::Null);
        assert_eq!(resolver_picker_new(1, 0, null_mut()), Code::Null);
        assert_eq!(resolver_liveness_new(null_mut()), Code::Null);
        assert_eq!(resolver_picker_new(1, 0, &mut picker), Code::Ok);
        assert_eq!(resolver_liveness_new(&mut liveness), Code::Ok);
        let (i, f) = (SettingI64 { bits: 0 }, SettingF64 { bits: 0 });
        let (b, y) = (SettingBool { bits: 0 }, SettingBytes { bits: 0 });
        let none: *const Segment = null();
        let codes = [
            resolver_service(none, name, 3, &mut handle),
            resolver_service(segment, null(), 3, &mut handle),
            resolver_service(segment, name, 3, null_mut()),
            resolver_resolve(none, oms, &mut record),
            resolver_resolve(segment, oms, null_mut()),
            resolver_resolve_address(none, oms, &mut address),
            resolver_resolve_address(segment, oms, null_mut()),
            resolver_generation(none, oms, &mut handle),
            resolver_generation(segment, oms, null_mut()),
            resolver_standing_of(none, oms, standing.as_mut_ptr()),
            resolver_standing_of(segment, oms, null_mut()),
            resolver_endpoints(none, oms, &mut endpoint, 1, &mut count),
            resolver_endpoints(segment, oms, null_mut(), 1, &mut count),
            resolver_endpoints(segment, oms, &mut endpoint, 1, null_mut()),
            resolver_poll(none),
            resolver_pick(none, picker, oms, 0, &mut endpoint),
            resolver_pick(segment, null_mut(), oms, 0, &mut endpoint),
            resolver_pick(segment, picker, oms, 0, null_mut()),
            resolver_picker_failed(null_mut()),
            resolver_picker_reset(null_mut()),
            resolver_liveness_poll(null_mut(), segment, 1),
            resolver_liveness_poll(liveness, none, 1),
            resolver_resolve_fresh(none, oms, 1, liveness, &mut record, null_mut()),
            resolver_resolve_fresh(segment, oms, 1, null(), &mut record, null_mut()),
            resolver_resolve_fresh(segment, oms, 1, liveness, null_mut(), null_mut()),
            resolver_setting_i64(none, name, 3, &mut SettingI64 { bits: 0 }),
            resolver_setting_i64(segment, null(), 3, &mut SettingI64 { bits: 0 }),
            resolver_setting_i64(segment, name, 3, null_mut()),
            resolver_setting_f64(segment, name, 3, null_mut()),
            resolver_setting_bool(segment, name, 3, null_mut()),
            resolver_setting_bytes(segment, name, 3, null_mut()),
            resolver_get_i64(none, i, &mut number),
            resolver_get_i64(segment, i, null_mut()),
            resolver_get_f64(none, f, &mut real),
            resolver_get_f64(segment, f, null_mut()),
            resolver_get_bool(none, b, &mut truth),
            resolver_get_bool(segment, b, null_mut()),
            resolver_get_bytes(none, y, bytes.as_mut_ptr()),
            resolver_get_bytes(segment, y, null_mut()),
        ];
        for (place, code) in codes.into_iter().enumerate() {
            assert_eq!(code, Code::Null, "call {place} of the list");
        }
        assert!(!resolver_is_current(none, oms, &record) && !resolver_is_current(segment, oms, null()));
        assert_eq!((resolver_epoch(none), resolver_liveness_silence(null())), (0, RESOLVER_UNKNOWN_AGE));
        assert_eq!(resolver_liveness_age(null(), 0), RESOLVER_UNKNOWN_AGE);
        resolver_retain(none);
        resolver_release(none);
        resolver_picker_free(null_mut());
        resolver_liveness_free(null_mut());
        resolver_picker_free(picker);
        resolver_liveness_free(liveness);
        resolver_release(segment);
    }
    let untouched = (record, address, endpoint, count, number, real, truth);
    let (record, address, endpoint) = (Record::default(), Address::default(), Endpoint::default());
    assert_eq!(untouched, (record, address, endpoint, 0, 0, 0.0, false));
}

#[test]
fn names_and_numbers() {
    let place = Place::new();
    let mut owned = place.own();
    publish(&mut owned.writer().expect("it is new"));
    let segment = open(&place);
    assert_eq!(service(segment, b""), Err(Code::Length));
    assert_eq!(service(segment, &[b'a'; 256]), Err(Code::Length));
    assert_eq!(service(segment, &[b'a'; 255]), Err(Code::Unknown));
    assert_eq!(service(segment, b"\xff\xfe"), Err(Code::Utf8));
    assert_eq!(service(segment, b"om"), Err(Code::Unknown));
    assert_eq!(service(segment, b"\x01max-position"), Err(Code::Unknown), "a setting is no service");
    let oms = service(segment, b"oms").expect("it is there");

    let kept = Record { id: 4711, ..Record::default() };
    let mut record = kept;
    let (mut picker, mut setting, mut value) = (null_mut(), SettingBool { bits: 1 }, 7);
    let name = c"max-position".as_ptr();
    // SAFETY: Every pointer leads to what it is asked for.
    unsafe {
        for stray in [0, oms ^ (1 << 6), oms ^ (1 << 32), oms | 0xffff << 48, u64::MAX] {
            assert_eq!(resolver_resolve(segment, stray, &mut record), Code::Gone);
            assert_eq!(resolver_get_i64(segment, SettingI64 { bits: stray }, &mut value), Code::Gone);
        }
        let later = service(segment, b"later").expect("it is there");
        assert_eq!(resolver_resolve(segment, later, &mut record), Code::Never);
        assert_eq!((record, value), (kept, 7), "an error leaves the last answer");
        for kind in [0, -1, 9, i32::MAX] {
            assert_eq!(resolver_picker_new(kind, 0, &mut picker), Code::Argument);
        }
        assert_eq!(resolver_setting_bool(segment, name, 12, &mut setting), Code::Kind);
        assert_eq!(resolver_setting_bool(segment, name, 11, &mut setting), Code::Unknown);
        assert_eq!(setting.bits, 1);
        assert_eq!(resolver_picker_new(PickerKind::Maglev as i32, 0, &mut picker), Code::Ok);
        assert_eq!(resolver_picker_failed(picker), Code::Argument, "it is no FAILOVER");
        let feed = service(segment, b"feed").expect("it is there");
        assert_eq!(resolver_pick(segment, picker, feed, 0, &mut Endpoint::default()), Code::NoTable);
        resolver_picker_free(picker);
        resolver_release(segment);
    }
}
