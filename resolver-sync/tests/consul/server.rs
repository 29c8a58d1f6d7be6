//! Starts real agents, each on a loopback address of its own with the default ports, and ends them.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use reqwest::{Client, Method, Response};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::Instant;

/// A real agent.
pub struct Server {
    child: Child,
    config: Value,
    dir: tempfile::TempDir,
    pub ip: Ipv4Addr,
    http: Client,
    token: Option<&'static str>,
}

/// The token that may do everything where ACLs are on.
pub const ROOT: &str = "b1a0c0de-0000-4000-8000-000000000001";

impl Server {
    /// A server with a leader and itself registered; what it stores outlives [`Server::kill`].
    pub async fn start() -> Server {
        Self::launch(json!({"server": true, "bootstrap_expect": 1}), None).await
    }

    /// The same with ACLs on, denying by default.
    pub async fn start_with_acls() -> Server {
        let config = json!({"server": true, "bootstrap_expect": 1, "acl": {
            "enabled": true, "default_policy": "deny", "tokens": {"master": ROOT, "agent": ROOT}}});
        Self::launch(config, Some(ROOT)).await
    }

    /// The first one with more configuration, in Consul's own terms.
    pub async fn start_with(config: Value) -> Server {
        let mut all = json!({"server": true, "bootstrap_expect": 1});
        merge(&mut all, config);
        Self::launch(all, None).await
    }

    /// A server of another datacentre, which others join over their WAN ports.
    pub async fn start_in(datacenter: &str) -> Server {
        let config =
            json!({"datacenter": datacenter, "primary_datacenter": datacenter, "ports": {"serf_wan": 8302}});
        Self::start_with(config).await
    }

