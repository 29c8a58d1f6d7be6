//! What the hot path does not do: allocate, call the system, write to shared memory. Each is shown with a control that
//! does it, and is seen.

use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use std::time::Duration;

use resolver_core::{
    Capacity, Endpoint, Handle, Name, OwnedSegment, Publication, Reason, Segment, SourceBeat, Standing,
    State, Writer,
};
use resolver_tests::hot::{FORMS, HotPath};

/// Of every form, where they are counted and not timed.
const ROUNDS: usize = 20_000;

fn endpoints(count: u16) -> Vec<Endpoint> {
    let endpoint = |port| Endpoint::new(([10, 0, 0, 1], 9000 + port).into()).with_weight(u32::from(port) + 1);
    (0..count).map(endpoint).collect()
}

/// With both tables, so that every picker finds its own.
fn publish(writer: &mut Writer<'_>, handle: Handle, set: &[Endpoint]) {
    let publication = Publication { smooth: true, maglev: 800, ..Publication::new(set, Standing::FRESH) };
    writer.publish_as(handle, &publication).expect("there is room");
}

/// Publishes without pause until told to stop.
fn churn(writer: &mut Writer<'_>, handle: Handle, stop: &AtomicBool) -> u64 {
    let sets = [endpoints(3), endpoints(8)];
    let mut publications = 0;
    while !stop.load(Ordering::Relaxed) {
        for set in &sets {
            publish(writer, handle, set);
            publications += 1;
        }
        // And what else a publisher does to a service: its standing changes, its source beats, another one comes and goes.
        for standing in [Standing { state: State::Stale, reason: Reason::Acl, source: 0 }, Standing::FRESH] {
            writer.mark(handle, standing).expect("it stands");
        }
        let age = Some(Duration::ZERO);
        writer.beat(&[SourceBeat { name: "registry", age, revision: 1, reason: Reason::None, rejected: 0 }]);
        writer.add("passing").expect("there is room");
        writer.remove("passing");
    }
    publications
}

/// Stops the writer also where the test fails: the scope waits for it.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `read` on a segment of one service, `oms`, that changes all the while. Gives the publications as well.
fn under_churn<T>(read: impl FnOnce(&std::path::Path) -> T) -> (T, u64) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("main.seg");
    let mut segment =
        OwnedSegment::acquire(&path, &Capacity { endpoints: 1024, ..Capacity::SMALL }).expect("the segment");
    let mut writer = segment.writer().expect("the writer");
    let handle = writer.add("oms").expect("there is room");
    publish(&mut writer, handle, &endpoints(3));
    let limit = writer.add_setting::<i64>("max-position").expect("there is room");
    writer.set(limit, 1_000_000, Standing::FRESH).expect("it was added");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| churn(&mut writer, handle, &stop));
        let stopping = Stop(&stop);
        let seen = read(&path);
        drop(stopping);
        (seen, publisher.join().expect("the writer does not panic"))
    })
}

/// So many rounds of everything that a router may call between two orders.
fn everything(segment: &Segment) -> usize {
    let reader = segment.reader();
    let oms = reader.find(&Name::new("oms")).expect("it is published");
    let limit = reader.setting("max-position").expect("it is published");
    let mut hot = HotPath::new(reader, oms, limit);
    (0..ROUNDS).map(|_| hot.ask("oms")).sum()
}

/// Nearly all have an answer: under churn a walk may end early, and a together may be overtaken.
fn enough(answers: usize, rounds: usize) -> bool {
    answers > rounds * FORMS / 10 * 9
}

#[test]
fn nothing_is_allocated() {
    let planted = allocation_counter::measure(|| {
        black_box(Box::new(1));
    });
    assert_eq!(planted.count_total, 1, "the counter counts");
    under_churn(|path| {
        let segment = Segment::open(path).expect("the segment");
        let mut answers = 0;
        let counted = allocation_counter::measure(|| answers = everything(&segment));
        assert!(enough(answers, ROUNDS), "{answers} answers");
        assert_eq!(counted.count_total, 0);
    });
}

#[test]
fn no_system_call_is_made() {
    let sealed = |more: &[&str]| {
        under_churn(|path| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_sealed"));
            command.arg(path).args(["oms", "1000"]).args(more);
            let output = command.output().expect("it runs");
            String::from_utf8(output.stdout).expect("text")
        })
    };
    let (said, publications) = sealed(&[]);
    let numbers: Vec<usize> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [answers, rounds] = numbers[..] else { panic!("it said {said:?}") };
    assert!(enough(answers, rounds), "{answers} answers in {rounds} rounds");
    assert!(rounds > 1_000 && publications > 1_000, "{rounds} rounds, {publications} publications");
    eprintln!(
        "{answers} answers in {rounds} rounds of {FORMS} forms without a system call, under {publications} publications"
    );
    assert_eq!(sealed(&["--plant"]).0.trim(), "sealed: killed", "a planted call is seen");
}

/// Readers map the file without write permission; what maps it is the kernel's to say.
#[test]
fn nothing_is_written() {
    under_churn(|path| {
        let segment = Segment::open(path).expect("the segment");
        assert!(enough(everything(&segment), ROUNDS));
        let maps = std::fs::read_to_string("/proc/self/maps").expect("the kernel tells");
        let name = path.to_str().expect("text");
        let modes: Vec<&str> = maps
            .lines()
            .filter(|line| line.ends_with(name))
            .filter_map(|line| line.split_whitespace().nth(1))
            .collect();
        // The writer's own mapping is in this process too.
        assert!(modes.contains(&"r--s") && modes.contains(&"rw-s"), "{modes:?}");
    });
}
