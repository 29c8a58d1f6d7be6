//! A segment whose writer is at work, and copies of its file.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use resolver_core::{
    Bytes, Capacity, Endpoint, OwnedSegment, Publication, Reason, SourceBeat, Standing, Writer,
};

pub const CAPACITY: Capacity = Capacity { services: 8, endpoints: 128, configs: 3, text_bytes: 64 };
pub const NAMES: [&str; 5] =
    ["oms", "risk", "a-name-that-does-not-fit-its-bucket", "spread", "comes-and-goes"];

fn set(n: u64, size: usize) -> Vec<Endpoint> {
    let address = |place: usize| SocketAddr::from(([10, 0, 0, place as u8], n as u16 | 1));
    (0..size).map(|place| Endpoint::new(address(place)).with_id(n).with_weight(place as u32 + 1)).collect()
}

/// All that a writer does, in turn.
fn publish(writer: &mut Writer<'_>, n: u64) {
    let handles = NAMES.map(|name| writer.add(name).expect("there is room"));
    let limit = writer.add_setting::<i64>("max-position").expect("there is room");
    let venue = writer.add_setting::<Bytes>("venue").expect("there is room");
    let mut batch = writer.batch();
    for handle in handles {
        let set = set(n, n as usize % 5 + 1);
        batch.publish(handle, &set, Standing::FRESH, &[n as u8; 40]).expect("there is room");
    }
    batch.set(limit, n as i64, Standing::FRESH).expect("it was added");
    batch.set(venue, Bytes::new(b"XNAS").expect("it is short"), Standing::FRESH).expect("it was added");
    batch.commit();
    let all = set(n, 4);
    let publication =
        Publication { active: 3, smooth: true, maglev: 400, ..Publication::new(&all, Standing::FRESH) };
    writer.publish_as(handles[3], &publication).expect("there is room");
    let age = Some(Duration::from_millis(n % 9));
    writer.beat(&[SourceBeat { name: "consul", age, revision: n, reason: Reason::None, rejected: 0 }]);
    if n.is_multiple_of(3) {
        writer.remove(NAMES[4]);
    }
}

/// So many copies; in at least four of them a publication has landed in part.
pub fn copies(count: usize) -> Vec<Vec<u8>> {
    let directory = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" });
    let directory = directory.expect("a directory");
    let path = directory.path().join("main.seg");
    let mut owned = OwnedSegment::acquire(&path, &CAPACITY).expect("it can be created");
    let mut writer = owned.writer().expect("it is new");
    publish(&mut writer, 1);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 2.. {
                publish(&mut writer, n);
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let (mut whole, mut landing) = (Vec::new(), Vec::new());
        let deadline = Instant::now() + Duration::from_secs(60);
        while whole.len() + landing.len() < count && Instant::now() < deadline {
            let copy = std::fs::read(&path).expect("it can be read");
            if is_landing(&copy) {
                landing.push(copy);
            } else if whole.len() < count - 4 {
                whole.push(copy);
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(landing.len() >= 4, "no copy was taken in the middle of a publication");
        eprintln!(
            "{} copies of a live segment, {} in the middle of a publication",
            whole.len() + landing.len(),
            landing.len()
        );
        landing.extend(whole);
        landing
    })
}

/// Whether a service's or setting's line is half written; the lines of the heads begin after the header's 64.
fn is_landing(copy: &[u8]) -> bool {
    let cells = CAPACITY.services as usize + resolver_core::MAX_SOURCES + CAPACITY.configs as usize;
    (64..64 + cells).any(|line| copy[line * 64] & 1 != 0)
}
