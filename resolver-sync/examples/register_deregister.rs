//! Registers a service with Consul, under its own health endpoint, until standard input ends; then it is deregistered.
//!
//! ```text
//! cargo run -p resolver-sync --example register_deregister -- http://127.0.0.1:8500
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::error::Error;
use std::time::Duration;

use resolver_sync::consul::ConsulConfig;
use resolver_sync::health::{Health, HealthOptions, HealthServer};
use resolver_sync::register::{Check, Registrar, Registration};

fn main() -> Result<(), Box<dyn Error>> {
    let agent = std::env::args().nth(1).unwrap_or("http://127.0.0.1:8500".into());

    // What Consul asks; `health.set_healthy(false, "why")` takes the service out.
    let health = Health::new();
    let options = HealthOptions { listen: "127.0.0.1:0".parse()?, ..HealthOptions::default() };
    let server = HealthServer::start(options, health.clone())?;

    let check = Check::http(format!("http://{}/health", server.address()))
        .every(Duration::from_secs(10))
        .timeout(Duration::from_secs(5))
        .deregister_critical_after(Duration::from_secs(60))
        .initially_passing();
    let risk = Registration::new("risk-service", 8080)
        .id(format!("risk-service-{}", std::process::id()))
        .address("127.0.0.1".parse()?)
        .tag("trading")
        .tag("hft")
        .tag("rust")
        .check(check);
    let registered =
        Registrar::consul(ConsulConfig::new("local", agent))?.register(risk, Duration::from_secs(10))?;
    println!("registered {}", registered.id());

    // Serve. Whatever ends this function, an error or a panic, the guard deregisters.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;

    // Out of sight first, so that callers are gone before the service is.
    registered.drain(Duration::from_millis(100))?;
    println!("deregistered");
    Ok(())
}
