//! Settings, from a real registry through the real agent to a reader: what is put there is read as its type, and nothing
//! else ever is.

use std::time::Duration;

use resolver_core::Segment;
use resolver_tests::{Host, Process, Ran, Registry, eventually, try_until};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

struct Scene {
    agent: Process,
    registry: Registry,
    config: String,
    // Dropped after the processes that write there: fields drop in their order.
    host: Host,
}

impl Scene {
    /// Two limits, a switch and a venue, none of which is there yet.
    #[track_caller]
    fn new(registry: Registry) -> Scene {
        let source = registry.source();
        let name = registry.name();
        let config = format!(
            "{source}\
             [sync]\nstale_after_ms = 3000\n\
             [[setting]]\nname = \"max_position\"\nsource = \"{name}\"\nkey = \"config/max_position\"\n\
             type = \"i64\"\nmin = 0\nmax = 1_000_000\n\
             [[setting]]\nname = \"ratio\"\nsource = \"{name}\"\nkey = \"config/ratio\"\ntype = \"f64\"\nmax = 1\n\
             [[setting]]\nname = \"enabled\"\nsource = \"{name}\"\nkey = \"config/enabled\"\ntype = \"bool\"\n\
             on_delete = \"unset\"\n\
             [[setting]]\nname = \"venue\"\nsource = \"{name}\"\nkey = \"config/venue\"\ntype = \"bytes\"\n\
             max_length = 4\n"
        );
        let host = Host::new();
        let agent = host.agent(&config);
        Scene { agent, registry, config, host }
    }

    #[track_caller]
    fn put(&self, key: &str, value: impl AsRef<[u8]>) {
        match &self.registry {
            Registry::Consul(consul) => {
                let (path, value) = (format!("/v1/kv/{key}"), value.as_ref().to_vec());
                let put = consul.request("PUT", &path, None, Some(value), SOON).expect("an answer");
                assert_eq!(put.status, 200, "{}", put.text());
            }
            Registry::Etcd(etcd) => etcd.put(key, value),
        }
    }

    #[track_caller]
    fn kv(&self, args: &[&str]) -> String {
        let (flag, url) = match &self.registry {
            Registry::Consul(consul) => ("--consul", consul.url()),
            Registry::Etcd(etcd) => ("--etcd", etcd.url()),
        };
        let ran = self.host.run(&[&["kv", flag, &url], args].concat());
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.stderr);
        ran.stdout
    }

    #[track_caller]
    fn setting(&self, name: &str) -> Ran {
        let segment = self.host.segment().display().to_string();
        self.host.run(&["setting", name, "--json", "--segment", &segment])
    }

    /// Waits until a setting has this value and stands like this.
    #[track_caller]
    fn until(&self, name: &str, value: Value, state: &str, reason: &str) {
        let found = try_until(SOON, || {
            let ran = self.setting(name);
            let got = ran.json();
            let is = got["value"] == value && got["state"] == state && got["reason"] == reason;
            if is { Ok(()) } else { Err(format!("{}{}", ran.stdout, ran.stderr)) }
        });
        if let Err(last) = found {
            panic!("{name} is not {value} {state} ({reason}): {last}{}", self.agent.logs());
        }
    }

    /// Lines of the agent's log that are an alarm for this setting.
    fn alarms(&self, name: &str) -> Vec<String> {
        let log = self.agent.stderr();
        let of_it = |line: &&str| line.contains("ERROR") && line.contains(&format!("setting=\"{name}\""));
        log.lines().filter(of_it).map(str::to_owned).collect()
    }

    fn rejected(&self) -> u64 {
        self.host.sources().json()[0]["rejected"].as_u64().unwrap_or(u64::MAX)
    }
}

