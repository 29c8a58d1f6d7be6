//! The same picks, settings and ages through the C ABI as through Rust.

mod native;

use std::ffi::c_char;
use std::ptr::null_mut;
use std::time::Duration;

use native::{Place, STANDING, oms, publish};
use resolver_core::pick::{Failover, Maglev, PickError, Random, Rendezvous, RoundRobin, Smooth, Weighted};
use resolver_core::{Handle, Reader, Reason, SourceBeat, Standing as CoreStanding, Writer};
use resolver_ffi::*;

/// A published segment, from both sides.
fn with(test: impl FnOnce(&mut Writer<'_>, &Reader<'_>, *mut Segment, Handle)) {
    let place = Place::new();
    let mut owned = place.own();
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

/// Ids of so many picks, or the code; keys count up.
fn picks(segment: *const Segment, kind: PickerKind, seed: u64, oms: Handle, count: u64) -> Vec<u64> {
    let mut picker = null_mut();
    let mut endpoint = Endpoint::default();
    // SAFETY: The segment is open, and the picker is there until it is freed.
    unsafe {
        assert_eq!(resolver_picker_new(kind as i32, seed, &mut picker), Code::Ok);
        let ids = (0..count).map(|key| {
            assert_eq!(resolver_pick(segment, picker, oms.to_bits(), key, &mut endpoint), Code::Ok);
            endpoint.id
        });
        let ids = ids.collect();
        resolver_picker_free(picker);
        ids
    }
}

#[test]
fn picks_are_those_of_rust() {
    with(|_, reader, segment, oms| {
        let c = |kind, seed| picks(segment, kind, seed, oms, 200);
        let rust = |pick: &mut dyn FnMut(u64) -> resolver_core::Endpoint| -> Vec<u64> {
            (0..200).map(|key| pick(key).id()).collect()
        };
        let published = "it is published";

        let mut picker = RoundRobin::from(2);
        let wanted = rust(&mut |_| picker.pick(reader, oms).expect(published));
        assert_eq!(c(PickerKind::RoundRobin, 2), wanted);
        let mut picker = Smooth::from(1);
        let wanted = rust(&mut |_| picker.pick(reader, oms).expect(published));
        assert_eq!(c(PickerKind::Smooth, 1), wanted);
        let mut picker = Weighted::new(42);
        let wanted = rust(&mut |_| picker.pick(reader, oms).expect(published));
        assert_eq!(c(PickerKind::Weighted, 42), wanted);
        let mut picker = Random::new(42);
        let wanted = rust(&mut |_| picker.pick(reader, oms).expect(published));
        assert_eq!(c(PickerKind::Random, 42), wanted);
        let mut picker = Maglev::new();
        let wanted = rust(&mut |key| picker.pick(reader, oms, key).expect(published));
        assert_eq!(c(PickerKind::Maglev, 0), wanted);
        let wanted = rust(&mut |key| Rendezvous::pick(reader, oms, key).expect(published));
        assert_eq!(c(PickerKind::Rendezvous, 0), wanted);
    });
}

/// What every process and every binding must agree on, for ever.
#[test]
fn golden_picks() {
    with(|_, _, segment, oms| {
        let first = |kind| {
            let ids = picks(segment, kind, 0, oms, 12);
            ids.iter().map(|id| id / 0x1111).collect::<Vec<_>>()
        };
        assert_eq!(first(PickerKind::Maglev), GOLDEN_MAGLEV);
        assert_eq!(first(PickerKind::Rendezvous), GOLDEN_RENDEZVOUS);
        assert_eq!(first(PickerKind::Smooth), GOLDEN_SMOOTH);
        assert_eq!(first(PickerKind::RoundRobin), [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4]);
    });
}

const GOLDEN_MAGLEV: [u64; 12] = [4, 2, 1, 2, 3, 4, 3, 2, 3, 3, 3, 3];
const GOLDEN_RENDEZVOUS: [u64; 12] = [4, 3, 3, 2, 2, 1, 2, 4, 2, 3, 4, 1];
const GOLDEN_SMOOTH: [u64; 12] = [4, 3, 2, 4, 1, 3, 4, 2, 3, 4, 4, 3];

#[test]
fn failover_goes_on_to_the_reserve_and_ends() {
    with(|_, reader, segment, oms| {
        let (mut ours, mut picker, mut endpoint) = (Failover::new(), null_mut(), Endpoint::default());
        // SAFETY: The segment is open, and the picker is there until it is freed.
        unsafe {
            assert_eq!(resolver_picker_new(PickerKind::Failover as i32, 0, &mut picker), Code::Ok);
            let mut pick = || match resolver_pick(segment, picker, oms.to_bits(), 0, &mut endpoint) {
                Code::Ok => Ok(endpoint.id),
                code => Err(code),
            };
            for id in 1..=5 {
                assert_eq!((pick(), pick()), (Ok(id * 0x1111), Ok(id * 0x1111)));
                assert_eq!(ours.pick(reader, oms).expect("published").id(), id * 0x1111);
                ours.failed();
                assert_eq!(resolver_picker_failed(picker), Code::Ok);
            }
            assert_eq!(
                (pick(), ours.pick(reader, oms)),
                (Err(Code::NoneAccepted), Err(PickError::NoneAccepted))
            );
            assert_eq!(resolver_picker_reset(picker), Code::Ok);
            assert_eq!(pick(), Ok(0x1111));
            resolver_picker_free(picker);
        }
    });
}

#[test]
fn answers_say_what_those_of_rust_say() {
    with(|writer, reader, segment, oms_handle| {
        let bits = oms_handle.to_bits();
        let (mut record, mut address) = (Record::default(), Address::default());
        let mut standing = Standing { generation: 0, state: 0, reason: 0, source: 0, reserved: [1; 5] };
        let (mut endpoints, mut count, mut generation) = ([Endpoint::default(); 5], 0, 0);
        let resolved = reader.resolve(oms_handle).expect("it is published");
        // SAFETY: The segment is open, and every output is there.
        unsafe {
            assert_eq!(resolver_resolve(segment, bits, &mut record), Code::Ok);
            assert_eq!(resolver_resolve_address(segment, bits, &mut address), Code::Ok);
            assert_eq!(resolver_standing_of(segment, bits, &mut standing), Code::Ok);
            assert_eq!(resolver_generation(segment, bits, &mut generation), Code::Ok);
            assert_eq!(resolver_endpoints(segment, bits, endpoints.as_mut_ptr(), 5, &mut count), Code::Ok);
            assert_eq!(resolver_epoch(segment), reader.epoch());
        }
        assert_eq!((record.address, record.address.ip), (address, [0x0a00_0001, 0]));
        assert_eq!((record.address.port, record.address.family), (9001, 4));
        assert_eq!(record.address.standing, STANDING.state as u8 | (STANDING.reason as u8) << 3);
        assert_eq!((record.id, record.tags, record.tier), (resolved.id(), resolved.tags(), resolved.tier()));
        assert_eq!((record.generation, generation), (resolved.generation(), resolved.generation()));
        assert_eq!((record.endpoints, record.source_bits & 31), (4, 3));
        let said = (standing.state, standing.reason, standing.source, standing.generation, standing.reserved);
        assert_eq!(said, (2, 4, 3, generation, [0; 5]));
        assert_eq!(count, 4, "a reserve is not active");
        for (endpoint, wanted) in endpoints.iter().zip(oms()).take(4) {
            assert_eq!((endpoint.id, endpoint.weight), (wanted.id(), wanted.weight()));
            assert_eq!((endpoint.zone, endpoint.tier, endpoint.tags), (7, 1, 5));
            assert_eq!((endpoint.port, endpoint.generation), (wanted.address().port(), generation));
        }
        assert_eq!(endpoints[4], Endpoint::default());

        // SAFETY: As above.
        let is_current = |record: &Record| unsafe { resolver_is_current(segment, bits, record) };
        assert!(is_current(&record));
        writer.mark(oms_handle, CoreStanding::FRESH).expect("it is there");
        assert!(!is_current(&record), "it stands otherwise now");
        // SAFETY: As above; room for fewer than there are, and for none.
        unsafe {
            let mut one = [Endpoint::default(); 2];
            assert_eq!(resolver_endpoints(segment, bits, one.as_mut_ptr(), 1, &mut count), Code::Ok);
            assert_eq!((one[0].id, one[1], count), (0x1111, Endpoint::default(), 4));
            assert_eq!(resolver_endpoints(segment, bits, null_mut(), 0, &mut count), Code::Ok);
        }
        let feed = reader.service("feed").expect("it is there");
        // SAFETY: As above.
        assert_eq!(unsafe { resolver_resolve(segment, feed.to_bits(), &mut record) }, Code::Ok);
        assert_eq!((record.address.ip, record.address.family), ([0x2001_0db8_0000_0000, 0xa_0001], 6));
    });
}

#[test]
fn settings_of_every_kind() {
    with(|writer, _, segment, _| {
        let share = writer.add_setting::<f64>("share").expect("there is room");
        let open = writer.add_setting::<bool>("open").expect("there is room");
        let venue = writer.add_setting::<resolver_core::Bytes>("venue").expect("there is room");
        let empty = writer.add_setting::<i64>("empty").expect("there is room");
        writer.set(share, 0.125, CoreStanding::FRESH).expect("it is there");
        writer.set(open, true, CoreStanding::FRESH).expect("it is there");
        let bytes = resolver_core::Bytes::new(b"XNAS").expect("it is short");
        writer.set(venue, bytes, CoreStanding::FRESH).expect("it is there");
        writer.set(empty, 1, CoreStanding::FRESH).expect("it is there");
        let name = |name: &'static str| (name.as_ptr().cast::<c_char>(), name.len());
        let (mut i, mut f) = (SettingI64 { bits: 0 }, SettingF64 { bits: 0 });
        let (mut b, mut y) = (SettingBool { bits: 0 }, SettingBytes { bits: 0 });
        let (mut number, mut real, mut truth) = (0, 0.0, false);
        let mut text = Bytes { bytes: [9; 48], length: 9 };
        // SAFETY: The segment is open, names are as long as said, and every output is there.
        unsafe {
            let (at, length) = name("max-position");
            assert_eq!(resolver_setting_i64(segment, at, length, &mut i), Code::Ok);
            assert_eq!(resolver_setting_f64(segment, at, length, &mut f), Code::Kind);
            assert_eq!((resolver_get_i64(segment, i, &mut number), number), (Code::Ok, -250_000));
            let (at, length) = name("share");
            assert_eq!(resolver_setting_f64(segment, at, length, &mut f), Code::Ok);
            assert_eq!((resolver_get_f64(segment, f, &mut real), real), (Code::Ok, 0.125));
            let (at, length) = name("open");
            assert_eq!(resolver_setting_bool(segment, at, length, &mut b), Code::Ok);
            assert_eq!((resolver_get_bool(segment, b, &mut truth), truth), (Code::Ok, true));
            let (at, length) = name("venue");
            assert_eq!(resolver_setting_bytes(segment, at, length, &mut y), Code::Ok);
            assert_eq!(resolver_get_bytes(segment, y, &mut text), Code::Ok);
            let (at, length) = name("empty");
            assert_eq!(resolver_setting_i64(segment, at, length, &mut i), Code::Ok);
            writer.unset(empty, Reason::None).expect("it is there");
            assert_eq!((resolver_get_i64(segment, i, &mut number), number), (Code::Empty, -250_000));
            assert!(writer.remove_setting("empty"));
            assert_eq!(resolver_get_i64(segment, i, &mut number), Code::Gone);
        }
        let mut wanted = [0; 48];
        wanted[..4].copy_from_slice(b"XNAS");
        assert_eq!(text, Bytes { bytes: wanted, length: 4 });
    });
}

#[test]
fn ages_are_told_by_the_callers_clock() {
    with(|writer, _, segment, oms| {
        let source = |name| {
            let age = Some(Duration::from_millis(2));
            SourceBeat { name, age, revision: 1, reason: Reason::None, rejected: 0 }
        };
        writer.mark(oms, CoreStanding { source: 1, ..CoreStanding::FRESH }).expect("it is there");
        let (mut liveness, mut age) = (null_mut(), 0);
        let seconds = |seconds: u64| seconds * 1_000_000_000;
        // SAFETY: The segment is open, the liveness there until it is freed, and every output is there.
        unsafe {
            assert_eq!(resolver_liveness_new(&mut liveness), Code::Ok);
            let poll = |now| assert_eq!(resolver_liveness_poll(liveness, segment, now), Code::Ok);
            poll(seconds(10));
            assert_eq!(resolver_liveness_silence(liveness), RESOLVER_UNKNOWN_AGE);
            // The code, and the id of what was written.
            let fresh = |most, age: *mut u64| {
                let mut record = Record::default();
                let code = resolver_resolve_fresh(segment, oms.to_bits(), most, liveness, &mut record, age);
                (code, record.id)
            };
            let (fine, old) = ((Code::Ok, 0x1111), (Code::Old, 0x1111));
            assert_eq!((fresh(seconds(60), &mut age), age), (old, RESOLVER_UNKNOWN_AGE));
            writer.beat(&[source("consul"), source("etcd")]);
            poll(seconds(11));
            poll(seconds(13));
            assert_eq!(resolver_liveness_silence(liveness), seconds(3));
            assert_eq!(resolver_liveness_age(liveness, 1), seconds(3) + 2_000_000);
            assert_eq!(resolver_liveness_age(liveness, 2), RESOLVER_UNKNOWN_AGE);
            assert_eq!(fresh(seconds(4), null_mut()), fine);
            assert_eq!(fresh(seconds(3), null_mut()), old, "it needs no place for the age");
            assert_eq!((fresh(seconds(3), &mut age), age), (old, seconds(3) + 2_000_000));
            writer.mark(oms, STANDING).expect("it is there");
            assert_eq!(fresh(seconds(4), null_mut()), old, "it is not fresh, however young");
            resolver_liveness_free(liveness);
        }
    });
}
