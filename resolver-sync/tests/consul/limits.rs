//! More services than an agent has connections: what is over the limit is watched together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use resolver_sync::consul::{ConsulConfig, Services};
use resolver_sync::source::Source;
use serde_json::json;

use crate::fake::{Fake, Reply};
use crate::server::Server;
use crate::table::{Table, config, source, watching};

const SERVICES: usize = 320;
/// Eight reads, the heartbeat, the catalogue, two wide queries.
const BESIDE: usize = 12;
/// What the HTTP client has open and does not use: asked for a connection while another is just being given back, it opens one
/// and keeps both. Queries are what is limited; connections are a few more on a busy machine.
const SPARE: usize = 30;

fn name(n: usize) -> String {
    format!("s{n:03}")
}

/// Every second one has a check.
async fn fill(server: &Server, services: usize) {
    for n in 0..services {
        let check = if n % 2 == 0 { json!({"TTL": "10m", "Status": "passing"}) } else { json!(null) };
        let body =
            json!({"Name": name(n), "ID": name(n), "Address": "10.0.0.1", "Port": 1000 + n, "Check": check});
        server.put("agent/service/register", body).await;
    }
}

fn ports(table: &Table, service: &str) -> Vec<u16> {
    table.sets.get(service).map_or(Vec::new(), |set| set.instances.iter().map(|own| own.port).collect())
}

#[tokio::test]
async fn more_services_than_connections_are_all_right_on_an_unconfigured_agent() {
    let server = Server::start().await;
    fill(&server, SERVICES).await;
    let own = server.connections();
    for named in [false, true] {
        let mut all = config(server.address(), &[]);
        let names: Vec<String> = (0..SERVICES).map(name).collect();
        all.services = if named { Services::Named(names) } else { Services::All };
        let limit = all.watch_limit;
        let source = source(all);
        let mut most = 0;
        let began = Instant::now();
        watching(&source, &[], async |table| {
            table.until_alive(20).await;
            println!("{SERVICES} services, {limit} watches: all there after {:?}", began.elapsed());
            let all = |t: &Table| (0..SERVICES).all(|n| ports(t, &name(n)) == [1000 + n as u16]);
            assert!(all(table), "each is right before the source is alive");
            let mut count = || most = most.max(server.connections() - own);
            count();
            // The last ones have no query of their own. A change of health:
            let mut lags = Vec::new();
            for n in (SERVICES - 40..SERVICES).step_by(2) {
                let sent = Instant::now();
                server.check(&name(n), "fail").await;
                table.until("a check that fails", 3, |t| ports(t, &name(n)).is_empty()).await;
                lags.push(sent.elapsed());
                count();
            }
            lags.sort();
            println!(
                "a change of health: median {:?}, at most {:?}",
                lags[lags.len() / 2],
                lags[lags.len() - 1]
            );
            // Another port, and no check that would tell.
            let last = name(SERVICES - 1);
            let sent = Instant::now();
            let moved = json!({"Name": last, "ID": last, "Address": "10.0.0.1", "Port": 9});
            server.put("agent/service/register", moved).await;
            table.until("a port that moved", 5, |t| ports(t, &last) == [9]).await;
            println!("a port that moved: {:?}", sent.elapsed());
            server.deregister(&last).await;
            table.until("it is gone", 5, |t| ports(t, &last).is_empty()).await;
            assert_eq!(source.confirm(&last).await.expect("proven").instances, []);
            if !named {
                server.register("zz-new", "zz-new", "10.0.0.2", 80).await;
                table.until("one that nobody knew", 5, |t| ports(t, "zz-new") == [80]).await;
                server.deregister("zz-new").await;
                table.until("and gone", 5, |t| ports(t, "zz-new").is_empty()).await;
            }
            server.register(&last, &last, "10.0.0.1", 1000 + SERVICES as i64 - 1).await;
            for n in (SERVICES - 40..SERVICES).step_by(2) {
                server.check(&name(n), "pass").await;
            }
            table.until("all are back", 5, all).await;
            count();
        })
        .await;
        println!("connections at most: {most}");
        assert!((limit..=limit + BESIDE + SPARE).contains(&most), "{most} connections with {limit} watches");
        // What was dropped keeps its place for up to the wait, and the next one finds room all the same.
    }
}

#[tokio::test]
async fn nodes_that_die_and_snapshots_reach_what_is_watched_together() {
    let server = Server::start().await;
    for n in 0..6 {
        server.register_on("n1", &name(n), "10.0.0.1", 1000 + n as u16).await;
    }
    let snapshot = server.ask(reqwest::Method::GET, "snapshot", "").await.bytes().await.expect("a snapshot");
    let mut narrow = config(server.address(), &[]);
    (narrow.services, narrow.watch_limit) = (Services::All, 2);
    watching(&source(narrow), &[], async |table| {
        table.until_alive(5).await;
        let there = |t: &Table| (0..6).filter(|n| !ports(t, &name(*n)).is_empty()).count();
        assert_eq!(there(table), 6);
        // The node's own check, which names no service.
        let node = |status: &str| {
            json!({"Node": "n1", "Address": "10.0.0.1",
            "Check": {"Node": "n1", "CheckID": "serfHealth", "Name": "s", "Status": status}})
        };
        server.put("catalog/register", node("critical")).await;
        table.until("none serves on a dead node", 3, |t| there(t) == 0).await;
        server.put("catalog/register", node("passing")).await;
        table.until("all are back", 3, |t| there(t) == 6).await;
        server.register_on("n2", &name(5), "10.0.0.2", 2000).await;
        table.until("one more", 3, |t| ports(t, &name(5)).len() == 2).await;
        server.ask(reqwest::Method::PUT, "snapshot", snapshot).await;
        table.until("what the snapshot had", 6, |t| ports(t, &name(5)).len() == 1 && there(t) == 6).await;
        assert!(!table.epochs.is_empty());
        table.until_alive(5).await;
    })
    .await;
}

