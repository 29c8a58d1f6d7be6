//! The agent on a real Consul: what is registered there is what the tools read from the segment.

use std::time::Duration;

use resolver_core::Segment;
use resolver_tests::{Consul, ConsulOptions, Host, Process, Ran, eventually};
use serde_json::{Value, json};

/// For a change to reach the segment. It takes milliseconds; a machine that is busy building takes longer.
const SOON: Duration = Duration::from_secs(15);

fn config(consul: &Consul) -> String {
    format!("[[source]]\nname = \"consul\"\nkind = \"consul\"\naddress = \"{}\"\n", consul.url())
}

/// A Consul with three instances of `orders`, and an agent that has published them.
fn three_instances() -> (Consul, Host, Process) {
    let consul = Consul::start(ConsulOptions::new());
    for number in 1..=3 {
        consul.register_ttl(
            "orders",
            &format!("orders-{number}"),
            &format!("10.0.0.{number}"),
            9000 + number,
        );
    }
    let host = Host::new();
    let agent = host.agent(&config(&consul));
    host.until("orders", "has three instances", SOON, |got| addresses(got).len() == 3);
    (consul, host, agent)
}

fn addresses(got: &Ran) -> Vec<String> {
    let got = got.json();
    let endpoints = got["endpoints"].as_array().cloned().unwrap_or_default();
    endpoints.iter().map(|e| format!("{}:{}", e["address"].as_str().unwrap_or("?"), e["port"])).collect()
}

#[test]
fn instances_come_fail_pass_and_leave() {
    let (consul, host, _agent) = three_instances();
    let got = host.get("orders");
    assert_eq!(addresses(&got), ["10.0.0.1:9001", "10.0.0.2:9002", "10.0.0.3:9003"]);
    let json = got.json();
    assert_eq!(got.code, Some(0), "{json}");
    assert_eq!(
        json["endpoint"],
        json!({ "address": "10.0.0.1", "port": 9001, "id": "node-1/orders-1", "weight": 1, "tier": 0, "tags": [] })
    );
    let word = |name: &str| json[name].as_str().unwrap_or("?").to_owned();
    assert_eq!(
        [word("service"), word("state"), word("reason"), word("source")],
        ["orders", "FRESH", "none", "consul"]
    );
    assert!(json["age_ms"].as_u64().is_some_and(|age| age < 5_000), "{json}");

    let three = json["generation"].as_u64().expect("a generation");
    consul.fail("orders-2");
    let got = host.until("orders", "lost the critical instance", SOON, |got| {
        addresses(got) == ["10.0.0.1:9001", "10.0.0.3:9003"]
    });
    assert!(got.json()["generation"].as_u64() > Some(three), "each set has a generation of its own");
    consul.register_ttl("orders", "orders-4", "10.0.0.4", 9004);
    host.until("orders", "shows the new instance", SOON, |got| {
        addresses(got) == ["10.0.0.1:9001", "10.0.0.3:9003", "10.0.0.4:9004"]
    });
    consul.pass("orders-2");
    host.until("orders", "shows the instance that passes again", SOON, |got| addresses(got).len() == 4);
    consul.deregister("orders-1");
    let got = host.until("orders", "lost the instance that was deregistered", SOON, |got| {
        addresses(got) == ["10.0.0.2:9002", "10.0.0.3:9003", "10.0.0.4:9004"]
    });
    assert_eq!(got.json()["endpoint"]["address"], "10.0.0.2", "the primary moved");
}

#[test]
fn ids_tags_and_weights_reach_the_tools_and_the_heaviest_is_the_primary() {
    let consul = Consul::start(ConsulOptions::new());
    consul.register(&json!({
        "Name": "orders", "ID": "heavy", "Address": "10.0.0.9", "Port": 9009, "Tags": ["v2", "fast"],
        "Weights": { "Passing": 10, "Warning": 1 },
    }));
    consul.register(&json!({
        "Name": "orders", "ID": "v6", "Address": "2001:db8::1", "Port": 9001, "Tags": ["v1"],
        "Weights": { "Passing": 3, "Warning": 1 },
    }));
    let host = Host::new();
    let _agent = host.agent(&config(&consul));
    let got = host.until("orders", "has both instances", SOON, |got| addresses(got).len() == 2);
    let heavy = json!({
        "address": "10.0.0.9", "port": 9009, "id": "node-1/heavy", "weight": 10, "tier": 0, "tags": ["fast", "v2"],
    });
    let v6 = json!({
        "address": "2001:db8::1", "port": 9001, "id": "node-1/v6", "weight": 3, "tier": 0, "tags": ["v1"],
    });
    let json = got.json();
    assert_eq!((&json["endpoint"], &json["endpoints"]), (&heavy, &json!([heavy, v6])));

    let segment = host.segment().display().to_string();
    let text = host.run(&["get", "orders", "--segment", &segment]).stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "a line for the service and one for each instance: {text}");
    assert!(lines[0].contains("FRESH") && lines[0].contains("10.0.0.9:9009"), "{text}");
    assert!(lines[1].contains("node-1/heavy") && lines[1].contains("[fast, v2]"), "{text}");
    assert!(lines[2].contains("[2001:db8::1]:9001") && lines[2].contains("weight 3"), "{text}");
}

#[test]
fn an_instance_without_an_address_is_at_its_node() {
    let consul = Consul::start(ConsulOptions::new());
    consul.register_ttl("orders", "orders-1", "", 9001);
    let host = Host::new();
    let _agent = host.agent(&config(&consul));
    let got = host.until("orders", "has its instance", SOON, |got| got.code == Some(0));
    assert_eq!(addresses(&got), [format!("{}:9001", consul.http_addr().ip())]);
}

