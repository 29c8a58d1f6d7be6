//! A segment that is looked into while its writer is at work: nothing that the writer is about to change is a fault.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use resolver_core::shm::Process;
use resolver_core::{Capacity, Endpoint, OwnedSegment, Publication, Segment, Standing};

const CAPACITY: Capacity = Capacity { services: 8, endpoints: 128, configs: 1, text_bytes: 64 };
const LOOKS: u64 = 200;

#[test]
fn a_writer_at_work_makes_no_faults() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("main.seg");
    let mut owned = OwnedSegment::acquire(&path, &CAPACITY).expect("it can be created");
    let mut writer = owned.writer().expect("it is new");
    let (stop, publications) = (AtomicBool::new(false), AtomicU64::new(0));
    let segment = Segment::open(&path).expect("it can be read");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0u64;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                let name = format!("s{}", n % 6);
                let handle = writer.add(&name).expect("there is room");
                let endpoint = Endpoint::new(SocketAddr::from(([10, 0, 0, 1], n as u16))).with_id(n);
                let set = vec![endpoint; n as usize % 4 + 1];
                let maglev = if n.is_multiple_of(2) { 400 } else { 0 };
                let publication = Publication { maglev, ..Publication::new(&set, Standing::FRESH) };
                writer.publish_as(handle, &publication).expect("there is room");
                if n.is_multiple_of(5) {
                    writer.remove(&name);
                }
                publications.store(n, Ordering::Relaxed);
            }
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        let (mut looks, mut found) = (0, Vec::new());
        while found.is_empty() && looks < LOOKS && Instant::now() < deadline {
            found = segment.faults();
            looks += u64::from(publications.load(Ordering::Relaxed) > looks);
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!((found, looks), (Vec::new(), LOOKS));
    });
    let inspection = segment.inspect();
    assert_eq!(inspection.process, Process::Alive);
    assert_eq!((inspection.capacity, inspection.owner.pid), (CAPACITY, std::process::id()));
    assert!(!inspection.repair.is_needed(), "between publications there is none");
    assert!(inspection.publications > LOOKS && inspection.used.services > 0);
}
