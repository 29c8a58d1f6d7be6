//! Users, tokens, certificates and namespaces, with a server that insists on them.

use std::path::Path;
use std::time::{Duration, Instant};

use resolver_core::Reason;
use resolver_sync::etcd::{EtcdConfig, EtcdSource, EtcdTls};
use resolver_sync::secret::Secret;

use crate::certificates::Authority;
use crate::harness::{DEADLINE, Etcd, Mirror, Options, authority, config, write_certificate};

const ROOT: [&str; 2] = ["--user", "root:top"];

fn tls(dir: &Path, client: Option<&str>) -> EtcdTls {
    let file = |suffix: &str| client.map(|client| dir.join(format!("{client}.{suffix}")));
    EtcdTls {
        ca_file: Some(dir.join("ca.pem")),
        cert_file: file("pem"),
        key_file: file("key"),
        server_name: None,
    }
}

/// Users `root` and `resolver`, who may read `/services/`; authentication is on.
fn with_users(etcd: &Etcd) {
    for args in [
        &["user", "add", "root:top"][..],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "reader"],
        &["role", "grant-permission", "--prefix=true", "reader", "read", "/services/"],
        &["user", "add", "resolver:canary-Zk81"],
        &["user", "grant-role", "resolver", "reader"],
        &["auth", "enable"],
    ] {
        etcd.ctl(args);
    }
}

#[track_caller]
fn refused(config: EtcdConfig, words: &[&str]) {
    let mut mirror = Mirror::of(config);
    mirror.until("it is refused", |m| m.lost.is_some());
    let fault = &mirror.losses[0];
    assert!(words.iter().any(|words| fault.detail.contains(words)), "{fault:?} says none of {words:?}");
    assert_eq!(mirror.snapshots, 0);
}

#[test]
fn by_tls_and_only_with_who_is_proven() {
    let etcd = Etcd::start_with(Options { tls: true, client: Some("ctl"), ..Options::default() });
    etcd.put("oms", "1", "10.0.0.1", 9000);
    let with = |tls| EtcdConfig { tls, ..config([etcd.url()]) };
    let mut mirror = Mirror::of(with(tls(etcd.dir(), Some("ctl"))));
    mirror.until_ports("oms", &[9000]);
    etcd.put("oms", "2", "10.0.0.1", 9001);
    mirror.until_ports("oms", &[9000, 9001]);
    assert_eq!(mirror.confirm("oms").expect("read again").instances.len(), 2);
    assert!(mirror.losses.is_empty());

    // Without a certificate of ours; as one whom another authority vouches for. The server's word for it may be overtaken by
    // the end of the connection.
    let closed = ["ertificate", "UnknownCA", "closed", "reset", "roken pipe"];
    refused(with(tls(etcd.dir(), None)), &closed);
    let stranger = Authority::new();
    write_certificate(etcd.dir(), "stranger", &stranger.issue(&["ctl"]));
    refused(with(tls(etcd.dir(), Some("stranger"))), &closed);
    // A server of another authority, and one of another name.
    std::fs::write(etcd.dir().join("other.pem"), stranger.cert_pem()).expect("written");
    let other = EtcdTls { ca_file: Some(etcd.dir().join("other.pem")), ..tls(etcd.dir(), Some("ctl")) };
    refused(with(other), &["invalid peer certificate"]);
    let named = EtcdTls { server_name: Some("etcd.example".into()), ..tls(etcd.dir(), Some("ctl")) };
    refused(with(named), &["not valid for name"]);
    // The system's roots do not have this authority.
    let system = EtcdTls { ca_file: None, ..tls(etcd.dir(), Some("ctl")) };
    refused(with(system), &["invalid peer certificate", "no native root"]);
}

