//! One value for each service, by index.

use std::sync::{Arc, RwLock};

use arc_swap::{ArcSwap, Cache};
use crossbeam::atomic::AtomicCell;
use iceoryx2::port::reader::EntryHandle;
use iceoryx2::port::writer::EntryHandleMut;
use iceoryx2::prelude::*;
use left_right::{Absorb, ReadHandle, WriteHandle};
use seqlock::SeqLock;
use tokio::sync::watch;

use super::{cpp, rows};
use crate::ours::{CACHED, NOTHING, RESOLVE};
use crate::path::{Path, reads, run};
use crate::subject::{Role, Subject};
use crate::work::{Aligned, Record, fold, mix};

const PEER: Role = Role::Peer { against: RESOLVE };

/// Peers whose cells are heaps, channels or files are not shown beyond this.
const FEW: usize = 1024;

/// A cell of each kind for each service.
pub struct Cells {
    seqlocks: Vec<Aligned<SeqLock<Record>>>,
    wide_seqlocks: Vec<SeqLock<[u64; 8]>>,
    atomics: Vec<Aligned<AtomicCell<Record>>>,
    cpp_seqlocks: cpp::Table,
    swaps: Vec<ArcSwap<Record>>,
    std_locks: Vec<Aligned<RwLock<Record>>>,
    mutexes: Vec<Aligned<parking_lot::Mutex<Record>>>,
    rw_locks: Vec<Aligned<parking_lot::RwLock<Record>>>,
    few: Option<Few>,
}

/// What only small tables have.
struct Few {
    shared_pointers: cpp::Table,
    watches: Vec<(watch::Sender<Record>, watch::Receiver<Record>)>,
    left_right_readers: Vec<ReadHandle<Kept>>,
    left_right_writers: Vec<WriteHandle<Kept, Set>>,
    blackboard: Blackboard,
}

impl Cells {
    /// For this many services.
    pub fn new(count: usize) -> Self {
        let values: Vec<u64> = (0..count as u64).map(mix).collect();
        let records = || values.iter().map(|value| [*value; 7]);
        Cells {
            seqlocks: records().map(|record| Aligned(SeqLock::new(record))).collect(),
            wide_seqlocks: values.iter().map(|value| SeqLock::new(wide(*value))).collect(),
            atomics: records().map(|record| Aligned(AtomicCell::new(record))).collect(),
            cpp_seqlocks: cpp::Table::seqlocks(&values),
            swaps: records().map(ArcSwap::from_pointee).collect(),
            std_locks: records().map(|record| Aligned(RwLock::new(record))).collect(),
            mutexes: records().map(|record| Aligned(parking_lot::Mutex::new(record))).collect(),
            rw_locks: records().map(|record| Aligned(parking_lot::RwLock::new(record))).collect(),
            few: (count <= FEW).then(|| Few::new(&values)),
        }
    }

    /// A row for each kind.
    pub fn subjects<'a>(&'a mut self, path: Path, places: &'a [usize]) -> Vec<Subject<'a>> {
        let Cells {
            seqlocks,
            wide_seqlocks,
            atomics,
            cpp_seqlocks,
            swaps,
            std_locks,
            mutexes,
            rw_locks,
            few,
        } = self;
        let (seqlocks, wide_seqlocks) = (&seqlocks[..], &wide_seqlocks[..]);
        let (atomics, swaps) = (&atomics[..], &swaps[..]);
        let (std_locks, mutexes, rw_locks) = (&std_locks[..], &mutexes[..], &rw_locks[..]);
        let mut caches: Vec<_> = swaps.iter().map(Cache::new).collect();
        let mut subjects = vec![
            Subject::new(
                rows::SEQLOCK,
                PEER,
                reads!(path, places, move |at: usize| fold(seqlocks[at].0.read())),
            )
            .written(|at, n| *seqlocks[at].0.lock_write() = [n; 7]),
            Subject::new(
                rows::SEQLOCK_64,
                PEER,
                reads!(path, places, move |at: usize| fold(wide_seqlocks[at].read())),
            )
            .written(|at, n| *wide_seqlocks[at].lock_write() = wide(n)),
            Subject::new(
                rows::ATOMIC_CELL,
                PEER,
                reads!(path, places, move |at: usize| fold(atomics[at].0.load())),
            )
            .written(|at, n| atomics[at].0.store([n; 7])),
            cpp_seqlocks.subject(rows::CPP_SEQLOCK, PEER, path, places),
            Subject::new(
                rows::ARC_SWAP_CACHE,
                Role::Peer { against: CACHED },
                reads!(path, places, |at: usize| fold(**caches[at].load())),
            )
            .written(|at, n| swaps[at].store(Arc::new([n; 7]))),
            Subject::new(
                rows::ARC_SWAP_LOAD,
                PEER,
                reads!(path, places, move |at: usize| fold(**swaps[at].load())),
            )
            .written(|at, n| swaps[at].store(Arc::new([n; 7]))),
            Subject::new(
                rows::STD_RW_LOCK,
                PEER,
                reads!(path, places, move |at: usize| fold(
                    *std_locks[at].0.read().expect("nobody panics with it")
                )),
            )
            .written(|at, n| *std_locks[at].0.write().expect("nobody panics with it") = [n; 7]),
            Subject::new(
                rows::PARKING_LOT_MUTEX,
                PEER,
                reads!(path, places, move |at: usize| fold(*mutexes[at].0.lock())),
            )
            .written(|at, n| *mutexes[at].0.lock() = [n; 7]),
            Subject::new(
                rows::PARKING_LOT_RW_LOCK,
                PEER,
                reads!(path, places, move |at: usize| fold(*rw_locks[at].0.read())),
            )
            .written(|at, n| *rw_locks[at].0.write() = [n; 7]),
        ];
        if let Some(few) = few {
            subjects.extend(few.subjects(path, places));
        }
        subjects
    }

