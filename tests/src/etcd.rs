//! A real etcd: a cluster of one member, and the real etcdctl.

use std::net::Ipv4Addr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::address;
use crate::http::request;
use crate::process::{Process, output_within};
use crate::scratch;
use crate::servers;
use crate::tls::Tls;
use crate::wait::try_until;

/// Clients, peers, health.
const PORTS: [u16; 3] = [2379, 2380, 2381];
/// The first election takes up to 1 s, longer on a machine that is busy building.
const READY: Duration = Duration::from_secs(60);
/// For one call of etcdctl.
const CALL: Duration = Duration::from_secs(20);

/// How to start [`Etcd`].
#[derive(Clone, Debug, Default)]
pub struct EtcdOptions {
    args: Vec<String>,
    tls: bool,
}

impl EtcdOptions {
    /// etcd's own defaults, writes to disk included.
    pub fn new() -> Self {
        Self::default()
    }

    /// Clients come by TLS and show a certificate; [`Etcd::certificates`] has what they need.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// A further argument of etcd, like `--quota-backend-bytes=16777216`.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }
}

/// A running etcd with a data directory; as a [`Process`] it can be killed, stopped, continued and asked for its log.
#[derive(Debug)]
pub struct Etcd {
    process: Process,
    address: Ipv4Addr,
    etcdctl: PathBuf,
    tls: Option<Box<Tls>>,
    // Dropped after the process that uses it: fields drop in their order.
    dir: TempDir,
}

impl Deref for Etcd {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Etcd {
    /// Starts one, and waits until it is healthy (a linearizable read works).
    ///
    /// # Panics
    ///
    /// If there is no binary (with what to do) or it does not become ready (with its log).
    #[track_caller]
    pub fn start(options: EtcdOptions) -> Etcd {
        let program = servers::server("etcd", "etcd", "ETCD_BIN");
        let etcdctl = servers::server("etcdctl", "etcd", "ETCDCTL_BIN");
        let dir = scratch::on_disk();
        let address = address::loopback(&PORTS);
        let [client, peer, metrics] = PORTS.map(|port| format!("http://{address}:{port}"));
        let client = if options.tls { client.replace("http:", "https:") } else { client };
        let mut args = vec![
            "--name=member-1".to_owned(),
            format!("--data-dir={}", dir.path().join("data").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=member-1={peer}"),
            format!("--listen-metrics-urls={metrics}"),
        ];
        // Of one authority for the server and its clients; the clients' common name is `client`.
        let tls = options.tls.then(|| Box::new(Tls::new(dir.path())));
        if let Some(tls) = &tls {
            tls.issue("server", &[address.to_string()]);
            tls.issue("client", &["client".to_owned()]);
            args.push(format!("--cert-file={}", tls.cert("server").display()));
            args.push(format!("--key-file={}", tls.key("server").display()));
            args.push(format!("--trusted-ca-file={}", tls.ca().display()));
            args.push("--client-cert-auth".to_owned());
        }
        args.extend(options.args);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let process = Process::start("etcd", &program, &args, dir.path());
        let etcd = Etcd { process, address, etcdctl, tls, dir };
        etcd.wait_until_ready();
        etcd
    }

    /// Kills it if it runs, starts it again on the same address with its data, and waits until it is healthy.
    #[track_caller]
    pub fn restart(&self) {
        self.process.kill();
        self.process.start_again();
        self.wait_until_ready();
    }

    /// Like [`restart`](Self::restart), with its data removed: a new cluster with another id, at revision 1.
    #[track_caller]
    pub fn restart_empty(&self) {
        self.process.kill();
        let data = self.dir.path().join("data");
        if let Err(e) = std::fs::remove_dir_all(&data) {
            panic!("{}: {e}", data.display());
        }
        self.restart();
    }

    /// Where clients connect: `http://127.X.Y.Z:2379`, or `https:` with TLS.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.address, PORTS[0])
    }

    /// Its certificates, with TLS: `server`, which it reads at each connection, and `client`.
    ///
    /// # Panics
    ///
    /// Without TLS.
    #[track_caller]
    pub fn tls(&self) -> &Tls {
        self.tls.as_deref().expect("an etcd that was started with TLS")
    }

