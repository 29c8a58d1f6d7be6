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
use resolver_core::{Capacity, Endpoint, Reader, Standing};

use crate::bench::{Bench, Load};

/// Tables that no cache holds: batches long enough for some hundred reads.
const LARGE: Plan = Plan { batch: std::time::Duration::from_micros(100), rounds: 400, warm_up: 0 };
/// Tables that fit the second cache.
const SMALL: usize = 1024;
const SPEEDS: [(&str, Option<u64>); 4] =
    [("1k/s", Some(1_000)), ("100k/s", Some(100_000)), (FAST, Some(1_000_000)), ("unthrottled", None)];
/// The one that quick runs and large tables have.
const FAST: &str = "1M/s";
/// Endpoints of the service that is balanced.
const BACKENDS: usize = 8;

/// By handle and by name, for one number of services.
pub(crate) fn services(bench: &mut Bench, count: u32) {
    if !bench.may_want(count) {
        return;
    }
    // A large table has the room of its services and no more: two of them are in memory, and the peers' beside it.
    let endpoints = if count > SMALL as u32 { count } else { 2 * count };
    let memory = Memory::of(Capacity { services: count, endpoints, configs: 0, text_bytes: 0 });
    let services = Services::new(&memory);
    let with_peers = !bench.options.quick;
    let mut field = Field {
        services: count as usize,
        all: Places::all(&services),
        one: Places::one(&services, WRITTEN),
        floors: Floors::new(&services.handles),
        cells: with_peers.then(|| Cells::new(count as usize)),
        maps: with_peers.then(|| Maps::new(&services.names)),
        reader: services.reader,
        writer: WriterOf::new(services.writer, services.handles),
    };
    field.idle(bench);
    for (speed, per_second) in SPEEDS {
        if speed == FAST || field.is_small() && with_peers {
            field.written(bench, speed, per_second);
        }
    }
}

/// All that is read, for one number of services.
struct Field<'m> {
    services: usize,
    reader: Reader<'m>,
    writer: WriterOf<'m>,
    all: Places,
    one: Places,
    floors: Floors,
    cells: Option<Cells>,
    maps: Option<Maps>,
}

impl Field<'_> {
    fn count(&self) -> usize {
        self.services
    }

    fn is_small(&self) -> bool {
        self.count() <= SMALL
    }

    fn key(&self, table: &'static str, form: Form, writer: &str) -> Key {
        Key { table, form: form.name(), services: self.count(), writer: writer.to_owned() }
    }

    /// With nobody writing.
    fn idle(&mut self, bench: &mut Bench) {
        let plan = if self.is_small() { Plan::IDLE.warmed(self.count() as u64) } else { LARGE };
        for form in [Form::Throughput, Form::Dependent] {
            let path = Walk::new(form, self.count());
            let (by_handle, by_name) =
                (self.key(table::HANDLE, form, IDLE), self.key(table::NAME, form, IDLE));
            let Field { reader, writer, all, floors, cells, maps, .. } = &mut *self;
            let mut subjects = floors.subjects(path, all);
            subjects.extend(ours::by_handle(path, *reader, writer, all));
            subjects.extend(cells.iter_mut().flat_map(|cells| cells.subjects(path, &all.indices)));
            bench.idle(by_handle, plan, subjects);
            let texts = all.texts();
            let mut subjects = ours::by_name(path, *reader, writer, &texts);
            subjects.extend(maps.iter_mut().flat_map(|maps| maps.subjects(path, &texts, &all.indices)));
            bench.idle(by_name, plan, subjects);
        }
        if self.count() == SMALL {
            let path = Walk::new(Form::Throughput, SMALL);
            let mut subjects = vec![ours::one_cached(path, self.reader, self.one.handles[0])];
            subjects.extend(self.cells.iter().flat_map(|cells| cells.one_cached(path)));
            let key = Key { services: 1, ..self.key(table::ONE, Form::Throughput, IDLE) };
            bench.idle(key, Plan::IDLE, subjects);
        }
    }

    /// Beside a writer: to the one service that is read, and to all in turn. A large table would have to be read for minutes
    /// before a write to one service showed.
    fn written(&mut self, bench: &mut Bench, speed: &str, per_second: Option<u64>) {
        let count = self.count();
        // What peers need to be seen in full: others' writes, and as many as a test can ask for.
        let with_peers = count == SMALL && per_second.is_none_or(|writes| writes >= 1_000_000);
        for spread in [false, true] {
            if !spread && !self.is_small() {
                continue;
            }
            let load = || Load {
                rate: per_second.map_or_else(Rate::unthrottled, Rate::new),
                only: (!spread).then_some(WRITTEN),
            };
            let writes = format!("{speed} {}", if spread { "spread" } else { "same" });
            for form in [Form::Throughput, Form::Dependent] {
                let path = Walk::new(form, count);
                let keys = [table::HANDLE, table::NAME].map(|table| self.key(table, form, &writes));
                let [by_handle, by_name] = keys;
                let Field { reader, writer, all, one, floors, cells, maps, .. } = &mut *self;
                let places = if spread { &*all } else { &*one };
                let mut subjects = floors.subjects(path, places);
                subjects.extend(ours::by_handle(path, *reader, writer, places));
                let cells = cells.iter_mut().filter(|_| with_peers);
                subjects.extend(cells.flat_map(|cells| cells.subjects(path, &places.indices)));
                bench.written(by_handle, path, subjects, &load());
                if form == Form::Throughput {
                    let texts = places.texts();
                    let mut subjects = ours::by_name(path, *reader, writer, &texts);
                    let maps = maps.iter_mut().filter(|_| with_peers);
                    subjects.extend(maps.flat_map(|maps| maps.subjects(path, &texts, &places.indices)));
                    bench.written(by_name, path, subjects, &load());
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
    let keys = Vec::from_iter(0..1024);
    let mut subjects = vec![ours::picks(path, services.reader, handle)];
    subjects.extend(balancers.iter().flat_map(|balancers| balancers.subjects(path, &keys)));
    let key = Key { table: table::BALANCE, form: "throughput", services: 1, writer: IDLE.into() };
    bench.idle(key, Plan::IDLE, subjects);
}
