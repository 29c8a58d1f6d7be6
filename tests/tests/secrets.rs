//! No token and no password in anything that the agent and the tools print, at trace level, with right and wrong ones; and
//! neither goes where it must not.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use resolver_sync::consul::{ConsulConfig, ConsulKv};
use resolver_sync::etcd::{EtcdConfig, EtcdKv};
use resolver_sync::kv::Kv;
use resolver_sync::secret::Secret;
use resolver_tests::{Consul, ConsulOptions, Etcd, EtcdOptions, Host, eventually};

const SOON: Duration = Duration::from_secs(20);
const WRONG: &str = "wr0ng-canary-2f7d1c";
const PASSWORD: &str = "r1ght-canary-9b3e4a";

/// Everything that was printed, by what printed it.
#[derive(Default)]
struct Said(Vec<(String, Vec<u8>)>);

impl Said {
    /// Whether a secret is in it: as it is, in base64 at any offset, or in hexadecimal.
    #[track_caller]
    fn is_without(&self, secret: &str) {
        let raw = secret.as_bytes();
        let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![secret.to_owned(), hex.clone(), hex.to_uppercase()];
        forms.extend((0..3).map(|offset| base64_inside(raw, offset)));
        for (what, bytes) in &self.0 {
            for form in &forms {
                let found = bytes.windows(form.len()).position(|window| window == form.as_bytes());
                if let Some(at) = found {
                    let (from, to) = (at.saturating_sub(200), bytes.len().min(at + form.len() + 50));
                    panic!("{what} says a secret as {form}: {}", String::from_utf8_lossy(&bytes[from..to]));
                }
            }
        }
    }

    fn length(&self) -> usize {
        self.0.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}

/// The part of a secret's base64 that is the same whatever stands around it, if it begins so many bytes into a group.
fn base64_inside(raw: &[u8], offset: usize) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let whole: Vec<u8> = raw.iter().copied().skip((3 - offset) % 3).collect();
    let digit = |bits: u32| char::from(DIGITS[(bits & 63) as usize]);
    let group = |three: &[u8]| {
        let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        [digit(bits >> 18), digit(bits >> 12), digit(bits >> 6), digit(bits)]
    };
    whole.chunks_exact(3).flat_map(group).collect()
}

/// A command of ours with everything logged, and what it is told in the environment.
fn traced(host: &Host, args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(host.binary());
    command.args(args).env("RUST_LOG", "trace").stdin(Stdio::null());
    for name in ["CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE", "ETCDCTL_USER", "ETCDCTL_PASSWORD"] {
        command.env_remove(name);
    }
    command.envs(env.iter().copied());
    command
}

/// Each command once, then the agent and a watch for as long as it takes them to be in step or to be refused.
fn say_everything(host: &Host, flags: &[&str], env: &[(&str, &str)], agent: &str, works: bool) -> Said {
    let mut said = Said::default();
    let dir = host.dir().display().to_string();
    let file = format!("{dir}/kv.backup");
    // Consul gives a key to no second session.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let leased = format!("config/leased-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let commands: [&[&str]; 11] = [
        &["kv", "put", "config/a", "1"],
        &["kv", "get", "config/a"],
        &["kv", "cas", "config/a", "2", "--revision", "1"],
        &["kv", "list", "config/"],
        &["kv", "list", "--json"],
        &["kv", "txn", "--put", "config/b=1", "--delete", "config/c"],
        &["kv", "put", &leased, "1", "--ttl", "10s"],
        &["kv", "backup", &file, "--prefix", "config/"],
        &["kv", "restore", &file, "--overwrite"],
        &["kv", "delete", "config/b"],
        &["registry", "status"],
    ];
    for args in commands {
        let all = [args, flags].concat();
        let output = traced(host, &all, env).output().expect("our binary");
        if works && args[1] != "cas" {
            let words = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{args:?}: {words}");
        }
        said.0.push((format!("{args:?}"), [output.stdout, output.stderr].concat()));
    }
    let config = host.configuration(agent).display().to_string();
    let watching = [&["kv", "--json", "watch", "config/"], flags].concat();
    for (args, proof) in [
        (&["agent", "--config", &config][..], if works { "settings are in step" } else { "settings stand" }),
        (&watching, if works { "in-step" } else { "lost" }),
    ] {
        let (out, err) = (PathBuf::from(format!("{dir}/out")), PathBuf::from(format!("{dir}/err")));
        let created = |path: &PathBuf| fs::File::create(path).expect("our own file");
        let mut child =
            traced(host, args, env).stdout(created(&out)).stderr(created(&err)).spawn().expect("our binary");
        let printed = || [fs::read(&out).unwrap_or_default(), fs::read(&err).unwrap_or_default()].concat();
        let line = fs::read(format!("/proc/{}/cmdline", child.id())).expect("it runs");
        eventually(SOON, &format!("{args:?} says {proof:?}"), || {
            String::from_utf8_lossy(&printed()).contains(proof)
        });
        child.kill().expect("our own child");
        child.wait().expect("our own child");
        said.0.push((format!("{args:?}"), printed()));
        said.0.push((format!("the command line of {args:?}"), line));
    }
    said
}

