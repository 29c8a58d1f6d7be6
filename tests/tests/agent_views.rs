//! Views, which fix names for ever, and the file source, which reads its file anew whenever it is written.

use std::path::PathBuf;
use std::time::Duration;

use resolver_core::Segment;
use resolver_tests::{
    Consul, ConsulOptions, Etcd, EtcdOptions, Follower, Host, Place, Process, Ran, eventually,
};
use serde_json::{Value, json};

/// For a change to reach the segment. It takes milliseconds; a machine that is busy building takes longer.
const SOON: Duration = Duration::from_secs(15);

fn ids(got: &Ran) -> Vec<String> {
    let got = got.json();
    let endpoints = got["endpoints"].as_array().cloned().unwrap_or_default();
    endpoints.iter().map(|endpoint| endpoint["id"].as_str().unwrap_or("?").to_owned()).collect()
}

/// A host with a file source; the test writes the file.
struct Files {
    agent: Process,
    file: PathBuf,
    // Dropped after the processes that write there: fields drop in their order.
    host: Host,
}

impl Files {
    fn start(text: &str, views: &str) -> Files {
        let host = Host::new();
        let file = host.dir().join("services.toml");
        std::fs::write(&file, text).expect("a file in the test's own directory");
        let source = format!("[[source]]\nname = \"file\"\nkind = \"file\"\npath = \"{}\"\n", file.display());
        let agent = host.agent(&(source + views));
        eventually(SOON, "the agent publishes", || host.list().code == Some(0));
        Files { host, file, agent }
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.file, text).expect("a file in the test's own directory");
    }

    fn until(&self, name: &str, wanted: &[&str]) -> Ran {
        self.host.until(name, &format!("has {wanted:?}"), SOON, |got| ids(got) == wanted)
    }
}

fn service(name: &str, instances: &[(&str, u16, u32, &[&str])]) -> String {
    let mut text = format!("[[service]]\nname = \"{name}\"\n");
    for (id, port, weight, tags) in instances {
        text += &format!(
            "[[service.instance]]\nid = \"{id}\"\naddress = \"10.0.0.1\"\nport = {port}\nweight = {weight}\n\
             tags = {tags:?}\n"
        );
    }
    text
}

#[test]
fn views_choose_by_tags_and_only_they_are_published() {
    let both = [("a", 1, 1, &["v1", "fast"][..]), ("b", 2, 1, &["v2"]), ("c", 3, 1, &["v2", "fast"])];
    let views = "[[view]]\nname = \"orders\"\nsource = \"file\"\n\
                 [[view]]\nname = \"orders-v2\"\nsource = \"file\"\nservice = \"orders\"\ntags = [\"v2\"]\n\
                 [[view]]\nname = \"orders-v2-fast\"\nsource = \"file\"\nservice = \"orders\"\ntags = [\"fast\", \"v2\"]\n\
                 [[view]]\nname = \"orders-v3\"\nsource = \"file\"\nservice = \"orders\"\ntags = [\"v3\"]\n";
    let text = service("orders", &both) + &service("alerts", &both);
    let files = Files::start(&text, views);
    files.until("orders", &["a", "b", "c"]);
    files.until("orders-v2", &["b", "c"]);
    files.until("orders-v2-fast", &["c"]);
    let none = files.host.until("orders-v3", "has no instance", SOON, |got| got.json()["state"] == "EMPTY");
    assert_eq!(none.code, Some(4));
    assert_eq!(files.host.get("alerts").code, Some(3), "a service without a view is not published");
    let list = files.host.list().json();
    let names: Vec<&Value> = list.as_array().expect("a list").iter().map(|s| &s["service"]).collect();
    assert_eq!(names, ["orders", "orders-v2", "orders-v2-fast", "orders-v3"]);
}

#[test]
fn a_sticky_view_keeps_its_primary_and_a_primary_view_takes_the_heaviest() {
    let views = "[[view]]\nname = \"sticky\"\nsource = \"file\"\nservice = \"orders\"\npolicy = \"sticky\"\n\
                 [[view]]\nname = \"primary\"\nsource = \"file\"\nservice = \"orders\"\npolicy = \"primary\"\n";
    let (a, b, c): (_, _, (_, _, _, &[&str])) =
        (("a", 1, 5, &[][..]), ("b", 2, 1, &[][..]), ("c", 3, 9, &[]));
    let files = Files::start(&service("orders", &[a, b]), views);
    files.until("sticky", &["a", "b"]);
    files.until("primary", &["a", "b"]);
    files.write(&service("orders", &[a, b, c]));
    files.until("primary", &["c", "a", "b"]);
    files.until("sticky", &["a", "c", "b"]);
    files.write(&service("orders", &[b, c]));
    files.until("sticky", &["c", "b"]);
    // It is the table's primary that sticks, so it sticks over a restart as well.
    files.write(&service("orders", &[b, c, ("d", 4, 99, &[])]));
    files.until("sticky", &["c", "d", "b"]);
    files.agent.kill();
    files.agent.start_again();
    files.host.until("sticky", "has the same primary after a restart", SOON, |got| {
        got.json()["state"] == "FRESH" && ids(got) == ["c", "d", "b"]
    });
}

