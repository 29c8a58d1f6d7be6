//! Tables in a file: its writer stopped in the middle, its readers without write permission.

use resolver_benches::floors::Floors;
use resolver_benches::gates::{IDLE, table};
use resolver_benches::ours::{self, Places};
use resolver_benches::paired::{Plan, sample};
use resolver_benches::path::{Form, Path as Walk};
use resolver_benches::report::Key;
use resolver_benches::stopped::{self, MAPPED, Publisher, STOPPED, WRITTEN};
use resolver_benches::{Memory, Services};
use resolver_core::{Capacity, OwnedSegment, Segment};

use crate::bench::{Bench, RUNS};

/// Reads of a half-written service that must all be whole, in each run.
const CHECKED: u64 = 1_000_000;
/// A service that nobody writes while another is.
const RESTING: usize = 3;

/// Reads of a service whose writer, another process, is stopped in the middle of it.
pub(crate) fn stopped(bench: &mut Bench) -> Result<(), Box<dyn std::error::Error>> {
    let count = stopped::SERVICES as usize;
    let key = |form: Form| Key {
        table: table::STOPPED,
        form: form.name(),
        services: count,
        writer: "stopped".into(),
    };
    if ![Form::Throughput, Form::Dependent].into_iter().any(|form| bench.wants(&key(form))) {
        return Ok(());
    }
    let place = stopped::Place::new()?;
    let mut publisher = Publisher::start(&place.path())?;
    let segment = Segment::open(place.path())?;
    let reader = segment.reader();
    let handle = |index: usize| {
        reader.service(&format!("svc-{index:08}")).ok_or("the writer did not add its services")
    };
    let at_all = |index| {
        let handles = vec![handle(index)?; count];
        Ok::<_, &str>(Places { indices: vec![index; count], handles, names: Vec::new() })
    };
    let (written, resting) = (at_all(WRITTEN)?, at_all(RESTING)?);
    let handle = written.handles[0];
    let floors = Floors::new(&written.handles);
    for form in [Form::Throughput, Form::Dependent] {
        let path = Walk::new(form, count);
        let mut subjects = [
            floors.base(path, &written),
            ours::reads(ours::RESOLVE, path, reader, &resting.handles),
            ours::reads(STOPPED, path, reader, &written.handles),
        ];
        let rows = subjects.iter().map(|subject| (subject.case.name, subject.role)).collect();
        let mut runs = Vec::new();
        let mut checked = 0;
        for _ in 0..RUNS {
            publisher.stop_within_a_publication(handle)?;
            checked += stopped::every_read_is_whole(&reader, handle, CHECKED)?;
            runs.push(sample(Plan::IDLE, subjects.iter_mut().map(|subject| &mut subject.case), None));
            publisher.go_on()?;
        }
        println!(
            "{checked} reads beside a stopped writer ({} stops so far), every one whole\n",
            publisher.stops
        );
        bench.keep(key(form), rows, runs);
    }
    Ok(())
}

/// The same table on the heap, and in a file that is mapped without write permission.
pub(crate) fn mapped(bench: &mut Bench, count: u32) -> Result<(), Box<dyn std::error::Error>> {
    let place = stopped::Place::new()?;
    let capacity = Capacity { services: count, endpoints: 2 * count, configs: 0, text_bytes: 0 };
    let mut owned = OwnedSegment::acquire(place.path(), &capacity)?;
    let in_file = Services::fill(owned.writer()?, count);
    let segment = Segment::open(place.path())?;
    let mapped = segment.reader();
    let memory = Memory::of(capacity);
    let on_heap = Services::new(&memory);
    for form in [Form::Throughput, Form::Dependent] {
        let path = Walk::new(form, count as usize);
        let subjects = vec![
            ours::reads(ours::RESOLVE, path, on_heap.reader, &on_heap.handles),
            ours::reads(MAPPED, path, mapped, &in_file.handles),
        ];
        let key =
            Key { table: table::MAPPED, form: form.name(), services: count as usize, writer: IDLE.into() };
        bench.idle(key, Plan::IDLE, subjects);
    }
    Ok(())
}
