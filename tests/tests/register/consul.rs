//! The library on a real Consul.

use std::time::Duration;

use resolver_sync::consul::ConsulConfig;
use resolver_sync::health::{Health, HealthOptions, HealthServer};
use resolver_sync::register::{Check, Condition, Conflict, RegisterError, Registrar, Status};
use resolver_sync::secret::Secret;
use resolver_tests::{Consul, ConsulOptions, Host, eventually};
use serde_json::{Value, json};

use crate::{SOON, STEADY, TTL, incarnation, orders, passing, with_consul};

fn start() -> Consul {
    Consul::start(ConsulOptions::new())
}

fn check(consul: &Consul, id: &str) -> (String, String) {
    let check = consul.get("/v1/agent/checks")[id].clone();
    let text = |name: &str| check[name].as_str().unwrap_or("?").to_owned();
    (text("Status"), text("Output"))
}

#[test]
fn what_is_registered_is_found_by_our_own_agent_and_gone_when_the_guard_is_dropped() {
    let consul = start();
    let host = Host::new();
    let _agent =
        host.agent(&format!("[[source]]\nname = \"c\"\nkind = \"consul\"\naddress = \"{}\"\n", consul.url()));
    let instance = orders().tag("v2").tag("fast").meta("build", "12").weight(10).zone("east");
    let registered = with_consul(&consul).register(instance, SOON).expect("a free id");
    assert_eq!((registered.id(), registered.status()), ("orders-1", Status::Registered));
    let got = host.until("orders", "has its endpoint", SOON, |got| got.code == Some(0));
    let endpoint = got.json()["endpoint"].clone();
    assert_eq!(
        (&endpoint["address"], &endpoint["port"], &endpoint["weight"], &endpoint["tags"]),
        (&json!("10.0.0.1"), &json!(9001), &json!(10), &json!(["fast", "v2"]))
    );
    let meta = consul.get("/v1/health/service/orders")[0]["Service"]["Meta"].clone();
    assert_eq!((&meta["build"], &meta["zone"]), (&json!("12"), &json!("east")));
    drop(registered);
    assert!(passing(&consul).is_empty(), "the drop waits for the end");
    host.until("orders", "is empty", SOON, |got| got.code == Some(4));
}

#[test]
fn a_condition_is_the_status_of_the_ttl_check_at_once() {
    let consul = start();
    // A third of the TTL is far away: what is seen is not the next sign of life.
    let registered = with_consul(&consul).register(orders().ttl(SOON * 10), SOON).expect("a free id");
    assert_eq!(passing(&consul), ["orders-1"]);
    for (condition, status) in
        [(Condition::Warning, "warning"), (Condition::Critical, "critical"), (Condition::Passing, "passing")]
    {
        registered.set_condition(condition, format!("told {status}"));
        eventually(SOON, "the check is as told", || {
            check(&consul, "service:orders-1:ttl") == (status.into(), format!("told {status}"))
        });
    }
    registered.set_healthy(false, "no feed");
    eventually(SOON, "nobody finds it", || passing(&consul).is_empty());
    registered.set_healthy(true, "");
    registered.enter_maintenance("an upgrade");
    eventually(SOON, "it is in maintenance", || {
        consul.get("/v1/agent/checks")["_service_maintenance:orders-1"]["Notes"] == "an upgrade"
    });
    assert!(passing(&consul).is_empty());
    registered.leave_maintenance();
    eventually(SOON, "it is back", || passing(&consul) == ["orders-1"]);
}

#[test]
fn signs_of_life_keep_it_passing_for_longer_than_its_ttl() {
    let consul = start();
    let registered = with_consul(&consul).register(orders().ttl(STEADY), SOON).expect("a free id");
    // More than three thirds of the TTL, with a look at each.
    eventually(SOON, "four signs of life", || {
        assert_eq!(passing(&consul), ["orders-1"], "{:?}", registered.status());
        registered.counts().beats >= 4
    });
    assert_eq!(registered.counts().registrations, 1);
}

#[test]
fn an_agent_that_was_restarted_without_its_data_gets_it_again() {
    let consul = start();
    let registered = with_consul(&consul).register(orders(), SOON).expect("a free id");
    consul.restart();
    eventually(SOON, "it is there again", || passing(&consul) == ["orders-1"]);
    eventually(SOON, "it knows", || registered.counts().registrations == 2);
    assert_eq!(registered.status(), Status::Registered);
}

