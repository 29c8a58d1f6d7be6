//! Durations as people write them: `500ms`, `30s`, `5m`, `1h`.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Unexpected};

/// A duration, or one of the words that stand for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).map(Span).ok_or_else(|| {
            let expected = "a whole number with its unit (ms, s, m, h), such as \"30s\"";
            Error::invalid_value(Unexpected::Str(&text), &expected)
        })
    }
}

/// Reads `500ms`, `30s`, `5m`, `1h`; `off` and `immediate` are none. `None` where it is no such text.
pub fn parse(text: &str) -> Option<Duration> {
    if matches!(text, "off" | "immediate") {
        return Some(Duration::ZERO);
    }
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_its_unit() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("0s", 0),
            ("off", 0),
            ("immediate", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "30 s",
            "30S",
            "1d",
            "1m30s",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
