//! Tables in this process's memory: by handle, by name, one of several.

use resolver_benches::floors::Floors;
use resolver_benches::gates::{IDLE, table};
use resolver_benches::ours::{self, Places, WriterOf};
use resolver_benches::paired::Plan;
use resolver_benches::path::{Form, Path as Walk};
use resolver_benches::peers::{balancers::Balancers, cells::Cells, names::Maps};
use resolver_benches::report::Key;
use resolver_benches::stopped::WRITTEN;
use resolver_benches::writer::Rate;
use resolver_benches::{Memory, Services};
use resolver_core::{Capacity, Endpoint, Standing};

use crate::bench::{Bench, Load};

/// Tables that no cache holds: batches long enough for some hundred reads.
const LARGE: Plan = Plan { batch: std::time::Duration::from_micros(100), rounds: 400, warm_up: 0 };
const SPEEDS: [(&str, Option<u64>); 4] =
    [("1k/s", Some(1_000)), ("100k/s", Some(100_000)), ("1M/s", Some(1_000_000)), ("unthrottled", None)];
/// Endpoints of the service that is balanced.
const BACKENDS: usize = 8;

/// By handle and by name, for one number of services.
pub(crate) fn services(bench: &mut Bench, count: u32) {
    if !bench.may_want(count) {
        return;
    }
    let large = count > 1024;
    let endpoints = if large { count } else { 2 * count };
    let memory = Memory::of(Capacity { services: count, endpoints, configs: 0, text_bytes: 0 });
    let services = Services::new(&memory);
    let (all, one) = (Places::all(&services), Places::one(&services, WRITTEN));
    let Services { writer, reader, handles, names } = services;
    let writer = WriterOf::new(writer, handles.clone());
    let count = count as usize;
    let floors = Floors::new(&handles);
    let with_peers = !bench.options.quick;
    let mut cells = with_peers.then(|| Cells::new(count));
    let mut maps = with_peers.then(|| Maps::new(&names));
    let plan = if large { LARGE } else { Plan::IDLE.warmed(count as u64) };
    let key = |table, form: Form, writer: &str| Key {
        table,
        form: form.name(),
        services: count,
        writer: writer.to_owned(),
    };
    for form in [Form::Throughput, Form::Dependent] {
        let path = Walk::new(form, count);
        let mut subjects = floors.subjects(path, &all);
        subjects.extend(ours::by_handle(path, reader, &writer, &all));
        subjects.extend(cells.iter_mut().flat_map(|cells| cells.subjects(path, &all.indices)));
        bench.idle(key(table::HANDLE, form, IDLE), plan, subjects);
        let mut subjects = ours::by_name(path, reader, &writer, &all);
        subjects.extend(maps.iter_mut().flat_map(|maps| maps.subjects(path, &all.names)));
        bench.idle(key(table::NAME, form, IDLE), plan, subjects);
    }
    if count == 1024 {
        let path = Walk::new(Form::Throughput, count);
        let mut subjects = vec![ours::one_cached(path, reader, handles[WRITTEN])];
        subjects.extend(cells.iter().flat_map(|cells| cells.one_cached(path)));
        let key = Key { table: table::ONE, form: "throughput", services: 1, writer: IDLE.into() };
        bench.idle(key, Plan::IDLE, subjects);
    }
    for (speed, per_second) in SPEEDS {
        let hard = per_second.is_none_or(|writes| writes >= 1_000_000);
        if (large || bench.options.quick) && speed != "1M/s" {
            continue;
        }
        for (spread, places) in [(false, &one), (true, &all)] {
            if large && !spread {
                continue;
            }
            let load = || Load {
                rate: per_second.map_or_else(Rate::unthrottled, Rate::new),
                only: (!spread).then_some(WRITTEN),
            };
            let writes = format!("{speed} {}", if spread { "spread" } else { "same" });
            for form in [Form::Throughput, Form::Dependent] {
                let path = Walk::new(form, count);
                let mut subjects = floors.subjects(path, places);
                subjects.extend(ours::by_handle(path, reader, &writer, places));
                if hard && count == 1024 && (form == Form::Throughput || speed == "1M/s") {
                    let cells = cells.iter_mut();
                    subjects.extend(cells.flat_map(|cells| cells.subjects(path, &places.indices)));
                }
                bench.written(key(table::HANDLE, form, &writes), path, subjects, &load());
                let few = !large && speed == "1M/s" && form == Form::Throughput;
                if few {
                    let mut subjects = ours::by_name(path, reader, &writer, places);
                    let maps = maps.iter_mut().filter(|_| count == 1024);
                    subjects.extend(maps.flat_map(|maps| maps.subjects(path, &places.names)));
                    bench.written(key(table::NAME, form, &writes), path, subjects, &load());
                }
            }
        }
    }
}

/// One of several endpoints of one service.
pub(crate) fn balancers(bench: &mut Bench) {
    let memory = Memory::for_services(16);
    let mut services = Services::new(&memory);
    let endpoint = |id: usize| Endpoint::new(([10, 0, 0, id as u8 + 1], 9000).into()).with_id(id as u64);
    let set: Vec<Endpoint> = (0..BACKENDS).map(endpoint).collect();
    let handle = services.handles[0];
    services.writer.publish(handle, &set, Standing::FRESH, b"").expect("there is room for 32");
    let path = Walk::new(Form::Throughput, 1024);
    let balancers = (!bench.options.quick).then(|| Balancers::new(BACKENDS));
    let mut subjects = vec![ours::picks(path, services.reader, handle)];
    subjects.extend(balancers.iter().flat_map(|balancers| balancers.subjects(path)));
    let key = Key { table: table::BALANCE, form: "throughput", services: 1, writer: IDLE.into() };
    bench.idle(key, Plan::IDLE, subjects);
}
