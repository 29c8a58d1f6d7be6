//! `resolver kv` on the real registries, as a user runs it: what one writes the others' tools read, and the reverse.

mod scene;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use resolver_sync::etcd::{EtcdConfig, EtcdKv};
use resolver_sync::kv::Kv;
use resolver_tests::{Consul, ConsulOptions, Host, Process, Registry, eventually, until};
use serde_json::{Value, json};

use scene::{Scene, both};

const SOON: Duration = Duration::from_secs(15);

#[test]
fn keys_are_written_read_compared_and_deleted() {
    both(|scene| {
        assert!(scene.ok(&["put", "config/a", "1000"]).starts_with("done at revision "));
        assert_eq!(scene.get_by_others("config/a").as_deref(), Some(&b"1000"[..]));
        assert_eq!(scene.ok(&["get", "config/a"]), "1000\n");
        assert_eq!(scene.ok(&["get", "config/a", "--raw"]), "1000");
        let first = scene.json(&["get", "config/a"]);
        assert_eq!((&first["key"], &first["value"]), (&json!("config/a"), &json!("1000")));
        let revision = first["revision"].as_u64().expect("a revision").to_string();

        let second = scene.json(&["cas", "config/a", "2000", "--revision", &revision]);
        assert!(second["revision"].as_u64() > first["revision"].as_u64(), "{second}");
        scene.refused(&["cas", "config/a", "3000", "--revision", &revision], 7, "nothing was written");
        scene.refused(&["cas", "config/a", "3000", "--revision", "0"], 7, "nothing was written");
        scene.refused(&["delete", "config/a", "--revision", &revision], 7, "nothing was written");
        assert_eq!(scene.ok(&["get", "config/a"]), "2000\n");
        scene.ok(&["cas", "config/b", "new", "--revision", "0"]);

        scene.put_by_others("config/bytes", b"\xff\x00\n");
        assert_eq!(scene.json(&["get", "config/bytes"])["bytes"], json!([255, 0, 10]));
        scene.put_by_others("configuration", b"no neighbour of config/");
        let list = scene.json(&["list", "config/", "--keys"]);
        assert_eq!(list["entries"], json!(["config/a", "config/b", "config/bytes"]));
        assert!(scene.ok(&["list", "--keys"]).contains("configuration\n"));

        let now = scene.json(&["get", "config/a"])["revision"].as_u64().expect("a revision").to_string();
        scene.ok(&["delete", "config/a", "--revision", &now]);
        scene.ok(&["delete", "config/a"]);
        scene.refused(&["get", "config/a"], 6, "there is no key");
        assert_eq!(scene.get_by_others("config/a"), None);
    });
}

#[test]
fn a_transaction_is_done_whole_or_not_at_all() {
    both(|scene| {
        scene.ok(&["put", "t/a", "1"]);
        let at = |revision: &str| format!("t/a={revision}");
        let revision = scene.json(&["get", "t/a"])["revision"].to_string();
        let good = ["txn", "--if", &at(&revision), "--absent", "t/b", "--put", "t/b=x=y", "--delete", "t/a"];
        let done = scene.json(&good);
        assert_eq!(done["done"], true);
        assert_eq!(scene.ok(&["get", "t/b"]), "x=y\n");
        scene.refused(&["get", "t/a"], 6, "no key");
        scene.refused(
            &["txn", "--absent", "t/b", "--put", "t/c=1", "--put", "t/d=1"],
            7,
            "nothing was written",
        );
        scene.refused(&["txn", "--if", "t/none=7", "--put", "t/c=1"], 7, "nothing was written");
        assert_eq!(scene.json(&["list", "t/", "--keys"])["entries"], json!(["t/b"]));
        // What only one of the registries would refuse.
        scene.refused(&["txn", "--put", "t/c=1", "--put", "t/c=2"], 2, "twice");
        scene.refused(&["txn", "--absent", "t/b"], 2, "does nothing");
        let many: Vec<String> = (0..65).map(|n| format!("--put=t/{n}=x")).collect();
        let many: Vec<&str> = std::iter::once("txn").chain(many.iter().map(String::as_str)).collect();
        scene.refused(&many, 2, "limit of 64");
    });
}

