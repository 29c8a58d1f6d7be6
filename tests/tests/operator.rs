//! The operator's hand: what is killed is in no answer, whatever the registry says or holds, until it is allowed or its time is over.

use std::net::SocketAddr;
use std::time::Duration;

use resolver_core::pick::{Failover, Maglev, Random, Rendezvous, RoundRobin, Smooth, Weighted};
use resolver_core::{Endpoint, Segment};
use resolver_tests::{Consul, ConsulOptions, Host, Process, Ran, eventually};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

fn config(consul: &Consul) -> String {
    format!("[[source]]\nname = \"consul\"\nkind = \"consul\"\naddress = \"{}\"\n", consul.url())
}

fn register(consul: &Consul, service: &str, numbers: std::ops::RangeInclusive<u16>) {
    for number in numbers {
        consul.register_ttl(
            service,
            &format!("{service}-{number}"),
            &format!("10.0.0.{number}"),
            9000 + number,
        );
    }
}

/// A Consul with three instances of `orders`, and an agent that has published them, with a view that has every table.
fn scene(options: ConsulOptions) -> (Consul, Host, Process) {
    let consul = Consul::start(options);
    register(&consul, "orders", 1..=3);
    let host = Host::new();
    let view = "[[view]]\nname = \"orders\"\nsource = \"consul\"\nsmooth = true\nmaglev = 1000\n";
    let agent = host.agent(&(config(&consul) + view));
    host.until("orders", "is fresh", SOON, |got| {
        got.json()["state"] == "FRESH" && ports(got) == [9001, 9002, 9003]
    });
    (consul, host, agent)
}

fn ports(got: &Ran) -> Vec<u64> {
    let json = got.json();
    json["endpoints"]
        .as_array()
        .map_or(Vec::new(), |all| all.iter().filter_map(|one| one["port"].as_u64()).collect())
}

fn order(host: &Host, args: &[&str]) -> Ran {
    let segment = host.segment().display().to_string();
    host.run(&[args, &["--segment", &segment, "--json"]].concat())
}

fn kill(host: &Host, args: &[&str]) -> Ran {
    let ran = order(host, &[&["kill"], args].concat());
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    ran
}

/// Every way to pick, many times over: where each answer is.
fn all_picks(host: &Host) -> std::collections::BTreeSet<u16> {
    let segment = Segment::open(host.segment()).expect("the agent's segment");
    let reader = segment.reader();
    let orders = reader.service("orders").expect("a view");
    let mut ports = std::collections::BTreeSet::new();
    let mut see = |place: SocketAddr| {
        ports.insert(place.port());
    };
    let place = |endpoint: Endpoint| endpoint.address().socket_addr();
    let (mut random, mut weighted) = (Random::new(1), Weighted::new(1));
    let (mut robin, mut smooth, mut maglev) = (RoundRobin::from(0), Smooth::new(), Maglev::new());
    see(reader.cached(orders).resolve(&reader).expect("resolved").address().socket_addr());
    for key in 0..500 {
        see(reader.resolve(orders).expect("resolved").address().socket_addr());
        see(place(random.pick(&reader, orders).expect("picked")));
        see(place(weighted.pick(&reader, orders).expect("picked")));
        see(place(robin.pick(&reader, orders).expect("picked")));
        see(place(smooth.pick(&reader, orders).expect("picked")));
        see(place(maglev.pick(&reader, orders, key).expect("picked")));
        see(place(Rendezvous::pick(&reader, orders, key).expect("picked")));
    }
    let mut failover = Failover::new();
    while let Ok(endpoint) = failover.pick(&reader, orders) {
        see(place(endpoint));
        failover.failed();
    }
    ports
}

