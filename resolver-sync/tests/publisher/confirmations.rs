//! How many second reads are under way at once.

use std::time::{Duration, Instant};

use resolver_core::Capacity;
use resolver_sync::publisher::Patience;
use resolver_sync::record::ServiceSet;

use crate::stage::{Stage, candidates, eventually, scripted};

/// The publisher's own limit.
const AT_ONCE: usize = 8;

#[test]
fn an_incident_that_touches_every_service_is_no_storm_of_second_reads() {
    let (source, script) = scripted("registry");
    let stage = Stage::new(Capacity { services: 64, endpoints: 256, ..Capacity::HOST });
    let names: Vec<String> = (0..40).map(|n| format!("s{n}")).collect();
    stage.run(vec![source], Vec::new(), Patience::default(), |reader| {
        for name in &names {
            script.say(name, ServiceSet::check(candidates(1..3), 1));
        }
        for name in &names {
            eventually("it is published", || reader.service(name).filter(|at| reader.resolve(*at).is_ok()));
        }
        // Nobody answers a second read, so each one stays under way until its deadline.
        for name in &names {
            script.say(name, ServiceSet { revision: 2, ..ServiceSet::default() });
        }
        eventually("the first second reads", || (script.confirmations() >= AT_ONCE).then_some(()));
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(1) {
            assert_eq!(script.confirmations(), AT_ONCE, "no more than so many at once");
            std::thread::sleep(Duration::from_millis(10));
        }
        // Each makes room for the next.
        script.confirm_with(Ok(ServiceSet { revision: 3, ..ServiceSet::default() }));
        eventually("all others", || (script.confirmations() >= names.len()).then_some(()));
    });
}
