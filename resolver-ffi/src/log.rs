//! Words for people: a set's text, a source's name, what the publisher counted and what went wrong with it. All of it cold.

use core::ffi::c_char;

use resolver_core::{Counter, Handle, MAX_SOURCE_NAME};

use crate::argument::{output, reference};
use crate::code::{Code, guarded};
use crate::segment::{Segment, tell};

/// One distinct error of the publisher's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Incident {
    /// How often it came, since it is in the log.
    pub count: u64,
    /// When it came first, in milliseconds since 1970.
    pub first_ms: u64,
    /// When it came last, in milliseconds since 1970.
    pub last_ms: u64,
    /// A number for its kind; `resolver_incident_kind` has its name.
    pub kind: u8,
    /// Whether its words were longer.
    pub is_cut: bool,
    /// 0.
    pub reserved: [u8; 6],
    /// What it is about (a source, a service), with a zero at its end.
    pub about: [c_char; 280],
    /// What went wrong, with a zero at its end.
    pub words: [c_char; 280],
}

/// The set's text: a JSON array with an object for each endpoint, in the set's order, its `id` and `tags` in it. As many bytes as there
/// is `room` for, without a zero, while `length` says how many there are. `buffer` may be null where `room` is 0.
///
/// Fails as `resolver_resolve`; what was written to `buffer` is then of no use.
///
/// # Safety
///
/// `segment` is null or one that is not released; `buffer` is null or `room` bytes from it on may be written; `length` is null
/// or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_text(
    segment: *const Segment,
    handle: u64,
    buffer: *mut c_char,
    room: usize,
    length: *mut usize,
) -> Code {
    guarded(|| {
        // SAFETY: By the caller's word.
        let (segment, length) = unsafe { (reference(segment)?, output(length)?) };
        if buffer.is_null() && room > 0 {
            return Err(Code::Null);
        }
        // Written by us before it is read by anybody: the caller's memory need not hold anything yet.
        let mut text = vec![0; room.min(MOST_TEXT)];
        let there = segment.reader().text(Handle::from_bits(handle), &mut text)?;
        let end = there.min(text.len());
        if end > 0 {
            // SAFETY: `end` is not over `room`; memory of ours and of the caller's do not overlap.
            unsafe { core::ptr::copy_nonoverlapping(text.as_ptr(), buffer.cast::<u8>(), end) };
        }
        length.write(there);
        Ok(())
    })
}

/// The largest text that is given: that of 65535 endpoints with long ids.
const MOST_TEXT: usize = 64 << 20;

/// The name of a source by its number, cut to `room` bytes, the zero at its end included (25 are enough). `UNKNOWN` where
/// there is none.
///
/// # Safety
///
/// `segment` is null or one that is not released; `buffer` is null or `room` bytes from it on may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_source_name(
    segment: *const Segment,
    number: u8,
    buffer: *mut c_char,
    room: usize,
) -> Code {
    guarded(|| {
        // SAFETY: By the caller's word.
        let segment = unsafe { reference(segment)? };
        if buffer.is_null() {
            return Err(Code::Null);
        }
        if room == 0 {
            return Err(Code::Length);
        }
        let source = segment.reader().source(number).ok_or(Code::Unknown)?;
        // SAFETY: By the caller's word.
        unsafe { tell(source.name(&mut [0; MAX_SOURCE_NAME]), buffer, room) };
        Ok(())
    })
}

/// One of the publisher's counters, since the segment was created: it only grows. Numbers are from 0 on;
/// `resolver_counter_name` has their names. 0 for a number that there is not, and for null.
///
/// # Safety
///
/// `segment` is null or one that is not released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_counter(segment: *const Segment, number: u8) -> u64 {
    // SAFETY: By the caller's word.
    let Ok(segment) = (unsafe { reference(segment) }) else { return 0 };
    Counter::from_number(number).map_or(0, |counter| segment.reader().counter(counter))
}

/// The name of a counter, cut to `room` bytes, the zero at its end included (32 are enough). `UNKNOWN` for the first number that
/// there is not.
///
/// # Safety
///
/// `buffer` is null or `room` bytes from it on may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_counter_name(number: u8, buffer: *mut c_char, room: usize) -> Code {
    guarded(|| {
        let counter = Counter::from_number(number).ok_or(Code::Unknown)?;
        // SAFETY: By the caller's word.
        unsafe { name(counter.name(), buffer, room) }
    })
}

/// The name of an incident's kind, as `resolver_counter_name`.
///
/// # Safety
///
/// As `resolver_counter_name`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_incident_kind(kind: u8, buffer: *mut c_char, room: usize) -> Code {
    guarded(|| {
        let kind = resolver_core::IncidentKind::from_byte(kind).ok_or(Code::Unknown)?;
        // SAFETY: By the caller's word.
        unsafe { name(kind.name(), buffer, room) }
    })
}

/// The publisher's log of distinct errors, in no order: as many as there is `room` for, while `count` says how many there are.
/// `incidents` may be null where `room` is 0. Each is of one moment; one that is being written at this moment is left out.
///
/// # Safety
///
/// `segment` is null or one that is not released; `incidents` is null or `room` of them may be written; `count` is null or may
/// be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_incidents(
    segment: *const Segment,
    incidents: *mut Incident,
    room: usize,
    count: *mut usize,
) -> Code {
    guarded(|| {
        // SAFETY: By the caller's word.
        let (segment, count) = unsafe { (reference(segment)?, output(count)?) };
        if incidents.is_null() && room > 0 {
            return Err(Code::Null);
        }
        let mut there = 0;
        for incident in segment.reader().incidents() {
            if there < room {
                // SAFETY: `there` is below `room`.
                unsafe { incidents.add(there).write(incident.into()) };
            }
            there += 1;
        }
        count.write(there);
        Ok(())
    })
}

/// # Safety
///
/// As `resolver_counter_name`.
unsafe fn name(name: &str, buffer: *mut c_char, room: usize) -> Result<(), Code> {
    if buffer.is_null() {
        return Err(Code::Null);
    }
    if room == 0 {
        return Err(Code::Length);
    }
    // SAFETY: By the caller's word.
    unsafe { tell(name, buffer, room) };
    Ok(())
}

impl From<resolver_core::Incident> for Incident {
    fn from(incident: resolver_core::Incident) -> Incident {
        let mut buffer = [0; 272];
        let about = text(incident.about(&mut buffer));
        let words = text(incident.words(&mut buffer));
        Incident {
            count: incident.count(),
            first_ms: incident.first_ms(),
            last_ms: incident.last_ms(),
            kind: incident.kind() as u8,
            is_cut: incident.is_cut(),
            reserved: [0; 6],
            about,
            words,
        }
    }
}

/// With a zero behind it: texts have 272 bytes at most.
fn text(said: &str) -> [c_char; 280] {
    let mut text = [0; 280];
    for (place, byte) in text.iter_mut().zip(said.bytes()).take(279) {
        *place = byte.cast_signed() as c_char;
    }
    text
}