#[test]
fn a_handle_taken_before_the_service_exists_is_good_for_ever() {
    let etcd = Etcd::start(EtcdOptions::new());
    let host = Host::new();
    let _agent = host.agent(&format!(
        "[[source]]\nname = \"etcd\"\nkind = \"etcd\"\nendpoints = [\"{}\"]\n\
         [[view]]\nname = \"orders\"\nsource = \"etcd\"\n",
        etcd.url()
    ));
    let never = host.until("orders", "is known", SOON, |got| got.code == Some(4)).json();
    assert_eq!(
        (&never["state"], &never["source"], &never["age_ms"], &never["endpoint"]),
        (&json!("NEVER"), &json!(""), &Value::Null, &Value::Null)
    );
    let follower = Follower::start(env!("CARGO_BIN_EXE_follow"), &host, "orders");
    let first = follower.until("it has the handle", SOON, |said| said["why"] == "Never");

    let mut generation = 0;
    for round in 0..3 {
        for instance in 1..=2 {
            etcd.put(&format!("/services/orders/{instance}"), Place::new(instance, round).etcd());
        }
        let there =
            follower.until("it sees the service", SOON, |said| said["length"] == 2 && said["why"].is_null());
        assert_eq!((&there["handle"], &there["state"]), (&first["handle"], &json!("FRESH")));
        let now = there["generation"].as_u64().expect("a generation");
        assert!(now > generation, "generations grow: {now} after {generation}");
        generation = now;
        etcd.etcdctl(&["del", "--prefix", "/services/orders/"]);
        let gone = follower.until("it sees the service go", SOON, |said| said["why"] == "Empty");
        assert_eq!((&gone["handle"], &gone["state"]), (&first["handle"], &json!("EMPTY")));
        assert_eq!(host.get("orders").code, Some(4));
    }
    follower.assert_whole();
    assert_eq!(follower.last()["gone"], 0, "the handle is never gone");
}

#[test]
fn a_view_of_a_service_that_consul_does_not_know_has_no_endpoint() {
    let consul = Consul::start(ConsulOptions::new());
    let host = Host::new();
    let _agent = host.agent(&format!(
        "[[source]]\nname = \"consul\"\nkind = \"consul\"\naddress = \"{}\"\n\
         [[view]]\nname = \"oms\"\nsource = \"consul\"\nservice = \"orders\"\ntags = [\"v2\"]\n",
        consul.url()
    ));
    // Consul answers for services that it does not have, so the view is soon EMPTY: confirmed by a second read.
    let none = host.until("oms", "is empty", SOON, |got| got.json()["state"] == "EMPTY");
    assert_eq!(none.code, Some(4));
    for (id, tag) in [("old", "v1"), ("new", "v2")] {
        consul.register(
            &json!({ "Name": "orders", "ID": id, "Address": "10.0.0.1", "Port": 9001, "Tags": [tag] }),
        );
        consul.register(
            &json!({ "Name": "alerts", "ID": format!("alerts-{id}"), "Address": "10.0.0.1", "Port": 9002 }),
        );
    }
    // Both are at one address: the one with the smaller id stays, before the view looks at tags.
    consul.register(
        &json!({ "Name": "orders", "ID": "old", "Address": "10.0.0.2", "Port": 9001, "Tags": ["v1"] }),
    );
    host.until("oms", "has the instance with its tag", SOON, |got| ids(got) == ["node-1/new"]);
    assert_eq!(host.get("alerts").code, Some(3));
}

#[test]
fn a_file_is_read_anew_when_it_is_written_or_renamed_over() {
    let one: (_, _, _, &[&str]) = ("a", 1, 1, &[]);
    let two: (_, _, _, &[&str]) = ("b", 2, 1, &[]);
    let files = Files::start(&service("orders", &[one]), "");
    files.until("orders", &["a"]);
    files.write(&service("orders", &[one, two]));
    files.until("orders", &["a", "b"]);
    let beside = files.file.with_extension("new");
    std::fs::write(&beside, service("orders", &[two])).expect("a file in the test's own directory");
    std::fs::rename(&beside, &files.file).expect("in one directory");
    files.until("orders", &["b"]);

    // A mistake: the last good set stands, and why is said.
    files.write("[[service]]\nname = \"orders\"\n[[service.instance]]\nid = 7\n");
    let held = files.host.until("orders", "says that it stands", SOON, |got| got.json()["state"] == "STALE");
    assert_eq!(
        (held.code, ids(&held), &held.json()["reason"]),
        (Some(0), vec!["b".into()], &json!("bad-answer"))
    );
    let log = files.agent.stderr();
    assert!(log.contains("services.toml") && log.contains("line 4"), "{log}");
    files.write(&service("orders", &[one, two]));
    let again = files.until("orders", &["a", "b"]);
    assert_eq!(again.json()["state"], "FRESH");

    files.write("service = []\n");
    let empty = files.host.until("orders", "is empty", SOON, |got| got.code == Some(4));
    assert_eq!(empty.json()["state"], "EMPTY");
}

