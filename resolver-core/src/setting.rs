//! Settings: typed configuration values, which the hot path reads at the price of an address and as of the same epochs.
//!
//! ```text
//! word  0, 1, 3, 4, 5, 6   the value: 48 bytes; a number in word 0
//! word  2                  incarnation 32 | kind 8 | length 8 | source 8 | standing 8
//! ```
//!
//! The third word is where a head has it, so that one code reads both, and a number is in the words of the narrow read.
//! In the directory a setting's name begins with a control character, which no service's name may have.

mod access;

use core::fmt;
use core::marker::PhantomData;

use crate::error::ResolveError;
use crate::handle::Handle;
use crate::layout::MAX_NAME;
use crate::name::NameError;
use crate::reader::Reader;
use crate::record::{Words, standing_byte};
use crate::state::{Reason, State};
use crate::writer::Standing;

/// Bytes of the longest value.
const LONGEST: usize = 48;

/// What a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A whole number of 64 bits with a sign.
    I64 = 1,
    /// A number of 64 bits with a binary point.
    F64 = 2,
    /// Yes or no.
    Bool = 3,
    /// Up to 48 bytes.
    Bytes = 4,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        [Kind::I64, Kind::F64, Kind::Bool, Kind::Bytes].into_iter().find(|kind| *kind as u8 == byte)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::I64 => "i64",
            Kind::F64 => "f64",
            Kind::Bool => "bool",
            Kind::Bytes => "bytes",
        })
    }
}

/// A setting of one table, looked up once, whose kind was checked then. As good for as long as a service's [`Handle`].
///
/// ```
/// use resolver_core::{Capacity, Standing, Table, heap};
///
/// let memory = heap(Capacity::SMALL.lines());
/// let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
/// let limit = writer.add_setting::<i64>("max-position")?;
/// writer.set(limit, 1_000_000, Standing::FRESH)?;
///
/// // Once, off the path; then on it.
/// let limit = reader.setting::<i64>("max-position")?;
/// assert_eq!(reader.get(limit), Ok(1_000_000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Setting<T> {
    handle: Handle,
    kind: PhantomData<fn() -> T>,
}

impl<T> Setting<T> {
    fn new(handle: Handle) -> Self {
        Setting { handle, kind: PhantomData }
    }

    /// From [`Setting::handle`], for bindings. A type that is not the setting's reads its bytes as another value, and a handle
    /// that is no setting's gives errors or such values; take a setting by its name where you can.
    pub const fn from_handle(handle: Handle) -> Self {
        Setting { handle, kind: PhantomData }
    }

    /// For [`Batch::mark`](crate::Batch::mark) and [`Reader::is_current`](crate::Reader::is_current).
    pub fn handle(&self) -> Handle {
        self.handle
    }
}

impl<T> Clone for Setting<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Setting<T> {}

impl<T> PartialEq for Setting<T> {
    fn eq(&self, other: &Self) -> bool {
        self.handle == other.handle
    }
}

impl<T> Eq for Setting<T> {}

impl<T> fmt::Debug for Setting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Setting").field(&self.handle).finish()
    }
}

/// A value of up to 48 bytes, inline.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bytes {
    bytes: [u8; LONGEST],
    length: u8,
}

impl Bytes {
    /// A copy; `None` where there are more than 48.
    ///
    /// ```
    /// use resolver_core::Bytes;
    ///
    /// assert_eq!(Bytes::new(b"XNAS").unwrap().as_slice(), b"XNAS");
    /// assert!(Bytes::new(&[0; 49]).is_none());
    /// ```
    pub fn new(value: &[u8]) -> Option<Bytes> {
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        Some(Bytes { bytes, length: value.len() as u8 })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_slice().escape_ascii())
    }
}

/// What a setting can hold: `i64`, `f64`, `bool` and [`Bytes`].
pub trait Value: Copy + sealed::Coded {}

impl Value for i64 {}
impl Value for f64 {}
impl Value for bool {}
impl Value for Bytes {}

mod sealed {
    use super::{Handle, Kind, Reader, ResolveError, Words};

