//! Three real servers: the leader dies, the leader freezes, the quorum is lost.

use std::time::{Duration, Instant};

use resolver_core::Reason;
use resolver_sync::consul::{Consistency, ConsulConfig};
use resolver_sync::source::Source;

use crate::server::Server;
use crate::table::{Table, config, source, watching};

/// The place of the leader, and that of another one.
async fn places(servers: &[Server; 3]) -> (usize, usize) {
    let began = Instant::now();
    loop {
        let leader = servers[0].leader().await;
        if let Some(leader) = servers.iter().position(|server| Some(server.ip) == leader) {
            return (leader, (leader + 1) % 3);
        }
        assert!(began.elapsed() < Duration::from_secs(20), "no leader");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Through the second one, when it takes writes again.
async fn register(server: &Server, node: &str, port: u16) {
    let body = serde_json::json!({"Node": node, "Address": "10.0.0.1",
        "Service": {"Service": "web", "ID": format!("web-{node}"), "Address": "10.0.0.1", "Port": port}});
    let began = Instant::now();
    while server.tries(reqwest::Method::PUT, "catalog/register", body.to_string()).await.is_none() {
        assert!(began.elapsed() < Duration::from_secs(30), "no write in 30 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn never_empty(table: &Table) {
    assert!(!table.has("web", &[]), "what was there is there: {table:?}");
}

#[tokio::test]
async fn a_leader_that_dies_or_freezes_is_no_empty_service_and_another_one_is_followed_soon() {
    let mut servers = Server::cluster().await;
    let (leader, follower) = places(&servers).await;
    servers[follower].register_on("n1", "web", "10.0.0.1", 80).await;
    let source = source(config(servers[follower].address(), &["web"]));
    watching(&source, &[], async |table| {
        table.until_alive(10).await;
        // Queries that are parked on it through a follower hang for 40 s, though another one rules.
        servers[leader].freeze();
        let began = Instant::now();
        register(&servers[follower], "n2", 82).await;
        let wrote = began.elapsed();
        table.until("a change under the next leader", 15, |t| t.has("web", &["web-n1", "web-n2"])).await;
        println!("leader frozen: writes again after {wrote:?}, in the table after {:?}", began.elapsed());
        never_empty(table);
        servers[leader].thaw();
        table.until("in contact", 10, Table::is_alive).await;
        let (leader, _) = places(&servers).await;
        if leader == follower {
            // It is the agent itself that rules now; killing it is another test.
            return;
        }
        servers[leader].kill();
        let began = Instant::now();
        register(&servers[follower], "n3", 83).await;
        let wrote = began.elapsed();
        table
            .until("a change under the next leader", 15, |t| t.has("web", &["web-n1", "web-n2", "web-n3"]))
            .await;
        println!("leader killed: writes again after {wrote:?}, in the table after {:?}", began.elapsed());
    })
    .await;
}

#[tokio::test]
async fn without_a_quorum_what_was_said_stands_and_nothing_is_believed() {
    let mut servers = Server::cluster().await;
    let (_, kept) = places(&servers).await;
    servers[kept].register_on("n1", "web", "10.0.0.1", 80).await;
    let stale = Consistency::Stale { max_age: Duration::from_secs(5) };
    let default = source(config(servers[kept].address(), &["web"]));
    let stale = source(ConsulConfig { consistency: stale, ..config(servers[kept].address(), &["web"]) });
    watching(&default, &[], async |table| {
        table.until_alive(10).await;
        watching(&stale, &[], async |other| {
            other.until_alive(10).await;
            // A follower may be behind what the leader has acknowledged; it is told in a moment.
            other.until("the registration", 5, |t| t.has("web", &["web-n1"])).await;
            for (place, server) in servers.iter_mut().enumerate() {
                if place != kept {
                    server.kill();
                }
            }
            for table in [&mut *table, &mut *other] {
                table.until("lost", 15, |t| t.lost.is_some()).await;
                let reason = table.lost.as_ref().map(|fault| fault.reason);
                assert!(matches!(reason, Some(Reason::NoLeader | Reason::Unreachable)), "{reason:?}");
                assert!(table.has("web", &["web-n1"]), "what it said stands: {table:?}");
            }
            assert!(default.confirm("web").await.is_err() && stale.confirm("web").await.is_err());
            for (place, server) in servers.iter_mut().enumerate() {
                if place != kept {
                    server.restart();
                }
            }
            for table in [&mut *table, &mut *other] {
                table.until("back", 25, Table::is_alive).await;
                assert!(table.has("web", &["web-n1"]));
            }
        })
        .await;
    })
    .await;
}
