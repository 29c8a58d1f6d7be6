//! Two real datacentres, joined over the WAN, as tiers of one service.

use resolver_core::Reason;
use resolver_sync::consul::{ConsulConfig, Services};
use resolver_sync::source::Source;

use crate::server::Server;
use crate::table::{Table, config, source, watching};

async fn east_and_west() -> (Server, Server) {
    let (east, west) = tokio::join!(Server::start_in("east"), Server::start_in("west"));
    east.join_wan(&west).await;
    (east, west)
}

fn both(server: &Server, services: &[&str]) -> ConsulConfig {
    let datacenters = vec!["east".into(), "west".into()];
    ConsulConfig { datacenters, ..config(server.address(), services) }
}

fn tiers(table: &Table, service: &str) -> Vec<(String, u8)> {
    let instances = table.sets.get(service).map(|set| &set.instances);
    instances.into_iter().flatten().map(|web| (web.id.clone(), web.tier)).collect()
}

fn expected(all: &[(&str, u8)]) -> Vec<(String, u8)> {
    all.iter().map(|(id, tier)| ((*id).to_owned(), *tier)).collect()
}

#[tokio::test]
async fn datacentres_are_tiers_in_their_order_and_one_that_is_cut_off_keeps_its_word() {
    let (east, mut west) = east_and_west().await;
    east.register_on("n1", "web", "10.0.0.1", 80).await;
    // The same node and service there: two instances all the same.
    west.register_on("n1", "web", "10.8.0.1", 80).await;
    west.register_on("n2", "web", "10.0.0.1", 80).await;
    let source = source(both(&east, &["web"]));
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        let all = expected(&[("east/n1/web-n1", 0), ("west/n1/web-n1", 1)]);
        assert_eq!(tiers(table, "web"), all);
        assert_eq!(table.sets["web"].rejected[0].id, "west/n2/web-n2", "at a place that the first one has");
        assert_eq!(source.confirm("web").await.expect("proven").instances.len(), 2);
        // A change in either arrives.
        west.put("catalog/deregister", serde_json::json!({"Node": "n2"})).await;
        west.register_on("n3", "web", "10.8.0.3", 80).await;
        table.until("the backup grew", 3, |t| tiers(t, "web").contains(&("west/n3/web-n3".into(), 1))).await;
        east.put("catalog/deregister", serde_json::json!({"Node": "n1"})).await;
        let backups = expected(&[("west/n1/web-n1", 1), ("west/n3/web-n3", 1)]);
        table.until("only the backups are left", 3, |t| tiers(t, "web") == backups).await;
        // The backup's datacentre dies: its word stands, in doubt, and the first one's changes go on.
        west.kill();
        table.until("a doubt", 30, |t| t.doubts.contains_key("web")).await;
        assert!(matches!(table.doubts["web"].reason, Reason::Unreachable | Reason::NoLeader), "{table:?}");
        assert_eq!(tiers(table, "web"), backups);
        east.register_on("n4", "web", "10.0.0.4", 80).await;
        let first = ("east/n4/web-n4".to_owned(), 0);
        table.until("the first one goes on", 3, |t| tiers(t, "web").first() == Some(&first)).await;
        assert_eq!(tiers(table, "web").len(), 3);
        assert!(source.confirm("web").await.is_err(), "half of it proves nothing");
    })
    .await;
}

#[tokio::test]
async fn every_service_of_either_datacentre_is_found() {
    let (east, west) = east_and_west().await;
    east.register_on("n1", "web", "10.0.0.1", 80).await;
    west.register_on("n1", "far", "10.8.0.1", 80).await;
    let mut all = both(&east, &[]);
    all.services = Services::All;
    watching(&source(all), &[], async |table| {
        table.until_alive(5).await;
        assert_eq!(table.sets.keys().collect::<Vec<_>>(), ["far", "web"]);
        assert_eq!(tiers(table, "far"), expected(&[("west/n1/far-n1", 1)]));
        west.register_on("n1", "later", "10.8.0.2", 80).await;
        table.until("found", 3, |t| !tiers(t, "later").is_empty()).await;
    })
    .await;
}
