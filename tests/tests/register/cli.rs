//! `resolver register` on real servers.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use resolver_tests::{Consul, ConsulOptions, Etcd, EtcdOptions, Host, Process, eventually};
use rustix::process::Signal;

use crate::{SOON, held, passing};

/// `register orders --port 9001 --id orders-1 --address 10.0.0.1 --ttl 2s`, and more.
fn start(host: &Host, registry: &[&str], more: &[&str]) -> Process {
    let common = ["register", "orders", "--port", "9001", "--id", "orders-1", "--address", "10.0.0.1"];
    let args: Vec<&str> = common
        .into_iter()
        .chain(["--ttl", "2s"])
        .chain(registry.iter().copied())
        .chain(more.iter().copied())
        .collect();
    host.start(&args)
}

fn consul() -> (Consul, String) {
    let consul = Consul::start(ConsulOptions::new());
    let url = consul.url();
    (consul, url)
}

fn is_there(consul: &Consul) -> bool {
    consul.get("/v1/agent/services")["orders-1"].is_object()
}

/// A command that notes what happens to it, in files beside this one, and ends with 3 when it gets SIGTERM.
fn noting(dir: &Path) -> (String, PathBuf, PathBuf) {
    let (up, told) = (dir.join("up"), dir.join("told"));
    let script = format!(
        "trap 'echo > {}; exit 3' TERM; echo $$ > {}; while :; do sleep 0.05; done",
        told.display(),
        up.display()
    );
    (script, up, told)
}

#[test]
fn the_commands_code_is_ours_and_it_is_gone_when_the_command_is() {
    let (consul, url) = consul();
    let host = Host::new();
    let (script, up, _) = noting(host.dir());
    let own = start(&host, &["--consul", &url], &["--", "sh", "-c", &script]);
    eventually(SOON, "it is found", || passing(&consul) == ["orders-1"] && up.exists());
    let pid = std::fs::read_to_string(&up).expect("it noted its id");
    assert!(Command::new("kill").args(["-TERM", pid.trim()]).status().is_ok_and(|status| status.success()));
    assert_eq!(own.exit(SOON).code(), Some(3));
    assert!(!is_there(&consul), "deregistered before we end");

    let killed = start(&host, &["--consul", &url], &["--", "sh", "-c", "kill -9 $$"]);
    assert_eq!(killed.exit(SOON).code(), Some(137), "as shells have it");
    let missing = start(&host, &["--consul", &url], &["--", "/no/such/command"]);
    assert_eq!(missing.exit(SOON).code(), Some(127), "as shells have it{}", missing.logs());
    assert!(missing.stderr().contains("/no/such/command"));
    assert!(!is_there(&consul));
}

#[test]
fn at_sigterm_it_is_deregistered_first_and_the_command_is_told_after_the_drain() {
    let (consul, url) = consul();
    let host = Host::new();
    let (script, up, told) = noting(host.dir());
    // The drain would outlast the test: it is cut short by a second signal.
    let own = start(&host, &["--consul", &url, "--drain", "10m"], &["--", "sh", "-c", &script]);
    eventually(SOON, "it is found", || passing(&consul) == ["orders-1"] && up.exists());
    own.signal(Signal::TERM);
    eventually(SOON, "it is deregistered", || !is_there(&consul));
    assert!(own.is_running() && !told.exists(), "the command goes on while callers leave");
    own.signal(Signal::TERM);
    assert_eq!(own.exit(SOON).code(), Some(3), "{}", own.logs());
    assert!(told.exists());
}

#[test]
fn a_drain_ends_by_itself_and_may_be_a_maintenance() {
    let (consul, url) = consul();
    let host = Host::new();
    let (script, up, told) = noting(host.dir());
    let drain = ["--consul", &url, "--drain", "1500ms", "--drain-in-maintenance"];
    let own = start(&host, &drain, &["--", "sh", "-c", &script]);
    eventually(SOON, "it is found", || passing(&consul) == ["orders-1"] && up.exists());
    own.signal(Signal::INT);
    eventually(SOON, "it is in maintenance", || {
        consul.get("/v1/agent/checks")["_service_maintenance:orders-1"].is_object() || !own.is_running()
    });
    assert!(passing(&consul).is_empty());
    // SIGINT is passed on as it came, and `sh` ends by it; TERM's trap is not run.
    assert_eq!(own.exit(SOON).code(), Some(130), "{}", own.logs());
    assert!(!told.exists() && !is_there(&consul));
}

#[test]
fn a_command_that_does_not_end_is_killed_where_that_was_asked_for() {
    let (consul, url) = consul();
    let host = Host::new();
    let up = host.dir().join("up");
    let script = format!("trap '' TERM; echo > {}; while :; do sleep 0.05; done", up.display());
    let own = start(&host, &["--consul", &url, "--kill-after", "100ms"], &["--", "sh", "-c", &script]);
    eventually(SOON, "it is found", || passing(&consul) == ["orders-1"] && up.exists());
    assert_eq!(own.terminate(SOON).code(), Some(137));
}

#[test]
fn without_a_command_it_stays_until_a_signal() {
    let (consul, url) = consul();
    let host = Host::new();
    let own = start(&host, &["--consul", &url], &[]);
    eventually(SOON, "it is found", || passing(&consul) == ["orders-1"]);
    assert_eq!(own.terminate(SOON).code(), Some(0));
    assert!(!is_there(&consul));
}

#[test]
fn killed_it_is_gone_after_the_ttl_from_consul() {
    let (consul, url) = consul();
    let host = Host::new();
    let own = start(&host, &["--consul", &url], &[]);
    eventually(SOON, "it is found", || passing(&consul) == ["orders-1"]);
    own.kill();
    eventually(SOON, "nobody finds it", || passing(&consul).is_empty());
}

