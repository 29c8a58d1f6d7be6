//! Reports of the publisher's own process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use resolver_core::{Capacity, Handle};
use resolver_sync::memory::MemoryRegistry;
use resolver_sync::policy::{Ejection, Policies};
use resolver_sync::report::{Inflow, Outcome, queue};
use resolver_sync::view::View;

use super::quick;
use super::stage::{self, Stage, candidates, eventually};

/// Ends the flood when the test has what it waited for, and when it panics: the scope would wait for ever.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn view() -> View {
    let ejection = Ejection { failures: 3, base: Duration::from_secs(1), ..Ejection::default() };
    let policies = Policies { ejection: Some(ejection), ..Policies::default() };
    View { policies, ..View::of_service("m", "oms") }
}

#[test]
fn what_fails_is_out_for_a_while_and_a_flood_keeps_nothing_else_waiting() {
    let registry = MemoryRegistry::new();
    registry.set("oms", candidates(1..4));
    let (reporter, reports) = queue(4096);
    let inflow = Inflow::default().with_queue(reports);
    let sources = vec![stage::memory("m", &registry)];
    Stage::new(Capacity::SMALL).run_with(sources, vec![view()], quick(), inflow, |reader| {
        let oms = eventually("the view", || reader.service("oms"));
        let port = || reader.resolve(oms).ok().map(|oms| oms.address().port());
        eventually("published", || (port() == Some(1)).then_some(()));
        let id = reader.resolve(oms).expect("published").id();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Of endpoints and views that there are not; it stays a busy neighbour, and no more than that.
                let mut flood: u64 = 0;
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..100 {
                        flood = flood.wrapping_add(1);
                        reporter.report(Handle::from_bits(flood), flood, Outcome::Failure);
                    }
                    std::thread::yield_now();
                }
            });
            let _end = End(&stop);
            let (generation, beat) = (reader.resolve(oms).expect("published").generation(), reader.pulse());
            registry.set("oms", candidates(1..5));
            eventually("a change is published", || {
                let resolved = reader.resolve(oms).ok()?;
                (resolved.generation() > generation && resolved.endpoints() == 4).then_some(())
            });
            eventually("the publisher beats", || (reader.pulse() > beat + 2).then_some(()));
        });
        eventually("it is out", || {
            reporter.report(oms, id, Outcome::Failure);
            (port() == Some(2)).then_some(())
        });
        eventually("it is back", || (port() == Some(1)).then_some(()));
    });
}
