//! The registry dies, freezes, comes back, and goes back in time.

use reqwest::Method;
use resolver_core::Reason;

use crate::server::Server;
use crate::table::{config, source, watching};

#[tokio::test]
async fn a_killed_agent_is_lost_at_once_and_back_in_step_soon() {
    let mut server = Server::start().await;
    server.register("web", "w1", "10.0.0.1", 80).await;
    // Only a state that came after the registration outlives the agent; else the check starts as critical.
    server.check("w1", "pass").await;
    let source = source(config(server.address(), &["web"]));
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        server.kill();
        let lost = table.until("lost", 1, |t| t.lost.is_some()).await;
        assert_eq!(table.lost.as_ref().map(|fault| fault.reason), Some(Reason::Unreachable));
        assert!(table.has("web", &["w1"]), "what it said stands");
        server.restart();
        let back = table.until_alive(15).await;
        assert!(table.has("web", &["w1"]));
        server.register("web", "w2", "10.0.0.2", 80).await;
        table.until("in step", 5, |t| t.has("web", &["w1", "w2"])).await;
        println!("killed: lost after {lost:?}; alive {back:?} after the start of the agent");
    })
    .await;
}

#[tokio::test]
async fn a_frozen_agent_is_lost_and_back_in_step_soon() {
    let server = Server::start().await;
    server.register("web", "w1", "10.0.0.1", 80).await;
    let source = source(config(server.address(), &["web"]));
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        server.freeze();
        let lost = table.until("lost", 5, |t| t.lost.is_some()).await;
        server.thaw();
        let back = table.until_alive(5).await;
        server.register("web", "w2", "10.0.0.2", 80).await;
        table.until("in step", 5, |t| t.has("web", &["w1", "w2"])).await;
        println!("frozen: lost after {lost:?}; alive {back:?} after the thaw");
    })
    .await;
}

#[tokio::test]
async fn a_registry_that_is_not_there_yet_is_waited_for() {
    let mut server = Server::start().await;
    server.register("web", "w1", "10.0.0.1", 80).await;
    // Only a state that came after the registration outlives the agent; else the check starts as critical.
    server.check("w1", "pass").await;
    server.kill();
    let source = source(config(server.address(), &["web"]));
    watching(&source, &["web"], async |table| {
        table.until("lost", 3, |t| t.lost.is_some()).await;
        assert!(table.sets.is_empty(), "nothing is made up: {table:?}");
        server.restart();
        table.until_alive(15).await;
        assert!(table.has("web", &["w1"]));
    })
    .await;
}

#[tokio::test]
async fn the_next_agent_serves_when_the_first_is_dead() {
    let server = Server::start().await;
    server.register("web", "w1", "10.0.0.1", 80).await;
    let mut two = config("127.0.0.1:9", &["web"]);
    two.addresses.push(server.address());
    watching(&source(two), &[], async |table| {
        table.until_alive(5).await;
        assert!(table.has("web", &["w1"]));
    })
    .await;
}

#[tokio::test]
async fn a_restored_snapshot_is_a_new_history() {
    let server = Server::start().await;
    server.register_on("n1", "web", "10.0.0.1", 80).await;
    let snapshot = server.ask(Method::GET, "snapshot", "").await.bytes().await.expect("a snapshot");
    let source = source(config(server.address(), &["web"]));
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        server.register_on("n2", "web", "10.0.0.2", 80).await;
        table.until("both", 2, |t| t.has("web", &["web-n1", "web-n2"])).await;
        let before = table.sets["web"].revision;
        server.ask(Method::PUT, "snapshot", snapshot).await;
        let took = table.until("what the snapshot had", 5, |t| t.has("web", &["web-n1"])).await;
        assert!(table.sets["web"].revision < before);
        assert_eq!(table.epochs.len(), 1, "{:?}", table.epochs);
        println!("restored: in step after {took:?}");
        server.register_on("n3", "web", "10.0.0.3", 80).await;
        table.until("and goes on", 2, |t| t.has("web", &["web-n1", "web-n3"])).await;
    })
    .await;
}
