//! The soak: a writer process that publishes without pause to a segment, and a reader in another process that asks in every
//! form. Every record says by itself whether it is whole; a control that reads the same lines without their sequences is
//! seen torn by the same check. In the last fifth of the time the writer is killed again and again, and started anew.
//!
//! Two seconds long, unless `RESOLVER_SOAK_SECONDS` says more: `cargo xtask soak` does.

mod reader;
mod record;
mod writer;

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reader::{Form, Seen};
use resolver_core::{Line, OwnedSegment, Segment, Standing, Table, heap};

const SEGMENT: &str = "RESOLVER_TEST_SOAK_WRITER";
const SECONDS: &str = "RESOLVER_SOAK_SECONDS";

/// The writer process: takes over, says so, publishes until it is killed.
#[test]
fn writer_process() {
    // Without the variable this is not that process, and there is nothing to do.
    let Some(path) = std::env::var_os(SEGMENT) else { return };
    let mut owned = OwnedSegment::acquire(Path::new(&path), &record::CAPACITY).expect("no other owner lives");
    let repaired = owned.repaired();
    let mut writer = owned.writer().expect("it is whole");
    let mut n = writer::begin(&mut writer);
    eprintln!("+{repaired}");
    loop {
        n += 1;
        writer::publish(&mut writer, n);
    }
}

/// The writer process; it ends with this value.
struct Publisher {
    child: Child,
    /// Cells that its predecessor had left half written.
    repaired: u64,
    _said: BufReader<ChildStderr>,
}

