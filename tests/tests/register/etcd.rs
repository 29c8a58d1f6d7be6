//! The library on a real etcd.

use resolver_sync::etcd::EtcdConfig;
use resolver_sync::register::{Check, Condition, Conflict, RegisterError, Registrar, Registration, Status};
use resolver_sync::secret::Secret;
use resolver_tests::{Etcd, EtcdOptions, Host, eventually};
use serde_json::json;

use crate::{SOON, STEADY, TTL, held, orders, with_etcd};

fn start() -> Etcd {
    Etcd::start(EtcdOptions::new())
}

fn lease(etcd: &Etcd) -> Option<String> {
    held(etcd).map(|(_, lease)| lease)
}

#[test]
fn what_is_registered_is_in_the_seeds_form_found_by_our_own_agent_and_gone_when_the_guard_is_dropped() {
    let etcd = start();
    let host = Host::new();
    let _agent =
        host.agent(&format!("[[source]]\nname = \"e\"\nkind = \"etcd\"\nendpoints = [\"{}\"]\n", etcd.url()));
    let registered = with_etcd(&etcd).register(orders(), SOON).expect("a free id");
    let (mut value, lease) = held(&etcd).expect("a key");
    assert!(value["timestamp"].as_u64().is_some_and(|seconds| seconds > 1_700_000_000), "{value}");
    value["timestamp"] = json!(0);
    assert_eq!(value, json!({ "address": "10.0.0.1", "port": 9001, "timestamp": 0 }), "and nothing else");
    assert_ne!(lease, "0");
    host.until("orders", "has its endpoint", SOON, |got| got.json()["endpoint"]["address"] == "10.0.0.1");
    drop(registered);
    assert_eq!(held(&etcd), None, "the drop waits for the end");
    assert!(!etcd.etcdctl(&["lease", "list"]).contains(&lease), "no lease is left");
    host.until("orders", "is empty", SOON, |got| got.code == Some(4));
}

#[test]
fn weights_tags_tiers_zones_and_metadata_are_read_by_our_own_codec() {
    let etcd = start();
    let host = Host::new();
    let _agent =
        host.agent(&format!("[[source]]\nname = \"e\"\nkind = \"etcd\"\nendpoints = [\"{}\"]\n", etcd.url()));
    let instance = orders().weight(7).tag("v2").tier(1).zone("east").meta("build", "12");
    let _registered = with_etcd(&etcd).register(instance, SOON).expect("a free id");
    let got = host.until("orders", "has its endpoint", SOON, |got| got.code == Some(0));
    let endpoint = got.json()["endpoint"].clone();
    assert_eq!(
        (&endpoint["weight"], &endpoint["tags"], &endpoint["tier"]),
        (&json!(7), &json!(["v2"]), &json!(1)),
        "{endpoint}"
    );
}

#[test]
fn the_lease_is_kept_for_longer_than_its_ttl() {
    let etcd = start();
    let registered = with_etcd(&etcd).register(orders().ttl(STEADY), SOON).expect("a free id");
    let first = lease(&etcd);
    eventually(SOON, "four signs of life", || {
        assert_eq!(lease(&etcd), first, "{:?}", registered.status());
        registered.counts().beats >= 4
    });
    assert_eq!(registered.counts().registrations, 1);
}

#[test]
fn a_lease_that_was_revoked_is_granted_again_and_the_key_put_again() {
    let etcd = start();
    let registered = with_etcd(&etcd).register(orders(), SOON).expect("a free id");
    let first = lease(&etcd).expect("a lease");
    etcd.revoke(&first);
    assert_eq!(held(&etcd).filter(|(_, lease)| *lease == first), None);
    eventually(SOON, "it is there with another lease", || {
        lease(&etcd).is_some_and(|lease| lease != first && lease != "0")
    });
    assert_eq!(registered.counts().registrations, 2);
}

