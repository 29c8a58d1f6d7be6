//! The last good table on disk: an agent that starts with neither a segment nor a registry serves it as STALE; a file that is
//! not exactly what an agent wrote is refused, and nothing is guessed.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use resolver_tests::{Host, Place, Process, Ran, Registry, eventually, try_until};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
const ENDED: Duration = Duration::from_secs(5);

fn state(host: &Host) -> PathBuf {
    host.dir().join("state")
}

fn kept(host: &Host) -> PathBuf {
    state(host).join("last-good")
}

fn config(registry: &Registry, host: &Host, more: &str) -> String {
    format!(
        "[state]\ndirectory = \"{}\"\nevery = \"1s\"\n{more}\n{}",
        state(host).display(),
        registry.source()
    )
}

fn length(got: &Ran) -> usize {
    got.json()["endpoints"].as_array().map_or(0, Vec::len)
}

/// A registry with three instances, and an agent that has published them.
fn published(registry: &Registry, host: &Host, more: &str) -> Process {
    (1..=3).for_each(|instance| registry.put("orders", Place::new(instance, 0)));
    let agent = host.agent(&config(registry, host, more));
    host.until("orders", "is fresh", SOON, |got| got.json()["state"] == "FRESH" && length(got) == 3);
    agent
}

/// As after the machine was started again: nothing is in memory any more.
fn reboot(host: &Host) {
    let directory = host.segment();
    for entry in std::fs::read_dir(directory.parent().expect("a directory")).expect("it is there").flatten() {
        std::fs::remove_file(entry.path()).expect("a file of the agent's");
    }
    assert_eq!(host.get("orders").code, Some(5), "there is no segment");
}

fn errors(host: &Host) -> Value {
    host.run(&["segment", "errors", &host.segment().display().to_string(), "--json"]).json()
}

fn a_cold_start_serves_it_until_the_registry_answers(registry: &Registry, ends: impl Fn(&Process)) {
    let host = Host::new();
    let agent = published(registry, &host, "");
    eventually(SOON, "the table is kept", || kept(&host).exists());
    assert_eq!(kept(&host).metadata().expect("there").permissions().mode() & 0o777, 0o600);
    let before = host.get("orders").json();
    ends(&agent);
    registry.kill();
    reboot(&host);

    agent.start_again();
    let got = host.until("orders", "is served again", SOON, |got| got.code == Some(0));
    let json = got.json();
    assert_eq!((&json["state"], &json["endpoints"]), (&json!("STALE"), &before["endpoints"]), "{json}");
    host.until("orders", "says why", SOON, |got| {
        let json = got.json();
        json["reason"] == "unreachable" || json["reason"] == "restored"
    });
    // It is kept on, and comes through a second time.
    ends(&agent);
    reboot(&host);
    agent.start_again();
    host.until("orders", "is served once more", SOON, |got| {
        got.json()["state"] == "STALE" && length(got) == 3
    });

    registry.restart();
    registry.put("orders", Place::new(9, 0));
    let got = host
        .until("orders", "is the registry's", SOON, |got| got.json()["state"] == "FRESH" && length(got) == 4);
    assert_eq!(got.json()["reason"], "none");
    assert_eq!(agent.terminate(ENDED).code(), Some(0));
}

#[test]
fn a_cold_start_without_consul_serves_the_last_table() {
    a_cold_start_serves_it_until_the_registry_answers(&Registry::consul(), |agent| {
        assert_eq!(agent.terminate(ENDED).code(), Some(0));
    });
}

#[test]
fn a_cold_start_without_etcd_serves_the_last_table_of_an_agent_that_was_killed() {
    a_cold_start_serves_it_until_the_registry_answers(&Registry::etcd(), Process::kill);
}

/// Settings of each type, and an agent's configuration with them.
fn with_settings(registry: &Registry, host: &Host) -> String {
    let name = registry.name();
    let setting = |setting: &str, more: &str| {
        format!(
            "[[setting]]\nname = \"{setting}\"\nsource = \"{name}\"\nkey = \"config/{setting}\"\n{more}\n"
        )
    };
    config(registry, host, "")
        + &setting("max_position", "type = \"i64\"\nmin = 0\nmax = 1_000_000")
        + &setting("ratio", "type = \"f64\"\nmax = 1")
        + &setting("enabled", "type = \"bool\"")
        + &setting("venue", "type = \"bytes\"\nmax_length = 4")
}

