//! `resolver kv`, `registry status` and `register` on servers that insist on TLS, certificates and rights, and what is said
//! where one of them is missing.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use resolver_tests::{Consul, ConsulOptions, Etcd, EtcdOptions, Host, Process, Ran, Tls, eventually};
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);
/// What Consul calls its servers' certificates; no address is in it.
const SERVER: &str = "server.dc1.consul";
const REGISTER: [&str; 8] =
    ["register", "orders", "--port", "9001", "--id", "orders-1", "--address", "10.0.0.1"];
const PASSWORD: &str = "canary-of-the-user";

/// A registry that asks everybody for everything, and how our commands reach it.
struct Scene<'a> {
    host: &'a Host,
    tls: &'a Tls,
    /// `--consul URL` and the token, `--etcd URL` and the user.
    registry: Vec<String>,
    server_name: Option<&'static str>,
}

impl Scene<'_> {
    /// The flags of TLS, with these certificates.
    fn tls(&self, ca: &str, own: Option<&str>) -> Vec<String> {
        let path = |path: PathBuf| path.display().to_string();
        let mut flags = vec!["--ca-file".to_owned(), path(self.tls.cert(ca))];
        if let Some(own) = own {
            flags.extend(["--cert-file".into(), path(self.tls.cert(own))]);
            flags.extend(["--key-file".into(), path(self.tls.key(own))]);
        }
        if let Some(name) = self.server_name {
            flags.extend(["--server-name".into(), name.into()]);
        }
        flags
    }

    fn args<'a>(&'a self, command: &[&'a str], tls: &'a [String]) -> Vec<&'a str> {
        let flags = self.registry.iter().chain(tls).map(String::as_str);
        // Before what a command takes after `--`, which is the last that is named.
        command.iter().copied().take(2).chain(flags).chain(command.iter().copied().skip(2)).collect()
    }

    #[track_caller]
    fn run(&self, command: &[&str], tls: &[String]) -> Ran {
        self.host.run(&self.args(command, tls))
    }

    #[track_caller]
    fn ok(&self, command: &[&str]) -> Ran {
        let ran = self.run(command, &self.tls("ca", Some("client")));
        assert_eq!(ran.code, Some(0), "{command:?}: {}{}", ran.stdout, ran.stderr);
        ran
    }

    #[track_caller]
    fn start(&self, command: &[&str]) -> Process {
        self.host.start(&self.args(command, &self.tls("ca", Some("client"))))
    }

    /// Every command works, for whoever shows all that is asked for.
    #[track_caller]
    fn commands_work(&self, registered: impl Fn() -> bool) {
        let watch = self.start(&["kv", "watch", "config/", "--json"]);
        eventually(SOON, "the watch stands", || watch.stdout().contains("in-step"));
        self.ok(&["kv", "put", "config/a", "1"]);
        assert_eq!(self.ok(&["kv", "get", "config/a", "--raw"]).stdout, "1");
        assert!(self.ok(&["kv", "list", "config/"]).stdout.contains("config/a"));
        eventually(SOON, "the watch tells it", || watch.stdout().contains("\"config/a\""));
        let status = self.ok(&["registry", "status", "--json"]).json();
        assert_eq!((&status["quorum"], status["members"].as_array().map(Vec::len)), (&json!(true), Some(1)));

        let own = self.start(&REGISTER);
        eventually(SOON, "it is registered", &registered);
        assert_eq!(own.terminate(SOON).code(), Some(0), "{}", own.logs());
        assert!(!registered(), "deregistered before it ends");
    }

    /// A certificate that has expired and is renewed under a `register` that runs.
    #[track_caller]
    fn what_is_renewed_is_taken(&self, registered: impl Fn() -> bool) {
        self.tls.issue_expired("own", &["client".into()]);
        let own = self.host.start(&self.args(&REGISTER, &self.tls("ca", Some("own"))));
        let file = self.tls.cert("own").display().to_string();
        eventually(SOON, "it says which is at fault", || own.stderr().contains(&file));
        assert!(!registered());
        self.tls.issue("own", &["client".into()]);
        eventually(SOON, "it is registered", &registered);
        assert_eq!(own.terminate(SOON).code(), Some(0), "{}", own.logs());
    }

    /// What each command says of one thing that is not as it has to be: the words, the file and what to do.
    #[track_caller]
    fn refused(&self, tls: &[String], words: &[&str]) {
        let says = |said: &str| words.iter().all(|words| said.contains(words)) && !said.contains("canary");
        for command in [&["kv", "get", "config/a"], &["registry", "status", "--json"]] {
            let ran = self.run(command, tls);
            assert!(matches!(ran.code, Some(1 | 8)), "{command:?}: {:?}: {}", ran.code, ran.stderr);
            let said = ran.stdout + &ran.stderr;
            assert!(says(&said), "{command:?} does not say {words:?}: {said}");
        }
        let register = self.host.start(&self.args(&REGISTER, tls));
        eventually(SOON, &format!("`register` says {words:?}"), || says(&register.stderr()));
    }

    /// What is no good before anything is asked.
    #[track_caller]
    fn usage(&self, tls: &[String], words: &str) {
        for command in [&["kv", "get", "config/a"][..], &REGISTER] {
            let ran = self.run(command, tls);
            assert_eq!(ran.code, Some(2), "{command:?}: {}", ran.stderr);
            assert!(
                ran.stderr.contains(words) && !ran.stderr.contains("canary"),
                "{command:?}: {}",
                ran.stderr
            );
        }
    }

    /// All that both registries have in common. `expire` gives the server a certificate that has expired, or one that holds.
    #[track_caller]
    fn what_is_wrong_is_named(&self, expire: impl Fn(bool)) {
        let (ca, path) = (Some("client"), |name: &str| self.tls.cert(name).display().to_string());
        self.tls.issue_strange("strange");
        self.tls.issue_expired("late", &["client".into()]);
        self.refused(
            &self.tls("strange-ca", ca),
            &["invalid peer certificate", &path("strange-ca"), "check ca_file"],
        );
        self.refused(&self.tls("ca", None), &["set cert_file and key_file"]);
        // Their end may overtake the words of the server.
        self.refused(&self.tls("ca", Some("late")), &[&path("late"), "check cert_file"]);
        self.refused(&self.tls("ca", Some("strange")), &[&path("strange"), "check cert_file"]);
        expire(true);
        self.refused(&self.tls("ca", ca), &["certificate expired", "renew it there"]);
        expire(false);
        self.ok(&["kv", "list"]);
        // Files that cannot be used at all.
        self.usage(&self.tls("none", ca), "none.pem");
        std::fs::write(self.tls.cert("half"), "no PEM").expect("our own file");
        std::fs::write(self.tls.key("half"), "canary").expect("our own file");
        self.usage(&self.tls("half", ca), "half.pem");
        std::fs::set_permissions(self.tls.key("half"), PermissionsExt::from_mode(0o644))
            .expect("our own file");
        let cert = path("client");
        let open = self.tls.key("half").display().to_string();
        let own = ["--ca-file", &path("ca"), "--cert-file", &cert, "--key-file", &open].map(String::from);
        self.usage(&own, "chmod 600");
        self.usage(&["--ca-file", &path("ca"), "--cert-file", &cert].map(String::from), "key");
    }
}

