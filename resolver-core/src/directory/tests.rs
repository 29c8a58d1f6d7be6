//! Names that share a hash, and where services lie.

extern crate std;

use std::format;
use std::string::String;
use std::vec::Vec;

use super::*;
use crate::layout::Capacity;
use crate::memory::heap;
use crate::table::Table;

/// Two names of one length whose hashes agree: the first factor of the second fold is 0, so the second is lost. Text
/// that does this is found in a few thousand tries, so a registry could hold it.
fn colliding() -> [String; 2] {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    for i in 0..1_000_000 {
        let start = format!("{i:024}");
        let seed = name::fold(name::pack(start.as_bytes(), 0), 48);
        let zero = (K ^ seed).to_le_bytes();
        if zero.iter().all(|byte| byte.is_ascii_graphic()) {
            let zero: String = zero.iter().map(|byte| char::from(*byte)).collect();
            return ["first---", "second--"].map(|rest| format!("{start}{zero}{rest}tail----"));
        }
    }
    unreachable!("one in 3000 tries is text")
}

/// Slots in the order of their names, of a full table.
fn slots(services: usize) -> Vec<(String, usize)> {
    let capacity = Capacity { services: services as u32, ..Capacity::SMALL };
    let memory = heap(capacity.lines());
    let (mut writer, reader) = Table::create(&memory, &capacity, 1).expect("it fits").split();
    let names = (0..services).map(|number| format!("svc-{number:08}"));
    let add = |name: String| writer.add(&name).map(|handle| (name, handle.slot()));
    let slots: Vec<_> = names.map(add).collect::<Result<_, _>>().expect("there is room");
    for (name, slot) in &slots {
        assert_eq!(reader.service(name).map(|handle| handle.slot()), Some(*slot));
    }
    slots
}

#[test]
fn services_of_a_large_table_are_where_their_names_say_or_near() {
    let slots = slots(SPREAD);
    // As the writer and the reader's fetch must agree: by the hash and the size alone.
    let home = |name: &str| (((Name::new(name).hash() >> 32) * SPREAD as u64) >> 32) as usize;
    let share = |is: &dyn Fn(usize, usize) -> bool| {
        slots.iter().filter(|(name, slot)| is(home(name), *slot)).count() as f64 / SPREAD as f64
    };
    // A home is free as often as the table is, half of the time while it is filled; else there is mostly room in the same page.
    let (exact, near) = (share(&|home, slot| home == slot), share(&|home, slot| home / 64 == slot / 64));
    assert!(exact > 0.45, "{exact}");
    assert!(near > 0.9, "{near}");
}

#[test]
fn services_of_a_smaller_table_lie_close_together() {
    assert!(slots(SPREAD - 1).iter().map(|(_, slot)| *slot).eq(0..SPREAD - 1));
}

/// What is fetched is the home's line, from the first to the last.
#[test]
fn what_is_fetched_ahead_is_the_line_of_a_names_home() {
    let heads: Vec<Line> = (0..100).map(|_| Line::new()).collect();
    let lines: Vec<Line> = (0..8).map(|_| Line::new()).collect();
    let directory = Directory::new(&lines, &[]).with_homes(&heads);
    let mut seen = [false; 100];
    for number in 0..2000 {
        let text = format!("svc-{number:08}");
        let name = Name::new(&text);
        let home = directory.home(&name).expect("names have homes");
        assert_eq!(directory.home_offset(&name) / size_of::<Line>(), home);
        seen[home] = true;
    }
    assert_eq!(seen, [true; 100]);
}

#[test]
fn names_that_share_a_hash_are_two_names() {
    let lines: Vec<Line> = (0..8).map(|_| Line::new()).collect();
    let long_names: Vec<Line> = (0..8).map(|_| Line::new()).collect();
    let counts = Line::new();
    let directory = Directory::new(&lines, &long_names);
    let names = colliding();
    let [first, second] = [Name::new(&names[0]), Name::new(&names[1])];
    assert_eq!(first.hash(), second.hash());
    directory.insert(&first, Handle::new(0, 1), &counts).expect("there is room");
    assert_eq!(directory.find(&second), None, "another service's handle");
    directory.insert(&second, Handle::new(1, 2), &counts).expect("there is room");
    assert_eq!(directory.find(&first), Some(Handle::new(0, 1)));
    assert_eq!(directory.find(&second), Some(Handle::new(1, 2)));
    directory.remove(&first);
    assert_eq!(directory.find(&first), None);
    assert_eq!(directory.find(&second), Some(Handle::new(1, 2)));
}
