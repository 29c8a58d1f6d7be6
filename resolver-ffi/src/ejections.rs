//! Endpoints that a thread leaves out for a while, as it has seen them fail.

use core::time::Duration;

use crate::argument::{exclusive, output, reference};
use crate::code::{Code, guarded};
use crate::record::Endpoint;

/// Endpoints that can be left out at one time.
const MOST: usize = 64;

/// Endpoints that one thread leaves out for a while: its own judgement, of which nobody else is told. Times are nanoseconds of
/// any clock of this thread that only goes forward.
pub struct Ejections(resolver_core::pick::Ejections<MOST>);

impl Ejections {
    #[inline(always)]
    pub(crate) fn is_out(&self, id: u64, now_ns: u64) -> bool {
        self.0.is_out(&of_id(id), Duration::from_nanos(now_ns))
    }
}

/// An endpoint of this id, which is all that ejections look at.
#[inline(always)]
fn of_id(id: u64) -> resolver_core::Endpoint {
    resolver_core::Endpoint::new(core::net::SocketAddr::from(([0, 0, 0, 0], 0))).with_id(id)
}

/// Room for 64 endpoints, of which at most so many percent of a set are left out at a time (one always may be, of a set of two
/// or more, and the last one never is); freed with `resolver_ejections_free`. Off the hot path. `ARGUMENT` for more than 100.
///
/// # Safety
///
/// `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_ejections_new(most_percent: u8, out: *mut *mut Ejections) -> Code {
    guarded(|| {
        // SAFETY: By the caller's word.
        let out = unsafe { output(out)? };
        if most_percent > 100 {
            return Err(Code::Argument);
        }
        let ejections = resolver_core::pick::Ejections::new(most_percent);
        out.write(Box::into_raw(Box::new(Ejections(ejections))));
        Ok(())
    })
}

/// Frees ejections. Null is left alone.
///
/// # Safety
///
/// `ejections` is null, or came from `resolver_ejections_new` and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_ejections_free(ejections: *mut Ejections) {
    if !ejections.is_null() {
        // SAFETY: It is of `Box::into_raw`, and nobody else's, by the caller's word. No field of it has a drop.
        drop(unsafe { Box::from_raw(ejections) });
    }
}

/// Leaves an endpoint out until `until_ns`, by its id; `endpoints` is how many there are to pick from (of a record). `OK`, or
/// `NONE_ACCEPTED` where too many are out already.
///
/// # Safety
///
/// `ejections` is null or one that is not freed, and that no other thread uses meanwhile; `endpoint` is null or may be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_eject(
    ejections: *mut Ejections,
    endpoint: *const Endpoint,
    now_ns: u64,
    until_ns: u64,
    endpoints: usize,
) -> Code {
    guarded(|| {
        // SAFETY: By the caller's word.
        let (ejections, endpoint) = unsafe { (exclusive(ejections)?, reference(endpoint)?) };
        let (now, until) = (Duration::from_nanos(now_ns), Duration::from_nanos(until_ns));
        // More than a set can have is as many as it can.
        let endpoints = endpoints.min(resolver_core::MAX_SET);
        let is_out = ejections.0.eject(&of_id(endpoint.id), now, until, endpoints);
        if is_out { Ok(()) } else { Err(Code::NoneAccepted) }
    })
}

/// Whether an endpoint is left out at this time. `false` for null.
///
/// # Safety
///
/// As `resolver_eject`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_is_ejected(
    ejections: *const Ejections,
    endpoint: *const Endpoint,
    now_ns: u64,
) -> bool {
    // SAFETY: By the caller's word.
    let (Ok(ejections), Ok(endpoint)) = (unsafe { reference(ejections) }, unsafe { reference(endpoint) })
    else {
        return false;
    };
    ejections.is_out(endpoint.id, now_ns)
}

/// Takes all of them back. Null is left alone.
///
/// # Safety
///
/// As `resolver_eject`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_ejections_clear(ejections: *mut Ejections) {
    // SAFETY: By the caller's word.
    if let Ok(ejections) = unsafe { exclusive(ejections) } {
        ejections.0.clear();
    }
}
