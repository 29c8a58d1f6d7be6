//! A real Consul of three servers, and a client agent on the host.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::access::Access;
use super::network::Network;
use super::{MEMBERS, Options};
use crate::address;
use crate::consul::MASTER_TOKEN;
use crate::http::{Answer, request};
use crate::process::Process;
use crate::scratch;
use crate::servers;
use crate::tls::Tls;
use crate::wait::{try_until, until};

/// The names of certificates: the client agent's, and our agent's.
const CLIENT: &str = "consul-client";
const AGENT: &str = "agent";
/// For servers that find each other, elect a leader and take a write, on a machine that is busy building.
const READY: Duration = Duration::from_secs(90);
/// For one request.
const REQUEST: Duration = Duration::from_secs(5);
/// A key that is there, and that moves with every write of a test.
pub(super) const GATE: &str = "resolver-tests/ready";
/// For a snapshot, either way.
const SNAPSHOT: Duration = Duration::from_secs(20);

/// Three servers, each in a namespace of its own, and a client agent beside us.
#[derive(Debug)]
pub struct Consul {
    servers: Vec<Process>,
    agent: Process,
    agent_address: Ipv4Addr,
    options: Options,
    tls: Option<Tls>,
    // Dropped after the processes that use them: fields drop in their order.
    network: Network,
    dir: TempDir,
}

impl Consul {
    /// Starts one, and waits until each server and the agent answer and a write has been taken.
    #[track_caller]
    pub fn start(options: Options) -> Consul {
        let program = servers::server("consul", "consul", "CONSUL_BIN");
        let network = Network::new(MEMBERS);
        let dir = scratch::on_disk();
        let agent_address = address::loopback(&[8500, 8501]);
        let tls = options.tls.then(|| Tls::new(dir.path()));
        if let Some(tls) = &tls {
            (0..MEMBERS).for_each(|server| tls.issue(&name(server), &names(&network, server)));
            tls.issue(CLIENT, &client_names(agent_address));
            tls.issue(AGENT, &[AGENT.to_owned()]);
        }
        let common = |name: &str| common(name, dir.path(), options, tls.as_ref());
        let write = |name: &str, config: &Value| {
            let file = dir.path().join(name);
            if let Err(e) = std::fs::write(&file, config.to_string()) {
                panic!("{}: {e}", file.display());
            }
            vec!["agent".to_owned(), format!("-config-file={}", file.display())]
        };
        let start = |server: usize| {
            let name = name(server);
            let args = write(&format!("{name}.json"), &server_config(common(&name), &network, server));
            let args = network.inside(server, &program, &args);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            Process::start(&name, Path::new("ip"), &args, dir.path())
        };
        let servers = (0..MEMBERS).map(start).collect();
        let args = write("agent.json", &agent_config(common(CLIENT), &network, agent_address));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let agent = Process::start(CLIENT, &program, &args, dir.path());
        let consul = Consul { servers, agent, agent_address, options, tls, network, dir };
        consul.wait_until_ready();
        consul
    }

    /// Where a server's HTTP API is reached.
    pub fn server_url(&self, server: usize) -> String {
        format!("http://{}:8500", self.network.front(server))
    }

    /// The settings of a source of ours, but for a token: it reaches the client agent, over TLS where there is any.
    pub fn settings(&self) -> String {
        match &self.tls {
            Some(tls) => {
                format!("address = \"https://{}:8501\"\n{}", self.agent_address, tls.settings(AGENT))
            }
            None => format!("address = \"{}\"\n", self.agent_url()),
        }
    }

    /// The client agent, over TLS where there is any, with the token of one who may do everything.
    pub fn access(&self) -> Access {
        let token = self.token().map(str::to_owned);
        match &self.tls {
            Some(tls) => {
                let url = format!("https://{}:8501", self.agent_address);
                Access { url, tls: Some(tls.files(AGENT)), token, user: None }
            }
            None => Access { token, ..Access::plain(self.agent_url()) },
        }
    }

    /// Gives the client agent a certificate that has expired, or one that holds, and starts it again: the connections of
    /// before would outlive any certificate.
    pub fn renew(&self, expired: bool) {
        let Some(tls) = &self.tls else { return };
        let names = client_names(self.agent_address);
        if expired {
            tls.issue_expired(CLIENT, &names)
        } else {
            tls.issue(CLIENT, &names)
        }
        self.restart_agent();
    }

    /// The same of our agent's own certificate, without a restart of anything.
    pub fn renew_agent(&self, expired: bool) {
        let Some(tls) = &self.tls else { return };
        let names = [AGENT.to_owned()];
        if expired { tls.issue_expired(AGENT, &names) } else { tls.issue(AGENT, &names) }
    }

