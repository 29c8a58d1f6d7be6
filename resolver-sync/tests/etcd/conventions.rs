//! Instances as other tools write them (which source says so is in src/etcd/codec/vectors.rs), put there by etcdctl.

use resolver_sync::etcd::{Codec, EtcdConfig};

use crate::harness::{Etcd, Mirror, config};

const KRATOS: &str = r#"{"id":"1","name":"helloworld","version":"v1","metadata":{"weight":"20"},"endpoints":["grpc://10.0.0.1:9000?isSecure=false"]}"#;
const MICRO: &str = r#"{"name":"greeter","version":"latest","metadata":null,"endpoints":[],"nodes":[{"id":"greeter-1","address":"10.0.0.2:9001","metadata":{}}]}"#;
const KITEX: &str = r#"{"network":"tcp","address":"10.0.0.3:8888","weight":10,"tags":null}"#;
const NAMING: &str = r#"{"Op":0,"Addr":"10.0.0.4:9000","Metadata":null}"#;
const APISIX: &str = r#"{"nodes":{"10.0.0.5:1980":1,"10.0.0.6:1980":3},"type":"roundrobin","id":"1"}"#;
const SKYDNS: &str = r#"{"host":"10.0.0.7","port":8080,"priority":20,"ttl":"60"}"#;
const DUBBO: &str = "com.x.Users/providers/tri%3A%2F%2F10.0.0.8%3A20000%2Fcom.x.Users%3Fanyhost%3Dtrue%26application%3Dshop%26bean.name%3DUsers%26cluster%3Dfailover%26group%3Dg1%26interface%3Dcom.x.Users%26loadbalance%3Drandom%26methods%3DGetUser%2CGetUsers%26pid%3D7%26registry.role%3D3%26release%3Ddubbo-golang-3.3.2%26retries%3D2%26serialization%3Dprotobuf%26side%3Dprovider%26timestamp%3D1700000000%26version%3D2.0%26weight%3D50";
const DUBBO_APP: &str = r#"{"ID":"10.0.0.10:20001","ServiceName":"shop","Host":"10.0.0.10","Port":20001,"Weight":0,"Enable":true,"Healthy":true,"Metadata":null,"ServiceMetadata":null,"Address":"","GroupName":"","Tag":""}"#;
const SEED: &str = r#"{"address":"10.0.0.9","port":8080,"timestamp":1700000000}"#;

/// Convention, prefix, key below it, value, service, ports.
type Row = (Codec, &'static str, &'static str, &'static str, &'static str, &'static [u16]);

const ROWS: [Row; 11] = [
    (Codec::Seed, "/services/", "/services/oms/1", SEED, "oms", &[8080]),
    (Codec::GoNaming, "foo/bar/", "foo/bar/10.0.0.4:9000", NAMING, "bar", &[9000]),
    (Codec::Plain, "user.rpc/", "user.rpc/7587870321324142", "10.0.0.1:8081", "user.rpc", &[8081]),
    (Codec::Kratos, "/microservices/", "/microservices/helloworld/1", KRATOS, "helloworld", &[9000]),
    (Codec::GoMicro, "/micro/registry/", "/micro/registry/greeter/greeter-1", MICRO, "greeter", &[9001]),
    (Codec::Kitex, "kitex/registry-etcd/", "kitex/registry-etcd/echo/10.0.0.3:8888", KITEX, "echo", &[8888]),
    (Codec::Dubbo, "/dubbo/", "", "", "com.x.Users", &[20000]),
    (Codec::DubboApp, "/services/", "/services/shop/10.0.0.10:20001", DUBBO_APP, "shop", &[20001]),
    (Codec::Apisix, "/apisix/upstreams/", "/apisix/upstreams/1", APISIX, "1", &[1980, 1980]),
    (Codec::SkyDns, "/skydns/", "/skydns/local/cluster/db/x1", SKYDNS, "db.cluster.local", &[8080]),
    (Codec::Auto, "/services/", "/services/oms/1", SEED, "oms", &[8080]),
];

fn key(row: &Row) -> String {
    if row.2.is_empty() { format!("{}{DUBBO}", row.1) } else { row.2.into() }
}

#[test]
fn each_is_read_by_its_name() {
    let etcd = Etcd::start();
    for row in &ROWS {
        let (codec, prefix, _, value, service, ports) = *row;
        etcd.ctl(&["put", "--", &key(row), value]);
        let of = EtcdConfig { codec, prefix: prefix.into(), ..config([etcd.url()]) };
        let mut mirror = Mirror::of(of);
        mirror.until_ports(service, ports);
        assert_eq!(mirror.services.keys().collect::<Vec<_>>(), [service], "{codec:?}");
        // The second read, which looks at the service's own keys alone, says the same.
        assert_eq!(
            mirror.confirm(service).expect("read again").instances,
            mirror.services[service].instances
        );
        etcd.ctl(&["del", "--", &key(row)]);
        mirror.until(&format!("{codec:?} is empty"), |m| m.ports(service).is_empty());
    }
}

#[test]
fn all_may_be_mixed_below_one_prefix() {
    let etcd = Etcd::start();
    let mut mirror = Mirror::on([etcd.url()]);
    for row in &ROWS {
        let (codec, prefix, _, value, ..) = *row;
        // These two name their service by the prefix, which only a named convention can know.
        let below = match codec {
            Codec::GoNaming => "bar/10.0.0.4:9000".into(),
            Codec::Plain => "user.rpc/7587870321324142".into(),
            _ => key(row)[prefix.len()..].to_owned(),
        };
        etcd.ctl(&["put", "--", &format!("/services/{below}"), value]);
    }
    // What dubbo and APISIX write beside their instances.
    for furniture in ["com.x.Users", "com.x.Users/providers", ""] {
        etcd.ctl(&["put", "--", &format!("/services/{furniture}"), ""]);
    }
    etcd.ctl(&["put", "--", "/services/greeter/bad", r#"{"name":"greeter","nodes":[{"id":"b"}]}"#]);
    mirror.until("the bad record is counted", |m| {
        m.services.get("greeter").is_some_and(|set| set.rejected.len() == 1)
    });
    for (codec, _, _, _, service, ports) in ROWS {
        assert_eq!(mirror.ports(service), ports, "{codec:?}");
        let again = mirror.confirm(service).expect("read again");
        assert_eq!(again.instances, mirror.services[service].instances, "{codec:?}");
        assert_eq!(again.rejected, mirror.services[service].rejected, "{codec:?}");
    }
    assert_eq!(mirror.services.values().map(|set| set.rejected.len()).sum::<usize>(), 1);
    assert_eq!(mirror.services.len(), 10, "{:?}", mirror.services.keys());
}
