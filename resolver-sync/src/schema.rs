//! Settings: what a value of a registry has to be before the hot path may read it.
//!
//! ```toml
//! [[setting]]
//! name = "max_position"             # what readers ask for
//! source = "consul"                 # a [[source]] of kind consul or etcd
//! key = "config/max_position"
//! type = "i64"                      # i64, f64, bool or bytes
//! min = 0                           # of numbers; both ends belong to the range
//! max = 1_000_000
//!
//! [[setting]]
//! name = "venue"
//! source = "consul"
//! key = "config/venue"
//! type = "bytes"
//! max_length = 8                    # of bytes; 48 at most
//! on_delete = "unset"               # or "keep" (the default): what a confirmed deletion does
//! ```
//!
//! A value is text: a whole number in decimal, a number with a point, `true` or `false`; white space around it does not
//! matter. The bytes of a `bytes` setting are taken as they are. What does not fit is refused whole: `100abc` is no
//! number, 1e999 and NaN are none either, and nothing is cut. The last good value stands then.

mod config;

use std::fmt;

use resolver_core::{Bytes, Kind};

pub use config::SettingConfig;

/// The longest value of a `bytes` setting.
pub const MAX_BYTES: usize = 48;

/// One setting: its name for readers, where its value is, and what that has to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// What readers ask for.
    pub name: String,
    /// The source's name.
    pub source: String,
    /// The key in that source's registry.
    pub key: String,
    /// What its values are.
    pub bounds: Bounds,
    /// What a confirmed deletion does.
    pub on_delete: OnDelete,
}

/// A type, and which of its values are good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bounds {
    /// Whole numbers, both ends included.
    I64 {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// Finite numbers, both ends included.
    F64 {
        /// The least.
        min: f64,
        /// The greatest.
        max: f64,
    },
    /// Yes or no.
    Bool,
    /// Up to so many bytes.
    Bytes {
        /// At most [`MAX_BYTES`].
        max_length: usize,
    },
}

/// What happens to the value in the table when its key is deleted, and a second read has confirmed that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDelete {
    /// The last value stands, marked stale, with an alarm.
    #[default]
    Keep,
    /// Readers get `Empty`.
    Unset,
}

/// A value that fits its schema.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// See [`Bounds::I64`].
    I64(i64),
    /// See [`Bounds::F64`].
    F64(f64),
    /// See [`Bounds::Bool`].
    Bool(bool),
    /// See [`Bounds::Bytes`].
    Bytes(Bytes),
}

/// Why a value is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// Not of the type.
    #[error("{text:?} is no {kind}")]
    Type {
        /// What came, cut short for a log.
        text: String,
        /// What it should be.
        kind: Kind,
    },
    /// Of the type, and out of bounds.
    #[error("{value} is not within {bounds}")]
    Range {
        /// What came.
        value: String,
        /// What it should be.
        bounds: String,
    },
    /// Too many bytes.
    #[error("{bytes} bytes are over the limit of {limit}")]
    Long {
        /// How many came.
        bytes: usize,
        /// How many may.
        limit: usize,
    },
}

impl Bounds {
    /// The kind of the table's cell.
    pub fn kind(&self) -> Kind {
        match self {
            Bounds::I64 { .. } => Kind::I64,
            Bounds::F64 { .. } => Kind::F64,
            Bounds::Bool => Kind::Bool,
            Bounds::Bytes { .. } => Kind::Bytes,
        }
    }

    /// Reads a value of a registry.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] for anything that is not wholly of the type and within the bounds.
    pub fn parse(&self, raw: &[u8]) -> Result<Value, SchemaError> {
        if let Bounds::Bytes { max_length } = *self {
            let long = SchemaError::Long { bytes: raw.len(), limit: max_length };
            return Bytes::new(raw).filter(|_| raw.len() <= max_length).map(Value::Bytes).ok_or(long);
        }
        let wrong = || {
            let text: String = String::from_utf8_lossy(raw).chars().take(SHOWN).collect();
            SchemaError::Type { text, kind: self.kind() }
        };
        let text = std::str::from_utf8(raw).map_err(|_| wrong())?.trim_ascii();
        let value = match self {
            Bounds::I64 { .. } => text.parse().map(Value::I64).map_err(|_| wrong())?,
            Bounds::F64 { .. } => {
                let number: f64 = text.parse().map_err(|_| wrong())?;
                // Also what is too large for a f64, which parses as infinite.
                Value::F64(Some(number).filter(|number| number.is_finite()).ok_or_else(wrong)?)
            }
            _ => match text {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                _ => return Err(wrong()),
            },
        };
        self.admit(&value)?;
        Ok(value)
    }

