//! What is read: a table, and beside it the same records in lines without a protocol.

use std::net::{Ipv4Addr, SocketAddr};

use resolver_core::pick::RoundRobin;
use resolver_core::{Capacity, Endpoint, Handle, Line, Reader, Standing, Table, Writer, heap};

use super::slices::Case;
use crate::{TornLine, consume, consume_address, fold};

/// Every row's name.
pub mod row {
    /// Two readings of the clock and nothing between them: what is subtracted.
    pub const EMPTY: &str = "empty pair";
    /// The floor of a whole record.
    pub const TORN_8: &str = "torn line, 8 loads";
    /// The floor of an address.
    pub const TORN_4: &str = "torn line, 4 loads";
    /// The floor of a pick: the head's line and an endpoint's.
    pub const TORN_TWO: &str = "two torn lines";
    /// By handle.
    pub const RESOLVE: &str = "resolve";
    /// The address alone.
    pub const ADDRESS: &str = "resolve_address";
    /// A handle with a private copy.
    pub const CACHED: &str = "cached handle";
    /// One of eight.
    pub const ROUND_ROBIN: &str = "round robin";
}

/// The service that is read and written, where it is one alone.
pub const ONE: usize = 7;
/// Endpoints of a set that is picked from.
pub const EIGHT: usize = 8;

/// Memory for a [`Field`].
pub struct Memory {
    capacity: Capacity,
    lines: Box<[Line]>,
    torn: Vec<TornLine>,
    endpoints: usize,
}

impl Memory {
    /// Room for this many services with sets of this many endpoints.
    pub fn new(services: u32, endpoints: usize) -> Memory {
        let count = endpoints as u32 * services;
        let capacity = Capacity { services, endpoints: 2 * count, configs: 0, text_bytes: 0 };
        let torn = (0..services as usize * stride(endpoints)).map(|_| TornLine::default()).collect();
        Memory { lines: heap(capacity.lines()), capacity, torn, endpoints }
    }
}

/// A table with sets of one size, and torn lines with as many records.
pub struct Field<'m> {
    reader: Reader<'m>,
    handles: Vec<Handle>,
    /// Where the others look, loaded from the caller's memory as a handle is.
    places: Vec<usize>,
    torn: &'m [TornLine],
    endpoints: usize,
}

/// What writes to a [`Field`].
pub struct FieldWriter<'m> {
    writer: Writer<'m>,
    handles: Vec<Handle>,
    torn: &'m [TornLine],
    endpoints: usize,
}

impl<'m> Field<'m> {
    /// Fills a table and the lines.
    ///
    /// # Panics
    ///
    /// If the memory was used before.
    pub fn new(memory: &'m Memory) -> (Field<'m>, FieldWriter<'m>) {
        let table = Table::create(&memory.lines, &memory.capacity, 1).expect("memory of its own");
        let (mut writer, reader) = table.split();
        let names = (0..memory.capacity.services).map(|i| format!("svc-{i:08}"));
        let handles: Vec<Handle> =
            names.map(|name| writer.add(&name).expect("the table was made for them")).collect();
        let (torn, endpoints) = (memory.torn.as_slice(), memory.endpoints);
        let mut writer = FieldWriter { writer, handles: handles.clone(), torn, endpoints };
        (0..handles.len()).for_each(|service| writer.write(service, service as u64));
        let places = (0..handles.len()).map(|service| service * stride(endpoints)).collect();
        (Field { reader, handles, places, torn, endpoints }, writer)
    }

    /// The cases. With `only`, all calls are for that service; without, each is for another one, not in order.
    pub fn cases(&self, only: Option<usize>) -> Vec<Case<'_>> {
        let mask = self.handles.len() - 1;
        let at = move |n| only.unwrap_or(spread(n, mask));
        if self.endpoints == 1 { self.one(at) } else { self.many(at) }
    }

    fn one<'a>(&'a self, at: impl Fn(u64) -> usize + Copy + 'a) -> Vec<Case<'a>> {
        let mut cached: Vec<_> = self.handles.iter().map(|handle| self.reader.cached(*handle)).collect();
        let mut cases = floors(self.torn, &self.places, at);
        cases.extend(calls(self.reader, &self.handles, at));
        let reader = self.reader;
        let cached = move |place: usize| consume(cached[place].resolve(&reader));
        cases.push(Case::new(row::CACHED, Some(row::TORN_8), at, cached));
        cases
    }

    fn many<'a>(&'a self, at: impl Fn(u64) -> usize + Copy + 'a) -> Vec<Case<'a>> {
        let (reader, handles, torn, places) = (self.reader, &self.handles, self.torn, &self.places);
        let mut pickers = vec![RoundRobin::new(); handles.len()];
        let mut cursors = vec![0; handles.len()];
        let endpoints = self.endpoints;
        vec![
            empty(),
            Case::new(row::TORN_TWO, None, at, move |place| {
                let cursor = &mut cursors[place];
                *cursor = if *cursor < endpoints { *cursor + 1 } else { 1 };
                torn[places[place]].fold::<8>() ^ torn[places[place] + *cursor].fold::<8>()
            }),
            Case::new(row::ROUND_ROBIN, Some(row::TORN_TWO), at, move |place| {
                let picked = pickers[place].pick(&reader, handles[place]);
                picked.map_or(0, |endpoint| all_of(&endpoint))
            }),
        ]
    }
}

