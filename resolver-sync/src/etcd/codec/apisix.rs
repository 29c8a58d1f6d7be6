//! APISIX: an upstream with all of its nodes under one key.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use serde_json::Value;

use super::Parts;
use super::field::{Fields, host_port, optional, required, text, unbracketed};
use crate::record::Candidate;

/// A node before its tier is known.
struct Node {
    candidate: Candidate,
    priority: i64,
}

pub(super) fn read(mut fields: Fields) -> Parts {
    let usual_port = usual_port(&optional::<String>(&mut fields, "scheme")?.unwrap_or_default());
    let elsewhere: Option<String> = optional(&mut fields, "discovery_type")?;
    if let (None, Some(kind)) = (fields.get("nodes"), elsewhere) {
        let service: String = optional(&mut fields, "service_name")?.unwrap_or_default();
        return Err(format!(
            "it has no nodes: APISIX asks {kind:?} for those of {service:?}, and so must we"
        ));
    }
    let nodes = match required(&mut fields, "nodes")? {
        Value::Object(nodes) => nodes.into_iter().map(|node| by_name(node, usual_port)).collect(),
        Value::Array(nodes) => nodes.into_iter().map(|node| by_fields(node, usual_port)).collect::<Vec<_>>(),
        other => return Err(format!("nodes is neither an object nor a list: {other}")),
    };
    // The highest priority serves first there, the lowest tier here.
    let priorities: BTreeSet<_> = nodes.iter().flatten().map(|node| -node.priority).collect();
    let ranked = |node: Node| {
        let tier = priorities.iter().position(|priority| *priority == -node.priority).unwrap_or_default();
        Candidate { tier: u8::try_from(tier).unwrap_or(u8::MAX), ..node.candidate }
    };
    Ok(nodes.into_iter().map(|node| node.map(ranked)).collect())
}

/// What APISIX takes where a node says no port; upstreams without a scheme, as old versions stored them, are of HTTP.
fn usual_port(scheme: &str) -> Option<i64> {
    match scheme {
        "" | "http" | "grpc" => Some(80),
        "https" | "grpcs" => Some(443),
        _ => None,
    }
}

fn without_port(usual: Option<i64>) -> Result<i64, String> {
    usual.ok_or_else(|| "port is missing, and the upstream's scheme has no usual one".into())
}

fn by_name((name, weight): (String, Value), usual: Option<i64>) -> Result<Node, String> {
    // As APISIX reads a node's name: what could be an IPv6 address without a port is one.
    let alone = !name.contains(':') || name.ends_with(']') || name.parse::<Ipv6Addr>().is_ok();
    let (address, port) = if alone {
        let port = without_port(usual).map_err(|why| format!("node {name:?}: {why}"))?;
        (unbracketed(&name).to_owned(), port)
    } else {
        host_port(&name)?
    };
    let weight =
        weight.as_i64().ok_or_else(|| format!("node {name:?}: weight {weight} is not a whole number"))?;
    let weight = Some(weight);
    Ok(Node { candidate: Candidate { id: name, address, port, weight, ..Candidate::default() }, priority: 0 })
}

fn by_fields(node: Value, usual: Option<i64>) -> Result<Node, String> {
    let Value::Object(mut fields) = node else { return Err(format!("node {node} is not an object")) };
    let host: String = required(&mut fields, "host")?;
    let address = unbracketed(&host).to_owned();
    let port = match optional(&mut fields, "port")? {
        Some(port) => port,
        None => without_port(usual).map_err(|why| format!("node {host:?}: {why}"))?,
    };
    let weight = required(&mut fields, "weight").map(Some)?;
    let priority: i64 = optional(&mut fields, "priority")?.unwrap_or_default();
    let meta = match fields.remove("metadata") {
        Some(Value::Object(meta)) => meta.into_iter().map(|(name, value)| (name, text(value))).collect(),
        _ => Default::default(),
    };
    let id = if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
    // Negation must not overflow; no sane priority comes near.
    let priority = priority.max(-i64::MAX);
    Ok(Node { candidate: Candidate { id, address, port, weight, meta, ..Candidate::default() }, priority })
}

#[cfg(test)]
mod tests {
    use super::super::{Codec, tests::read};

    /// An upstream as APISIX' admin API stores it, with the nodes as an object.
    const OBJECT: &str = r#"{"nodes":{"10.0.0.1:1980":1,"10.0.0.2:1980":3},"hash_on":"vars","create_time":1700000000,"type":"roundrobin","update_time":1700000000,"scheme":"http","pass_host":"pass","id":"1"}"#;
    /// The same with a list, a backup among it.
    const LIST: &str = r#"{"type":"roundrobin","nodes":[{"host":"10.0.0.1","port":1980,"weight":2},{"host":"10.0.0.9","port":1980,"weight":1,"priority":-1}],"id":"1"}"#;