#[test]
fn strange_keys_are_kept_apart_or_refused() {
    both(|scene| {
        let keys =
            ["k/with space", "k/a?b#c", "k/100%25", "k/a&b=c+d", "k/\u{fc}\u{20ac}", "k/\"q\"", "k/a:b@c"];
        for (n, key) in keys.iter().enumerate() {
            scene.ok(&["put", key, &n.to_string()]);
        }
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(scene.ok(&["get", key]), format!("{n}\n"), "{key}");
        }
        let listed = scene.json(&["list", "k/", "--keys"]);
        assert_eq!(listed["entries"].as_array().map(Vec::len), Some(keys.len()), "{listed}");
        scene.refused(&["get", ""], 2, "not empty");
        scene.refused(&["get", "a\nb"], 2, "control characters");
        scene.refused(&["list", "config"], 2, "ends in a slash");
        if let Registry::Consul(_) = &scene.registry {
            for key in ["/k", "k//a", "k/../other", "k/."] {
                scene.refused(&["put", key, "x"], 2, "folds");
            }
        }
    });
}

#[test]
fn large_values_are_refused_when_written_and_when_read() {
    both(|scene| {
        let file = scene.host.dir().join("value");
        let path = file.display().to_string();
        fs::write(&file, vec![b'x'; 64 << 10]).expect("our own file");
        scene.ok(&["put", "v/limit", "--file", &path]);
        fs::write(&file, vec![b'x'; (64 << 10) + 1]).expect("our own file");
        scene.refused(&["put", "v/limit", "--file", &path], 2, "over the limit of 65536");
        assert_eq!(scene.ok(&["get", "v/limit"]).len(), (64 << 10) + 1, "the old value and a new line");
        scene.put_by_others("v/large", &vec![b'y'; 100_000]);
        scene.refused(&["get", "v/large"], 2, "100000 bytes");
        let list = scene.kv(&["list", "v/", "--keys"]);
        assert_eq!((list.stdout.as_str(), list.code), ("v/limit\n", Some(0)));
        assert!(list.stderr.contains("v/large") && list.stderr.contains("100000 bytes"), "{}", list.stderr);
        assert_eq!(scene.ok(&["get", "v/large", "--value-limit", "100000"]).len(), 100_001);
        // A backup without it would be none.
        scene.refused(&["backup", &path, "--prefix", "v/"], 1, "v/large");
    });
}

#[test]
fn a_watch_tells_each_change_and_what_a_restart_brought() {
    for registry in [Registry::etcd(), Registry::consul()] {
        let scene = Scene::new(registry);
        scene.put_by_others("w/a", b"1");
        let (keys, one) = (scene.start(&["watch", "w/"]), scene.start(&["watch", "w/b"]));
        let events = |process: &Process, wanted: &str| -> Vec<String> {
            let lines = process.stdout();
            let events = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let events = events.filter(|event| wanted.contains(event["event"].as_str().unwrap_or("?")));
            events
                .map(|event| {
                    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
                    [text("event"), text("key"), text("value")].join(" ").trim().to_owned()
                })
                .collect()
        };
        let until_is = |process: &Process, wanted: &str, expected: &[&str]| {
            until(SOON, "the events are told", || {
                let told = events(process, wanted);
                if told == expected { Ok(()) } else { Err(format!("{told:?}{}", process.logs())) }
            });
        };
        let changes = "put deleted";
        until_is(&keys, changes, &["put w/a 1"]);
        until_is(&one, changes, &["deleted w/b"]);
        scene.put_by_others("w/b", b"2");
        until_is(&keys, changes, &["put w/a 1", "put w/b 2"]);
        scene.put_by_others("elsewhere", b"0");
        scene.ok(&["delete", "w/a"]);
        until_is(&keys, changes, &["put w/a 1", "put w/b 2", "deleted w/a"]);
        until_is(&one, changes, &["deleted w/b", "put w/b 2"]);

        // Nothing is told of what did not change, however often the registry goes.
        scene.registry.restart();
        scene.put_by_others("w/c", b"3");
        until_is(&keys, changes, &["put w/a 1", "put w/b 2", "deleted w/a", "put w/c 3"]);
        eventually(SOON, "contact is back", || events(&keys, "in-step").len() >= 2);
        assert_eq!(events(&one, changes), ["deleted w/b", "put w/b 2"]);
    }
}

