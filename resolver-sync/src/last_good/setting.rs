//! One setting's value, as it is kept.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use resolver_core::{Bytes, Reason, State};
use serde::{Deserialize, Serialize};

use crate::catalog::SettingEntry;
use crate::schema::{Schema, Value};

/// One setting's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedSetting {
    /// What the name stood for: what the configuration says now must be the same.
    source: String,
    key: String,
    /// When the registry last had it, in milliseconds since 1970.
    pub(super) good_ms: u64,
    value: Kept,
}

/// A value with its type. It was within bounds when it was kept, which says nothing of the bounds of now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
struct Kept(Value);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Text {
    I64(i64),
    /// In decimal, as JSON's readers may round the last bit of a number.
    F64(String),
    Bool(bool),
    /// In base64.
    Bytes(String),
}

impl SavedSetting {
    /// What is kept of an entry; nothing where there is no value. `before`: when it was last confirmed, as far as is known.
    pub(super) fn of(schema: &Schema, entry: &SettingEntry, before: Option<u64>, now: u64) -> Option<Self> {
        let good_ms = if entry.state == State::Fresh { now } else { before.unwrap_or(now) };
        let (source, key) = (schema.source.clone(), schema.key.clone());
        entry.value.map(|value| SavedSetting { source, key, good_ms, value: Kept(value) })
    }

    /// Whether another one differs in no more than the time of its confirmation.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let SavedSetting { source, key, good_ms: _, value } = self;
        (source, key, value) == (&other.source, &other.key, &other.value)
    }

    /// Whether the setting stands for the same key now.
    pub(super) fn is_still(&self, schema: &Schema) -> bool {
        (&self.source, &self.key) == (&schema.source, &schema.key)
    }

    /// For a catalogue, as STALE. Whether it fits the schema of now is for those to say who publish it.
    pub(super) fn entry(&self) -> SettingEntry {
        let (state, reason) = (State::Stale, Reason::Restored);
        let detail = super::FROM_DISK.into();
        SettingEntry { value: Some(self.value.0), state, reason, detail, alarms: 0 }
    }
}

impl From<Kept> for Text {
    fn from(Kept(value): Kept) -> Self {
        match value {
            Value::I64(number) => Text::I64(number),
            Value::F64(number) => Text::F64(number.to_string()),
            Value::Bool(yes) => Text::Bool(yes),
            Value::Bytes(bytes) => Text::Bytes(STANDARD.encode(bytes.as_slice())),
        }
    }
}

impl TryFrom<Text> for Kept {
    type Error = &'static str;

    fn try_from(text: Text) -> Result<Self, Self::Error> {
        let value = match text {
            Text::I64(number) => Value::I64(number),
            Text::F64(text) => Value::F64(text.parse().map_err(|_| "a f64 that is no number")?),
            Text::Bool(yes) => Value::Bool(yes),
            Text::Bytes(text) => {
                let bytes = STANDARD.decode(text).map_err(|_| "bytes that are not in base64")?;
                Value::Bytes(Bytes::new(&bytes).ok_or("more bytes than a setting has")?)
            }
        };
        Ok(Kept(value))
    }
}
