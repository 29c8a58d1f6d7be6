//! One `[[setting]]` of the configuration.

use serde::Deserialize;

use super::{Bounds, MAX_BYTES, OnDelete, Schema};

/// A setting, as the configuration has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingConfig {
    /// What readers ask for.
    pub name: String,
    /// The name of a source of kind consul or etcd.
    pub source: String,
    /// The key in its registry.
    pub key: String,
    #[serde(rename = "type")]
    kind: Type,
    min: Option<Number>,
    max: Option<Number>,
    max_length: Option<usize>,
    #[serde(default)]
    on_delete: OnDelete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    I64,
    F64,
    Bool,
    Bytes,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Whole(i64),
    Real(f64),
}

impl SettingConfig {
    /// The setting.
    ///
    /// # Errors
    ///
    /// In words, what makes no sense.
    pub fn schema(&self) -> Result<Schema, String> {
        resolver_core::Name::new(&self.name).check().map_err(|error| error.to_string())?;
        let numbers = self.min.is_some() || self.max.is_some();
        let bounds = match self.kind {
            Type::I64 => {
                Bounds::I64 { min: whole(self.min, "min", i64::MIN)?, max: whole(self.max, "max", i64::MAX)? }
            }
            Type::F64 => Bounds::F64 { min: real(self.min, f64::MIN)?, max: real(self.max, f64::MAX)? },
            _ if numbers => return Err("min and max are for numbers".into()),
            Type::Bool => Bounds::Bool,
            Type::Bytes => Bounds::Bytes { max_length: self.max_length.unwrap_or(MAX_BYTES) },
        };
        match bounds {
            Bounds::I64 { min, max } if min > max => return Err(format!("min {min} is over max {max}")),
            Bounds::F64 { min, max } if min > max => return Err(format!("min {min} is over max {max}")),
            Bounds::Bytes { max_length } if max_length > MAX_BYTES => {
                return Err(format!("max_length is {max_length}; a cell has {MAX_BYTES} bytes"));
            }
            _ => {}
        }
        if self.max_length.is_some() && self.kind != Type::Bytes {
            return Err("max_length is for bytes".into());
        }
        Ok(Schema {
            name: self.name.clone(),
            source: self.source.clone(),
            key: self.key.clone(),
            bounds,
            on_delete: self.on_delete,
        })
    }
}

fn whole(number: Option<Number>, what: &str, otherwise: i64) -> Result<i64, String> {
    match number {
        None => Ok(otherwise),
        Some(Number::Whole(number)) => Ok(number),
        Some(Number::Real(number)) => Err(format!("{what} is {number}; of an i64 it is a whole number")),
    }
}

fn real(number: Option<Number>, otherwise: f64) -> Result<f64, String> {
    match number {
        None => Ok(otherwise),
        Some(Number::Whole(number)) => Ok(number as f64),
        Some(Number::Real(number)) if number.is_finite() => Ok(number),
        Some(Number::Real(number)) => Err(format!("{number} is no bound; leave it out")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &str) -> Result<Schema, String> {
        let text = format!("name = \"limit\"\nsource = \"s\"\nkey = \"config/limit\"\n{more}");
        let config: SettingConfig = toml::from_str(&text).map_err(|error| error.to_string())?;
        config.schema()
    }

    #[test]
    fn settings_and_their_bounds() {
        let bounds = |more| parse(more).expect(more).bounds;
        assert_eq!(
            bounds("type = \"i64\"\nmin = 0\nmax = 1_000_000"),
            Bounds::I64 { min: 0, max: 1_000_000 }
        );
        assert_eq!(bounds("type = \"i64\""), Bounds::I64 { min: i64::MIN, max: i64::MAX });
        assert_eq!(bounds("type = \"f64\"\nmin = 0\nmax = 0.5"), Bounds::F64 { min: 0.0, max: 0.5 });
        assert_eq!(bounds("type = \"bool\""), Bounds::Bool);
        assert_eq!(bounds("type = \"bytes\""), Bounds::Bytes { max_length: 48 });
        let unset = parse("type = \"bool\"\non_delete = \"unset\"").expect("good");
        assert_eq!(unset.on_delete, OnDelete::Unset);
    }

    #[test]
    fn nonsense_is_refused_in_clear_words() {
        for (more, words) in [
            ("type = \"i32\"", "i64"),
            ("type = \"i64\"\nmin = 0.5", "whole number"),
            ("type = \"i64\"\nmin = 2\nmax = 1", "over max"),
            ("type = \"f64\"\nmax = nan", "no bound"),
            ("type = \"bool\"\nmin = 0", "for numbers"),
            ("type = \"bytes\"\nmax_length = 49", "48 bytes"),
            ("type = \"i64\"\nmax_length = 4", "for bytes"),
            ("type = \"bool\"\non_delete = \"forget\"", "keep"),
            ("type = \"bool\"\ndefault = true", "default"),
        ] {
            let error = parse(more).expect_err(more);
            assert!(error.contains(words), "{more}: {error}");
        }
    }
}
