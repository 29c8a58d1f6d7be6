//! A whole small table, by the real writer and reader: a handle over its removal, and a table that is being created.

extern crate std;

use std::vec::Vec;

use loom::sync::Arc;
use loom::thread;

use super::{explore, must_catch, must_fail};
use crate::cell;
use crate::directory::Directory;
use crate::error::ResolveError;
use crate::handle::Handle;
use crate::layout::{Capacity, HEADER_LINES, Plan};
use crate::memory::Line;
use crate::reader::Reader;
use crate::record::Endpoint;
use crate::sync::Site;
use crate::table::{OpenError, Table, View};
use crate::writer::{Standing, Writer};

/// The sections of a table with one service and no source, cut down to what the model touches: loom makes every word
/// anew in each execution.
struct Memory {
    header: [Line; HEADER_LINES],
    cells: Vec<Line>,
    shadows: Vec<Line>,
    leaves: Vec<Line>,
    changes: Vec<Line>,
    buckets: Vec<Line>,
    notes: Vec<Line>,
    bitmap: Vec<Line>,
}

/// Leaves that are there; the room believes in 64, all others taken.
const LEAVES: usize = 3;

impl Memory {
    fn new() -> Arc<Self> {
        let lines = |count: usize| (0..count).map(|_| Line::new()).collect::<Vec<_>>();
        let memory = Memory {
            header: core::array::from_fn(|_| Line::new()),
            cells: lines(1),
            shadows: lines(1),
            leaves: lines(LEAVES),
            changes: lines(1),
            buckets: lines(2),
            notes: lines(1),
            bitmap: lines(1),
        };
        for (line, shadow) in memory.cells.iter().zip(&memory.shadows) {
            cell::init(line, shadow);
        }
        Arc::new(memory)
    }

    fn view(&self) -> View<'_> {
        let plan = Plan { sources: 0, ..Plan::with(1, 0, 64, 0, 4, 0) };
        View {
            plan,
            header: &self.header,
            cells: &self.cells,
            shadows: &self.shadows,
            leaves: &self.leaves,
            changes: &self.changes,
            directory: Directory::new(&self.buckets, &[]),
            notes: &self.notes,
            bitmap: &self.bitmap,
            text: &[],
            incidents: &[],
        }
    }

    fn writer(&self) -> Writer<'_> {
        let writer = Writer::new(self.view());
        self.bitmap[0].store(0, !0 << LEAVES);
        writer
    }
}

const BOUND: usize = 2;

fn publish(writer: &mut Writer<'_>, handle: Handle, port: u16) {
    let endpoint = Endpoint::new(std::net::SocketAddr::from(([10, 0, 0, 1], port)));
    writer.publish(handle, &[endpoint], Standing::FRESH, b"").expect("there is room");
}

/// What happens while the thread looks. All of it in one model are too many interleavings; that no read mixes three
/// publications is the cell's own model.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Part {
    /// The service is removed.
    Removal,
    /// Another one enters its slot.
    Entry,
    /// The other one gets a set.
    Publication,
}

/// What a thread sees that resolves the handle of a service that goes, while another takes its slot.
fn over_removal(part: Part, look: impl Fn(View<'_>, Handle) + Send + 'static) {
    let memory = Memory::new();
    let mut writer = memory.writer();
    let oms = writer.add("oms").expect("there is room");
    publish(&mut writer, oms, 1);
    let router = || {
        let memory = memory.clone();
        thread::spawn(move || look(memory.view(), oms))
    };
    let enter = |writer: &mut Writer<'_>| {
        let risk = writer.add("risk").expect("the slot is free");
        assert_eq!(risk.slot(), oms.slot(), "the model shows something only if the slot is used again");
        risk
    };
    let router = match part {
        Part::Removal => {
            let router = router();
            assert!(writer.remove("oms"));
            router
        }
        Part::Entry => {
            assert!(writer.remove("oms"));
            let router = router();
            let risk = enter(&mut writer);
            assert_eq!(writer.reader().resolve_address(risk), Err(ResolveError::Never));
            router
        }
        Part::Publication => {
            assert!(writer.remove("oms"));
            let risk = enter(&mut writer);
            let router = router();
            publish(&mut writer, risk, 2);
            assert_eq!(writer.reader().resolve_address(risk).map(|address| address.port()), Ok(2));
            router
        }
    };
    router.join().expect("the reader does not panic");
    assert_eq!(writer.reader().resolve_address(oms), Err(ResolveError::Gone));
    assert_eq!(writer.reader().service("oms"), None);
}

#[test]
fn loom_table_handle_is_gone_once_removed() {
    explore("handle over its removal", BOUND, || {
        over_removal(Part::Removal, |view, oms| match Reader::new(view).resolve_address(oms) {
            Ok(address) => assert_eq!(address.port(), 1),
            Err(error) => assert!(matches!(error, ResolveError::Gone | ResolveError::Busy), "{error:?}"),
        });
    });
}

#[test]
fn loom_table_handle_is_never_anothers() {
    for (part, name) in [
        (Part::Entry, "handle while another enters its slot"),
        (Part::Publication, "handle while another in its slot is published"),
    ] {
        explore(name, BOUND, move || {
            over_removal(part, |view, oms| {
                let resolved = Reader::new(view).resolve_address(oms);
                assert!(matches!(resolved, Err(ResolveError::Gone | ResolveError::Busy)), "{resolved:?}");
            });
        });
    }
}

#[test]
fn loom_table_handle_needs_its_incarnation() {
    must_fail("handle while its slot is used again, incarnation not compared", BOUND, || {
        over_removal(Part::Publication, |view, oms| {
            let read = cell::read::<3>(&view.cells[oms.slot()], &view.shadows[oms.slot()]);
            assert!(read.is_err(), "another service's endpoint");
        });
    });
}

/// As small as a table can be.
const TINY: Capacity = Capacity { services: 1, endpoints: 1, configs: 0, text_bytes: 0 };

/// A process opens what another is still creating.
fn open_while_created() {
    let memory: Arc<Vec<Line>> = Arc::new((0..TINY.lines()).map(|_| Line::new()).collect());
    let opener = {
        let memory = memory.clone();
        thread::spawn(move || match Table::open(&memory) {
            Ok(reader) => {
                assert_eq!(
                    reader.resolve_address(Handle::new(0, 2)),
                    Err(ResolveError::Gone),
                    "a value in a new table"
                );
                assert_eq!(reader.seed(), 1);
            }
            Err(error) => assert_eq!(error, OpenError::Magic(0), "it is being created"),
        })
    };
    Table::create(&memory, &TINY, 1).expect("it fits");
    opener.join().expect("the opener does not panic");
    assert!(Table::open(&memory).is_ok());
}

#[test]
fn loom_table_is_opened_whole_or_not_at_all() {
    explore("open while created", 2, open_while_created);
}

pub(super) const MUTANTS: &[Site] = &[Site::VersionStore, Site::AfterVersion];

#[test]
fn loom_table_needs_each_ordering() {
    for &site in MUTANTS {
        must_catch(site, "open while created", 2, open_while_created);
    }
}