#[tokio::test]
async fn three_hundred_queries_of_their_own_where_the_agent_allows_them() {
    let server = Server::start_with(json!({"limits": {"http_max_conns_per_client": 700}})).await;
    fill(&server, SERVICES).await;
    let own = server.connections();
    let mut all = config(server.address(), &[]);
    (all.services, all.watch_limit) = (Services::All, SERVICES);
    watching(&source(all), &[], async |table| {
        table.until_alive(20).await;
        // Their first reads come some at a time, so the last of them begin to watch a moment later.
        let all_ask = async {
            while server.connections() - own <= SERVICES {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all_ask).await.expect("each has a query of its own");
        let mut lags = Vec::new();
        for n in (0..SERVICES).step_by(20) {
            let sent = Instant::now();
            server.check(&name(n), "fail").await;
            table.until("a check that fails", 3, |t| ports(t, &name(n)).is_empty()).await;
            lags.push(sent.elapsed());
        }
        lags.sort();
        println!(
            "{SERVICES} queries: a change after {:?}, at most {:?}",
            lags[lags.len() / 2],
            lags[lags.len() - 1]
        );
    })
    .await;
}

#[tokio::test]
async fn an_agent_without_a_connection_to_spare_meets_no_storm() {
    // 50 connections for 90 queries: the others are refused without a word, and tried again at a pace.
    let server = Server::start_with(json!({"limits": {"http_max_conns_per_client": 50}})).await;
    fill(&server, 90).await;
    let proxy = crate::recorder::Recorder::start(&server.address()).await;
    let names: Vec<String> = (0..90).map(name).collect();
    let mut many: ConsulConfig = config(proxy.address.clone(), &[]);
    many.services = Services::Named(names);
    watching(&source(many), &[], async |table| {
        table.until("refused", 5, |t| !t.doubts.is_empty() || t.lost.is_some()).await;
        let before = proxy.connections();
        let began = Instant::now();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let rate = (proxy.connections() - before) as f64 / began.elapsed().as_secs_f64();
        println!("refused connections: {rate:.0} a second for 90 queries");
        assert!(rate < 90.0, "{rate} connections a second are a storm");
    })
    .await;
}

/// A service at this port, registered by the script alone.
fn one(port: u16) -> String {
    format!(
        r#"[{{"Node":{{"Node":"n"}},"Service":{{"ID":"w{port}","Address":"10.0.0.1","Port":{port}}},"Checks":[]}}]"#
    )
}

/// Two services, and a place for one query.
fn pair(fake: &Fake) -> ConsulConfig {
    ConsulConfig { watch_limit: 1, ..config(fake.address.clone(), &["a", "b"]) }
}

#[tokio::test]
async fn a_read_that_goes_back_in_time_begins_a_new_history() {
    // The real servers' queries see it first; so a scripted one, whose queries never do.
    let (reads, ready) = (AtomicUsize::new(0), AtomicBool::new(false));
    let fake = Fake::start(move |asked| match (asked.path.as_str(), asked.index()) {
        ("/v1/health/state/any", None) => Reply::ok(5, "[]"),
        ("/v1/health/state/any", Some(5)) => {
            Reply::ok(6, r#"[{"Node":"n","CheckID":"c","ServiceName":"b","ModifyIndex":6}]"#)
                .after(Duration::from_millis(300))
        }
        ("/v1/health/service/b", _) => match reads.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::ok(50, one(1)),
            // A leader that has not read its own log, until it has to prove itself.
            _ if !ready.fetch_or(asked.has("consistent"), Ordering::SeqCst) && !asked.has("consistent") => {
                Reply::ok(1, "[]")
            }
            _ => Reply::ok(40, one(2)),
        },
        (_, None) => Reply::ok(5, "[]"),
        _ => Reply::parked(),
    })
    .await;
    watching(&source(pair(&fake)), &[], async |table| {
        table.until("the older state", 3, |t| ports(t, "b") == [2]).await;
        assert_eq!(table.epochs.len(), 1, "it is announced: {table:?}");
        assert_eq!(table.sets["b"].revision, 40);
    })
    .await;
}

#[tokio::test]
async fn without_the_wide_query_every_service_is_read_again_and_again_and_no_faster_than_it_may() {
    // A token without rights on nodes is refused nothing; an agent that is overrun is.
    let port = Arc::new(AtomicUsize::new(1));
    let now = Arc::clone(&port);
    let fake = Fake::start(move |asked| match (asked.path.as_str(), asked.index()) {
        ("/v1/health/state/any", _) => Reply::error("500 Internal Server Error", "", "rpc error: too large"),
        ("/v1/health/service/b", _) => Reply::ok(5, one(now.load(Ordering::SeqCst) as u16)),
        (_, None) => Reply::ok(5, "[]"),
        _ => Reply::parked(),
    })
    .await;
    watching(&source(pair(&fake)), &[], async |table| {
        table.until_alive(3).await;
        assert_eq!(ports(table, "b"), [1]);
        port.store(2, Ordering::SeqCst);
        table.until("the change", 8, |t| ports(t, "b") == [2]).await;
    })
    .await;
    assert!(fake.asked().len() < 60, "{} requests", fake.asked().len());
}
