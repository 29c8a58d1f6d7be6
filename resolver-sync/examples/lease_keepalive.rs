//! Registers a service in etcd with a lease that is kept alive until standard input ends; then the lease is revoked.
//!
//! ```text
//! cargo run -p resolver-sync --example lease_keepalive -- http://127.0.0.1:2379
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::error::Error;
use std::time::Duration;

use resolver_sync::etcd::EtcdConfig;
use resolver_sync::register::{Registrar, Registration};

fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or("http://127.0.0.1:2379".into());
    let config =
        EtcdConfig { endpoints: vec![endpoint], prefix: "/services/".into(), ..EtcdConfig::default() };

    // The key /services/strategy/instance-1 with {"address":...,"port":8080,"timestamp":...} and a lease of 10 s, which is
    // kept alive each third of it. When the lease is lost all the same, another one is granted and the key put again.
    let strategy = Registration::new("strategy", 8080)
        .id("instance-1")
        .address("127.0.0.1".parse()?)
        .ttl(Duration::from_secs(10));
    let registered = Registrar::etcd(config)?.register(strategy, Duration::from_secs(10))?;
    println!("registered {}", registered.id());

    // Serve. A process that is killed here is gone from etcd within its TTL and half a second.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;

    registered.deregister()?;
    println!("deregistered");
    Ok(())
}