    /// Until each knows a way to the other's datacentre.
    pub async fn join_wan(&self, other: &Server) {
        self.put(&format!("agent/join/{}?wan=1", other.ip), Value::Null).await;
        let known = async |server: &Server| {
            let answer =
                server.ask(Method::GET, "catalog/datacenters", "").await.text().await.expect("a body");
            serde_json::from_str::<Vec<String>>(&answer).expect("JSON").len() == 2
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !(known(self).await && known(other).await) {
            assert!(Instant::now() < deadline, "no way between the datacentres in 20 s");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How many connections there are to its HTTP port, by the kernel's own table.
    pub fn connections(&self) -> usize {
        let [a, b, c, d] = self.ip.octets();
        let local = format!("{:02X}{:02X}{:02X}{:02X}:{:04X}", d, c, b, a, 8500);
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
        let established = |line: &&str| {
            let mut fields = line.split_whitespace().skip(1);
            fields.next() == Some(&local) && fields.nth(1) == Some("01")
        };
        table.lines().filter(established).count()
    }

    /// An agent that is no server, as on every host of a cluster.
    pub async fn join(server: &Server) -> Server {
        let config = json!({"retry_join": [server.ip], "retry_interval": "200ms", "acl": {
            "enabled": true, "default_policy": "deny", "tokens": {"agent": ROOT}}});
        Self::launch(config, Some(ROOT)).await
    }

    async fn launch(config: Value, token: Option<&'static str>) -> Server {
        let ip = own_address();
        let dir = tempfile::tempdir().expect("a directory");
        let mut all = json!({
            "node_name": format!("node-{ip}").replace('.', "-"), "bind_addr": ip, "client_addr": ip.to_string(),
            "advertise_addr_wan": ip.to_string(),
            "data_dir": dir.path().join("data"), "primary_datacenter": "dc1", "disable_update_check": true,
            "disable_remote_exec": true, "log_level": "warn", "performance": {"raft_multiplier": 1},
            "autopilot": {"cleanup_dead_servers": false},
            "ports": {"dns": -1, "grpc": -1, "serf_wan": -1},
        });
        merge(&mut all, config);
        let config = all;
        let http = Client::builder().no_proxy().tls_certs_only([]);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = http.build().expect("a client");
        let child = spawn(&config, &dir);
        let server = Server { child, config, dir, ip, http, token };
        server.ready().await;
        server
    }

    /// What a source is given as its address.
    pub fn address(&self) -> String {
        format!("{}:8500", self.ip)
    }

    /// The name of the agent's own node.
    pub fn node(&self) -> String {
        self.config["node_name"].as_str().expect("a name").to_owned()
    }

    /// SIGKILL: connections are reset, nothing is said.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Starts it again with what it had stored.
    pub fn restart(&mut self) {
        self.child = spawn(&self.config, &self.dir);
    }

    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process");
        kill_process(pid, signal).expect("signal");
    }

    /// A request that must succeed.
    pub async fn ask(&self, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Response {
        let response = self.try_ask(method, path, body).await.expect("an answer");
        let status = response.status();
        assert!(status.is_success(), "{path}: {status} {}", response.text().await.unwrap_or_default());
        response
    }

    async fn try_ask(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Result<Response> {
        let mut request =
            self.http.request(method, format!("http://{}/v1/{path}", self.address())).body(body);
        if let Some(token) = self.token {
            request = request.header("X-Consul-Token", token);
        }
        request.send().await
    }

    pub async fn put(&self, path: &str, body: Value) {
        self.ask(Method::PUT, path, body.to_string()).await;
    }

    /// Registers an instance with a TTL check that passes.
    pub async fn register(&self, service: &str, id: &str, address: &str, port: i64) {
        let body = json!({"Name": service, "ID": id, "Address": address, "Port": port,
            "Check": {"TTL": "10m", "Status": "passing"}});
        self.put("agent/service/register", body).await;
    }

    pub async fn deregister(&self, id: &str) {
        self.put(&format!("agent/service/deregister/{id}"), Value::Null).await;
    }

    /// Sets an instance's TTL check: pass, warn or fail.
    pub async fn check(&self, id: &str, state: &str) {
        self.put(&format!("agent/check/{state}/service:{id}"), Value::Null).await;
    }

    /// Registers an instance on a node that has no agent.
    pub async fn register_on(&self, node: &str, service: &str, address: &str, port: u16) {
        let body = json!({"Node": node, "Address": address,
            "Service": {"Service": service, "ID": format!("{service}-{node}"), "Address": address, "Port": port}});
        self.put("catalog/register", body).await;
    }

    /// Creates a policy; its id.
    pub async fn policy(&self, name: &str, rules: &str) -> String {
        let body = json!({"Name": name, "Rules": rules}).to_string();
        let answer = self.ask(Method::PUT, "acl/policy", body).await.text().await.expect("a body");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["ID"].as_str().expect("an id").to_owned()
    }

    /// Gives a policy other rules.
    pub async fn change_policy(&self, id: &str, name: &str, rules: &str) {
        self.put(&format!("acl/policy/{id}"), json!({"Name": name, "Rules": rules})).await;
    }

    /// Creates a token of one policy; its secret.
    pub async fn token(&self, policy: &str) -> String {
        let body = json!({"Policies": [{"ID": policy}]}).to_string();
        let answer = self.ask(Method::PUT, "acl/token", body).await.text().await.expect("a body");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["SecretID"].as_str().expect("a secret").to_owned()
    }

    /// Until there is a leader and the agent's own node is in the catalogue.
    async fn ready(&self) {
        let path = format!("health/node/{}", self.node());
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Ok(response) = self.try_ask(Method::GET, &path, "").await
                && response.status().is_success()
                && response.text().await.is_ok_and(|text| text.contains("serfHealth"))
            {
                return;
            }
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "no leader in 20 s at {}:\n{log}", self.ip);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is in both is taken from the second.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from,
    }
}

fn spawn(config: &Value, dir: &tempfile::TempDir) -> Child {
    let binary = PathBuf::from(
        std::env::var_os("CONSUL_BIN").expect("CONSUL_BIN names no Consul; run `cargo xtask servers`"),
    );
    let file = dir.path().join("config.json");
    std::fs::write(&file, config.to_string()).expect("write");
    let log = std::fs::File::create(dir.path().join("log")).expect("a log");
    Command::new(&binary)
        .args(["agent", "-config-file"])
        .arg(file)
        .stdin(Stdio::null())
        .stderr(log.try_clone().expect("a log"))
        .stdout(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask servers`", binary.display()))
}

/// No two servers of this process share one, and hardly any of two processes.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let pid = std::process::id();
    Ipv4Addr::new(127, 100 + (pid % 100) as u8, (pid / 100 % 250) as u8, NEXT.fetch_add(1, Ordering::Relaxed))
}