#[test]
fn a_key_that_another_deleted_is_put_again_with_the_same_lease() {
    let etcd = start();
    let _registered = with_etcd(&etcd).register(orders().ttl(STEADY), SOON).expect("a free id");
    let first = lease(&etcd);
    etcd.del("/services/orders/orders-1");
    eventually(SOON, "it is there again", || held(&etcd).is_some());
    assert_eq!(lease(&etcd), first, "its lease was alive");
}

#[test]
fn a_cluster_that_was_built_anew_gets_it_again() {
    let etcd = start();
    let _registered = with_etcd(&etcd).register(orders(), SOON).expect("a free id");
    etcd.restart_empty();
    eventually(SOON, "it is there again", || held(&etcd).is_some());
}

#[test]
fn a_key_that_a_restored_cluster_brings_back_with_an_older_lease_is_our_own() {
    // A snapshot of before the lease was lost, restored: the key is there with the lease of then, ours of now is not.
    let etcd = start();
    let registered = with_etcd(&etcd).register(orders(), SOON).expect("a free id");
    let first = lease(&etcd).expect("a lease");
    etcd.revoke(&first);
    eventually(SOON, "it is there with another lease", || lease(&etcd).is_some_and(|lease| lease != first));
    // Stopped, it cannot put things right in between; a real restore has all of it at once.
    let second = lease(&etcd).expect("a lease");
    let id = i64::from_str_radix(&first, 16).expect("etcdctl's own form");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut client = etcd_client::Client::connect([etcd.url()], None).await.expect("it listens");
        let with_id = etcd_client::LeaseGrantOptions::new().with_id(id);
        client.lease_grant(600, Some(with_id)).await.expect("a free id");
        let put = etcd_client::PutOptions::new().with_lease(id);
        let older = "{\"address\":\"10.0.0.1\",\"port\":9001}";
        client.put("/services/orders/orders-1", older, Some(put)).await.expect("taken");
    });
    etcd.revoke(&second);
    eventually(SOON, "it is there with a lease that is kept", || {
        lease(&etcd).is_some_and(|lease| lease != first && lease != second)
            && registered.status() == Status::Registered
    });
}

#[test]
fn a_server_that_stood_still_for_longer_than_the_ttl_gets_it_again() {
    let etcd = start();
    let registered = with_etcd(&etcd).register(orders(), SOON).expect("a free id");
    let before = registered.counts().faults;
    etcd.stop();
    // Each takes up to 2 s, so the lease is over by then.
    eventually(SOON, "two faults", || registered.counts().faults >= before + 2);
    assert!(matches!(registered.status(), Status::Unproven(_)), "{:?}", registered.status());
    etcd.cont();
    eventually(SOON, "it is registered", || {
        registered.status() == Status::Registered && held(&etcd).is_some()
    });
}

#[test]
fn of_two_with_one_id_the_second_is_refused_and_the_first_stays() {
    let etcd = start();
    let registrar = with_etcd(&etcd);
    let first = registrar.register(orders().ttl(STEADY), SOON).expect("a free id");
    let first_lease = lease(&etcd).expect("a lease");
    let refused = registrar.register(orders().address([10, 0, 0, 2].into()), SOON).expect_err("in use");
    assert!(matches!(&refused, RegisterError::Refused { .. }), "{refused}");
    assert!(refused.to_string().contains(&first_lease), "the holder is named: {refused}");
    assert_eq!((lease(&etcd), first.status()), (Some(first_lease), Status::Registered));
}

#[test]
fn of_two_with_one_id_the_first_stands_back_where_the_second_takes_over() {
    let etcd = start();
    let registrar = with_etcd(&etcd);
    let first = registrar.register(orders(), SOON).expect("a free id");
    let over = orders().address([10, 0, 0, 2].into()).conflict(Conflict::TakeOver);
    let second = registrar.register(over, SOON).expect("asked to");
    eventually(SOON, "the first knows", || {
        matches!(first.status(), Status::Failed(RegisterError::TakenOver { .. }))
    });
    drop(first);
    assert_eq!(held(&etcd).map(|(value, _)| value["address"].clone()), Some(json!("10.0.0.2")));
    drop(second);
    assert_eq!(held(&etcd), None);
}

