//! What a file of services may say.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::Deserialize;

use crate::record::Candidate;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    service: Vec<Service>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    name: String,
    #[serde(default)]
    instance: Vec<Instance>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Instance {
    id: String,
    address: String,
    port: i64,
    weight: Option<i64>,
    #[serde(default)]
    tier: u8,
    #[serde(default)]
    zone: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    meta: BTreeMap<String, String>,
}

/// The services of a file and their instances; or what is wrong with it, and in which line.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Vec<Candidate>>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = line_of(bytes, error.valid_up_to());
        format!("line {line}: this is not UTF-8")
    })?;
    let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    if text.trim().is_empty() {
        // What a writer leaves that was interrupted; too likely a mistake to mean that everything is gone.
        let none = if json { r#"{"service":[]}"# } else { "service = []" };
        return Err(format!("the file is empty; write `{none}` to say that there is no service"));
    }
    let document: Document = if json {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    } else {
        toml::from_str(text).map_err(|error: toml::de::Error| match error.span() {
            Some(span) => format!("line {}: {}", line_of(bytes, span.start), error.message()),
            None => error.message().to_owned(),
        })?
    };
    let mut services = BTreeMap::new();
    for Service { name, instance } in document.service {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(format!("{name:?} is no name for a service"));
        }
        let mut ids = HashSet::new();
        if let Some(twice) = instance.iter().find(|instance| !ids.insert(&instance.id)) {
            return Err(format!("service {name:?} has two instances with the id {:?}", twice.id));
        }
        let instances = instance.into_iter().map(Candidate::from).collect();
        if services.insert(name.clone(), instances).is_some() {
            return Err(format!("service {name:?} is there twice"));
        }
    }
    Ok(services)
}

impl From<Instance> for Candidate {
    fn from(instance: Instance) -> Self {
        let Instance { id, address, port, weight, tier, zone, tags, meta } = instance;
        Candidate { id, address, port, weight, tier, zone, tags, meta, unhealthy: false }
    }
}

fn line_of(bytes: &[u8], at: usize) -> usize {
    1 + bytes.iter().take(at).filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(text: &str) -> Result<BTreeMap<String, Vec<Candidate>>, String> {
        parse(Path::new("services.toml"), text.as_bytes())
    }

    fn json(text: &str) -> Result<BTreeMap<String, Vec<Candidate>>, String> {
        parse(Path::new("services.JSON"), text.as_bytes())
    }

    #[track_caller]
    fn refused(read: Result<BTreeMap<String, Vec<Candidate>>, String>, words: &[&str]) {
        let why = read.expect_err("it was taken");
        assert!(words.iter().all(|word| why.contains(word)), "{why:?} does not say {words:?}");
    }

    #[test]
    fn both_formats() {
        let full = "[[service]]\nname = \"oms\"\n[[service.instance]]\nid = \"1\"\naddress = \"10.0.0.1\"\nport = 9000\n\
                    weight = 10\ntier = 1\nzone = \"a\"\ntags = [\"x\"]\nmeta = { k = \"v\" }\n[[service]]\nname = \"bare\"\n";
        let services = toml(full).expect("good");
        assert!(services["bare"].is_empty());
        let instance = &services["oms"][0];
        assert_eq!((instance.port, instance.weight, instance.tier), (9000, Some(10), 1));
        assert_eq!((instance.zone.as_str(), instance.meta["k"].as_str()), ("a", "v"));
        let services =
            json(r#"{"service":[{"name":"oms","instance":[{"id":"1","address":"a","port":70000}]}]}"#);
        assert_eq!(services.expect("the range is checked with every source's")["oms"][0].port, 70000);
        assert!(toml("service = []").expect("none").is_empty());
    }

    #[test]
    fn mistakes_and_their_lines() {
        let instance = "[[service]]\nname = \"oms\"\n[[service.instance]]\nid = \"1\"\naddress = \"a\"\n";
        refused(toml(&format!("{instance}prot = 1\n")), &["line 6", "unknown field `prot`"]);
        refused(toml(&format!("{instance}port = \"80\"\n")), &["line 6", "invalid type"]);
        refused(toml(&format!("{instance}port = \n")), &["line 6"]);
        refused(toml(instance), &["missing field `port`"]);
        refused(toml(" \n"), &["empty", "service = []"]);
        refused(toml("# nothing yet\n"), &["missing field `service`"]);
        refused(toml("[[service]]\nname = \"a\"\n[[service]]\nname = \"a\"\n"), &["\"a\" is there twice"]);
        let twice = r#"{"service":[{"name":"a","instance":[{"id":"1","address":"a","port":1},{"id":"1","address":"b","port":1}]}]}"#;
        refused(json(twice), &["two instances with the id \"1\""]);
        refused(json("{\"service\":[],\n\"x\":1}"), &["unknown field `x`", "line 2"]);
        refused(json("{\"service\":[{\"name\":"), &["EOF"]);
        refused(parse(Path::new("x"), b"a\n\xff"), &["line 2", "UTF-8"]);
    }
}
