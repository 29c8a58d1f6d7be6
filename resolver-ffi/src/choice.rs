//! Picks that the caller has a say in: by tags, zone, its own ejections, its own judgement, and by the load that it knows.

use core::ffi::c_void;

use resolver_core::Handle;
use resolver_core::pick::{PickError, Rendezvous};

use crate::argument::{exclusive, output, reference};
use crate::code::Code;
use crate::ejections::Ejections;
use crate::picker::{Picker, answer};
use crate::record::Endpoint;
use crate::segment::Segment;

/// Which endpoints may be picked: those that meet all of these. All zero: any. It may be kept and used again.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Conditions {
    /// All of these tag bits; 0 for any.
    pub tags: u64,
    /// Whether it is to be of the zone below.
    pub of_zone: bool,
    /// 0.
    pub reserved: u8,
    /// The zone's number.
    pub zone: u16,
    /// 0.
    pub reserved2: u32,
    /// Not those that are left out here at `now_ns`; null for none.
    pub ejections: *const Ejections,
    /// The caller's clock, as for `resolver_eject`.
    pub now_ns: u64,
    /// Those that this is true of; null for all. It is called for endpoints of a set until there are enough, within the
    /// pick: it must return, throw nothing, and not use the picker.
    pub accept: Option<unsafe extern "C" fn(endpoint: *const Endpoint, user: *mut c_void) -> bool>,
    /// What `accept` is given.
    pub user: *mut c_void,
}

/// As `resolver_pick`, among the endpoints that meet conditions. For `ROUND_ROBIN` (the next of them), `RANDOM` (each as
/// likely), `RENDEZVOUS` (the key's; where that is not among them, the one that would be the key's without it) and `FAILOVER`
/// (what does not meet them counts as failed); `ARGUMENT` for another kind. No lock, no allocation, no system call; it looks
/// at the whole set, at most 16 times.
///
/// Fails as `resolver_pick`, and with `NONE_ACCEPTED`.
///
/// # Safety
///
/// As `resolver_pick`; `conditions` is null or may be read, what it leads to is null or there, and `accept` may be called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_pick_where(
    segment: *const Segment,
    picker: *mut Picker,
    handle: u64,
    key: u64,
    conditions: *const Conditions,
    out: *mut Endpoint,
) -> Code {
    // SAFETY: By the caller's word.
    let Ok(segment) = (unsafe { reference(segment) }) else { return Code::Null };
    // SAFETY: As above.
    let Ok(picker) = (unsafe { exclusive(picker) }) else { return Code::Null };
    // SAFETY: As above.
    let Ok(conditions) = (unsafe { reference(conditions) }) else { return Code::Null };
    // SAFETY: As above.
    let Ok(out) = (unsafe { output(out) }) else { return Code::Null };
    // SAFETY: As above.
    let ejections = unsafe { conditions.ejections.as_ref() };
    let accept = |endpoint: &resolver_core::Endpoint| {
        let fits = endpoint.tags() & conditions.tags == conditions.tags
            && (!conditions.of_zone || endpoint.zone() == conditions.zone)
            && !ejections.is_some_and(|ejections| ejections.is_out(endpoint.id(), conditions.now_ns));
        fits && conditions.accept.is_none_or(|accept| {
            // SAFETY: By the caller's word; the endpoint is there until it returns.
            unsafe { accept(&Endpoint::from(*endpoint), conditions.user) }
        })
    };
    let (reader, handle) = (segment.reader(), Handle::from_bits(handle));
    let picked = match picker {
        Picker::RoundRobin(picker) => picker.pick_where(reader, handle, accept),
        Picker::Random(picker) => picker.pick_where(reader, handle, accept),
        Picker::Rendezvous => Rendezvous::pick_where(reader, handle, key, accept),
        Picker::Failover(picker) => loop {
            match picker.pick(reader, handle) {
                Ok(endpoint) if !accept(&endpoint) => picker.failed(),
                picked => break picked,
            }
        },
        _ => return Code::Argument,
    };
    answer(picked, out)
}

/// Picks the one of two endpoints, drawn at random, that has the lower load by the caller's word: `load` is called for both,
/// with `user`, within the pick. It must return, throw nothing, and not use the picker. The picker is a `POWER_OF_TWO`;
/// `ARGUMENT` for another kind. The hot path.
///
/// Fails as `resolver_resolve`.
///
/// # Safety
///
/// As `resolver_pick`; `load` is null or may be called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_pick_less_loaded(
    segment: *const Segment,
    picker: *mut Picker,
    handle: u64,
    load: Option<unsafe extern "C" fn(endpoint: *const Endpoint, user: *mut c_void) -> u64>,
    user: *mut c_void,
    out: *mut Endpoint,
) -> Code {
    // SAFETY: By the caller's word.
    let Ok(segment) = (unsafe { reference(segment) }) else { return Code::Null };
    // SAFETY: As above.
    let Ok(picker) = (unsafe { exclusive(picker) }) else { return Code::Null };
    // SAFETY: As above.
    let Ok(out) = (unsafe { output(out) }) else { return Code::Null };
    let Some(load) = load else { return Code::Null };
    let Picker::PowerOfTwo(picker) = picker else { return Code::Argument };
    let picked = picker.pick(segment.reader(), Handle::from_bits(handle), |endpoint| {
        // SAFETY: By the caller's word; the endpoint is there until it returns.
        unsafe { load(&Endpoint::from(*endpoint), user) }
    });
    answer(picked.map_err(PickError::Resolve), out)
}
