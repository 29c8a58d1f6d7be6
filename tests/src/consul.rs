//! A real Consul: one agent that is the whole cluster.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::address;
use crate::http::{Answer, request};
use crate::process::Process;
use crate::scratch;
use crate::servers;
use crate::wait::try_until;

/// May do everything where [`ConsulOptions::acl`] is on.
pub const MASTER_TOKEN: &str = "5a3cbd8e-6f0a-4d6c-9d0b-7d6f1f0e2c11";

/// HTTP, server RPC, gossip.
const PORTS: [u16; 3] = [8500, 8300, 8301];
/// A durable server holds its first election after 1.5 s here, much later on a machine that is busy building.
const READY: Duration = Duration::from_secs(60);
/// For one ordinary request.
const REQUEST: Duration = Duration::from_secs(20);

/// The binary that is started, which is its command line tool, too.
///
/// # Panics
///
/// With what to do, if there is none.
#[track_caller]
pub fn consul_program() -> PathBuf {
    servers::server("consul", "consul", "CONSUL_BIN")
}

/// How to start [`Consul`].
#[derive(Clone, Debug, Default)]
pub struct ConsulOptions {
    durable: bool,
    acl: bool,
    config: Option<Value>,
}

impl ConsulOptions {
    /// An agent in development mode: ready in 0.2 s, everything in memory, gone when it ends; no ACLs.
    pub fn new() -> Self {
        Self::default()
    }

    /// A server with a data directory: ready in 1.5 s, and what was registered is there after a restart. Its elections
    /// have ordinary time-outs (the development mode's 52 ms lose the leader when a core stalls).
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// ACLs on, default deny. The harness's own requests carry [`MASTER_TOKEN`].
    #[must_use]
    pub fn acl(mut self) -> Self {
        self.acl = true;
        self
    }

    /// Configuration in Consul's own terms, merged over the harness's by Consul itself.
    #[must_use]
    pub fn config(mut self, config: Value) -> Self {
        self.config = Some(config);
        self
    }
}

/// A running Consul; as a [`Process`] it can be killed, stopped, continued and asked for its log.
#[derive(Debug)]
pub struct Consul {
    process: Process,
    address: Ipv4Addr,
    options: ConsulOptions,
    // Dropped after the process that uses it: fields drop in their order.
    _dir: TempDir,
}

impl Deref for Consul {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Consul {
    /// Starts one, and waits until it has a leader and takes a write.
    ///
    /// # Panics
    ///
    /// If there is no binary (with what to do) or it does not become ready (with its log).
    #[track_caller]
    pub fn start(options: ConsulOptions) -> Consul {
        let program = consul_program();
        let dir = scratch::on_disk();
        let address = address::loopback(&PORTS);
        let args = arguments(&options, address, &dir);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let process = Process::start("consul", &program, &args, dir.path());
        let consul = Consul { process, address, options, _dir: dir };
        consul.wait_until_ready();
        consul
    }

    /// Kills it if it runs, starts it again on the same address, and waits until it is ready. A durable one keeps its
    /// state; one in development mode is a new, empty cluster.
    #[track_caller]
    pub fn restart(&self) {
        self.process.kill();
        self.process.start_again();
        self.wait_until_ready();
    }

    /// Where its HTTP API listens.
    pub fn http_addr(&self) -> SocketAddr {
        SocketAddr::from((self.address, PORTS[0]))
    }

    /// Its HTTP API's base, `http://127.X.Y.Z:8500`.
    pub fn url(&self) -> String {
        format!("http://{}", self.http_addr())
    }

    /// PUT of a JSON body to a path (`/v1/...`); what came back.
    ///
    /// # Panics
    ///
    /// If the answer is not 200.
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Value {
        self.expect("PUT", path, Some(body))
    }

    /// GET of a path (`/v1/...`).
    ///
    /// # Panics
    ///
    /// If the answer is not 200.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.expect("GET", path, None)
    }

