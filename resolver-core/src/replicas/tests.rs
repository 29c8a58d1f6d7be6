//! Replicas that were made to differ: by a change to one alone, which the public interface has no way to make.

extern crate std;

use std::boxed::Box;
use std::string::ToString;

use super::*;
use crate::memory::heap;
use crate::state::State;

fn memory() -> [Box<[Line]>; 3] {
    [(); 3].map(|()| heap(Capacity::SMALL.lines()))
}

fn replicas(memory: &[Box<[Line]>; 3]) -> ReplicatedWriter<'_> {
    let lines = memory.iter().map(|lines| &**lines);
    ReplicatedWriter::create(lines, &Capacity::SMALL, 1).expect("they fit")
}

fn endpoint() -> Endpoint {
    Endpoint::new(std::net::SocketAddr::from(([10, 0, 0, 1], 9000)))
}

#[test]
fn a_missed_operation_is_found() {
    type Operation = fn(&mut Writer<'_>, Handle);
    let operations: [(&str, Operation); 5] = [
        ("add", |writer, _| assert!(writer.add("risk").is_ok())),
        ("publish", |writer, oms| {
            assert!(writer.publish(oms, &[endpoint()], Standing::FRESH, b"").is_ok());
        }),
        ("mark", |writer, oms| {
            let standing = Standing { state: State::Stale, reason: Reason::Acl, source: 0 };
            assert_eq!(writer.mark(oms, standing), Ok(()));
        }),
        ("beat", |writer, _| writer.beat(&[])),
        ("refused", |writer, oms| {
            let standing = Standing { source: 32, ..Standing::FRESH };
            assert_eq!(writer.publish(oms, &[], standing, b""), Err(PublishError::Source(32)));
        }),
    ];
    for (name, operation) in operations {
        let memory = memory();
        let mut writer = replicas(&memory);
        let oms = writer.add("oms").expect("there is room");
        writer.publish(oms, &[endpoint()], Standing::FRESH, b"").expect("there is room");
        assert_eq!(writer.first_difference(), None);
        assert!(writer.counters_agree());
        for writer in [&mut writer.first, &mut writer.others[0]] {
            operation(writer, oms);
        }
        let difference = writer.first_difference().expect(name);
        assert_eq!(difference.replica, 2, "{name} was missed by it");
        assert!(difference.to_string().starts_with("replica 2 "), "{difference}");
        assert!(!writer.counters_agree(), "{name}");
    }
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "replica 1 answers Ok(2) and the first Ok(3): it missed an operation")]
fn the_next_operation_finds_it_too() {
    let memory = memory();
    let mut writer = replicas(&memory);
    let oms = writer.add("oms").expect("there is room");
    writer.first.publish(oms, &[], Standing::FRESH, b"").expect("there is room");
    let _ = writer.publish(oms, &[], Standing::FRESH, b"");
}
