//! The text by hand, with places for what was measured.

/// The text.
pub const LATENCY: &str = include_str!("latency.md");

/// Puts each value in the place of its name, `{{name}}`.
///
/// # Errors
///
/// A place without a value, and a value without a place: text and figures would part.
pub fn fill(template: &str, values: &[(&str, String)]) -> Result<String, String> {
    let mut text = String::new();
    let mut used = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or("a {{ without }}")?;
        let (_, value) =
            values.iter().find(|(key, _)| *key == name).ok_or(format!("nothing is named {name}"))?;
        text += before;
        text += value.trim_end_matches('\n');
        used.push(name);
        rest = after;
    }
    text += rest;
    match values.iter().find(|(key, _)| !used.contains(key)) {
        Some((unused, _)) => Err(format!("there is no place for {unused}")),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_a_value_and_every_value_a_place() {
        let values = |names: &[&'static str]| {
            names.iter().map(|name| (*name, format!("<{name}>\n"))).collect::<Vec<_>>()
        };
        assert_eq!(fill("a {{b}} c {{b}}{{d}}\n", &values(&["b", "d"])), Ok("a <b> c <b><d>\n".into()));
        assert_eq!(fill("{{b}}", &values(&[])), Err("nothing is named b".into()));
        assert_eq!(fill("a", &values(&["b"])), Err("there is no place for b".into()));
        assert!(fill("a {{b", &values(&["b"])).is_err());
    }
}
