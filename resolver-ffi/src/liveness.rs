//! Whether the publisher lives, and answers that are not older than asked for. Times are nanoseconds of any clock of the
//! caller that only goes forward.

use core::time::Duration;

use resolver_core::{FreshError, Handle};

use crate::argument::{exclusive, output, reference};
use crate::code::{Code, guarded};
use crate::record::Record;
use crate::segment::Segment;

/// What an age or a silence is where it is unknown: no beat of the publisher was seen yet.
pub const RESOLVER_UNKNOWN_AGE: u64 = u64::MAX;

/// Watches the publisher's pulse for one thread.
pub struct Liveness(resolver_core::Liveness);

/// A liveness that knows nothing yet; freed with `resolver_liveness_free`. Off the hot path.
///
/// # Safety
///
/// `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_liveness_new(out: *mut *mut Liveness) -> Code {
    guarded(|| {
        // SAFETY: By the caller's word.
        let out = unsafe { output(out)? };
        out.write(Box::into_raw(Box::new(Liveness(resolver_core::Liveness::new()))));
        Ok(())
    })
}

/// Frees a liveness. Null is left alone.
///
/// # Safety
///
/// `liveness` is null, or came from `resolver_liveness_new` and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_liveness_free(liveness: *mut Liveness) {
    if !liveness.is_null() {
        // SAFETY: It is of `Box::into_raw`, and nobody else's, by the caller's word. No field of it has a drop.
        drop(unsafe { Box::from_raw(liveness) });
    }
}

/// Looks at the pulse, at this moment of the caller's clock. Poll at least as often as the shortest age that is asked for: a
/// beat counts as old as the poll before it. No system call.
///
/// # Safety
///
/// `liveness` is null or one that is not freed, and that no other thread uses meanwhile; `segment` is null or one that is not
/// released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_liveness_poll(
    liveness: *mut Liveness,
    segment: *const Segment,
    now_ns: u64,
) -> Code {
    guarded(|| {
        // SAFETY: By the caller's word.
        let (liveness, segment) = unsafe { (exclusive(liveness)?, reference(segment)?) };
        liveness.0.poll(segment.reader(), Duration::from_nanos(now_ns));
        Ok(())
    })
}

/// How long the publisher was silent at the last poll, at most, in nanoseconds; `RESOLVER_UNKNOWN_AGE` while no beat was seen.
///
/// # Safety
///
/// As `resolver_liveness_poll`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_liveness_silence(liveness: *const Liveness) -> u64 {
    // SAFETY: By the caller's word.
    nanos(unsafe { liveness.as_ref() }.and_then(|liveness| liveness.0.silence()))
}

/// How old a source's word was at the last poll, at most, in nanoseconds; `RESOLVER_UNKNOWN_AGE` while that is unknown.
///
/// # Safety
///
/// As `resolver_liveness_poll`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_liveness_age(liveness: *const Liveness, source: u8) -> u64 {
    // SAFETY: By the caller's word.
    nanos(unsafe { liveness.as_ref() }.and_then(|liveness| liveness.0.age(source)))
}

/// As `resolver_resolve`, but `OLD` where the answer may be older than `max_age_ns` or is not fresh: `out` is written then
/// too, for a caller who prefers it to none, and `age_ns` (unless it is null) says how old it may be, or
/// `RESOLVER_UNKNOWN_AGE`. The hot path.
///
/// # Safety
///
/// As `resolver_resolve` and `resolver_liveness_poll`; `age_ns` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_resolve_fresh(
    segment: *const Segment,
    handle: u64,
    max_age_ns: u64,
    liveness: *const Liveness,
    out: *mut Record,
    age_ns: *mut u64,
) -> Code {
    // SAFETY: By the caller's word.
    let arguments = unsafe { (reference(segment), reference(liveness), output(out)) };
    let (Ok(segment), Ok(liveness), Ok(out)) = arguments else { return Code::Null };
    let max_age = Duration::from_nanos(max_age_ns);
    match segment.reader().resolve_fresh(Handle::from_bits(handle), max_age, &liveness.0) {
        Ok(resolved) => {
            out.write(resolved.into());
            Code::Ok
        }
        Err(FreshError::Old { age, last }) => {
            out.write(last.into());
            // SAFETY: By the caller's word.
            if let Ok(told) = unsafe { output(age_ns) } {
                told.write(nanos(age));
            }
            Code::Old
        }
        Err(FreshError::Resolve(error)) => error.into(),
    }
}

#[inline]
fn nanos(age: Option<Duration>) -> u64 {
    // Below the number that means unknown.
    age.map_or(RESOLVER_UNKNOWN_AGE, |age| {
        u64::try_from(age.as_nanos())
            .map_or(RESOLVER_UNKNOWN_AGE - 1, |age| age.min(RESOLVER_UNKNOWN_AGE - 1))
    })
}