impl Publisher {
    fn start(path: &Path) -> Publisher {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["--exact", "writer_process", "--nocapture"]).env(SEGMENT, path);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("this binary can be started");
        let mut said = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it says that it publishes");
        let repaired = line.trim().strip_prefix('+').and_then(|number| number.parse().ok());
        let Some(repaired) = repaired else {
            let _ = (child.kill(), child.wait());
            panic!("the writer did not take the segment over: {line:?}");
        };
        Publisher { child, repaired, _said: said }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Stops a thread also where the test fails: the scope waits for it.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Deaths {
    kills: u64,
    /// Kills after which there was something to repair.
    within: u64,
    repaired: u64,
}

fn seconds() -> u64 {
    let Ok(text) = std::env::var(SECONDS) else { return 2 };
    text.parse().unwrap_or_else(|_| panic!("{SECONDS}={text}: not a number of seconds"))
}

#[test]
fn two_processes_and_nothing_torn() {
    let time = Duration::from_secs(seconds());
    let directory = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" });
    let directory = directory.expect("a directory");
    let path = directory.path().join("soak.seg");
    let publisher = Publisher::start(&path);
    let segment = Segment::open(&path).expect("it can be read");
    let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    let (seen, deaths) = std::thread::scope(|scope| {
        let reading = scope.spawn(|| reader::read(segment.reader(), &stop, &rounds));
        let stopping = Stop(&stop);
        let deaths = oversee(&path, publisher, start, time, || reading.is_finished(), &rounds);
        drop(stopping);
        (reading.join().expect("no panic"), deaths)
    });
    let newest = record::name(0);
    let newest = segment.reader().service(newest).and_then(|handle| segment.reader().resolve(handle).ok());
    let publications = newest.expect("the group always has a set").id() >> 16;
    report(&seen, &deaths, publications, start.elapsed());
    judge(&seen, &deaths, publications);
    assert!(segment.is_current(), "a takeover made a new file");
}

/// Lets the two run; after four fifths of the time kills the writer, again and again.
fn oversee(
    path: &Path,
    publisher: Publisher,
    start: Instant,
    time: Duration,
    ended: impl Fn() -> bool,
    rounds: &AtomicU64,
) -> Deaths {
    let mut publisher = Some(publisher);
    let mut deaths = Deaths::default();
    let mut minutes = 0;
    while start.elapsed() < time && !ended() {
        if start.elapsed() < time * 4 / 5 {
            std::thread::sleep(Duration::from_millis(20));
        } else {
            // A different moment of its life each time.
            std::thread::sleep(Duration::from_micros(deaths.kills * 617 % 5_000));
            drop(publisher.take());
            let next = Publisher::start(path);
            deaths.kills += 1;
            deaths.within += u64::from(next.repaired > 0);
            deaths.repaired += next.repaired;
            publisher = Some(next);
        }
        if start.elapsed().as_secs() / 60 > minutes {
            minutes += 1;
            eprintln!("{minutes} min: {} rounds", rounds.load(Ordering::Relaxed));
        }
    }
    deaths
}

fn report(seen: &Seen, deaths: &Deaths, publications: u64, time: Duration) {
    let second = time.as_secs_f64();
    eprintln!("{:<12} {:>13} {:>11} {:>6} {:>5} {:>5}", "form", "reads", "no answer", "busy", "torn", "back");
    let mut reads = 0;
    for (form, count) in seen.counts() {
        reads += count.reads;
        let form = format!("{form:?}");
        eprintln!(
            "{form:<12} {:>13} {:>11} {:>6} {:>5} {:>5}",
            count.reads, count.without, count.busy, count.torn, count.back
        );
    }
    eprintln!(
        "{reads} reads in {} rounds, {} of which began while a batch was landing; {publications} publications ({:.0}/s) in {second:.1} s",
        seen.rounds,
        seen.landing,
        publications as f64 / second
    );
    eprintln!(
        "{} kills of the writer, {} within a publication ({} cells repaired)",
        deaths.kills, deaths.within, deaths.repaired
    );
}

fn judge(seen: &Seen, deaths: &Deaths, publications: u64) {
    assert_eq!(seen.fault, None);
    for (form, count) in seen.counts() {
        assert!(count.reads > 100, "{form:?} was hardly asked: {count:?}");
        assert_eq!((count.torn, count.back), (0, 0), "{form:?}: {count:?}");
        // Sixteen rounds are overtaken only by a reader that is taken off its core in each of them.
        assert!(count.busy * 10_000 <= count.reads, "{form:?} gave up too often: {count:?}");
    }
    assert!(publications > 1000, "{publications} publications");
    assert!(deaths.kills > 0, "the writer was never killed");
    assert!(
        deaths.kills < 200 || deaths.within > 0,
        "no kill landed within a publication: it showed nothing"
    );
}

/// The head's fields from its words, whatever its sequence says: what a reader without a protocol would do.
fn bare(line: &Line) -> (SocketAddr, u64, u64, u8) {
    let words = line.to_words();
    let [a, b, c, id, tags, _, place] = std::array::from_fn(|word| words[word + 1]);
    let ip = if c >> 48 & 0xff == 4 {
        IpAddr::V4(Ipv4Addr::from_bits(a as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(u128::from(a) << 64 | u128::from(b)))
    };
    (SocketAddr::new(ip, (c >> 32) as u16), id, tags, (place >> 32) as u8)
}

/// The control: the same records, the same check, and the line read without its sequence.
#[test]
fn the_check_sees_torn_records_without_the_sequence() {
    let memory = heap(record::CAPACITY.lines());
    let (mut writer, reader) = Table::create(&memory, &record::CAPACITY, 1).expect("it fits").split();
    let mut n = writer::begin(&mut writer);
    let handle = reader.service(record::name(0)).expect("it was added");
    // The first head lies behind the header; at rest it reads as what it is.
    let head = &memory[64];
    let whole = || {
        let (address, id, tags, tier) = bare(head);
        record::of_parts(0, address, id, tags, tier)
    };
    assert!(whole().is_some(), "this is not the first head: {:?}", head.to_words());
    let stop = AtomicBool::new(false);
    let (torn, reads) = std::thread::scope(|scope| {
        scope.spawn(|| {
            // One service alone: its line is being written as much of the time as can be.
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                let set = record::set(0, n);
                writer.publish(handle, &set, Standing::FRESH, b"").expect("there is room");
            }
        });
        let _stopping = Stop(&stop);
        // On a busy machine it can take a while until both threads run at once.
        let end = Instant::now() + Duration::from_secs(30);
        let (mut torn, mut reads) = (0, 0);
        while (torn < 10 || reads < 1_000_000) && Instant::now() < end {
            for _ in 0..10_000 {
                torn += u64::from(whole().is_none());
            }
            reads += 10_000;
        }
        (torn, reads)
    });
    eprintln!("control: {torn} of {reads} reads without the sequence were torn, and seen");
    assert!(torn > 0, "the check cannot see a torn record");
}

/// The other half of the check: an answer that is whole and old.
#[test]
fn the_check_sees_an_old_record() {
    let mut seen = Seen::default();
    assert_eq!(seen.judge(Form::Resolve, 3, Some(7), &()), Some(7));
    assert_eq!(seen.judge(Form::Resolve, 3, Some(7), &()), Some(7));
    assert_eq!(seen.judge(Form::Cached, 3, Some(6), &()), None);
    assert!(seen.fault.as_ref().is_some_and(|fault| fault.contains("back in time after 7")), "{seen:?}");
}
