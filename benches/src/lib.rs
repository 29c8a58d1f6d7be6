//! What the probes, the ratios and the criterion benches share: tables, floors, and the consumption of an answer.
//!
//! Every answer is consumed whole, by the exclusive or of its words: the compiler drops no relaxed load, but a caller that
//! uses nothing would still be cheaper than a real one.

#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use resolver_core::{
    Address, Capacity, Endpoint, Handle, Line, Reader, Resolved, Standing, Table, Writer, heap,
};

pub mod paired;
pub mod tails;
pub mod writer;

/// One cache line without a sequence, read by eight plain loads: what no protocol can be faster than. A reader of it
/// sees torn records.
#[repr(align(64))]
#[derive(Default)]
pub struct TornLine {
    words: [AtomicU64; 8],
}

impl TornLine {
    /// Stores all words.
    #[inline(always)]
    pub fn store(&self, value: u64) {
        for word in &self.words {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Loads the first `N` words and folds them.
    #[inline(always)]
    pub fn fold<const N: usize>(&self) -> u64 {
        fold(std::array::from_fn::<u64, N, _>(|i| self.words[i].load(Ordering::Relaxed)))
    }
}

/// The exclusive or of all words, as a tree.
#[inline(always)]
pub fn fold<const N: usize>(words: [u64; N]) -> u64 {
    let mut words = words;
    let mut n = N;
    while n > 1 {
        let half = n.div_ceil(2);
        for i in half..n {
            words[i - half] ^= words[i];
        }
        n = half;
    }
    words[0]
}

/// Consumes an answer; an error counts as 0.
#[inline(always)]
pub fn consume<E>(answer: Result<Resolved, E>) -> u64 {
    answer.map_or(0, |resolved| fold(resolved.to_words()))
}

/// Consumes an address; an error counts as 0.
#[inline(always)]
pub fn consume_address<E>(answer: Result<Address, E>) -> u64 {
    answer.map_or(0, |address| fold(address.to_words()))
}

/// Memory for [`Services`].
pub struct Memory {
    capacity: Capacity,
    lines: Box<[Line]>,
}

impl Memory {
    /// Room for this many services of one or two endpoints.
    pub fn for_services(count: u32) -> Memory {
        let capacity = Capacity { services: count, endpoints: 2 * count, configs: 0, text_bytes: 0 };
        Memory { lines: heap(capacity.lines()), capacity }
    }
}

/// A table with services `svc-00000000`, `svc-00000001` ...: names of 12 bytes, one endpoint each.
pub struct Services<'m> {
    /// The one writer.
    pub writer: Writer<'m>,
    /// To copy.
    pub reader: Reader<'m>,
    /// In the order of the names.
    pub handles: Vec<Handle>,
    /// In the order of the handles.
    pub names: Vec<String>,
}

impl<'m> Services<'m> {
    /// Fills a table.
    ///
    /// # Panics
    ///
    /// If the memory was used before.
    pub fn new(memory: &'m Memory) -> Self {
        let table = Table::create(&memory.lines, &memory.capacity, 1).expect("memory of its own");
        let (mut writer, reader) = table.split();
        let names: Vec<String> = (0..memory.capacity.services).map(|i| format!("svc-{i:08}")).collect();
        let handles = names.iter().map(|name| writer.add(name).expect("there is room")).collect();
        let mut services = Services { writer, reader, handles, names };
        for index in 0..services.handles.len() {
            services.publish(index, index as u64);
        }
        services
    }

    /// Publishes a set of one endpoint.
    #[inline(always)]
    pub fn publish(&mut self, index: usize, n: u64) {
        publish(&mut self.writer, self.handles[index], n);
    }
}

/// Publishes a set of one endpoint that differs with `n`.
///
/// # Panics
///
/// If the table has no room, or the handle is not its.
#[inline(always)]
pub fn publish(writer: &mut Writer<'_>, handle: Handle, n: u64) {
    let address = SocketAddr::from((Ipv4Addr::from_bits(n as u32), 9000));
    let set = [Endpoint::new(address).with_id(n)];
    writer.publish(handle, &set, Standing::FRESH, b"").expect("the table was made for it");
}
