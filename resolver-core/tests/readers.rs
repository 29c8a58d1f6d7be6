//! Sixteen processes that read one segment: its memory is there once, however many map it; and how long opening takes.
//!
//! 20,000 endpoints, unless `RESOLVER_READERS_ENDPOINTS` says more: `cargo xtask soak` has a million. The readers are this very
//! test binary, started again with a variable that names the segment. What memory costs is the kernel's word: a page that
//! `n` processes have mapped counts for an `n`th in each one's PSS, and whole in each one's RSS.

#![allow(clippy::print_stdout, reason = "the other process answers on its standard output")]

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use resolver_core::shm::{SegmentOptions, Wish};
use resolver_core::{Capacity, Endpoint, OwnedSegment, Segment, Standing};

const SEGMENT: &str = "RESOLVER_TEST_READERS_SEGMENT";
const PRETOUCH: &str = "RESOLVER_TEST_READERS_PRETOUCH";
const ENDPOINTS: &str = "RESOLVER_READERS_ENDPOINTS";
const READERS: usize = 16;
/// Endpoints of each service.
const SET: u32 = 8;

fn endpoints() -> u32 {
    let Ok(text) = std::env::var(ENDPOINTS) else { return 20_000 };
    text.parse().unwrap_or_else(|_| panic!("{ENDPOINTS}={text}: not a number of endpoints"))
}

/// The kilobytes that the kernel says after these words, in one of this process's files.
fn kilobytes<'a>(lines: impl Iterator<Item = &'a str>, words: [&str; 2]) -> [u64; 2] {
    let mut found = [0; 2];
    for line in lines {
        for (found, word) in found.iter_mut().zip(words) {
            if let Some(rest) = line.strip_prefix(word) {
                *found = rest.trim().trim_end_matches(" kB").parse().expect("a number of kilobytes");
            }
        }
    }
    found
}

/// PSS and RSS of the mapping of this file, in kilobytes.
fn of_mapping(path: &Path) -> [u64; 2] {
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("/proc is there");
    let path = path.display().to_string();
    // The line that names the mapping, and those that tell of it: up to the next one that begins with an address.
    let mut lines = maps.lines().skip_while(|line| !line.ends_with(&path)).skip(1);
    let is_of_it = |line: &&str| line.split(' ').next().is_some_and(|word| word.ends_with(':'));
    kilobytes(lines.by_ref().take_while(is_of_it), ["Pss:", "Rss:"])
}

/// PSS and RSS of this whole process.
fn of_process() -> [u64; 2] {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux 4.14 has it");
    kilobytes(rollup.lines(), ["Pss:", "Rss:"])
}

/// Resolves and walks every service: each of the pages that hold them is touched. How many endpoints.
fn walk(segment: &Segment) -> u32 {
    let (reader, mut walked) = (segment.reader(), 0);
    reader.for_each(|_, handle| {
        let set = reader.set(handle).expect("it has a set");
        walked += set.into_iter().filter(|endpoint| endpoint.is_ok()).count() as u32;
        true
    });
    walked
}

/// A reader: opens, says how long that took and what a first walk took; then, when all have it, what its memory costs.
#[test]
fn reader_process() {
    // Without the variable this is not that process, and there is nothing to do.
    let Some(path) = std::env::var_os(SEGMENT).map(PathBuf::from) else { return };
    let pretouch = if std::env::var_os(PRETOUCH).is_some() { Wish::Try } else { Wish::No };
    let start = Instant::now();
    let segment =
        SegmentOptions { pretouch, ..SegmentOptions::default() }.open(&path).expect("it can be read");
    let opened = start.elapsed();
    let at_once = of_mapping(&path)[1];
    let start = Instant::now();
    let walked = walk(&segment);
    let first = start.elapsed();
    let start = Instant::now();
    assert_eq!(walk(&segment), walked);
    let second = start.elapsed();
    // The libtest harness has written its own words to the line before.
    println!("\n= {} {} {} {at_once} {walked}", opened.as_nanos(), first.as_nanos(), second.as_nanos());
    std::io::stdin().lock().read_line(&mut String::new()).expect("it is told to go on");
    let ([pss, rss], [all_pss, all_rss]) = (of_mapping(&path), of_process());
    println!("\n= {pss} {rss} {all_pss} {all_rss} 0");
    // Its pages count for all until all have looked.
    std::io::stdin().lock().read_line(&mut String::new()).expect("it is told to end");
}

struct ReaderProcess {
    child: Child,
    said: BufReader<ChildStdout>,
    told: Option<ChildStdin>,
}

