//! Instances that others' tools have registered in Consul are read, as they were meant.

use std::process::Command;
use std::time::Duration;

use resolver_tests::{Consul, ConsulOptions, Host, Process, interop};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

fn agent(host: &Host, consul: &Consul) -> Process {
    host.agent(&format!("[[source]]\nname = \"consul\"\nkind = \"consul\"\naddress = \"{}\"\n", consul.url()))
}

/// Waits until `orders` has these instances, as JSON has them: address, port, id, weight, tags.
#[track_caller]
fn until_orders_are(host: &Host, expected: &Value) {
    let shown = |json: &Value| -> Value {
        let endpoints = json["endpoints"].as_array().cloned().unwrap_or_default();
        let mut all: Vec<Value> = endpoints
            .iter()
            .map(|own| json!([own["address"], own["port"], own["id"], own["weight"], own["tags"]]))
            .collect();
        all.sort_by_key(Value::to_string);
        json!(all)
    };
    host.until("orders", &format!("has {expected}"), SOON, |got| shown(&got.json()) == *expected);
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out
}

/// The harness's own binary, as a command line tool.
fn consul_cli(consul: &Consul, args: &[&str]) -> String {
    let mut command = Command::new(resolver_tests::consul_program());
    run(command.args(args).env("CONSUL_HTTP_ADDR", consul.url()))
}

#[test]
fn what_the_consul_command_line_registers_is_read() {
    let consul = Consul::start(ConsulOptions::new());
    let host = Host::new();
    let _agent = agent(&host, &consul);
    let flags = ["-name=orders", "-id=by-flags", "-address=10.0.0.1", "-port=9001", "-tag=v2", "-tag=fast"];
    consul_cli(&consul, &[&["services", "register"], &flags[..]].concat());
    let hcl = host.dir().join("orders.hcl");
    let definition = "service {\n  name = \"orders\"\n  id = \"by-file\"\n  address = \"2001:db8::1\"\n  port = 9002\n\
                      meta = { zone = \"east\" }\n  weights = { passing = 7, warning = 1 }\n}\n";
    std::fs::write(&hcl, definition).expect("a file in the test's own directory");
    consul_cli(&consul, &["services", "register", &hcl.display().to_string()]);
    until_orders_are(
        &host,
        &json!([
            ["10.0.0.1", 9001, "node-1/by-flags", 1, ["fast", "v2"]],
            ["2001:db8::1", 9002, "node-1/by-file", 7, []],
        ]),
    );
    consul_cli(&consul, &["maint", "-enable", "-service=by-file"]);
    until_orders_are(&host, &json!([["10.0.0.1", 9001, "node-1/by-flags", 1, ["fast", "v2"]]]));
    consul_cli(&consul, &["maint", "-disable", "-service=by-file"]);
    consul_cli(&consul, &["services", "deregister", "-id=by-flags"]);
    until_orders_are(&host, &json!([["2001:db8::1", 9002, "node-1/by-file", 7, []]]));
}

/// Registers, lets a check fail and pass, and deregisters, with the client of the Python world.
const PYTHON: &str = r#"
import sys, consul
what, host = sys.argv[1], sys.argv[2]
client = consul.Consul(host=host, port=8500)
if what == "register":
    for number in (1, 2):
        client.agent.service.register(
            "orders", service_id="py-%d" % number, address="10.0.0.%d" % number, port=9000 + number,
            tags=["python"], check=consul.Check.ttl("10m"))
        client.agent.check.ttl_pass("service:py-%d" % number)
elif what == "fail":
    client.agent.check.ttl_fail("service:py-1", "on purpose")
elif what == "deregister":
    client.agent.service.deregister("py-2")
else:
    sys.exit("what is %s?" % what)
"#;

#[test]
fn what_a_python_client_registers_is_read() {
    let python = interop::python("py-consul", "1.8.0");
    let consul = Consul::start(ConsulOptions::new());
    let host = Host::new();
    let _agent = agent(&host, &consul);
    let address = consul.http_addr().ip().to_string();
    let python = |what: &str| interop::script(&python, PYTHON, &[what, &address]);
    let instance = |n: u16| json!([format!("10.0.0.{n}"), 9000 + n, format!("node-1/py-{n}"), 1, ["python"]]);
    python("register");
    until_orders_are(&host, &json!([instance(1), instance(2)]));
    python("fail");
    until_orders_are(&host, &json!([instance(2)]));
    python("deregister");
    until_orders_are(&host, &json!([]));
}
