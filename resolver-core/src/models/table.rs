//! A whole small table: a set's cells are used again while a reader walks the old set; a handle over its removal.

extern crate std;

use std::vec::Vec;

use loom::sync::Arc;
use loom::thread;

use super::explore;
use crate::error::{ResolveError, WalkError};
use crate::layout::Capacity;
use crate::memory::Line;
use crate::record::Endpoint;
use crate::table::Table;
use crate::writer::{Standing, Writer};

/// As small as a table can be: 64 endpoint cells, which the model's writer cannot use up.
const TINY: Capacity = Capacity { services: 1, endpoints: 1, configs: 0, text_bytes: 0 };

fn endpoint(id: u64) -> Endpoint {
    Endpoint::new(std::net::SocketAddr::from(([10, 0, 0, 1], 9000))).with_id(id)
}

/// The lines of shared memory, for as long as the caller holds on to it.
fn lines(memory: &Arc<Vec<Line>>) -> &'static [Line] {
    // SAFETY: every thread of a model holds a clone of `memory` until it has dropped what it made of these lines.
    unsafe { core::slice::from_raw_parts(memory.as_ptr(), memory.len()) }
}

fn publish_in_place(writer: &mut Writer<'_>, handle: crate::Handle, id: u64) {
    writer.publish(handle, &[endpoint(id)], Standing::FRESH, b"").expect("there is room");
}

#[test]
fn loom_table_walk_never_mixes_sets() {
    explore("table: set and head, cells used again", 1, || {
        let memory: Arc<Vec<Line>> = Arc::new((0..TINY.lines()).map(|_| Line::new()).collect());
        let (mut writer, reader) = Table::create(lines(&memory), &TINY, 1).expect("it fits").split();
        let handle = writer.add("oms").expect("there is room");
        // Two blocks remain free: the third publication uses the first one's cell again.
        let held: Vec<u32> = (0..62).filter_map(|_| writer.room.take(1)).collect();
        assert_eq!(held.len(), 62);
        publish_in_place(&mut writer, handle, 1);
        let walker = {
            let memory = memory.clone();
            thread::spawn(move || {
                let _memory = memory;
                let set = reader.set(handle).expect("it was published");
                let head = reader.resolve(handle).expect("it was published");
                match set.get(0).expect("it has one endpoint") {
                    Ok(endpoint) => {
                        assert_eq!(endpoint.generation(), set.generation(), "another set's endpoint");
                        assert!(endpoint.id() <= head.id(), "back in time");
                    }
                    Err(WalkError::Changed | WalkError::Busy) => {}
                }
            })
        };
        publish_in_place(&mut writer, handle, 2);
        publish_in_place(&mut writer, handle, 3);
        walker.join().expect("the reader does not panic");
        assert_eq!(reader.resolve(handle).map(|resolved| resolved.id()), Ok(3));
    });
}

#[test]
fn loom_table_handle_is_gone_and_never_anothers() {
    explore("table: removal and another service in its slot", 1, || {
        let memory: Arc<Vec<Line>> = Arc::new((0..TINY.lines()).map(|_| Line::new()).collect());
        let (mut writer, reader) = Table::create(lines(&memory), &TINY, 1).expect("it fits").split();
        let oms = writer.add("oms").expect("there is room");
        publish_in_place(&mut writer, oms, 1);
        let router = {
            let memory = memory.clone();
            thread::spawn(move || {
                let _memory = memory;
                match reader.resolve(oms) {
                    Ok(resolved) => assert_eq!(resolved.id(), 1, "another service's endpoint"),
                    Err(error) => {
                        assert!(matches!(error, ResolveError::Gone | ResolveError::Busy), "{error:?}")
                    }
                }
            })
        };
        assert!(writer.remove("oms"));
        let risk = writer.add("risk").expect("the slot is free");
        publish_in_place(&mut writer, risk, 2);
        router.join().expect("the reader does not panic");
        assert_eq!(reader.resolve(oms), Err(ResolveError::Gone));
        assert_eq!(reader.service("oms"), None);
    });
}
