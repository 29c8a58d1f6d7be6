//! Concurrent maps and caches, by name.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use foldhash::fast::RandomState;

use super::dns::Cached;
use super::rows;
use crate::ours::NAME;
use crate::path::{Path, reads, run};
use crate::subject::{Role, Subject};
use crate::work::{Record, fold, mix};

const PEER: Role = Role::Peer { against: NAME };

/// Beyond this only the maps that are ahead at this size are shown.
const FEW: usize = 1024;

type Folded = HashMap<String, Record, RandomState>;

/// A map of each kind, with all names.
pub struct Maps {
    names: Vec<String>,
    plain: Folded,
    papaya: papaya::HashMap<String, Record, RandomState>,
    dashmap: DashMap<String, Record, RandomState>,
    locked: RwLock<HashMap<String, Record>>,
    few: Option<Few>,
}

/// What only small tables have.
struct Few {
    papaya: papaya::HashMap<String, Record>,
    dashmap: DashMap<String, Record>,
    locked: parking_lot::RwLock<Folded>,
    swapped: ArcSwap<Folded>,
    scc: scc::HashMap<String, Record>,
    evmap: evmap::handles::ReadHandle<String, Record>,
    evmap_writer: evmap::handles::WriteHandle<String, Record>,
    moka: moka::sync::Cache<String, Record>,
    hickory: Cached,
}

impl Maps {
    /// With these names.
    pub fn new(names: &[String]) -> Self {
        let entries = || entries(names);
        Maps {
            plain: entries().collect(),
            papaya: entries().collect(),
            dashmap: entries().collect(),
            locked: RwLock::new(entries().collect()),
            few: (names.len() <= FEW).then(|| Few::new(names)),
            names: names.to_vec(),
        }
    }

    /// A row for each kind.
    pub fn subjects<'a>(
        &'a mut self,
        path: Path,
        texts: &'a [&'a str],
        indices: &'a [usize],
    ) -> Vec<Subject<'a>> {
        let Maps { names, plain, papaya, dashmap, locked, few } = self;
        let (names, plain, papaya, dashmap, locked) = (&*names, &*plain, &*papaya, &*dashmap, &*locked);
        let mut subjects = vec![
            Subject::new(rows::HASH_MAP, PEER, reads!(path, texts, move |name: &str| found(plain.get(name)))),
            Subject::new(rows::PAPAYA_HELD, PEER, move |n| {
                let pinned = papaya.pin();
                run!(path, n, texts, move |name: &str| found(pinned.get(name)))
            })
            .written(|at, n| {
                papaya.pin().insert(names[at].clone(), [n; 7]);
            }),
            Subject::new(
                rows::DASHMAP_FOLD,
                PEER,
                reads!(path, texts, move |name: &str| dashmap.get(name).map_or(0, |record| fold(*record))),
            )
            .written(|at, n| {
                dashmap.insert(names[at].clone(), [n; 7]);
            }),
            Subject::new(
                rows::STD_RW_MAP,
                PEER,
                reads!(path, texts, move |name: &str| found(
                    locked.read().expect("nobody panics with it").get(name)
                )),
            )
            .written(|at, n| {
                locked.write().expect("nobody panics with it").insert(names[at].clone(), [n; 7]);
            }),
        ];
        if let Some(few) = few {
            subjects.extend(few.subjects(path, names, texts, indices));
        }
        subjects
    }
}

impl Few {
    fn new(names: &[String]) -> Self {
        let entries = || entries(names);
        let (mut evmap_writer, evmap) = evmap::new();
        entries().for_each(|(name, record)| {
            evmap_writer.insert(name, record);
        });
        evmap_writer.publish();
        let moka = moka::sync::Cache::new(4 * names.len() as u64);
        entries().for_each(|(name, record)| moka.insert(name, record));
        Few {
            papaya: entries().collect(),
            dashmap: entries().collect(),
            locked: parking_lot::RwLock::new(entries().collect()),
            swapped: ArcSwap::from_pointee(entries().collect()),
            scc: entries().collect(),
            evmap,
            evmap_writer,
            moka,
            hickory: Cached::new(names),
        }
    }

    fn subjects<'a>(
        &'a mut self,
        path: Path,
        names: &'a [String],
        texts: &'a [&'a str],
        indices: &'a [usize],
    ) -> Vec<Subject<'a>> {
        let Few { papaya, dashmap, locked, swapped, scc, evmap, evmap_writer, moka, hickory } = self;
        let (papaya, dashmap, locked, swapped) = (&*papaya, &*dashmap, &*locked, &*swapped);
        let (scc, evmap, moka, hickory) = (&*scc, &*evmap, &*moka, &*hickory);
        vec![
            Subject::new(
                rows::PAPAYA,
                PEER,
                reads!(path, texts, move |name: &str| found(papaya.pin().get(name))),
            )
            .written(|at, n| {
                papaya.pin().insert(names[at].clone(), [n; 7]);
            }),
            Subject::new(
                rows::DASHMAP,
                PEER,
                reads!(path, texts, move |name: &str| dashmap.get(name).map_or(0, |record| fold(*record))),
            )
            .written(|at, n| {
                dashmap.insert(names[at].clone(), [n; 7]);
            }),
            Subject::new(
                rows::PARKING_LOT_MAP,
                PEER,
                reads!(path, texts, move |name: &str| found(locked.read().get(name))),
            )
            .written(|at, n| {
                locked.write().insert(names[at].clone(), [n; 7]);
            }),
            Subject::new(
                rows::ARC_SWAP_MAP,
                PEER,
                reads!(path, texts, move |name: &str| found(swapped.load().get(name))),
            )
            .written(|at, n| {
                let mut map = Folded::clone(&swapped.load());
                map.insert(names[at].clone(), [n; 7]);
                swapped.store(Arc::new(map));
            }),
            Subject::new(
                rows::SCC,
                PEER,
                reads!(path, texts, move |name: &str| scc
                    .read_sync(name, |_, record| fold(*record))
                    .unwrap_or(0)),
            )
            .written(|at, n| {
                scc.upsert_sync(names[at].clone(), [n; 7]);
            }),
            Subject::new(
                rows::EVMAP,
                PEER,
                reads!(path, texts, move |name: &str| evmap.get_one(name).map_or(0, |record| fold(*record))),
            )
            .written(|at, n| {
                evmap_writer.update(names[at].clone(), [n; 7]);
                evmap_writer.publish();
            }),
            Subject::new(
                rows::MOKA,
                PEER,
                reads!(path, texts, move |name: &str| found(moka.get(name).as_ref())),
            ),
            // It parses and orders names; it is asked by its own form of them.
            Subject::new(rows::HICKORY, PEER, move |n| hickory.within(|look| run!(path, n, indices, look))),
        ]
    }
}

fn entries(names: &[String]) -> impl Iterator<Item = (String, Record)> + '_ {
    (0..).zip(names).map(|(index, name)| (name.clone(), [mix(index); 7]))
}

/// Consumes a record; none counts as 0.
#[inline(always)]
fn found(record: Option<&Record>) -> u64 {
    record.map_or(0, |record| fold(*record))
}
