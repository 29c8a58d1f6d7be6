//! What is common to all conventions, and those that are a few lines each.

use super::*;
use crate::record::ServiceSet;

/// What a key and its value say, of a key that names a service.
#[track_caller]
pub(super) fn read(codec: Codec, prefix: &str, key: &str, value: &str) -> Decoded {
    codec.decode(prefix, key.as_bytes(), value.as_bytes()).expect("a service")
}

fn only(codec: Codec, value: &str) -> Result<Candidate, String> {
    let mut decoded = codec.decode("/services/", b"/services/oms/1", value.as_bytes()).expect("a service");
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
    let why = only(codec, value).expect_err("it was read");
    assert!(why.contains(words), "{why:?} does not say {words:?}");
}

#[test]
fn the_seeds_value() {
    for codec in [Codec::Seed, Codec::Auto] {
        let seen = only(codec, r#"{"address":"10.0.0.1","port":8080,"timestamp":1700000000}"#).expect("good");
        assert_eq!((seen.address.as_str(), seen.port, seen.weight), ("10.0.0.1", 8080, None));
        let full =
            r#"{"address":"::1","port":1,"weight":5,"tier":2,"zone":"a","tags":["x"],"meta":{"k":"v"}}"#;
        let seen = only(codec, full).expect("good");
        assert_eq!((seen.weight, seen.tier, seen.zone.as_str()), (Some(5), 2, "a"));
        assert_eq!((seen.tags, seen.meta["k"].as_str()), (vec!["x".to_owned()], "v"));
        let nulls = r#"{"address":"10.0.0.1","port":1,"weight":null,"tags":null,"meta":null}"#;
        assert!(only(codec, nulls).expect("null is absent").tags.is_empty());
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
        let set = ServiceSet::check([only(Codec::Auto, &value).expect("a number")], 1);
        assert!(set.rejected[0].why.contains(&format!("port {port} is not within 1 to 65535")));
    }
}

#[test]
fn plain_text() {
    for codec in [Codec::Plain, Codec::Auto] {
        let seen = only(codec, "10.0.0.1:9000\n").expect("good");
        assert_eq!((seen.address.as_str(), seen.port), ("10.0.0.1", 9000));
        let seen = only(codec, "[2001:db8::1]:9000").expect("good");
        assert_eq!((seen.address.as_str(), seen.port), ("2001:db8::1", 9000));
        refused(codec, "2001:db8::1:9000", "needs brackets");
        refused(codec, "hello", "not host:port");
        refused(codec, "10.0.0.1:http", "not a number");
        refused(codec, "", "not host:port");
        refused(codec, "tcp://10.0.0.1:80", "is a URL");
    }
}

#[test]
fn etcds_go_naming() {
    for codec in [Codec::GoNaming, Codec::Auto] {
        let seen = only(codec, r#"{"Op":0,"Addr":"10.0.0.1:9000","Metadata":null}"#).expect("good");
        assert_eq!((seen.address.as_str(), seen.port), ("10.0.0.1", 9000));
        refused(codec, r#"{"Op":1,"Addr":"10.0.0.1:9000"}"#, "Op is not 0");
        refused(codec, r#"{"Op":0,"Addr":"10.0.0.1"}"#, "not host:port");
        refused(codec, r#"{"Op":0,"Addr":"","Metadata":"x"}"#, "not host:port");
        refused(codec, r#"{"Op":0,"Addr":"http://10.0.0.1:80","Metadata":null}"#, "is a URL");
    }
}

#[test]
fn kitex() {
    for codec in [Codec::Kitex, Codec::Auto] {
        let value = r#"{"network":"tcp","address":"10.0.0.1:8888","weight":10,"tags":{"az":"b"}}"#;
        let seen = only(codec, value).expect("good");
        assert_eq!((seen.address.as_str(), seen.port, seen.weight), ("10.0.0.1", 8888, Some(10)));
        assert_eq!(seen.meta["az"], "b");
        let value = r#"{"network":"tcp","address":"10.0.0.1:8888","weight":10,"tags":null}"#;
        assert!(only(codec, value).expect("good").meta.is_empty());
        for weight in ["0", "-1", "null"] {
            let value = format!(r#"{{"network":"tcp","address":"10.0.0.1:8888","weight":{weight}}}"#);
            assert_eq!(only(codec, &value).expect("good").weight, Some(10), "{weight}");
        }
        // Kitex puts no brackets around an IPv6 address, and dials none that has no brackets.
        refused(codec, r#"{"network":"tcp","address":"2001:db8::1:8888","weight":10}"#, "needs brackets");
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
    let why = only(Codec::Auto, &format!("{}:x", "é".repeat(20_000))).expect_err("no address");
    assert!(why.len() < 300, "{} bytes of reason", why.len());
}

#[test]
fn a_prefix_may_name_the_service_itself() {
    // go-zero: the key's own name and the lease's id, in decimal. etcd's Go naming: whatever stands below the target.
    let seen = read(Codec::Plain, "user.rpc/", "user.rpc/7587870321324142", "10.0.0.1:8080");
    assert_eq!((seen.service.as_str(), seen.candidates[0].id.as_str()), ("user.rpc", "7587870321324142"));
    let naming = r#"{"Op":0,"Addr":"10.0.0.1:9000","Metadata":null}"#;
    let seen = read(Codec::GoNaming, "foo/bar/", "foo/bar/10.0.0.1:9000", naming);
    assert_eq!((seen.service.as_str(), seen.candidates[0].id.as_str()), ("bar", "10.0.0.1:9000"));
    let seen = read(Codec::Plain, "rpc/", "rpc/user.rpc/7", "10.0.0.1:8080");
    assert_eq!((seen.service.as_str(), seen.candidates[0].id.as_str()), ("user.rpc", "7"));
    // Where nothing says so, a key of one segment has no id.
    assert_eq!(read(Codec::Auto, "/services/", "/services/oms", "10.0.0.1:1").rejected.len(), 1);
}

#[test]
fn every_key_of_a_service_is_in_its_ranges() {
    let url = "dubbo%3A%2F%2F10.0.0.1%3A20000%2Fx";
    let inner = format!("/s/com.x.A%24B/providers/{url}");
    for (codec, prefix, key, value) in [
        (Codec::Seed, "/s/", "/s/oms/1", "{}"),
        (Codec::Plain, "user.rpc/", "user.rpc/7", "10.0.0.1:1"),
        (Codec::Plain, "/s/", "/s/user.rpc/7", "10.0.0.1:1"),
        (Codec::GoNaming, "a/b/", "a/b/c", "{}"),
        (Codec::Dubbo, "/s/", &inner, ""),
        (Codec::Apisix, "/s/", "/s/1", "{}"),
        (Codec::SkyDns, "/s/", "/s/local/cluster/db/x1", "{}"),
        (Codec::Auto, "/s/", "/s/oms/1", "10.0.0.1:1"),
        (Codec::Auto, "/s/", &inner, ""),
        (Codec::Auto, "/s/", "/s/1", r#"{"nodes":{}}"#),
        (Codec::Auto, "/s/", "/s/local/cluster/db/x1", r#"{"host":"10.0.0.1"}"#),
    ] {
        let service = read(codec, prefix, key, value).service;
        let ranges = codec.ranges(prefix, &service);
        let key = key.as_bytes();
        let held = ranges.iter().any(|range| range.from.as_slice() <= key && key < range.end.as_slice());
        assert!(held, "{codec:?}: {service:?} is not in {ranges:?}");
    }
    assert_eq!(Range::below("/services/"), Range { from: b"/services/".into(), end: b"/services0".into() });
}

#[test]
fn names_in_a_configuration() {
    for (name, codec) in [
        ("seed", Codec::Seed),
        ("go-zero", Codec::Plain),
        ("plain", Codec::Plain),
        ("go-naming", Codec::GoNaming),
        ("kratos", Codec::Kratos),
        ("go-micro", Codec::GoMicro),
        ("kitex", Codec::Kitex),
        ("dubbo", Codec::Dubbo),
        ("dubbo-app", Codec::DubboApp),
        ("apisix", Codec::Apisix),
        ("skydns", Codec::SkyDns),
        ("auto", Codec::Auto),
    ] {
        let read: Codec = serde_json::from_value(name.into()).expect(name);
        assert_eq!(read, codec);
        assert!(codec.usual_prefix().ends_with('/'));
    }
}

#[test]
fn whatever_the_bytes_no_convention_panics() {
    let values: [&[u8]; 12] = [
        b"",
        b"{",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"{\"nodes\":[null]}",
        b"{\"endpoints\":[\"\"]}",
        b"{\"endpoints\":{}}",
        b"{\"host\":1}",
        b"{\"Addr\":\"\"}",
        b"{\"nodes\":{\"\":{}}}",
    ];
    let keys: [&[u8]; 8] = [
        b"/s/",
        b"/s//",
        b"/s/a",
        b"/s/a/",
        b"/s/a/providers/",
        b"/s/a/providers/%",
        b"/s/\xff/b/c",
        b"/s/a//b",
    ];
    for codec in [
        Codec::Seed,
        Codec::Plain,
        Codec::GoNaming,
        Codec::Kratos,
        Codec::GoMicro,
        Codec::Kitex,
        Codec::Dubbo,
        Codec::DubboApp,
        Codec::Apisix,
        Codec::SkyDns,
        Codec::Auto,
    ] {
        for (key, value) in keys.iter().flat_map(|key| values.iter().map(move |value| (key, value))) {
            if let Some(seen) = codec.decode("/s/", key, value) {
                assert!(!seen.service.is_empty());
                ServiceSet::check(seen.candidates, 1);
            }
        }
    }
}

/// What stands beside the instances: dubbo-go v3.3.2, registry/etcdv3/registry.go CreatePath (each directory of the key, empty)
/// and base_registry.go consumerRegistry; apisix 3.18.0, apisix/cli/etcd.lua (`init_dir` at each directory, slash included).
#[test]
fn directories_and_consumers() {
    let consumer = "/dubbo/com.example.UserProvider/consumers/consumer%3A%2F%2F10.0.0.9%2Fcom.example.UserProvider%3Fprotocol%3Dtri%26side%3Dconsumer";
    for (codec, prefix, key, value) in [
        (Codec::Dubbo, "/dubbo/", "/dubbo", ""),
        (Codec::Dubbo, "/dubbo/", "/dubbo/com.example.UserProvider", ""),
        (Codec::Dubbo, "/dubbo/", "/dubbo/com.example.UserProvider/providers", ""),
        (Codec::Dubbo, "/dubbo/", "/dubbo/com.example.UserProvider/consumers", ""),
        (Codec::Dubbo, "/dubbo/", consumer, ""),
        (Codec::Apisix, "/apisix/upstreams/", "/apisix/upstreams/", "init_dir"),
    ] {
        for codec in [codec, Codec::Auto] {
            let seen = codec.decode(prefix, key.as_bytes(), value.as_bytes());
            assert!(seen.is_none(), "{codec:?} {key}: {seen:?}");
        }
    }
}

/// Records of these tools that have no place to connect to, each refused with a reason that says so.
#[test]
fn records_without_a_place() {
    for (from, codec, prefix, key, value, words) in [
        (
            "coredns/coredns v1.14.7 plugin/etcd/README.md: an address without a port, for A and AAAA",
            Codec::SkyDns,
            "/skydns/",
            "/skydns/local/skydns/dns/apex/x1",
            r#"{"host":"1.1.1.1","ttl":60}"#,
            "port is missing",
        ),
        (
            "coredns/coredns v1.14.7 plugin/etcd/README.md: a text",
            Codec::SkyDns,
            "/skydns/",
            "/skydns/local/skydns/x6",
            r#"{"ttl":60,"text":"this is a random text message."}"#,
            "host is missing",
        ),
        (
            "kubernetes-sigs/external-dns v0.22.0 provider/coredns/coredns.go: never a port",
            Codec::SkyDns,
            "/skydns/",
            "/skydns/com/example/app/1a2b3c4d",
            r#"{"host":"10.0.0.1","text":"\"heritage=external-dns\"","ttl":300,"targetstrip":1}"#,
            "port is missing",
        ),
        (
            "go-kratos/kratos v3.0.0 app.go: an application without servers",
            Codec::Kratos,
            "/microservices/",
            "/microservices/job/5f1c",
            r#"{"id":"5f1c","name":"job","version":"","metadata":null,"endpoints":[]}"#,
            "endpoints is empty",
        ),
    ] {
        let seen = codec.decode(prefix, key.as_bytes(), value.as_bytes()).expect(from);
        assert_eq!(seen.candidates.len(), 0, "{from}");
        assert!(seen.rejected[0].why.contains(words), "{from}: {:?}", seen.rejected);
    }
}