impl ReaderProcess {
    fn start(path: &Path, pretouch: bool) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["--exact", "reader_process", "--nocapture"]).env(SEGMENT, path);
        if pretouch {
            command.env(PRETOUCH, "1");
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("this binary can be started");
        let said = BufReader::new(child.stdout.take().expect("it is piped"));
        let told = child.stdin.take();
        ReaderProcess { child, said, told }
    }

    fn numbers(&mut self) -> [u64; 5] {
        let mut line = String::new();
        while !line.starts_with("= ") {
            line.clear();
            let read = self.said.read_line(&mut line).expect("it speaks in lines");
            assert!(read > 0, "the reader ended before it said anything");
        }
        let mut numbers = line.split_whitespace().skip(1).map(|word| word.parse().expect("a number"));
        std::array::from_fn(|_| numbers.next().expect("five numbers"))
    }

    fn go_on(&mut self) {
        let told = self.told.as_mut().expect("it is piped");
        told.write_all(b"\n").expect("it waits for it");
    }
}

impl Drop for ReaderProcess {
    fn drop(&mut self) {
        // Without its input it ends by itself; not so where the test fails.
        drop(self.told.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(mut values: Vec<u64>) -> Duration {
    values.sort_unstable();
    Duration::from_nanos(values[values.len() / 2])
}

fn sum(values: &[[u64; 5]], at: usize) -> u64 {
    values.iter().map(|numbers| numbers[at]).sum()
}

#[test]
fn sixteen_readers_pay_for_one_copy() {
    let services = endpoints() / SET;
    let capacity = Capacity { services, endpoints: services * SET, configs: 0, text_bytes: 0 };
    let directory = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" });
    let directory = directory.expect("a directory");
    let path = directory.path().join("main.seg");
    let mut owned = OwnedSegment::acquire(&path, &capacity).expect("it can be created");
    let size = owned.size() as u64 / 1024;
    let mut writer = owned.writer().expect("it is new");
    for service in 0..services {
        let address = |place: u32| SocketAddr::from((Ipv4Addr::from_bits(service), place as u16 + 1));
        let set: Vec<Endpoint> = (0..SET).map(|place| Endpoint::new(address(place))).collect();
        let handle = writer.add(&format!("svc-{service:07}")).expect("there is room");
        writer.publish(handle, &set, Standing::FRESH, b"").expect("there is room");
    }
    // The writer's own mapping would count for one more.
    drop(owned);
    eprintln!(
        "{} endpoints, a segment of {:.1} MiB, {READERS} reader processes; medians over the readers",
        services * SET,
        size as f64 / 1024.0
    );
    for pretouch in [true, false] {
        // One after the other, so that each one's time is its own; all of them stay.
        let start = |_| {
            let mut reader = ReaderProcess::start(&path, pretouch);
            let numbers = reader.numbers();
            (reader, numbers)
        };
        let (mut readers, opened): (Vec<_>, Vec<_>) = (0..READERS).map(start).unzip();
        readers.iter_mut().for_each(ReaderProcess::go_on);
        let memory: Vec<_> = readers.iter_mut().map(ReaderProcess::numbers).collect();
        readers.iter_mut().for_each(ReaderProcess::go_on);
        let of = |at: usize| median(opened.iter().map(|numbers| numbers[at]).collect());
        let (pss, rss) = (sum(&memory, 0), sum(&memory, 1));
        let mapped = opened.iter().map(|numbers| numbers[3]).min().unwrap_or(0);
        eprintln!(
            "  {:<17} open {:>10.1?}, then a walk over all {:>9.1?}, a second one {:>9.1?}; mapped by then {mapped} KiB of {size}\n  \
             {:<17} PSS of the segment in all readers {pss} KiB, {:.3} of one copy; RSS {rss} KiB, {:.2} copies; PSS of the whole \
             processes {} KiB",
            if pretouch { "with pretouch:" } else { "without:" },
            of(0),
            of(1),
            of(2),
            "",
            pss as f64 / size as f64,
            rss as f64 / size as f64,
            sum(&memory, 2),
        );
        assert!(opened.iter().all(|numbers| numbers[4] == u64::from(services * SET)), "not all was there");
        // A page that is mapped 16 times counts for a sixteenth, rounded down, in each.
        assert!(
            pss <= size + size / 20 + 64,
            "{pss} KiB for a segment of {size} KiB: there is more than one copy"
        );
        if pretouch {
            // Else this would say nothing: each has all of it.
            assert!(rss >= size * READERS as u64, "{rss} KiB are mapped, of {READERS} times {size}");
            assert!(pss >= size * 9 / 10, "{pss} KiB of {size}: somebody else had it mapped, too");
            assert!(mapped >= size, "pretouch took no effect: {mapped} KiB of {size}");
        } else {
            assert!(mapped < size / 2, "without pretouch, {mapped} KiB of {size} were mapped at once");
        }
    }
}
