//! What the real server does and clients stumble over; `docs/consul.md` has the list. Where it has to happen on the
//! line, a proxy stands in front of the real server.

use std::time::{Duration, Instant};

use resolver_core::Reason;
use resolver_sync::consul::Services;
use serde_json::{Value, json};

use crate::fake::{Fake, Reply};
use crate::recorder::{Line, Recorder};
use crate::server::Server;
use crate::table::{Table, config, source, watching};

/// The queries of a service's health, as they were sent.
fn queries(recorder: &Recorder) -> Vec<String> {
    let asked = recorder.asked().into_iter();
    asked.filter(|line| line.contains("/v1/health/service/web")).collect()
}

#[tokio::test]
async fn a_wiped_cluster_is_a_new_history_and_no_index_of_the_old_one_is_asked_with() {
    let mut server = Server::start().await;
    for n in 0..20 {
        server.register_on("n1", "other", "10.0.0.9", 80 + n).await;
    }
    server.register_on("n1", "web", "10.0.0.1", 80).await;
    let recorder = Recorder::start(&server.address()).await;
    let source = source(config(recorder.address.clone(), &["web"]));
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        let before = table.sets["web"].revision;
        server.kill();
        table.until("lost", 3, |t| t.lost.is_some()).await;
        assert!(table.has("web", &["web-n1"]), "what it said stands");
        let asked = queries(&recorder).len();
        server.wipe();
        server.restart();
        server.is_ready().await;
        server.register_on("n2", "web", "10.0.0.2", 80).await;
        table.until("the new cluster's", 15, |t| t.has("web", &["web-n2"])).await;
        assert!(table.sets["web"].revision < before);
        assert!(!queries(&recorder)[asked].contains("index="), "{:?}", &queries(&recorder)[asked..]);
        println!("epochs: {:?}", table.epochs);
        assert!(!table.epochs.is_empty(), "it is said that another history begins");
    })
    .await;
}

#[tokio::test]
async fn a_whole_wait_with_its_jitter_is_no_failure_and_is_followed_by_a_read() {
    let server = Server::start().await;
    server.register_on("n1", "web", "10.0.0.1", 80).await;
    let recorder = Recorder::start(&server.address()).await;
    let source = source(config(recorder.address.clone(), &["web"]));
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        let began = Instant::now();
        while queries(&recorder).len() < 4 {
            assert!(began.elapsed() < Duration::from_secs(15), "{:?}", queries(&recorder));
            tokio::time::sleep(Duration::from_millis(20)).await;
            // A doubt ends with the next answer, so each report is looked at.
            table.update();
            assert!(table.doubts.is_empty() && table.lost.is_none(), "{table:?}");
        }
        let took = began.elapsed();
        assert!(took > Duration::from_secs(9), "the query was held for the whole wait, not {took:?}");
    })
    .await;
    let asked = queries(&recorder);
    let blocking: Vec<bool> = asked.iter().map(|line| line.contains("index=")).collect();
    assert_eq!(blocking, [false, true, false, true], "{asked:?}");
    for line in asked.iter().filter(|line| line.contains("index=")) {
        assert!(line.contains("wait=10000ms") && line.contains("HTTP/1.1"), "never 0, never less: {line}");
    }
}

#[tokio::test]
async fn a_cable_that_is_pulled_is_noticed_and_what_was_missed_is_there_when_it_is_back() {
    let server = Server::start().await;
    server.register("web", "w1", "10.0.0.1", 80).await;
    let recorder = Recorder::start(&server.address()).await;
    let source = source(config(recorder.address.clone(), &["web"]));
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        recorder.set(Line::Cut);
        let lost = table.until("lost", 6, |t| t.lost.is_some()).await;
        assert_eq!(table.lost.as_ref().map(|fault| fault.reason), Some(Reason::Unreachable));
        server.register("web", "w2", "10.0.0.2", 80).await;
        recorder.set(Line::Good);
        let back = table.until("in step", 6, |t| t.is_alive() && t.has("web", &["w1", "w2"])).await;
        println!("cable pulled: lost after {lost:?}, in step {back:?} after it is back");
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_cut_in_its_middle_is_a_doubt_and_no_smaller_service() {
    let server = Server::start().await;
    for n in 1..=20 {
        server.register_on(&format!("n{n}"), "web", &format!("10.0.0.{n}"), 80).await;
    }
    let recorder = Recorder::start(&server.address()).await;
    let source = source(config(recorder.address.clone(), &["web"]));
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        // The heartbeat's answers are shorter than this.
        recorder.set(Line::Short(600));
        server.register_on("n21", "web", "10.0.0.21", 80).await;
        table.until("a doubt", 5, |t| t.doubts.contains_key("web")).await;
        assert_eq!(table.sets["web"].instances.len(), 20, "what was whole stands");
        recorder.set(Line::Good);
        table.until("whole again", 8, |t| t.sets["web"].instances.len() == 21 && t.doubts.is_empty()).await;
    })
    .await;
}

