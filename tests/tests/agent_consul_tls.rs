//! Consul over TLS: who is believed and who is not, what is renewed without a restart, and that no token goes astray.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use resolver_tests::{Authority, Certificate, Consul, ConsulOptions, Host, Process, eventually};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
/// What Consul calls its servers' certificates; no address is in it.
const SERVER: &str = "server.dc1.consul";
const READ: &str = r#"service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;

/// Certificates as files, in a directory of the test's own.
struct Files {
    host: Host,
}

impl Files {
    fn new() -> Files {
        Files { host: Host::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.host.dir().join(name)
    }

    /// Replaced as careful tools do it: whole, or not at all.
    fn write(&self, name: &str, content: &str) -> PathBuf {
        let (path, next) = (self.path(name), self.path("next"));
        std::fs::write(&next, content).expect("a file in the test's own directory");
        std::fs::set_permissions(&next, PermissionsExt::from_mode(0o600)).expect("our own file");
        std::fs::rename(&next, &path).expect("our own file");
        path
    }

    /// `NAME.pem` and `NAME.key`.
    fn write_certificate(&self, name: &str, certificate: &Certificate) {
        // Between the two they do not belong together.
        self.write(&format!("{name}.pem"), &certificate.cert_pem);
        self.write(&format!("{name}.key"), &certificate.key_pem);
    }

    /// A Consul whose HTTPS port shows the certificate of this name and wants one that `ca.pem` has signed. The harness
    /// goes on to talk to its plain port.
    #[track_caller]
    fn consul(&self, options: ConsulOptions, certificate: &str) -> Consul {
        let consul = Consul::start(options.config(json!({
            "ports": { "https": 8501 }, "verify_incoming": true, "verify_outgoing": true,
            "ca_file": self.path("ca.pem"),
            "cert_file": self.path(&format!("{certificate}.pem")),
            "key_file": self.path(&format!("{certificate}.key")),
        })));
        consul.register_ttl("orders", "orders-1", "10.0.0.1", 9001);
        consul
    }

    /// `resolver agent` on these addresses, with these lines more.
    #[track_caller]
    fn agent(&self, addresses: &[String], more: &str) -> Process {
        self.host.agent(&format!(
            "[[source]]\nname = \"consul\"\nkind = \"consul\"\naddresses = {}\n{more}\n",
            json!(addresses)
        ))
    }

    #[track_caller]
    fn until_fresh(&self, instances: usize) {
        self.host.until("orders", "is fresh", SOON, |got| {
            let json = got.json();
            json["state"] == "FRESH" && json["endpoints"].as_array().map(Vec::len) == Some(instances)
        });
    }

    fn tls(&self, ca: &str, own: Option<&str>, name: Option<&str>) -> String {
        let mut lines = format!("ca_file = \"{}\"\n", self.path(&format!("{ca}.pem")).display());
        if let Some(own) = own {
            let file = |kind: &str| self.path(&format!("{own}.{kind}")).display().to_string();
            lines += &format!("cert_file = \"{}\"\nkey_file = \"{}\"\n", file("pem"), file("key"));
        }
        lines + &name.map_or(String::new(), |name| format!("server_name = \"{name}\"\n"))
    }
}

fn https(consul: &Consul) -> String {
    format!("https://{}:8501", consul.http_addr().ip())
}

#[track_caller]
fn until_it_says(agent: &Process, words: &str) {
    eventually(SOON, words, || agent.stderr().contains(words));
}

/// An authority and what it signed: the server's, a client's, and one that has expired.
fn usual() -> (Files, Authority) {
    let (files, authority) = (Files::new(), Authority::new());
    files.write("ca.pem", authority.cert_pem());
    files.write_certificate("server", &authority.issue(&[SERVER]));
    files.write_certificate("client", &authority.issue(&["resolver"]));
    files.write_certificate("expired", &authority.issue_expired(&[SERVER]));
    (files, authority)
}

#[test]
fn who_is_believed_and_who_is_not() {
    let (files, _authority) = usual();
    files.write("other.pem", Authority::new().cert_pem());
    let consul = files.consul(ConsulOptions::new(), "server");
    let addresses = [https(&consul)];
    let not_believed = |lines: String, words: &str, advice: &str| {
        let agent = files.agent(&addresses, &lines);
        until_it_says(&agent, words);
        until_it_says(&agent, advice);
        assert_ne!(files.host.get("orders").json()["state"], "FRESH", "{}", agent.stderr());
    };
    let (ca, name) = (Some("client"), Some(SERVER));
    not_believed(files.tls("other", ca, name), "invalid peer certificate", "other.pem vouches for");
    // Signed by the right one, for another name; with no name of its own, for the address.
    not_believed(files.tls("ca", ca, Some("server.dc2.consul")), "not valid for name", "check server_name");
    not_believed(files.tls("ca", ca, None), "not valid for name", "check server_name");
    // The agent does not believe whoever shows nothing, or what has expired.
    not_believed(files.tls("ca", None, name), "received fatal alert", "set cert_file and key_file");
    not_believed(files.tls("ca", Some("expired"), name), "received fatal alert", "expired.pem: renew it");

    let _agent = files.agent(&addresses, &files.tls("ca", ca, name));
    files.until_fresh(1);
    consul.register_ttl("orders", "orders-2", "10.0.0.2", 9002);
    files.until_fresh(2);
    consul.fail("orders-1");
    files.until_fresh(1);
}

#[test]
fn files_that_make_no_sense_are_refused_at_the_start() {
    let (files, authority) = usual();
    files.write("empty.pem", "nothing\n");
    files.write("half.pem", &authority.issue(&["half"]).cert_pem);
    files.write("half.key", &authority.issue(&["other half"]).key_pem);
    files.write("open.pem", &authority.issue(&["open"]).cert_pem);
    let open = files.write("open.key", "canary-key");
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o644)).expect("our own file");
    for (lines, words) in [
        (files.tls("empty", None, None), "there is none in it"),
        (files.tls("none", None, None), "none.pem"),
        (files.tls("ca", Some("half"), None), "do not belong together"),
        (files.tls("ca", Some("open"), None), "chmod 600"),
        (files.tls("ca", None, Some("not a name")), "server_name"),
    ] {
        let agent = files.agent(&["https://127.0.0.1:8501".to_owned()], &lines);
        assert!(!agent.exit(SOON).success(), "{lines}");
        let log = agent.stderr();
        assert!(log.contains(words) && !log.contains("canary"), "{words}: {log}");
    }
}

