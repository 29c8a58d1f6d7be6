//! How long a read takes, in instructions, while its writer is stopped: at each turn that a publication takes, a
//! reader is single-stepped through a read of the service that is being written. No clock and no scheduler has a say in it.

use std::hint::black_box;

use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use resolver_core::pick::Weighted;
use resolver_core::{Handle, Name, OwnedSegment, Reader, ResolveError, Segment};

use super::alone;
use super::steps::{Action, Stepped, on_one_core};
use super::truth::{self, CAPACITY, SERVICES, TOGETHER};
use super::writer::Forked;

type Form = (&'static str, fn(&Reader<'_>, Handle, &str));

const FORMS: [Form; 7] = [
    ("nothing", |_, _, _| {}),
    ("resolve", |reader, handle, _| _ = black_box(reader.resolve(handle))),
    ("by name", |reader, _, name| _ = black_box(reader.resolve_name(&Name::new(name)))),
    ("address", |reader, handle, _| _ = black_box(reader.resolve_address(handle))),
    ("pick", |reader, handle, _| _ = black_box(Weighted::new(1).pick(reader, handle))),
    ("text", |reader, handle, _| {
        let mut text = [0; 8];
        let _ = black_box(reader.text(handle, &mut text));
    }),
    ("together", |reader, handle, _| {
        let mut all = [Err(ResolveError::Busy); 2];
        let _ = black_box(reader.together(&[handle, handle], &mut all));
        assert!(all[0].is_ok());
    }),
];

/// Instructions of one read, with its marks.
fn steps_of(form: &Form, reader: &Reader<'_>, handle: Handle, name: &str) -> u64 {
    let forked = Forked::start(|| {
        ptrace::traceme().expect("it can be traced");
        raise(Signal::SIGSTOP).expect("the mark before");
        form.1(reader, handle, name);
        raise(Signal::SIGSTOP).expect("the mark after");
    });
    let stopped = waitpid(forked.pid(), None).expect("it is a child");
    assert_eq!(stopped, WaitStatus::Stopped(forked.pid(), Signal::SIGSTOP), "the reader failed");
    for steps in 0.. {
        ptrace::step(forked.pid(), None).expect("it is stopped");
        match waitpid(forked.pid(), None) {
            Ok(WaitStatus::Stopped(_, Signal::SIGTRAP)) => {}
            Ok(WaitStatus::Stopped(_, Signal::SIGSTOP)) => return steps,
            other => panic!("{}, step {steps}: {other:?}", form.0),
        }
        // A read that waits for its writer has no end.
        assert!(steps < 1_000_000, "{}: it does not end while the writer is stopped", form.0);
    }
    unreachable!("there is no end of numbers")
}

#[test]
fn a_read_takes_hardly_more_instructions_while_its_writer_is_stopped() {
    let _alone = alone();
    on_one_core();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("main.seg");
    let mut owned = OwnedSegment::acquire(&path, &CAPACITY).expect("it can be created");
    let mut writer = owned.writer().expect("it is new");
    (0..SERVICES).for_each(|service| truth::publish(&mut writer, service, 1));
    truth::publish_together(&mut writer, 1);
    drop(owned);
    let segment = Segment::open(&path).expect("it can be read");
    let reader = segment.reader();
    for (action, service) in [(Action::Record, 0), (Action::Batch, TOGETHER.start)] {
        let name = truth::name(service);
        let handle = reader.service(&name).expect("it was published");
        let all = || FORMS.map(|form| steps_of(&form, &reader, handle, &name));
        let whole = all();
        let (mut most, mut states, mut half) = (whole, 0, 0);
        // What a read goes by: which of the two copies is the whole one, of the service and of the batch.
        let seen = || (reader.epoch(), reader.resolve(handle).map(|resolved| resolved.seq()));
        let mut before = seen();
        let mut writer = Stepped::start(&path, action);
        while writer.step() {
            let now = seen();
            if now != before {
                let steps = all();
                most.iter_mut().zip(steps).for_each(|(most, steps)| *most = steps.max(*most));
                half += u64::from(reader.resolve(handle).is_ok_and(|resolved| resolved.seq() & 1 == 1));
                states += 1;
                before = now;
            }
        }
        eprintln!(
            "{action:?}: reads at {states} turns of the segment, {half} with the service's line half written"
        );
        let marks = whole[0];
        for ((form, whole), most) in FORMS.iter().zip(whole).zip(most).skip(1) {
            let (whole, most) = (whole - marks, most - marks);
            eprintln!(
                "  {:<10} {whole:>6} instructions, at most {most:>6} while the writer is stopped",
                form.0
            );
            // Two rounds instead of one, and the way to the second.
            assert!(
                most <= whole * 3 + 100,
                "{action:?}, {}: {most} instructions, {whole} of a whole line",
                form.0
            );
        }
        assert!(half > 0, "{action:?}: the line was never seen half written");
    }
}
