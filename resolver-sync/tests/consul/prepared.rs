//! Prepared queries of a real server: they are polled, and a failover between datacentres shows as a tier.

use std::time::Duration;

use reqwest::Method;
use resolver_core::Reason;
use resolver_sync::consul::ConsulConfig;
use resolver_sync::secret::Secret;
use resolver_sync::source::Source;
use serde_json::json;

use crate::server::Server;
use crate::table::{config, source, watching};

fn of(server: &Server, queries: &[&str]) -> ConsulConfig {
    ConsulConfig {
        queries: queries.iter().map(|name| name.to_string()).collect(),
        query_interval: Duration::from_secs(1),
        ..config(server.address(), &[])
    }
}

/// Creates a query on `web`; its id.
async fn query(server: &Server, name: &str, failover: &[&str]) -> String {
    let body = json!({"Name": name, "Service": {"Service": "web", "OnlyPassing": true,
        "Failover": {"Datacenters": failover}}});
    let answer = server.ask(Method::POST, "query", body.to_string()).await.text().await.expect("a body");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    answer["ID"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_query_fails_over_to_the_next_datacentre_and_back() {
    let (east, west) = tokio::join!(Server::start_in("east"), Server::start_in("west"));
    east.join_wan(&west).await;
    east.register("web", "w1", "10.0.0.1", 80).await;
    west.register("web", "w8", "10.8.0.1", 80).await;
    let id = query(&east, "orders", &["west"]).await;
    let source = source(of(&east, &["orders", &id, "nobody"]));
    let shown = |t: &crate::table::Table, name: &str| {
        let set = t.sets.get(name)?;
        let web = set.instances.first()?;
        Some((web.id.clone(), web.tier, web.meta["datacenter"].clone()))
    };
    let first = Some((format!("east/{}/w1", east.node()), 0, "east".to_owned()));
    let backup = Some((format!("west/{}/w8", west.node()), 1, "west".to_owned()));
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        assert_eq!((shown(table, "orders"), shown(table, &id)), (first.clone(), first.clone()));
        assert_eq!(table.doubts["nobody"].reason, Reason::BadAnswer);
        assert!(table.doubts["nobody"].detail.contains("no such prepared query"));
        let before = table.sets["orders"].revision;
        east.check("w1", "fail").await;
        table.until("it fails over", 4, |t| shown(t, "orders") == backup).await;
        assert!(table.sets["orders"].revision > before);
        let confirmed = source.confirm("orders").await.expect("proven");
        assert_eq!(confirmed.instances, table.sets["orders"].instances);
        assert!(confirmed.revision >= table.sets["orders"].revision, "a second read is not behind the first");
        east.check("w1", "pass").await;
        table.until("and back", 4, |t| shown(t, "orders") == first).await;
        west.check("w8", "fail").await;
        east.check("w1", "fail").await;
        table.until("nobody is left", 4, |t| t.has("orders", &[])).await;
        assert_eq!(source.confirm("orders").await.expect("truly empty").instances, []);
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_filtered_is_no_empty_query() {
    let server = Server::start_with_acls().await;
    server.register_on("n1", "web", "10.0.0.1", 80).await;
    query(&server, "orders", &[]).await;
    let all = r#"service_prefix "" { policy = "read" } node_prefix "" { policy = "read" } query_prefix "" { policy = "read" }"#;
    let policy = server.policy("reader", all).await;
    let token = server.token(&policy).await;
    let mut reader = of(&server, &["orders"]);
    reader.token = Some(Secret::new(&token));
    let source = source(reader);
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        assert_eq!(table.sets["orders"].instances.len(), 1);
        assert_eq!(source.confirm("orders").await.expect("proven").instances.len(), 1);
        server.change_policy(&policy, "reader", r#"query_prefix "" { policy = "read" }"#).await;
        table.until("it reads as empty", 4, |t| t.has("orders", &[])).await;
        assert_eq!(source.confirm("orders").await.expect_err("filtered").reason, Reason::Acl);
        let no_nodes = r#"service_prefix "" { policy = "read" } query_prefix "" { policy = "read" }"#;
        server.change_policy(&policy, "reader", no_nodes).await;
        assert_eq!(source.confirm("orders").await.expect_err("filtered").reason, Reason::Acl);
    })
    .await;
}