#[test]
fn killed_it_is_gone_after_the_ttl_from_etcd() {
    let etcd = Etcd::start(EtcdOptions::new());
    let host = Host::new();
    let own = start(&host, &["--etcd", &etcd.url()], &[]);
    eventually(SOON, "it is there", || held(&etcd).is_some());
    own.kill();
    eventually(SOON, "it is gone", || held(&etcd).is_none());
}

#[test]
fn stopped_for_longer_than_the_ttl_it_is_there_again_when_it_goes_on() {
    let etcd = Etcd::start(EtcdOptions::new());
    let host = Host::new();
    let own = start(&host, &["--etcd", &etcd.url()], &[]);
    eventually(SOON, "it is there", || held(&etcd).is_some());
    own.stop();
    eventually(SOON, "it is gone", || held(&etcd).is_none());
    own.cont();
    eventually(SOON, "it is there again", || held(&etcd).is_some());
    assert_eq!(own.terminate(SOON).code(), Some(0));
    assert_eq!(held(&etcd), None);
}

#[test]
fn a_second_one_of_the_same_id_does_not_start_its_command() {
    let (consul, url) = consul();
    let host = Host::new();
    let _own = start(&host, &["--consul", &url], &[]);
    eventually(SOON, "it is found", || passing(&consul) == ["orders-1"]);
    let (script, up, _) = noting(host.dir());
    let second = start(&host, &["--consul", &url], &["--", "sh", "-c", &script]);
    assert_eq!(second.exit(SOON).code(), Some(1), "{}", second.logs());
    assert!(second.stderr().contains("which is alive") && !up.exists(), "{}", second.stderr());
    assert_eq!(passing(&consul), ["orders-1"]);
}

#[test]
fn a_registry_that_is_away_keeps_no_command_from_starting_unless_it_is_required() {
    let (consul, url) = consul();
    consul.kill();
    let host = Host::new();
    let (script, up, _) = noting(host.dir());
    let wait = ["--consul", &url, "--wait", "100ms"];
    let required = start(&host, &wait, &["--required", "--", "sh", "-c", &script]);
    assert_eq!(required.exit(SOON).code(), Some(1), "{}", required.logs());
    assert!(!up.exists());
    let own = start(&host, &wait, &["--", "sh", "-c", &script]);
    eventually(SOON, "the command runs", || up.exists());
    consul.restart();
    eventually(SOON, "it is registered when it can be", || passing(&consul) == ["orders-1"]);
    assert_eq!(own.terminate(SOON).code(), Some(3));
}

#[test]
fn nobody_finds_it_before_it_listens_where_that_was_asked_for() {
    let (consul, url) = consul();
    let host = Host::new();
    let reserved = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = reserved.local_addr().expect("its address").port();
    drop(reserved);
    let port = port.to_string();
    let args = [
        "register",
        "orders",
        "--port",
        &port,
        "--id",
        "orders-1",
        "--address",
        "127.0.0.1",
        "--consul",
        &url,
        "--ready-when-listening",
        "--",
        "sleep",
        "600",
    ];
    let own = host.start(&args);
    eventually(SOON, "it is registered", || is_there(&consul));
    assert!(passing(&consul).is_empty());
    let _listener = TcpListener::bind(format!("127.0.0.1:{port}")).expect("still free");
    eventually(SOON, "it is found", || passing(&consul) == ["orders-1"]);
    assert_eq!(own.terminate(SOON).code(), Some(143), "`sleep` ended by SIGTERM");
}

#[test]
fn a_token_is_taken_from_the_environment_and_shown_to_nobody() {
    let consul = Consul::start(ConsulOptions::new().acl());
    consul.set_policy(
        "orders",
        "service \"orders\" { policy = \"write\" } node_prefix \"\" { policy = \"read\" }",
    );
    let token = consul.create_token(&["orders"]);
    let host = Host::new();
    let (url, up) = (consul.url(), host.dir().join("up"));
    let script = format!("env; echo > {}; exec sleep 600", up.display());
    let variable = format!("RESOLVER_CONSUL_TOKEN={token}");
    let binary = host.binary().display().to_string();
    let args = [
        &variable,
        "RUST_LOG=trace",
        &binary,
        "register",
        "orders",
        "--port",
        "9001",
        "--id",
        "orders-1",
        "--consul",
        &url,
        "--",
        "sh",
        "-c",
        &script,
    ];
    let own = Process::start("env", Path::new("/usr/bin/env"), &args, host.dir());
    eventually(SOON, "it is found, and its command runs", || is_there_with(&consul) && up.exists());
    let command_line = std::fs::read(format!("/proc/{}/cmdline", own.pid())).expect("it runs");
    let command_line = String::from_utf8_lossy(&command_line).into_owned();
    assert!(!command_line.contains(&token), "{command_line}");
    assert_eq!(own.terminate(SOON).code(), Some(143));
    let said = own.stdout() + &own.stderr();
    assert!(
        said.contains("PATH=") && said.contains("registered"),
        "the command's environment, and our log: {said}"
    );
    assert!(!said.contains(&token), "the token is shown");
}

fn is_there_with(consul: &Consul) -> bool {
    let answer = consul.get("/v1/health/service/orders?passing");
    answer.as_array().is_some_and(|entries| entries.len() == 1)
}

#[test]
fn a_token_on_the_command_line_is_no_option() {
    let host = Host::new();
    let ran = host.run(&["register", "orders", "--port", "1", "--token", "canary"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let usage = host.run(&["register", "orders", "--port", "1", "--etcd", "http://127.0.0.1:1"]);
    assert_eq!(usage.code, Some(2), "{}", usage.stderr);
    assert!(usage.stderr.contains("--address"), "{}", usage.stderr);
}
