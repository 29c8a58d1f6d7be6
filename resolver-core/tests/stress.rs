//! One writer thread without pause, readers beside it: every answer must be one publication's, and never an older one
//! than the last. A control that reads without the protocol must be caught by the same check.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use resolver_core::{Capacity, Endpoint, Handle, Reader, ResolveError, Standing, Table, WalkError, heap};

const CAPACITY: Capacity = Capacity { services: 2, endpoints: 4, configs: 0, text_bytes: 64 };
const TIME: Duration = Duration::from_millis(300);

/// The set of the `n`th publication: everything in it says `n`.
fn set(n: u64, size: usize) -> Vec<Endpoint> {
    let address = SocketAddr::from((Ipv4Addr::from_bits(n as u32), n as u16));
    vec![Endpoint::new(address).with_id(n).with_tags(!n).with_weight(n as u32); size]
}

fn is_whole(address: SocketAddr, id: u64, tags: u64) -> bool {
    address == SocketAddr::from((Ipv4Addr::from_bits(id as u32), id as u16)) && tags == !id
}

/// What one reader thread counted.
#[derive(Default, Debug)]
struct Counts {
    reads: u64,
    torn: u64,
    back: u64,
    walks: u64,
    changed: u64,
    texts: u64,
    busy: u64,
}

fn read(reader: Reader<'_>, handles: [Handle; 2], stop: &AtomicBool) -> Counts {
    let mut counts = Counts::default();
    let mut cached = reader.cached(handles[0]);
    let (mut last, mut last_together) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        for from_cache in [false, true] {
            match if from_cache { cached.resolve(&reader) } else { reader.resolve(handles[0]) } {
                Ok(resolved) => {
                    let address = resolved.address().socket_addr();
                    counts.torn += u64::from(!is_whole(address, resolved.id(), resolved.tags()));
                    counts.back += u64::from(resolved.id() < last);
                    last = resolved.id();
                }
                Err(error) => {
                    assert_eq!(error, ResolveError::Busy);
                    counts.busy += 1;
                }
            }
            counts.reads += 1;
        }
        if let Ok(set) = reader.set(handles[0]) {
            counts.walks += 1;
            let size = set.len();
            let mut ids = Vec::with_capacity(4);
            for endpoint in set {
                match endpoint {
                    Ok(endpoint) => {
                        let address = endpoint.address().socket_addr();
                        let whole = is_whole(address, endpoint.id(), endpoint.tags());
                        counts.torn += u64::from(!whole || endpoint.weight() != endpoint.id() as u32);
                        counts.torn += u64::from(endpoint.generation() != set.generation());
                        ids.push(endpoint.id());
                    }
                    Err(WalkError::Changed) => counts.changed += 1,
                }
            }
            counts.torn += u64::from(ids.iter().any(|id| *id != ids[0] || *id as usize % 4 + 1 != size));
        }
        // Both services are published in one batch, with the same number.
        let mut both = [Err(ResolveError::Busy); 2];
        if reader.together(&handles, &mut both).is_ok() {
            let [Ok(a), Ok(b)] = both else { panic!("{both:?}") };
            counts.torn += u64::from(a.id() != b.id());
            counts.back += u64::from(a.id() < last_together);
            last_together = a.id();
        }
        let mut text = [0; 40];
        if let Ok(length) = reader.text(handles[1], &mut text) {
            counts.texts += 1;
            counts.torn += u64::from(
                text[..length].iter().any(|byte| *byte != text[0]) || length != 16 + text[0] as usize % 16,
            );
        }
    }
    counts
}

#[test]
fn nothing_is_torn_and_nothing_goes_back() {
    let memory = heap(CAPACITY.lines());
    let (mut writer, reader) = Table::create(&memory, &CAPACITY, 1).expect("it fits").split();
    let handles = ["a", "b"].map(|name| writer.add(name).expect("there is room"));
    let mut n = 0;
    let mut publish = || {
        n += 1;
        let mut batch = writer.batch();
        batch.publish(handles[0], &set(n, n as usize % 4 + 1), Standing::FRESH, b"").expect("there is room");
        let text = [n as u8; 40];
        let text = &text[..16 + n as usize % 16];
        batch.publish(handles[1], &set(n, 1), Standing::FRESH, text).expect("there is room");
        batch.commit();
        n
    };
    publish();
    let stop = AtomicBool::new(false);
    let (counts, publications) = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| read(reader, handles, &stop))).collect();
        let end = Instant::now() + TIME;
        let mut published = 0;
        while Instant::now() < end {
            for _ in 0..100 {
                published = publish();
            }
        }
        stop.store(true, Ordering::Relaxed);
        let counts: Vec<Counts> =
            readers.into_iter().map(|reader| reader.join().expect("no panic")).collect();
        (counts, published)
    });
    eprintln!("{publications} publications; {counts:?}");
    assert!(publications > 1000);
    for counts in counts {
        assert!(counts.reads > 100 && counts.walks > 0 && counts.texts > 0, "{counts:?}");
        assert_eq!((counts.torn, counts.back), (0, 0), "{counts:?}");
    }
    assert_eq!(reader.resolve(handles[0]).map(|resolved| resolved.id()), Ok(publications));
}

/// The control: words without a sequence. The check that found nothing above must find these.
#[test]
fn the_check_finds_torn_records() {
    let words: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
    let write = |n: u64| {
        words[0].store(u64::from(n as u32) << 16 | u64::from(n as u16), Ordering::Relaxed);
        words[1].store(n, Ordering::Relaxed);
        words[2].store(!n, Ordering::Relaxed);
    };
    write(1);
    let stop = AtomicBool::new(false);
    let torn = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 1;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                write(n);
            }
        });
        // On a busy machine it can take a while until both threads run at once.
        let end = Instant::now() + Duration::from_secs(30);
        let mut torn = 0;
        while torn == 0 && Instant::now() < end {
            for _ in 0..10_000 {
                let [address, id, tags] = [0, 1, 2].map(|word| words[word].load(Ordering::Relaxed));
                let address = SocketAddr::from((Ipv4Addr::from_bits((address >> 16) as u32), address as u16));
                torn += u64::from(!is_whole(address, id, tags));
            }
        }
        stop.store(true, Ordering::Relaxed);
        torn
    });
    eprintln!("{torn} torn reads without a sequence");
    assert!(torn > 0, "the check cannot see a torn record");
}
