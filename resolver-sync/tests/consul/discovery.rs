//! What the registry has is what the source says.

use std::net::IpAddr;

use resolver_sync::consul::{HealthPolicy, Services};
use serde_json::json;

use crate::server::Server;
use crate::table::{config, source, watching};

#[tokio::test]
async fn instances_come_and_go_with_their_checks() {
    let server = Server::start().await;
    for n in 1..=3 {
        server.register("web", &format!("w{n}"), &format!("10.0.0.{n}"), 80).await;
    }
    let source = source(config(server.address(), &["web"]));
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        assert!(table.has("web", &["w1", "w2", "w3"]), "all are there before the source is alive: {table:?}");
        server.check("w2", "fail").await;
        table.until("a critical one leaves", 2, |t| t.has("web", &["w1", "w3"])).await;
        server.register("web", "w4", "10.0.0.4", 80).await;
        table.until("a new one comes", 2, |t| t.has("web", &["w1", "w3", "w4"])).await;
        server.check("w2", "pass").await;
        table.until("a healed one returns", 2, |t| t.has("web", &["w1", "w2", "w3", "w4"])).await;
        server.put("agent/service/maintenance/w1?enable=true", json!(null)).await;
        table.until("one in maintenance leaves", 2, |t| t.has("web", &["w2", "w3", "w4"])).await;
        for n in 1..=4 {
            server.deregister(&format!("w{n}")).await;
        }
        table.until("none is left", 2, |t| t.has("web", &[])).await;
    })
    .await;
}

#[tokio::test]
async fn a_warning_serves_where_it_may_with_its_own_weight() {
    let server = Server::start().await;
    let weighed = json!({"Name": "web", "ID": "w1", "Address": "10.0.0.1", "Port": 80, "Weights":
        {"Passing": 10, "Warning": 3}, "Check": {"TTL": "10m", "Status": "warning"}});
    server.put("agent/service/register", weighed).await;
    let strict = source(config(server.address(), &["web"]));
    watching(&strict, &[], async |table| {
        table.until_alive(5).await;
        assert!(table.has("web", &[]));
    })
    .await;
    let mut lenient = config(server.address(), &["web"]);
    lenient.health = HealthPolicy::PassingOrWarning;
    watching(&source(lenient), &[], async |table| {
        table.until_alive(5).await;
        assert_eq!(table.sets["web"].instances[0].weight, 3);
        server.check("w1", "pass").await;
        table.until("its weight is that of passing", 2, |t| t.sets["web"].instances[0].weight == 10).await;
        server.check("w1", "fail").await;
        table.until("it leaves", 2, |t| t.has("web", &[])).await;
    })
    .await;
}

#[tokio::test]
async fn bad_records_are_named_and_the_good_ones_stay() {
    let server = Server::start().await;
    server.register("web", "good", "10.0.0.1", 80).await;
    server.register("web", "own", "", 81).await;
    server.register("web", "port0", "10.0.0.2", 0).await;
    server.register("web", "host", "web.example", 80).await;
    server.register("web", "good2", "10.0.0.1", 80).await;
    let source = source(config(server.address(), &["web"]));
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        let set = &table.sets["web"];
        assert!(table.has("web", &["good", "own"]), "{set:#?}");
        let own = set.instances.iter().find(|web| web.id.ends_with("/own")).expect("there");
        assert_eq!(own.address, IpAddr::from(server.ip), "an empty address is the node's");
        let mut rejected: Vec<_> =
            set.rejected.iter().map(|r| r.id.rsplit('/').next().expect("an id")).collect();
        rejected.sort_unstable();
        assert_eq!(rejected, ["good2", "host", "port0"]);
    })
    .await;
}

#[tokio::test]
async fn all_services_are_found_as_they_come() {
    let server = Server::start().await;
    server.register("web", "w1", "10.0.0.1", 80).await;
    let mut all = config(server.address(), &[]);
    all.services = Services::All;
    watching(&source(all.clone()), &["ghost"], async |table| {
        table.until_alive(5).await;
        assert_eq!(table.sets.keys().collect::<Vec<_>>(), ["ghost", "web"], "known ones too, consul not");
        server.register("a b/c?d", "x1", "10.0.0.2", 80).await;
        table.until("a service of an odd name", 2, |t| t.has("a b/c?d", &["x1"])).await;
        server.deregister("w1").await;
        table.until("a service is empty", 2, |t| t.has("web", &[])).await;
        // Twice: the second time its watch has ended, and the catalogue must bring it back.
        for _ in 0..2 {
            server.register("web", "w1", "10.0.0.1", 80).await;
            table.until("a service is reborn", 13, |t| t.has("web", &["w1"])).await;
            server.deregister("w1").await;
            table.until("and empty again", 2, |t| t.has("web", &[])).await;
        }
    })
    .await;
    for n in 0..20 {
        server.register(&format!("s{n}"), &format!("s{n}"), "10.0.0.3", 1000 + n).await;
    }
    watching(&source(all.clone()), &[], async |table| {
        table.until_alive(5).await;
        let named = table.sets.keys().filter(|name| name.starts_with('s')).count();
        assert_eq!(named, 20, "the source is not alive before each has reported");
    })
    .await;
    all.include_consul = true;
    watching(&source(all), &[], async |table| {
        table.until("consul itself", 5, |t| t.ids("consul").is_some_and(|ids| ids.len() == 1)).await;
    })
    .await;
}

#[tokio::test]
async fn tags_and_filters_narrow_a_service() {
    let server = Server::start().await;
    for (id, tags) in [("w1", json!(["v1", "fast"])), ("w2", json!(["v1"])), ("w3", json!(["v2", "fast"]))] {
        let port = 80 + id.as_bytes()[1] as i64;
        let body = json!({"Name": "web", "ID": id, "Address": "10.0.0.1", "Port": port, "Tags": tags,
            "Meta": {"zone": "rack-7"}});
        server.put("agent/service/register", body).await;
    }
    let mut tagged = config(server.address(), &["web"]);
    tagged.tags = vec!["v1".into(), "fast".into()];
    let tagged = source(tagged);
    watching(&tagged, &[], async |table| {
        table.until_alive(5).await;
        assert!(table.has("web", &["w1"]));
        assert_eq!(table.sets["web"].instances[0].zone, "rack-7");
        assert_eq!(table.sets["web"].instances[0].tags, ["fast", "v1"]);
    })
    .await;
    let mut filtered = config(server.address(), &["web"]);
    filtered.filter = Some(r#""fast" in Service.Tags and Service.ID != "w1""#.into());
    watching(&source(filtered), &[], async |table| {
        table.until_alive(5).await;
        assert!(table.has("web", &["w3"]));
    })
    .await;
}
