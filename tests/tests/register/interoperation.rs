//! What we register is read by others' tools: the consul command, Consul's DNS, etcdctl.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use resolver_tests::{Consul, ConsulOptions, Etcd, EtcdOptions, until};
use serde_json::json;

use crate::{SOON, orders, with_consul, with_etcd};

#[test]
fn the_consul_command_lists_it() {
    let consul = Consul::start(ConsulOptions::new());
    let _registered = with_consul(&consul).register(orders().tag("v2"), SOON).expect("a free id");
    // The program that runs.
    let program = std::fs::read_link(format!("/proc/{}/exe", consul.pid())).expect("it runs");
    let ask = |args: &[&str]| {
        let output = Command::new(&program).args(args).env("CONSUL_HTTP_ADDR", consul.url()).output();
        String::from_utf8_lossy(&output.expect("it ran before").stdout).into_owned()
    };
    let services = ask(&["catalog", "services", "-tags"]);
    assert!(services.lines().any(|line| line.split_whitespace().eq(["orders", "v2"])), "{services}");
    let nodes = ask(&["catalog", "nodes", "-service=orders"]);
    assert!(nodes.contains("node-1"), "{nodes}");
}

#[test]
fn consuls_dns_answers_with_its_address_and_port_and_not_when_it_is_critical() {
    let consul = Consul::start(ConsulOptions::new().config(json!({ "ports": { "dns": 8600 } })));
    let registered = with_consul(&consul).register(orders(), SOON).expect("a free id");
    let server = format!("{}:8600", consul.http_addr().ip());
    let (answers, message) = until(SOON, "DNS answers", || ask(&server, A));
    assert_eq!(answers, 1);
    assert!(message.ends_with(&[10, 0, 0, 1]), "the one record's data is the address: {message:?}");
    let (answers, message) = until(SOON, "DNS answers", || ask(&server, SRV));
    let port = 9001u16.to_be_bytes();
    // Priority 1, weight 1, port.
    let record = [0, 1, 0, 1, port[0], port[1]];
    assert!(answers == 1 && message.windows(6).any(|window| window == record), "{message:?}");
    registered.set_healthy(false, "no feed");
    until(SOON, "no answer", || match ask(&server, A) {
        Ok((0, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

const A: u8 = 1;
const SRV: u8 = 33;

/// How many answers there are to a question for orders.service.consul (RFC 1035), and the whole message.
fn ask(server: &str, kind: u8) -> Result<(u16, Vec<u8>), String> {
    let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["orders", "service", "consul"] {
        question.push(u8::try_from(label.len()).expect("short"));
        question.extend(label.bytes());
    }
    question.extend([0, 0, kind, 0, 1]);
    let asked = || -> std::io::Result<Vec<u8>> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.send_to(&question, server)?;
        let mut message = vec![0; 1024];
        let length = socket.recv(&mut message)?;
        message.truncate(length);
        Ok(message)
    };
    let message = asked().map_err(|error| error.to_string())?;
    let answers = message.get(6..8).ok_or("no header")?;
    Ok((u16::from_be_bytes([answers[0], answers[1]]), message))
}

#[test]
fn etcdctl_lists_it_and_its_lease() {
    let etcd = Etcd::start(EtcdOptions::new());
    let _registered = with_etcd(&etcd).register(orders(), SOON).expect("a free id");
    let got = etcd.etcdctl(&["get", "--prefix", "/services/orders/"]);
    let lines: Vec<&str> = got.lines().collect();
    assert_eq!(lines[0], "/services/orders/orders-1");
    assert!(lines[1].starts_with("{\"address\":\"10.0.0.1\",\"port\":9001,\"timestamp\":"), "{got}");
    let leases = etcd.etcdctl(&["lease", "list"]);
    let lease = leases.lines().last().expect("a lease");
    let keys = etcd.etcdctl(&["lease", "timetolive", "--keys", lease]);
    assert!(keys.contains("granted with TTL(2s)") && keys.contains("/services/orders/orders-1"), "{keys}");
}