#[test]
fn a_certificate_that_was_renewed_is_used_at_the_next_connection() {
    let etcd = Etcd::start_with(Options { tls: true, client: Some("ctl"), ..Options::default() });
    etcd.put("oms", "1", "10.0.0.1", 9000);
    write_certificate(etcd.dir(), "ours", &authority().issue_expired(&["resolver"]));
    let mut mirror = Mirror::of(EtcdConfig { tls: tls(etcd.dir(), Some("ours")), ..config([etcd.url()]) });
    mirror.until("our certificate has expired", |m| m.lost.is_some());
    assert_eq!(mirror.losses[0].reason, Reason::Unreachable, "{:?}", mirror.losses);
    write_certificate(etcd.dir(), "ours", &authority().issue(&["resolver"]));
    mirror.until("in step", |m| m.lost.is_none() && m.ports("oms") == [9000]);

    // And the server's own, which it reads for each connection.
    let name = etcd.url().trim_start_matches("https://").trim_end_matches(":2379").to_owned();
    write_certificate(etcd.dir(), "server", &authority().issue_expired(&[&name]));
    let mut late = Mirror::of(EtcdConfig { tls: tls(etcd.dir(), Some("ours")), ..config([etcd.url()]) });
    late.until("the server's certificate has expired", |m| m.lost.is_some());
    assert!(late.losses[0].detail.contains("xpired"), "{:?}", late.losses);
    write_certificate(etcd.dir(), "server", &authority().issue(&[&name]));
    late.until_ports("oms", &[9000]);
    let losses = mirror.losses.len();
    etcd.put("oms", "1", "10.0.0.1", 9001);
    mirror.until_ports("oms", &[9001]);
    assert_eq!(mirror.losses.len(), losses, "a running watch goes on");
}

#[test]
fn a_certificates_name_may_be_the_user() {
    let etcd = Etcd::start_with(Options { tls: true, client: Some("root"), ..Options::default() });
    etcd.put("oms", "1", "10.0.0.1", 9000);
    with_users(&etcd);
    for name in ["resolver", "nobody"] {
        write_certificate(etcd.dir(), name, &authority().issue(&[name]));
    }
    let with = |name| EtcdConfig { tls: tls(etcd.dir(), Some(name)), ..config([etcd.url()]) };
    let mut mirror = Mirror::of(with("resolver"));
    mirror.until_ports("oms", &[9000]);
    etcd.put("oms", "1", "10.0.0.1", 9001);
    mirror.until_ports("oms", &[9001]);
    let mut nobody = Mirror::of(with("nobody"));
    nobody.until("nobody is refused", |m| m.lost.is_some());
    assert_eq!(nobody.losses[0].reason, Reason::Acl, "{:?}", nobody.losses);
    // A password beside it, by TLS.
    let user = EtcdConfig {
        user: Some("resolver".into()),
        password: Some(Secret::new("canary-Zk81")),
        ..with("nobody")
    };
    Mirror::of(user).until_ports("oms", &[9001]);
}

/// A watch outlives its token; what comes after it needs a new one.
fn outlives_its_token(options: Options, expired: impl Fn(&Etcd, Instant) -> bool) {
    let etcd = Etcd::start_with(options);
    etcd.put("oms", "1", "10.0.0.1", 9000);
    with_users(&etcd);
    let mut mirror = Mirror::of(EtcdConfig {
        user: Some("resolver".into()),
        password: Some(Secret::new("canary-Zk81")),
        heartbeat: Duration::from_millis(100),
        ..config([etcd.url()])
    });
    mirror.until_ports("oms", &[9000]);
    let begun = Instant::now();
    mirror.until("the token has expired", |_| expired(&etcd, begun));
    assert!(begun.elapsed() < DEADLINE, "it never expired");
    etcd.ctl(&[&ROOT[..], &["put", "/services/oms/1", "10.0.0.1:9001"]].concat());
    mirror.until_ports("oms", &[9001]);
    assert_eq!(mirror.confirm("oms").expect("with a new token").instances[0].port, 9001);
    assert_eq!(mirror.losses_but_for_silence(), [""; 0]);
    // A change of rights makes every token of before it void, and must not end in a loop.
    etcd.ctl(&[&ROOT[..], &["role", "add", "another"]].concat());
    mirror.until("the second read works", |m| m.confirm("oms").is_ok());
    etcd.ctl(&[&ROOT[..], &["put", "/services/oms/1", "10.0.0.1:9002"]].concat());
    mirror.until_ports("oms", &[9002]);
}

