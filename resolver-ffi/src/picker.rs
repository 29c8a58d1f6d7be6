//! Pickers: which endpoint of a set is this thread's next.

use resolver_core::pick::{
    Failover, Maglev, PickError, PowerOfTwo, Random, Rendezvous, RoundRobin, Smooth, Weighted,
};
use resolver_core::{Handle, Reader, ResolveError};

use crate::argument::{Output, exclusive, output, reference};
use crate::code::{Code, guarded};
use crate::record::Endpoint;
use crate::segment::Segment;

/// What a picker goes by. The same set, seed and keys give the same picks here as in Rust, in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum PickerKind {
    /// Each in turn. The seed is the place that it begins at.
    RoundRobin = 1,
    /// Each in turn, as often as its weight says, in an order that the publisher made. The seed is the step that it begins at.
    Smooth = 2,
    /// Any, each as likely as its weight says. The seed is where its sequence begins: give each thread its own.
    Weighted = 3,
    /// By key, from a table that the publisher made (Maglev hashing).
    Maglev = 4,
    /// By key, by highest random weight over the whole set.
    Rendezvous = 5,
    /// Stays with one until `resolver_picker_failed`, then takes the next; reserves come last.
    Failover = 6,
    /// Any, each as likely. The seed is as for `WEIGHTED`.
    Random = 7,
    /// The less loaded of two that are drawn; for `resolver_pick_less_loaded` alone. The seed is as for `WEIGHTED`.
    PowerOfTwo = 8,
}

/// A picker, of one thread and one service: its cursor lies in it, and nothing that is shared is written.
pub enum Picker {
    /// See [`PickerKind`].
    RoundRobin(RoundRobin),
    /// See [`PickerKind`].
    Smooth(Smooth),
    /// See [`PickerKind`].
    Weighted(Weighted),
    /// See [`PickerKind`].
    Maglev(Maglev),
    /// See [`PickerKind`].
    Rendezvous,
    /// See [`PickerKind`].
    Failover(Failover),
    /// See [`PickerKind`].
    Random(Random),
    /// See [`PickerKind`].
    PowerOfTwo(PowerOfTwo),
}

/// A picker of a `RESOLVER_PICKER_` kind; freed with `resolver_picker_free`. Off the hot path. `ARGUMENT` for a kind that there
/// is not.
///
/// # Safety
///
/// `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_picker_new(kind: i32, seed: u64, out: *mut *mut Picker) -> Code {
    guarded(|| {
        // SAFETY: By the caller's word.
        let out = unsafe { output(out)? };
        let place = usize::try_from(seed).unwrap_or(0);
        let picker = match kind {
            kind if kind == PickerKind::RoundRobin as i32 => Picker::RoundRobin(RoundRobin::from(place)),
            kind if kind == PickerKind::Smooth as i32 => Picker::Smooth(Smooth::from(place)),
            kind if kind == PickerKind::Weighted as i32 => Picker::Weighted(Weighted::new(seed)),
            kind if kind == PickerKind::Maglev as i32 => Picker::Maglev(Maglev::new()),
            kind if kind == PickerKind::Rendezvous as i32 => Picker::Rendezvous,
            kind if kind == PickerKind::Failover as i32 => Picker::Failover(Failover::new()),
            kind if kind == PickerKind::Random as i32 => Picker::Random(Random::new(seed)),
            kind if kind == PickerKind::PowerOfTwo as i32 => Picker::PowerOfTwo(PowerOfTwo::new(seed)),
            _ => return Err(Code::Argument),
        };
        out.write(Box::into_raw(Box::new(picker)));
        Ok(())
    })
}

/// Frees a picker. Null is left alone.
///
/// # Safety
///
/// `picker` is null, or came from `resolver_picker_new` and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_picker_free(picker: *mut Picker) {
    if !picker.is_null() {
        // SAFETY: It is of `Box::into_raw`, and nobody else's, by the caller's word. No field of it has a drop.
        drop(unsafe { Box::from_raw(picker) });
    }
}