#[test]
fn what_is_renewed_is_taken_without_a_restart() {
    let (files, authority) = usual();
    let consul = files.consul(ConsulOptions::new(), "server");
    // A client's certificate that has expired: refused, until its owner has a new one.
    files.write_certificate("own", &authority.issue_expired(&["resolver"]));
    let agent = files.agent(&[https(&consul)], &files.tls("ca", Some("own"), Some(SERVER)));
    until_it_says(&agent, "received fatal alert");
    let renewed = authority.issue(&["resolver"]);
    // Half of it, for as long as it takes to notice: the last ones stay.
    files.write("own.pem", &renewed.cert_pem);
    until_it_says(&agent, "do not belong together");
    files.write("own.key", &renewed.key_pem);
    until_it_says(&agent, "took the new certificates");
    files.until_fresh(1);

    // The agents' authority is replaced: unknown, until its certificate is there.
    let next = Authority::new();
    files.write("ca-of-server.pem", next.cert_pem());
    files.write_certificate("server", &next.issue(&[SERVER]));
    consul.restart();
    until_it_says(&agent, "invalid peer certificate");
    let both = format!("{}{}", authority.cert_pem(), next.cert_pem());
    files.write("ca.pem", &both);
    consul.register_ttl("orders", "orders-2", "10.0.0.2", 9002);
    files.until_fresh(1);
    assert!(agent.is_running());
}

#[test]
fn an_agent_whose_certificate_has_expired_is_passed_over_for_the_next() {
    let (files, _authority) = usual();
    let bad = files.consul(ConsulOptions::new(), "expired");
    let good = files.consul(ConsulOptions::new(), "server");
    good.register_ttl("orders", "orders-2", "10.0.0.2", 9002);
    let lines = files.tls("ca", Some("client"), Some(SERVER));
    let agent = files.agent(&[https(&bad), https(&good)], &lines);
    files.until_fresh(2);
    until_it_says(&agent, "certificate expired");
}

