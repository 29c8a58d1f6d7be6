//! Key tables by Maglev hashing (Eisenbud and others, NSDI 2016): every endpoint fills places of a table in an order of its
//! own, taking turns, until the table is full. A key leads to a place. When one endpoint leaves, its places are filled anew
//! and nearly all others stay.
//!
//! An endpoint of more weight has more turns. An endpoint's order comes from its id alone and turns go by id, so the table
//! does not depend on the order of the set.

use crate::leaf::PAYLOAD as WORDS;
use crate::name::multiply;
use crate::record::Endpoint;
use crate::room::Notes;
use crate::smooth::gcd;

/// Words of memory that [`fill`] needs for each endpoint.
pub(crate) const SCRATCH: usize = 3;

/// A place that no endpoint has filled yet. Sets with a key table are far shorter.
pub(crate) const FREE: u16 = u16::MAX;

/// A table to be filled, all of its places [`FREE`].
pub(crate) trait Places {
    fn get(&self, place: usize) -> u16;
    fn set(&mut self, place: usize, endpoint: u16);
}

const K: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

/// The hash of a key. One folded multiplication: keys that count up are spread evenly, and that is all it is for.
/// Every process and every binding must agree on it.
#[inline(always)]
pub(crate) const fn hash(key: u64) -> u64 {
    multiply(key, K[0])
}

/// A number below `count`, from 32 bits of a hash.
#[inline(always)]
pub(crate) const fn below(count: usize, bits: u64) -> usize {
    (((bits & 0xffff_ffff) * count as u64) >> 32) as usize
}

/// Where a key of this hash looks in a table of so many leaves: the leaf, the word in it, and by how many bits that word is shifted
/// right to have the place in its lowest 16. Every process and every binding must agree on it; the golden vectors hold it.
///
/// The hash is a fraction of 1, and each multiplication's high half is its next digit: the leaf, then the word. The lane is two bits
/// of the lowest byte, where they stand, so that it is a count of bits without a shift.
#[inline(always)]
pub(crate) const fn place_of(leaves: usize, hash: u64) -> (usize, usize, u32) {
    let leaf = hash as u128 * leaves as u128;
    let word = (leaf as u64 as u128) * WORDS as u128;
    ((leaf >> 64) as usize, (word >> 64) as usize, hash as u32 & 0x30)
}

/// Fills a table of this many places, at least two.
pub(crate) fn fill(active: &[Endpoint], count: usize, scratch: Notes<'_>, places: &mut impl Places) {
    let length = active.len();
    let heaviest = active.iter().map(|endpoint| u64::from(endpoint.weight())).max().unwrap_or(0);
    // With no weight at all, all are alike.
    let weight = |place: usize| if heaviest == 0 { 1 } else { u64::from(active[place].weight()) };
    // In order of ids; then for each endpoint where it looks next and how far it steps; then when its next turn is due.
    let (turns, walks, dues) = (scratch, scratch.after(length), scratch.after(2 * length));
    sort_by_id(active, turns);
    for (place, endpoint) in active.iter().enumerate() {
        let (at, step) = walk_of(endpoint.id(), count);
        walks.set(place, at as u64 | (step as u64) << 32);
        dues.set(place, 0);
    }
    let (mut free, mut round) = (count, 0);
    while free > 0 {
        round += 1;
        for turn in 0..length {
            let place = turns.get(turn) as usize;
            if weight(place) == 0 || weight(place) * round < dues.get(place) {
                continue;
            }
            dues.set(place, dues.get(place) + heaviest.max(1));
            let walk = walks.get(place);
            let (mut at, step) = ((walk & 0xffff_ffff) as usize, (walk >> 32) as usize);
            while places.get(at) != FREE {
                at = (at + step) % count;
            }
            places.set(at, place as u16);
            walks.set(place, at as u64 | (step as u64) << 32);
            free -= 1;
            if free == 0 {
                break;
            }
        }
    }
}

/// Where an endpoint begins, and the step by which it comes to every place: one without a common factor with their count.
fn walk_of(id: u64, count: usize) -> (usize, usize) {
    let bits = multiply(multiply(id ^ K[0], K[1]) ^ K[2], K[0]);
    let mut step = 1 + below(count - 1, bits >> 32);
    while gcd(step as u64, count as u64) != 1 {
        step = step % (count - 1) + 1;
    }
    (below(count, bits), step)
}

/// Heapsort: in place, and in memory that is words.
fn sort_by_id(active: &[Endpoint], turns: Notes<'_>) {
    let key = |turn: usize| {
        let place = turns.get(turn);
        (active[place as usize].id(), place)
    };
    let swap = |a: usize, b: usize| {
        let kept = turns.get(a);
        turns.set(a, turns.get(b));
        turns.set(b, kept);
    };
    let sink = |from: usize, end: usize| {
        let mut at = from;
        while 2 * at + 1 < end {
            let left = 2 * at + 1;
            let larger = if left + 1 < end && key(left + 1) > key(left) { left + 1 } else { left };
            if key(at) >= key(larger) {
                return;
            }
            swap(at, larger);
            at = larger;
        }
    };
    (0..active.len()).for_each(|turn| turns.set(turn, turn as u64));
    (0..active.len() / 2).rev().for_each(|at| sink(at, active.len()));
    for end in (1..active.len()).rev() {
        swap(0, end);
        sink(0, end);
    }
}