impl FieldWriter<'_> {
    /// Publishes a set that differs with `n` to a service, and stores it to that service's lines.
    #[inline(always)]
    pub fn write(&mut self, service: usize, n: u64) {
        publish(&mut self.writer, self.handles[service], self.endpoints, n);
        let stride = stride(self.endpoints);
        self.torn[service * stride..][..stride].iter().for_each(|line| line.store(n));
    }

    /// As [`FieldWriter::write`], to a service that differs with `n`, not in order.
    #[inline(always)]
    pub fn write_spread(&mut self, n: u64) {
        self.write(spread(n, self.handles.len() - 1), n);
    }
}

/// Torn lines of a service: one for the head, and one for each endpoint where a pick looks at them too.
fn stride(endpoints: usize) -> usize {
    if endpoints == 1 { 1 } else { 1 + endpoints }
}

/// A place of `mask + 1`, not in order.
#[inline(always)]
fn spread(n: u64, mask: usize) -> usize {
    (n as usize).wrapping_mul(389) & mask
}

/// The clock alone, and the torn lines at `places`.
pub fn floors<'a>(
    torn: &'a [TornLine],
    places: &'a [usize],
    at: impl Fn(u64) -> usize + Copy + 'a,
) -> Vec<Case<'a>> {
    vec![
        empty(),
        Case::new(row::TORN_8, None, at, move |place| torn[places[place]].fold::<8>()),
        Case::new(row::TORN_4, None, at, move |place| torn[places[place]].fold::<4>()),
    ]
}

fn empty<'a>() -> Case<'a> {
    Case::new(row::EMPTY, None, |n| n as usize, |place| place as u64)
}

/// By handle: the record, and the address.
pub fn calls<'a>(
    reader: Reader<'a>,
    handles: &'a [Handle],
    at: impl Fn(u64) -> usize + Copy + 'a,
) -> Vec<Case<'a>> {
    vec![
        Case::new(row::RESOLVE, Some(row::TORN_8), at, move |place| consume(reader.resolve(handles[place]))),
        Case::new(row::ADDRESS, Some(row::TORN_4), at, move |place| {
            consume_address(reader.resolve_address(handles[place]))
        }),
    ]
}

/// All words of an endpoint.
#[inline(always)]
fn all_of(endpoint: &Endpoint) -> u64 {
    let [a, b, c] = endpoint.address().to_words();
    fold([a, b, c, endpoint.id(), endpoint.tags(), u64::from(endpoint.weight()), endpoint.generation()])
}

/// Publishes a set of `endpoints` (at most [`EIGHT`]) that differs with `n`.
///
/// # Panics
///
/// If the table has no room, or the handle is not its.
#[inline(always)]
pub fn publish(writer: &mut Writer<'_>, handle: Handle, endpoints: usize, n: u64) {
    let address = SocketAddr::from((Ipv4Addr::from_bits(n as u32), 9000));
    let endpoint = Endpoint::new(address).with_id(n);
    let set = [endpoint; EIGHT];
    writer.publish(handle, &set[..endpoints], Standing::FRESH, b"").expect("the table was made for it");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tails::pace::Pace;
    use crate::tails::slices::{Plan, measure};

    #[test]
    fn every_floor_is_a_row_of_the_same_run_and_every_row_is_timed() {
        for endpoints in [1, EIGHT] {
            let memory = Memory::new(16, endpoints);
            let (field, mut writer) = Field::new(&memory);
            (0..64).for_each(|n| writer.write_spread(n));
            let mut cases = field.cases(None);
            let names: Vec<_> = cases.iter().map(|case| case.name).collect();
            assert!(cases.iter().filter_map(|case| case.floor).all(|floor| names.contains(&floor)));
            let plan = Plan { samples: 500, limit: Duration::from_secs(20) };
            let tallies = measure(plan, &mut cases, Pace::Idle);
            assert!(tallies.iter().all(|tally| tally.histogram.len() >= 500), "{names:?}");
        }
    }

    #[test]
    fn a_write_reaches_the_table_and_the_lines() {
        let memory = Memory::new(16, EIGHT);
        let (field, mut writer) = Field::new(&memory);
        writer.write(ONE, 0x0a00_0001);
        let resolved = field.reader.resolve(field.handles[ONE]).expect("published");
        assert_eq!(resolved.address().to_string(), "10.0.0.1:9000");
        let lines = &field.torn[ONE * 9..][..9];
        let written = TornLine::default();
        written.store(0x0a00_0001);
        assert!(lines.iter().all(|line| line.fold::<1>() == written.fold::<1>()));
        assert_ne!(field.torn[ONE * 9 + 9].fold::<1>(), written.fold::<1>());
    }
}
