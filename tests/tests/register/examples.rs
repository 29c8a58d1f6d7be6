//! The examples of `resolver-sync`, counterparts of the seed's, each run against the real server that it is for.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use resolver_tests::{Consul, ConsulOptions, Etcd, EtcdOptions, eventually, request};

use crate::SOON;

/// An example that runs; it ends when its standard input does, and with the test.
struct Example {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Example {
    #[track_caller]
    fn start(name: &str, args: &[&str]) -> Example {
        let spawned =
            Command::new(binary(name)).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.expect("a program just built");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        Example { child, out }
    }

    /// The next line that it prints; empty at its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    fn say(&mut self, text: &str) {
        self.child.stdin.as_mut().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    }

    /// Ends its standard input, and waits for its end: what it still printed.
    fn end(&mut self) -> String {
        drop(self.child.stdin.take());
        let last = self.line();
        assert!(self.child.wait().is_ok_and(|status| status.success()), "{last}");
        last
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Fails where it has ended, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo puts examples, beside the tests' own profile.
#[track_caller]
fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a running program's own path");
    let profile = own.ancestors().nth(2).expect("target/PROFILE/deps/test");
    let binary = profile.join("examples").join(name);
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../resolver-sync/examples")
        .join(format!("{name}.rs"));
    let time = |file: &PathBuf| file.metadata().and_then(|meta| meta.modified()).ok();
    assert!(time(&source).is_some(), "no {}", source.display());
    assert!(
        time(&binary) > time(&source),
        "no {}, or older than its source: run `cargo build -p resolver-sync --examples`",
        binary.display()
    );
    binary
}

#[test]
fn register_and_deregister_and_discover_healthy() {
    let consul = Consul::start(ConsulOptions::new());
    let mut registering = Example::start("register_deregister", &[&consul.url()]);
    let line = registering.line();
    let id = line.strip_prefix("registered ").expect(&line).to_owned();
    let entry = consul.get("/v1/health/service/risk-service?passing")[0].clone();
    assert_eq!(entry["Service"]["ID"], id.as_str());
    assert_eq!(entry["Service"]["Tags"], serde_json::json!(["trading", "hft", "rust"]));

    let mut discovering = Example::start("discover_healthy", &[&consul.url(), "risk-service"]);
    let (instance, resolved) = (discovering.line(), discovering.line());
    assert_eq!(instance, format!("node-1/{id} at 127.0.0.1:8080 [\"hft\", \"rust\", \"trading\"]"));
    assert_eq!(resolved, "resolved 127.0.0.1:8080");
    discovering.end();

    assert_eq!(registering.end(), "deregistered");
    assert_eq!(consul.get("/v1/health/service/risk-service"), serde_json::json!([]));
    let mut discovering = Example::start("discover_healthy", &[&consul.url(), "risk-service"]);
    assert!(discovering.line().starts_with("no risk-service: "), "nobody is there any more");
}

#[test]
fn lease_with_keepalive() {
    let etcd = Etcd::start(EtcdOptions::new());
    let mut registering = Example::start("lease_keepalive", &[&etcd.url()]);
    assert_eq!(registering.line(), "registered instance-1");
    let value = etcd.etcdctl(&["get", "--print-value-only", "/services/strategy/instance-1"]);
    assert!(value.starts_with("{\"address\":\"127.0.0.1\",\"port\":8080,\"timestamp\":"), "{value}");
    assert_eq!(registering.end(), "deregistered");
    assert_eq!(etcd.etcdctl(&["get", "/services/strategy/instance-1"]), "");
}

#[test]
fn health_endpoint() {
    let mut example = Example::start("health_endpoint", &["127.0.0.1:0"]);
    let base = example.line();
    let ask = |path: &str| {
        request("GET", &format!("{base}{path}"), &[], None, Duration::from_secs(10)).expect("it listens")
    };
    assert_eq!((ask("/health").status, ask("/ready").status), (200, 200));
    example.say("no tick for 3 s\n");
    eventually(SOON, "it is unhealthy", || ask("/health").status == 503);
    assert_eq!(ask("/health").json()["components"]["market-data"]["reason"], "no tick for 3 s");
    assert_eq!(ask("/ready").status, 503);
    example.say("\n");
    eventually(SOON, "it is well again", || ask("/health").status == 200);
    example.end();
}