#[test]
fn what_another_deregistered_is_registered_again() {
    let consul = start();
    let registered = with_consul(&consul).register(orders(), SOON).expect("a free id");
    let first = incarnation(&consul);
    consul.deregister("orders-1");
    eventually(SOON, "it is there again", || passing(&consul) == ["orders-1"]);
    assert_eq!(incarnation(&consul), first, "the same process");
    assert!(registered.counts().registrations >= 2);
}

#[test]
fn what_another_removed_from_the_catalogue_alone_is_there_again() {
    // The agent itself looks once a minute.
    let consul = start();
    let registered = with_consul(&consul).register(orders(), SOON).expect("a free id");
    eventually(SOON, "it was registered again, by us", || {
        consul.put("/v1/catalog/deregister", &json!({ "Node": "node-1", "ServiceID": "orders-1" }));
        registered.counts().registrations > 1
    });
    eventually(TTL * 10, "it is there again", || passing(&consul) == ["orders-1"]);
}

#[test]
fn of_two_with_one_id_the_second_is_refused_and_the_first_stays() {
    let consul = start();
    let registrar = with_consul(&consul);
    let first = registrar.register(orders().ttl(STEADY), SOON).expect("a free id");
    let incarnation_of_first = incarnation(&consul);
    let refused = registrar.register(orders().address([10, 0, 0, 2].into()), SOON).expect_err("in use");
    assert!(matches!(&refused, RegisterError::Refused { id, .. } if id == "orders-1"), "{refused}");
    assert!(refused.to_string().contains("at 10.0.0.1:9001"), "the holder is named: {refused}");
    assert_eq!((passing(&consul), incarnation(&consul)), (vec!["orders-1".into()], incarnation_of_first));
    assert_eq!(first.status(), Status::Registered);
}

#[test]
fn of_two_with_one_id_the_first_stands_back_where_the_second_takes_over() {
    let consul = start();
    let registrar = with_consul(&consul);
    let first = registrar.register(orders(), SOON).expect("a free id");
    let over = orders().address([10, 0, 0, 2].into()).conflict(Conflict::TakeOver);
    let second = registrar.register(over, SOON).expect("asked to");
    eventually(SOON, "the first knows", || {
        matches!(first.status(), Status::Failed(RegisterError::TakenOver { .. }))
    });
    let taken = incarnation(&consul);
    drop(first);
    assert_eq!((passing(&consul), incarnation(&consul)), (vec!["orders-1".into()], taken), "the second's");
    drop(second);
    assert!(passing(&consul).is_empty());
}

#[test]
fn one_that_was_taken_over_and_does_not_know_yet_removes_nothing() {
    let consul = start();
    let registrar = with_consul(&consul);
    // It would look at what is there in minutes.
    let first = registrar.register(orders().ttl(SOON * 10), SOON).expect("a free id");
    let _second = registrar.register(orders().conflict(Conflict::TakeOver), SOON).expect("asked to");
    drop(first);
    assert_eq!(passing(&consul), ["orders-1"], "the second's");
}

#[test]
fn the_place_of_a_dead_one_is_taken_when_its_ttl_is_over() {
    let consul = start();
    consul.register(&json!({
        "Name": "orders", "ID": "orders-1", "Port": 1, "Meta": { "resolver-incarnation": "dead" },
        "Check": { "CheckID": "service:orders-1:ttl", "TTL": "2s", "Status": "passing" },
    }));
    let _registered = with_consul(&consul).register(orders(), SOON).expect("nobody lives there");
    assert_ne!(incarnation(&consul), "dead");
}

#[test]
fn a_service_that_others_registered_is_not_overwritten() {
    let consul = start();
    consul.register(&json!({ "Name": "orders", "ID": "orders-1", "Port": 7 }));
    let refused = with_consul(&consul).register(orders(), SOON).expect_err("in use");
    assert!(matches!(refused, RegisterError::Refused { .. }), "{refused}");
    assert_eq!(consul.get("/v1/agent/service/orders-1")["Port"], 7);
}

