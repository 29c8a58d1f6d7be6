//! The words for a figure, bold where it is behind a peer or over a target.

/// What is said of a figure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// As it stands in a table.
    pub text: String,
    /// What falls short, in words; empty where nothing does.
    pub short: Vec<String>,
}

impl Said {
    /// Nothing falls short.
    pub fn plain(text: String) -> Said {
        Said { text, short: Vec::new() }
    }

    /// The figure, and in bold what is wrong with it.
    pub fn with(figure: &str, short: Vec<String>) -> Said {
        if short.is_empty() {
            return Said::plain(figure.into());
        }
        Said { text: format!("**{figure}: {}**", short.join(", ")), short }
    }
}

/// Thousands apart.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 service`, `1,024 services`.
pub fn services(n: u64) -> String {
    format!("{} service{}", count(n), if n == 1 { "" } else { "s" })
}

/// A name as markdown shows it: `RwLock<HashMap>` is no tag.
pub fn name(words: &str) -> String {
    words.replace('<', "&lt;").replace('|', "\\|")
}

/// A name of a file, made of words.
pub fn slug(words: &str) -> String {
    let kept = words.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' });
    kept.collect::<String>().split_whitespace().collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_falls_short_is_bold_and_says_so() {
        assert_eq!(Said::with("1.35", vec![]).text, "1.35");
        let said = Said::with("1.41", vec!["over the target 1.35".into(), "behind a peer".into()]);
        assert_eq!(said.text, "**1.41: over the target 1.35, behind a peer**");
    }

    #[test]
    fn counts_and_names_of_files() {
        assert_eq!(
            (count(0), count(131_072), count(1_048_576)),
            ("0".into(), "131,072".into(), "1,048,576".into())
        );
        assert_eq!((services(1), services(16)), ("1 service".into(), "16 services".into()));
        assert_eq!(name("RwLock<HashMap>"), "RwLock&lt;HashMap>");
        assert_eq!(slug("1M/s on the same cell, 1024"), "1m-s-on-the-same-cell-1024");
    }
}