#[test]
fn one_that_was_taken_over_and_does_not_know_yet_removes_nothing() {
    let etcd = start();
    let registrar = with_etcd(&etcd);
    // It would look at what is there in minutes.
    let first = registrar.register(orders().ttl(SOON * 10), SOON).expect("a free id");
    let _second = registrar.register(orders().conflict(Conflict::TakeOver), SOON).expect("asked to");
    drop(first);
    assert!(held(&etcd).is_some(), "the second's");
}

#[test]
fn of_two_that_begin_at_one_moment_one_has_the_id() {
    let etcd = start();
    let registrar = with_etcd(&etcd);
    let begun: Vec<_> = (1..=4)
        .map(|n| registrar.start(orders().ttl(STEADY).address([10, 0, 0, n].into())).expect("a thread"))
        .collect();
    let results: Vec<_> = begun.iter().map(|one| one.wait_until_registered(SOON)).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    let refused = |result: &&Result<(), RegisterError>| matches!(result, Err(RegisterError::Refused { .. }));
    assert_eq!(results.iter().filter(refused).count(), 3, "{results:?}");
}

#[test]
fn the_place_of_a_dead_one_is_taken_when_its_ttl_is_over() {
    let etcd = start();
    let dead = etcd.grant(3);
    etcd.put_leased("/services/orders/orders-1", "{\"address\":\"10.9.9.9\",\"port\":1}", &dead);
    let _registered = with_etcd(&etcd).register(orders(), SOON).expect("nobody keeps that lease");
    assert_eq!(held(&etcd).map(|(value, _)| value["address"].clone()), Some(json!("10.0.0.1")));
}

#[test]
fn a_key_without_a_lease_is_not_overwritten() {
    let etcd = start();
    etcd.put("/services/orders/orders-1", "by hand");
    let refused = with_etcd(&etcd).register(orders(), SOON).expect_err("in use");
    assert!(matches!(refused, RegisterError::Refused { .. }), "{refused}");
    assert!(refused.to_string().contains("without a lease (by hand)"), "{refused}");
}

#[test]
fn an_instance_that_does_not_work_has_no_key_until_it_does() {
    let etcd = start();
    let registrar = with_etcd(&etcd);
    let instance = orders().ttl(SOON * 10).condition(Condition::Critical);
    let registered = registrar.register(instance, SOON).expect("a free id");
    assert_eq!((registered.status(), held(&etcd)), (Status::Withdrawn, None), "not before it has warmed up");
    registered.set_healthy(true, "");
    eventually(SOON, "it is there", || held(&etcd).is_some());
    registered.set_condition(Condition::Warning, "slow");
    registered.set_healthy(false, "no feed");
    eventually(SOON, "it is withdrawn", || held(&etcd).is_none() && registered.status() == Status::Withdrawn);
    registered.set_healthy(true, "");
    eventually(SOON, "it is there again", || held(&etcd).is_some());
    registered.enter_maintenance("an upgrade");
    eventually(SOON, "it is withdrawn", || held(&etcd).is_none());
    registered.leave_maintenance();
    eventually(SOON, "it is there again", || held(&etcd).is_some());
    assert_eq!(registered.counts().registrations, 1, "its lease was never lost");
}

#[test]
fn a_panic_deregisters() {
    let etcd = start();
    let registrar = with_etcd(&etcd);
    let ended = std::thread::spawn(move || {
        let _registered = registrar.register(orders(), SOON).expect("a free id");
        panic!("as planned");
    });
    assert!(ended.join().is_err());
    assert_eq!(held(&etcd), None);
}

