//! Answers `/health` and `/ready`; each line of standard input says how a critical component is: empty for well, or what
//! is wrong with it.
//!
//! ```text
//! cargo run -p resolver-sync --example health_endpoint
//! curl -i http://127.0.0.1:9600/health
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::error::Error;
use std::io::BufRead;

use resolver_sync::health::{Health, HealthOptions, HealthServer};

fn main() -> Result<(), Box<dyn Error>> {
    let listen = std::env::args().nth(1).unwrap_or("127.0.0.1:9600".into()).parse()?;
    let health = Health::new();
    let server = HealthServer::start(HealthOptions { listen, ..HealthOptions::default() }, health.clone())?;
    let feed = health.component("market-data");
    health.set_ready(true, "");
    println!("http://{}", server.address());

    for line in std::io::stdin().lock().lines() {
        // Off the path: a thread that trades sets a flag of its own, and another one reports it here.
        match line?.trim() {
            "" => feed.pass(),
            wrong => feed.fail(wrong),
        }
    }
    Ok(())
}
