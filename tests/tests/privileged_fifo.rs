//! A reader of real-time priority on the writer's own core: it takes the core from the writer in the middle of a publication,
//! and the writer gets it back only when the reader sleeps. A reader that waits for the writer would wait for ever.
//!
//! Nothing is timed by the wall: that no read waited is seen by the writer, which has not moved meanwhile. Two processes, both
//! this test binary again: the writer in the ordinary class, the reader under `SCHED_FIFO` (util-linux's chrt,
//! prlimit and taskset), and ended by the kernel where it goes on for too long without a sleep.

#![allow(clippy::print_stdout, reason = "the other process answers on its standard output")]

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use resolver_core::pick::{RoundRobin, Weighted};
use resolver_core::{
    Capacity, Endpoint, Handle, Name, OwnedSegment, Reader, ResolveError, Segment, Standing, Writer,
};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use rustix::time::{ClockId, clock_gettime};

const WRITER: &str = "RESOLVER_TEST_FIFO_WRITER";
const READER: &str = "RESOLVER_TEST_FIFO_READER";
/// Set for a reader of a writer that is stopped.
const STOPPED: &str = "RESOLVER_TEST_FIFO_STOPPED";
const PATIENCE: Duration = Duration::from_secs(60);
const PRIORITY: &str = "50";
/// Microseconds of its own processor time that the reader may use between two sleeps; then the kernel ends it. A burst has 500
/// times as much as it needs.
const OWN_TIME: &str = "--rttime=500000:500000";

const SERVICES: usize = 32;
const CAPACITY: Capacity = Capacity { services: 32, endpoints: 128, configs: 0, text_bytes: 8 };
/// Times that the reader takes the core from the writer, at least and at most; so many with a half-written line are wanted.
const BURSTS: (u64, u64) = (1000, 200_000);
const WANTED: u64 = 40;
/// Looks at a half-written line, in the hope that it is whole at last: what a reader that waits would do.
const HOPE: usize = 2000;

fn name(service: usize) -> String {
    format!("s{service}")
}

/// Everything in a record says `n`.
fn address(service: usize, n: u64) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from_bits((n as u32) << 8 | service as u32), n as u16))
}

/// All services in one batch: of its time the larger part is that in which it lands.
fn publish(writer: &mut Writer<'_>, handles: &[Handle], n: u64) {
    let set = |service| [Endpoint::new(address(service, n)).with_id(n).with_tags(!n); 2];
    let sets: Vec<_> = (0..SERVICES).map(set).collect();
    let mut batch = writer.batch();
    for (handle, set) in handles.iter().zip(&sets) {
        batch.publish(*handle, set, Standing::FRESH, &n.to_le_bytes()).expect("there is room");
    }
    batch.commit();
}

#[test]
fn writer_process() {
    // Without the variable this is not that process, and there is nothing to do.
    let Some(path) = std::env::var_os(WRITER) else { return };
    let mut owned = OwnedSegment::acquire(Path::new(&path), &CAPACITY).expect("nobody owns it");
    let mut writer = owned.writer().expect("it is new");
    let handles: Vec<_> =
        (0..SERVICES).map(|service| writer.add(&name(service)).expect("there is room")).collect();
    publish(&mut writer, &handles, 1);
    println!("+");
    for n in 2.. {
        publish(&mut writer, &handles, n);
    }
}

/// One burst of reads: every service in every form. How many reads; each gave a whole answer.
fn burst(reader: &Reader<'_>, handles: &[Handle], names: &[String]) -> u64 {
    for (service, handle) in handles.iter().enumerate() {
        let resolved = reader.resolve(*handle).expect("an answer, and not Busy: nobody writes now");
        let n = resolved.id();
        assert_eq!((resolved.address().socket_addr(), resolved.tags()), (address(service, n), !n), "torn");
        assert_eq!(reader.resolve_name(&Name::new(&names[service])), Ok(resolved));
        assert_eq!(reader.cached(*handle).resolve(reader), Ok(resolved));
        let set = reader.set(*handle).expect("an answer");
        assert!(set.into_iter().all(|endpoint| endpoint.is_ok_and(|endpoint| endpoint.id() == n)), "torn");
        let picked = [RoundRobin::new().pick(reader, *handle), Weighted::new(n).pick(reader, *handle)];
        assert!(picked.iter().all(|endpoint| endpoint.is_ok_and(|endpoint| endpoint.id() == n)), "torn");
        let mut text = [0; 8];
        assert_eq!((reader.text(*handle, &mut text), u64::from_le_bytes(text)), (Ok(8), n));
    }
    let mut all = [Err(ResolveError::Busy); SERVICES];
    reader.together(handles, &mut all).expect("an answer");
    let first = all[0].as_ref().map(|resolved| resolved.id());
    assert!(
        all.iter().all(|answer| answer.as_ref().map(|resolved| resolved.id()) == first),
        "half of a batch"
    );
    handles.len() as u64 * 7 + 1
}

/// What this thread has used of the processor.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("it only grows")
}

/// So many reads of one service, in this thread's own time.
fn time_of_reads(reader: &Reader<'_>, handle: Handle) -> f64 {
    let before = processor_time();
    for _ in 0..500 {
        assert!(std::hint::black_box(reader.resolve(handle)).is_ok());
    }
    (processor_time() - before).as_secs_f64()
}

