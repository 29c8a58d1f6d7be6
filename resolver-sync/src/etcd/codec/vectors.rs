//! What each tool writes, byte for byte, by the source that writes it.
//!
//! The forms were read in the repositories at github.com that each vector names, at that version; addresses and names are
//! ours. The order of the fields is the tool's too: its structure's order where it is Go, any order where it is Lua.

use super::Codec;
use crate::record::ServiceSet;

/// One key with its value, and what it must be read as.
struct Vector {
    /// Repository, version, file.
    from: &'static str,
    codec: Codec,
    prefix: &'static str,
    key: &'static str,
    value: &'static str,
    service: &'static str,
    instances: &'static [Seen],
}

/// Id, address and port, weight, tier, tags.
type Seen = (&'static str, &'static str, u32, u8, &'static [&'static str]);

const NAMING: [Vector; 3] = [
    Vector {
        from: "etcd-io/etcd v3.5.16 to v3.8.0-alpha.0, client/v3/naming/endpoints/{endpoints_impl.go,internal/update.go}",
        codec: Codec::GoNaming,
        prefix: "/services/",
        key: "/services/oms/10.0.0.1:9000",
        value: r#"{"Op":0,"Addr":"10.0.0.1:9000","Metadata":null}"#,
        service: "oms",
        instances: &[("10.0.0.1:9000", "10.0.0.1:9000", 1, 0, &[])],
    },
    Vector {
        from: "etcd-io/etcd v3.8.0-alpha.0, client/v3/naming/doc.go: the target is the prefix; Metadata is anything",
        codec: Codec::GoNaming,
        prefix: "foo/bar/",
        key: "foo/bar/e1",
        value: r#"{"Op":0,"Addr":"[2001:db8::1]:9000","Metadata":"metadata"}"#,
        service: "bar",
        instances: &[("e1", "[2001:db8::1]:9000", 1, 0, &[])],
    },
    Vector {
        from: "etcd-io/etcd v3.4.20, clientv3/naming/grpc.go (grpc v1.26 naming.Update): the key ends in Addr",
        codec: Codec::GoNaming,
        prefix: "/services/",
        key: "/services/oms/10.0.0.1:9000",
        value: r#"{"Op":0,"Addr":"10.0.0.1:9000","Metadata":{"zone":"a"}}"#,
        service: "oms",
        instances: &[("10.0.0.1:9000", "10.0.0.1:9000", 1, 0, &[])],
    },
];

const GO_ZERO: [Vector; 2] = [
    Vector {
        from: "zeromicro/go-zero v1.10.3, core/discov/{publisher,clients}.go, zrpc/internal/rpcpubserver.go",
        codec: Codec::Plain,
        prefix: "user.rpc/",
        key: "user.rpc/7587870321324142",
        value: "10.0.0.1:8080",
        service: "user.rpc",
        instances: &[("7587870321324142", "10.0.0.1:8080", 1, 0, &[])],
    },
    Vector {
        from: "zeromicro/go-zero v1.10.3, core/discov/publisher.go WithId: the id in the lease's place",
        codec: Codec::Plain,
        prefix: "/services/",
        key: "/services/user.rpc/7",
        value: "10.0.0.1:8080",
        service: "user.rpc",
        instances: &[("7", "10.0.0.1:8080", 1, 0, &[])],
    },
];

const KITEX: [Vector; 3] = [
    Vector {
        from: "kitex-contrib/registry-etcd v0.1.0 to v0.2.6, {common,etcd_registry}.go",
        codec: Codec::Kitex,
        prefix: "kitex/registry-etcd/",
        key: "kitex/registry-etcd/echo/10.0.0.1:8888",
        value: r#"{"network":"tcp","address":"10.0.0.1:8888","weight":66,"tags":{"hello":"world"}}"#,
        service: "echo",
        instances: &[("10.0.0.1:8888", "10.0.0.1:8888", 66, 0, &[])],
    },
    Vector {
        from: "kitex-contrib/registry-etcd v0.2.6, etcd_resolver.go: a weight of 0 or less is 10",
        codec: Codec::Kitex,
        prefix: "kitex/registry-etcd/",
        key: "kitex/registry-etcd/echo/10.0.0.1:8888",
        value: r#"{"network":"tcp","address":"10.0.0.1:8888","weight":0,"tags":null}"#,
        service: "echo",
        instances: &[("10.0.0.1:8888", "10.0.0.1:8888", 10, 0, &[])],
    },
    Vector {
        from: "kitex-contrib/registry-etcd v0.2.6, etcd_registry.go NewEtcdRegistryWithAuth: it forgets the prefix",
        codec: Codec::Kitex,
        prefix: "/",
        key: "/echo/10.0.0.1:8888",
        value: r#"{"network":"tcp","address":"10.0.0.1:8888","weight":10,"tags":null}"#,
        service: "echo",
        instances: &[("10.0.0.1:8888", "10.0.0.1:8888", 10, 0, &[])],
    },
];

