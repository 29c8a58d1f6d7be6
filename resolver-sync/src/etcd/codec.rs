//! How an instance is written under a key: the conventions, and what each value says.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::record::{Candidate, Rejected};

/// The longest value that is read, in bytes. An instance needs a few hundred; a megabyte is a mistake or an attack.
pub const MAX_VALUE: usize = 64 * 1024;

/// How instances are written below a prefix.
///
/// All of these use the key `<prefix><service>/<id>`; the id may have more slashes in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Codec {
    /// `{"address":"10.0.0.1","port":8080,"timestamp":1700000000}`, and optionally `weight`, `tier`, `zone`, `tags` (a
    /// list) and `meta` (an object of strings). Other fields are skipped; `null` counts as absent.
    Seed,
    /// `10.0.0.1:8080` or `[2001:db8::1]:8080`: plain text, as go-zero writes it.
    Plain,
    /// `{"Op":0,"Addr":"10.0.0.1:9000","Metadata":null}`, as etcd's own Go naming package writes it.
    GoNaming,
    /// `{"network":"tcp","address":"10.0.0.1:8888","weight":10,"tags":null}`, as kitex writes it.
    Kitex,
    /// Each value by its own looks; the conventions may be mixed below one prefix.
    #[default]
    Auto,
}

/// What one key says.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// The service that the key belongs to.
    pub service: String,
    /// Its instances; most conventions have one for each key.
    pub candidates: Vec<Candidate>,
    /// What could not be read.
    pub rejected: Vec<Rejected>,
}

impl Codec {
    /// Reads one key and its value. `prefix` is what every key begins with, and ends in a slash.
    ///
    /// A value that cannot be read is in [`Decoded::rejected`] under its key. `None` means that the key names no service.
    ///
    /// ```
    /// use resolver_sync::etcd::Codec;
    ///
    /// let seen = Codec::Auto.decode("/services/", b"/services/oms/1", b"10.0.0.1:9000").expect("a service");
    /// assert_eq!((seen.service.as_str(), seen.candidates[0].port), ("oms", 9000));
    /// ```
    pub fn decode(self, prefix: &str, key: &[u8], value: &[u8]) -> Option<Decoded> {
        let text = String::from_utf8_lossy(key);
        let below = text.strip_prefix(prefix)?;
        let (service, id) = below.split_once('/').unwrap_or((below, ""));
        if service.is_empty() || service.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
            return None;
        }
        let mut decoded = Decoded { service: service.into(), ..Decoded::default() };
        let read = if std::str::from_utf8(key).is_err() {
            Err("the key is not UTF-8".into())
        } else if id.is_empty() {
            Err(format!("the key has no instance id: {prefix}<service>/<id> is expected"))
        } else {
            self.value(value)
        };
        match read {
            Ok(candidate) => decoded.candidates.push(Candidate { id: id.into(), ..candidate }),
            Err(why) => decoded.rejected.push(Rejected { id: text.into(), why: shorten(why) }),
        }
        Some(decoded)
    }

    /// The keys that belong to a service all begin with this.
    pub fn service_prefix(self, prefix: &str, service: &str) -> String {
        format!("{prefix}{service}/")
    }

    fn value(self, value: &[u8]) -> Result<Candidate, String> {
        if value.len() > MAX_VALUE {
            return Err(format!("a value of {} bytes, over the limit of {MAX_VALUE}", value.len()));
        }
        match self {
            Codec::Plain => plain(value),
            Codec::Seed => seed(object(value)?),
            Codec::GoNaming => go_naming(object(value)?),
            Codec::Kitex => kitex(object(value)?),
            Codec::Auto if value.trim_ascii_start().starts_with(b"{") => {
                let fields = object(value)?;
                if fields.contains_key("Addr") {
                    go_naming(fields)
                } else if fields.contains_key("network") && !fields.contains_key("port") {
                    kitex(fields)
                } else {
                    seed(fields)
                }
            }
            Codec::Auto => plain(value),
        }
    }
}

fn seed(mut fields: Map<String, Value>) -> Result<Candidate, String> {
    Ok(Candidate {
        address: required(&mut fields, "address")?,
        port: required(&mut fields, "port")?,
        weight: optional(&mut fields, "weight")?,
        tier: optional(&mut fields, "tier")?.unwrap_or_default(),
        zone: optional(&mut fields, "zone")?.unwrap_or_default(),
        tags: optional(&mut fields, "tags")?.unwrap_or_default(),
        meta: optional(&mut fields, "meta")?.unwrap_or_default(),
        ..Candidate::default()
    })
}