/// Picks an endpoint of the service's set. The hot path: no lock, no allocation, no system call. `key` is for kinds that go by
/// key (an account, the hash of a text); others do not look at it.
///
/// Fails as `resolver_resolve`, and with `NO_TABLE` (`MAGLEV`, `SMOOTH`), `NONE_ACCEPTED` (`FAILOVER`) and `ARGUMENT`
/// (`POWER_OF_TWO`: that is `resolver_pick_less_loaded`'s).
///
/// # Safety
///
/// `segment` is null or one that is not released; `picker` is null or one that is not freed, and that no other thread uses
/// meanwhile; `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_pick(
    segment: *const Segment,
    picker: *mut Picker,
    handle: u64,
    key: u64,
    out: *mut Endpoint,
) -> Code {
    // SAFETY: By the caller's word.
    let Ok(segment) = (unsafe { reference(segment) }) else { return Code::Null };
    // SAFETY: As above.
    let Ok(picker) = (unsafe { exclusive(picker) }) else { return Code::Null };
    // SAFETY: As above.
    let Ok(out) = (unsafe { output(out) }) else { return Code::Null };
    let (reader, handle) = (segment.reader(), Handle::from_bits(handle));
    match picker {
        Picker::RoundRobin(picker) => round_robin(reader, picker, handle, out),
        Picker::Smooth(picker) => smooth(reader, picker, handle, out),
        Picker::Weighted(picker) => weighted(reader, picker, handle, out),
        Picker::Maglev(picker) => maglev(reader, picker, handle, key, out),
        Picker::Rendezvous => rendezvous(reader, handle, key, out),
        Picker::Failover(picker) => failover(reader, picker, handle, out),
        Picker::Random(picker) => random(reader, picker, handle, out),
        // Nobody says what it goes by here.
        Picker::PowerOfTwo(_) => Code::Argument,
    }
}

// Each kind in a function of its own, so that it saves no more registers than it needs itself.

#[inline(never)]
fn round_robin(reader: &Reader<'_>, picker: &mut RoundRobin, handle: Handle, out: Output<Endpoint>) -> Code {
    answer(picker.pick(reader, handle).map_err(resolve), out)
}

#[inline(never)]
fn smooth(reader: &Reader<'_>, picker: &mut Smooth, handle: Handle, out: Output<Endpoint>) -> Code {
    answer(picker.pick(reader, handle), out)
}

#[inline(never)]
fn weighted(reader: &Reader<'_>, picker: &mut Weighted, handle: Handle, out: Output<Endpoint>) -> Code {
    answer(picker.pick(reader, handle).map_err(resolve), out)
}

#[inline(never)]
fn maglev(reader: &Reader<'_>, picker: &mut Maglev, handle: Handle, key: u64, out: Output<Endpoint>) -> Code {
    answer(picker.pick(reader, handle, key), out)
}

#[inline(never)]
fn rendezvous(reader: &Reader<'_>, handle: Handle, key: u64, out: Output<Endpoint>) -> Code {
    answer(Rendezvous::pick(reader, handle, key).map_err(resolve), out)
}

#[inline(never)]
fn failover(reader: &Reader<'_>, picker: &mut Failover, handle: Handle, out: Output<Endpoint>) -> Code {
    answer(picker.pick(reader, handle), out)
}

#[inline(never)]
fn random(reader: &Reader<'_>, picker: &mut Random, handle: Handle, out: Output<Endpoint>) -> Code {
    answer(picker.pick(reader, handle).map_err(resolve), out)
}

#[inline(always)]
fn resolve(error: ResolveError) -> PickError {
    PickError::Resolve(error)
}

#[inline(always)]
pub(crate) fn answer(picked: Result<resolver_core::Endpoint, PickError>, out: Output<Endpoint>) -> Code {
    match picked {
        Ok(endpoint) => {
            out.write(endpoint.into());
            Code::Ok
        }
        Err(error) => error.into(),
    }
}

/// The endpoint that a `FAILOVER` picker gave last did not answer: its next pick gives the next candidate. `ARGUMENT` for
/// another kind.
///
/// # Safety
///
/// As `resolver_pick`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_picker_failed(picker: *mut Picker) -> Code {
    // SAFETY: By the caller's word.
    unsafe { with_failover(picker, Failover::failed) }
}

/// A `FAILOVER` picker begins at the primary again. `ARGUMENT` for another kind.
///
/// # Safety
///
/// As `resolver_pick`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_picker_reset(picker: *mut Picker) -> Code {
    // SAFETY: By the caller's word.
    unsafe { with_failover(picker, Failover::reset) }
}

/// # Safety
///
/// As `resolver_pick`.
unsafe fn with_failover(picker: *mut Picker, act: impl FnOnce(&mut Failover)) -> Code {
    guarded(|| {
        // SAFETY: By the caller's word.
        match unsafe { exclusive(picker)? } {
            Picker::Failover(picker) => {
                act(picker);
                Ok(())
            }
            _ => Err(Code::Argument),
        }
    })
}