    /// SIGKILL to the client agent, and starts it again.
    pub fn restart_agent(&self) {
        self.agent.kill();
        self.agent.start_again();
    }

    /// The same, without the services that were registered with it: a host that was set up anew.
    ///
    /// # Panics
    ///
    /// If what it keeps on disk cannot be removed.
    #[track_caller]
    pub fn restart_agent_empty(&self) {
        self.agent.kill();
        for what in ["services", "checks"] {
            let kept = self.dir.path().join(CLIENT).join(what);
            if kept.exists()
                && let Err(e) = std::fs::remove_dir_all(&kept)
            {
                panic!("{}: {e}", kept.display());
            }
        }
        self.agent.start_again();
    }

    /// Where the client agent's HTTP API is reached without TLS: a loopback address.
    pub fn agent_url(&self) -> String {
        format!("http://{}:8500", self.agent_address)
    }

    /// The cables.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// A server's process.
    pub fn server(&self, server: usize) -> &Process {
        &self.servers[server]
    }

    /// The client agent's process.
    pub fn agent(&self) -> &Process {
        &self.agent
    }

    /// The token of one who may do everything, where there are ACLs.
    pub fn token(&self) -> Option<&'static str> {
        self.options.auth.then_some(MASTER_TOKEN)
    }

    /// One request to a URL, with the token of one who may do everything.
    pub fn request(
        &self,
        method: &str,
        url: &str,
        body: Option<Vec<u8>>,
        deadline: Duration,
    ) -> Result<Answer, String> {
        let token = self.token().map(|token| ("X-Consul-Token", token));
        let answer = request(method, url, token.as_slice(), body, deadline)?;
        match answer.status {
            200 => Ok(answer),
            status => Err(format!("{method} {url}: {status}: {}", answer.text())),
        }
    }

    /// PUT of JSON to a server.
    pub fn put(&self, server: usize, path: &str, body: &Value) -> Result<Value, String> {
        let body = (!body.is_null()).then(|| body.to_string().into_bytes());
        Ok(self.request("PUT", &format!("{}{path}", self.server_url(server)), body, REQUEST)?.json())
    }

    /// GET from a server.
    pub fn get(&self, server: usize, path: &str) -> Result<Value, String> {
        Ok(self.request("GET", &format!("{}{path}", self.server_url(server)), None, REQUEST)?.json())
    }

    /// GET from the client agent.
    pub fn get_agent(&self, path: &str) -> Result<Value, String> {
        Ok(self.request("GET", &format!("{}{path}", self.agent_url()), None, REQUEST)?.json())
    }

    /// PUT of JSON to the client agent.
    pub fn put_agent(&self, path: &str, body: &Value) -> Result<Value, String> {
        let body = (!body.is_null()).then(|| body.to_string().into_bytes());
        Ok(self.request("PUT", &format!("{}{path}", self.agent_url()), body, REQUEST)?.json())
    }

    /// The server that leads, as one of them says that runs.
    pub fn leader(&self) -> Result<usize, String> {
        let mut last = "no server runs".to_owned();
        for server in (0..MEMBERS).filter(|server| self.servers[*server].is_running()) {
            let leader = match self.get(server, "/v1/status/leader") {
                Ok(leader) => leader.as_str().unwrap_or_default().to_owned(),
                Err(why) => {
                    last = why;
                    continue;
                }
            };
            let of = |member: &usize| leader == format!("{}:8300", self.network.peer(*member));
            match (0..MEMBERS).find(of) {
                Some(leader) => return Ok(leader),
                None => last = format!("server {server} says that `{leader}` leads"),
            }
        }
        Err(last)
    }

    /// The cluster's whole state, for [`restore`](Self::restore).
    #[track_caller]
    pub fn save(&self) -> Vec<u8> {
        let url = format!("{}/v1/snapshot", self.server_url(0));
        until(READY, "a snapshot is saved", || self.request("GET", &url, None, SNAPSHOT)).body
    }

    /// Takes the cluster back to a snapshot, while it runs.
    #[track_caller]
    pub fn restore(&self, snapshot: &[u8]) {
        let url = format!("{}/v1/snapshot", self.server_url(0));
        until(READY, "the snapshot is restored", || {
            self.request("PUT", &url, Some(snapshot.to_vec()), SNAPSHOT)
        });
    }

    /// Creates a policy with these rules and a token for it with this secret; a token of that secret may have been there
    /// before and be gone.
    pub fn create_token(&self, secret: &str, rules: &str) -> Result<(), String> {
        let policies = self.get(0, "/v1/acl/policies")?;
        let known = policies.as_array().is_some_and(|all| all.iter().any(|policy| policy["Name"] == "agent"));
        if !known {
            self.put(0, "/v1/acl/policy", &json!({ "Name": "agent", "Rules": rules }))?;
        }
        let token = json!({ "SecretID": secret, "Policies": [{ "Name": "agent" }] });
        self.put(0, "/v1/acl/token", &token).map(drop)
    }

    /// Revokes a token by its secret.
    pub fn delete_token(&self, secret: &str) -> Result<(), String> {
        let url = format!("{}/v1/acl/token/self", self.server_url(0));
        let own = request("GET", &url, &[("X-Consul-Token", secret)], None, REQUEST)?.json();
        let accessor =
            own["AccessorID"].as_str().ok_or("the token's own secret does not read it")?.to_owned();
        let url = format!("{}/v1/acl/token/{accessor}", self.server_url(0));
        self.request("DELETE", &url, None, REQUEST).map(drop)
    }

    /// Waits until every server has the same leader and is voted in, and both they and the agent answer.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        let ready = try_until(READY, || {
            let mut running = self.servers.iter().chain([&self.agent]);
            if running.any(|process| !process.is_running()) {
                return Ok(Err("one has ended".to_owned()));
            }
            self.leader()?;
            for server in 0..MEMBERS {
                self.get(server, "/v1/health/service/consul?consistent")?;
            }
            self.put(0, &format!("/v1/kv/{GATE}"), &json!("yes"))?;
            let url = format!("{}/v1/health/service/consul?passing=1", self.agent_url());
            let passing = self.request("GET", &url, None, REQUEST)?.json();
            match passing.as_array().map_or(0, Vec::len) {
                MEMBERS => Ok(Ok(())),
                some => Err(format!("{some} of {MEMBERS} servers are passing")),
            }
        });
        if let Err(why) = ready.and_then(|running| running) {
            let logs: String = self.servers.iter().chain([&self.agent]).map(Process::logs).collect();
            panic!("consul's cluster is not ready: {why}{logs}");
        }
    }
}

