//! Segments: a mapping that lives until its last reference is released.

use core::ffi::c_char;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use resolver_core::shm::{Owner, SegmentOptions};
use resolver_core::{Name, Reader};

use crate::argument::{output, reference, text};
use crate::code::{Code, guarded};

/// The longest path, with the zero at its end.
const PATH_MAX: usize = 4096;
/// The longest that is waited: so that a time is always one that can be told.
const YEAR_MS: u64 = 365 * 86_400_000;

/// A mapped segment, counted: every thread may use it, and the mapping stays until the last reference is released.
pub struct Segment {
    parts: Parts,
}

#[repr(C)]
struct Parts {
    /// Of the mapping below. It comes first: the hot path has no offset to add.
    reader: Reader<'static>,
    mapping: resolver_core::Segment,
}

impl Segment {
    fn open(
        path: &Path,
        owner: Owner,
        deadline: Option<Instant>,
    ) -> Result<Arc<Segment>, resolver_core::SegmentError> {
        let options = SegmentOptions { owner, ..SegmentOptions::default() };
        let mapping = match deadline {
            Some(deadline) => options.open_or_wait(path, deadline)?,
            None => options.open(path)?,
        };
        // SAFETY: The lifetime alone is made longer.
        // - What a reader borrows is the mapped memory, which does not move when the `Segment` that owns the mapping does.
        // - It stays mapped until `mapping` is dropped, which is with the reader: both are fields of one value that is
        //   never taken apart, and nothing hands the reader (or what it lends) out for longer than a borrow of that value.
        let reader = unsafe { core::mem::transmute::<Reader<'_>, Reader<'static>>(mapping.reader()) };
        Ok(Arc::new(Segment { parts: Parts { reader, mapping } }))
    }

    #[inline(always)]
    pub(crate) fn reader(&self) -> &Reader<'_> {
        &self.parts.reader
    }
}

/// Maps a segment for reading. `path` ends in a zero; no symbolic link is followed. `owner_uid` is the user that the file
/// must belong to, or -1 for this process's user or root. The segment is released with `resolver_release`.
///
/// Fails with `NULL`, `LENGTH`, `ARGUMENT`, `IO` (a file that is missing, too), `UNTRUSTED`, `TABLE`.
///
/// After a `fork` both processes have the segment, each with a count of its own.
///
/// # Safety
///
/// `path` is null or leads to a text that ends in a zero; `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_open(path: *const c_char, owner_uid: i64, out: *mut *mut Segment) -> Code {
    // SAFETY: By the caller's word; no room for a message is always there.
    unsafe { resolver_open_with_message(path, owner_uid, out, core::ptr::null_mut(), 0) }
}

/// As `resolver_open`; where that fails, writes what was wrong, with the path and what to do, to `message`: cut to `room`
/// bytes, the zero at its end included. On success it is the empty text. `message` may be null.
///
/// # Safety
///
/// As `resolver_open`, and `message` is null or `room` bytes from it on may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_open_with_message(
    path: *const c_char,
    owner_uid: i64,
    out: *mut *mut Segment,
    message: *mut c_char,
    room: usize,
) -> Code {
    // SAFETY: By the caller's word.
    unsafe { open(path, owner_uid, None, out, message, room) }
}

/// As `resolver_open_with_message`, for a program that may start before its agent: looks again until there is a segment, for
/// `timeout_ms` at most (a year is the longest); then `MISSING`. What waiting does not mend is told at once. Blocks.
///
/// # Safety
///
/// As `resolver_open_with_message`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_open_or_wait(
    path: *const c_char,
    owner_uid: i64,
    timeout_ms: u64,
    out: *mut *mut Segment,
    message: *mut c_char,
    room: usize,
) -> Code {
    let timeout = Duration::from_millis(timeout_ms.min(YEAR_MS));
    // SAFETY: By the caller's word.
    unsafe { open(path, owner_uid, Some(Instant::now() + timeout), out, message, room) }
}

/// # Safety
///
/// As `resolver_open_with_message`.
unsafe fn open(
    path: *const c_char,
    owner_uid: i64,
    deadline: Option<Instant>,
    out: *mut *mut Segment,
    message: *mut c_char,
    room: usize,
) -> Code {
    let mut said = String::new();
    let code = guarded(|| {
        // SAFETY: By the caller's word.
        let (path, out) = unsafe { (path_of(path)?, output(out)?) };
        let owner = match u32::try_from(owner_uid) {
            Ok(uid) => Owner::Uid(uid),
            Err(_) if owner_uid == -1 => Owner::SelfOrRoot,
            Err(_) => return Err(Code::Argument),
        };
        let segment = Segment::open(path, owner, deadline).map_err(|error| {
            said = error.to_string();
            Code::from(&error)
        })?;
        out.write(Arc::into_raw(segment).cast_mut());
        Ok(())
    });
    // SAFETY: By the caller's word.
    let tell = || unsafe {
        tell(&said, message, room);
        Ok(())
    };
    match guarded(tell) {
        Code::Ok => code,
        defect => defect,
    }
}