#[tokio::test]
async fn a_wake_of_another_services_end_changes_nothing() {
    let server = Server::start().await;
    server.register("other", "o1", "10.0.0.9", 80).await;
    server.register("web", "w1", "10.0.0.1", 80).await;
    let recorder = Recorder::start(&server.address()).await;
    let mut none = config(recorder.address.clone(), &["nobody", "web"]);
    none.tags = vec!["no-such-tag".into()];
    let source = source(none);
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        let revision = table.sets["nobody"].revision;
        let asked = recorder.asked().len();
        // The extinction of any service wakes whoever waits for one that is not there.
        server.deregister("o1").await;
        table.until("the wake", 3, |t| t.sets["nobody"].revision > revision).await;
        assert!(table.has("nobody", &[]) && table.doubts.is_empty() && table.epochs.is_empty(), "{table:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(recorder.asked().len() - asked < 8, "{:?}", &recorder.asked()[asked..]);
    })
    .await;
}

#[tokio::test]
async fn one_id_on_two_nodes_is_two_instances_and_a_node_in_maintenance_serves_nothing() {
    let server = Server::start().await;
    for n in 1..=2 {
        let body = json!({"Node": format!("n{n}"), "Address": format!("10.0.0.{n}"),
            "Service": {"Service": "web", "ID": "same", "Port": 80}});
        server.put("catalog/register", body).await;
    }
    server.register("web", "own", "10.0.0.3", 80).await;
    watching(&source(config(server.address(), &["web"])), &[], async |table| {
        table.until_alive(5).await;
        assert!(table.has("web", &["own", "same", "same"]), "{table:?}");
        server.put("agent/maintenance?enable=true&reason=test", Value::Null).await;
        table.until("its own instance leaves", 3, |t| t.has("web", &["same", "same"])).await;
        server.put("agent/maintenance?enable=false", Value::Null).await;
        table.until("and is back", 3, |t| t.has("web", &["own", "same", "same"])).await;
    })
    .await;
}

#[tokio::test]
async fn an_instance_that_the_agent_puts_back_is_there_again() {
    let mut server = Server::start().await;
    let agent = Server::join(&server).await;
    agent.register("web", "w1", "10.0.0.1", 80).await;
    agent.register("web", "w2", "10.0.0.2", 80).await;
    let source = source(config(agent.address(), &["web"]));
    watching(&source, &[], async |table| {
        table.until("both", 10, |t| t.is_alive() && t.has("web", &["w1", "w2"])).await;
        // Behind the agent's back; it compares everything once a minute, and when a server joins.
        server.put("catalog/deregister", json!({"Node": agent.node(), "ServiceID": "w1"})).await;
        table.until("gone from the catalogue", 3, |t| t.has("web", &["w2"])).await;
        server.kill();
        server.restart();
        server.is_ready().await;
        let took = table.until("put back", 70, |t| t.has("web", &["w1", "w2"])).await;
        println!("deregistered behind the agent's back: put back {took:?} after a server joined");
    })
    .await;
}

#[tokio::test]
async fn too_many_connections_say_what_to_raise() {
    let fake = Fake::start(|_| Reply::error("429 Too Many Requests", "", "too many")).await;
    watching(&source(config(fake.address.clone(), &["web"])), &[], async |table| {
        table.until("a doubt", 2, |t| t.doubts.contains_key("web")).await;
        assert_eq!(table.doubts["web"].reason, Reason::Capacity);
        assert!(
            table.doubts["web"].detail.contains("limits.http_max_conns_per_client"),
            "{:?}",
            table.doubts
        );
    })
    .await;
}

#[tokio::test]
async fn a_catalogue_that_cannot_be_read_ends_nothing() {
    let server = Server::start().await;
    server.register("web", "w1", "10.0.0.1", 80).await;
    let recorder = Recorder::start(&server.address()).await;
    let mut all = config(recorder.address.clone(), &[]);
    all.services = Services::All;
    watching(&source(all), &[], async |table| {
        table.until_alive(5).await;
        recorder.set(Line::Short(10));
        server.register("later", "l1", "10.0.0.2", 80).await;
        table.until("lost", 5, |t| t.lost.is_some()).await;
        assert!(table.has("web", &["w1"]));
        recorder.set(Line::Good);
        table
            .until("both", 10, |t: &Table| t.is_alive() && t.has("later", &["l1"]) && t.has("web", &["w1"]))
            .await;
    })
    .await;
}
