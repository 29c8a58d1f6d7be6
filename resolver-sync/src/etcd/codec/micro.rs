//! go-micro: a service with its nodes, one to a key as its registry writes it.

use super::Parts;
use super::field::{Fields, host_port, optional, required, strings, unbracketed, version_tag};
use crate::record::Candidate;

pub(super) fn read(mut fields: Fields) -> Parts {
    let version: String = optional(&mut fields, "version")?.unwrap_or_default();
    let common = strings(&mut fields, "metadata");
    let nodes: Vec<Fields> = required(&mut fields, "nodes")?;
    if nodes.is_empty() {
        return Err("nodes is empty".into());
    }
    let read = |mut node: Fields| {
        let address: String = required(&mut node, "address")?;
        // Up to go-micro 1.7 the port is a field of its own.
        let (address, port) = match optional::<i64>(&mut node, "port")?.unwrap_or(0) {
            0 => host_port(&address)?,
            port => (unbracketed(&address).into(), port),
        };
        let mut meta = common.clone();
        meta.extend(strings(&mut node, "metadata"));
        Ok(Candidate {
            id: optional(&mut node, "id")?.unwrap_or_default(),
            address,
            port,
            tags: version_tag(&version).into_iter().collect(),
            meta,
            ..Candidate::default()
        })
    };
    Ok(nodes.into_iter().map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::super::{Codec, tests::read};

    /// One node of a service without metadata of its own, as go-micro's etcd registry encodes it.
    const BYTES: &str = r#"{"name":"greeter","version":"latest","metadata":null,"endpoints":[{"name":"Say.Hello","request":{"name":"Request","type":"Request","values":null},"response":null,"metadata":{}}],"nodes":[{"id":"greeter-2a1e","address":"10.0.0.1:9000","metadata":{"protocol":"grpc","registry":"etcd"}}]}"#;

    #[test]
    fn a_node_is_an_instance() {
        for codec in [Codec::GoMicro, Codec::Auto] {
            let seen = read(codec, "/micro/registry/", "/micro/registry/greeter/greeter-2a1e", BYTES);
            let [node] = &seen.candidates[..] else { panic!("{seen:?}") };
            assert_eq!((seen.service.as_str(), node.id.as_str()), ("greeter", "greeter-2a1e"));
            assert_eq!((node.address.as_str(), node.port, node.weight), ("10.0.0.1", 9000, None));
            assert_eq!(
                (node.meta["protocol"].as_str(), &node.tags[..]),
                ("grpc", &["version=latest".to_owned()][..])
            );
        }
    }

    #[test]
    fn one_bad_node_is_left_out_alone() {
        let value = r#"{"name":"g","version":"1","nodes":[{"id":"a","address":"10.0.0.1:1"},{"id":"b","address":"10.0.0.1"},{"id":"c","address":"10.0.0.1:3"}]}"#;
        let seen = read(Codec::GoMicro, "/s/", "/s/g/x", value);
        let ids: Vec<_> = seen.candidates.iter().map(|node| node.id.as_str()).collect();
        assert_eq!((ids, seen.rejected.len()), (vec!["x/a", "x/c"], 1));
        assert!(seen.rejected[0].why.contains("not host:port"));
    }
}
