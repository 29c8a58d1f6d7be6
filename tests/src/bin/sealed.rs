//! Resolves in a thread that may make no system call: `sealed SEGMENT SERVICE MILLISECONDS [--plant]`.
//!
//! The thread enters the kernel's strict mode (only `read`, `write`, `exit` and `sigreturn` are left to it; any other call
//! kills it) and asks in every form until it is told to stop. It prints `sealed: N answers in M rounds`, or `sealed: killed`. With `--plant` the
//! thread makes one large allocation first, which needs a call: the control that shows that the mode is on.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use resolver_core::Segment;
use resolver_tests::hot::HotPath;
use rustix::thread::{SecureComputingMode, set_secure_computing_mode};

/// Set by the thread before it enters the mode, and when it has counted.
static ROUNDS: AtomicU64 = AtomicU64::new(0);
static ANSWERS: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicBool = AtomicBool::new(false);
static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [segment, service, milliseconds, more @ ..] = args.as_slice() else {
        eprintln!("usage: sealed SEGMENT SERVICE MILLISECONDS [--plant]");
        return ExitCode::from(2);
    };
    let (Ok(milliseconds), Ok(segment)) = (milliseconds.parse(), Segment::open(segment)) else {
        eprintln!("sealed: the segment cannot be opened, or {milliseconds} is no number");
        return ExitCode::from(2);
    };
    // For as long as the process lives: the thread is never joined.
    let segment: &'static Segment = Box::leak(Box::new(segment));
    let service = service.clone();
    let plant = more.first().is_some_and(|arg| arg == "--plant");
    std::thread::spawn(move || resolve(segment, &service, plant));

    std::thread::sleep(Duration::from_millis(milliseconds));
    STOP.store(true, Ordering::Relaxed);
    let told = Instant::now();
    while !DONE.load(Ordering::Acquire) && told.elapsed() < Duration::from_secs(2) {
        std::thread::yield_now();
    }
    if DONE.load(Ordering::Acquire) {
        let (answers, rounds) = (ANSWERS.load(Ordering::Relaxed), ROUNDS.load(Ordering::Relaxed));
        report(&format!("sealed: {answers} answers in {rounds} rounds"));
    } else {
        report("sealed: killed");
    }
    // Ends the thread with everything else: it cannot end by itself, as that takes more calls than it has left.
    std::process::exit(0);
}

fn resolve(segment: &Segment, service: &str, plant: bool) {
    let reader = segment.reader();
    let handle = reader.service(service).expect("the service is published");
    let limit = reader.setting("max-position").expect("the setting is published");
    let mut hot = HotPath::new(reader, handle, limit);
    set_secure_computing_mode(SecureComputingMode::Strict).expect("the kernel has the mode");
    if plant {
        std::hint::black_box(vec![1u8; 64 << 20]);
    }
    let (mut answers, mut rounds) = (0, 0);
    while !STOP.load(Ordering::Relaxed) {
        answers += hot.ask(service) as u64;
        rounds += 1;
    }
    ANSWERS.store(answers, Ordering::Relaxed);
    ROUNDS.store(rounds, Ordering::Relaxed);
    DONE.store(true, Ordering::Release);
    loop {
        std::hint::spin_loop();
    }
}

#[allow(clippy::print_stdout)]
fn report(line: &str) {
    println!("{line}");
}