fn private(host: &Host, name: &str, content: &str) -> String {
    let file = host.dir().join(name);
    std::fs::write(&file, content).expect("our own file");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("our own file");
    file.display().to_string()
}

#[test]
fn etcd_by_certificates_and_as_a_user() {
    let etcd = Etcd::start(EtcdOptions::new().tls());
    let host = Host::new();
    for command in [
        &["user", "add", "root:rootpw"][..],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "desk"],
        &["role", "grant-permission", "desk", "--prefix=true", "readwrite", "/services/"],
        &["role", "grant-permission", "desk", "--prefix=true", "readwrite", "config/"],
        &["role", "grant-permission", "desk", "--prefix=true", "read", ""],
        &["user", "add", &format!("desk:{PASSWORD}")],
        &["user", "grant-role", "desk", "desk"],
        &["auth", "enable"],
    ] {
        etcd.etcdctl(command);
    }
    let password = private(&host, "password", PASSWORD);
    let registry =
        ["--etcd", &etcd.url(), "--user", "desk", "--password-file", &password].map(String::from).to_vec();
    let scene = Scene { host: &host, tls: etcd.tls(), registry, server_name: None };
    let found = || {
        let key = ["--user", "root:rootpw", "get", "/services/orders/orders-1"];
        etcd.etcdctl(&key).contains("10.0.0.1")
    };
    scene.commands_work(found);
    scene.what_is_renewed_is_taken(found);
    let names = [etcd.url().trim_start_matches("https://").trim_end_matches(":2379").to_owned()];
    scene.what_is_wrong_is_named(|expired| match expired {
        true => scene.tls.issue_expired("server", &names),
        false => scene.tls.issue("server", &names),
    });
    // A server of another name than the one that is asked for.
    let named = Scene { server_name: Some("etcd.example"), registry: scene.registry.clone(), ..scene };
    named.refused(&named.tls("ca", Some("client")), &["not valid for name", "check server_name"]);
    // What was set for TLS is for TLS; a password goes nowhere without.
    let plain = |url: &str| {
        let registry =
            ["--etcd", url, "--user", "desk", "--password-file", &password].map(String::from).to_vec();
        Scene { host: &host, tls: etcd.tls(), registry, server_name: None }
    };
    let loopback = plain("http://127.0.0.1:2379");
    loopback.usage(&loopback.tls("ca", Some("client")), "begin with https://");
    plain("http://10.0.0.1:2379").usage(&[], "unencrypted");
}

