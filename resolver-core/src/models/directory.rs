//! The directory: insertion, removal and insertion again against lookups.

extern crate std;

use loom::sync::Arc;
use loom::thread;

use super::{explore, must_catch};
use crate::directory::Directory;
use crate::handle::Handle;
use crate::memory::Line;
use crate::name::Name;
use crate::sync::Site;

struct Memory {
    buckets: [Line; 1],
    long_names: [Line; 1],
    counts: Line,
    /// Stands for the head that an entry leads to: written before the entry.
    head: Line,
}

impl Memory {
    fn new() -> Arc<Self> {
        Arc::new(Memory {
            buckets: [Line::new()],
            long_names: [Line::new()],
            counts: Line::new(),
            head: Line::new(),
        })
    }

    fn directory(&self) -> Directory<'_> {
        Directory::new(&self.buckets, &self.long_names)
    }
}

fn insert_remove_insert() {
    let memory = Memory::new();
    let reader = {
        let memory = memory.clone();
        thread::spawn(move || {
            for _ in 0..2 {
                if let Some(found) = memory.directory().find(&Name::new("oms")) {
                    assert!(
                        memory.head.load(0) >= u64::from(found.incarnation()),
                        "an entry before its head"
                    );
                }
            }
            assert_eq!(memory.directory().find(&Name::new("risk")), None, "a name that was never entered");
        })
    };
    let name = Name::new("oms");
    for incarnation in 1..=2 {
        memory.head.store(0, u64::from(incarnation));
        memory.directory().insert(&name, Handle::new(0, incarnation), &memory.counts).expect("there is room");
        if incarnation == 1 {
            memory.directory().remove(&name);
        }
    }
    reader.join().expect("the reader does not panic");
    assert_eq!(memory.directory().find(&Name::new("oms")), Some(Handle::new(0, 2)));
}

#[test]
fn loom_directory_entries_lead_to_their_heads() {
    explore("directory insert, remove, insert", 3, insert_remove_insert);
}

pub(super) const MUTANTS: &[Site] = &[Site::EntryStore, Site::AfterEntry];

#[test]
fn loom_directory_needs_each_ordering() {
    for &site in MUTANTS {
        must_catch(site, "directory insert, remove, insert", 3, insert_remove_insert);
    }
}
