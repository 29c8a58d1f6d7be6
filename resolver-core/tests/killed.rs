//! A writer that is killed while it publishes, again and again: each time the next one goes on, and nothing is torn.
//!
//! The writer is this very test binary, started again with a variable that names the segment.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use resolver_core::shm::Origin;
use resolver_core::{Capacity, Endpoint, OwnedSegment, ResolveError, Segment, Standing, Writer};

const SEGMENT: &str = "RESOLVER_TEST_KILLED_WRITER";
const CAPACITY: Capacity = Capacity { services: 8, endpoints: 64, configs: 0, text_bytes: 64 };
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const KILLS: u32 = 400;

/// Everything in a set says `n`; its size does too.
fn set(n: u64) -> Vec<Endpoint> {
    let address = SocketAddr::from((Ipv4Addr::from_bits(n as u32), n as u16));
    vec![Endpoint::new(address).with_id(n).with_tags(!n); n as usize % 8 + 1]
}

/// Publishes to all services in one batch, then to one alone; now and then a name comes and goes.
fn publish(writer: &mut Writer<'_>, n: u64) {
    let handles = NAMES.map(|name| writer.add(name).expect("there is room"));
    let mut batch = writer.batch();
    for handle in handles {
        batch.publish(handle, &set(n), Standing::FRESH, &[n as u8; 24]).expect("there is room");
    }
    batch.commit();
    if n.is_multiple_of(3) {
        let name = format!("comes-and-goes-{}-with-a-long-name", n % 4);
        let handle = writer.add(&name).expect("there is room");
        writer.publish(handle, &set(n), Standing::FRESH, b"").expect("there is room");
        writer.remove(&name);
    }
}

/// The writer process: takes over, says so, publishes until it is killed.
#[test]
fn writer_process() {
    // Without the variable this is not that process, and there is nothing to do.
    let Some(path) = std::env::var_os(SEGMENT) else { return };
    let mut owned = OwnedSegment::acquire(Path::new(&path), &CAPACITY).expect("its predecessor is dead");
    let mut writer = owned.writer().expect("it is whole");
    let mut n = newest(&writer.reader()).unwrap_or(0);
    // Before it says so: the reader looks for them from then on, however soon this process is killed.
    let _ = NAMES.map(|name| writer.add(name).expect("there is room"));
    eprint!("+");
    loop {
        n += 1;
        publish(&mut writer, n);
    }
}

fn newest(reader: &resolver_core::Reader<'_>) -> Option<u64> {
    NAMES.iter().filter_map(|name| Some(reader.resolve(reader.service(name)?).ok()?.id())).max()
}

/// Kills what it holds when a test ends early.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(path: &Path) -> Killed {
    let program = std::env::current_exe().expect("this binary");
    let mut command = Command::new(program);
    command.args(["--exact", "writer_process", "--nocapture"]).env(SEGMENT, path);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = Killed(child.expect("this binary can be started"));
    // It says one byte when it is about to publish.
    let mut said = [0];
    child
        .0
        .stderr
        .as_mut()
        .expect("it is piped")
        .read_exact(&mut said)
        .expect("the writer took the segment over");
    assert_eq!(&said, b"+", "the writer did not take the segment over");
    child
}

/// Counts torn answers of every kind.
fn torn(reader: &resolver_core::Reader<'_>) -> u64 {
    let mut torn = 0;
    for name in NAMES {
        let handle = reader.service(name).expect("it was added by the first writer");
        let resolved = match reader.resolve(handle) {
            Ok(resolved) => resolved,
            Err(ResolveError::Never) => continue,
            Err(error) => panic!("{name}: {error}"),
        };
        let n = resolved.id();
        let address = SocketAddr::from((Ipv4Addr::from_bits(n as u32), n as u16));
        torn += u64::from(resolved.address().socket_addr() != address || resolved.tags() != !n);
        torn += u64::from(resolved.endpoints() != n as usize % 8 + 1);
        let walk: Result<Vec<_>, _> = reader.set(handle).expect("it has a set").into_iter().collect();
        let walk = walk.expect("the writer is dead: nothing changes");
        torn += u64::from(
            walk.iter().any(|endpoint| endpoint.id() != n || endpoint.address().socket_addr() != address),
        );
        let mut text = [0; 24];
        torn += u64::from(reader.text(handle, &mut text) != Ok(24) || text != [n as u8; 24]);
    }
    torn
}

#[test]
fn a_killed_writer_leaves_nothing_torn() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("main.seg");
    let mut segment: Option<Segment> = None;
    let (mut last, mut mid_write, mut repaired, mut lookups) = (0, 0, 0, 0u64);
    for kill in 0..KILLS {
        let mut writer = start(&path);
        let segment = segment.get_or_insert_with(|| Segment::open(&path).expect("it can be read"));
        let reader = segment.reader();
        // A different moment each time, without a clock: so many lookups under the publishing writer.
        for _ in 0..(kill % 17) * 97 {
            if let Some(handle) = reader.service(NAMES[0]) {
                lookups += u64::from(reader.resolve(handle).is_ok());
            }
        }
        writer.0.kill().expect("it runs");
        writer.0.wait().expect("it was killed");
        drop(writer);
        // Readers see whole records before anything is repaired, and after.
        assert_eq!(torn(&reader), 0, "after kill {kill}, before the takeover");
        let before = newest(&reader);
        let owned = OwnedSegment::acquire(&path, &CAPACITY).expect("its owner is dead");
        assert_eq!(owned.origin(), Origin::TakenOver, "kill {kill}");
        assert_eq!(torn(&reader), 0, "after kill {kill}, after the takeover");
        let after = newest(&reader);
        assert!(before <= after && Some(last) <= after, "back in time after kill {kill}");
        let all: Vec<_> =
            NAMES.iter().filter_map(|name| reader.resolve(reader.service(name)?).ok()).collect();
        assert!(
            all.iter().all(|resolved| Some(resolved.id()) == after),
            "kill {kill}: half of a batch is visible"
        );
        last = after.unwrap_or(0);
        repaired += owned.repaired();
        mid_write += u32::from(owned.repaired() > 0);
        assert!(segment.is_current());
    }
    eprintln!(
        "{KILLS} kills, {last} publications, {lookups} lookups beside them; {mid_write} kills landed within a publication \
         ({repaired} cells repaired); 0 torn, 0 failed takeovers"
    );
    assert!(last > u64::from(KILLS), "the writers hardly published");
    assert!(mid_write > 0, "no kill landed within a publication: this showed nothing");
}