fn put(registry: &Registry, host: &Host, key: &str, value: &str) {
    let (flag, url) = match registry {
        Registry::Consul(consul) => ("--consul", consul.url()),
        Registry::Etcd(etcd) => ("--etcd", etcd.url()),
    };
    let ran = host.run(&["kv", "put", &format!("config/{key}"), value, flag, &url]);
    assert_eq!(ran.code, Some(0), "{key}: {}", ran.stderr);
}

fn setting(host: &Host, name: &str) -> Ran {
    host.run(&["setting", name, "--json", "--segment", &host.segment().display().to_string()])
}

#[track_caller]
fn until_setting(host: &Host, agent: &Process, name: &str, value: Value, states: &[(&str, &str)]) {
    let found = try_until(SOON, || {
        let ran = setting(host, name);
        let got = ran.json();
        let stands = |(state, reason): &(&str, &str)| got["state"] == *state && got["reason"] == *reason;
        let is = got["value"] == value && states.iter().any(stands);
        if is { Ok(()) } else { Err(format!("{}{}", ran.stdout, ran.stderr)) }
    });
    if let Err(last) = found {
        panic!("{name} is not {value} {states:?}: {last}{}", agent.logs());
    }
}

const FRESH: &[(&str, &str)] = &[("FRESH", "none")];
/// From disk: nobody has spoken yet, or the registry is known to be away.
const RESTORED: &[(&str, &str)] = &[("STALE", "restored"), ("STALE", "unreachable")];

fn a_cold_start_serves_settings_too(registry: &Registry, ends: impl Fn(&Process)) {
    let host = Host::new();
    let values = [
        ("max_position", "1000", json!(1000)),
        ("ratio", "0.1", json!(0.1)),
        ("enabled", "true", json!(true)),
        ("venue", "XNAS", json!("XNAS")),
    ];
    for (name, raw, _) in &values {
        put(registry, &host, name, raw);
    }
    let all = with_settings(registry, &host);
    let agent = host.agent(&all);
    for (name, _, value) in &values {
        until_setting(&host, &agent, name, value.clone(), FRESH);
    }
    let is_kept = |words: &str| std::fs::read_to_string(kept(&host)).is_ok_and(|kept| kept.contains(words));
    eventually(SOON, "all are kept", || values.iter().all(|(name, ..)| is_kept(&format!("config/{name}"))));
    ends(&agent);
    registry.kill();
    // Twice: what was restored is kept on.
    for _ in 0..2 {
        reboot(&host);
        agent.start_again();
        for (name, _, value) in &values {
            until_setting(&host, &agent, name, value.clone(), RESTORED);
        }
        ends(&agent);
    }

    // One that does not fit any more, one of another type, one of another key, and one that nobody wants.
    reboot(&host);
    drop(agent);
    let narrow = all
        .replace("max = 1_000_000", "max = 999")
        .replace("type = \"bool\"", "type = \"i64\"")
        .replace("key = \"config/venue\"", "key = \"config/market\"")
        .replace("name = \"ratio\"", "name = \"share\"");
    let agent = host.agent(&narrow);
    for name in ["max_position", "enabled"] {
        until_setting(&host, &agent, name, Value::Null, &[("EMPTY", "none")]);
        let alarm = |line: &str| {
            line.contains("ERROR")
                && line.contains(&format!("setting=\"{name}\""))
                && line.contains("the last good value does not fit any more")
        };
        assert!(agent.stderr().lines().any(alarm), "{name}: {}", agent.stderr());
    }
    assert!(agent.stderr().contains("1000 is not within 0..=999"), "{}", agent.stderr());
    assert_eq!(setting(&host, "venue").json()["state"], "NEVER", "a value of another key is not this one's");
    assert_eq!(setting(&host, "ratio").code, Some(3), "nobody wants it any more");
    assert_eq!(setting(&host, "share").json()["state"], "NEVER");
    eventually(SOON, "what is refused counts", || host.sources().json()[0]["rejected"] == 2);
    eventually(SOON, "what is not served is not kept", || !is_kept("config/"));
    agent.kill();

    // The registry's word counts, whatever was kept.
    registry.restart();
    drop(agent);
    let agent = host.agent(&all);
    for (name, _, value) in &values {
        until_setting(&host, &agent, name, value.clone(), FRESH);
    }
}

