//! kratos: an instance with its endpoints as URLs, one for each protocol.

use std::collections::BTreeSet;

use super::Parts;
use super::field::{Endpoint, Fields, endpoint, optional, required, strings, version_tag};
use crate::record::Candidate;

/// What kratos takes where no weight is said.
const WEIGHT: i64 = 100;

pub(super) fn read(mut fields: Fields) -> Parts {
    let version: String = optional(&mut fields, "version")?.unwrap_or_default();
    let meta = strings(&mut fields, "metadata");
    // Kratos itself passes over a weight that is no number.
    let weight = meta.get("weight").and_then(|weight| weight.parse().ok()).or(Some(WEIGHT));
    let endpoints: Vec<String> = required(&mut fields, "endpoints")?;
    if endpoints.is_empty() {
        return Err("endpoints is empty".into());
    }
    // Two servers of one protocol are told apart by their place.
    let mut schemes = BTreeSet::new();
    let read = |text: String| {
        let Endpoint { url, address, port } =
            endpoint(&text).map_err(|error| format!("endpoint {text:?}: {error}"))?;
        let scheme = url.scheme();
        let id = if schemes.insert(scheme.to_owned()) {
            scheme.to_owned()
        } else {
            format!("{scheme}:{}:{port}", url.host_str().unwrap_or_default())
        };
        let mut tags = vec![scheme.to_owned()];
        tags.extend(is_secure(&url).then(|| "secure".to_owned()));
        tags.extend(version_tag(&version));
        Ok(Candidate { id, address, port, weight, tags, meta: meta.clone(), ..Candidate::default() })
    };
    Ok(endpoints.into_iter().map(read).collect())
}

/// By its query up to kratos 2.3 (as Go reads a truth), by its scheme since 2.4.
fn is_secure(url: &reqwest::Url) -> bool {
    const TRUTHS: [&str; 6] = ["1", "t", "T", "true", "True", "TRUE"];
    ["grpcs", "https"].contains(&url.scheme())
        || url.query_pairs().any(|(name, value)| name == "isSecure" && TRUTHS.contains(&&*value))
}

#[cfg(test)]
mod tests {
    use super::super::{Codec, tests::read};

    /// Instance 1 of helloworld with an HTTP and a gRPC endpoint, as kratos' etcd registry marshals it.
    const BYTES: &str = r#"{"id":"1","name":"helloworld","version":"v1.2.0","metadata":{"weight":"20"},"endpoints":["http://10.0.0.1:8000?isSecure=false","grpc://10.0.0.1:9000?isSecure=true"]}"#;

    #[test]
    fn each_endpoint_is_an_instance() {
        for codec in [Codec::Kratos, Codec::Auto] {
            let seen = read(codec, "/microservices/", "/microservices/helloworld/1", BYTES);
            assert_eq!((seen.service.as_str(), seen.rejected.len()), ("helloworld", 0));
            let [http, grpc] = &seen.candidates[..] else { panic!("{seen:?}") };
            assert_eq!((http.id.as_str(), http.port, http.weight), ("1/http", 8000, Some(20)));
            assert_eq!(http.tags, ["http", "version=v1.2.0"]);
            assert_eq!((grpc.id.as_str(), grpc.address.as_str(), grpc.port), ("1/grpc", "10.0.0.1", 9000));
            assert_eq!(grpc.tags, ["grpc", "secure", "version=v1.2.0"]);
        }
    }

    #[test]
    fn one_bad_endpoint_is_left_out_alone() {
        let value = r#"{"id":"1","name":"h","version":"","metadata":null,"endpoints":["grpc://[2001:db8::1]:9000","grpc://10.0.0.1","what"]}"#;
        let seen = read(Codec::Auto, "/s/", "/s/h/1", value);
        assert_eq!((seen.candidates.len(), seen.rejected.len()), (1, 2));
        assert_eq!(
            (seen.candidates[0].address.as_str(), seen.candidates[0].weight),
            ("2001:db8::1", Some(100))
        );
        assert!(seen.rejected[0].why.contains("no port"), "{:?}", seen.rejected);
        let seen = read(Codec::Kratos, "/s/", "/s/h/1", r#"{"id":"1","name":"h","endpoints":[]}"#);
        assert!(seen.rejected[0].why.contains("endpoints is empty"));
        // Go's nil slice: an application with no server at all.
        let seen = read(Codec::Kratos, "/s/", "/s/h/1", r#"{"id":"1","name":"h","endpoints":null}"#);
        assert!(seen.rejected[0].why.contains("endpoints is missing"));
    }

    #[test]
    fn two_servers_of_one_protocol_have_ids_of_their_own() {
        let value =
            r#"{"id":"1","name":"h","endpoints":["http://10.0.0.1:1","http://10.0.0.1:2","http://[::1]:2"]}"#;
        let seen = read(Codec::Auto, "/s/", "/s/h/1", value);
        let ids: Vec<_> = seen.candidates.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["1/http", "1/http:10.0.0.1:2", "1/http:[::1]:2"]);
    }

    #[test]
    fn a_host_is_taken_as_it_is_written() {
        for host in ["010.0.0.1", "10.1", "0x0a000001", "167772161"] {
            let value = format!(r#"{{"id":"1","name":"h","endpoints":["http://{host}:8000"]}}"#);
            let seen = read(Codec::Auto, "/s/", "/s/h/1", &value);
            let why = seen.rejected.first().map_or("it was read", |one| one.why.as_str());
            assert!(why.contains("no address in four plain numbers"), "{host}: {why}");
        }
    }
}
