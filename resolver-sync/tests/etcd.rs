//! The etcd source against real servers.
#![cfg(feature = "etcd")]

#[path = "../../tests/src/certificates.rs"]
mod certificates;
#[path = "etcd/conventions.rs"]
mod conventions;
#[path = "etcd/gaps.rs"]
mod gaps;
#[path = "etcd/harness.rs"]
mod harness;
#[path = "etcd/proxy.rs"]
mod proxy;
#[path = "etcd/rules.rs"]
mod rules;
#[path = "etcd/secure.rs"]
mod secure;

use std::time::{Duration, Instant};

use harness::{Etcd, Mirror, config};
use proxy::Proxy;
use resolver_core::Reason;
use resolver_sync::etcd::EtcdConfig;
use resolver_sync::secret::Secret;

/// How long the way back may take once the registry answers again.
const RECOVERY: Duration = Duration::from_secs(5);

#[test]
fn instances_come_change_and_go() {
    let etcd = Etcd::start();
    etcd.put("oms", "1", "10.0.0.1", 9000);
    let mut mirror = Mirror::on([etcd.url()]);
    assert_eq!((mirror.ports("oms"), mirror.snapshots), (vec![9000], 1));

    etcd.put("oms", "2", "10.0.0.2", 9001);
    mirror.until_ports("oms", &[9000, 9001]);
    etcd.put("oms", "1", "10.0.0.1", 9009);
    mirror.until_ports("oms", &[9009, 9001]);
    etcd.ctl(&["put", "/services/risk/a", "[2001:db8::1]:7000"]);
    mirror.until_ports("risk", &[7000]);
    etcd.delete("oms", "1");
    mirror.until_ports("oms", &[9001]);
    etcd.delete("oms", "2");
    mirror.until("an empty set is reported", |m| m.services["oms"].instances.is_empty());
    // Keys outside the prefix are none of ours; a watch of `/services` would see this one.
    etcd.ctl(&["put", "/services-old/oms/1", "10.0.0.9:1"]);
    etcd.put("oms", "3", "10.0.0.3", 9003);
    mirror.until_ports("oms", &[9003]);
    assert_eq!(mirror.services.keys().collect::<Vec<_>>(), ["oms", "risk"]);
    assert_eq!((mirror.snapshots, mirror.losses.len()), (1, 0), "one watch served all of it");
}

