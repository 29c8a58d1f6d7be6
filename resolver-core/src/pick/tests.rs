//! What each picker takes, by its rule.

extern crate std;

use std::boxed::Box;
use std::vec::Vec;

use crate::{
    Capacity, Endpoint, Handle, Line, Publication, Reader, ResolveError, Standing, Table, Writer, heap,
};

use super::*;

fn table() -> (Writer<'static>, Reader<'static>, Handle) {
    let memory: &'static [Line] = Box::leak(heap(Capacity::SMALL.lines()));
    let (mut writer, reader) = Table::create(memory, &Capacity::SMALL, 1).expect("it fits").split();
    let handle = writer.add("oms").expect("there is room");
    (writer, reader, handle)
}

fn publish(writer: &mut Writer<'_>, handle: Handle, ids: impl IntoIterator<Item = u64>) {
    let endpoint = |id| Endpoint::new(std::net::SocketAddr::from(([10, 0, 0, 1], 9000))).with_id(id);
    let set: Vec<_> = ids.into_iter().map(endpoint).collect();
    writer.publish(handle, &set, Standing::FRESH, b"").expect("there is room");
}

#[test]
fn round_robin_takes_each_in_turn_and_follows_a_change() {
    let (mut writer, reader, oms) = table();
    publish(&mut writer, oms, 1..4);
    let mut picker = RoundRobin::new();
    let mut pick = || picker.pick(&reader, oms).map(|endpoint| endpoint.id());
    assert_eq!([pick(), pick(), pick(), pick()], [Ok(1), Ok(2), Ok(3), Ok(1)]);
    publish(&mut writer, oms, [7]);
    assert_eq!([pick(), pick()], [Ok(7), Ok(7)]);
    publish(&mut writer, oms, []);
    assert_eq!(pick(), Err(ResolveError::Empty));
}

#[test]
fn round_robins_of_two_threads_can_begin_apart() {
    let (mut writer, reader, oms) = table();
    publish(&mut writer, oms, 1..5);
    let mut picker = RoundRobin::from(2);
    assert_eq!(picker.pick(&reader, oms).map(|endpoint| endpoint.id()), Ok(3));
}

#[test]
fn random_is_even_and_the_same_for_the_same_seed() {
    let (mut writer, reader, oms) = table();
    publish(&mut writer, oms, 0..8);
    let mut counts = [0u32; 8];
    let (mut one, mut other) = (Random::new(7), Random::new(7));
    for _ in 0..8000 {
        let id = one.pick(&reader, oms).expect("published").id();
        assert_eq!(other.pick(&reader, oms).expect("published").id(), id);
        counts[id as usize] += 1;
    }
    // 1000 each, give or take 6 standard deviations of 30.
    assert!(counts.iter().all(|count| (820..1180).contains(count)), "{counts:?}");
}

#[test]
fn the_less_loaded_of_two_is_picked() {
    let (mut writer, reader, oms) = table();
    publish(&mut writer, oms, 0..8);
    let mut picker = PowerOfTwo::new(7);
    let mut counts = [0u32; 8];
    for _ in 0..8000 {
        // Load grows with the id: 0 wins against all, 7 against none.
        counts[picker.pick(&reader, oms, |endpoint| endpoint.id()).expect("published").id() as usize] += 1;
    }
    assert_eq!(counts[7], 0, "two different ones are compared");
    assert!(counts.windows(2).all(|pair| pair[0] > pair[1]), "{counts:?}");
    publish(&mut writer, oms, [5]);
    assert_eq!(picker.pick(&reader, oms, |_| 0).map(|endpoint| endpoint.id()), Ok(5));
}

#[test]
fn the_less_loaded_of_two_that_are_accepted_is_picked() {
    let (mut writer, reader, oms) = table();
    publish(&mut writer, oms, 0..8);
    let odd = |endpoint: &Endpoint| endpoint.id() % 2 == 1;
    let mut picker = PowerOfTwo::new(7);
    // Load grows with the id. Of the pairs among 1, 3, 5 and 7, three have 1 in them, two more 3, and the last one 5.
    let mut counts = [0i64; 8];
    for _ in 0..6000 {
        let picked = picker.pick_where(&reader, oms, odd, Endpoint::id).expect("published");
        counts[picked.id() as usize] += 1;
    }
    // Six standard deviations of 39.
    let off =
        counts.iter().zip([0, 3000, 0, 2000, 0, 1000, 0, 0]).map(|(count, due)| (count - due).abs()).max();
    assert!(off < Some(240) && [0, 2, 4, 6, 7].iter().all(|never| counts[*never] == 0), "{counts:?}");
    // With equal loads none is favoured, wherever it stands; also not of two.
    for (count, accepted) in [(4, &[1, 3, 5, 7][..]), (2, &[2, 6][..])] {
        let mut counts = [0i64; 8];
        for _ in 0..8000 {
            let some = |endpoint: &Endpoint| accepted.contains(&endpoint.id());
            counts[picker.pick_where(&reader, oms, some, |_| 5).expect("published").id() as usize] += 1;
        }
        let even = accepted.iter().all(|id| (counts[*id as usize] - 8000 / count).abs() < 270);
        assert!(even && counts.iter().sum::<i64>() == 8000, "{counts:?}");
    }
    let mut asked = 0;
    let alone = picker.pick_where(
        &reader,
        oms,
        |endpoint| endpoint.id() == 4,
        |_| {
            asked += 1;
            0
        },
    );
    assert_eq!(
        (alone.map(|endpoint| endpoint.id()), asked),
        (Ok(4), 0),
        "one alone is not asked for its load"
    );
    assert_eq!(picker.pick_where(&reader, oms, |_| false, |_| 0), Err(PickError::NoneAccepted));
    publish(&mut writer, oms, []);
    assert_eq!(picker.pick_where(&reader, oms, |_| true, |_| 0), Err(ResolveError::Empty.into()));
}

