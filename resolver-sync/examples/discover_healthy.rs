//! Finds the healthy instances of a service in Consul, and resolves one in nanoseconds from then on.
//!
//! ```text
//! cargo run -p resolver-sync --example discover_healthy -- http://127.0.0.1:8500 risk-service
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::error::Error;
use std::time::{Duration, Instant};

use resolver_core::{Capacity, Handle, ResolveError, Table, heap};
use resolver_sync::agent::Publication;
use resolver_sync::catalog::Catalog;
use resolver_sync::consul::{ConsulConfig, ConsulSource, Services};
use resolver_sync::policy::Zones;
use resolver_sync::publisher::{Patience, Wanted};
use resolver_sync::report::Inflow;
use resolver_sync::view::View;

fn main() -> Result<(), Box<dyn Error>> {
    let agent = std::env::args().nth(1).unwrap_or("http://127.0.0.1:8500".into());
    let service = std::env::args().nth(2).unwrap_or("risk-service".into());

    // One thread watches Consul, by blocking queries for what passes, and publishes to a table.
    let mut config = ConsulConfig::new("local", agent);
    config.services = Services::Named(vec![service.clone()]);
    let catalog = Catalog::default();
    let publication = Publication {
        sources: vec![Box::new(ConsulSource::new(config)?)],
        views: vec![View::of_service("local", &service)],
        patience: Patience::default(),
        catalog: catalog.clone(),
        zones: Zones::default(),
        reports: Inflow::default(),
        settings: Wanted::default(),
    };
    let memory = heap(Capacity::SMALL.lines());
    let (writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || publication.run(writer, async { drop(stopped.await) }));

        // Once, off the path: the handle.
        let handle = once(|| reader.service(&service)).ok_or("no handle");
        // Any number of times, on the path: no lock, no allocation, no system call.
        let resolved = handle.and_then(|handle: Handle| {
            once(|| match reader.resolve(handle) {
                // Nothing was published yet.
                Err(ResolveError::Never) => None,
                other => Some(other),
            })
            .ok_or("nothing was published")
        });
        // Or all of them, with ids and tags, for people and tools; a moment after those on the path.
        for instance in once(|| catalog.get(&service)).iter().flat_map(|entry| &entry.set.instances) {
            println!("{} at {}:{} {:?}", instance.id, instance.address, instance.port, instance.tags);
        }
        drop(stop);
        match resolved? {
            Ok(resolved) => println!("resolved {}", resolved.address().socket_addr()),
            Err(error) => println!("no {service}: {error}"),
        }
        Ok(())
    })
}

/// Looks until there is something, for ten seconds.
fn once<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        match look() {
            None if start.elapsed() < Duration::from_secs(10) => std::thread::sleep(Duration::from_millis(1)),
            found => return found,
        }
    }
}
