//! The agent on a real etcd: what is put there is what the tools read from the segment.

use std::time::Duration;

use resolver_core::Segment;
use resolver_tests::{Etcd, EtcdOptions, Host, Process, Ran, eventually};
use serde_json::{Value, json};

/// For a change to reach the segment. It takes milliseconds; a machine that is busy building takes longer.
const SOON: Duration = Duration::from_secs(15);

fn config(etcd: &Etcd) -> String {
    format!("[[source]]\nname = \"etcd\"\nkind = \"etcd\"\nendpoints = [\"{}\"]\n", etcd.url())
}

fn value(number: u16) -> String {
    json!({ "address": format!("10.0.0.{number}"), "port": 9000 + number }).to_string()
}

fn key(number: u16) -> String {
    format!("/services/orders/{number}")
}

/// An etcd with three instances of `orders`, and an agent that has published them.
fn three_instances() -> (Etcd, Host, Process) {
    let etcd = Etcd::start(EtcdOptions::new());
    (1..=3).for_each(|number| etcd.put(&key(number), value(number)));
    let host = Host::new();
    let agent = host.agent(&config(&etcd));
    host.until("orders", "has three instances", SOON, |got| ids(got) == ["1", "2", "3"]);
    (etcd, host, agent)
}

fn ids(got: &Ran) -> Vec<String> {
    let got = got.json();
    let endpoints = got["endpoints"].as_array().cloned().unwrap_or_default();
    endpoints.iter().map(|endpoint| endpoint["id"].as_str().unwrap_or("?").to_owned()).collect()
}

#[test]
fn instances_come_change_and_leave() {
    let (etcd, host, _agent) = three_instances();
    let got = host.get("orders");
    let json = got.json();
    assert_eq!(
        (got.code, &json["service"], &json["state"], &json["reason"], &json["source"]),
        (Some(0), &json!("orders"), &json!("FRESH"), &json!("none"), &json!("etcd"))
    );
    assert!(json["age_ms"].as_u64().is_some_and(|age| age < 5_000), "{json}");
    etcd.del(&key(2));
    host.until("orders", "lost the deleted instance", SOON, |got| ids(got) == ["1", "3"]);
    etcd.put(&key(4), value(4));
    host.until("orders", "shows the new instance", SOON, |got| ids(got) == ["1", "3", "4"]);
    let moved = json!({
        "address": "10.0.0.77", "port": 9077, "weight": 10, "tags": ["v2", "fast"], "timestamp": 1_700_000_000,
    });
    etcd.put(&key(3), moved.to_string());
    let got = host.until("orders", "shows where instance 3 moved", SOON, |got| ids(got) == ["3", "1", "4"]);
    let three = json!({
        "address": "10.0.0.77", "port": 9077, "id": "3", "weight": 10, "tier": 0, "tags": ["fast", "v2"],
    });
    assert_eq!(got.json()["endpoint"], three, "the heaviest is the primary");

    etcd.put("/services/alerts/1", value(1));
    etcd.put("/elsewhere/nobody/1", value(1));
    host.until("alerts", "is another service", SOON, |got| ids(got) == ["1"]);
    let list = host.list();
    let names: Vec<Value> =
        list.json().as_array().expect("a list").iter().map(|s| s["service"].clone()).collect();
    assert_eq!((list.code, names), (Some(0), vec![json!("alerts"), json!("orders")]));
    assert_eq!(host.get("nobody").code, Some(3), "keys elsewhere are nobody's business");
    etcd.etcdctl(&["del", "--prefix", "/services/alerts/"]);
    let empty = host.until("alerts", "is empty", SOON, |got| got.code == Some(4));
    assert_eq!(empty.json()["state"], "EMPTY");
    assert_eq!(host.get("orders").code, Some(0));
}

#[test]
fn an_instance_goes_with_its_lease() {
    let (etcd, host, _agent) = three_instances();
    // The server's minimum; it ends it up to half a second late.
    let (kept, left) = (etcd.grant(2), etcd.grant(2));
    let keeper = etcd.etcdctl_start(&["lease", "keep-alive", &kept]);
    etcd.put_leased(&key(4), &value(4), &kept);
    etcd.put_leased(&key(5), &value(5), &left);
    host.until("orders", "shows an instance with a lease", SOON, |got| ids(got).contains(&"5".to_owned()));
    host.until("orders", "lost the instance whose lease nobody keeps alive", SOON, |got| {
        ids(got) == ["1", "2", "3", "4"]
    });
    drop(keeper);
    host.until("orders", "lost the other one, too", SOON, |got| ids(got) == ["1", "2", "3"]);
    assert_eq!(host.get("orders").json()["state"], "FRESH");
}

#[test]
fn bad_values_among_good_ones_are_left_out_counted_and_named() {
    let (etcd, host, agent) = three_instances();
    let bad: [(&str, &[u8], &str); 6] = [
        ("not-json", b"{\"address\": \"10.0.0.4\",", "JSON"),
        ("not-text", b"\xff\x00{", "text"),
        ("no-port", br#"{"address":"10.0.0.5","port":0}"#, "port 0"),
        ("port-as-text", br#"{"address":"10.0.0.5","port":"80"}"#, "port"),
        ("a-host-name", br#"{"address":"db.example","port":9006}"#, "not an IP address"),
        // The smaller id of the two stays.
        ("twice", br#"{"address":"10.0.0.1","port":9001}"#, "a second instance at 10.0.0.1:9001"),
    ];
    for (id, value, _) in bad {
        etcd.put(&format!("/services/orders/{id}"), value);
    }
    // After all of them, as etcd has one order.
    etcd.put(&key(4), value(4));
    let got = host.until("orders", "shows the last good one", SOON, |got| ids(got) == ["1", "2", "3", "4"]);
    assert_eq!((got.code, &got.json()["state"]), (Some(0), &json!("FRESH")));

    let segment = Segment::open(host.segment()).expect("the agent's segment");
    let rejected = || segment.reader().source(0).map(|source| source.rejected());
    eventually(SOON, "all are counted", || rejected() == Some(6));
    for (id, _, why) in bad {
        let log = agent.stderr();
        let named = log.lines().any(|line| {
            line.contains("a record is left out") && line.contains(&format!("{id}\"")) && line.contains(why)
        });
        assert!(named, "{id} is not named with {why:?}{}", agent.logs());
    }
    etcd.del("/services/orders/not-json");
    eventually(SOON, "one was removed", || rejected() == Some(5));
}

#[test]
fn watch_prints_a_line_for_each_change() {
    let (etcd, host, _agent) = three_instances();
    let watch = host.watch("orders");
    let lines = || -> Vec<Value> {
        watch.stdout().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let after = |count: usize, what: &str| {
        eventually(SOON, what, || lines().len() >= count);
        let lines = lines();
        assert_eq!(lines.len(), count, "one line for one change ({what}): {lines:#?}");
        lines[count - 1]["endpoints"].as_array().map(Vec::len)
    };
    assert_eq!(after(1, "it shows how it stands"), Some(3));
    etcd.del(&key(2));
    assert_eq!(after(2, "one left"), Some(2));
    // Another service, or the same value again, is no change of this one.
    etcd.put("/services/alerts/1", value(1));
    etcd.put(&key(3), value(3));
    etcd.put(&key(4), value(4));
    assert_eq!(after(3, "one came"), Some(3));
}