#[test]
fn weights_are_kept() {
    let (mut writer, reader, oms) = table();
    let endpoint = |id: u64| {
        let address = std::net::SocketAddr::from(([10, 0, 0, 1], 9000));
        Endpoint::new(address).with_id(id).with_weight(id as u32)
    };
    let set: Vec<_> = (0..8).map(endpoint).collect();
    writer.publish(oms, &set, Standing::FRESH, b"").expect("there is room");
    let mut counts = [0i64; 8];
    let mut picker = Weighted::new(7);
    for _ in 0..28_000 {
        counts[picker.pick(&reader, oms).expect("published").id() as usize] += 1;
    }
    // 1000 for each unit of weight; 400 is five standard deviations of the largest.
    let off = counts.iter().zip(0..).map(|(count, id)| (count - id * 1000).abs()).max();
    assert!(off < Some(400) && counts[0] == 0, "{counts:?}");
}

#[test]
fn a_key_keeps_its_endpoint_unless_that_leaves() {
    let (mut writer, reader, oms) = table();
    publish(&mut writer, oms, 0..8);
    let pick = |key| Rendezvous::pick(&reader, oms, key).expect("published").id();
    let before: Vec<u64> = (0..4000).map(pick).collect();
    let mut counts = [0u32; 8];
    before.iter().for_each(|id| counts[*id as usize] += 1);
    assert!(counts.iter().all(|count| (370..630).contains(count)), "{counts:?}");
    publish(&mut writer, oms, (0..8).rev().filter(|id| *id != 3));
    for (key, id) in before.iter().enumerate() {
        let now = pick(key as u64);
        assert!(now == *id || *id == 3, "key {key} moved from {id} to {now}");
        assert_ne!(now, 3);
    }
}

/// What every process and every binding must agree on, for ever.
#[test]
fn golden_picks() {
    let (mut writer, reader, oms) = table();
    publish(&mut writer, oms, (1..6).map(|id| id * 0x1111));
    let keys: Vec<u64> =
        (0..8).map(|key| Rendezvous::pick(&reader, oms, key).expect("published").id() / 0x1111).collect();
    let mut random = Random::new(42);
    let draws: Vec<u64> =
        (0..8).map(|_| random.pick(&reader, oms).expect("published").id() / 0x1111).collect();
    assert_eq!((keys.as_slice(), draws.as_slice()), (GOLDEN_KEYS.as_slice(), GOLDEN_DRAWS.as_slice()));
    let mut two = PowerOfTwo::new(42);
    let mut pick = || two.pick_where(&reader, oms, |endpoint| endpoint.id() != 0x2222, |_| 0);
    let pairs: Vec<u64> = (0..8).map(|_| pick().expect("published").id() / 0x1111).collect();
    assert_eq!(pairs, GOLDEN_PAIRS);
}

const GOLDEN_KEYS: [u64; 8] = [5, 3, 3, 2, 2, 1, 2, 5];
const GOLDEN_PAIRS: [u64; 8] = [5, 5, 4, 4, 1, 5, 3, 5];
const GOLDEN_DRAWS: [u64; 8] = [5, 2, 1, 1, 1, 1, 3, 3];

#[test]
fn smooth_takes_each_as_often_as_its_weight_says() {
    let (mut writer, reader, oms) = table();
    let address = std::net::SocketAddr::from(([10, 0, 0, 1], 9000));
    let endpoint = |weight| Endpoint::new(address).with_id(u64::from(weight)).with_weight(weight);
    let set = [endpoint(5), endpoint(1), endpoint(2)];
    let publication = Publication { smooth: true, ..Publication::new(&set, Standing::FRESH) };
    writer.publish_as(oms, &publication).expect("there is room");
    let mut picker = Smooth::new();
    let mut pick = || picker.pick(&reader, oms).expect("published").id();
    let first: Vec<u64> = (0..8).map(|_| pick()).collect();
    assert_eq!(first, [5, 2, 5, 5, 1, 5, 2, 5]);
    assert_eq!((0..8).map(|_| pick()).collect::<Vec<_>>(), first, "the order begins anew");
}