    /// Any request, any token (none: anonymous), any answer.
    ///
    /// # Errors
    ///
    /// If no answer came within the deadline.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Vec<u8>>,
        deadline: Duration,
    ) -> Result<Answer, String> {
        let token = token.map(|token| ("X-Consul-Token", token));
        request(method, &format!("{}{path}", self.url()), token.as_slice(), body, deadline)
    }

    /// Registers through the agent, in Consul's own terms (`Name`, `ID`, `Address`, `Port`, `Tags`, `Check`, ...).
    #[track_caller]
    pub fn register(&self, service: &Value) {
        self.put("/v1/agent/service/register", service);
    }

    /// Registers an instance with a TTL check that passes now and does not expire within a test. [`fail`](Self::fail),
    /// [`warn`](Self::warn) and [`pass`](Self::pass) change it.
    #[track_caller]
    pub fn register_ttl(&self, service: &str, id: &str, address: &str, port: u16) {
        self.register(&json!({
            "Name": service, "ID": id, "Address": address, "Port": port,
            "Check": { "CheckID": format!("service:{id}"), "TTL": "1h", "Status": "passing" },
        }));
    }

    /// Removes an instance through the agent.
    #[track_caller]
    pub fn deregister(&self, id: &str) {
        self.put(&format!("/v1/agent/service/deregister/{id}"), &Value::Null);
    }

    /// The instance's TTL check passes.
    #[track_caller]
    pub fn pass(&self, id: &str) {
        self.put(&format!("/v1/agent/check/pass/service:{id}"), &Value::Null);
    }

    /// The instance's TTL check is in warning.
    #[track_caller]
    pub fn warn(&self, id: &str) {
        self.put(&format!("/v1/agent/check/warn/service:{id}"), &Value::Null);
    }

    /// The instance's TTL check is critical.
    #[track_caller]
    pub fn fail(&self, id: &str) {
        self.put(&format!("/v1/agent/check/fail/service:{id}"), &Value::Null);
    }

    /// Creates a policy with these rules, or gives the one of that name new rules; it holds at once.
    #[track_caller]
    pub fn set_policy(&self, name: &str, rules: &str) {
        let policies = self.get("/v1/acl/policies");
        let known = policies.as_array().and_then(|all| all.iter().find(|policy| policy["Name"] == name));
        let path = match known.and_then(|policy| policy["ID"].as_str()) {
            Some(id) => format!("/v1/acl/policy/{id}"),
            None => "/v1/acl/policy".to_owned(),
        };
        self.put(&path, &json!({ "Name": name, "Rules": rules }));
    }

    /// A new token with these policies: its secret.
    #[track_caller]
    pub fn create_token(&self, policies: &[&str]) -> String {
        let policies: Vec<Value> = policies.iter().map(|name| json!({ "Name": name })).collect();
        let token = self.put("/v1/acl/token", &json!({ "Policies": policies }));
        token["SecretID"].as_str().expect("a new token has a secret").to_owned()
    }

    /// Revokes a token by its secret.
    #[track_caller]
    pub fn delete_token(&self, secret: &str) {
        let own = self.request("GET", "/v1/acl/token/self", Some(secret), None, REQUEST);
        let own = own.unwrap_or_else(|e| panic!("{e}{}", self.logs())).json();
        let accessor = own["AccessorID"].as_str().expect("the secret of a token that exists");
        self.expect("DELETE", &format!("/v1/acl/token/{accessor}"), None);
    }

    #[track_caller]
    fn expect(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let body = body.filter(|body| !body.is_null()).map(|body| body.to_string().into_bytes());
        match self.request(method, path, self.own_token(), body, REQUEST) {
            Ok(answer) if answer.status == 200 => answer.json(),
            Ok(answer) => panic!("{method} {path}: {}: {}{}", answer.status, answer.text(), self.logs()),
            Err(e) => panic!("{method} {path}: {e}{}", self.logs()),
        }
    }

    fn own_token(&self) -> Option<&'static str> {
        self.options.acl.then_some(MASTER_TOKEN)
    }

    #[track_caller]
    fn wait_until_ready(&self) {
        // Over the deadline of one attempt: an agent that starts may accept and not answer.
        let ask = |method: &str, path: &str, body: Option<&str>| {
            let body = body.map(|body| body.as_bytes().to_vec());
            let answer = self.request(method, path, self.own_token(), body, Duration::from_secs(2))?;
            if answer.status == 200 { Ok(answer.json()) } else { Err(format!("{path}: {}", answer.text())) }
        };
        let ready = try_until(READY, || {
            if !self.process.is_running() {
                return Ok(Err("it has ended".to_owned()));
            }
            if ask("GET", "/v1/status/leader", None)?.as_str().is_none_or(str::is_empty) {
                return Err("it has no leader".to_owned());
            }
            ask("PUT", "/v1/kv/resolver-tests/ready", Some("yes"))?;
            // Registered itself: its node's address is there for services without one.
            let nodes = ask("GET", "/v1/catalog/nodes", None)?;
            let registered = nodes.as_array().is_some_and(|nodes| !nodes.is_empty());
            if registered { Ok(Ok(())) } else { Err("its own node is not in the catalogue".to_owned()) }
        });
        if let Err(why) = ready.and_then(|running| running) {
            panic!("consul on {} is not ready: {why}{}", self.address, self.logs());
        }
    }
}

fn arguments(options: &ConsulOptions, address: Ipv4Addr, dir: &TempDir) -> Vec<String> {
    let mut config = json!({
        "disable_update_check": true,
        "disable_remote_exec": true,
        "bind_addr": address, "client_addr": address,
        // The same name after a restart; each instance is a cluster of its own.
        "node_name": "node-1",
        "ports": { "dns": -1, "grpc": -1, "https": -1, "serf_wan": -1 },
        // A server's elections within 1 to 2 s rather than 5 to 10.
        "performance": { "raft_multiplier": 1 },
    });
    if options.acl {
        config["acl"] = json!({
            "enabled": true, "default_policy": "deny",
            // The agent registers its node and services with its own token.
            "tokens": { "master": MASTER_TOKEN, "agent": MASTER_TOKEN },
        });
    }
    let mut args: Vec<String> = vec!["agent".into()];
    if options.durable {
        let data = dir.path().join("data").display().to_string();
        args.extend(["-server".into(), "-bootstrap-expect=1".into(), format!("-data-dir={data}")]);
    } else {
        args.push("-dev".into());
    }
    for (name, config) in [("harness.json", Some(&config)), ("test.json", options.config.as_ref())] {
        if let Some(config) = config {
            let file: PathBuf = dir.path().join(name);
            if let Err(e) = std::fs::write(&file, config.to_string()) {
                panic!("{}: {e}", file.display());
            }
            args.push(format!("-config-file={}", file.display()));
        }
    }
    args
}