#[test]
fn a_key_goes_with_its_lease_and_stays_while_it_is_kept() {
    both(|scene| {
        scene.refused(&["put", "l/a", "x", "--ttl", "10"], 2, "unit");
        // The least that Consul takes; there it may be twice that late, so that only etcd is waited for.
        let ttl = if scene.registry.name() == "etcd" { "2s" } else { "10s" };
        scene.ok(&["put", "l/once", "x", "--ttl", ttl]);
        assert_eq!(scene.json(&["get", "l/once"])["leased"], true);
        let kept = scene.start(&["put", "l/kept", "x", "--ttl", ttl, "--keep"]);
        let lost = scene.start(&["put", "l/lost", "x", "--ttl", ttl, "--keep"]);
        eventually(SOON, "both are there", || {
            ["l/kept", "l/lost"].iter().all(|key| scene.get_by_others(key).is_some())
        });
        if let Registry::Etcd(_) = &scene.registry {
            eventually(SOON, "the one that nobody keeps goes", || scene.get_by_others("l/once").is_none());
            assert!(scene.get_by_others("l/kept").is_some(), "it was kept");
        }
        match &scene.registry {
            Registry::Etcd(etcd) => {
                let got: Value = serde_json::from_str(&etcd.etcdctl(&["get", "l/lost", "--write-out=json"]))
                    .expect("JSON");
                etcd.revoke(&format!("{:x}", got["kvs"][0]["lease"].as_i64().expect("a lease")));
            }
            Registry::Consul(consul) => {
                let got = consul.get("/v1/kv/l/lost");
                let session = got[0]["Session"].as_str().expect("a session").to_owned();
                let session_is = consul.get(&format!("/v1/session/info/{session}"));
                assert_eq!(
                    (&session_is[0]["Behavior"], &session_is[0]["TTL"]),
                    (&json!("delete"), &json!("10s"))
                );
                consul.put(&format!("/v1/session/destroy/{session}"), &Value::Null);
            }
        }
        assert_eq!(scene.get_by_others("l/lost"), None);
        assert_eq!(lost.exit(SOON).code(), Some(1));
        assert!(lost.stderr().contains("the lease has ended"), "{}", lost.logs());
        assert_eq!(kept.terminate(SOON).code(), Some(0));
        assert_eq!(scene.get_by_others("l/kept"), None, "SIGTERM lets it go at once");
    });
}

#[test]
fn a_backup_goes_from_one_registry_to_the_other() {
    let (from, to) =
        (Scene::new(Registry::etcd()), Scene::new(Registry::Consul(Consul::start(ConsulOptions::new()))));
    from.put_by_others("config/a", b"1");
    from.put_by_others("config/bytes", b"\xff\x00");
    from.put_by_others("config/empty", b"");
    from.put_by_others("/config/rooted", b"Consul cannot have this");
    from.put_by_others("other/a", b"2");
    from.ok(&["put", "config/leased", "x", "--ttl", "1h"]);
    let file = from.host.dir().join("kv.backup");
    let path = file.display().to_string();
    assert!(from.ok(&["backup", &path]).starts_with("6 keys as of revision "));
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);

    to.put_by_others("config/a", b"another");
    let dry = to.ok(&["restore", &path, "--prefix", "config/", "--dry-run"]);
    assert!(dry.contains("2 would be written, 2 skipped, 0 failed"), "{dry}");
    assert_eq!(to.get_by_others("config/empty"), None, "a dry run writes nothing");
    let said = to.ok(&["restore", &path, "--prefix", "config/"]);
    for line in ["kept  config/a", "written  config/bytes", "written  config/empty", "skipped  config/leased"]
    {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(to.get_by_others("config/a").as_deref(), Some(&b"another"[..]));
    assert_eq!(to.get_by_others("config/bytes").as_deref(), Some(&b"\xff\x00"[..]));
    assert_eq!(to.get_by_others("other/a"), None);

    // One key cannot be: said, and the others go on.
    let all = to.kv(&["restore", &path, "--overwrite"]);
    assert_eq!(all.code, Some(1), "{}", all.stdout);
    assert!(all.stdout.contains("failed  /config/rooted"), "{}", all.stdout);
    for line in ["written  config/a", "same  config/bytes", "written  other/a"] {
        assert!(all.stdout.contains(line), "{line}: {}", all.stdout);
    }
    assert_eq!(to.get_by_others("config/a").as_deref(), Some(&b"1"[..]));

    let mut bytes = fs::read(&file).expect("it is there");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&file, &bytes).expect("our own file");
    to.ok(&["delete", "other/a"]);
    to.refused(&["restore", &path], 1, "nothing is restored");
    assert_eq!(to.get_by_others("other/a"), None);
}