/// A Consul whose HTTPS port shows the certificate `server`, and wants one of the same authority if it `verifies`. The harness
/// goes on to talk to its plain port.
fn consul(tls: &Tls, verifies: bool) -> Consul {
    Consul::start(ConsulOptions::new().acl().config(json!({
        "ports": { "https": 8501 }, "verify_incoming": verifies, "verify_outgoing": true,
        "ca_file": tls.ca(), "cert_file": tls.cert("server"), "key_file": tls.key("server"),
    })))
}

const RULES: &str = r#"key_prefix "" { policy = "write" } service_prefix "" { policy = "write" }
    node_prefix "" { policy = "read" } operator = "read""#;

#[test]
fn consul_by_certificates_and_with_a_token() {
    let host = Host::new();
    let tls = Tls::new(host.dir());
    tls.issue("server", &[SERVER.into()]);
    tls.issue("client", &["client".into()]);
    let consul = consul(&tls, true);
    consul.set_policy("desk", RULES);
    let (first, second) = (consul.create_token(&["desk"]), consul.create_token(&["desk"]));
    let token = private(&host, "token", &first);
    let url = |consul: &Consul| format!("https://{}:8501", consul.http_addr().ip());
    let registry = |url: &str| ["--consul", url, "--token-file", &token].map(String::from).to_vec();
    let scene =
        Scene { host: &host, tls: &tls, registry: registry(&url(&consul)), server_name: Some(SERVER) };
    let found = || consul.get("/v1/agent/services")["orders-1"].is_object();
    scene.commands_work(found);
    scene.what_is_renewed_is_taken(found);
    // A token that is revoked, and another one in its file.
    let own = scene.start(&[&REGISTER[..], &["--ttl", "2s"]].concat());
    // By its own word: a refusal before it has read itself back would end it.
    eventually(SOON, "it is registered", || own.stderr().contains(" registered ") && found());
    consul.delete_token(&first);
    consul.deregister("orders-1");
    eventually(SOON, "it is refused", || own.stderr().contains("check the token"));
    private(&host, "token", &second);
    eventually(SOON, "it is there by the new token", found);
    assert_eq!(own.terminate(SOON).code(), Some(0), "{}", own.logs());
    assert!(!own.stderr().contains(&first) && !own.stderr().contains(&second), "a token is in the log");
    // Consul reads its certificate when it starts, and when it is told to.
    let names = [SERVER.to_owned()];
    scene.what_is_wrong_is_named(|expired| {
        match expired {
            true => tls.issue_expired("server", &names),
            false => tls.issue("server", &names),
        }
        consul.restart();
        consul.set_policy("desk", RULES);
        private(&host, "token", &consul.create_token(&["desk"]));
    });
    let named = Scene { server_name: Some("server.dc2.consul"), registry: registry(&url(&consul)), ..scene };
    named.refused(&named.tls("ca", Some("client")), &["not valid for name", "check server_name"]);
    let name = ["--server-name", SERVER].map(String::from);
    named.usage(&name, "server_name wants ca_file");
    let plain =
        |url: &str| Scene { host: &host, tls: &tls, registry: registry(url), server_name: Some(SERVER) };
    plain("http://127.0.0.1:8500").usage(&scene_tls(&named), "write https://");
    plain("http://10.0.0.1:8500").usage(&[], "unencrypted");
    drop(consul);

    // A server that asks nobody for a certificate, as many are set up: the authority alone will do.
    let open = self::consul(&tls, false);
    open.set_policy("desk", RULES);
    private(&host, "token", &open.create_token(&["desk"]));
    let scene = plain(&url(&open));
    let ran = scene.run(&["kv", "put", "config/a", "1"], &scene.tls("ca", None));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

fn scene_tls(scene: &Scene<'_>) -> Vec<String> {
    scene.tls("ca", Some("client"))
}
