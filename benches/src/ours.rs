//! This project's tables, and the calls that are measured.

use std::net::{Ipv4Addr, SocketAddr};

use resolver_core::pick::RoundRobin;
use resolver_core::{
    CachedHandle, Capacity, Endpoint, Handle, Line, Name, Reader, Standing, Table, Writer, heap,
};

use crate::path::{Path, reads, run};
use crate::subject::{Role, Subject};
use crate::work::{consume, consume_address, consume_endpoint, mix};

/// [`Reader::resolve`].
pub const RESOLVE: &str = "resolve";
/// [`Reader::resolve_address`].
pub const ADDRESS: &str = "resolve_address";
/// [`CachedHandle::resolve`].
pub const CACHED: &str = "cached handle";
/// [`Reader::resolve_name`] from a text.
pub const NAME: &str = "resolve_name(&str)";
/// [`Reader::resolve_name`] of a name that was hashed beforehand.
pub const HASHED: &str = "resolve_name, hashed";
/// [`RoundRobin::pick`].
pub const ROUND_ROBIN: &str = "round robin";

/// Memory for [`Services`].
pub struct Memory {
    capacity: Capacity,
    lines: Box<[Line]>,
}

impl Memory {
    /// Room for this many services of one or two endpoints.
    pub fn for_services(count: u32) -> Memory {
        Memory::of(Capacity { services: count, endpoints: 2 * count, configs: 16, text_bytes: 0 })
    }

    /// Of this capacity.
    pub fn of(capacity: Capacity) -> Memory {
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
        let (writer, _) = table.split();
        Services::fill(writer, memory.capacity.services)
    }

    /// Fills the table of this writer.
    ///
    /// # Panics
    ///
    /// If it has no room.
    pub fn fill(mut writer: Writer<'m>, count: u32) -> Self {
        let names: Vec<String> = (0..count).map(|i| format!("svc-{i:08}")).collect();
        let handles: Vec<Handle> =
            names.iter().map(|name| writer.add(name).expect("there is room")).collect();
        for (index, handle) in (0..).zip(&handles) {
            publish_mixed(&mut writer, *handle, index);
        }
        Services { reader: writer.reader(), writer, handles, names }
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

/// As [`publish`], with an id in no order: the fold of a record then foretells no other one's.
fn publish_mixed(writer: &mut Writer<'_>, handle: Handle, n: u64) {
    let address = SocketAddr::from((Ipv4Addr::from_bits(n as u32), 9000));
    let set = [Endpoint::new(address).with_id(mix(n))];
    writer.publish(handle, &set, Standing::FRESH, b"").expect("the table was made for it");
}

/// A list for [`run!`] where each call asks for the same.
pub(crate) const NOTHING: [(); 1024] = [(); 1024];

/// What a reader is to ask for, in order: all services, or one again and again.
#[derive(Debug)]
pub struct Places {
    /// Indices, for those who have no handles.
    pub indices: Vec<usize>,
    /// Handles.
    pub handles: Vec<Handle>,
    /// Names.
    pub names: Vec<String>,
}

impl Places {
    /// All services.
    pub fn all(services: &Services<'_>) -> Self {
        let indices = Vec::from_iter(0..services.handles.len());
        Places {
            indices: Path::list(&indices),
            handles: Path::list(&services.handles),
            names: Path::list(&services.names),
        }
    }

    /// The names, as a caller has them.
    pub fn texts(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    /// One service alone: the same loop, and the same work, on one line.
    pub fn one(services: &Services<'_>, index: usize) -> Self {
        let count = services.handles.len();
        Places {
            indices: vec![index; count],
            handles: vec![services.handles[index]; count],
            names: vec![services.names[index].clone(); count],
        }
    }
}

/// Reads by handle. The writer publishes for whichever of these rows is being measured.
pub fn by_handle<'a>(
    path: Path,
    reader: Reader<'a>,
    writer: &'a WriterOf<'_>,
    places: &'a Places,
) -> Vec<Subject<'a>> {
    let (handles, indices) = (&places.handles[..], &places.indices[..]);
    // At its service's index.
    let mut cached: Vec<CachedHandle<'a>> =
        writer.handles.iter().map(|handle| reader.cached(*handle)).collect();
    vec![
        Subject::new(
            RESOLVE,
            Role::Ours,
            reads!(path, handles, move |handle| consume(reader.resolve(handle))),
        )
        .written(writer.write()),
        Subject::new(
            ADDRESS,
            Role::Ours,
            reads!(path, handles, move |handle| consume_address(reader.resolve_address(handle))),
        )
        .written(writer.write()),
        Subject::new(
            CACHED,
            Role::Ours,
            reads!(path, indices, |at: usize| consume(cached[at].resolve(&reader))),
        )
        .written(writer.write()),
    ]
}

/// Whole records by handle.
pub fn reads<'a>(name: &'static str, path: Path, reader: Reader<'a>, handles: &'a [Handle]) -> Subject<'a> {
    Subject::new(name, Role::Ours, reads!(path, handles, move |handle| consume(reader.resolve(handle))))
}

/// The private copy of one service, asked all the time.
pub fn one_cached<'a>(path: Path, reader: Reader<'a>, handle: Handle) -> Subject<'a> {
    let mut kept = reader.cached(handle);
    Subject::new(CACHED, Role::Ours, move |n| {
        // The loop's own for a batch, as it would be a router's.
        let mut cached = kept;
        let folded = run!(path, n, &NOTHING, |()| consume(cached.resolve(&reader)));
        kept = cached;
        folded
    })
}

/// Reads by name.
pub fn by_name<'a>(
    path: Path,
    reader: Reader<'a>,
    writer: &'a WriterOf<'_>,
    texts: &'a [&'a str],
) -> Vec<Subject<'a>> {
    let hashed: Vec<Name<'a>> = texts.iter().map(|name| Name::new(name)).collect();
    vec![
        Subject::new(
            NAME,
            Role::Ours,
            reads!(path, texts, move |name: &str| consume(reader.resolve_name(&Name::new(name)))),
        )
        .written(writer.write()),
        Subject::new(HASHED, Role::Ours, move |n| {
            run!(path, n, &hashed[..], move |name| consume(reader.resolve_name(&name)))
        })
        .written(writer.write()),
    ]
}

/// Picks one of a service's endpoints, in turn.
pub fn picks<'a>(path: Path, reader: Reader<'a>, handle: Handle) -> Subject<'a> {
    let mut picker = RoundRobin::new();
    Subject::new(ROUND_ROBIN, Role::Ours, move |n| {
        run!(path, n, &NOTHING, |()| consume_endpoint(picker.pick(&reader, handle)))
    })
}

/// A writer that several rows write through, one at a time: the lock is the writing thread's alone, and never waited for.
pub struct WriterOf<'m> {
    writer: std::sync::Mutex<Writer<'m>>,
    handles: Vec<Handle>,
}

impl<'m> WriterOf<'m> {
    /// Of these services.
    pub fn new(writer: Writer<'m>, handles: Vec<Handle>) -> Self {
        WriterOf { writer: std::sync::Mutex::new(writer), handles }
    }

    fn write(&self) -> impl FnMut(usize, u64) + Send + '_ {
        move |at, n| {
            let mut writer = self.writer.lock().expect("nobody panics with it");
            publish(&mut writer, self.handles[at], n);
        }
    }
}