    /// Whether a value of the type is within the bounds; one of another type is not.
    ///
    /// # Errors
    ///
    /// [`SchemaError::Range`], [`SchemaError::Long`] and [`SchemaError::Type`].
    pub fn admit(&self, value: &Value) -> Result<(), SchemaError> {
        let within = match (self, value) {
            (Bounds::I64 { min, max }, Value::I64(value)) => (min..=max).contains(&value),
            (Bounds::F64 { min, max }, Value::F64(value)) => (min..=max).contains(&value),
            (Bounds::Bool, Value::Bool(_)) => true,
            (Bounds::Bytes { max_length }, Value::Bytes(value)) => {
                let bytes = value.as_slice().len();
                if bytes > *max_length {
                    return Err(SchemaError::Long { bytes, limit: *max_length });
                }
                true
            }
            _ => return Err(SchemaError::Type { text: value.to_string(), kind: self.kind() }),
        };
        match within {
            true => Ok(()),
            false => Err(SchemaError::Range { value: value.to_string(), bounds: self.to_string() }),
        }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bounds::I64 { min, max } => write!(f, "{min}..={max}"),
            Bounds::F64 { min, max } => write!(f, "{min}..={max}"),
            Bounds::Bool => f.write_str("true, false"),
            Bounds::Bytes { max_length } => write!(f, "up to {max_length} bytes"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::I64(value) => value.fmt(f),
            Value::F64(value) => value.fmt(f),
            Value::Bool(value) => value.fmt(f),
            Value::Bytes(value) => write!(f, "{value:?}"),
        }
    }
}

/// Characters of a bad value that a log shows.
const SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const I64: Bounds = Bounds::I64 { min: 0, max: 1_000_000 };
    const F64: Bounds = Bounds::F64 { min: -1.5, max: 1.5 };

    #[test]
    fn good_values() {
        for (bounds, raw, value) in [
            (I64, "0", Value::I64(0)),
            (I64, " 1000000\n", Value::I64(1_000_000)),
            (F64, "-1.5", Value::F64(-1.5)),
            (F64, "1", Value::F64(1.0)),
            (Bounds::Bool, "true", Value::Bool(true)),
            (Bounds::Bool, "false\n", Value::Bool(false)),
        ] {
            assert_eq!(bounds.parse(raw.as_bytes()), Ok(value), "{raw:?}");
        }
        let bytes = Bounds::Bytes { max_length: 4 };
        assert_eq!(bytes.parse(b"\xff\0 ").map(|value| value.to_string()), Ok("\"\\xff\\x00 \"".into()));
    }

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        for (bounds, raw) in [
            (I64, "-1"),
            (I64, "1000001"),
            (I64, "100abc"),
            (I64, "1e3"),
            (I64, "1_000"),
            (I64, "12.0"),
            (I64, ""),
            (I64, "9223372036854775808"),
            (F64, "1.6"),
            (F64, "nan"),
            (F64, "inf"),
            (F64, "1e999"),
            (F64, "1,5"),
            (Bounds::Bool, "1"),
            (Bounds::Bool, "True"),
            (Bounds::Bytes { max_length: 4 }, "abcde"),
        ] {
            bounds.parse(raw.as_bytes()).expect_err(raw);
        }
        I64.parse(b"\xff").expect_err("no text");
        Bounds::Bytes { max_length: MAX_BYTES }.parse(&[0; 49]).expect_err("49 bytes");
    }

    #[test]
    fn a_bad_value_is_shown_short_and_escaped() {
        let error = I64.parse("\u{1b}[2J".repeat(1000).as_bytes()).expect_err("no number").to_string();
        assert!(!error.contains('\u{1b}') && error.len() < 1000, "{error}");
    }

    #[test]
    fn a_value_of_another_type_is_not_admitted() {
        I64.admit(&Value::F64(1.0)).expect_err("a f64");
        I64.admit(&Value::I64(7)).expect("good");
    }
}
