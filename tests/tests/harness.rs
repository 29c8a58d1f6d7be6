//! The harness itself, on both real servers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use resolver_tests::{Consul, ConsulOptions, Etcd, EtcdOptions, Host, Process, eventually, is_alive, until};
use serde_json::json;

const SOON: Duration = Duration::from_secs(10);

fn addresses(consul: &Consul, service: &str) -> Vec<String> {
    let rows = consul.get(&format!("/v1/health/service/{service}?passing"));
    let rows = rows.as_array().expect("a list of instances");
    let address = |row: &serde_json::Value| row["Service"]["Address"].as_str().map(str::to_owned);
    rows.iter().map(|row| address(row).expect("an address")).collect()
}

#[test]
fn consul_takes_registrations_and_checks() {
    let consul = Consul::start(ConsulOptions::new());
    consul.register_ttl("orders", "orders-1", "10.0.0.1", 8080);
    consul.register_ttl("orders", "orders-2", "10.0.0.2", 8080);
    assert_eq!(addresses(&consul, "orders").len(), 2);
    consul.fail("orders-1");
    assert_eq!(addresses(&consul, "orders"), ["10.0.0.2"]);
    consul.warn("orders-2");
    assert!(addresses(&consul, "orders").is_empty());
    consul.pass("orders-1");
    consul.deregister("orders-2");
    assert_eq!(addresses(&consul, "orders"), ["10.0.0.1"]);
    consul.put("/v1/kv/a/b", &json!({ "c": 1 }));
    assert_eq!(consul.get("/v1/kv/a/b?raw"), json!({ "c": 1 }));
}

#[test]
fn a_consul_in_development_mode_forgets_and_a_durable_one_does_not() {
    let memory = Consul::start(ConsulOptions::new());
    let disk = Consul::start(ConsulOptions::new().durable());
    assert_ne!(memory.http_addr(), disk.http_addr(), "two at once");
    for consul in [&memory, &disk] {
        consul.register_ttl("orders", "orders-1", "10.0.0.1", 8080);
        let (address, pid) = (consul.http_addr(), consul.pid());
        consul.kill();
        assert!(!is_alive(pid) && !consul.is_running());
        let refused = consul.request("GET", "/v1/status/leader", None, None, SOON);
        assert!(refused.is_err(), "a killed server answered: {refused:?}");
        consul.restart();
        assert_eq!(consul.http_addr(), address);
    }
    assert!(addresses(&memory, "orders").is_empty());
    // A TTL check starts critical after a restart of its agent.
    assert_eq!(disk.get("/v1/catalog/service/orders")[0]["ServiceAddress"], "10.0.0.1");
    disk.pass("orders-1");
    assert_eq!(addresses(&disk, "orders"), ["10.0.0.1"]);
}

#[test]
fn a_stopped_server_hangs_and_answers_again() {
    let consul = Consul::start(ConsulOptions::new().durable());
    consul.stop();
    let short = Duration::from_millis(300);
    let hung = consul.request("GET", "/v1/status/leader", None, None, short);
    assert!(hung.is_err(), "a stopped server answered: {hung:?}");
    consul.cont();
    until(SOON, "it answers again", || consul.request("GET", "/v1/status/leader", None, None, SOON));
}

