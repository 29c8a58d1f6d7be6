//! What functions return.

use core::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};

use resolver_core::pick::PickError;
use resolver_core::{ResolveError, SegmentError, SettingError};

/// What a function returns. The numbers never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    /// Done.
    Ok = 0,
    /// A pointer is null that must not be.
    Null = 1,
    /// A length is out of bounds: a name has 1 to 255 bytes, a path 1 to 4095.
    Length = 2,
    /// A name is not UTF-8.
    Utf8 = 3,
    /// A number is not one that this function takes.
    Argument = 4,
    /// The name is known, but no set (or value) was ever published under it.
    Never = 10,
    /// The registry has confirmed that the service has no instance, or the setting no value.
    Empty = 11,
    /// The service or setting was removed, or the handle is of another segment. Look the name up again, off the hot path.
    Gone = 12,
    /// The writer overtook this read 16 times. The last answer is still the newest that was seen.
    Busy = 13,
    /// All candidates have failed.
    NoneAccepted = 14,
    /// The set was published without the table that this picker needs.
    NoTable = 15,
    /// There is an answer (it was written), but it may be older than was asked for.
    Old = 16,
    /// The segment has no such name.
    Unknown = 17,
    /// The setting is of another kind.
    Kind = 18,
    /// The system refused something; is the agent running, and may this user read its segment?
    Io = 20,
    /// The file is not one that may be trusted: its kind, owner, mode or links are wrong.
    Untrusted = 21,
    /// The file is no table of a layout that this library reads.
    Table = 22,
    /// The path leads to another segment by now, or to none: open it again, look names up again, release this one.
    Replaced = 23,
    /// There was no segment until the deadline; the message says what is not there.
    Missing = 24,
    /// A defect of this library: a panic was caught. Please report it.
    Internal = 90,
}

impl Code {
    const ALL: [Code; 20] = [
        Code::Ok,
        Code::Null,
        Code::Length,
        Code::Utf8,
        Code::Argument,
        Code::Never,
        Code::Empty,
        Code::Gone,
        Code::Busy,
        Code::NoneAccepted,
        Code::NoTable,
        Code::Old,
        Code::Unknown,
        Code::Kind,
        Code::Io,
        Code::Untrusted,
        Code::Table,
        Code::Replaced,
        Code::Missing,
        Code::Internal,
    ];

    const fn text(self) -> &'static core::ffi::CStr {
        match self {
            Code::Ok => c"done",
            Code::Null => c"a pointer is null that must not be",
            Code::Length => c"a length is out of bounds: a name has 1 to 255 bytes, a path 1 to 4095",
            Code::Utf8 => c"the name is not UTF-8",
            Code::Argument => c"a number is not one that this function takes",
            Code::Never => c"nothing was published under this name yet",
            Code::Empty => c"the registry has confirmed that there is no instance, or no value",
            Code::Gone => c"it was removed, or is of another segment; look its name up again",
            Code::Busy => c"the writer overtook this read; keep the last answer",
            Code::NoneAccepted => c"all candidates have failed",
            Code::NoTable => c"the set was published without the table that this picker needs",
            Code::Old => c"the answer may be older than was asked for",
            Code::Unknown => c"the segment has no such name",
            Code::Kind => c"the setting is of another kind",
            Code::Io => {
                c"the system refused to open or map the segment; is the agent running, and may this user read its file?"
            }
            Code::Untrusted => c"the file is not to be trusted: its kind, owner, mode or links are wrong",
            Code::Table => c"the file is no table of a layout that this library reads",
            Code::Replaced => c"another segment has taken this one's place; open it, and look the names up again",
            Code::Missing => c"there was no segment until the deadline; is the agent running?",
            Code::Internal => c"a defect of this library; please report it",
        }
    }
}

/// What a code says, in English; it lives for ever and is never null.
#[unsafe(no_mangle)]
pub extern "C" fn resolver_error_text(code: i32) -> *const c_char {
    let known = Code::ALL.into_iter().find(|known| *known as i32 == code);
    known.map_or(c"a code that this version of the library does not have", Code::text).as_ptr()
}

impl From<ResolveError> for Code {
    #[inline(always)]
    fn from(error: ResolveError) -> Code {
        match error {
            ResolveError::Never => Code::Never,
            ResolveError::Empty => Code::Empty,
            ResolveError::Gone => Code::Gone,
            ResolveError::Busy => Code::Busy,
        }
    }
}

impl From<PickError> for Code {
    #[inline(always)]
    fn from(error: PickError) -> Code {
        match error {
            PickError::Resolve(error) => error.into(),
            PickError::NoneAccepted => Code::NoneAccepted,
            PickError::NoTable => Code::NoTable,
        }
    }
}

impl From<SettingError> for Code {
    fn from(error: SettingError) -> Code {
        match error {
            SettingError::Unknown => Code::Unknown,
            SettingError::Kind { .. } => Code::Kind,
            SettingError::Busy => Code::Busy,
        }
    }
}

impl From<&SegmentError> for Code {
    fn from(error: &SegmentError) -> Code {
        match error {
            SegmentError::Untrusted { .. } => Code::Untrusted,
            SegmentError::Table { .. } => Code::Table,
            SegmentError::Missing { .. } => Code::Missing,
            // The others are a writer's, which a reader never meets.
            _ => Code::Io,
        }
    }
}

/// Runs what is off the hot path, and keeps a panic from its caller.
pub(crate) fn guarded(work: impl FnOnce() -> Result<(), Code>) -> Code {
    // What a panic leaves half done is a picker or a liveness of its caller, whose every state is a good one.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => Code::Ok,
        Ok(Err(code)) => code,
        Err(_) => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn a_panic_becomes_a_code() {
        assert_eq!(guarded(|| panic!("planted")), Code::Internal);
        assert_eq!(guarded(|| Err(Code::Gone)), Code::Gone);
        assert_eq!(guarded(|| Ok(())), Code::Ok);
    }

    #[test]
    fn every_code_has_a_text_of_its_own() {
        let text = |code: i32| {
            // SAFETY: It is a static text that ends in a zero, by its type.
            unsafe { CStr::from_ptr(resolver_error_text(code)) }.to_str().expect("ASCII")
        };
        let texts: std::collections::BTreeSet<_> = (-1..200).map(text).collect();
        assert_eq!(texts.len(), Code::ALL.len() + 1);
    }
}