#[test]
fn a_registry_that_is_not_there_is_an_error_soon_and_no_empty_answer() {
    both(|scene| {
        scene.registry.kill();
        for args in [&["get", "config/a"][..], &["list"], &["put", "config/a", "1"]] {
            let ran = scene.kv(args);
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{args:?}: {}", ran.stderr);
        }
        let host = Host::new();
        assert_eq!(host.run(&["kv", "get", "a"]).code, Some(2), "no registry is named");
    });
}

#[test]
fn a_listing_that_a_token_may_not_see_is_refused_and_a_watch_holds() {
    let consul = Consul::start(ConsulOptions::new().acl());
    let reads = r#"key_prefix "config/" { policy = "read" }"#;
    consul.set_policy("reader", reads);
    let token = consul.create_token(&["reader"]);
    let write = |value: &str| {
        let (path, token) = ("/v1/kv/config/a", Some(resolver_tests::MASTER_TOKEN));
        let put = consul.request("PUT", path, token, Some(value.into()), SOON).expect("an answer");
        assert_eq!(put.status, 200, "{}", put.text());
    };
    write("1");
    let host = Host::new();
    let file = host.dir().join("token");
    fs::write(&file, &token).expect("our own file");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("our own file");
    let (url, file) = (consul.url(), file.display().to_string());
    let kv = |args: &[&str]| host.run(&[&["kv", "--consul", &url, "--token-file", &file], args].concat());
    assert_eq!(kv(&["list", "config/"]).stdout, "config/a  1\n");
    // Consul's own answer to these is an empty one.
    for args in [&["list", "other/"][..], &["list"], &["get", "other/a"], &["put", "config/a", "2"]] {
        let ran = kv(args);
        assert_eq!(ran.code, Some(1), "{args:?}: {}", ran.stdout);
        assert!(ran.stderr.contains("token") && !ran.stderr.contains(&token), "{args:?}: {}", ran.stderr);
    }
    let args = ["registry", "status", "--consul", &url, "--token-file", &file, "--json"];
    let status = host.run(&args);
    let json = status.json();
    assert_eq!((status.code, &json["quorum"], &json["voters"]), (Some(0), &json!(true), &json!(1)), "{json}");
    assert!(json["warnings"][0].as_str().is_some_and(|warning| warning.contains("operator")), "{json}");
    let args = ["kv", "--consul", &url, "--token-file", &file, "--json", "watch", "config/"];
    let watch = host.start(&args);
    let has = |event: &str| watch.stdout().contains(&format!("\"event\":\"{event}\""));
    eventually(SOON, "it has the key", || has("put"));
    consul.set_policy("reader", r#"service_prefix "" { policy = "read" }"#);
    // Wakes the query; what comes then has no keys any more.
    write("3");
    eventually(SOON, "the key is held", || has("held"));
    consul.set_policy("reader", reads);
    eventually(SOON, "it is told as it is now", || watch.stdout().contains("\"value\":\"3\""));
    assert!(!has("deleted"), "it was never gone: {}", watch.stdout());
}

#[test]
fn etcd_is_listed_page_by_page() {
    let Registry::Etcd(etcd) = Registry::etcd() else { unreachable!("an etcd") };
    for n in 0..25 {
        etcd.put(&format!("p/{n:02}"), n.to_string());
    }
    let config = EtcdConfig { endpoints: vec![etcd.url()], page: 4, ..EtcdConfig::default() };
    let kv = EtcdKv::new(config).expect("an endpoint");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for prefix in ["p/", ""] {
        let listing = runtime.block_on(kv.list(prefix)).expect("a listing");
        let keys: Vec<_> = listing.entries.iter().map(|entry| entry.key.clone()).collect();
        assert_eq!(keys, (0..25).map(|n| format!("p/{n:02}")).collect::<Vec<_>>(), "{prefix:?}");
        assert_eq!(listing.revision, u64::try_from(etcd.revision()).expect("positive"));
    }
}
