//! What a service is at.

use resolver_core::{Handle, Set, WalkError};

use crate::argument::{output, reference};
use crate::code::{Code, guarded};
use crate::record::{Address, Endpoint, Record};
use crate::segment::Segment;
use crate::standing::Standing;

/// How often a set is read that is replaced meanwhile.
const ROUNDS: usize = 16;

/// The service's primary endpoint, and how the service stands. The hot path: wait-free, one cache line while nothing is
/// being written to this service, no lock, no allocation, no system call, no write but to `out`.
///
/// Fails with `NEVER`, `EMPTY`, `GONE`, `BUSY`, `NULL`; `out` is then as it was.
///
/// # Safety
///
/// `segment` is null or one that is not released; `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_resolve(segment: *const Segment, handle: u64, out: *mut Record) -> Code {
    // SAFETY: By the caller's word.
    let (Ok(segment), Ok(out)) = (unsafe { reference(segment) }, unsafe { output(out) }) else {
        return Code::Null;
    };
    match segment.reader().resolve(Handle::from_bits(handle)) {
        Ok(resolved) => {
            out.write(resolved.into());
            Code::Ok
        }
        Err(error) => error.into(),
    }
}

/// The primary endpoint's address and the service's standing alone: fewer loads than `resolver_resolve`. The hot path.
///
/// Fails as that does.
///
/// # Safety
///
/// As `resolver_resolve`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_resolve_address(
    segment: *const Segment,
    handle: u64,
    out: *mut Address,
) -> Code {
    // SAFETY: By the caller's word.
    let (Ok(segment), Ok(out)) = (unsafe { reference(segment) }, unsafe { output(out) }) else {
        return Code::Null;
    };
    match segment.reader().resolve_address(Handle::from_bits(handle)) {
        Ok(address) => {
            out.write(address.into());
            Code::Ok
        }
        Err(error) => error.into(),
    }
}

/// Whether a service still stands as this record of it says: one load. `false` may come a moment early, while the same is
/// being said anew; `true` never comes late. `false` for null.
///
/// # Safety
///
/// `segment` is null or one that is not released; `record` is null or leads to one that this library wrote.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_is_current(
    segment: *const Segment,
    handle: u64,
    record: *const Record,
) -> bool {
    // SAFETY: By the caller's word.
    let (Ok(segment), Ok(record)) = (unsafe { reference(segment) }, unsafe { reference(record) }) else {
        return false;
    };
    segment.reader().is_at(Handle::from_bits(handle), record.sequence)
}

/// The generation of the service's set. Fails as `resolver_resolve`.
///
/// # Safety
///
/// As `resolver_resolve`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_generation(segment: *const Segment, handle: u64, out: *mut u64) -> Code {
    guarded(|| {
        // SAFETY: By the caller's word.
        let (segment, out) = unsafe { (reference(segment)?, output(out)?) };
        out.write(segment.reader().generation(Handle::from_bits(handle))?);
        Ok(())
    })
}

/// How the service stands, whether or not it has an endpoint. Cold. Fails with `GONE`, `BUSY`, `NULL`.
///
/// # Safety
///
/// As `resolver_resolve`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_standing_of(
    segment: *const Segment,
    handle: u64,
    out: *mut Standing,
) -> Code {
    guarded(|| {
        // SAFETY: By the caller's word.
        let (segment, out) = unsafe { (reference(segment)?, output(out)?) };
        let (state, reason, source, generation) = segment.reader().standing(Handle::from_bits(handle))?;
        let (state, reason) = (state as u8, reason as u8);
        out.write(Standing { generation, state, reason, source, reserved: [0; 5] });
        Ok(())
    })
}

/// The service's active endpoints, all of one publication, the primary first: as many as there is `room` for, while `count`
/// says how many there are. `endpoints` may be null where `room` is 0. Cold.
///
/// Fails as `resolver_resolve`; what was written to `endpoints` is then of no use.
///
/// # Safety
///
/// `segment` is null or one that is not released; `endpoints` is null or `room` of them may be written; `count` is null or
/// may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_endpoints(
    segment: *const Segment,
    handle: u64,
    endpoints: *mut Endpoint,
    room: usize,
    count: *mut usize,
) -> Code {
    guarded(|| {
        // SAFETY: By the caller's word.
        let (segment, count) = unsafe { (reference(segment)?, output(count)?) };
        if endpoints.is_null() && room > 0 {
            return Err(Code::Null);
        }
        for _ in 0..ROUNDS {
            let set = segment.reader().set(Handle::from_bits(handle))?;
            // SAFETY: By the caller's word.
            if unsafe { copy(set, endpoints, room) }.is_ok() {
                count.write(set.len());
                return Ok(());
            }
        }
        Err(Code::Busy)
    })
}

/// # Safety
///
/// `room` endpoints from `endpoints` on may be written.
unsafe fn copy(set: Set<'_>, endpoints: *mut Endpoint, room: usize) -> Result<(), WalkError> {
    for (place, endpoint) in set.into_iter().enumerate().take(room) {
        // SAFETY: `place` is below `room`.
        unsafe { endpoints.add(place).write(endpoint?.into()) };
    }
    Ok(())
}
