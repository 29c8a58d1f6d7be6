//! kratos: an instance with its endpoints as URLs, one for each protocol.

use super::Parts;
use super::field::{Fields, authority, optional, required, strings, version_tag};
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
    let read = |endpoint: String| {
        let url =
            reqwest::Url::parse(&endpoint).map_err(|error| format!("endpoint {endpoint:?}: {error}"))?;
        let (address, port) = authority(&url)?;
        let secure = url.query_pairs().any(|(name, value)| name == "isSecure" && value == "true");
        let mut tags = vec![url.scheme().to_owned()];
        tags.extend(secure.then(|| "secure".to_owned()));
        tags.extend(version_tag(&version));
        let id = url.scheme().to_owned();
        Ok(Candidate { id, address, port, weight, tags, meta: meta.clone(), ..Candidate::default() })
    };
    Ok(endpoints.into_iter().map(read).collect())
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
    }
}