    /// One cache, asked all the time.
    pub fn one_cached(&self, path: Path) -> Vec<Subject<'_>> {
        let mut cache = Cache::new(&self.swaps[7]);
        let read = move |n| run!(path, n, &NOTHING, |()| fold(**cache.load()));
        vec![Subject::new(rows::ARC_SWAP_CACHE, Role::Peer { against: CACHED }, read)]
    }
}

impl Few {
    fn new(values: &[u64]) -> Self {
        let (mut left_right_readers, mut left_right_writers) = (Vec::new(), Vec::new());
        for value in values {
            let (mut writer, reader) = left_right::new::<Kept, Set>();
            writer.append(Set([*value; 7]));
            writer.publish();
            left_right_readers.push(reader);
            left_right_writers.push(writer);
        }
        Few {
            shared_pointers: cpp::Table::shared_pointers(values),
            watches: values.iter().map(|value| watch::channel([*value; 7])).collect(),
            left_right_readers,
            left_right_writers,
            blackboard: Blackboard::new(values),
        }
    }

    fn subjects<'a>(&'a mut self, path: Path, places: &'a [usize]) -> Vec<Subject<'a>> {
        let Few { shared_pointers, watches, left_right_readers, left_right_writers, blackboard } = self;
        let (watches, readers) = (&watches[..], &left_right_readers[..]);
        let (entries, writers) = (&blackboard.readers[..], &blackboard.writers[..]);
        vec![
            Subject::new(
                rows::ICEORYX2,
                PEER,
                reads!(path, places, move |at: usize| fold(*entries[at].get())),
            )
            .written(|at, n| writers[at].update_with_copy([n; 7])),
            Subject::new(
                rows::WATCH,
                PEER,
                reads!(path, places, move |at: usize| fold(*watches[at].1.borrow())),
            )
            .written(|at, n| {
                watches[at].0.send_replace([n; 7]);
            }),
            Subject::new(
                rows::LEFT_RIGHT,
                PEER,
                reads!(path, places, move |at: usize| readers[at].enter().map_or(0, |kept| fold(kept.0))),
            )
            .written(|at, n| {
                left_right_writers[at].append(Set([n; 7]));
                left_right_writers[at].publish();
            }),
            shared_pointers.subject(rows::CPP_SHARED_PTR, PEER, path, places),
        ]
    }
}

/// Eight words; the last one makes their fold what that of the seven is.
fn wide(value: u64) -> [u64; 8] {
    [value, value, value, value, value, value, value, 0]
}

/// What left-right keeps twice.
#[derive(Clone, Default)]
struct Kept(Record);

/// The one thing that its writer does.
struct Set(Record);

impl Absorb<Set> for Kept {
    fn absorb_first(&mut self, set: &mut Set, _: &Self) {
        self.0 = set.0;
    }

    fn sync_with(&mut self, first: &Self) {
        self.0 = first.0;
    }
}

/// iceoryx2's, in shared memory as other processes would use it.
struct Blackboard {
    readers: Vec<EntryHandle<ipc::Service, u64, Record>>,
    writers: Vec<EntryHandleMut<ipc::Service, u64, Record>>,
}

impl Blackboard {
    fn new(values: &[u64]) -> Self {
        let made = || -> Result<Self, Box<dyn std::error::Error>> {
            set_log_level(LogLevel::Error);
            let node = NodeBuilder::new().create::<ipc::Service>()?;
            // A name of its own: two runs at a time do not meet.
            let name = format!("resolver-benches/{}/{}", std::process::id(), values.len());
            let name: ServiceName = name.as_str().try_into()?;
            let mut creator = node.service_builder(&name).blackboard_creator::<u64>();
            for (key, value) in (0..).zip(values) {
                creator = creator.add::<Record>(key, [*value; 7]);
            }
            let service = creator.create()?;
            let (writer, reader) = (service.writer_builder().create()?, service.reader_builder().create()?);
            let keys = 0..values.len() as u64;
            let writers = keys.clone().map(|key| writer.entry::<Record>(&key)).collect::<Result<_, _>>()?;
            let readers = keys.map(|key| reader.entry::<Record>(&key)).collect::<Result<_, _>>()?;
            Ok(Blackboard { readers, writers })
        };
        match made() {
            Ok(blackboard) => blackboard,
            Err(error) => panic!(
                "iceoryx2 cannot make its blackboard of {} entries: {error:?}. It needs /dev/shm and /tmp/iceoryx2, writable",
                values.len()
            ),
        }
    }
}
