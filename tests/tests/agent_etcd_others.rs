//! etcd with all that a firm has around it: TLS, users, a namespace, and instances that others' tools have written.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use resolver_tests::{Etcd, EtcdOptions, Host, Ran, interop};
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);
const CANARY: &str = "canary-Zk81";
const PYTHON: (&str, &str) = ("etcd3gw", "2.7.0");

fn ids(got: &Ran) -> Vec<String> {
    let json = got.json();
    let id = |endpoint: &serde_json::Value| endpoint["id"].as_str().unwrap_or("?").to_owned();
    json["endpoints"].as_array().map(|all| all.iter().map(id).collect()).unwrap_or_default()
}

#[test]
fn by_tls_as_a_user_in_a_namespace() {
    let etcd = Etcd::start(EtcdOptions::new().tls().arg("--auth-token-ttl=2"));
    let value = json!({ "id": "1", "name": "orders", "version": "v3", "metadata": null, "endpoints": ["grpc://10.0.0.1:9000"] });
    let key = |id: u8| format!("/desk-a/microservices/orders/{id}");
    etcd.put(&key(1), value.to_string());
    let resolver = format!("resolver:{CANARY}");
    for args in [
        &["user", "add", "root:top"][..],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "desk-a"],
        &["role", "grant-permission", "--prefix=true", "desk-a", "read", "/desk-a/microservices/"],
        &["user", "add", &resolver],
        &["user", "grant-role", "resolver", "desk-a"],
        &["auth", "enable"],
    ] {
        etcd.etcdctl(args);
    }
    let host = Host::new();
    let password = host.dir().join("password");
    std::fs::write(&password, CANARY).expect("written");
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    let files = etcd.certificates().display();
    let agent = host.agent(&format!(
        "[[source]]\nname = \"etcd\"\nkind = \"etcd\"\nendpoints = [\"{}\"]\nnamespace = \"/desk-a\"\ncodec = \"kratos\"\n\
         user = \"resolver\"\npassword_file = \"{}\"\nca_file = \"{files}/ca.pem\"\ncert_file = \"{files}/client.pem\"\n\
         key_file = \"{files}/client.key\"\nrelist_s = 1\n",
        etcd.url(),
        password.display(),
    ));
    let got = host.until("orders", "has its instance", SOON, |got| ids(got) == ["1"]);
    assert_eq!(got.json()["endpoints"][0]["tags"], json!(["grpc", "version=v3"]));
    let two = value.to_string().replace("10.0.0.1", "10.0.0.2");
    etcd.etcdctl(&["--user", "root:top", "put", "--", &key(2), &two]);
    host.until("orders", "has both", SOON, |got| ids(got) == ["1", "2"]);
    // The right goes: what stands, stands, and the reason is said.
    etcd.etcdctl(&["--user", "root:top", "user", "revoke-role", "resolver", "desk-a"]);
    let held = host.until("orders", "is held", SOON, |got| got.json()["state"] == "STALE");
    assert_eq!((ids(&held).len(), &held.json()["reason"]), (2, &json!("acl")));
    etcd.etcdctl(&["--user", "root:top", "user", "grant-role", "resolver", "desk-a"]);
    host.until("orders", "is fresh again", SOON, |got| got.json()["state"] == "FRESH");
    let cmdline = std::fs::read_to_string(format!("/proc/{}/cmdline", agent.pid())).expect("it runs");
    for (where_, text) in
        [("its log", agent.logs()), ("its command line", cmdline), ("what it shows", got.stdout)]
    {
        assert!(!text.contains(CANARY), "the password is in {where_}");
    }
}

#[test]
fn a_python_clients_instances() {
    let python = interop::python(PYTHON.0, PYTHON.1);
    let etcd = Etcd::start(EtcdOptions::new());
    let host = Host::new();
    let _agent = host
        .agent(&format!("[[source]]\nname = \"etcd\"\nkind = \"etcd\"\nendpoints = [\"{}\"]\n", etcd.url()));
    let address = etcd.url().replace("http://", "").replace(":2379", "");
    let play = |text: &str| interop::script(&python, text, &[&address]);
    let client = "import sys, json, etcd3gw\nclient = etcd3gw.client(host=sys.argv[1], port=2379)\n";
    let value =
        |port: u16| format!("json.dumps({{'address': '10.0.0.1', 'port': {port}, 'timestamp': 1700000000}})");
    let lease = play(&format!(
        "{client}lease = client.lease(ttl=60)\nclient.put('/services/orders/leased', {}, lease=lease)\n\
         client.put('/services/orders/kept', {})\nprint(lease.id)\n",
        value(9001),
        value(9002),
    ));
    host.until("orders", "has both", SOON, |got| ids(got) == ["leased", "kept"]);
    play(&format!("{client}client.replace('/services/orders/kept', {}, {})\n", value(9002), value(9000)));
    host.until("orders", "was replaced", SOON, |got| ids(got) == ["kept", "leased"]);
    play(&format!(
        "{client}from etcd3gw.lease import Lease\nLease({}, client=client).revoke()\n",
        lease.trim()
    ));
    host.until("orders", "lost what was leased", SOON, |got| ids(got) == ["kept"]);
    play(&format!("{client}client.delete_prefix('/services/orders/')\n"));
    host.until("orders", "is empty", SOON, |got| got.json()["state"] == "EMPTY");
}