const KRATOS: [Vector; 4] = [
    Vector {
        from: "go-kratos/kratos v3.0.0, contrib/registry/etcd/{registry,service}.go, registry/registry.go, app.go",
        codec: Codec::Kratos,
        prefix: "/microservices/",
        key: "/microservices/helloworld/5f1c",
        value: r#"{"id":"5f1c","name":"helloworld","version":"v1.2.0","metadata":{"weight":"20"},"endpoints":["http://10.0.0.1:8000","grpc://10.0.0.1:9000"]}"#,
        service: "helloworld",
        instances: &[
            ("5f1c/http", "10.0.0.1:8000", 20, 0, &["http", "version=v1.2.0"]),
            ("5f1c/grpc", "10.0.0.1:9000", 20, 0, &["grpc", "version=v1.2.0"]),
        ],
    },
    Vector {
        from: "go-kratos/kratos v2.4.0 to v3.0.0, internal/endpoint/endpoint.go Scheme: TLS is in the scheme",
        codec: Codec::Kratos,
        prefix: "/microservices/",
        key: "/microservices/helloworld/5f1c",
        value: r#"{"id":"5f1c","name":"helloworld","version":"","metadata":null,"endpoints":["https://10.0.0.1:8000","grpcs://[2001:db8::1]:9000"]}"#,
        service: "helloworld",
        instances: &[
            ("5f1c/https", "10.0.0.1:8000", 100, 0, &["https", "secure"]),
            ("5f1c/grpcs", "[2001:db8::1]:9000", 100, 0, &["grpcs", "secure"]),
        ],
    },
    Vector {
        from: "go-kratos/kratos v2.0.5 to v2.3.0, internal/endpoint/endpoint.go NewEndpoint: TLS is in the query",
        codec: Codec::Kratos,
        prefix: "/microservices/",
        key: "/microservices/helloworld/5f1c",
        value: r#"{"id":"5f1c","name":"helloworld","version":"","metadata":{},"endpoints":["http://10.0.0.1:8000","grpc://10.0.0.1:9000?isSecure=true"]}"#,
        service: "helloworld",
        instances: &[
            ("5f1c/http", "10.0.0.1:8000", 100, 0, &["http"]),
            ("5f1c/grpc", "10.0.0.1:9000", 100, 0, &["grpc", "secure"]),
        ],
    },
    Vector {
        from: "go-kratos/kratos v3.0.0, selector/default_node.go: a weight that is no number is passed over; Go escapes &",
        codec: Codec::Kratos,
        prefix: "/microservices/",
        key: "/microservices/helloworld/5f1c",
        value: r#"{"id":"5f1c","name":"helloworld","version":"","metadata":{"weight":"heavy"},"endpoints":["grpc://10.0.0.1:9000?a=b\u0026isSecure=true"]}"#,
        service: "helloworld",
        instances: &[("5f1c", "10.0.0.1:9000", 100, 0, &["grpc", "secure"])],
    },
];

const MICRO: [Vector; 4] = [
    Vector {
        from: "micro/go-micro v4.10.2 to v6.10.0, registry/registry.go, registry/etcd/etcd.go, server/rpc_server.go",
        codec: Codec::GoMicro,
        prefix: "/micro/registry/",
        key: "/micro/registry/greeter/greeter-2a1e",
        value: r#"{"name":"greeter","version":"latest","metadata":null,"endpoints":[{"request":{"name":"Request","type":"Request","values":null},"response":{"name":"Response","type":"Response","values":null},"metadata":{},"name":"Say.Hello"}],"nodes":[{"metadata":{"broker":"http","protocol":"mucp","registry":"etcd","server":"mucp","transport":"http"},"id":"greeter-2a1e","address":"10.0.0.1:9000"}]}"#,
        service: "greeter",
        instances: &[("greeter-2a1e", "10.0.0.1:9000", 1, 0, &["version=latest"])],
    },
    Vector {
        from: "micro/go-micro v1.14.0 to v2.9.1, registry/etcd/etcd.go, registry/service.go: other orders of fields",
        codec: Codec::GoMicro,
        prefix: "/micro/registry/",
        key: "/micro/registry/greeter/greeter-2a1e",
        value: r#"{"name":"greeter","version":"latest","metadata":null,"endpoints":[{"name":"Say.Hello","request":null,"response":null,"metadata":{}}],"nodes":[{"id":"greeter-2a1e","address":"10.0.0.1:9000","metadata":null}]}"#,
        service: "greeter",
        instances: &[("greeter-2a1e", "10.0.0.1:9000", 1, 0, &["version=latest"])],
    },
    Vector {
        from: "micro/go-micro v1.0.0 to v1.7.0, registry/service.go: the port is a field",
        codec: Codec::GoMicro,
        prefix: "/micro/registry/",
        key: "/micro/registry/greeter/greeter-2a1e",
        value: r#"{"name":"greeter","version":"latest","metadata":null,"endpoints":[],"nodes":[{"id":"greeter-2a1e","address":"10.0.0.1","port":9000,"metadata":{}}]}"#,
        service: "greeter",
        instances: &[("greeter-2a1e", "10.0.0.1:9000", 1, 0, &["version=latest"])],
    },
    Vector {
        from: "micro/go-micro v6.10.0, registry/etcd/etcd.go nodePath: a slash is a dash in the key",
        codec: Codec::GoMicro,
        prefix: "/micro/registry/",
        key: "/micro/registry/go-greeter/go-greeter-2a1e",
        value: r#"{"name":"go/greeter","version":"2","metadata":{},"endpoints":null,"nodes":[{"metadata":{},"id":"go/greeter-2a1e","address":"[2001:db8::1]:9000"}]}"#,
        service: "go-greeter",
        instances: &[("go-greeter-2a1e", "[2001:db8::1]:9000", 1, 0, &["version=2"])],
    },
];

