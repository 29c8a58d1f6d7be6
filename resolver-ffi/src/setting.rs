//! Settings: typed configuration values. A setting's kind is checked when it is taken; afterwards its type in C says it.

use core::ffi::c_char;

use resolver_core::{Handle, Setting, Value};

use crate::argument::{Output, output, reference, text};
use crate::code::{Code, guarded};
use crate::segment::Segment;

/// A setting that is a whole number with a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SettingI64 {
    /// Not for use.
    pub bits: u64,
}

/// A setting that is a number with a binary point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SettingF64 {
    /// Not for use.
    pub bits: u64,
}

/// A setting that is yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SettingBool {
    /// Not for use.
    pub bits: u64,
}

/// A setting that is up to 48 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SettingBytes {
    /// Not for use.
    pub bits: u64,
}

/// A value of up to 48 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Bytes {
    /// The bytes; zeros behind the last one.
    pub bytes: [u8; 48],
    /// How many there are.
    pub length: u8,
}

/// Takes a setting of this kind by its name, once, off the hot path. `UNKNOWN` where there is none, `KIND` where it is of
/// another kind.
///
/// # Safety
///
/// `segment` is null or one that is not released; `name` is null or `length` bytes from it on may be read; `out` is null or
/// may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_setting_i64(
    segment: *const Segment,
    name: *const c_char,
    length: usize,
    out: *mut SettingI64,
) -> Code {
    // SAFETY: By the caller's word.
    unsafe { take::<i64, _>(segment, name, length, output(out), |bits| SettingI64 { bits }) }
}

/// As `resolver_setting_i64`.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_setting_f64(
    segment: *const Segment,
    name: *const c_char,
    length: usize,
    out: *mut SettingF64,
) -> Code {
    // SAFETY: By the caller's word.
    unsafe { take::<f64, _>(segment, name, length, output(out), |bits| SettingF64 { bits }) }
}

/// As `resolver_setting_i64`.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_setting_bool(
    segment: *const Segment,
    name: *const c_char,
    length: usize,
    out: *mut SettingBool,
) -> Code {
    // SAFETY: By the caller's word.
    unsafe { take::<bool, _>(segment, name, length, output(out), |bits| SettingBool { bits }) }
}

/// As `resolver_setting_i64`.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_setting_bytes(
    segment: *const Segment,
    name: *const c_char,
    length: usize,
    out: *mut SettingBytes,
) -> Code {
    // SAFETY: By the caller's word.
    unsafe {
        take::<resolver_core::Bytes, _>(segment, name, length, output(out), |bits| SettingBytes { bits })
    }
}

/// The setting's value. The hot path, at the price of `resolver_resolve_address`. `NEVER` and `EMPTY` where it has none, `GONE`
/// where it was removed, `BUSY` as there.
///
/// # Safety
///
/// `segment` is null or one that is not released; `out` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_get_i64(
    segment: *const Segment,
    setting: SettingI64,
    out: *mut i64,
) -> Code {
    // SAFETY: By the caller's word.
    unsafe { get(segment, setting.bits, out, |value| value) }
}

/// As `resolver_get_i64`.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_get_f64(
    segment: *const Segment,
    setting: SettingF64,
    out: *mut f64,
) -> Code {
    // SAFETY: By the caller's word.
    unsafe { get(segment, setting.bits, out, |value| value) }
}

/// As `resolver_get_i64`.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_get_bool(
    segment: *const Segment,
    setting: SettingBool,
    out: *mut bool,
) -> Code {
    // SAFETY: By the caller's word.
    unsafe { get(segment, setting.bits, out, |value| value) }
}

/// As `resolver_get_i64`, at the price of `resolver_resolve`.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resolver_get_bytes(
    segment: *const Segment,
    setting: SettingBytes,
    out: *mut Bytes,
) -> Code {
    // SAFETY: By the caller's word.
    unsafe {
        get(segment, setting.bits, out, |value: resolver_core::Bytes| {
            let mut bytes = [0; 48];
            let found = value.as_slice();
            bytes.iter_mut().zip(found).for_each(|(to, from)| *to = *from);
            Bytes { bytes, length: found.len() as u8 }
        })
    }
}

/// # Safety
///
/// As `resolver_setting_i64`, but that `out` was checked.
unsafe fn take<T: Value, S: Copy>(
    segment: *const Segment,
    name: *const c_char,
    length: usize,
    out: Result<Output<S>, Code>,
    typed: impl FnOnce(u64) -> S,
) -> Code {
    guarded(|| {
        // SAFETY: By the caller's word.
        let (segment, name) = unsafe { (reference(segment)?, text(name, length)?) };
        let out = out?;
        let setting = segment.reader().setting::<T>(name)?;
        out.write(typed(setting.handle().to_bits()));
        Ok(())
    })
}

/// # Safety
///
/// As `resolver_get_i64`.
#[inline(always)]
unsafe fn get<T: Value, V: Copy>(
    segment: *const Segment,
    bits: u64,
    out: *mut V,
    value: impl FnOnce(T) -> V,
) -> Code {
    // SAFETY: By the caller's word.
    let (Ok(segment), Ok(out)) = (unsafe { reference(segment) }, unsafe { output(out) }) else {
        return Code::Null;
    };
    let setting = Setting::<T>::from_handle(Handle::from_bits(bits));
    match segment.reader().get(setting) {
        Ok(found) => {
            out.write(value(found));
            Code::Ok
        }
        Err(error) => error.into(),
    }
}
