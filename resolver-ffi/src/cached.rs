//! A handle that keeps its last answer.

use std::sync::Arc;

use resolver_core::{CachedHandle, Handle, ResolveError};

use crate::argument::{exclusive, output, reference};
use crate::code::{Code, guarded};
use crate::record::Record;
use crate::segment::Segment;

/// A handle of one thread with a private copy of its last answer: one load and one comparison while nothing changed. For a
/// handle that is asked all the time.
pub struct Cached {
    parts: Parts,
}

#[repr(C)]
struct Parts {
    /// Of the mapping below.
    handle: CachedHandle<'static>,
    segment: Arc<Segment>,
}

/// A cached handle; freed with `resolver_cached_free`. Holds a reference to its segment until then. Off the hot path. (A handle
/// that means nothing is found out when it is resolved.)
///
/// # Safety
///
/// `segment` is null or one that is not released; `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_cached_new(
    segment: *const Segment,
    handle: u64,
    out: *mut *mut Cached,
) -> Code {
    guarded(|| {
        // SAFETY: By the caller's word.
        let (reference, out) = unsafe { (reference(segment)?, output(out)?) };
        let cached = reference.reader().cached(Handle::from_bits(handle));
        // SAFETY: The lifetime alone is made longer.
        // - What a cached handle borrows is the mapped memory, which does not move.
        // - It stays mapped while the segment has a reference, and one is held beside the handle until both are dropped
        //   together: they are fields of one value that is never taken apart, and nothing hands the handle out.
        let handle = unsafe { core::mem::transmute::<CachedHandle<'_>, CachedHandle<'static>>(cached) };
        // SAFETY: It is of `Arc::into_raw`, and its count is at least one, by the caller's word.
        let segment = unsafe {
            Arc::increment_strong_count(segment);
            Arc::from_raw(segment)
        };
        out.write(Box::into_raw(Box::new(Cached { parts: Parts { handle, segment } })));
        Ok(())
    })
}

/// Frees a cached handle, and gives its reference to the segment back. Null is left alone.
///
/// # Safety
///
/// `cached` is null, or came from `resolver_cached_new` and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_cached_free(cached: *mut Cached) {
    if !cached.is_null() {
        guarded(|| {
            // SAFETY: It is of `Box::into_raw`, and nobody else's, by the caller's word.
            drop(unsafe { Box::from_raw(cached) });
            Ok(())
        });
    }
}

/// As `resolver_resolve` with the handle. The hot path.
///
/// # Safety
///
/// `cached` is null or one that is not freed, and that no other thread uses meanwhile; `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_cached_resolve(cached: *mut Cached, out: *mut Record) -> Code {
    // SAFETY: By the caller's word.
    let (Ok(cached), Ok(out)) = (unsafe { exclusive(cached) }, unsafe { output(out) }) else {
        return Code::Null;
    };
    let Parts { handle, segment } = &mut cached.parts;
    match handle.resolve(segment.reader()) {
        Ok(resolved) => {
            out.write(resolved.into());
            Code::Ok
        }
        Err(error) => code_of(error),
    }
}

/// Out of line, where it is a look into a table: within the function it would be a jump that is computed.
#[cold]
#[inline(never)]
fn code_of(error: ResolveError) -> Code {
    error.into()
}