fn plain(value: &[u8]) -> Result<Candidate, String> {
    let text = std::str::from_utf8(value).map_err(|_| "the value is neither JSON nor text")?;
    let (address, port) = host_port(text.trim())?;
    Ok(Candidate { address, port, ..Candidate::default() })
}

fn go_naming(mut fields: Map<String, Value>) -> Result<Candidate, String> {
    // Op 1 is a deletion that the package's older versions wrote as a value.
    if optional::<i64>(&mut fields, "Op")?.unwrap_or(0) != 0 {
        return Err("Op is not 0 (add)".into());
    }
    let (address, port) = host_port(&required::<String>(&mut fields, "Addr")?)?;
    Ok(Candidate { address, port, meta: strings(&mut fields, "Metadata"), ..Candidate::default() })
}

fn kitex(mut fields: Map<String, Value>) -> Result<Candidate, String> {
    let network = optional::<String>(&mut fields, "network")?.unwrap_or_default();
    if !["", "tcp", "tcp4", "tcp6"].contains(&network.as_str()) {
        return Err(format!("network {network:?} is not tcp"));
    }
    let (address, port) = host_port(&required::<String>(&mut fields, "address")?)?;
    // Kitex writes 0 where no weight was chosen and reads it as its default.
    let weight = optional::<i64>(&mut fields, "weight")?.filter(|weight| *weight != 0);
    Ok(Candidate { address, port, weight, meta: strings(&mut fields, "tags"), ..Candidate::default() })
}

fn object(value: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(value) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err("the value is JSON, but not an object".into()),
        Err(error) => Err(format!("the value is not JSON: {error}")),
    }
}

fn optional<T: DeserializeOwned>(fields: &mut Map<String, Value>, name: &str) -> Result<Option<T>, String> {
    let value = fields.remove(name).unwrap_or(Value::Null);
    serde_json::from_value(value).map_err(|error| format!("{name}: {error}"))
}

fn required<T: DeserializeOwned>(fields: &mut Map<String, Value>, name: &str) -> Result<T, String> {
    optional(fields, name)?.ok_or_else(|| format!("{name} is missing"))
}

/// An object's members as text; for people and tools, so nothing here is worth refusing the record for.
fn strings(fields: &mut Map<String, Value>, name: &str) -> BTreeMap<String, String> {
    let Some(Value::Object(members)) = fields.remove(name) else { return BTreeMap::new() };
    let text = |value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    members.into_iter().map(|(name, value)| (name, text(value))).collect()
}

fn host_port(text: &str) -> Result<(String, i64), String> {
    let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("{text:?} is not host:port"))?;
    let port = port.parse().map_err(|_| format!("port {port:?} is not a number"))?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner,
        None if host.contains(':') => {
            return Err(format!("{text:?}: an IPv6 address needs brackets, [::1]:80"));
        }
        None => host,
    };
    Ok((host.into(), port))
}