    #[test]
    fn nodes_as_an_object() {
        for codec in [Codec::Apisix, Codec::Auto] {
            let seen = read(codec, "/apisix/upstreams/", "/apisix/upstreams/1", OBJECT);
            assert_eq!((seen.service.as_str(), seen.candidates.len()), ("1", 2));
            let second = &seen.candidates[1];
            assert_eq!((second.id.as_str(), second.port, second.weight), ("10.0.0.2:1980", 1980, Some(3)));
        }
    }

    #[test]
    fn nodes_as_a_list_with_priorities() {
        for codec in [Codec::Apisix, Codec::Auto] {
            let seen = read(codec, "/apisix/upstreams/", "/apisix/upstreams/1", LIST);
            let tiers: Vec<_> = seen.candidates.iter().map(|node| (node.id.as_str(), node.tier)).collect();
            assert_eq!(tiers, [("10.0.0.1:1980", 0), ("10.0.0.9:1980", 1)]);
        }
    }

    #[test]
    fn one_bad_node_is_left_out_alone() {
        let value = r#"{"nodes":{"10.0.0.1:80":1,"10.0.0.2:x":1,"10.0.0.3:80":"x"}}"#;
        let seen = read(Codec::Apisix, "/a/", "/a/1", value);
        assert_eq!((seen.candidates.len(), seen.rejected.len()), (1, 2));
        let value = r#"{"nodes":[{"host":"10.0.0.1","weight":1},7],"scheme":"tcp"}"#;
        let seen = read(Codec::Apisix, "/a/", "/a/1", value);
        assert!(
            seen.rejected[0].why.contains("port is missing")
                && seen.rejected[1].why.contains("not an object")
        );
        assert!(read(Codec::Apisix, "/a/", "/a/1", r#"{"nodes":3}"#).rejected[0].why.contains("neither"));
        // An upstream without nodes has none: that is for the guard to doubt, not a bad record.
        let seen = read(Codec::Apisix, "/a/", "/a/1", r#"{"nodes":{}}"#);
        assert_eq!((seen.candidates.len(), seen.rejected.len()), (0, 0));
    }

    #[test]
    fn a_node_without_a_port_has_its_schemes() {
        for (scheme, port) in [("", 80), (r#","scheme":"grpc""#, 80), (r#","scheme":"https""#, 443)] {
            for nodes in [
                r#"{"10.0.0.1":1,"2001:db8::1":1,"[2001:db8::2]":1}"#,
                r#"[{"host":"10.0.0.1","weight":1},{"host":"2001:db8::1","weight":1},{"host":"[2001:db8::2]","weight":1}]"#,
            ] {
                let seen = read(Codec::Auto, "/a/", "/a/1", &format!(r#"{{"nodes":{nodes}{scheme}}}"#));
                let places: Vec<_> = seen.candidates.iter().map(|n| (n.address.as_str(), n.port)).collect();
                assert_eq!(places, [("10.0.0.1", port), ("2001:db8::1", port), ("2001:db8::2", port)]);
            }
        }
        for scheme in ["tcp", "udp", "tls", "kafka"] {
            let value = format!(r#"{{"nodes":{{"10.0.0.1":1}},"scheme":"{scheme}"}}"#);
            assert!(read(Codec::Auto, "/a/", "/a/1", &value).rejected[0].why.contains("no usual one"));
        }
    }

    #[test]
    fn an_upstream_whose_nodes_are_elsewhere_says_where() {
        for codec in [Codec::Apisix, Codec::Auto] {
            let value = r#"{"type":"roundrobin","service_name":"A","discovery_type":"eureka","id":"1"}"#;
            let seen = read(codec, "/apisix/upstreams/", "/apisix/upstreams/1", value);
            assert!(seen.rejected[0].why.contains("APISIX asks \"eureka\" for those of \"A\""), "{seen:?}");
        }
    }

    #[test]
    fn the_directory_that_its_init_writes_is_passed_over() {
        for codec in [Codec::Apisix, Codec::Auto] {
            assert!(codec.decode("/apisix/upstreams/", b"/apisix/upstreams/", b"init_dir").is_none());
            assert!(codec.is_furniture("/apisix/upstreams/", b"/apisix/upstreams/", b"init_dir"));
        }
    }
}