fn name(server: usize) -> String {
    format!("consul-{server}")
}

/// What a server's certificate says: Consul asks for the first.
fn names(network: &Network, server: usize) -> Vec<String> {
    vec!["server.dc1.consul".into(), network.front(server).to_string(), network.peer(server).to_string()]
}

fn client_names(address: Ipv4Addr) -> Vec<String> {
    vec!["client.dc1.consul".into(), address.to_string()]
}

fn server_config(mut config: Value, network: &Network, server: usize) -> Value {
    let others: Vec<Ipv4Addr> = (0..MEMBERS).map(|server| network.peer(server)).collect();
    config["server"] = json!(true);
    config["bootstrap_expect"] = json!(MEMBERS);
    config["bind_addr"] = json!(network.peer(server));
    config["client_addr"] = json!(network.front(server));
    config["retry_join"] = json!(others);
    // A server that was killed comes back.
    config["autopilot"] = json!({ "cleanup_dead_servers": false });
    config
}

fn agent_config(mut config: Value, network: &Network, address: Ipv4Addr) -> Value {
    let servers: Vec<Ipv4Addr> = (0..MEMBERS).map(|server| network.peer(server)).collect();
    config["bind_addr"] = json!(network.host_peer());
    config["client_addr"] = json!(address);
    config["retry_join"] = json!(servers);
    config
}

fn common(name: &str, dir: &Path, options: Options, tls: Option<&Tls>) -> Value {
    let mut config = json!({
        "disable_update_check": true,
        "disable_remote_exec": true,
        "node_name": name,
        "data_dir": dir.join(name),
        "ports": { "dns": -1, "grpc": -1, "https": -1, "serf_wan": -1 },
        // Elections within 1 to 2 s rather than 5 to 10, as it is advised for production.
        "performance": { "raft_multiplier": 1 },
        "retry_interval": "1s",
    });
    if let Some(tls) = tls {
        // The harness's own requests go without; what is looked at goes with it, and so does all between members.
        config["ports"]["https"] = json!(8501);
        config["ca_file"] = json!(tls.ca());
        config["cert_file"] = json!(tls.cert(name));
        config["key_file"] = json!(tls.key(name));
        for verify in ["verify_incoming", "verify_outgoing", "verify_server_hostname"] {
            config[verify] = json!(true);
        }
    }
    if options.auth {
        config["acl"] = json!({
            "enabled": true, "default_policy": "deny", "down_policy": "extend-cache",
            // For the servers to keep a token's rights no longer than a test waits.
            "token_ttl": "1s", "policy_ttl": "1s",
            "tokens": { "master": MASTER_TOKEN, "agent": MASTER_TOKEN },
        });
    }
    config
}
