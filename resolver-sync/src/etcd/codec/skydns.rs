//! SkyDNS, as CoreDNS' etcd plugin reads it: a record below the labels of its domain in reverse.

use super::field::{Fields, optional, required, text};
use super::{Parts, Place, one};
use crate::record::Candidate;

/// What CoreDNS takes where these are absent or 0.
const PRIORITY: i64 = 10;
const WEIGHT: i64 = 100;

pub(super) fn place(below: &str) -> Option<Place> {
    let (labels, id) = below.rsplit_once('/')?;
    Some(Place { service: reverse_labels(labels, '/', "."), id: id.into() })
}

/// A domain as keys have it.
pub(super) fn reverse(domain: &str) -> String {
    reverse_labels(domain, '.', "/")
}

fn reverse_labels(labels: &str, from: char, to: &str) -> String {
    labels.rsplit(from).collect::<Vec<_>>().join(to)
}

pub(super) fn read(mut fields: Fields) -> Parts {
    let address: String = required(&mut fields, "host")?;
    // Without a port it is a record for A and AAAA alone.
    let port = required(&mut fields, "port")?;
    let or = |said: Option<i64>, usual| said.filter(|said| *said != 0).unwrap_or(usual);
    let priority = or(optional(&mut fields, "priority")?, PRIORITY);
    let weight = or(optional(&mut fields, "weight")?, WEIGHT);
    // The ttl is for resolvers of DNS; it is seen as a number and as a string, and means nothing here.
    let meta = ["text", "group"].into_iter().filter_map(|name| {
        let said = fields.remove(name).filter(|said| !said.is_null())?;
        Some((name.to_owned(), text(said)))
    });
    one(Candidate {
        address,
        port,
        weight: Some(weight),
        tier: u8::try_from(priority.max(0)).unwrap_or(u8::MAX),
        meta: meta.collect(),
        ..Candidate::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Codec, tests::read};

    #[test]
    fn a_record_of_a_domain() {
        for codec in [Codec::SkyDns, Codec::Auto] {
            let value = r#"{"host":"10.0.0.1","port":8080,"priority":20,"weight":50,"text":"t","ttl":60,"group":"g"}"#;
            let seen = read(codec, "/skydns/", "/skydns/local/cluster/db/x1", value);
            let [record] = &seen.candidates[..] else { panic!("{seen:?}") };
            assert_eq!((seen.service.as_str(), record.id.as_str()), ("db.cluster.local", "x1"));
            assert_eq!((record.port, record.weight, record.tier), (8080, Some(50), 20));
            assert_eq!((record.meta["text"].as_str(), record.meta["group"].as_str()), ("t", "g"));
        }
    }

    #[test]
    fn all_but_host_and_port_may_be_left_out() {
        // Seen in the wild: the ttl as a string.
        for value in [r#"{"host":"10.0.0.1","port":80}"#, r#"{"host":"10.0.0.1","port":80,"ttl":"60"}"#] {
            let seen = read(Codec::Auto, "/skydns/", "/skydns/local/x", value);
            assert_eq!((seen.candidates[0].weight, seen.candidates[0].tier), (Some(100), 10));
        }
        let seen = read(Codec::SkyDns, "/skydns/", "/skydns/local/x", r#"{"host":"10.0.0.1"}"#);
        assert!(seen.rejected[0].why.contains("port is missing"));
        let seen = read(Codec::SkyDns, "/skydns/", "/skydns/local/x", r#"{"text":"only"}"#);
        assert!(seen.rejected[0].why.contains("host is missing"));
    }
}