#[test]
fn each_bad_record_is_named_also_when_their_number_stays() {
    let good: (_, _, _, &[&str]) = ("good", 1, 1, &[]);
    let files = Files::start(&service("orders", &[good, ("first-bad", 0, 1, &[])]), "");
    files.until("orders", &["good"]);
    let segment = Segment::open(files.host.segment()).expect("the agent's segment");
    let rejected = || segment.reader().source(0).map(|source| source.rejected());
    eventually(SOON, "it is counted", || rejected() == Some(1));
    let named = |id: &str| files.agent.stderr().lines().filter(|line| line.contains(id)).count();
    assert_eq!((named("first-bad"), named("second-bad")), (1, 0));
    files.write(&service("orders", &[good, ("second-bad", 0, 1, &[])]));
    eventually(SOON, "the other one is named", || named("second-bad") == 1);
    assert_eq!((named("first-bad"), rejected()), (1, Some(1)), "each is named once");
}

#[test]
fn a_view_keeps_its_handle_and_its_set_when_another_source_is_put_behind_it() {
    let host = Host::new();
    let write = |name: &str, moves: u16| {
        let place = Place::new(1, moves);
        let instance = json!({
            "id": "1", "address": place.address(), "port": place.port(), "weight": place.weight(),
        });
        let text = json!({ "service": [{ "name": "orders", "instance": [instance] }] }).to_string();
        std::fs::write(host.dir().join(name), text).expect("a file in the test's own directory");
    };
    let config = |view: &str| {
        let source = |name: &str| {
            let path = host.dir().join(name);
            format!("[[source]]\nname = \"{name}\"\nkind = \"file\"\npath = \"{}\"\n", path.display())
        };
        let view = format!("[[view]]\nname = \"oms\"\nsource = \"{view}\"\nservice = \"orders\"\n");
        source("old.json") + &source("new.json") + &view
    };
    write("old.json", 1);
    let agent = host.agent(&config("old.json"));
    host.until("oms", "has its instance", SOON, |got| got.code == Some(0));
    let follower = Follower::start(env!("CARGO_BIN_EXE_follow"), &host, "oms");
    let before = follower.until("it resolves", SOON, |said| said["length"] == 1);

    // The other source's file is not there yet: what stands is from before.
    agent.kill();
    host.configuration(&config("new.json"));
    agent.start_again();
    let stands =
        follower.until("the new agent beats", SOON, |said| said["owner"] == 2 && said["live"] == true);
    assert_eq!(
        (&stands["state"], &stands["endpoint"], &stands["handle"]),
        (&json!("STALE"), &before["endpoint"], &before["handle"])
    );
    write("new.json", 2);
    let moved = follower.until("it sees the other source's set", SOON, |said| said["state"] == "FRESH");
    assert_eq!(moved["endpoint"], format!("{}:{}", Place::new(1, 2).address(), Place::new(1, 2).port()));
    assert_eq!(host.get("oms").json()["source"], "new.json");
    follower.assert_whole();
    assert_eq!((follower.since(&before, "gone"), follower.since(&before, "empty")), (0, 0));
}

#[test]
fn a_view_whose_registry_was_never_reached_says_so() {
    let host = Host::new();
    // Nobody listens on this port.
    let _agent = host.agent(
        "[sync]\nstale_after_ms = 1000\n\
         [[source]]\nname = \"consul\"\nkind = \"consul\"\naddress = \"127.0.0.1:1\"\n\
         [[source]]\nname = \"etcd\"\nkind = \"etcd\"\nendpoints = [\"http://127.0.0.1:1\"]\n\
         [[view]]\nname = \"one\"\nsource = \"consul\"\n[[view]]\nname = \"two\"\nsource = \"etcd\"\n",
    );
    for view in ["one", "two"] {
        let got = host.until(view, "says why", SOON, |got| got.json()["reason"] == "unreachable");
        assert_eq!((got.code, &got.json()["state"]), (Some(4), &json!("NEVER")));
    }
}
