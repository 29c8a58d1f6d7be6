//! Names of the DNS, with Consul's own as the server, and several sources laid over each other.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use resolver_tests::{Consul, ConsulOptions, Etcd, EtcdOptions, Host, Ran};
use serde_json::{Value, json};

/// For a change to reach the segment. It takes a second where DNS is asked once a second, longer on a busy machine.
const SOON: Duration = Duration::from_secs(20);

fn with_dns(more: Value) -> Consul {
    let mut config = json!({ "ports": { "dns": 8600 } });
    config.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    Consul::start(ConsulOptions::new().config(config))
}

fn dns(consul: &Consul, more: &str) -> String {
    let ip = consul.http_addr().ip();
    format!(
        "[sync]\nstale_after_ms = 2000\n[[source]]\nname = \"dns\"\nkind = \"dns\"\nservers = [\"{ip}:8600\"]\n{more}\n"
    )
}

fn places(got: &Ran) -> BTreeSet<String> {
    let json = got.json();
    let place =
        |endpoint: &Value| format!("{}:{}", endpoint["address"].as_str().unwrap_or("?"), endpoint["port"]);
    json["endpoints"].as_array().map(|all| all.iter().map(place).collect()).unwrap_or_default()
}

fn of(numbers: impl IntoIterator<Item = u16>) -> BTreeSet<String> {
    numbers.into_iter().map(|number| format!("10.0.0.{number}:{}", 9000 + number)).collect()
}

fn register(consul: &Consul, number: u16) {
    consul.register_ttl("orders", &format!("orders-{number}"), &format!("10.0.0.{number}"), 9000 + number);
    consul.pass(&format!("orders-{number}"));
}

#[test]
fn consuls_dns_is_followed() {
    // More than Consul sends in one datagram, which it cuts to three.
    for (transport, more) in
        [("tcp", json!({})), ("udp", json!({ "dns_config": { "enable_truncate": true } }))]
    {
        let consul = with_dns(more);
        (1..=8).for_each(|number| register(&consul, number));
        let host = Host::new();
        let names =
            "names = { orders = \"orders.service.consul\", plain = \"orders.service.consul:7000\" }\n";
        let _agent = host.agent(&dns(&consul, &format!("{names}transport = \"{transport}\"")));
        let got = host.until("orders", "has all eight", SOON, |got| places(got) == of(1..=8));
        let json = got.json();
        assert_eq!((&json["state"], &json["source"]), (&json!("FRESH"), &json!("dns")), "{json}");
        host.until("plain", "has their addresses and the port that was named", SOON, |got| {
            places(got) == (1..=8).map(|number| format!("10.0.0.{number}:7000")).collect()
        });
        consul.fail("orders-3");
        host.until("orders", "has lost the critical one", SOON, |got| {
            places(got) == of([1, 2, 4, 5, 6, 7, 8])
        });
        register(&consul, 9);
        host.until("orders", "has gained one", SOON, |got| places(got) == of([1, 2, 4, 5, 6, 7, 8, 9]));
        // Nobody is left: the name is gone, which is read twice and then believed.
        for number in [1, 2, 3, 4, 5, 6, 7, 8, 9] {
            consul.deregister(&format!("orders-{number}"));
        }
        host.until("orders", "is empty", SOON, |got| got.json()["state"] == "EMPTY");
        register(&consul, 1);
        host.until("orders", "is back", SOON, |got| places(got) == of([1]));
        // And a server that is away takes nothing along.
        consul.kill();
        let got = host.until("orders", "is stale", SOON, |got| got.json()["state"] == "STALE");
        assert_eq!((places(&got), &got.json()["reason"]), (of([1]), &json!("unreachable")));
    }
}

#[test]
fn pins_over_etcd_over_dns() {
    let (consul, etcd) = (with_dns(json!({})), Etcd::start(EtcdOptions::new()));
    [1, 2].into_iter().for_each(|number| register(&consul, number));
    for number in [2, 3] {
        let value =
            json!({ "address": format!("10.0.0.{number}"), "port": 9000 + number, "weight": 10 + number });
        etcd.put(&format!("/services/orders/etcd-{number}"), value.to_string());
    }
    let host = Host::new();
    let file = host.dir().join("pins.json");
    let pins = |instances: Value| {
        let text = json!({ "service": [{ "name": "orders", "instance": instances }] }).to_string();
        let beside = host.dir().join("pins.new");
        std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &file)).expect("written");
    };
    pins(json!([{ "id": "pin", "address": "10.0.0.3", "port": 9003, "weight": 77 }]));
    let mut config = dns(&consul, "names = { orders = \"orders.service.consul\" }");
    let _ = write!(
        config,
        "[[source]]\nname = \"etcd\"\nkind = \"etcd\"\nendpoints = [\"{}\"]\n\
         [[source]]\nname = \"pins\"\nkind = \"file\"\npath = \"{}\"\n\
         [[source]]\nname = \"all\"\nkind = \"overlay\"\nsources = [\"pins\", \"etcd\", \"dns\"]\n\
         [[view]]\nname = \"oms\"\nservice = \"orders\"\nsource = \"all\"\n\
         [[view]]\nname = \"by-etcd\"\nservice = \"orders\"\nsource = \"etcd\"\n",
        etcd.url(),
        file.display()
    );
    let agent = host.agent(&config);
    let said = |got: &Ran| -> BTreeSet<(String, u64, String)> {
        let json = got.json();
        let row = |endpoint: &Value| {
            let text = |name: &str| endpoint[name].as_str().unwrap_or("?").to_owned();
            (text("address"), endpoint["weight"].as_u64().unwrap_or(0), text("source"))
        };
        json["endpoints"].as_array().map(|all| all.iter().map(row).collect()).unwrap_or_default()
    };
    let row = |number: u16, weight, by: &str| (format!("10.0.0.{number}"), weight, by.to_owned());
    let all = BTreeSet::from([row(1, 1, "dns"), row(2, 12, "etcd"), row(3, 77, "pins")]);
    let got =
        host.until("oms", "is of all three", SOON, |got| said(got) == all && got.json()["state"] == "FRESH");
    assert_eq!(got.json()["source"], "all");
    // Who said so is for overlays alone; one source needs no such word.
    let own = host.until("by-etcd", "is etcd's alone", SOON, |got| got.code == Some(0)).json();
    assert!(own["endpoints"][0].get("source").is_none(), "{own}");
    let list = host.run(&["list", "--segment", &host.segment().display().to_string()]);
    assert!(list.stdout.contains("from all (dns, etcd, pins)"), "{}", list.stdout);
    let sources = host.sources().json();
    let names: Vec<_> = sources.as_array().expect("rows").iter().map(|row| row["source"].clone()).collect();
    assert_eq!(names, [json!("dns"), json!("etcd"), json!("pins"), json!("all")]);

    // etcd is out of reach: what it said stands, and the overlay says so.
    etcd.stop();
    let stale = host.until("oms", "is stale", SOON, |got| got.json()["state"] == "STALE");
    assert_eq!((said(&stale), &stale.json()["reason"]), (all, &json!("unreachable")));
    // The others go on: a pin that goes leaves what etcd last said of the place.
    pins(json!([]));
    let without = BTreeSet::from([row(1, 1, "dns"), row(2, 12, "etcd"), row(3, 13, "etcd")]);
    host.until("oms", "is without the pin", SOON, |got| said(got) == without);
    etcd.cont();
    host.until("oms", "is fresh again", SOON, |got| said(got) == without && got.json()["state"] == "FRESH");
    drop(agent);
}