#[test]
fn reader_process() {
    let Some(path) = std::env::var_os(READER) else { return };
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("/proc is there");
    // "PID (NAME) STATE ...": of the fields after the name, the 38th is the real-time priority, the 39th the class.
    let fields: Vec<&str> = stat.rsplit_once(')').expect("it has a name").1.split_whitespace().collect();
    assert_eq!((fields[37], fields[38]), (PRIORITY, "1"), "this is not SCHED_FIFO");
    let is_stopped = std::env::var_os(STOPPED).is_some();
    let segment = Segment::open(Path::new(&path)).expect("it can be read");
    let reader = segment.reader();
    let names: Vec<_> = (0..SERVICES).map(name).collect();
    let handles: Vec<_> = names.iter().map(|name| reader.service(name).expect("it was added")).collect();
    let is_odd = |handle: &Handle| reader.resolve(*handle).is_ok_and(|resolved| resolved.seq() & 1 == 1);

    let (mut reads, mut moved, mut landing, mut half, mut hopeless) = (0u64, 0u64, 0u64, 0u64, 0u64);
    let mut ratios = Vec::new();
    let start = reader.epoch();
    let mut bursts = 0;
    while bursts < BURSTS.0 || (half < WANTED && bursts < BURSTS.1) {
        // The core is the writer's now, until the timer takes it away: at another instruction each time.
        std::thread::sleep(Duration::from_nanos(20_000 + bursts * 617 % 50_000));
        bursts += 1;
        let epoch = reader.epoch();
        landing += u64::from(epoch & 1 == 1);
        let odd = handles.iter().copied().find(is_odd);
        reads += burst(&reader, &handles, &names);
        if let Some(odd) = odd {
            half += 1;
            let even =
                handles.iter().copied().find(|handle| !is_odd(handle)).expect("one is written at a time");
            ratios.push(time_of_reads(&reader, odd) / time_of_reads(&reader, even));
            reads += 1000;
            hopeless += u64::from((0..HOPE).all(|_| is_odd(&odd)));
        }
        moved += u64::from(reader.epoch() != epoch);
        // Were the scheduler to take the core away from the reader, it would be after most of a second without a pause.
        assert!(
            moved * 100 <= bursts.max(BURSTS.0),
            "the writer moved while it had no core: reads waited for it"
        );
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios.get(ratios.len() / 2).copied().unwrap_or(0.0);
    println!(
        "{bursts} bursts, {reads} reads: {landing} bursts while a batch was landing, {half} with a half-written line, in {hopeless} \
         of which it stayed so for {HOPE} looks; the writer moved in {moved} bursts; a half-written service takes {ratio:.2} \
         times as long as a whole one",
    );
    assert!(half > 0, "no line was half written: this showed nothing");
    assert!(hopeless * 100 >= half * 99, "a half-written line became whole without its writer");
    assert!(ratio < 8.0, "reads of a half-written line take {ratio} times as long as of a whole one");
    assert_eq!(
        reader.epoch() == start,
        is_stopped,
        "the writer is stopped, or it gets somewhere between the bursts"
    );
}

/// A process that ends with its value.
struct Other {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Other {
    /// Runs a test of this binary by these programs, on one core.
    fn start(by: &[&str], core: usize, test: &str, variables: &[(&str, &str)]) -> Self {
        let program = std::env::current_exe().expect("this binary");
        let core = core.to_string();
        let mut words: Vec<&str> = by.to_vec();
        words.extend(["taskset", "-c", &core]);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(program).args(["--exact", test, "--nocapture"]);
        command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("util-linux's chrt, prlimit and taskset are needed");
        let said = BufReader::new(child.stdout.take().expect("it is piped"));
        Other { child, said }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The next line that begins or ends like this; the test harness says some of its own.
    fn line(&mut self, is_it: impl Fn(&str) -> bool) -> Option<String> {
        self.said.by_ref().lines().map(|line| line.expect("it speaks in lines")).find(|line| is_it(line))
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last core that this process may use.
fn core() -> usize {
    let cores = rustix::thread::sched_getaffinity(None).expect("it can be asked for");
    (0..rustix::thread::CpuSet::MAX_CPU).rfind(|core| cores.is_set(*core)).expect("there is one")
}

fn writer(path: &str) -> Other {
    let mut writer = Other::start(&[], core(), "writer_process", &[(WRITER, path)]);
    writer.line(|line| line.ends_with('+')).expect("the writer got the segment");
    writer
}

/// Runs the reader to its end, and shows what it said.
fn read(path: &str, more: &[(&str, &str)]) {
    let variables = [&[(READER, path)], more].concat();
    let mut reader =
        Other::start(&["prlimit", OWN_TIME, "chrt", "-f", PRIORITY], core(), "reader_process", &variables);
    let report = reader.line(|line| line.contains(" bursts, "));
    let status = reader.child.wait().expect("it ends");
    assert!(status.success(), "the reader failed ({status}); it said {report:?}");
    eprintln!("{}", report.expect("it says what it saw"));
}

#[test]
fn privileged_a_real_time_reader_that_preempts_the_writer_waits_for_nothing() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("main.seg").display().to_string();
    let _writer = writer(&path);
    read(&path, &[]);
}

#[test]
fn privileged_a_real_time_reader_of_a_stopped_writer_waits_for_nothing() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("main.seg").display().to_string();
    let writer = writer(&path);
    let segment = Segment::open(&path).expect("it can be read");
    let reader = segment.reader();
    let deadline = Instant::now() + PATIENCE;
    loop {
        kill_process(writer.pid(), Signal::STOP).expect("it runs");
        let (_, status) =
            waitpid(Some(writer.pid()), WaitOptions::UNTRACED).expect("a child").expect("it is there");
        assert!(status.stopped(), "the writer died");
        if segment.inspect().repair.half_written > 0 {
            break;
        }
        assert!(Instant::now() < deadline, "no stop was within a publication");
        let epoch = reader.epoch();
        kill_process(writer.pid(), Signal::CONT).expect("it is stopped");
        while reader.epoch() == epoch && Instant::now() < deadline {
            std::hint::spin_loop();
        }
    }
    read(&path, &[(STOPPED, "1")]);
}