const DUBBO: [Vector; 2] = [
    Vector {
        from: "apache/dubbo-go v3.3.2, registry/{base_registry.go,etcdv3/registry.go}, common/url.go",
        codec: Codec::Dubbo,
        prefix: "/dubbo/",
        key: "/dubbo/com.example.UserProvider/providers/tri%3A%2F%2F10.0.0.1%3A20000%2Fcom.example.UserProvider%3Fanyhost%3Dtrue%26application%3Dshop%26bean.name%3DUserProvider%26cluster%3Dfailover%26group%3Dg1%26interface%3Dcom.example.UserProvider%26loadbalance%3Drandom%26methods%3DGetUser%2CGetUsers%26pid%3D7%26registry.role%3D3%26release%3Ddubbo-golang-3.3.2%26retries%3D2%26serialization%3Dprotobuf%26side%3Dprovider%26timestamp%3D1700000000%26version%3D2.0%26weight%3D50",
        value: "",
        service: "com.example.UserProvider",
        instances: &[(
            "tri://10.0.0.1:20000?version=2.0&group=g1",
            "10.0.0.1:20000",
            50,
            0,
            &["group=g1", "tri", "version=2.0"],
        )],
    },
    Vector {
        from: "apache/dubbo-go v3.3.2, registry/{service_instance.go,etcdv3/service_discovery.go}: by application",
        codec: Codec::DubboApp,
        prefix: "/services/",
        key: "/services/shop/10.0.0.1:20000",
        value: concat!(
            r#"{"ID":"10.0.0.1:20000","ServiceName":"shop","Host":"10.0.0.1","Port":20000,"Weight":0,"Enable":true,"Healthy":true,"Metadata":{"dubbo.endpoints":"[{\"port\":20000,\"protocol\":\"tri\"}]","dubbo.metadata.storage-type":"local"},"ServiceMetadata":{"app":"shop","revision":"1"},"Address":"","GroupName":"","Tag":"gray"}"#,
            "\n"
        ),
        service: "shop",
        instances: &[("10.0.0.1:20000", "10.0.0.1:20000", 100, 0, &["tag=gray"])],
    },
];

const APISIX: [Vector; 3] = [
    Vector {
        from: "apache/apisix 3.18.0, apisix/schema_def.lua, apisix/admin/{resource,upstreams}.lua, t/admin/upstream.t",
        codec: Codec::Apisix,
        prefix: "/apisix/upstreams/",
        key: "/apisix/upstreams/admin_up",
        value: r#"{"desc":"new upstream","create_time":1700000000,"nodes":{"10.0.0.1:8080":1,"[2001:db8::1]:8080":0},"hash_on":"vars","id":"admin_up","update_time":1700000000,"scheme":"http","pass_host":"pass","type":"roundrobin"}"#,
        service: "admin_up",
        instances: &[
            ("10.0.0.1:8080", "10.0.0.1:8080", 1, 0, &[]),
            ("[2001:db8::1]:8080", "[2001:db8::1]:8080", 0, 0, &[]),
        ],
    },
    Vector {
        from: "apache/apisix 3.18.0, apisix/{schema_def,upstream,balancer}.lua: the schema's defaults are stored too",
        codec: Codec::Apisix,
        prefix: "/apisix/upstreams/",
        key: "/apisix/upstreams/1",
        value: r#"{"type":"roundrobin","nodes":[{"host":"10.0.0.9","port":1980,"weight":1,"priority":-1},{"host":"[2001:db8::1]","port":1980,"weight":2,"priority":0,"metadata":{"a":1}}],"scheme":"grpcs","id":1}"#,
        service: "1",
        instances: &[
            ("[2001:db8::1]:1980", "[2001:db8::1]:1980", 2, 0, &[]),
            ("10.0.0.9:1980", "10.0.0.9:1980", 1, 1, &[]),
        ],
    },
    Vector {
        from: "apache/apisix 3.18.0, apisix/upstream.lua scheme_to_port: a node without a port has the scheme's",
        codec: Codec::Apisix,
        prefix: "/apisix/upstreams/",
        key: "/apisix/upstreams/1",
        value: r#"{"type":"roundrobin","nodes":[{"host":"10.0.0.1","weight":1,"priority":0}],"scheme":"https","id":"1"}"#,
        service: "1",
        instances: &[("10.0.0.1:443", "10.0.0.1:443", 1, 0, &[])],
    },
];