#[test]
fn what_is_killed_is_in_no_answer_until_it_is_allowed() {
    let (consul, host, _agent) = scene(ConsulOptions::new());
    assert_eq!(all_picks(&host), [9001, 9002, 9003].into());
    let ran = kill(&host, &["10.0.0.1:9001", "--reason", "wrong fills"]);
    // The answer came after it was done.
    assert_eq!(ports(&host.get("orders")), [9002, 9003]);
    assert_eq!(all_picks(&host), [9002, 9003].into());
    assert_eq!(ran.json()["services"], json!([{ "service": "orders", "endpoints_left": 2 }]));

    // Whatever the registry says of it.
    register(&consul, "orders", 4..=4);
    host.until("orders", "has the newcomer", SOON, |got| ports(got) == [9002, 9003, 9004]);
    consul.deregister("orders-1");
    register(&consul, "orders", 5..=5);
    host.until("orders", "has the next", SOON, |got| ports(got).contains(&9005));
    register(&consul, "orders", 1..=1);
    register(&consul, "orders", 6..=6);
    host.until("orders", "has the last", SOON, |got| ports(got).contains(&9006));
    assert!(!ports(&host.get("orders")).contains(&9001));

    let kills = order(&host, &["kills"]).json();
    let (listed, reason) = (&kills["kills"][0]["endpoint"], &kills["kills"][0]["reason"]);
    assert_eq!((listed, reason), (&json!("10.0.0.1:9001"), &json!("wrong fills")), "{kills}");
    let ran = order(&host, &["allow", "10.0.0.1:9001"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ports(&host.get("orders")).contains(&9001), "the registry need not say it again");
    let again = order(&host, &["allow", "10.0.0.1:9001"]);
    assert_eq!(again.code, Some(1), "{}", again.stdout);
    assert!(again.stderr.contains("is not out"), "{}", again.stderr);
    let segment = host.segment().display().to_string();
    let counters = &host.run(&["segment", "stat", &segment, "--json"]).json()["counters"];
    eventually(SOON, "it is counted", || {
        let counters = &host.run(&["segment", "stat", &segment, "--json"]).json()["counters"];
        (&counters["kills"], &counters["allows"]) == (&json!(1), &json!(1))
    });
    assert!(counters["publications"].as_u64() > Some(0));
}

#[test]
fn a_kill_outlives_the_segment() {
    let (consul, host, _agent) = scene(ConsulOptions::new());
    kill(&host, &["10.0.0.1:9001"]);
    // All that the agent has in memory's file system: the segment, what is out, the socket.
    let directory = host.segment();
    for entry in std::fs::read_dir(directory.parent().expect("a directory")).expect("it is there").flatten() {
        std::fs::remove_file(entry.path()).expect("a file of the agent's");
    }
    host.until("orders", "is published anew", SOON, |got| {
        assert!(!ports(got).contains(&9001), "{}", got.stdout);
        ports(got) == [9002, 9003]
    });
    register(&consul, "orders", 4..=4);
    host.until("orders", "goes on", SOON, |got| ports(got) == [9002, 9003, 9004]);
    eventually(SOON, "operators can ask again", || order(&host, &["kills"]).code == Some(0));
    assert_eq!(order(&host, &["kills"]).json()["kills"].as_array().map(Vec::len), Some(1));
    assert_eq!(order(&host, &["allow", "10.0.0.1:9001"]).code, Some(0));
    assert_eq!(ports(&host.get("orders")).len(), 4);
}

#[test]
fn a_kill_is_over_after_its_time() {
    let (_consul, host, _agent) = scene(ConsulOptions::new());
    kill(&host, &["node-1/orders-2", "--for", "2s"]);
    assert_eq!(ports(&host.get("orders")), [9001, 9003]);
    host.until("orders", "has it again", SOON, |got| ports(got) == [9001, 9002, 9003]);
    assert_eq!(order(&host, &["kills"]).json()["kills"], json!([]));
    for (time, words) in
        [("25h", "the longest that [control] allows"), ("0s", "a whole number with its unit")]
    {
        let refused = order(&host, &["kill", "10.0.0.1:9001", "--for", time]);
        assert!(refused.code == Some(1) || refused.code == Some(2), "{time}");
        assert!(refused.stderr.contains(words), "{time}: {}", refused.stderr);
    }
    assert_eq!(ports(&host.get("orders")).len(), 3);
}

const READ: &str = r#"service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;
const NOTHING: &str = r#"key_prefix "" { policy = "read" }"#;

#[test]
fn a_kill_passes_a_hold_and_outlives_its_agent() {
    let consul = Consul::start(ConsulOptions::new().acl());
    register(&consul, "orders", 1..=3);
    consul.set_policy("agent", READ);
    let host = Host::new();
    let token = host.dir().join("token");
    std::fs::write(&token, consul.create_token(&["agent"])).expect("a file");
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("ours");
    let agent = host.agent(&(config(&consul) + &format!("token_file = \"{}\"\n", token.display())));
    host.until("orders", "is fresh", SOON, |got| got.json()["state"] == "FRESH" && ports(got).len() == 3);

    // The token loses its rights, so the last good set is held.
    consul.set_policy("agent", NOTHING);
    let held = |got: &Ran| got.json()["reason"] == "acl" && got.json()["state"] == "STALE";
    host.until("orders", "is held", 2 * SOON, held);
    kill(&host, &["10.0.0.1:9001"]);
    let got = host.get("orders");
    assert!(held(&got) && ports(&got) == [9002, 9003], "{}", got.stdout);

    agent.kill();
    agent.start_again();
    host.until("orders", "is the new agent's", SOON, |got| {
        got.json()["state"] == "STALE" && got.json()["reason"] != "silent"
    });
    assert_eq!(ports(&host.get("orders")), [9002, 9003]);
    assert_eq!(order(&host, &["kills"]).json()["kills"].as_array().map(Vec::len), Some(1));
    // Without a word of the registry since this agent is there, one more.
    kill(&host, &["node-1/orders-2"]);
    let got = host.get("orders");
    assert_eq!((ports(&got), &got.json()["state"]), (vec![9003], &json!("STALE")), "{}", got.stdout);
    order(&host, &["allow", "node-1/orders-2"]);
    assert_eq!(ports(&host.get("orders")), [9002, 9003], "what a predecessor left is known");

    consul.set_policy("agent", READ);
    register(&consul, "orders", 4..=4);
    host.until("orders", "is the registry's again", 2 * SOON, |got| {
        assert!(!ports(got).contains(&9001), "{}", got.stdout);
        ports(got) == [9002, 9003, 9004] && got.json()["state"] == "FRESH"
    });
    order(&host, &["allow", "10.0.0.1:9001"]);
    assert_eq!(ports(&host.get("orders")), [9001, 9002, 9003, 9004]);
}

#[test]
fn a_kill_that_empties_a_service_is_done_and_says_so() {
    let (_consul, host, _agent) = scene(ConsulOptions::new());
    for number in 1..=2 {
        kill(&host, &[&format!("10.0.0.{number}:900{number}"), "--service", "orders"]);
    }
    let ran = kill(&host, &["10.0.0.3:9003"]);
    let json = ran.json();
    assert!(json["notes"].to_string().contains("orders is EMPTY now"), "{json}");
    let got = host.get("orders");
    assert_eq!(
        (got.code, &got.json()["state"], &got.json()["reason"]),
        (Some(4), &json!("EMPTY"), &json!("killed"))
    );
    assert_eq!(order(&host, &["allow", "10.0.0.2:9002", "--service", "orders"]).code, Some(0));
    let got = host.get("orders");
    assert_eq!((got.json()["state"].clone(), ports(&got)), (json!("FRESH"), vec![9002]));
}

#[test]
fn who_asks_where_nobody_listens_is_told_and_a_typing_error_is_too() {
    let host = Host::new();
    let absent = order(&host, &["kill", "10.0.0.1:9001"]);
    assert_eq!(absent.code, Some(5), "{}", absent.stdout);
    assert!(absent.stderr.contains("no agent listens at"), "{}", absent.stderr);
    drop(host);
    let (_consul, host, agent) = scene(ConsulOptions::new());
    let nobody = order(&host, &["kill", "10.0.0.1:9999"]);
    assert_eq!(nobody.code, Some(4), "{}", nobody.stdout);
    assert!(nobody.stderr.contains("no service has this endpoint now"), "{}", nobody.stderr);
    let unknown = order(&host, &["kill", "10.0.0.1:9001", "--service", "order"]);
    assert!(unknown.stdout.contains("there is no service \\\"order\\\" now"), "{}", unknown.stdout);
    assert_eq!(ports(&host.get("orders")).len(), 3);

    // What was killed is not let in by a file that cannot be read.
    kill(&host, &["10.0.0.2:9002"]);
    agent.kill();
    let kills = host.segment().display().to_string() + ".kills";
    let mut bytes = std::fs::read(&kills).expect("they are kept beside the segment");
    let last = bytes.len() - 5;
    bytes[last] ^= 1;
    std::fs::write(&kills, bytes).expect("ours");
    agent.start_again();
    assert_eq!(agent.exit(SOON).code(), Some(2), "{}", agent.stderr());
    assert!(agent.stderr().contains("what an operator took out is not known"), "{}", agent.stderr());
    assert_eq!(ports(&host.get("orders")), [9001, 9003], "what stands, stands");
}

#[test]
fn the_log_of_errors_names_bad_records_and_no_token() {
    let consul = Consul::start(ConsulOptions::new().acl());
    let host = Host::new();
    let token = host.dir().join("token");
    std::fs::write(&token, "canary-5f1d-no-such-token\n").expect("a file");
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("ours");
    let _agent = host.agent(
        &(config(&consul) + &format!("token_file = \"{}\"\nservices = [\"orders\"]\n", token.display())),
    );
    let segment = host.segment().display().to_string();
    let errors = || host.run(&["segment", "errors", &segment, "--json"]);
    let has = |kinds: &[&str]| {
        let json = errors().json();
        let is = |error: &Value| kinds.iter().any(|kind| error["kind"] == *kind);
        json["errors"].as_array().is_some_and(|errors| errors.iter().any(is))
    };
    eventually(SOON, "the refusal is noted", || has(&["contact-lost", "doubt", "hold"]));
    let said = errors().stdout + &host.run(&["segment", "dump", &segment]).stdout;
    assert!(!said.contains("canary"), "{said}");
    let bytes = std::fs::read(host.segment()).expect("the segment");
    assert!(!bytes.windows(6).any(|window| window == b"canary"), "nor is it anywhere in the segment");

    // A record that cannot be used, again and again: one entry, and a count.
    let (consul, host, _agent) = scene(ConsulOptions::new());
    let segment = host.segment().display().to_string();
    let bad = |host: &Host| {
        let json = host.run(&["segment", "errors", &segment, "--json"]).json();
        let errors = json["errors"].as_array().cloned().unwrap_or_default();
        let bad: Vec<Value> = errors.into_iter().filter(|error| error["kind"] == "bad-record").collect();
        (bad.len(), bad.first().map_or(0, |bad| bad["count"].as_u64().unwrap_or(0)), bad)
    };
    for port in [0, 70_000] {
        consul.register(&json!({ "Name": "orders", "ID": "orders-9", "Address": "db.example", "Port": 9000 + port % 1000 }));
        eventually(SOON, "it is noted", || bad(&host).0 == 1);
    }
    let (_, _, errors) = bad(&host);
    assert_eq!(errors[0]["about"], "consul/orders", "{errors:?}");
    assert!(errors[0]["words"].as_str().is_some_and(|words| words.contains("db.example")), "{errors:?}");
    consul.deregister("orders-9");
    consul.register_ttl("orders", "orders-8", "10.0.0.8", 9008);
    host.until("orders", "is without it", SOON, |got| ports(got).contains(&9008));
    consul.register(&json!({ "Name": "orders", "ID": "orders-9", "Address": "db.example", "Port": 9000 }));
    eventually(SOON, "the same again is counted", || bad(&host).1 >= 2);
    assert_eq!(bad(&host).0, 1, "{:?}", bad(&host));
}