#[cfg(all(test, feature = "std", not(resolver_loom)))]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::memory::Line;

    impl Places for Vec<u16> {
        fn get(&self, place: usize) -> u16 {
            self[place]
        }

        fn set(&mut self, place: usize, endpoint: u16) {
            self[place] = endpoint;
        }
    }

    fn set(ids: &[(u64, u32)]) -> Vec<Endpoint> {
        let address = std::net::SocketAddr::from(([10, 0, 0, 1], 1));
        ids.iter().map(|(id, weight)| Endpoint::new(address).with_id(*id).with_weight(*weight)).collect()
    }

    /// The id at each place.
    fn table(ids: &[(u64, u32)], count: usize) -> Vec<u64> {
        let set = set(ids);
        let scratch: Vec<Line> = (0..(SCRATCH * set.len()).div_ceil(8)).map(|_| Line::new()).collect();
        let mut places = vec![FREE; count];
        fill(&set, count, Notes::new(&scratch, 0), &mut places);
        places.iter().map(|place| set[usize::from(*place)].id()).collect()
    }

    fn ids(count: u64) -> Vec<(u64, u32)> {
        (1..=count).map(|id| (id * 0x1_0001, 1)).collect()
    }

    #[test]
    fn all_have_alike() {
        for (members, count) in [(8, 28 * 29), (10, 28 * 36), (3, 28 * 11), (1, 28 * 4), (100, 28 * 358)] {
            let table = table(&ids(members), count);
            let shares: Vec<usize> =
                ids(members).iter().map(|(id, _)| table.iter().filter(|at| *at == id).count()).collect();
            let (least, most) = (shares.iter().min(), shares.iter().max());
            assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{shares:?}");
        }
    }

    #[test]
    fn when_one_leaves_nearly_all_others_stay() {
        let (count, all) = (28 * 36, ids(10));
        let before = table(&all, count);
        let without: Vec<_> = all.iter().copied().filter(|(id, _)| *id != all[3].0).collect();
        let after = table(&without, count);
        let moved = before.iter().zip(&after).filter(|(b, a)| b != a && **b != all[3].0).count();
        // The paper has about 1 in 50 with 100 places for each.
        assert!(moved * 20 < count, "{moved} of {count} places moved without need");
        assert!(!after.contains(&all[3].0));
    }

    #[test]
    fn the_order_of_the_set_is_nothing_to_it() {
        let mut all = ids(9);
        let before = table(&all, 28 * 40);
        all.reverse();
        all.swap(2, 5);
        assert_eq!(table(&all, 28 * 40), before);
    }

    /// Keys that count up, in steps that people number accounts by too, come to every place about as often.
    #[test]
    fn keys_that_count_up_come_to_every_place() {
        for step in [1, 2, 7, 10, 16, 64, 100, 1000, 1024, 4096, 65_536, 1_000_000, 1 << 32, 1 << 40] {
            for leaves in [4, 29, 32, 36] {
                let mut counts = vec![0u32; leaves * WORDS * 4];
                let keys = 64 * counts.len() as u64;
                for key in (1..=keys).map(|n| n * step) {
                    let (leaf, word, shift) = place_of(leaves, hash(key));
                    assert!(
                        leaf < leaves && word < WORDS && shift.is_multiple_of(16),
                        "{leaf} {word} {shift}"
                    );
                    counts[(leaf * WORDS + word) * 4 + shift as usize / 16] += 1;
                }
                let (least, most) = (counts.iter().min(), counts.iter().max());
                // 64 on average; of random keys about one place in a million million is outside of this.
                let even = least.zip(most).is_some_and(|(least, most)| *least > 8 && *most < 128);
                assert!(even, "steps of {step}, {leaves} leaves: {least:?} to {most:?}");
            }
        }
    }

    /// What every process and every binding must agree on, for ever.
    #[test]
    fn golden_places() {
        let places: Vec<_> = [0, 1, 2, 3, 4711, u64::MAX].map(|key| place_of(36, hash(key))).to_vec();
        assert_eq!(places, GOLDEN_PLACES);
    }

    const GOLDEN_PLACES: [(usize, usize, u32); 6] =
        [(0, 0, 0), (22, 1, 16), (8, 3, 32), (30, 5, 48), (20, 0, 32), (35, 6, 48)];

    /// What every process and every binding must agree on, for ever.
    #[test]
    fn golden_table() {
        let table = table(&[(1, 1), (2, 1), (3, 2)], 28 * 11);
        let sum = table.iter().fold(0u64, |sum, id| multiply(sum ^ id, K[1]));
        assert_eq!((&table[..12], sum), (GOLDEN.as_slice(), GOLDEN_SUM));
    }

    const GOLDEN: [u64; 12] = [3, 2, 1, 3, 3, 3, 2, 3, 3, 1, 3, 3];
    const GOLDEN_SUM: u64 = 10_495_260_196_616_029_973;

    proptest! {
        #[test]
        fn weights_are_kept(weights in proptest::collection::vec(0u32..50, 1..9)) {
            let ids: Vec<_> = weights.iter().zip(1..).map(|(weight, id)| (id, *weight)).collect();
            let count = 28 * 40;
            let table = table(&ids, count);
            let total: u32 = weights.iter().sum();
            for (id, weight) in ids {
                let share = table.iter().filter(|at| **at == id).count() as f64;
                let wanted = if total == 0 { count as f64 / weights.len() as f64 }
                    else { f64::from(weight) / f64::from(total) * count as f64 };
                // Whole turns: off by one for each endpoint, and by what a round gives.
                prop_assert!((share - wanted).abs() <= 2.0 + 0.01 * wanted, "{} for {}", share, wanted);
            }
        }
    }
}