/// Another reference to the segment: one more `resolver_release` is due. Null is left alone.
///
/// # Safety
///
/// `segment` is null, or came from `resolver_open` and has a reference that is not released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_retain(segment: *const Segment) {
    if !segment.is_null() {
        // SAFETY: It is of `Arc::into_raw`, and its count is at least one, by the caller's word.
        unsafe { Arc::increment_strong_count(segment) };
    }
}

/// Gives a reference back. With the last one the segment is unmapped. Null is left alone.
///
/// # Safety
///
/// As `resolver_retain`; this reference is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_release(segment: *const Segment) {
    if !segment.is_null() {
        guarded(|| {
            // SAFETY: It is of `Arc::into_raw`, and the count has this reference, by the caller's word.
            unsafe { Arc::decrement_strong_count(segment) };
            Ok(())
        });
    }
}

/// Whether the path still leads to this segment: `OK`, or `REPLACED`. A system call, for the cold path: when
/// `resolver_liveness_silence` grows, or once a second. The segment at hand stays readable, with its last answers.
///
/// # Safety
///
/// `segment` is null or one that is not released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_poll(segment: *const Segment) -> Code {
    guarded(|| {
        // SAFETY: By the caller's word.
        let segment = unsafe { reference(segment)? };
        if segment.parts.mapping.is_current() { Ok(()) } else { Err(Code::Replaced) }
    })
}

/// The handle of a service's name (UTF-8, `length` bytes, no zero needed), to be taken once and kept. Means nothing in
/// another segment. `UNKNOWN` where there is no such name.
///
/// # Safety
///
/// `segment` is null or one that is not released; `name` is null or `length` bytes from it on may be read; `out` is null or
/// may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_service(
    segment: *const Segment,
    name: *const c_char,
    length: usize,
    out: *mut u64,
) -> Code {
    guarded(|| {
        // SAFETY: By the caller's word.
        let (segment, name, out) = unsafe { (reference(segment)?, text(name, length)?, output(out)?) };
        let name = Name::new(name);
        // No service's name has a control character; a setting's begins with one in the directory.
        let found = if name.check().is_ok() { segment.reader().find(&name) } else { None };
        out.write(found.ok_or(Code::Unknown)?.to_bits());
        Ok(())
    })
}

/// Moves with every publication, anywhere in the segment: a cheap "did anything change?". One load. 0 for a null segment.
///
/// # Safety
///
/// `segment` is null or one that is not released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_epoch(segment: *const Segment) -> u64 {
    // SAFETY: By the caller's word.
    unsafe { segment.as_ref() }.map_or(0, |segment| segment.reader().epoch())
}

/// # Safety
///
/// `path` is null or leads to a text that ends in a zero.
unsafe fn path_of<'a>(path: *const c_char) -> Result<&'a Path, Code> {
    if path.is_null() {
        return Err(Code::Null);
    }
    // SAFETY: No byte behind the zero is read, and what comes before it may be, by the caller's word.
    let length = (0..PATH_MAX).find(|at| unsafe { path.add(*at).read() } == 0).ok_or(Code::Length)?;
    if length == 0 {
        return Err(Code::Length);
    }
    // SAFETY: These were just read.
    let bytes = unsafe { core::slice::from_raw_parts(path.cast::<u8>(), length) };
    Ok(Path::new(OsStr::from_bytes(bytes)))
}

/// # Safety
///
/// `message` is null or `room` bytes from it on may be written.
pub(crate) unsafe fn tell(said: &str, message: *mut c_char, room: usize) {
    if message.is_null() || room == 0 {
        return;
    }
    let mut end = said.len().min(room - 1);
    while !said.is_char_boundary(end) {
        end -= 1;
    }
    // SAFETY: `end` is below `room`; a text of Rust's and memory of the caller's do not overlap.
    unsafe {
        core::ptr::copy_nonoverlapping(said.as_ptr(), message.cast::<u8>(), end);
        message.add(end).write(0);
    }
}

const _: () = {
    const fn is_for_all_threads<T: Send + Sync>() {}
    is_for_all_threads::<Segment>();
};