    /// Where `ca.pem`, `client.pem` and `client.key` are, with TLS.
    pub fn certificates(&self) -> &Path {
        self.dir.path()
    }

    /// Runs the real etcdctl on it and returns what it printed.
    ///
    /// # Panics
    ///
    /// If it fails or hangs, with what it said.
    #[track_caller]
    pub fn etcdctl(&self, args: &[&str]) -> String {
        self.etcdctl_with(args, b"")
    }

    /// etcdctl with bytes on its standard input, where `put KEY` and `txn` read what no argument can hold.
    #[track_caller]
    pub fn etcdctl_with(&self, args: &[&str], input: &[u8]) -> String {
        let all = self.etcdctl_args(args);
        match output_within(&self.etcdctl, &all, input, CALL) {
            Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                panic!("etcdctl {}: {}: {said}{}", args.join(" "), output.status, self.logs())
            }
            Err(e) => panic!("etcdctl {}: {e}{}", args.join(" "), self.logs()),
        }
    }

    /// Starts an etcdctl that goes on until it is dropped (`watch`, `lease keep-alive`).
    #[track_caller]
    pub fn etcdctl_start(&self, args: &[&str]) -> Process {
        let all = self.etcdctl_args(args);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        Process::start("etcdctl", &self.etcdctl, &all, self.dir.path())
    }

    /// Writes a value of any bytes.
    #[track_caller]
    pub fn put(&self, key: &str, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        if value.is_empty() {
            // On an empty standard input, etcdctl waits for an argument.
            self.etcdctl(&["put", "--", key, ""]);
        } else {
            self.etcdctl_with(&["put", "--", key], value);
        }
    }

    /// Writes a value that goes with a lease.
    #[track_caller]
    pub fn put_leased(&self, key: &str, value: &str, lease: &str) {
        self.etcdctl(&["put", &format!("--lease={lease}"), "--", key, value]);
    }

    /// Removes a key.
    #[track_caller]
    pub fn del(&self, key: &str) {
        self.etcdctl(&["del", "--", key]);
    }

    /// A new lease's id, in the hexadecimal form that etcdctl takes. The server's minimum is 2 s.
    #[track_caller]
    pub fn grant(&self, ttl_seconds: u32) -> String {
        let granted = self.etcdctl(&["lease", "grant", &ttl_seconds.to_string(), "--write-out=json"]);
        let granted: Value = serde_json::from_str(&granted).unwrap_or_default();
        let id = granted["ID"].as_i64();
        format!("{:x}", id.unwrap_or_else(|| panic!("etcdctl lease grant shows no id: {granted}")))
    }

    /// Revokes a lease: its keys go at once.
    #[track_caller]
    pub fn revoke(&self, lease: &str) {
        self.etcdctl(&["lease", "revoke", lease]);
    }

    /// The store's revision now.
    #[track_caller]
    pub fn revision(&self) -> i64 {
        let got = self.etcdctl(&["get", "resolver-tests", "--write-out=json"]);
        let got: Value = serde_json::from_str(&got).unwrap_or_default();
        got["header"]["revision"].as_i64().unwrap_or_else(|| panic!("etcdctl get shows no revision: {got}"))
    }

    fn etcdctl_args(&self, args: &[&str]) -> Vec<String> {
        let mut all = vec![format!("--endpoints={}", self.url()), "--command-timeout=10s".to_owned()];
        if self.tls.is_some() {
            let file = |name: &str| self.dir.path().join(name).display().to_string();
            all.push(format!("--cacert={}", file("ca.pem")));
            all.push(format!("--cert={}", file("client.pem")));
            all.push(format!("--key={}", file("client.key")));
        }
        all.extend(args.iter().map(|&arg| arg.to_owned()));
        all
    }

    #[track_caller]
    fn wait_until_ready(&self) {
        let url = format!("http://{}:{}/health", self.address, PORTS[2]);
        let ready = try_until(READY, || {
            if !self.process.is_running() {
                return Ok(Err("it has ended".to_owned()));
            }
            let answer = request("GET", &url, &[], None, Duration::from_secs(2))?;
            if answer.json()["health"] == "true" { Ok(Ok(())) } else { Err(answer.text()) }
        });
        if let Err(why) = ready.and_then(|running| running) {
            panic!("etcd on {} is not ready: {why}{}", self.address, self.logs());
        }
    }
}