/// Authentication, and the user `svc` with this password, who may write services.
fn with_a_writer(etcd: &Etcd, password: &str) {
    for command in [
        &["user", "add", "root:rootpw"][..],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "writer"],
        &["role", "grant-permission", "writer", "--prefix=true", "readwrite", "/services/"],
        &["user", "add", &format!("svc:{password}")],
        &["user", "grant-role", "svc", "writer"],
        &["auth", "enable"],
    ] {
        etcd.etcdctl(command);
    }
}

#[test]
fn a_user_may_be_needed_and_what_is_not_allowed_is_said() {
    let etcd = start();
    with_a_writer(&etcd, "canary");
    let config = |prefix: &str| EtcdConfig {
        endpoints: vec![etcd.url()],
        prefix: prefix.into(),
        user: Some("svc".into()),
        password: Some(Secret::new("canary")),
        ..EtcdConfig::default()
    };
    let registered = Registrar::etcd(config("/services/")).expect("good").register(orders(), SOON);
    let registered = registered.expect("allowed");
    eventually(SOON, "two signs of life", || registered.counts().beats >= 2);
    registered.deregister().expect("allowed");
    let denied =
        Registrar::etcd(config("/other/")).expect("good").register(orders(), SOON).expect_err("not allowed");
    assert!(matches!(denied, RegisterError::Denied(_)), "{denied}");
    assert!(!format!("{denied} {denied:?}").contains("canary"));
}

#[test]
fn a_password_that_was_changed_is_taken_from_its_file_without_a_restart() {
    let etcd = start();
    with_a_writer(&etcd, "canary-1");
    let host = Host::new();
    let file = host.dir().join("password");
    let write = |password: &str| {
        std::fs::write(&file, password).expect("our own file");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("our own file");
    };
    write("canary-1");
    let config = EtcdConfig {
        endpoints: vec![etcd.url()],
        user: Some("svc".into()),
        password_file: Some(file.clone()),
        ..EtcdConfig::default()
    };
    // A source of the agent, with the same file.
    let agent = host.agent(&format!(
        "[[source]]\nname = \"e\"\nkind = \"etcd\"\nendpoints = [\"{}\"]\nuser = \"svc\"\npassword_file = \"{}\"\n",
        etcd.url(),
        file.display()
    ));
    let registered = Registrar::etcd(config).expect("good").register(orders(), SOON).expect("allowed");
    host.until("orders", "has its endpoint", SOON, |got| got.json()["state"] == "FRESH");
    etcd.etcdctl_with(
        &["--user", "root:rootpw", "user", "passwd", "svc", "--interactive=false"],
        b"canary-2\n",
    );
    eventually(
        SOON,
        "the old one is refused",
        || matches!(registered.status(), Status::Unproven(why) | Status::Trying(Some(why)) if why.contains("authentication failed")),
    );
    // The watch that stands is not asked again: a connection that ends is what wants the password.
    etcd.restart();
    host.until("orders", "is held for want of rights", SOON, |got| got.json()["reason"] == "acl");
    // Half a renewal is named, and changes nothing.
    write("two\nlines");
    eventually(SOON, "it is named", || agent.stderr().contains("the last password stays"));
    write("canary-2");
    eventually(SOON, "the new one is taken", || registered.status() == Status::Registered);
    host.until("orders", "is fresh", SOON, |got| got.json()["state"] == "FRESH");
    let log = agent.stderr();
    assert!(log.contains("took the new password") && !log.contains("canary"), "{log}");
}

#[test]
fn what_etcd_cannot_do_is_refused_before_anything_is_asked() {
    let config = EtcdConfig { endpoints: vec!["http://127.0.0.1:1".into()], ..EtcdConfig::default() };
    let registrar = Registrar::etcd(config).expect("good");
    for (instance, words) in [
        (orders().check(Check::tcp("127.0.0.1:1")), "no checks"),
        (Registration::new("orders", 1).ttl(TTL), "address"),
    ] {
        let refused = registrar.start(instance).expect_err("refused").to_string();
        assert!(refused.contains(words), "{refused}");
    }
}