fn private_file(host: &Host, name: &str, content: &str) -> String {
    let file = host.dir().join(name);
    fs::write(&file, content).expect("our own file");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("our own file");
    file.display().to_string()
}

const SETTING: &str =
    "[[setting]]\nname = \"a\"\nsource = \"registry\"\nkey = \"config/a\"\ntype = \"i64\"\n";

#[test]
fn consul_tokens_are_in_nothing_that_is_printed() {
    let consul = Consul::start(ConsulOptions::new().acl());
    consul.set_policy(
        "all",
        r#"key_prefix "" { policy = "write" } session_prefix "" { policy = "write" } operator = "read"
           service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#,
    );
    let right = consul.create_token(&["all"]);
    for (token, works) in [(right.as_str(), true), (WRONG, false)] {
        let host = Host::new();
        let file = private_file(&host, "token", token);
        let url = consul.url();
        let agent = format!(
            "[[source]]\nname = \"registry\"\nkind = \"consul\"\naddress = \"{url}\"\ntoken_file = \"{file}\"\n{SETTING}"
        );
        let flags = ["--consul", &url];
        for env in [("CONSUL_HTTP_TOKEN", token), ("CONSUL_HTTP_TOKEN_FILE", &file)] {
            let said = say_everything(&host, &flags, &[env], &agent, works);
            assert!(said.length() > 20_000, "trace says much; {} bytes are not all of it", said.length());
            said.is_without(token);
        }
        let mut config = ConsulConfig::new("main", &url);
        config.token = Some(Secret::new(token));
        let shown = format!("{config:?} {:?}", ConsulKv::new(config.clone()).expect("good"));
        Said(vec![("Debug".into(), shown.into_bytes())]).is_without(token);
    }
}

#[test]
fn etcd_passwords_are_in_nothing_that_is_printed() {
    let etcd = Etcd::start(EtcdOptions::new());
    etcd.etcdctl(&["user", "add", &format!("root:{PASSWORD}")]);
    etcd.etcdctl(&["user", "grant-role", "root", "root"]);
    etcd.etcdctl(&["auth", "enable"]);
    for (password, works) in [(PASSWORD, true), (WRONG, false)] {
        let host = Host::new();
        let file = private_file(&host, "password", password);
        let url = etcd.url();
        let agent = format!(
            "[[source]]\nname = \"registry\"\nkind = \"etcd\"\nendpoints = [\"{url}\"]\nuser = \"root\"\n\
             password_file = \"{file}\"\n{SETTING}"
        );
        let both = format!("root:{password}");
        let flags = ["--etcd", &url, "--user", "root", "--password-file", &file];
        for (flags, env) in [(&flags[..], vec![]), (&flags[..2], vec![("ETCDCTL_USER", both.as_str())])] {
            let said = say_everything(&host, flags, &env, &agent, works);
            assert!(said.length() > 20_000, "trace says much; {} bytes are not all of it", said.length());
            said.is_without(password);
        }
        let config = EtcdConfig {
            endpoints: vec![url],
            user: Some("root".into()),
            password: Some(Secret::new(password)),
            ..EtcdConfig::default()
        };
        Said(vec![("Debug".into(), format!("{config:?}").into_bytes())]).is_without(password);
        let kv = EtcdKv::new(config).expect("good");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let outcome = format!("{:?}", runtime.block_on(kv.get("config/a")));
        Said(vec![("an answer's or error's Debug".into(), outcome.into_bytes())]).is_without(password);
    }
    // Who may read nothing sees the cluster's state all the same, and no empty listing.
    let (host, url) = (Host::new(), etcd.url());
    let root = format!("--user=root:{PASSWORD}");
    etcd.etcdctl(&[&root, "user", "add", "nobody:a-password"]);
    let env = [("ETCDCTL_USER", "nobody:a-password")];
    for (args, code) in
        [(&["registry", "status"][..], 0), (&["kv", "list"], 1), (&["kv", "get", "config/a"], 1)]
    {
        let output = traced(&host, &[args, &["--etcd", &url]].concat(), &env).output().expect("our binary");
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), output.stdout.is_empty()),
            (Some(code), code != 0),
            "{args:?}: {words}"
        );
    }
}