#[test]
fn a_simple_token_that_expires() {
    let args = ["--auth-token=simple", "--auth-token-ttl=1", "--log-level=debug"].map(String::from).to_vec();
    outlives_its_token(Options { args, ..Options::default() }, |etcd, _| {
        etcd.log().lines().any(|line| line.contains("deleted a simple token") && line.contains("resolver"))
    });
}

#[test]
fn a_jwt_that_expires() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = dir.path().join("key");
    std::fs::write(&key, "not a secret: signs the tokens of one test").expect("written");
    let token = format!("--auth-token=jwt,priv-key={},sign-method=HS256,ttl=1s", key.display());
    // The token says itself until when it holds; there is nothing to be seen of it but the time.
    outlives_its_token(Options { args: vec![token], ..Options::default() }, |_, begun| {
        begun.elapsed() > Duration::from_millis(2500)
    });
}

#[test]
fn a_namespace_is_put_before_every_key_and_shown_in_none() {
    let etcd = Etcd::start();
    etcd.ctl(&["put", "/desk-a/services/oms/1", "10.0.0.1:9000"]);
    etcd.ctl(&["put", "/desk-b/services/oms/1", "10.0.0.2:9000"]);
    etcd.put("oms", "1", "10.0.0.3", 9000);
    let desk = |desk: &str| EtcdConfig { namespace: desk.into(), ..config([etcd.url()]) };
    let (mut a, mut b) = (Mirror::of(desk("/desk-a")), Mirror::of(desk("/desk-b")));
    a.until_ports("oms", &[9000]);
    b.until_ports("oms", &[9000]);
    assert_eq!(a.services["oms"].instances[0].address.to_string(), "10.0.0.1");
    assert_eq!(b.services["oms"].instances[0].address.to_string(), "10.0.0.2");
    etcd.ctl(&["put", "/desk-a/services/oms/bad", "what is this"]);
    etcd.ctl(&["put", "/desk-a/services/oms/2", "10.0.0.1:9001"]);
    a.until_ports("oms", &[9000, 9001]);
    assert_eq!(a.services["oms"].rejected[0].id, "/services/oms/bad");
    let again = a.confirm("oms").expect("read again");
    assert_eq!((again.instances.len(), again.rejected.len()), (2, 1));
    assert_eq!((b.ports("oms").len(), b.services.len()), (1, 1));
}

#[test]
fn files_that_cannot_be_used_are_named_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| dir.path().join(name);
    std::fs::write(file("ca.pem"), authority().cert_pem()).expect("written");
    std::fs::write(file("text.pem"), "what is this").expect("written");
    write_certificate(dir.path(), "ours", &authority().issue(&["resolver"]));
    let said = |url: &str, tls: EtcdTls| {
        let config = EtcdConfig { tls, ..config([url.to_owned()]) };
        EtcdSource::new(config).err().expect("it was taken").to_string()
    };
    let https = "https://10.0.0.1:2379";
    let good = tls(dir.path(), Some("ours"));
    assert!(said("http://10.0.0.1:2379", good.clone()).contains("begin with https://"));
    let half = EtcdTls { key_file: None, ..good.clone() };
    assert!(said(https, half).contains("both or neither"));
    let missing = EtcdTls { ca_file: Some(file("none.pem")), ..good.clone() };
    assert!(said(https, missing).contains("none.pem"));
    let text = EtcdTls { ca_file: Some(file("text.pem")), ..good.clone() };
    assert!(said(https, text).contains("no PEM"));
    std::fs::write(file("open.key"), "canary").expect("written");
    let open = EtcdTls { key_file: Some(file("open.key")), ..good.clone() };
    let why = said(https, open);
    assert!(why.contains("chmod 600") && !why.contains("canary"), "{why}");
    let swapped = EtcdTls { cert_file: good.key_file.clone(), ..good };
    let why = said(https, swapped);
    assert!(!why.contains("PRIVATE"), "{why}");
}