#[test]
fn a_token_that_is_replaced_is_taken_and_one_from_the_environment_is_shown_to_nobody() {
    let (files, _authority) = usual();
    let consul = files.consul(ConsulOptions::new().acl(), "server");
    consul.set_policy("reader", READ);
    let (first, second) = (consul.create_token(&["reader"]), consul.create_token(&["reader"]));
    let file = files.write("token", &first);
    let tls = files.tls("ca", Some("client"), Some(SERVER));
    let lines = format!("{tls}token_file = \"{}\"", file.display());
    let agent = files.agent(&[https(&consul)], &lines);
    files.until_fresh(1);
    consul.delete_token(&first);
    // Wakes the query, which was parked with the rights of before; so the next one is refused.
    consul.register_ttl("orders", "orders-2", "10.0.0.2", 9002);
    files.host.until("orders", "stands by its ACL", SOON, |got| got.json()["reason"] == "acl");
    files.write("token", &second);
    files.until_fresh(2);
    let log = agent.stderr();
    assert!(log.contains("took the new token"), "{log}");
    assert!(!log.contains(&first) && !log.contains(&second), "a token is in the log");
    drop(agent);

    // By a variable, with proxies in the environment that nobody may ask.
    let proxy = TcpListener::bind("127.0.0.1:0").expect("a port");
    proxy.set_nonblocking(true).expect("our own socket");
    let at = proxy.local_addr().expect("an address");
    let wrapper = files.path("resolver");
    let script = format!(
        "#!/bin/sh\nexport http_proxy=http://{at} https_proxy=http://{at} ALL_PROXY=http://{at}\n\
         CANARY=$(cat {}) RUST_LOG=trace exec {} \"$@\"\n",
        file.display(),
        files.host.binary().display()
    );
    std::fs::write(&wrapper, script).expect("our own file");
    std::fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o700)).expect("our own file");
    let host = Host::with_binary(wrapper);
    let agent = host.agent(&format!(
        "[[source]]\nname = \"consul\"\nkind = \"consul\"\naddress = \"{}\"\n{tls}token_env = \"CANARY\"\n",
        https(&consul)
    ));
    host.until("orders", "is fresh", SOON, |got| got.json()["state"] == "FRESH");
    assert_eq!(proxy.accept().expect_err("nobody asks a proxy").kind(), std::io::ErrorKind::WouldBlock);
    assert!(!agent.stderr().contains(&second), "the token is in the log");
    let pid = agent.pid();
    let shown = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("cmdline"));
    assert!(!shown.expect("our own process").contains(&second), "the token is in the command line");
    let tools: Vec<Value> = vec![host.list().json(), host.sources().json(), host.get("orders").json()];
    assert!(!json!(tools).to_string().contains(&second));
}

#[test]
fn each_query_has_a_connection_of_its_own_over_tls_too() {
    // HTTP/2 takes 250 queries on one connection, and lets number 251 wait without a word.
    let (files, _authority) = usual();
    let consul = files.consul(ConsulOptions::new(), "server");
    let names: Vec<String> = (0..40).map(|n| format!("s{n}")).chain(["orders".to_owned()]).collect();
    let tls = files.tls("ca", Some("client"), Some(SERVER));
    let _agent = files.agent(&[https(&consul)], &format!("{tls}services = {}", json!(names)));
    files.until_fresh(1);
    let connections = || {
        let std::net::IpAddr::V4(ip) = consul.http_addr().ip() else { panic!("a loopback address is IPv4") };
        let local = format!("{:08X}:{:04X}", u32::from(ip).swap_bytes(), 8501);
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
        let established = |line: &&str| {
            let mut fields = line.split_whitespace().skip(1);
            fields.next() == Some(&local) && fields.nth(1) == Some("01")
        };
        table.lines().filter(established).count()
    };
    eventually(SOON, "a connection for each query", || connections() > names.len());
}
