//! The agent's health server: what it says when, and that nobody who is slow or large can harm it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use resolver_sync::health::{Health, HealthError, HealthOptions, HealthServer};
use resolver_tests::{Answer, Consul, ConsulOptions, Host, Process, eventually, request, until};
use serde_json::json;

/// For anything to happen; a machine that is busy building takes longer.
const SOON: Duration = Duration::from_secs(30);

fn get(address: SocketAddr, path: &str) -> Result<Answer, String> {
    request("GET", &format!("http://{address}{path}"), &[], None, Duration::from_secs(10))
}

#[track_caller]
fn answered(address: SocketAddr, path: &str) -> Answer {
    get(address, path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// An agent on this Consul with a health server, and where that listens.
fn agent(host: &Host, consul: &Consul) -> (Process, SocketAddr) {
    let agent = host.agent(&format!(
        "[health]\nlisten = \"127.0.0.1:0\"\n\n[sync]\nstale_after_ms = 1000\n\n\
         [[source]]\nname = \"con\\\"sul\"\nkind = \"consul\"\naddress = \"{}\"\n",
        consul.url()
    ));
    let address = until(SOON, "the agent says where it listens", || {
        let log = agent.stderr();
        let found =
            log.lines().find_map(|line| line.split("health and metrics on http://").nth(1)?.parse().ok());
        found.ok_or_else(|| agent.logs())
    });
    (agent, address)
}

/// A sample of the page of metrics.
fn metric(address: SocketAddr, name: &str) -> Option<f64> {
    let page = answered(address, "/metrics").text();
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn ready_only_once_a_good_table_stands_and_healthy_as_long_as_it_is_published() {
    let consul = Consul::start(ConsulOptions::new().durable());
    // Without checks: an agent that was restarted takes those for critical until they were made.
    for (id, address) in [("orders-1", "10.0.0.1"), ("orders-2", "not an address")] {
        consul.register(&json!({ "Name": "orders", "ID": id, "Address": address, "Port": 9001 }));
    }
    consul.kill();
    let host = Host::new();
    let (_agent, address) = agent(&host, &consul);
    eventually(SOON, "it has begun", || {
        answered(address, "/health").json()["components"]["sync"]["status"] == "ok"
    });
    let ready = answered(address, "/ready");
    assert_eq!((ready.status, &ready.json()["status"]), (503, &"failed".into()), "{}", ready.text());
    assert!(ready.text().contains("not in step yet: con\\\"sul"), "{}", ready.text());
    let health = answered(address, "/health");
    assert_eq!(health.status, 200, "an agent whose registry is away is not made well by a restart");
    assert_eq!(health.json()["status"], "degraded", "{}", health.text());

    consul.restart();
    eventually(SOON, "it is ready", || answered(address, "/ready").status == 200);
    eventually(SOON, "all is well", || answered(address, "/health").json()["status"] == "ok");
    let source = |name: &str| metric(address, &format!("{name}{{source=\"con\\\"sul\"}}"));
    eventually(SOON, "the service is counted", || source("resolver_endpoints") == Some(1.0));
    assert_eq!(source("resolver_source_up"), Some(1.0));
    assert_eq!(source("resolver_source_bad_records"), Some(1.0));
    assert!(source("resolver_source_age_seconds").is_some_and(|age| age < 60.0));
    assert!(metric(address, "resolver_publications_total") >= Some(1.0));
    assert!(metric(address, "resolver_publication_lag_seconds_count") >= Some(1.0));
    assert!(source("resolver_source_reconnects_total").is_some());
    let before = source("resolver_source_reconnects_total");

    consul.kill();
    eventually(SOON, "it is degraded", || answered(address, "/health").json()["status"] == "degraded");
    assert_eq!(answered(address, "/ready").status, 200, "the last good table stands");
    assert_eq!(source("resolver_source_up"), Some(0.0));
    consul.restart();
    eventually(SOON, "the contact that came back is counted", || {
        source("resolver_source_reconnects_total") > before
    });
    let page = answered(address, "/metrics").text();
    assert!(
        page.contains("resolver_source_faults_total{source=\"con\\\"sul\",reason=\"unreachable\"}"),
        "{page}"
    );
    // One count behind both: what a page sums up to, the segment of its first agent has.
    let segment = host.segment().display().to_string();
    eventually(SOON, "the segment's counters and the page agree", || {
        let page = answered(address, "/metrics").text();
        let sum = |name: &str| {
            let samples = page.lines().filter(|line| line.starts_with(name));
            samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
        };
        let counters = host.run(&["segment", "errors", &segment, "--json"]).json()["counters"].clone();
        let counter = |name: &str| counters[name].as_u64().unwrap_or(u64::MAX);
        let both = [
            (sum("resolver_source_bad_records_total"), counter("bad_records")),
            (sum("resolver_source_faults_total"), counter("contacts_lost")),
            (sum("resolver_source_reconnects_total") + 1, counter("contacts")),
            (sum("resolver_confirmations_total{result=\"failed\"}"), counter("confirmations_failed")),
            (sum("resolver_confirmations_total"), counter("confirmations")),
        ];
        both.iter().all(|(page, segment)| page == segment) && both[0].0 > 0 && both[1].0 > 0
    });
}

#[test]
fn the_page_of_metrics_is_in_prometheus_text_format() {
    let consul = Consul::start(ConsulOptions::new());
    consul.register_ttl("orders", "orders-1", "10.0.0.1", 9001);
    let host = Host::new();
    let (_agent, address) = agent(&host, &consul);
    eventually(SOON, "it is ready", || answered(address, "/ready").status == 200);
    let answer = answered(address, "/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let mut family = (String::new(), String::new());
    let mut samples = 0;
    for line in answer.text().lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a kind");
            family = (name.to_owned(), kind.to_owned());
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else if !line.starts_with("# HELP ") {
            let (metric, value) = line.rsplit_once(' ').expect("a value");
            let name = metric.split('{').next().unwrap_or(metric);
            let own = name.strip_prefix(family.0.as_str()).expect(line);
            let part = family.1 == "histogram" && ["_bucket", "_sum", "_count"].contains(&own);
            assert!(own.is_empty() || part, "{line} is under {family:?}");
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            samples += 1;
        }
    }
    assert!(samples > 20, "{}", answer.text());
}

/// Whether the server has closed this connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    match stream.read(&mut [0; 256]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// A server that closes nobody for being slow unless it is told to, with this cap.
fn server(cap: usize, head: Duration) -> HealthServer {
    let options = HealthOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        connections: cap,
        header_timeout: head,
        lifetime: Duration::from_secs(3600),
        ..HealthOptions::default()
    };
    HealthServer::start(options, Health::new()).expect("a free port")
}

/// Clients that have begun a request, and do not end it.
fn slow_clients(server: &HealthServer, count: usize) -> Vec<TcpStream> {
    let begun = |_| {
        let mut stream = TcpStream::connect(server.address()).expect("it listens");
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: ").expect("some bytes");
        stream
    };
    (0..count).map(begun).collect()
}

#[test]
fn two_hundred_slow_clients_keep_nobody_waiting_and_no_more_than_the_cap_stay() {
    let server = server(64, Duration::from_secs(3600));
    let mut slow = slow_clients(&server, 200);
    // More of it from each, one byte at a time, between requests of somebody else.
    for turn in 0..20 {
        for stream in &mut slow {
            // Those that the server has closed by now cannot be written to.
            let _ = stream.write_all(b"a");
        }
        assert_eq!(answered(server.address(), "/health").status, 200, "turn {turn}");
    }
    eventually(SOON, "no more than the cap are open", || {
        slow.retain_mut(|stream| !is_closed(stream));
        slow.len() <= 64
    });
}

#[test]
fn who_takes_too_long_for_a_head_is_closed_though_there_is_room() {
    let server = server(64, Duration::from_secs(1));
    let mut slow = slow_clients(&server, 10);
    eventually(SOON, "none of them is left", || {
        for stream in &mut slow {
            let _ = stream.write_all(b"a");
        }
        slow.retain_mut(|stream| !is_closed(stream));
        slow.is_empty()
    });
}

#[test]
fn what_is_too_large_or_of_no_use_is_refused() {
    let options = HealthOptions { listen: ([127, 0, 0, 1], 0).into(), ..HealthOptions::default() };
    let server = HealthServer::start(options, Health::new()).expect("a free port");
    let url = |path: &str| format!("http://{}{path}", server.address());
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>| {
        request(method, &url(path), headers, body, Duration::from_secs(10)).map(|answer| answer.status)
    };
    assert_eq!(ask("GET", "/health", &[], None), Ok(200));
    assert_eq!(ask("HEAD", "/health", &[], None), Ok(200));
    assert_eq!(ask("GET", "/health?verbose", &[], None), Ok(200));
    assert_eq!(ask("GET", "/ready", &[], None), Ok(503), "nobody said that it is");
    assert_eq!(ask("GET", "/metrics", &[], None), Ok(404), "there are none");
    assert_eq!(ask("GET", "/", &[], None), Ok(404));
    assert_eq!(ask("POST", "/health", &[], None), Ok(405));
    assert_eq!(ask("GET", "/health", &[], Some(vec![b'x'; 100])), Ok(413));
    let large = "x".repeat(9000);
    assert_eq!(ask("GET", "/health", &[("x-large", &large)], None), Ok(431));
    let many: Vec<(String, &str)> = (0..70).map(|n| (format!("x-{n}"), "y")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(ask("GET", "/health", &many, None), Ok(431));
    assert_eq!(ask("GET", "/health", &[], None), Ok(200), "it is none the worse");
}

#[test]
fn an_address_that_others_can_reach_has_to_be_asked_for() {
    let options = HealthOptions { listen: ([0, 0, 0, 0], 0).into(), ..HealthOptions::default() };
    let refused = HealthServer::start(options.clone(), Health::new()).expect_err("refused");
    assert!(
        matches!(refused, HealthError::Exposed(_)) && refused.to_string().contains("loopback"),
        "{refused}"
    );
    let exposed = HealthOptions { exposed: true, ..options };
    let server = HealthServer::start(exposed, Health::new()).expect("asked for");
    let port = server.address().port();
    assert_eq!(answered(([127, 0, 0, 1], port).into(), "/health").status, 200);
    drop(server);
    assert!(get(([127, 0, 0, 1], port).into(), "/health").is_err(), "it ends with its value");
}

#[test]
fn a_port_that_is_taken_is_an_error_of_the_agents_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address");
    let host = Host::new();
    let file = host.dir().join("services.toml");
    std::fs::write(&file, "").expect("a file");
    let agent = host.agent(&format!(
        "[health]\nlisten = \"{address}\"\n\n[[source]]\nname = \"f\"\nkind = \"file\"\npath = \"{}\"\n",
        file.display()
    ));
    assert_eq!(agent.exit(SOON).code(), Some(1), "{}", agent.logs());
    assert!(agent.stderr().contains(&format!("cannot listen on {address}")), "{}", agent.logs());
}