#[test]
fn a_panic_deregisters() {
    let consul = start();
    let registrar = with_consul(&consul);
    let ended = std::thread::spawn(move || {
        let _registered = registrar.register(orders(), SOON).expect("a free id");
        panic!("as planned");
    });
    assert!(ended.join().is_err());
    assert!(consul.get("/v1/agent/services").as_object().is_some_and(serde_json::Map::is_empty));
}

#[test]
fn consul_makes_the_checks_that_were_asked_for() {
    let consul = start();
    let health = Health::new();
    let options = HealthOptions { listen: ([127, 0, 0, 1], 0).into(), ..HealthOptions::default() };
    let server = HealthServer::start(options, health.clone()).expect("a free port");
    let second = Duration::from_secs(1);
    let instance = orders()
        .without_ttl_check()
        .check(Check::http(format!("http://{}/health", server.address())).every(second))
        .check(Check::tcp(server.address().to_string()).every(second).deregister_critical_after(second * 60))
        .check(Check::grpc("127.0.0.1:1/orders").every(second).initially_passing());
    let _registered = with_consul(&consul).register(instance, SOON).expect("a free id");
    let checks = consul.get("/v1/agent/checks");
    let kinds: Vec<&Value> = (1..=3).map(|n| &checks[format!("service:orders-1:{n}")]["Type"]).collect();
    assert_eq!(kinds, ["http", "tcp", "grpc"]);
    let is = |id: &str, status: &str| check(&consul, id).0 == status;
    eventually(SOON, "both pass", || {
        is("service:orders-1:1", "passing") && is("service:orders-1:2", "passing")
    });
    health.set_healthy(false, "a critical component failed");
    eventually(SOON, "the HTTP check is critical", || is("service:orders-1:1", "critical"));
    assert!(
        check(&consul, "service:orders-1:1").1.contains("a critical component failed"),
        "with the reason"
    );
    health.set_healthy(true, "");
    eventually(SOON, "it passes again", || is("service:orders-1:1", "passing"));
}

#[test]
fn a_token_that_may_not_is_an_error_that_does_not_name_it() {
    let consul = Consul::start(ConsulOptions::new().acl());
    consul.set_policy("others", "service \"others\" { policy = \"write\" }");
    let token = consul.create_token(&["others"]);
    let mut config = ConsulConfig::new("test", consul.url());
    config.token = Some(Secret::new(token.as_str()));
    let denied = Registrar::consul(config).expect("good").register(orders(), SOON).expect_err("not allowed");
    assert!(matches!(denied, RegisterError::Denied(_)), "{denied}");
    assert!(!format!("{denied} {denied:?}").contains(&token));

    consul.set_policy(
        "orders",
        "service \"orders\" { policy = \"write\" } node_prefix \"\" { policy = \"read\" }",
    );
    let mut config = ConsulConfig::new("test", consul.url());
    config.token = Some(Secret::new(consul.create_token(&["orders"])));
    let registered = Registrar::consul(config).expect("good").register(orders(), SOON).expect("allowed");
    registered.deregister().expect("allowed");

    let mut config = ConsulConfig::new("test", "http://10.0.0.1:8500");
    config.token = Some(Secret::new("canary"));
    let refused = Registrar::consul(config).expect_err("unencrypted").to_string();
    assert!(refused.contains("unencrypted") && !refused.contains("canary"), "{refused}");
}

#[test]
fn what_consul_refuses_is_said_in_its_words() {
    let consul = start();
    let invalid = with_consul(&consul).register(orders().meta("a key", "v"), SOON).expect_err("a blank");
    assert!(matches!(invalid, RegisterError::Invalid(_)), "{invalid}");
    assert!(invalid.to_string().contains("invalid characters"), "{invalid}");
}

#[test]
fn a_registry_that_is_away_at_first_is_waited_for() {
    let consul = start();
    consul.kill();
    let registrar = with_consul(&consul);
    let late = registrar.register(orders(), Duration::from_millis(200)).expect_err("nobody there");
    assert!(matches!(&late, RegisterError::Late { last: Some(_), .. }), "{late}");
    let registered = registrar.start(orders()).expect("a thread");
    consul.restart();
    registered.wait_until_registered(SOON).expect("it is there again");
    assert_eq!(passing(&consul), ["orders-1"]);
}
