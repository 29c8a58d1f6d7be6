//! dubbo: `<interface>/providers/<URL>`, escaped twice over, and nothing in the value.

use std::collections::BTreeMap;

use super::field::{Endpoint, endpoint, version_tag};
use super::{Parts, Place, one};
use crate::record::Candidate;

/// What dubbo takes where no weight is said.
pub(super) const WEIGHT: i64 = 100;
/// What there is below an interface beside its providers.
const OTHERS: [&[u8]; 3] = [b"consumers", b"configurators", b"routers"];

/// Whether a key is a directory, or of a category that serves nothing. Its registry writes a key for each level.
pub(super) fn is_furniture(below: &[u8]) -> bool {
    let mut segments = below.split(|byte| *byte == b'/').skip(1);
    match segments.next() {
        None => true,
        Some(category) if OTHERS.contains(&category) => true,
        Some(_) => segments.next().is_none(),
    }
}

/// As [`is_furniture`], of keys that look like dubbo's beyond doubt.
pub(super) fn is_listed(below: &[u8]) -> bool {
    let mut segments = below.split(|byte| *byte == b'/').skip(1);
    let category = segments.next().unwrap_or_default();
    match segments.next() {
        None => category == b"providers" || OTHERS.contains(&category),
        Some(url) => OTHERS.contains(&category) && url.windows(9).any(|part| part == b"%3A%2F%2F"),
    }
}

pub(super) fn is_provider(below: &str) -> bool {
    let mut segments = below.split('/').skip(1);
    segments.next() == Some("providers") && segments.next().is_some_and(|url| url.contains("%3A%2F%2F"))
}

pub(super) fn place(below: &str) -> Option<Place> {
    let (interface, rest) = below.split_once('/')?;
    let url = rest.strip_prefix("providers/")?;
    Some(Place { service: unescape(interface), id: url.into() })
}

pub(super) fn read(escaped: &str) -> Parts {
    let text = unescape(escaped);
    let Endpoint { url, address, port } =
        endpoint(&text).map_err(|error| format!("the key's URL {text:?}: {error}"))?;
    let meta: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    let said = |name: &str| meta.get(name).map_or("", String::as_str);
    // Dubbo itself passes over a weight that is no number, or negative.
    let weight = said("weight").parse().ok().filter(|weight| *weight >= 0).unwrap_or(WEIGHT);
    let mut tags = vec![url.scheme().to_owned()];
    tags.extend(version_tag(said("version")));
    tags.extend((!said("group").is_empty()).then(|| format!("group={}", said("group"))));
    // What tells two providers of one interface apart. The whole URL is longer than an id may be, and has the time in it.
    let mut id = format!("{}://{}:{port}", url.scheme(), url.host_str().unwrap_or_default());
    if tags.len() > 1 {
        id = format!("{id}?{}", tags[1..].join("&"));
    }
    let unhealthy = said("enabled") == "false" || said("disabled") == "true";
    one(Candidate { id, address, port, weight: Some(weight), tags, meta, unhealthy, ..Candidate::default() })
}

/// As Go's `url.QueryEscape` writes it, which dubbo uses on both parts of the key.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(byte.into()),
            b' ' => escaped.push('+'),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = (first == b'%').then(|| after.get(..2)).flatten();
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        rest = if byte.is_some() { &after[2..] } else { after };
        bytes.push(byte.unwrap_or(if first == b'+' { b' ' } else { first }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{Codec, tests::read};
    use super::*;

    /// A provider's key as dubbo-go's base registry composes it.
    const KEY: &str = "/dubbo/com.example.UserProvider/providers/dubbo%3A%2F%2F10.0.0.1%3A20000%2Fcom.example.UserProvider%3Fanyhost%3Dtrue%26application%3Dshop%26category%3Dproviders%26group%3Dg1%26interface%3Dcom.example.UserProvider%26methods%3DGetUser%2CGetUsers%26version%3D2.0%26weight%3D50";

    #[test]
    fn all_is_in_the_key() {
        for codec in [Codec::Dubbo, Codec::Auto] {
            let seen = read(codec, "/dubbo/", KEY, "");
            let [provider] = &seen.candidates[..] else { panic!("{seen:?}") };
            assert_eq!(seen.service, "com.example.UserProvider");
            assert_eq!(
                (provider.address.as_str(), provider.port, provider.weight),
                ("10.0.0.1", 20000, Some(50))
            );
            assert_eq!(provider.tags, ["dubbo", "version=2.0", "group=g1"]);
            assert_eq!(provider.meta["methods"], "GetUser,GetUsers");
            assert!(!provider.unhealthy);
        }
    }

    #[test]
    fn what_serves_nothing_is_passed_over() {
        let consumer =
            "com.example.UserProvider/consumers/consumer%3A%2F%2F10.0.0.9%2Fcom.example.UserProvider";
        for codec in [Codec::Dubbo, Codec::Auto] {
            for below in ["com.example.UserProvider", "com.example.UserProvider/providers", consumer] {
                let key = format!("/dubbo/{below}");
                assert!(codec.decode("/dubbo/", key.as_bytes(), b"").is_none(), "{key}");
                assert!(codec.is_furniture("/dubbo/", key.as_bytes(), b""), "{key}");
            }
        }
        let seen = read(
            Codec::Dubbo,
            "/dubbo/",
            "/dubbo/a/providers/dubbo%3A%2F%2F10.0.0.1%3A1%2Fa%3Fenabled%3Dfalse",
            "",
        );
        assert!(seen.candidates[0].unhealthy);
    }

    #[test]
    fn a_url_that_cannot_be_read_is_named() {
        for (url, words) in [("what", "the key's URL"), ("dubbo%3A%2F%2F10.0.0.1%2Fa", "no port")] {
            let seen = read(Codec::Dubbo, "/dubbo/", &format!("/dubbo/a/providers/{url}"), "");
            assert!(seen.rejected[0].why.contains(words), "{seen:?}");
        }
    }

    #[test]
    fn escaping_there_and_back() {
        assert_eq!(escape("com.x.A$B c/d"), "com.x.A%24B+c%2Fd");
        assert_eq!(unescape("com.x.A%24B+c%2Fd"), "com.x.A$B c/d");
        assert_eq!(unescape("100%"), "100%");
        assert_eq!(unescape("%zz%é"), "%zz%é");
    }
}