#[test]
fn consul_with_acls_denies_by_default_and_revokes_at_once() {
    let consul = Consul::start(ConsulOptions::new().acl());
    consul.register_ttl("orders", "orders-1", "10.0.0.1", 8080);
    consul
        .set_policy("reader", r#"service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#);
    let token = consul.create_token(&["reader"]);
    let seen_by = |token| {
        let answer =
            consul.request("GET", "/v1/health/service/orders", token, None, SOON).expect("an answer");
        (answer.status, answer.json().as_array().map(Vec::len))
    };
    assert_eq!(seen_by(Some(token.as_str())), (200, Some(1)));
    assert_eq!(seen_by(None), (200, Some(0)), "no token reads an empty list");
    consul.set_policy("reader", r#"key_prefix "" { policy = "read" }"#);
    eventually(SOON, "the policy's rights are gone", || seen_by(Some(token.as_str())) == (200, Some(0)));
    consul.delete_token(&token);
    eventually(SOON, "the token is unknown", || seen_by(Some(token.as_str())).0 == 403);
}

#[test]
fn consul_takes_configuration_of_the_tests_own() {
    let consul = Consul::start(ConsulOptions::new().config(json!({ "datacenter": "east" })));
    assert_eq!(consul.get("/v1/agent/self")["Config"]["Datacenter"], "east");
}

#[test]
fn two_etcds_keep_apart_and_keep_their_data_over_a_kill() {
    let one = Etcd::start(EtcdOptions::new());
    let two = Etcd::start(EtcdOptions::new());
    one.put("/services/orders/1", r#"{"address":"10.0.0.1","port":8080}"#);
    assert_eq!(two.etcdctl(&["get", "/services/orders/1"]), "");
    let pid = one.pid();
    one.kill();
    assert!(!is_alive(pid));
    one.restart();
    let value = one.etcdctl(&["get", "--print-value-only", "/services/orders/1"]);
    assert_eq!(value.trim_end(), r#"{"address":"10.0.0.1","port":8080}"#);
    let revision = one.revision();
    one.restart_empty();
    assert!(one.revision() < revision, "a new cluster counts from 1");
}

#[test]
fn etcd_takes_any_bytes_and_leases_end() {
    let etcd = Etcd::start(EtcdOptions::new());
    etcd.put("/k/empty", "");
    etcd.put("/k/-dash", "--not-an-option");
    etcd.put("/k/bytes", [0xff, 0x00, b'{', b'\n']);
    let count = |prefix: &str| {
        etcd.etcdctl(&["get", "--prefix", "--keys-only", prefix])
            .lines()
            .filter(|line| !line.is_empty())
            .count()
    };
    assert_eq!(count("/k/"), 3);
    etcd.del("/k/-dash");
    assert_eq!(count("/k/"), 2);
    let (short, held, revoked) = (etcd.grant(2), etcd.grant(2), etcd.grant(600));
    for lease in [&short, &held, &revoked] {
        etcd.put_leased(&format!("/leased/{lease}"), "x", lease);
    }
    let keeper = etcd.etcdctl_start(&["lease", "keep-alive", &held]);
    etcd.revoke(&revoked);
    assert_eq!(count("/leased/"), 2);
    eventually(SOON, "the lease that nobody keeps alive is gone", || count("/leased/") == 1);
    drop(keeper);
    eventually(SOON, "the other one, too", || count("/leased/") == 0);
}

#[test]
fn a_drop_and_a_panic_leave_no_process() {
    let consul = Consul::start(ConsulOptions::new());
    let pid = consul.pid();
    assert!(is_alive(pid));
    drop(consul);
    assert!(!is_alive(pid));

    let mut pids = Vec::new();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let etcd = Etcd::start(EtcdOptions::new());
        // Standing still must not save it.
        etcd.stop();
        pids.push(etcd.pid());
        panic!("as a test fails");
    }));
    assert!(caught.is_err() && pids.len() == 1 && !is_alive(pids[0]));
}

#[test]
fn a_killed_test_process_leaves_no_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let holder = Process::start("hold", Path::new(env!("CARGO_BIN_EXE_hold")), &[], dir.path());
    let pids = until(Duration::from_secs(60), "the holder has its servers", || {
        let pids: Vec<u32> = holder.stdout().split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        if pids.len() == 2 { Ok(pids) } else { Err(holder.logs()) }
    });
    assert!(pids.iter().all(|&pid| is_alive(pid)), "they outlive the thread that started them");
    let left = format!("resolver-test-{}-", holder.pid());
    holder.kill();
    eventually(SOON, "the kernel ends the servers with the process that started them", || {
        !pids.iter().any(|&pid| is_alive(pid))
    });
    // Its directories stay; the next test process that needs one would remove them.
    for entry in std::fs::read_dir(std::env::temp_dir()).expect("a directory").flatten() {
        if entry.file_name().to_string_lossy().starts_with(&left) {
            std::fs::remove_dir_all(entry.path()).expect("nobody uses it any more");
        }
    }
}