const SKYDNS: [Vector; 3] = [
    Vector {
        from: "skynetservices/skydns 2.5.3a, README.md; coredns/coredns v1.14.7, plugin/etcd/msg/path.go",
        codec: Codec::SkyDns,
        prefix: "/skydns/",
        key: "/skydns/local/skydns/east/staging/rails/6",
        value: r#"{"host":"2003::8:1","port":8080}"#,
        service: "rails.staging.east.skydns.local",
        instances: &[("6", "[2003::8:1]:8080", 100, 10, &[])],
    },
    Vector {
        from: "coredns/coredns v1.14.7, plugin/etcd/msg/service.go: the fields of the structure, each left out if zero",
        codec: Codec::SkyDns,
        prefix: "/skydns/",
        key: "/skydns/local/cluster/db/x1",
        value: r#"{"host":"10.0.0.1","port":8080,"priority":20,"weight":50,"text":"t","mail":true,"ttl":60,"targetstrip":1,"group":"g"}"#,
        service: "db.cluster.local",
        instances: &[("x1", "10.0.0.1:8080", 50, 20, &[])],
    },
    Vector {
        from: "coredns/coredns v1.14.7, plugin/{etcd/etcd,backend_lookup}.go: priority 0 is 10, weight 0 is 100",
        codec: Codec::SkyDns,
        prefix: "/skydns/",
        key: "/skydns/local/cluster/db/x1",
        value: r#"{"host":"10.0.0.1","port":8080,"priority":0,"weight":0}"#,
        service: "db.cluster.local",
        instances: &[("x1", "10.0.0.1:8080", 100, 10, &[])],
    },
];

/// Whether the service stands in the prefix alone, which no key shows.
fn is_named_by_the_prefix(vector: &Vector) -> bool {
    vector.codec.begins_with_service() && !vector.key[vector.prefix.len()..].contains('/')
}

#[track_caller]
fn check(vectors: &[Vector]) {
    for vector in vectors {
        let Vector { from, codec, prefix, key, value, service, instances } = vector;
        let by_looks = (!is_named_by_the_prefix(vector)).then_some(Codec::Auto);
        for codec in by_looks.into_iter().chain([*codec]) {
            let seen = codec.decode(prefix, key.as_bytes(), value.as_bytes()).expect(from);
            assert_eq!(seen.service, *service, "{codec:?}, {from}");
            assert_eq!(seen.rejected, [], "{codec:?}, {from}");
            let set = ServiceSet::check(seen.candidates, 1);
            assert_eq!(set.rejected, [], "{codec:?}, {from}");
            let got: Vec<_> = set
                .instances
                .into_iter()
                .map(|i| {
                    let place = std::net::SocketAddr::new(i.address, i.port).to_string();
                    (i.id, place, i.weight, i.tier, i.tags)
                })
                .collect();
            let expected: Vec<_> = instances
                .iter()
                .map(|(id, place, weight, tier, tags)| {
                    let tags: Vec<_> = tags.iter().map(ToString::to_string).collect();
                    (id.to_string(), place.to_string(), *weight, *tier, tags)
                })
                .collect();
            assert_eq!(got, expected, "{codec:?}, {from}");
        }
    }
}

#[test]
fn etcds_go_naming() {
    check(&NAMING);
}

#[test]
fn go_zero() {
    check(&GO_ZERO);
}

#[test]
fn kitex() {
    check(&KITEX);
}

#[test]
fn kratos() {
    check(&KRATOS);
}

#[test]
fn go_micro() {
    check(&MICRO);
}

#[test]
fn dubbo_go() {
    check(&DUBBO);
}

#[test]
fn apisix() {
    check(&APISIX);
}

#[test]
fn skydns_and_coredns() {
    check(&SKYDNS);
}
