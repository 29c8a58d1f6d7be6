//! How much later than a bare blocking query the source reports a change.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Client;

use crate::server::Server;
use crate::table::{config, source, watching};

const CHANGES: usize = 200;
const FIRST_PORT: usize = 1000;

/// When the bare query saw each change.
type Seen = Arc<Mutex<[Option<Instant>; CHANGES]>>;

#[tokio::test]
async fn a_change_is_reported_soon_after_a_bare_query_sees_it() {
    let server = Server::start().await;
    server.register("web", "still", "10.0.0.2", 9).await;
    let seen: Seen = Arc::new(Mutex::new([None; CHANGES]));
    let (url, note) =
        (format!("http://{}/v1/health/service/web?passing=1&wait=10s", server.address()), seen.clone());
    // On a thread of its own, so that neither waits for the other's parser. It ends with the server.
    let bare = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(bare(&url, &note));
    });
    let source = source(config(server.address(), &["web"]));
    let (mut lags, mut floors) = (Vec::new(), Vec::new());
    watching(&source, &[], async |table| {
        table.until_alive(5).await;
        for change in 0..CHANGES {
            let port = u16::try_from(FIRST_PORT + change).expect("a port");
            let sent = Instant::now();
            let reported = async {
                let there = |t: &crate::table::Table| t.sets["web"].instances.iter().any(|i| i.port == port);
                table.until("the change", 5, there).await;
                Instant::now()
            };
            let write = server.register("web", "moving", "10.0.0.1", port.into());
            let ((), reported) = tokio::join!(write, reported);
            let bare = until_seen(&seen, change).await;
            // Apart, as changes are: then both are parked again.
            tokio::time::sleep(Duration::from_millis(5)).await;
            floors.push((bare - sent).as_secs_f64() * 1e3);
            lags.push((reported - sent).as_secs_f64() * 1e3 - (bare - sent).as_secs_f64() * 1e3);
        }
    })
    .await;
    drop(server);
    bare.join().expect("the bare query ends");
    let [floor50, floor99] = percentiles(&mut floors);
    let [lag50, lag99] = percentiles(&mut lags);
    println!(
        "{CHANGES} changes, ms: bare p50 {floor50:.3} p99 {floor99:.3}; source - bare p50 {lag50:+.3} p99 {lag99:+.3}"
    );
    assert!(lag50 < 2.0, "a median of {lag50} ms behind a bare query");
}

/// When the bare query saw a change; it may well be later than the source.
async fn until_seen(seen: &Seen, change: usize) -> Instant {
    let began = Instant::now();
    loop {
        if let Some(at) = seen.lock().expect("times")[change] {
            return at;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "the bare query did not see change {change}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Nothing but a blocking query and the JSON parser, until the server is gone.
async fn bare(url: &str, seen: &Seen) {
    let client = Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
    let mut index = "1".to_owned();
    while let Ok(response) = client.get(format!("{url}&index={index}")).send().await {
        index = response.headers()["X-Consul-Index"].to_str().expect("text").to_owned();
        let Ok(body) = response.bytes().await else { return };
        let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let now = Instant::now();
        for entry in answer.as_array().expect("a list") {
            let port = entry["Service"]["Port"].as_u64().expect("a port") as usize;
            if let Some(place) = port.checked_sub(FIRST_PORT) {
                seen.lock().expect("times")[place].get_or_insert(now);
            }
        }
    }
}

/// The median and the 99th percentile.
fn percentiles(figures: &mut [f64]) -> [f64; 2] {
    figures.sort_by(f64::total_cmp);
    [figures[figures.len() / 2], figures[figures.len() * 99 / 100]]
}
