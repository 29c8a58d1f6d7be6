//! A token that may not read sees `[]` with a 200. None of that is ever confirmed; what is truly empty is.

use reqwest::Method;
use resolver_core::Reason;
use resolver_sync::consul::{ConsulConfig, ConsulSource, Services};
use resolver_sync::secret::Secret;
use resolver_sync::source::Source;

use crate::server::Server;
use crate::table::{config, source, watching};

const ALL: &str = r#"service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;
const NO_NODES: &str = r#"service_prefix "" { policy = "read" }"#;
const NOTHING: &str = r#"key_prefix "" { policy = "read" }"#;

fn with_token(address: String, token: &str) -> ConsulConfig {
    let mut config = config(address, &["web"]);
    config.token = Some(Secret::new(token));
    config
}

async fn two_nodes(server: &Server) {
    server.register_on("n1", "web", "10.0.0.1", 80).await;
    server.register_on("n2", "web", "10.0.0.2", 80).await;
}

async fn refuses(source: &ConsulSource) -> String {
    let fault = source.confirm("web").await.expect_err("a filtered answer is never confirmed");
    assert_eq!(fault.reason, Reason::Acl, "{fault:?}");
    fault.detail
}

#[tokio::test]
async fn rights_that_are_revoked_are_no_empty_service() {
    let server = Server::start_with_acls().await;
    two_nodes(&server).await;
    let policy = server.policy("reader", ALL).await;
    let token = server.token(&policy).await;
    let source = source(with_token(server.address(), &token));
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        assert!(table.has("web", &["web-n1", "web-n2"]));
        assert_eq!(source.confirm("web").await.expect("proven").instances.len(), 2);

        server.change_policy(&policy, "reader", NO_NODES).await;
        let detail = refuses(&source).await;
        assert!(detail.contains("listed") && !detail.contains(&token), "{detail}");
        server.change_policy(&policy, "reader", NOTHING).await;
        let detail = refuses(&source).await;
        assert!(detail.contains("web") && !detail.contains(&token), "{detail}");

        server.change_policy(&policy, "reader", ALL).await;
        assert_eq!(source.confirm("web").await.expect("proven again").instances.len(), 2);
        server.put("catalog/deregister", serde_json::json!({"Node": "n1"})).await;
        server.put("catalog/deregister", serde_json::json!({"Node": "n2"})).await;
        table.until("it is reported as empty", 2, |t| t.has("web", &[])).await;
        assert_eq!(source.confirm("web").await.expect("truly empty").instances, []);
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_hidden_is_no_smaller_service() {
    let server = Server::start_with_acls().await;
    two_nodes(&server).await;
    let policy = server.policy("reader", ALL).await;
    let token = server.token(&policy).await;
    let source = source(with_token(server.address(), &token));
    let one = r#"service_prefix "" { policy = "read" } node "n1" { policy = "read" }"#;
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        server.change_policy(&policy, "reader", one).await;
        let detail = refuses(&source).await;
        assert!(detail.contains("node n2"), "{detail}");
        // With leave to read every node but the one that is missing, too.
        let rules = format!("{ALL} node \"n2\" {{ policy = \"deny\" }}");
        server.change_policy(&policy, "reader", &rules).await;
        assert!(refuses(&source).await.contains("node n2"));
        server.change_policy(&policy, "reader", ALL).await;
        server.put("catalog/deregister", serde_json::json!({"Node": "n2"})).await;
        assert_eq!(source.confirm("web").await.expect("truly one").instances.len(), 1);
    })
    .await;
    // A token that never could read more is believed on what it saw, but not on what a predecessor saw.
    server.change_policy(&policy, "reader", one).await;
    let narrow = self::source(with_token(server.address(), &token));
    watching(&narrow, &["web"], async |table| {
        table.until_alive(5).await;
        assert!(refuses(&narrow).await.contains("node_prefix"));
    })
    .await;
    let fresh = self::source(with_token(server.address(), &token));
    watching(&fresh, &[], async |table| {
        table.until_alive(5).await;
        assert_eq!(fresh.confirm("web").await.expect("proven").instances.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_cache_of_a_client_agent_proves_nothing() {
    let server = Server::start_with_acls().await;
    two_nodes(&server).await;
    let agent = Server::join(&server).await;
    let policy = server.policy("reader", ALL).await;
    let token = server.token(&policy).await;
    let source = source(with_token(agent.address(), &token));
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        // Fills the agent's cache, which says yes for 30 s from here on.
        assert_eq!(source.confirm("web").await.expect("proven").instances.len(), 2);
        for rules in [NOTHING, NO_NODES, r#"service "web" { policy = "read" } node "n1" { policy = "read" }"#]
        {
            server.change_policy(&policy, "reader", rules).await;
            refuses(&source).await;
        }
    })
    .await;
}

#[tokio::test]
async fn without_a_token_nothing_is_believed() {
    let server = Server::start_with_acls().await;
    two_nodes(&server).await;
    let anonymous = source(config(server.address(), &["web"]));
    watching(&anonymous, &["web"], async |table| {
        table.until_alive(5).await;
        assert!(table.has("web", &[]), "the answer is reported, the guard doubts it");
        refuses(&anonymous).await;
    })
    .await;
    let mut all = config(server.address(), &[]);
    all.services = Services::All;
    watching(&source(all), &[], async |table| {
        table.until("an empty catalogue is a fault", 5, |t| t.lost.is_some()).await;
        assert_eq!(table.lost.as_ref().map(|fault| fault.reason), Some(Reason::Acl));
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_deleted_is_a_doubt_and_heals() {
    let server = Server::start_with_acls().await;
    two_nodes(&server).await;
    let policy = server.policy("reader", ALL).await;
    let token = server.token(&policy).await;
    let source = source(with_token(server.address(), &token));
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        let own = server.ask(Method::GET, "acl/tokens", "").await.text().await.expect("a body");
        let own: serde_json::Value = serde_json::from_str(&own).expect("JSON");
        let accessor =
            own.as_array().expect("a list").iter().find(|t| t["Policies"][0]["ID"] == policy.as_str());
        let accessor = accessor.and_then(|t| t["AccessorID"].as_str()).expect("the token");
        server.ask(Method::DELETE, &format!("acl/token/{accessor}"), "").await;
        // Wakes the query, which the server has parked with the rights it had.
        server.register_on("n3", "web", "10.0.0.3", 80).await;
        table.until("a doubt", 15, |t| t.doubts.contains_key("web")).await;
        assert_eq!(table.doubts["web"].reason, Reason::Acl);
        assert!(!table.doubts["web"].detail.contains(&token));
        refuses(&source).await;
        assert!(table.has("web", &["web-n1", "web-n2"]), "the last good set stands");
        let again = serde_json::json!({"SecretID": token, "Policies": [{"ID": policy}]});
        server.put("acl/token", again).await;
        table
            .until("back", 6, |t| t.has("web", &["web-n1", "web-n2", "web-n3"]) && t.doubts.is_empty())
            .await;
    })
    .await;
}
