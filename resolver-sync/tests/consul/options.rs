//! Each option of a query is sent, and the real server does with it what it says. What the real one does not have (an
//! Enterprise option, a cache that lost its servers, a follower that lags) is shown by a scripted one.

use std::time::Duration;

use resolver_core::Reason;
use resolver_sync::consul::{AddressKind, Consistency, ConsulConfig};
use serde_json::json;

use crate::fake::{Fake, Reply};
use crate::server::Server;
use crate::table::{Table, config, source, watching};

const ONE: &str =
    r#"[{"Node":{"Node":"n"},"Service":{"ID":"w1","Address":"10.0.0.1","Port":80},"Checks":[]}]"#;

/// The places that a source with this configuration reports, once it is alive.
async fn places(config: ConsulConfig) -> Vec<String> {
    watching(&source(config), &[], async |table| {
        table.until_alive(5).await;
        table.sets["web"].instances.iter().map(|web| format!("{}:{}", web.address, web.port)).collect()
    })
    .await
}

#[tokio::test]
async fn tagged_addresses_are_chosen_by_consuls_own_order() {
    let server = Server::start().await;
    let tagged = json!({"Name": "web", "ID": "tagged", "Address": "10.0.0.1", "Port": 80, "TaggedAddresses": {
        "lan": {"Address": "10.1.0.1", "Port": 81}, "wan": {"Address": "198.51.100.1", "Port": 8000},
        "lan_ipv6": {"Address": "2001:db8::1", "Port": 86}, "wan_ipv6": {"Address": "2001:db8::2", "Port": 0},
        "wan_ipv4": {"Address": "198.51.100.4", "Port": 84}}});
    server.put("agent/service/register", tagged).await;
    let at = |address: AddressKind| ConsulConfig { address, ..config(server.address(), &["web"]) };
    for (kind, place) in [
        (AddressKind::Default, "10.0.0.1:80"),
        (AddressKind::Lan, "10.1.0.1:81"),
        // Which the agent adds by itself.
        (AddressKind::LanIpv4, "10.0.0.1:80"),
        (AddressKind::LanIpv6, "[2001:db8::1]:86"),
        (AddressKind::Wan, "198.51.100.1:8000"),
        (AddressKind::WanIpv4, "198.51.100.4:84"),
        (AddressKind::WanIpv6, "[2001:db8::2]:80"),
    ] {
        let place = place.replace(['[', ']'], "");
        assert_eq!(places(at(kind)).await, [place], "{kind:?}");
    }
    // Without an address of its own: its node's, which has one for the WAN.
    let node = json!({"Node": "far", "Address": "10.2.0.1", "TaggedAddresses": {"wan": "203.0.113.7"},
        "Service": {"Service": "web", "ID": "bare", "Port": 90}});
    server.put("catalog/register", node).await;
    server.deregister("tagged").await;
    assert_eq!(places(at(AddressKind::Default)).await, ["10.2.0.1:90"]);
    assert_eq!(places(at(AddressKind::Wan)).await, ["203.0.113.7:90"]);
    assert_eq!(places(at(AddressKind::Lan)).await, ["10.2.0.1:90"]);
    // None of that family: left out and named, and no other one in its place.
    watching(&source(at(AddressKind::WanIpv6)), &[], async |table| {
        table.until_alive(5).await;
        let set = &table.sets["web"];
        assert_eq!((set.instances.len(), set.rejected.len()), (0, 1), "{set:#?}");
        assert!(set.rejected[0].why.contains("wan_ipv6"), "{set:#?}");
    })
    .await;
}