/// A reason quotes what it was given; that can be as long as the value.
fn shorten(mut why: String) -> String {
    const MOST: usize = 240;
    if why.len() > MOST {
        why.truncate(why.floor_char_boundary(MOST));
        why.push_str("...");
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ServiceSet;

    fn read(codec: Codec, value: &str) -> Result<Candidate, String> {
        let mut decoded =
            codec.decode("/services/", b"/services/oms/1", value.as_bytes()).expect("a service");
        assert_eq!(decoded.service, "oms");
        match decoded.candidates.pop() {
            Some(candidate) => {
                assert_eq!(candidate.id, "1");
                Ok(candidate)
            }
            None => {
                let rejected = decoded.rejected.pop().expect("one of the two");
                assert_eq!(rejected.id, "/services/oms/1");
                Err(rejected.why)
            }
        }
    }

    #[track_caller]
    fn refused(codec: Codec, value: &str, words: &str) {
        let why = read(codec, value).expect_err("it was read");
        assert!(why.contains(words), "{why:?} does not say {words:?}");
    }

    #[test]
    fn the_seeds_value() {
        for codec in [Codec::Seed, Codec::Auto] {
            let seen =
                read(codec, r#"{"address":"10.0.0.1","port":8080,"timestamp":1700000000}"#).expect("good");
            assert_eq!((seen.address.as_str(), seen.port, seen.weight), ("10.0.0.1", 8080, None));
            let full =
                r#"{"address":"::1","port":1,"weight":5,"tier":2,"zone":"a","tags":["x"],"meta":{"k":"v"}}"#;
            let seen = read(codec, full).expect("good");
            assert_eq!((seen.weight, seen.tier, seen.zone.as_str()), (Some(5), 2, "a"));
            assert_eq!((seen.tags, seen.meta["k"].as_str()), (vec!["x".to_owned()], "v"));
            let nulls = r#"{"address":"10.0.0.1","port":1,"weight":null,"tags":null,"meta":null}"#;
            assert!(read(codec, nulls).expect("null is absent").tags.is_empty());
            refused(codec, r#"{"address":"10.0.0.1"}"#, "port is missing");
            refused(codec, r#"{"address":"10.0.0.1","port":"80"}"#, "port: invalid type: string \"80\"");
            refused(codec, r#"{"address":"10.0.0.1","port":80.5}"#, "port: invalid type: floating point");
            refused(codec, r#"{"address":7,"port":80}"#, "address: invalid type");
            refused(codec, r#"{"address":"10.0.0.1","port":80"#, "not JSON");
        }
    }

    #[test]
    fn a_port_out_of_range_is_refused_by_the_common_check() {
        for port in ["0", "-1", "70000"] {
            let value = format!(r#"{{"address":"10.0.0.1","port":{port}}}"#);
            let set = ServiceSet::check([read(Codec::Auto, &value).expect("a number")], 1);
            assert!(set.rejected[0].why.contains(&format!("port {port} is not within 1 to 65535")));
        }
    }

    #[test]
    fn plain_text() {
        for codec in [Codec::Plain, Codec::Auto] {
            let seen = read(codec, "10.0.0.1:9000\n").expect("good");
            assert_eq!((seen.address.as_str(), seen.port), ("10.0.0.1", 9000));
            let seen = read(codec, "[2001:db8::1]:9000").expect("good");
            assert_eq!((seen.address.as_str(), seen.port), ("2001:db8::1", 9000));
            refused(codec, "2001:db8::1:9000", "needs brackets");
            refused(codec, "hello", "not host:port");
            refused(codec, "10.0.0.1:http", "not a number");
            refused(codec, "", "not host:port");
        }
    }

    #[test]
    fn etcds_go_naming() {
        for codec in [Codec::GoNaming, Codec::Auto] {
            let seen = read(codec, r#"{"Op":0,"Addr":"10.0.0.1:9000","Metadata":null}"#).expect("good");
            assert_eq!((seen.address.as_str(), seen.port), ("10.0.0.1", 9000));
            refused(codec, r#"{"Op":1,"Addr":"10.0.0.1:9000"}"#, "Op is not 0");
            refused(codec, r#"{"Op":0,"Addr":"10.0.0.1"}"#, "not host:port");
        }
    }

    #[test]
    fn kitex() {
        for codec in [Codec::Kitex, Codec::Auto] {
            let value = r#"{"network":"tcp","address":"10.0.0.1:8888","weight":10,"tags":{"az":"b"}}"#;
            let seen = read(codec, value).expect("good");
            assert_eq!((seen.address.as_str(), seen.port, seen.weight), ("10.0.0.1", 8888, Some(10)));
            assert_eq!(seen.meta["az"], "b");
            let value = r#"{"network":"tcp","address":"10.0.0.1:8888","weight":10,"tags":null}"#;
            assert!(read(codec, value).expect("good").meta.is_empty());
            refused(codec, r#"{"network":"unix","address":"/run/x.sock","weight":10}"#, "not tcp");
        }
    }

    #[test]
    fn keys_that_do_not_fit() {
        let decode = |key: &[u8]| Codec::Auto.decode("/services/", key, b"10.0.0.1:1");
        for key in
            [&b"/services/"[..], b"/services//1", b"/other/oms/1", b"/services/\xff/1", b"/services/a\nb/1"]
        {
            assert!(decode(key).is_none(), "{key:?} names no service");
        }
        assert!(decode(b"/services/oms").expect("a service").rejected[0].why.contains("no instance id"));
        assert!(decode(b"/services/oms/\xff").expect("a service").rejected[0].why.contains("not UTF-8"));
        assert_eq!(decode(b"/services/oms/a/b").expect("a service").candidates[0].id, "a/b");
    }

    #[test]
    fn what_is_too_long_is_neither_read_nor_quoted() {
        refused(Codec::Auto, &"x".repeat(MAX_VALUE + 1), "over the limit");
        let why = read(Codec::Auto, &format!("{}:x", "é".repeat(20_000))).expect_err("no address");
        assert!(why.len() < 300, "{} bytes of reason", why.len());
    }
}
