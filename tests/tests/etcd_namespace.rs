//! A namespace of an etcd cluster: it stands before every key of services, settings, registrations and commands, and is shown
//! in none.

use std::time::Duration;

use resolver_sync::etcd::EtcdConfig;
use resolver_sync::register::{Registrar, Registration, Status};
use resolver_tests::{Etcd, EtcdOptions, Host, Ran, eventually};
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);
/// As it goes with prefixes and keys that begin with a slash, and with those that do not: nothing is put between.
const HOUSE: &str = "/desk-a";
const DESK: &str = "/desk-a/";

fn kv(host: &Host, etcd: &Etcd, namespace: &str, args: &[&str]) -> Ran {
    let url = etcd.url();
    let mut all = vec!["kv", "--etcd", &url];
    if !namespace.is_empty() {
        all.extend(["--namespace", namespace]);
    }
    all.extend(args);
    host.run(&all)
}

/// What stands under a key in the whole cluster.
fn raw(etcd: &Etcd, key: &str) -> String {
    etcd.etcdctl(&["get", "--print-value-only", "--", key]).trim_end().to_owned()
}

#[test]
fn services_settings_and_registrations_of_a_source_are_in_its_namespace() {
    let etcd = Etcd::start(EtcdOptions::new());
    let host = Host::new();
    // Where it would be without, and in another one.
    etcd.put("/config/max_position", "1");
    etcd.put("/desk-b/config/max_position", "2");
    etcd.put("/services/orders/1", "10.9.9.9:1");
    let _agent = host.agent(&format!(
        "[[source]]\nname = \"e\"\nkind = \"etcd\"\nendpoints = [\"{}\"]\nnamespace = \"{HOUSE}\"\n\
         [[setting]]\nname = \"max_position\"\nsource = \"e\"\nkey = \"/config/max_position\"\ntype = \"i64\"\n\
         on_delete = \"unset\"\n",
        etcd.url()
    ));
    let segment = host.segment().display().to_string();
    let setting = || host.run(&["setting", "max_position", "--json", "--segment", &segment]).json();
    eventually(SOON, "there is none in here", || setting()["state"] == "NEVER");
    etcd.put("/desk-a/config/max_position", "3");
    eventually(SOON, "the one in here", || setting()["value"] == json!(3));
    etcd.put("/config/max_position", "4");
    etcd.put("/desk-a/config/max_position", "5");
    eventually(SOON, "its change", || setting()["value"] == json!(5));
    etcd.del("/desk-a/config/max_position");
    eventually(SOON, "it is gone, by a second read in here", || setting()["state"] == "EMPTY");

    let url = etcd.url();
    let args =
        ["register", "orders", "--port", "9001", "--id", "orders-1", "--address", "10.0.0.1", "--etcd", &url];
    let own = host.start(&[&args[..], &["--namespace", HOUSE]].concat());
    host.until("orders", "has what is registered in here", SOON, |got| {
        let json = got.json();
        json["endpoint"]["address"] == "10.0.0.1" && json["endpoints"].as_array().map(Vec::len) == Some(1)
    });
    assert!(raw(&etcd, "/desk-a/services/orders/orders-1").contains("10.0.0.1"));
    assert_eq!(raw(&etcd, "/services/orders/orders-1"), "");
    assert_eq!(own.terminate(SOON).code(), Some(0), "{}", own.logs());
    assert_eq!(raw(&etcd, "/desk-a/services/orders/orders-1"), "");
    assert!(!own.stderr().contains("desk-a"), "{}", own.stderr());
}

#[test]
fn a_registration_is_read_back_in_its_namespace() {
    let etcd = Etcd::start(EtcdOptions::new());
    // Another's, where it would be without.
    etcd.put("/services/orders/orders-1", "10.9.9.9:1");
    let config = EtcdConfig { endpoints: vec![etcd.url()], namespace: HOUSE.into(), ..EtcdConfig::default() };
    let orders = Registration::new("orders", 9001).id("orders-1").address([10, 0, 0, 1].into());
    let registered = Registrar::etcd(config)
        .expect("a good configuration")
        .register(orders.ttl(Duration::from_secs(6)), SOON)
        .expect("a free id");
    eventually(SOON, "two looks at it", || registered.counts().beats >= 2);
    assert_eq!((registered.status(), registered.counts().registrations), (Status::Registered, 1));
    etcd.del("/desk-a/services/orders/orders-1");
    eventually(SOON, "it is there again", || {
        raw(&etcd, "/desk-a/services/orders/orders-1").contains("10.0.0.1")
    });
    drop(registered);
    assert_eq!(raw(&etcd, "/desk-a/services/orders/orders-1"), "");
    assert_eq!(raw(&etcd, "/services/orders/orders-1"), "10.9.9.9:1");
}

#[test]
fn every_command_for_keys_stays_in_its_namespace() {
    let etcd = Etcd::start(EtcdOptions::new());
    let host = Host::new();
    etcd.put("config/a", "outside");
    // The namespace alone is no key of it, and neither is what only begins like it.
    etcd.put(DESK, "no name");
    etcd.put("/desk-ab", "another");
    let url = etcd.url();
    let watch = host.start(&["kv", "--etcd", &url, "--namespace", DESK, "--json", "watch"]);
    eventually(SOON, "the watch stands", || watch.stdout().contains("in-step"));
    let ok = |args: &[&str]| {
        let ran = kv(&host, &etcd, DESK, args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}{}", ran.stdout, ran.stderr);
        ran
    };
    assert_eq!(kv(&host, &etcd, DESK, &["get", "config/a"]).code, Some(6), "there is none in here");
    ok(&["cas", "config/a", "1", "--revision", "0"]);
    assert_eq!((raw(&etcd, "/desk-a/config/a"), raw(&etcd, "config/a")), ("1".into(), "outside".into()));
    let got = ok(&["get", "config/a", "--json"]).json();
    assert_eq!((&got["key"], &got["value"]), (&json!("config/a"), &json!("1")));
    let revision = got["revision"].to_string();
    ok(&["txn", "--if", &format!("config/a={revision}"), "--put", "config/a=2", "--put", "other=3"]);
    for (prefix, keys) in [("config/", json!(["config/a"])), ("", json!(["config/a", "other"]))] {
        let listed = ok(&["list", prefix, "--keys", "--json"]).json();
        assert_eq!(listed["entries"], keys);
    }
    let backup = host.dir().join("backup").display().to_string();
    ok(&["backup", &backup]);
    ok(&["delete", "other"]);
    assert_eq!(raw(&etcd, "/desk-a/other"), "");
    // Into another one: keys are as they are called in here.
    let restored = kv(&host, &etcd, "/desk-b/", &["restore", &backup]);
    assert_eq!(restored.code, Some(0), "{}", restored.stderr);
    assert_eq!((raw(&etcd, "/desk-b/config/a"), raw(&etcd, "/desk-b/other")), ("2".into(), "3".into()));
    eventually(SOON, "the watch has told it all", || watch.stdout().contains("\"deleted\""));
    let told = watch.stdout();
    assert!(told.contains("\"config/a\"") && told.contains("\"other\""), "{told}");
    assert!(!told.contains("desk") && !told.contains("outside"), "{told}");
}
