//! The fields of a value that is a JSON object, and what several conventions write into them.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub(super) type Fields = Map<String, Value>;

/// `None` where the value does not even begin like an object.
pub(super) fn object(value: &[u8]) -> Result<Option<Fields>, String> {
    match serde_json::from_slice(value) {
        Ok(Value::Object(fields)) => Ok(Some(fields)),
        Ok(_) => Ok(None),
        Err(error) if value.trim_ascii_start().starts_with(b"{") => {
            Err(format!("the value is not JSON: {error}"))
        }
        Err(_) => Ok(None),
    }
}

/// The fields that a convention cannot do without.
pub(super) fn some(fields: Result<Option<Fields>, String>) -> Result<Fields, String> {
    fields?.ok_or_else(|| "the value is not a JSON object".into())
}

pub(super) fn optional<T: DeserializeOwned>(fields: &mut Fields, name: &str) -> Result<Option<T>, String> {
    let value = fields.remove(name).unwrap_or(Value::Null);
    serde_json::from_value(value).map_err(|error| format!("{name}: {error}"))
}

pub(super) fn required<T: DeserializeOwned>(fields: &mut Fields, name: &str) -> Result<T, String> {
    optional(fields, name)?.ok_or_else(|| format!("{name} is missing"))
}

/// An object's members as text; for people and tools, so nothing here is worth refusing the record for.
pub(super) fn strings(fields: &mut Fields, name: &str) -> BTreeMap<String, String> {
    let Some(Value::Object(members)) = fields.remove(name) else { return BTreeMap::new() };
    members.into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// A string as it is, anything else as JSON.
pub(super) fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

pub(super) fn host_port(text: &str) -> Result<(String, i64), String> {
    if text.contains("://") {
        return Err(format!("{text:?} is a URL, where host:port is expected"));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("{text:?} is not host:port"))?;
    let port = port.parse().map_err(|_| format!("port {port:?} is not a number"))?;
    let bare = unbracketed(host);
    if bare.len() == host.len() && host.contains(':') {
        return Err(format!("{text:?}: an IPv6 address needs brackets, [::1]:80"));
    }
    Ok((bare.into(), port))
}

/// An IPv6 address as URLs have it, without its brackets; anything else as it is.
pub(super) fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// What a URL says of an endpoint.
pub(super) struct Endpoint {
    pub(super) url: reqwest::Url,
    pub(super) address: String,
    pub(super) port: i64,
}

/// Reads a URL that names a host and a port.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    let url = reqwest::Url::parse(text).map_err(|error| error.to_string())?;
    let host = url.host_str().unwrap_or_default();
    // Browsers take http://10.1 for 10.0.0.1 and 010.0.0.1 for 8.0.0.1, and so does the parser; no tool means that.
    if host.parse::<std::net::Ipv4Addr>().is_ok() && !text.contains(host) {
        return Err(format!("its host is no address in four plain numbers (it could be {host})"));
    }
    let address = unbracketed(host).to_owned();
    let port = url.port_or_known_default().ok_or("it has no port")?.into();
    Ok(Endpoint { url, address, port })
}

/// A tag that says which version an instance is of, where the tool says it.
pub(super) fn version_tag(version: &str) -> Option<String> {
    (!version.is_empty()).then(|| format!("version={version}"))
}

/// A reason quotes what it was given; that can be as long as the value.
pub(super) fn shorten(mut why: String) -> String {
    const MOST: usize = 240;
    if why.len() > MOST {
        why.truncate(why.floor_char_boundary(MOST));
        why.push_str("...");
    }
    why
}