#[test]
fn a_cold_start_without_consul_serves_the_last_settings() {
    a_cold_start_serves_settings_too(&Registry::consul(), |agent| {
        assert_eq!(agent.terminate(ENDED).code(), Some(0));
    });
}

#[test]
fn a_cold_start_without_etcd_serves_the_last_settings_of_an_agent_that_was_killed() {
    a_cold_start_serves_settings_too(&Registry::etcd(), Process::kill);
}

/// Starts an agent on what is kept, without a registry; it must serve nothing of it, and say why.
fn assert_refused(host: &Host, agent: &Process, what: &str, words: &str) {
    agent.start_again();
    eventually(SOON, &format!("{what}: it says why"), || agent.stderr().contains(words));
    eventually(SOON, &format!("{what}: the error is in the segment"), || {
        errors(host)["errors"].as_array().is_some_and(|errors| {
            let is_it = |error: &Value| error["kind"] == "snapshot" && error["about"] == "last-good";
            errors.iter().any(is_it)
        })
    });
    let got = host.get("orders");
    assert_eq!(got.code, Some(3), "{what}: nothing is served: {}{}", got.stdout, got.stderr);
    assert_eq!(errors(host)["counters"]["snapshots_failed"], 1);
    agent.kill();
    reboot(host);
}

#[test]
fn what_is_damaged_or_too_old_or_of_others_is_refused() {
    let registry = Registry::etcd();
    let host = Host::new();
    let agent = published(&registry, &host, "max_age = \"1h\"");
    assert_eq!(agent.terminate(ENDED).code(), Some(0), "it is kept at the end, too");
    registry.kill();
    reboot(&host);
    let good = std::fs::read(kept(&host)).expect("it is kept");
    let first = good.iter().position(|byte| *byte == b'\n').expect("a first line");
    let sum = good.windows(7).position(|window| window == b"sha256 ").expect("a checksum") + 7;
    let version = b"resolver last-good ".len();
    let flipped = |place: usize| {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        bytes
    };
    let port = good.windows(6).position(|window| window == b"\"port\"").expect("a port") + 7;
    let refused = |what: &str, bytes: &[u8], words: &str| {
        write(&kept(&host), bytes);
        assert_refused(&host, &agent, what, words);
        let aside = state(&host).join("last-good.refused");
        assert_eq!(std::fs::read(&aside).expect("it was moved out of the way"), bytes, "{what}");
        std::fs::remove_file(aside).expect("there");
    };
    refused("the kind", &flipped(10), "it is a file of kind");
    refused("the version", &flipped(version), "this agent reads version 1 and 2");
    refused("the checksum", &flipped(sum), "its checksum does not match");
    refused("a port", &flipped(port), "its checksum does not match");
    refused("the last byte", &flipped(good.len() - 1), "its checksum does not match");
    refused("cut short", &good[..good.len() / 2], "bytes after its first line, and has");
    refused("cut in its first line", &good[..first], "cut short");
    refused("empty", b"", "cut short");
    write(&kept(&host), &good);
    std::fs::set_permissions(kept(&host), PermissionsExt::from_mode(0o666)).expect("ours");
    assert_refused(&host, &agent, "a loose mode", "600 is right");

    // What is as it was written is good, and shows that the others were refused for what they are.
    write(&kept(&host), &good);
    agent.start_again();
    host.until("orders", "is served", SOON, |got| got.json()["state"] == "STALE" && length(got) == 3);
    agent.kill();
    reboot(&host);

    // The same file, to an agent with less patience.
    host.configuration(&config(&registry, &host, "max_age = \"1s\""));
    eventually(SOON, "two seconds go by", || {
        let written = std::fs::metadata(kept(&host)).and_then(|kept| kept.modified()).expect("it is there");
        written.elapsed().is_ok_and(|age| age > Duration::from_secs(2))
    });
    assert_refused(&host, &agent, "too old", "it is too old");
}

fn write(path: &Path, bytes: &[u8]) {
    // Anew: the last one may have been moved away, or have another mode.
    let _ = std::fs::remove_file(path);
    std::fs::write(path, bytes).expect("the test's own directory");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("ours");
}
