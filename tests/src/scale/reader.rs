//! The table as a reader of the segment has it.

use std::path::Path;
use std::time::{Duration, Instant};

use resolver_core::Segment;

use super::fleet::{Fleet, Place, name};
use crate::cluster::now;

/// Between two looks at one service.
const REST: Duration = Duration::from_micros(50);

/// A mapping of the agent's segment.
pub(super) struct Table(Segment);

impl Table {
    pub(super) fn open(path: &Path, patience: Duration) -> Table {
        let start = Instant::now();
        loop {
            match Segment::open(path) {
                Ok(segment) => return Table(segment),
                Err(error) => assert!(start.elapsed() < patience, "{}: {error}", path.display()),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until every service has all of its instances.
    pub(super) fn wait_until_full(&self, fleet: Fleet, patience: Duration, check: impl Fn()) {
        let start = Instant::now();
        let reader = self.0.reader();
        for service in 0..fleet.services {
            let name = name(service);
            loop {
                let handle = reader.service(&name);
                let length = handle.and_then(|handle| reader.set(handle).ok()).map_or(0, |set| set.len());
                if length == usize::from(fleet.instances) {
                    break;
                }
                check();
                assert!(
                    start.elapsed() < patience,
                    "{name} has {length} instances after {:?}",
                    start.elapsed()
                );
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// The port that `resolve()` gives.
    pub(super) fn port(&self, service: u32) -> Option<u16> {
        let reader = self.0.reader();
        let handle = reader.service(&name(service))?;
        reader.resolve(handle).ok().map(|resolved| resolved.address().port())
    }

    /// Waits until `resolve()` gives this port: when it did.
    pub(super) fn wait_for(&self, service: u32, port: u16, patience: Duration, check: impl Fn()) -> u64 {
        let start = Instant::now();
        let reader = self.0.reader();
        let handle = reader.service(&name(service)).expect("the table is full");
        loop {
            let resolved = reader.resolve(handle);
            let at = now();
            if resolved.is_ok_and(|resolved| resolved.address().port() == port) {
                return at;
            }
            if start.elapsed() > patience {
                check();
                panic!("{} is not at port {port} after {patience:?}", name(service));
            }
            std::thread::sleep(REST);
        }
    }

    /// How many of these the table has otherwise.
    pub(super) fn differing(&self, places: &[Place]) -> usize {
        places.iter().filter(|place| self.port(place.service) != Some(place.port)).count()
    }
}