#[test]
fn bad_values_are_named_and_the_good_ones_stay() {
    let etcd = Etcd::start();
    etcd.put("oms", "good", "10.0.0.1", 9000);
    let mut mirror = Mirror::on([etcd.url()]);
    etcd.ctl(&["put", "/services/oms/text", "what is this"]);
    etcd.ctl(&["put", "/services/oms/string", r#"{"address":"10.0.0.2","port":"80"}"#]);
    etcd.put("oms", "zero", "10.0.0.3", 0);
    etcd.put("oms", "high", "10.0.0.4", 70000);
    etcd.put("oms", "name", "db.example", 9000);
    etcd.put("oms", "twin", "10.0.0.1", 9000);
    mirror.until("six are refused", |m| m.services["oms"].rejected.len() == 6);
    let set = &mirror.services["oms"];
    assert_eq!(set.instances.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(), ["good"]);
    let why =
        |id: &str| &set.rejected.iter().find(|r| r.id == id).unwrap_or_else(|| panic!("{id}: {set:?}")).why;
    assert!(why("/services/oms/text").contains("not host:port"));
    assert!(why("/services/oms/string").contains("port: invalid type: string"));
    assert!(why("zero").contains("port 0") && why("high").contains("port 70000"));
    assert!(why("name").contains("not an IP address") && why("twin").contains("second instance"));
    assert_eq!(mirror.confirm("oms").expect("read again").rejected.len(), 6);
}

#[test]
fn a_lease_that_ends_takes_its_instance_along() {
    let etcd = Etcd::start();
    etcd.put("oms", "stays", "10.0.0.1", 9000);
    let mut mirror = Mirror::on([etcd.url()]);
    let granted = etcd.ctl(&["lease", "grant", "1"]);
    let lease = granted.split(' ').nth(1).expect("lease ID granted").to_owned();
    etcd.ctl(&["put", "--lease", &lease, "/services/oms/leased", "10.0.0.2:9001"]);
    mirror.until_ports("oms", &[9000, 9001]);
    mirror.until_ports("oms", &[9000]);
}

#[test]
fn a_transaction_is_one_change() {
    let etcd = Etcd::start();
    etcd.put("a", "1", "10.0.0.1", 1);
    let mut mirror = Mirror::on([etcd.url()]);
    let operations = "\ndel /services/a/1\nput /services/a/2 10.0.0.1:2\nput /services/a/3 10.0.0.1:3\nput /services/b/1 10.0.0.1:4\n\n\n";
    etcd.ctl_with(&["txn"], operations);
    mirror.until("both services", |m| m.services.contains_key("b"));
    assert_eq!((mirror.ports("a"), mirror.ports("b")), (vec![2, 3], vec![4]));
    assert_eq!(mirror.latest.len(), 2, "both in one report");
    assert_eq!(mirror.latest["a"].revision, mirror.latest["b"].revision);
}

#[test]
fn many_keys_come_in_pages_of_one_revision() {
    let etcd = Etcd::start();
    for block in 0..5 {
        let puts: String = (0..100)
            .map(|i| format!("put /services/s{:03}/1 10.0.0.1:{}\n", block * 100 + i, 1 + i))
            .collect();
        etcd.ctl_with(&["txn"], &format!("\n{puts}\n\n"));
    }
    // Listed again all the time while things change.
    let relist = Duration::from_millis(20);
    let mut mirror = Mirror::of(EtcdConfig { page: 7, relist, ..config([etcd.url()]) });
    mirror.until("the first listing", |m| m.alive > 0);
    assert_eq!((mirror.services.len(), mirror.snapshots), (500, 1));
    for round in 0..40 {
        let port = 1000 + round;
        etcd.ctl_with(
            &["txn"],
            &format!("\nput /services/s000/1 10.0.0.1:{port}\nput /services/s499/1 10.0.0.1:{port}\ndel /services/s250/1\n\n\n"),
        );
        mirror.until("the round's ports", |m| m.ports("s000") == [port] && m.ports("s499") == [port]);
        assert!(mirror.ports("s250").is_empty(), "a listing brought back what was deleted");
        etcd.ctl(&["put", "/services/s250/1", "10.0.0.1:1"]);
        mirror.until_ports("s250", &[1]);
    }
    assert_eq!((mirror.snapshots, mirror.losses.len()), (1, 0));
}

#[test]
fn more_than_one_message_can_hold() {
    let etcd = Etcd::start();
    let mut mirror = Mirror::on([etcd.url()]);
    let padding = "x".repeat(60_000);
    for id in 0..100 {
        let value = format!(r#"{{"address":"10.0.0.1","port":{},"pad":"{padding}"}}"#, 1 + id);
        etcd.ctl(&["put", &format!("/services/big/{id}"), &value]);
    }
    mirror.until("all are watched", |m| m.ports("big").len() == 100);
    assert!(mirror.losses.is_empty());
    // 6 MB do not fit a page of a thousand keys.
    let fresh = Mirror::on([etcd.url()]);
    assert_eq!(fresh.ports("big").len(), 100);
    assert!(fresh.losses.is_empty());
}

#[test]
fn killed_and_restarted() {
    let mut etcd = Etcd::start();
    etcd.put("oms", "1", "10.0.0.1", 9000);
    let mut mirror = Mirror::on([etcd.url()]);
    etcd.kill();
    mirror.until("the loss is reported", |m| m.lost.is_some());
    assert_eq!(mirror.losses[0].reason, Reason::Unreachable);
    // At once, by the line's end: silence would have had to be waited for.
    assert!(!mirror.losses[0].detail.contains("heartbeats unanswered"), "{:?}", mirror.losses[0]);
    assert_eq!(mirror.ports("oms"), [9000], "the last good set stands");
    assert_eq!(mirror.confirm("oms").expect_err("nobody answers").reason, Reason::Unreachable);
    etcd.restart();
    etcd.put("oms", "2", "10.0.0.2", 9001);
    let took = mirror.until("in step", |m| m.lost.is_none() && m.ports("oms") == [9000, 9001]);
    assert!(took < RECOVERY, "after {took:?}");
    assert!(mirror.epochs.is_empty(), "it is the same history: {:?}", mirror.epochs);
    assert_eq!(mirror.snapshots, 2);
}

#[test]
fn frozen_and_thawed() {
    let etcd = Etcd::start();
    etcd.put("oms", "1", "10.0.0.1", 9000);
    let heartbeat = Duration::from_millis(200);
    let deadline = Duration::from_secs(1);
    let mut mirror = Mirror::of(EtcdConfig { heartbeat, deadline, ..config([etcd.url()]) });
    mirror.until("heartbeats are answered", |m| m.alive > 2);
    let frozen = Instant::now();
    etcd.freeze();
    mirror.until("the silence is reported", |m| m.lost.is_some());
    let took = frozen.elapsed();
    assert!(took > heartbeat * 2, "after {took:?}");
    assert!(mirror.losses[0].detail.contains("heartbeats unanswered"), "{:?}", mirror.losses[0]);
    mirror.until("tried again in vain", |m| m.losses.len() > 1);
    etcd.thaw();
    let took = mirror.until("alive again", |m| m.lost.is_none());
    assert!(took < RECOVERY, "after {took:?}");
    etcd.put("oms", "1", "10.0.0.1", 9001);
    mirror.until_ports("oms", &[9001]);
}

#[test]
fn compacted_while_the_line_was_cut() {
    let etcd = Etcd::start();
    etcd.put("oms", "1", "10.0.0.1", 9000);
    etcd.put("gone", "1", "10.0.0.1", 1);
    let proxy = Proxy::before(&etcd);
    let mut mirror = Mirror::on([proxy.url()]);
    proxy.cut();
    mirror.until("the loss is reported", |m| m.lost.is_some());
    etcd.delete("gone", "1");
    for port in 9001..9020 {
        etcd.put("oms", "1", "10.0.0.1", port);
    }
    etcd.ctl(&["compaction", "22"]);
    proxy.heal();
    let took = mirror.until_ports("oms", &[9019]);
    assert!(took < RECOVERY, "after {took:?}");
    assert!(!mirror.services.contains_key("gone"), "the deletion was missed");
    etcd.put("oms", "1", "10.0.0.1", 9020);
    mirror.until_ports("oms", &[9020]);
    assert_eq!((mirror.snapshots, mirror.epochs.len()), (2, 0));
}

#[test]
fn another_cluster_in_its_place() {
    let mut etcd = Etcd::start();
    for port in 1..10 {
        etcd.put("oms", "1", "10.0.0.1", port);
    }
    etcd.put("old", "1", "10.0.0.1", 1);
    let mut mirror = Mirror::on([etcd.url()]);
    etcd.kill();
    etcd.restart_empty("second");
    etcd.put("oms", "1", "10.0.0.1", 100);
    mirror.until_ports("oms", &[100]);
    assert!(mirror.epochs[0].contains("in place of"), "{:?}", mirror.epochs);
    assert!(!mirror.services.contains_key("old"));
    assert_eq!(mirror.confirm("oms").expect("of the new cluster").instances[0].port, 100);
}

#[test]
fn the_same_cluster_went_back() {
    let mut etcd = Etcd::start();
    for port in 1..10 {
        etcd.put("oms", "1", "10.0.0.1", port);
    }
    let mut mirror = Mirror::on([etcd.url()]);
    etcd.kill();
    // The same members and the same token give the same cluster id: only the revision tells.
    etcd.restart_empty("first");
    etcd.put("oms", "1", "10.0.0.1", 100);
    mirror.until_ports("oms", &[100]);
    assert!(mirror.epochs[0].contains("went back from revision"), "{:?}", mirror.epochs);
    etcd.put("oms", "1", "10.0.0.1", 101);
    mirror.until_ports("oms", &[101]);
}

#[test]
fn the_next_member_takes_over() {
    let mut etcds = Etcd::cluster();
    etcds[1].put("oms", "1", "10.0.0.1", 9000);
    let mut mirror = Mirror::on(etcds.iter().map(Etcd::url));
    let killed = Instant::now();
    etcds[0].kill();
    mirror.until("the loss is reported", |m| !m.losses.is_empty());
    mirror.until("the next member answers", |m| m.lost.is_none());
    assert!(killed.elapsed() < RECOVERY, "after {:?}", killed.elapsed());
    etcds[2].put("oms", "1", "10.0.0.1", 9001);
    mirror.until_ports("oms", &[9001]);
    assert!(mirror.epochs.is_empty());
    // Two of three are gone: the last one has no leader and has to say so.
    etcds[2].kill();
    mirror.until("no leader", |m| m.losses.iter().any(|fault| fault.reason == Reason::NoLeader));
    assert_eq!(mirror.ports("oms"), [9001]);
    etcds[2].restart();
    let took = mirror.until("alive again", |m| m.lost.is_none());
    assert!(took < RECOVERY, "after {took:?}");
}

#[test]
fn rights_are_needed_and_missed() {
    let etcd = Etcd::start();
    etcd.put("oms", "1", "10.0.0.1", 9000);
    etcd.ctl(&["user", "add", "root:top"]);
    etcd.ctl(&["user", "grant-role", "root", "root"]);
    etcd.ctl(&["role", "add", "reader"]);
    etcd.ctl(&["role", "grant-permission", "--prefix=true", "reader", "read", "/services/"]);
    etcd.ctl(&["user", "add", "resolver:canary-Zk81"]);
    etcd.ctl(&["user", "grant-role", "resolver", "reader"]);
    let user = |password: &str| EtcdConfig {
        user: Some("resolver".into()),
        password: Some(Secret::new(password)),
        relist: Duration::from_millis(200),
        ..config([etcd.url()])
    };
    // Before authentication is on, a user is no hindrance.
    let mut early = Mirror::of(user("canary-Zk81"));
    early.until_ports("oms", &[9000]);
    drop(early);

    etcd.ctl(&["auth", "enable"]);
    let root = ["--user", "root:top"];
    let mut mirror = Mirror::of(user("canary-Zk81"));
    mirror.until_ports("oms", &[9000]);
    assert_eq!(mirror.confirm("oms").expect("allowed").instances.len(), 1);
    etcd.ctl(&[&root[..], &["put", "/services/oms/1", "10.0.0.1:9001"]].concat());
    mirror.until_ports("oms", &[9001]);

    for (config, who) in [(user("canary-wrong"), "a wrong password"), (config([etcd.url()]), "nobody")] {
        let mut denied = Mirror::of(config);
        denied.until("the refusal", |m| m.lost.is_some());
        assert_eq!(denied.losses[0].reason, Reason::Acl, "{who}: {:?}", denied.losses);
        assert!(!format!("{:?}", denied.losses).contains("canary"));
    }

    etcd.ctl(&[&root[..], &["user", "revoke-role", "resolver", "reader"]].concat());
    mirror.until("the loss of the right", |m| m.lost.is_some());
    assert!(mirror.losses.iter().any(|fault| fault.reason == Reason::Acl), "{:?}", mirror.losses);
    assert_eq!(mirror.confirm("oms").expect_err("denied").reason, Reason::Acl);
    assert_eq!(mirror.ports("oms"), [9001], "the last good set stands");
    etcd.ctl(&[&root[..], &["user", "grant-role", "resolver", "reader"]].concat());
    let took = mirror.until("alive again", |m| m.lost.is_none());
    assert!(took < RECOVERY, "after {took:?}");
    assert!(!format!("{:?}", user("canary-Zk81")).contains("canary"));
}

#[test]
fn a_second_read_believes_only_the_watched_history() {
    let etcd = Etcd::start();
    let other = Etcd::start();
    etcd.put("oms", "1", "10.0.0.1", 9000);
    let mut mirror = Mirror::on([etcd.url(), other.url()]);
    let set = mirror.confirm("oms").expect("read again");
    assert_eq!((set.instances.len(), set.revision), (1, mirror.services["oms"].revision));
    assert!(mirror.confirm("none").expect("read again").instances.is_empty());
    etcd.freeze();
    // Only the member of another cluster answers: it knows nothing of `oms`, and may not say so.
    let fault = mirror.confirm("oms").expect_err("it was believed");
    assert!([Reason::Unreachable, Reason::Regressed].contains(&fault.reason), "{fault:?}");
    etcd.thaw();
    mirror.until("at rest", |m| m.lost.is_none());
}