/// Counts who connects, keeps what they send, and answers everything with these bytes.
struct Listener {
    address: SocketAddr,
    connected: Arc<AtomicUsize>,
}

impl Listener {
    fn answering(answer: String) -> Listener {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let connected = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connected);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let answer = answer.clone();
                std::thread::spawn(move || stream.map(|stream| converse(stream, &answer)));
            }
        });
        Listener { address, connected }
    }

    fn connected(&self) -> usize {
        self.connected.load(Ordering::SeqCst)
    }
}

fn converse(mut stream: TcpStream, answer: &str) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer)? > 0 {
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}

#[test]
fn redirects_are_not_followed() {
    let trap = Listener::answering(String::new());
    let redirect = format!(
        "HTTP/1.1 301 Moved Permanently\r\nLocation: http://{}/v1/kv/config/a\r\nContent-Length: 0\r\n\r\n",
        trap.address
    );
    let server = Listener::answering(redirect);
    let host = Host::new();
    let url = format!("http://{}", server.address);
    for args in [&["kv", "get", "config/a"][..], &["kv", "put", "config/a", "1"], &["registry", "status"]] {
        let env = [("CONSUL_HTTP_TOKEN", WRONG)];
        let output = traced(&host, &[args, &["--consul", &url]].concat(), &env).output().expect("our binary");
        assert_ne!(output.status.code(), Some(0), "{args:?}");
    }
    assert!(server.connected() > 0, "nobody was asked");
    assert_eq!(trap.connected(), 0, "a redirect was followed");
}

#[test]
fn proxies_of_the_environment_are_ignored() {
    let proxy = Listener::answering("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n".into());
    let (consul, etcd) = (Consul::start(ConsulOptions::new()), Etcd::start(EtcdOptions::new()));
    let host = Host::new();
    let proxy_url = format!("http://{}", proxy.address);
    let names =
        ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "grpc_proxy"];
    let env: Vec<_> = names.iter().map(|name| (*name, proxy_url.as_str())).collect();
    for (flag, url) in [("--consul", consul.url()), ("--etcd", etcd.url())] {
        let args = ["kv", flag, &url, "put", "config/a", "1"];
        let output = traced(&host, &args, &env).env_remove("no_proxy").env_remove("NO_PROXY").output();
        let output = output.expect("our binary");
        assert_eq!(output.status.code(), Some(0), "{flag}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(proxy.connected(), 0, "a proxy was asked");
}

#[test]
fn a_secret_goes_to_another_host_over_tls_only() {
    let host = Host::new();
    let file = private_file(&host, "password", WRONG);
    for (args, env) in [
        (&["--consul", "http://192.0.2.1:8500"][..], vec![("CONSUL_HTTP_TOKEN", WRONG)]),
        (&["--etcd", "http://192.0.2.1:2379", "--user", "root", "--password-file", &file], vec![]),
    ] {
        for command in [&["kv", "get", "a"][..], &["registry", "status"]] {
            let output = traced(&host, &[command, args].concat(), &env).output().expect("our binary");
            let words = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{args:?}: {words}");
            assert!(words.contains("unencrypted") && !words.contains(WRONG), "{words}");
        }
    }
    // Nor from a file that others can read.
    fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("our own file");
    let args = ["kv", "get", "a", "--consul", "127.0.0.1:8500", "--token-file", &file];
    let output = traced(&host, &args, &[]).output().expect("our binary");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && words.contains("chmod 600"), "{words}");
}

#[test]
fn the_search_finds_what_it_looks_for() {
    for planted in
        ["r1ght-canary-9b3e4a", "cjFnaHQtY2FuYXJ5LTliM2U0", "723167", "xxcjFnaHQtY2FuYXJ5LTliM2U0YQ=="]
    {
        let said = Said(vec![("planted".into(), format!("... {planted} ...").into_bytes())]);
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| said.is_without(PASSWORD)));
        assert_eq!(found.is_err(), planted != "723167", "{planted}");
    }
}