#[tokio::test]
async fn node_meta_near_and_the_modes_are_the_servers() {
    let server = Server::start().await;
    for (node, rack, port) in [("n1", "r 1", 81), ("n2", "r&2", 82)] {
        let body = json!({"Node": node, "Address": "10.0.0.1", "NodeMeta": {"rack": rack},
            "Service": {"Service": "web", "ID": format!("web-{node}"), "Port": port}});
        server.put("catalog/register", body).await;
    }
    let mut of_rack = config(server.address(), &["web"]);
    of_rack.node_meta = [("rack".to_owned(), "r&2".to_owned())].into();
    assert_eq!(places(of_rack).await, ["10.0.0.1:82"]);
    let both = ["10.0.0.1:81", "10.0.0.1:82"];
    let mut near = config(server.address(), &["web"]);
    near.near = Some("_agent".into());
    assert_eq!(places(near).await, both);
    let (max_age, stale_if_error) = (Duration::from_secs(5), Duration::from_secs(5));
    for consistency in [
        Consistency::Default,
        Consistency::Consistent,
        Consistency::Stale { max_age },
        Consistency::Cached { max_age, stale_if_error },
    ] {
        let source = source(ConsulConfig { consistency, ..config(server.address(), &["web"]) });
        watching(&source, &[], async |table| {
            table.until_alive(5).await;
            assert!(table.has("web", &["web-n1", "web-n2"]), "{consistency:?}");
            server.register_on("n3", "web", "10.0.0.3", 83).await;
            table.until("a change", 3, |t| t.ids("web").is_some_and(|ids| ids.len() == 3)).await;
            server.put("catalog/deregister", json!({"Node": "n3"})).await;
            table.until("and back", 3, |t| t.has("web", &["web-n1", "web-n2"])).await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_namespace_is_refused_by_the_open_server_and_sent_to_any() {
    let server = Server::start().await;
    let mut of_team = config(server.address(), &["web"]);
    of_team.namespace = Some("team a".into());
    watching(&source(of_team), &[], async |table| {
        table.until("a doubt", 3, |t| t.doubts.contains_key("web")).await;
        assert!(table.doubts["web"].detail.contains("Enterprise"), "{:?}", table.doubts);
        assert!(table.sets.is_empty());
    })
    .await;
    // An Enterprise server is not to be had: a scripted one notes what it is asked.
    let fake =
        Fake::start(|asked| if asked.index().is_some() { Reply::parked() } else { Reply::ok(5, ONE) }).await;
    let mut scoped = config(fake.address.clone(), &["web"]);
    scoped.namespace = Some("team a".into());
    scoped.partition = Some("p&1".into());
    scoped.datacenters = vec!["dc=1".into()];
    watching(&source(scoped), &[], async |table| table.until_alive(2).await).await;
    let query = &fake.asked()[0].query;
    assert_eq!((query["ns"].as_str(), query["partition"].as_str()), ("team+a", "p%261"));
    assert_eq!(query["dc"], "dc%3D1");
}

#[tokio::test]
async fn a_cache_that_lost_its_servers_is_not_believed_beyond_its_bound() {
    let headers = |age: u64| {
        format!("X-Consul-Index: 5\r\nX-Consul-KnownLeader: true\r\nX-Cache: HIT\r\nAge: {age}\r\n")
    };
    for (age, asked) in [(3, vec![true]), (7, vec![true, false])] {
        let fake = Fake::start(move |asked| match (asked.has("cached"), asked.index()) {
            (_, Some(_)) => Reply::parked(),
            (true, None) => Reply::ok(5, ONE).headers(&headers(age)),
            (false, None) => Reply::ok(8, ONE),
        })
        .await;
        let (max_age, stale_if_error) = (Duration::from_secs(5), Duration::from_secs(4));
        let consistency = Consistency::Cached { max_age, stale_if_error };
        let cached = ConsulConfig { consistency, ..config(fake.address.clone(), &["web"]) };
        watching(&source(cached), &[], async |table| {
            table.until("alive", 2, Table::is_alive).await;
        })
        .await;
        let reads: Vec<_> = fake.asked().into_iter().filter(|asked| asked.index().is_none()).collect();
        assert_eq!(reads.iter().map(|asked| asked.has("cached")).collect::<Vec<_>>(), asked, "age {age}");
        let head = reads[0].head.to_ascii_lowercase();
        assert!(head.contains("cache-control: max-age=5, stale-if-error=4"), "{head}");
    }
}

#[tokio::test]
async fn a_stale_answer_that_goes_back_is_asked_of_the_leader_and_no_new_history() {
    // A follower that lags behind what was seen already: at 9, after 20.
    let fake = Fake::start(|asked| match (asked.has("stale"), asked.index()) {
        (true, None) => Reply::ok(20, ONE),
        (true, Some(20)) => Reply::ok(9, "[]").after(Duration::from_millis(50)),
        (false, None) => Reply::ok(21, ONE),
        _ => Reply::parked(),
    })
    .await;
    let consistency = Consistency::Stale { max_age: Duration::from_secs(5) };
    let stale = ConsulConfig { consistency, ..config(fake.address.clone(), &["web"]) };
    watching(&source(stale), &[], async |table| {
        table
            .until("the leader's word", 3, |t| t.sets.get("web").is_some_and(|set| set.revision == 21))
            .await;
        assert!(table.epochs.is_empty() && table.has("web", &["w1"]), "{table:?}");
        assert!(table.doubts.values().all(|fault| fault.reason != Reason::Regressed));
    })
    .await;
}