    /// How a value lies in its cell.
    pub trait Coded: Sized {
        /// The kind.
        const KIND: Kind;
        /// The value's six words and its length.
        fn encode(self) -> ([u64; 6], u8);
        /// From the cell's words.
        fn decode(words: &Words) -> Self;
        /// Reads no more of the cell than the value needs.
        fn read(reader: &Reader<'_>, handle: Handle) -> Result<Self, ResolveError>;
    }
}

macro_rules! number {
    ($type:ty, $kind:expr, $to:expr, $from:expr) => {
        impl sealed::Coded for $type {
            const KIND: Kind = $kind;

            #[inline(always)]
            fn encode(self) -> ([u64; 6], u8) {
                ([$to(self), 0, 0, 0, 0, 0], 8)
            }

            #[inline(always)]
            fn decode(words: &Words) -> Self {
                $from(words[0])
            }

            #[inline(always)]
            fn read(reader: &Reader<'_>, handle: Handle) -> Result<Self, ResolveError> {
                reader.setting_words(handle).map($from)
            }
        }
    };
}

number!(i64, Kind::I64, i64::cast_unsigned, u64::cast_signed);
number!(f64, Kind::F64, f64::to_bits, f64::from_bits);
number!(bool, Kind::Bool, u64::from, |word: u64| word != 0);

impl sealed::Coded for Bytes {
    const KIND: Kind = Kind::Bytes;

    fn encode(self) -> ([u64; 6], u8) {
        (core::array::from_fn(|i| crate::name::pack(&self.bytes, 8 * i)[0]), self.length)
    }

    #[inline]
    fn decode(words: &Words) -> Self {
        let mut bytes = [0; LONGEST];
        let value = [words[0], words[1], words[3], words[4], words[5], words[6]];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(value) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Bytes { bytes, length: ((words[2] >> 40) as u8).min(LONGEST as u8) }
    }

    #[inline]
    fn read(reader: &Reader<'_>, handle: Handle) -> Result<Self, ResolveError> {
        reader.setting_words(handle).map(|words: Words| Self::decode(&words))
    }
}

/// Why a setting was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingError {
    /// The table has no setting of this name.
    Unknown,
    /// It has one of another kind.
    Kind {
        /// What it is.
        is: Kind,
        /// What it was asked for as.
        asked: Kind,
    },
    /// The writer overtook this read 16 times.
    Busy,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingError::Unknown => f.write_str("the table has no setting of this name"),
            SettingError::Kind { is, asked } => write!(f, "the setting is a {is}, not a {asked}"),
            SettingError::Busy => f.write_str("the writer overtook this read"),
        }
    }
}

impl core::error::Error for SettingError {}

/// A setting's name as the directory has it.
struct Key {
    bytes: [u8; MAX_NAME],
    length: usize,
}

/// Stands before a setting's name in the directory; services' names have no control characters.
const MARK: u8 = 1;

impl Key {
    fn new(name: &str) -> Result<Key, NameError> {
        crate::name::Name::new(name).check()?;
        let mut bytes = [0; MAX_NAME];
        bytes[0] = MARK;
        bytes.get_mut(1..=name.len()).ok_or(NameError::Long)?.copy_from_slice(name.as_bytes());
        Ok(Key { bytes, length: 1 + name.len() })
    }

    fn text(&self) -> &str {
        // It is the text of `new` after a character of one byte.
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

/// The setting's name, if a directory's name is one.
pub(crate) fn name_of(text: &str) -> Option<&str> {
    text.strip_prefix(char::from(MARK))
}

/// A cell's words but for the value.
fn meta(kind: Kind, length: u8, standing: Standing, incarnation: u32) -> u64 {
    u64::from(incarnation)
        | u64::from(kind as u8) << 32
        | u64::from(length) << 40
        | u64::from(standing.source) << 48
        | standing_byte(standing.state, standing.reason) << 56
}

fn kind_of(words: &[u64]) -> Option<Kind> {
    Kind::from_byte((words[2] >> 32) as u8)
}

pub(crate) fn with_standing(mut words: Words, standing: Standing) -> Words {
    let kept = words[2] & !(0xffff << 48);
    words[2] = kept | u64::from(standing.source) << 48 | standing_byte(standing.state, standing.reason) << 56;
    words
}

/// A cell without a value.
pub(crate) fn vacant(kind: Kind, state: State, reason: Reason, incarnation: u32) -> Words {
    let mut words = [0; 7];
    words[2] = meta(kind, 0, Standing { state, reason, source: 0 }, incarnation);
    words
}