#[test]
fn bad_records_among_good_ones_are_left_out_counted_and_named() {
    let consul = Consul::start(ConsulOptions::new());
    for (id, address, port) in [
        ("good-1", "10.0.0.1", 9001),
        ("good-2", "10.0.0.2", 9002),
        ("no-port", "10.0.0.3", 0),
        ("a-host-name", "db.example", 9004),
        // The smaller id of the two stays.
        ("twice-of-good-1", "10.0.0.1", 9001),
    ] {
        consul.register_ttl("orders", id, address, port);
    }
    let host = Host::new();
    let agent = host.agent(&config(&consul));
    let got = host.until("orders", "has the good instances", SOON, |got| addresses(got).len() == 2);
    assert_eq!(addresses(&got), ["10.0.0.1:9001", "10.0.0.2:9002"]);
    let json = got.json();
    assert_eq!((&json["state"], &json["endpoint"]["id"]), (&json!("FRESH"), &json!("node-1/good-1")));

    let segment = Segment::open(host.segment()).expect("the agent's segment");
    let rejected = || segment.reader().source(0).map(|source| source.rejected());
    eventually(SOON, "three records are counted", || rejected() == Some(3));
    let sources = host.sources().json();
    assert_eq!((&sources[0]["source"], &sources[0]["rejected"]), (&json!("consul"), &json!(3)), "{sources}");
    assert_eq!((sources.as_array().map(Vec::len), &sources[0]["reason"]), (Some(1), &json!("none")));
    let log = agent.stderr();
    for (id, why) in [
        ("node-1/no-port", "port 0"),
        ("node-1/a-host-name", "\"db.example\" is not an IP address"),
        ("node-1/twice-of-good-1", "a second instance at 10.0.0.1:9001"),
    ] {
        let named = log.lines().any(|line| {
            line.contains("a record is left out") && line.contains(&format!("{id:?}")) && line.contains(why)
        });
        assert!(named, "{id} is not named with {why:?}{}", agent.logs());
    }

    consul.register_ttl("orders", "a-host-name", "10.0.0.4", 9004);
    host.until("orders", "shows the record that was put right", SOON, |got| addresses(got).len() == 3);
    eventually(SOON, "two records are counted", || rejected() == Some(2));
}

#[test]
fn a_service_of_bad_records_alone_is_not_empty() {
    let (consul, host, _agent) = three_instances();
    for number in 1..=3 {
        consul.register_ttl("orders", &format!("orders-{number}"), "db.example", 9000 + number);
    }
    let got = host.until("orders", "says why it stands", SOON, |got| got.json()["reason"] == "bad-records");
    let json = got.json();
    assert_eq!((got.code, &json["state"]), (Some(0), &json!("STALE")), "{json}");
    assert!(!addresses(&got).is_empty(), "the last good set stands: {json}");
}

#[test]
fn each_end_has_its_exit_code() {
    let host = Host::new();
    let none = host.get("orders");
    assert_eq!(none.code, Some(5), "no segment: {}", none.stderr);
    assert!(none.stderr.contains("is an agent running?"), "{}", none.stderr);
    assert_eq!((host.list().code, host.run(&["get"]).code), (Some(5), Some(2)));
    std::fs::write(host.segment(), vec![7; 1 << 16]).expect("a file in the test's own directory");
    let garbage = host.get("orders");
    assert_eq!(garbage.code, Some(5), "not a segment: {}", garbage.stderr);
    std::fs::remove_file(host.segment()).expect("the file just made");

    let consul = Consul::start(ConsulOptions::new());
    consul.register_ttl("orders", "orders-1", "10.0.0.1", 9001);
    consul.register_ttl("alerts", "alerts-1", "10.0.1.1", 9001);
    let agent = host.agent(&config(&consul));
    host.until("orders", "has its instance", SOON, |got| got.code == Some(0));
    host.until("alerts", "has its instance", SOON, |got| got.code == Some(0));
    let unknown = host.get("nobody");
    assert_eq!(unknown.code, Some(3), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("\"nobody\""), "{}", unknown.stderr);
    consul.deregister("orders-1");
    let empty = host.until("orders", "is empty", SOON, |got| got.code == Some(4));
    let json = empty.json();
    assert_eq!(
        (&json["state"], &json["reason"], &json["endpoint"], &json["endpoints"]),
        (&json!("EMPTY"), &json!("none"), &Value::Null, &json!([]))
    );

    let list = host.list();
    let names: Vec<Value> =
        list.json().as_array().expect("a list").iter().map(|s| s["service"].clone()).collect();
    assert_eq!((list.code, names), (Some(0), vec![json!("alerts"), json!("orders")]));
    assert!(agent.is_running());
}

#[test]
fn watch_prints_a_line_for_each_change() {
    let (consul, host, _agent) = three_instances();
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
    consul.fail("orders-3");
    assert_eq!(after(2, "one failed"), Some(2));
    consul.pass("orders-3");
    assert_eq!(after(3, "it passes again"), Some(3));
    consul.register_ttl("orders", "orders-4", "10.0.0.4", 9004);
    assert_eq!(after(4, "one came"), Some(4));
    let generations: Vec<u64> = lines().iter().filter_map(|line| line["generation"].as_u64()).collect();
    assert!(generations.is_sorted_by(|a, b| a < b) && generations.len() == 4, "{generations:?}");

    let nobody = host.watch("nobody");
    eventually(SOON, "it says that nobody is unknown", || nobody.stdout().contains("UNKNOWN"));
    consul.register_ttl("nobody", "nobody-1", "10.0.2.1", 9001);
    eventually(SOON, "it sees nobody come", || nobody.stdout().contains("10.0.2.1"));
}