#[test]
fn a_failure_says_what_was_waited_for_and_shows_the_log() {
    let message = |failing: &dyn Fn()| {
        let caught = catch_unwind(AssertUnwindSafe(failing)).expect_err("it fails");
        caught.downcast_ref::<String>().expect("a formatted message").clone()
    };
    let never = message(&|| {
        eventually(Duration::from_millis(30), "pigs fly", || false);
    });
    assert!(never.contains("pigs fly") && never.contains("30ms"), "{never}");

    let rejected = message(&|| drop(Consul::start(ConsulOptions::new().config(json!({ "no_such_key": 1 })))));
    assert!(rejected.contains("no_such_key") && rejected.contains("it has ended"), "{rejected}");

    let etcd = Etcd::start(EtcdOptions::new());
    let refused = message(&|| drop(etcd.etcdctl(&["lease", "revoke", "77"])));
    assert!(refused.contains("lease not found") && refused.contains("--- end of etcd's err"), "{refused}");
}

#[test]
fn a_host_runs_commands_and_carries_their_exit_codes_and_output() {
    // A shell in place of our own binary: the harness is what is shown here.
    let host = Host::with_binary(PathBuf::from("/bin/sh"));
    let ran = host.run(&["-c", r#"echo '{"state":"STALE"}'; echo why >&2; exit 4"#]);
    assert_eq!((ran.code, ran.json()["state"].as_str(), ran.stderr.trim()), (Some(4), Some("STALE"), "why"));

    let config = host.configuration("[sync]\ncore = 0\n");
    let config = std::fs::read_to_string(config).expect("the file just written");
    assert!(config.starts_with(&format!("[segment]\npath = \"{}\"\n", host.segment().display())), "{config}");
    assert!(config.ends_with("[sync]\ncore = 0\n"), "{config}");

    // It waits on a pipe that nobody writes to.
    let script = format!("trap 'exit 7' TERM; cd {}; mkfifo p; echo up; read x <>p", host.dir().display());
    let agent = host.start(&["-c", &script]);
    eventually(SOON, "it prints", || agent.stdout() == "up\n");
    assert_eq!(agent.terminate(SOON).code(), Some(7));
    assert!(!agent.is_running());
    agent.start_again();
    eventually(SOON, "it prints after what it had printed before", || agent.stdout() == "up\nup\n");
}

#[test]
fn a_call_to_a_stopped_etcd_fails_and_works_again_after() {
    let etcd = Etcd::start(EtcdOptions::new());
    etcd.stop();
    let hung = catch_unwind(AssertUnwindSafe(|| etcd.etcdctl(&["--command-timeout=300ms", "get", "x"])));
    assert!(hung.is_err(), "a stopped etcd answered");
    etcd.cont();
    etcd.put("x", "1");
    etcd.terminate(SOON);
    assert!(!etcd.is_running());
}

#[test]
fn calls_may_be_made_inside_of_an_async_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let consul = Consul::start(ConsulOptions::new());
        consul.register_ttl("orders", "orders-1", "10.0.0.1", 8080);
        assert_eq!(addresses(&consul, "orders"), ["10.0.0.1"]);
    });
}

/// What the tests of faults in the network stand on.
#[test]
fn privileged_a_network_namespace_can_be_made() {
    let made = Command::new("unshare").args(["--net", "ip", "-brief", "link"]).output();
    let made = made.expect("unshare is there (package util-linux)");
    let (links, said) = (String::from_utf8_lossy(&made.stdout), String::from_utf8_lossy(&made.stderr));
    assert!(
        made.status.success(),
        "root may make a namespace and `ip` (package iproute2) works in it: {said}"
    );
    assert!(links.trim_start().starts_with("lo ") && links.lines().count() == 1, "one of its own: {links}");
}
