//! Registration, by the library and by `resolver register`, on real servers: there while it lives, gone when it does not.

mod cli;
mod consul;
mod etcd;
mod examples;
mod interoperation;

use std::time::Duration;

use resolver_sync::consul::ConsulConfig;
use resolver_sync::etcd::EtcdConfig;
use resolver_sync::register::{Registrar, Registration};
use resolver_tests::{Consul, Etcd};
use serde_json::Value;

/// For anything to happen. It takes milliseconds, or a TTL of 2 s; a machine that is busy building takes longer.
const SOON: Duration = Duration::from_secs(30);
/// The shortest that there is, so that tests of its end do not take long.
const TTL: Duration = Duration::from_secs(2);
/// For those that must not expire: a machine that is busy building keeps a thread waiting for a second or two.
const STEADY: Duration = Duration::from_secs(6);

fn with_consul(consul: &Consul) -> Registrar {
    Registrar::consul(ConsulConfig::new("test", consul.url())).expect("a good configuration")
}

fn with_etcd(etcd: &Etcd) -> Registrar {
    let config = EtcdConfig { endpoints: vec![etcd.url()], ..EtcdConfig::default() };
    Registrar::etcd(config).expect("a good configuration")
}

/// `orders`, instance `orders-1` at 10.0.0.1:9001, with the shortest TTL.
fn orders() -> Registration {
    Registration::new("orders", 9001).id("orders-1").address([10, 0, 0, 1].into()).ttl(TTL)
}

/// Instances of `orders` that pass, as any client of Consul sees them.
fn passing(consul: &Consul) -> Vec<String> {
    let entries = consul.get("/v1/health/service/orders?passing");
    let id = |entry: &Value| entry["Service"]["ID"].as_str().unwrap_or("?").to_owned();
    entries.as_array().map(|entries| entries.iter().map(id).collect()).unwrap_or_default()
}

/// The service's metadata that says who registered it.
fn incarnation(consul: &Consul) -> String {
    let entries = consul.get("/v1/health/service/orders");
    entries[0]["Service"]["Meta"]["resolver-incarnation"].as_str().unwrap_or_default().to_owned()
}

/// The key of `orders-1` as any client of etcd sees it: its value, and its lease in hexadecimal form.
fn held(etcd: &Etcd) -> Option<(Value, String)> {
    let got = etcd.etcdctl(&["get", "/services/orders/orders-1", "--write-out=fields"]);
    let field = |name: &str| {
        let line = got.lines().find_map(|line| line.strip_prefix(&format!("\"{name}\" : ")))?;
        Some(line.to_owned())
    };
    // Written as a quoted string of JSON.
    let value: String = serde_json::from_str(&field("Value")?).ok()?;
    let lease: i64 = field("Lease")?.parse().ok()?;
    Some((serde_json::from_str(&value).unwrap_or(Value::Null), format!("{lease:x}")))
}
