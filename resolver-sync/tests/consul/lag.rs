//! How much later than a bare blocking query the source reports a change.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use reqwest::Client;

use crate::server::Server;
use crate::table::{config, source, watching};

const CHANGES: u16 = 200;

/// Reads in a loop of nothing but a blocking query and the JSON parser; notes when it saw which port.
async fn bare(server: &Server, seen: &RefCell<Vec<Option<Instant>>>) {
    let client = Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
    let mut index = "1".to_owned();
    loop {
        let url =
            format!("http://{}/v1/health/service/web?passing=1&wait=10s&index={index}", server.address());
        let response = client.get(url).send().await.expect("an answer");
        index = response.headers()["X-Consul-Index"].to_str().expect("text").to_owned();
        let body = response.bytes().await.expect("a body");
        let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        for entry in answer.as_array().expect("a list") {
            let port = entry["Service"]["Port"].as_u64().expect("a port") as usize;
            seen.borrow_mut()[port].get_or_insert_with(Instant::now);
        }
    }
}

#[tokio::test]
async fn a_change_is_reported_soon_after_a_bare_query_sees_it() {
    let server = Server::start().await;
    server.register("web", "still", "10.0.0.2", 9).await;
    let seen = RefCell::new(vec![None; 65536]);
    let source = source(config(server.address(), &["web"]));
    let (mut lags, mut floors) = (Vec::new(), Vec::new());
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        tokio::select! {
            () = bare(&server, &seen) => {}
            () = async {
                for port in 1000..1000 + CHANGES {
                    let sent = Instant::now();
                    let write = server.register("web", "moving", "10.0.0.1", port.into());
                    let (mut reported, mut written) = (None, std::pin::pin!(write));
                    let mut done = false;
                    while !done || reported.is_none() {
                        tokio::select! {
                            () = &mut written, if !done => done = true,
                            _ = table.until("the change", 5, |t| t.sets["web"].instances.iter().any(|i| i.port == port)),
                                if reported.is_none() => reported = Some(Instant::now()),
                        }
                    }
                    while seen.borrow()[usize::from(port)].is_none() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    let bare = seen.borrow()[usize::from(port)].expect("seen");
                    let reported = reported.expect("reported");
                    floors.push((bare - sent).as_secs_f64() * 1e3);
                    lags.push((reported - sent).as_secs_f64() * 1e3 - (bare - sent).as_secs_f64() * 1e3);
                    // Apart, as changes are: both are parked again.
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
            } => {}
        }
    })
    .await;
    let [floor50, floor99] = percentiles(&mut floors);
    let [lag50, lag99] = percentiles(&mut lags);
    println!(
        "{CHANGES} changes, ms: bare p50 {floor50:.3} p99 {floor99:.3}; source - bare p50 {lag50:+.3} p99 {lag99:+.3}"
    );
    assert!(lag50 < 2.0, "a median of {lag50} ms behind a bare query");
}

fn percentiles(figures: &mut [f64]) -> [f64; 2] {
    figures.sort_by(f64::total_cmp);
    [figures[figures.len() / 2], figures[figures.len() * 99 / 100]]
}
