//! Replicas under churn: what a thread that keeps to one of them sees, and what one that looks at two may see.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use resolver_core::{Capacity, Endpoint, Handle, Reader, ReplicatedWriter, ResolveError, Standing, heap};

const CAPACITY: Capacity = Capacity { services: 3, endpoints: 64, configs: 0, text_bytes: 0 };

/// The set of the `n`th publication: everything in it says `n`.
fn set(n: u64) -> Vec<Endpoint> {
    let address = SocketAddr::from((Ipv4Addr::from_bits(n as u32), n as u16));
    vec![Endpoint::new(address).with_id(n).with_tags(!n).with_weight(n as u32); n as usize % 4 + 1]
}

/// What a thread found wrong, and how much it has looked at.
#[derive(Debug)]
struct Found {
    torn: AtomicU64,
    back: AtomicU64,
    apart: AtomicU64,
    /// Different publications that were seen.
    moves: AtomicU64,
}

impl Found {
    const fn new() -> Self {
        let [torn, back, apart, moves] = [const { AtomicU64::new(0) }; 4];
        Found { torn, back, apart, moves }
    }

    fn add(counter: &AtomicU64, wrong: bool) {
        counter.fetch_add(u64::from(wrong), Ordering::Relaxed);
    }

    fn wrong(&self) -> [u64; 3] {
        [&self.torn, &self.back, &self.apart].map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// The number of the publication that is there; looks at the whole record and its set.
fn look(reader: &Reader<'_>, handle: Handle, found: &Found) -> Option<u64> {
    let resolved = match reader.resolve(handle) {
        Ok(resolved) => resolved,
        Err(error) => {
            assert_eq!(error, ResolveError::Busy);
            return None;
        }
    };
    let n = resolved.id();
    let address = SocketAddr::from((Ipv4Addr::from_bits(n as u32), n as u16));
    Found::add(&found.torn, resolved.address().socket_addr() != address || resolved.tags() != !n);
    if let Ok(set) = reader.set(handle) {
        // An error is a walk that was overtaken, and says so.
        let ids: Vec<u64> = set.into_iter().map_while(Result::ok).map(|endpoint| endpoint.id()).collect();
        let whole = ids.iter().all(|id| *id == ids[0] && *id as usize % 4 + 1 == set.len());
        Found::add(&found.torn, !whole);
    }
    Some(n)
}

/// A thread that keeps to its own replica.
fn keep_to(reader: Reader<'_>, handle: Handle, found: &Found, stop: &AtomicBool) {
    let mut last = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(n) = look(&reader, handle, found) else { continue };
        Found::add(&found.back, n < last);
        Found::add(&found.moves, n != last);
        last = n;
    }
}

/// A thread that looks at two: the second is never ahead of the first, nor behind by more than one operation.
fn compare(readers: [Reader<'_>; 2], handle: Handle, found: &Found, stop: &AtomicBool) {
    let mut last = 0;
    while !stop.load(Ordering::Relaxed) {
        let [first, second] = readers;
        let (Some(before), Some(then)) = (look(&second, handle, found), look(&first, handle, found)) else {
            continue;
        };
        Found::add(&found.apart, then < before);
        let (Some(before), Some(then)) = (look(&first, handle, found), look(&second, handle, found)) else {
            continue;
        };
        Found::add(&found.apart, then + 1 < before);
        Found::add(&found.moves, then != last);
        last = then;
    }
}

/// Ends the threads also where the one that publishes panics: the scope waits for them.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_thread_on_its_own_replica_sees_no_torn_and_no_older_record() {
    const MOVES: u64 = 300;
    const PATIENCE: Duration = Duration::from_secs(60);

    let memory = [(); 2].map(|()| heap(CAPACITY.lines()));
    let lines = memory.iter().map(|lines| &**lines);
    let mut writer = ReplicatedWriter::create(lines, &CAPACITY, 9).expect("they fit");
    let readers = [0, 1].map(|replica| writer.reader(replica).expect("there are two"));
    let oms = writer.add("oms").expect("there is room");
    writer.publish(oms, &set(1), Standing::FRESH, b"").expect("there is room");

    let found = [const { Found::new() }; 3];
    let stop = AtomicBool::new(false);
    let published = std::thread::scope(|threads| {
        threads.spawn(|| keep_to(readers[0], oms, &found[0], &stop));
        threads.spawn(|| keep_to(readers[1], oms, &found[1], &stop));
        threads.spawn(|| compare(readers, oms, &found[2], &stop));
        let _end = StopAtEnd(&stop);
        let begun = Instant::now();
        let mut n = 1;
        while found.iter().any(|found| found.moves.load(Ordering::Relaxed) < MOVES) {
            n += 1;
            // Every other one in a batch, which is one operation too.
            if n % 2 == 0 {
                writer.publish(oms, &set(n), Standing::FRESH, b"").expect("there is room");
            } else {
                let mut batch = writer.batch();
                batch.publish(oms, &set(n), Standing::FRESH, b"").expect("there is room");
                batch.commit();
            }
            if begun.elapsed() > PATIENCE {
                break;
            }
        }
        n
    });
    for found in &found {
        assert_eq!(found.wrong(), [0; 3], "torn, back, apart; of {published}: {found:?}");
        let moves = found.moves.load(Ordering::Relaxed);
        assert!(moves >= MOVES, "{published} publications in {PATIENCE:?}, and {moves} were seen");
    }
    assert_eq!(writer.first_difference(), None);
}