fn values_come_and_bad_ones_change_nothing(registry: Registry) {
    let scene = Scene::new(registry);
    eventually(SOON, "what is missing is an alarm", || {
        ["max_position", "ratio", "enabled", "venue"].iter().all(|name| scene.alarms(name).len() == 1)
    });
    assert_eq!(scene.setting("max_position").code, Some(4), "it has no value yet");
    eventually(SOON, "each counts", || scene.rejected() == 4);

    scene.put("config/max_position", "1000");
    scene.put("config/ratio", "0.25\n");
    scene.put("config/enabled", "true");
    scene.put("config/venue", "XNAS");
    scene.until("max_position", json!(1000), "FRESH", "none");
    scene.until("ratio", json!(0.25), "FRESH", "none");
    scene.until("enabled", json!(true), "FRESH", "none");
    scene.until("venue", json!("XNAS"), "FRESH", "none");
    eventually(SOON, "none is refused any more", || scene.rejected() == 0);
    let got = scene.setting("max_position").json();
    assert_eq!((&got["type"], &got["source"]), (&json!("i64"), &json!(scene.registry.name())));

    let bad: [(&str, &[u8], &str); 5] = [
        ("max_position", b"2000 lots", "is no i64"),
        ("max_position", b"1000001", "is not within 0..=1000000"),
        ("ratio", b"nan", "is no f64"),
        ("venue", b"XNASDAQ", "7 bytes are over the limit of 4"),
        ("max_position", &[b'1'; 70_000], "over the limit of 65536"),
    ];
    for (name, value, words) in bad {
        let before = scene.setting(name).json()["value"].clone();
        scene.put(&format!("config/{name}"), value);
        eventually(SOON, "there is an alarm", || {
            scene.alarms(name).last().is_some_and(|alarm| alarm.contains(words))
        });
        scene.until(name, before, "STALE", "bad-records");
    }
    eventually(SOON, "three are refused", || scene.rejected() == 3);
    // A good one again, and others were not concerned.
    scene.put("config/max_position", "3000");
    scene.until("max_position", json!(3000), "FRESH", "none");
    assert_eq!(scene.setting("enabled").json()["state"], "FRESH");

    // What a deletion does is each setting's own rule.
    scene.kv(&["delete", "config/max_position"]);
    scene.until("max_position", json!(3000), "STALE", "bad-records");
    assert!(scene.alarms("max_position").last().is_some_and(|alarm| alarm.contains("deleted")));
    scene.kv(&["delete", "config/enabled"]);
    scene.until("enabled", Value::Null, "EMPTY", "none");
    assert_eq!(scene.setting("enabled").code, Some(4));

    // The registry goes, for good as far as anybody can tell; then the agent as well.
    scene.put("config/max_position", "4000");
    scene.until("max_position", json!(4000), "FRESH", "none");
    scene.registry.kill();
    scene.until("max_position", json!(4000), "STALE", "unreachable");
    let Scene { agent, registry, config, host } = scene;
    agent.kill();
    let agent = host.agent(&config);
    let scene = Scene { agent, registry, config, host };
    scene.until("max_position", json!(4000), "STALE", "unreachable");
    // Gone with the segment's file, too: the agent knows it.
    std::fs::remove_file(scene.host.segment()).expect("the segment's file");
    scene.until("max_position", json!(4000), "STALE", "unreachable");
    scene.registry.restart();
    scene.until("max_position", json!(4000), "FRESH", "none");

    // A segment keeps what still fits the agent's schema, and nothing else.
    scene.agent.kill();
    let Scene { agent, registry, config, host } = scene;
    let narrow =
        config.replace("max = 1_000_000", "max = 3999").replace("name = \"ratio\"", "name = \"share\"");
    registry.kill();
    drop(agent);
    let agent = host.agent(&narrow);
    let scene = Scene { agent, registry, config: narrow, host };
    scene.until("max_position", Value::Null, "EMPTY", "none");
    scene.until("venue", json!("XNAS"), "STALE", "unreachable");
    assert_eq!(scene.setting("ratio").code, Some(3), "nobody wants it any more");
    assert!(scene.config.contains("share"));
}

#[test]
fn values_of_etcd() {
    values_come_and_bad_ones_change_nothing(Registry::etcd());
}

#[test]
fn values_of_consul() {
    values_come_and_bad_ones_change_nothing(Registry::consul());
}

#[test]
fn one_transaction_is_one_epoch() {
    for registry in [Registry::etcd(), Registry::consul()] {
        let scene = Scene::new(registry);
        scene.kv(&["txn", "--put", "config/max_position=0", "--put", "config/ratio=0"]);
        scene.until("max_position", json!(0), "FRESH", "none");
        scene.until("ratio", json!(0.0), "FRESH", "none");
        let segment = Segment::open(scene.host.segment()).expect("the agent's segment");
        let reader = segment.reader();
        let limit = reader.setting::<i64>("max_position").expect("an i64");
        let ratio = reader.setting::<f64>("ratio").expect("a f64");
        for n in 1..=10_i32 {
            let before = reader.epoch();
            let share = f64::from(n) / 10.0;
            let (a, b) = (format!("config/max_position={n}"), format!("config/ratio={share}"));
            scene.kv(&["txn", "--put", &a, "--put", &b]);
            eventually(SOON, "both are there", || {
                reader.get(limit) == Ok(i64::from(n)) && reader.get(ratio) == Ok(share)
            });
            // Odd while it is under way, even after it.
            eventually(SOON, "the batch is complete", || reader.epoch().is_multiple_of(2));
            assert_eq!(reader.epoch(), before + 2, "two values, one batch");
        }
    }
}
