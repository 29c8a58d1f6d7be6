//! `resolver registry status` on real clusters of one and of three servers.

use std::net::Ipv4Addr;
use std::time::Duration;

use resolver_tests::{Host, Process, Ran, Registry, loopback, server, try_until};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A first election that is split takes some seconds; a machine that is busy building makes more of them.
const READY: Duration = Duration::from_secs(60);

struct Cluster {
    flag: &'static str,
    urls: Vec<String>,
    servers: Vec<Process>,
    host: Host,
    // Dropped after the servers that use it: fields drop in their order.
    _dir: TempDir,
}

impl Cluster {
    fn etcd() -> Cluster {
        let program = server("etcd", "etcd", "ETCD_BIN");
        let dir = TempDir::new().expect("a directory");
        let addresses: Vec<Ipv4Addr> = (0..3).map(|_| loopback(&[2379, 2380])).collect();
        let peers: Vec<_> =
            addresses.iter().enumerate().map(|(n, at)| format!("m{n}=http://{at}:2380")).collect();
        let start = |(n, at): (usize, &Ipv4Addr)| {
            let (client, peer) = (format!("http://{at}:2379"), format!("http://{at}:2380"));
            let args = [
                format!("--name=m{n}"),
                format!("--data-dir={}", dir.path().join(format!("m{n}")).display()),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster={}", peers.join(",")),
            ];
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            Process::start("etcd", &program, &args, dir.path())
        };
        let servers = addresses.iter().enumerate().map(start).collect();
        let urls = addresses.iter().map(|at| format!("http://{at}:2379")).collect();
        Cluster { flag: "--etcd", urls, servers, host: Host::new(), _dir: dir }
    }

    fn consul() -> Cluster {
        let program = server("consul", "consul", "CONSUL_BIN");
        let dir = TempDir::new().expect("a directory");
        let addresses: Vec<Ipv4Addr> = (0..3).map(|_| loopback(&[8300, 8301, 8500])).collect();
        let start = |(n, at): (usize, &Ipv4Addr)| {
            let config = json!({
                "bind_addr": at, "client_addr": at, "node_name": format!("m{n}"),
                "server": true, "bootstrap_expect": 3, "retry_join": addresses,
                "data_dir": dir.path().join(format!("m{n}")), "disable_update_check": true,
                "ports": { "dns": -1, "grpc": -1, "https": -1, "serf_wan": -1 },
                "performance": { "raft_multiplier": 1 }, "retry_interval": "200ms",
                // A dead server stays one of three.
                "autopilot": { "cleanup_dead_servers": false },
            });
            let file = dir.path().join(format!("m{n}.json"));
            std::fs::write(&file, config.to_string()).expect("our own file");
            let file = format!("-config-file={}", file.display());
            Process::start("consul", &program, &["agent", &file], dir.path())
        };
        let servers = addresses.iter().enumerate().map(start).collect();
        let urls = addresses.iter().map(|at| format!("http://{at}:8500")).collect();
        Cluster { flag: "--consul", urls, servers, host: Host::new(), _dir: dir }
    }

    fn status(&self) -> Ran {
        let urls = self.urls.iter().flat_map(|url| [self.flag, url.as_str()]);
        let args: Vec<&str> = ["registry", "status", "--json"].into_iter().chain(urls).collect();
        self.host.run(&args)
    }

    #[track_caller]
    fn until(&self, what: &str, condition: impl Fn(&Ran, &Value) -> bool) -> Value {
        let found = try_until(READY, || {
            let ran = self.status();
            let json = ran.json();
            if condition(&ran, &json) { Ok(json) } else { Err(format!("{}{}", ran.stdout, ran.stderr)) }
        });
        let logs = || self.servers.iter().map(Process::logs).collect::<String>();
        found.unwrap_or_else(|last| panic!("not {what}: {last}{}", logs()))
    }

    /// The servers by their part: the leader's index, and the others'.
    fn parts(&self, status: &Value) -> (usize, Vec<usize>) {
        let leader = status["leader"].as_str().and_then(|name| name.strip_prefix('m')?.parse().ok());
        let leader: usize = leader.unwrap_or_else(|| panic!("a leader of ours: {status}"));
        (leader, (0..3).filter(|n| *n != leader).collect())
    }
}

fn warnings(status: &Value) -> String {
    status["warnings"].to_string()
}

fn members(status: &Value, healthy: bool) -> usize {
    let members = status["members"].as_array().cloned().unwrap_or_default();
    members.iter().filter(|member| member["healthy"] == healthy).count()
}

fn three(cluster: &Cluster) {
    let status = cluster.until("three that are well", |ran, json| {
        ran.code == Some(0) && members(json, true) == 3 && json["leader"].is_string()
    });
    assert_eq!((&status["voters"], &status["tolerance"]), (&json!(3), &json!(1)), "{status}");
    assert_eq!(warnings(&status), "[]");
    assert!(status["revision"].as_u64().is_some_and(|revision| revision > 0), "{status}");
    assert!(status["latency_ms"].as_f64().is_some_and(|latency| latency > 0.0), "{status}");
    let leaders = status["members"].as_array().expect("members").iter().filter(|m| m["leader"] == true);
    assert_eq!(leaders.count(), 1, "{status}");

    let (leader, followers) = cluster.parts(&status);
    cluster.servers[followers[0]].kill();
    let status = cluster.until("two of three", |ran, json| ran.code == Some(0) && members(json, false) == 1);
    assert!(warnings(&status).contains(&format!("not well: m{}", followers[0])), "{status}");
    assert_eq!((&status["voters"], &status["quorum"]), (&json!(3), &json!(true)), "{status}");

    cluster.servers[followers[1]].kill();
    let status =
        cluster.until("without a quorum", |ran, json| ran.code == Some(8) && json["quorum"] == false);
    assert!(warnings(&status).contains("no quorum"), "{status}");
    cluster.servers[leader].kill();
    let status = cluster.until("nobody", |ran, json| ran.code == Some(8) && json["leader"].is_null());
    assert!(warnings(&status).contains("no leader"), "{status}");
}

#[test]
fn three_servers_of_etcd() {
    three(&Cluster::etcd());
}

#[test]
fn three_servers_of_consul() {
    three(&Cluster::consul());
}

#[test]
fn a_single_server_is_warned_of() {
    for registry in [Registry::etcd(), Registry::consul()] {
        let (flag, url) = match &registry {
            Registry::Consul(consul) => ("--consul", consul.url()),
            Registry::Etcd(etcd) => ("--etcd", etcd.url()),
        };
        let host = Host::new();
        let ran = host.run(&["registry", "status", flag, &url, "--json"]);
        let status = ran.json();
        assert_eq!(
            (ran.code, &status["voters"], &status["tolerance"]),
            (Some(0), &json!(1), &json!(0)),
            "{status}"
        );
        assert!(warnings(&status).contains("single server"), "{status}");
        assert_eq!(status["members"][0]["leader"], true, "{status}");
        let plain = host.run(&["registry", "status", flag, &url]);
        assert!(
            plain.stdout.contains("quorum yes") && plain.stdout.contains("warning: a single"),
            "{}",
            plain.stdout
        );
        registry.kill();
        assert_eq!(host.run(&["registry", "status", flag, &url]).code, Some(8));
    }
}
