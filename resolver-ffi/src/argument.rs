//! Arguments from C, checked as far as they can be.

use core::ffi::c_char;
use core::ptr::NonNull;

use resolver_core::MAX_NAME;

use crate::code::Code;

/// # Safety
///
/// `pointer` is null, or leads to a `T` that lives and is not written to for as long as `'a` (atomics apart).
#[inline(always)]
pub(crate) unsafe fn reference<'a, T>(pointer: *const T) -> Result<&'a T, Code> {
    // SAFETY: By the caller's word.
    unsafe { pointer.as_ref() }.ok_or(Code::Null)
}

/// # Safety
///
/// `pointer` is null, or leads to a `T` that lives and that nothing else looks at for as long as `'a`.
#[inline(always)]
pub(crate) unsafe fn exclusive<'a, T>(pointer: *mut T) -> Result<&'a mut T, Code> {
    // SAFETY: By the caller's word.
    unsafe { pointer.as_mut() }.ok_or(Code::Null)
}

/// Memory for one answer, which need not hold anything yet.
pub(crate) struct Output<T>(NonNull<T>);

impl<T: Copy> Output<T> {
    /// Writes the answer.
    #[inline(always)]
    pub(crate) fn write(self, value: T) {
        // SAFETY: It may be written, by the word of who called `output`; `T` has no drop.
        unsafe { self.0.write(value) };
    }
}

/// # Safety
///
/// `pointer` is null, or is aligned and may be written until the `Output` is gone.
#[inline(always)]
pub(crate) unsafe fn output<T: Copy>(pointer: *mut T) -> Result<Output<T>, Code> {
    NonNull::new(pointer).map(Output).ok_or(Code::Null)
}

/// # Safety
///
/// `name` is null, or `length` bytes from it on may be read and are not written to for as long as `'a`.
pub(crate) unsafe fn text<'a>(name: *const c_char, length: usize) -> Result<&'a str, Code> {
    if name.is_null() {
        return Err(Code::Null);
    }
    if !(1..=MAX_NAME).contains(&length) {
        return Err(Code::Length);
    }
    // SAFETY: By the caller's word; the length is small.
    let bytes = unsafe { core::slice::from_raw_parts(name.cast::<u8>(), length) };
    core::str::from_utf8(bytes).map_err(|_| Code::Utf8)
}
