//! Alias tables: which endpoint a weighted pick takes, by one drawn place and one comparison.
//!
//! Each place keeps a share of its own and gives the rest to one other place, its alias. A picker draws a place evenly and
//! a fraction: below the place's threshold it takes that endpoint, else the alias. The table lies in the endpoints' own
//! cells, so that a pick reads one of them, and a second one only when it takes the alias.
//!
//! Built by one sweep over light and heavy places with what is left of one heavy one in hand: linear, exact in integers
//! up to the rounding of a threshold to 32 bits, and without memory of its own.

use crate::record::Endpoint;

/// The threshold of a place that never gives way.
pub(crate) const ALWAYS: u32 = u32::MAX;

/// Calls `assign` once for each place of a set, with its threshold and alias. With no weight at all, all are alike.
pub(crate) fn sweep(set: &[Endpoint], mut assign: impl FnMut(usize, u32, u16)) {
    let length = set.len() as u64;
    if set.len() == 1 {
        return assign(0, ALWAYS, 0);
    }
    // Scaled so that the mean share is `total`: below 2^32 * 2^16.
    let total: u64 = set.iter().map(|endpoint| u64::from(endpoint.weight())).sum();
    let share = |place: usize| u64::from(set[place].weight()) * length;
    let next = |from: usize, light: bool| {
        (from..set.len()).find(|place| (share(*place) < total) == light).unwrap_or(set.len())
    };
    let (mut light, mut heavy) = (next(0, true), next(0, false));
    let mut left = if heavy < set.len() { share(heavy) } else { 0 };
    while heavy < set.len() {
        if left > total && light < set.len() {
            // The heavy place in hand fills up what the light one lacks.
            assign(light, threshold(share(light), total), heavy as u16);
            left -= total - share(light);
            light = next(light + 1, true);
        } else {
            // What is left of it is a share or less: the next heavy place fills that up.
            let after = next(heavy + 1, false);
            if after < set.len() {
                assign(heavy, threshold(left, total), after as u16);
                left = left + share(after) - total;
            } else {
                assign(heavy, ALWAYS, heavy as u16);
            }
            heavy = after;
        }
    }
    while light < set.len() {
        assign(light, ALWAYS, light as u16);
        light = next(light + 1, true);
    }
}

fn threshold(share: u64, total: u64) -> u32 {
    if share >= total {
        return ALWAYS;
    }
    // Below 2^48 * 2^32, in 128 bits.
    ((u128::from(share) << 32) / u128::from(total)) as u32
}

#[cfg(all(test, feature = "std"))]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn set(weights: &[u32]) -> Vec<Endpoint> {
        let endpoint =
            |weight: &u32| Endpoint::new(std::net::SocketAddr::from(([10, 0, 0, 1], 1))).with_weight(*weight);
        weights.iter().map(endpoint).collect()
    }

    /// Each place's part of all picks, by the table.
    fn parts(weights: &[u32]) -> Vec<f64> {
        let mut parts = vec![0.0; weights.len()];
        let mut assigned = vec![0; weights.len()];
        sweep(&set(weights), |place, threshold, alias| {
            assigned[place] += 1;
            let own = if threshold == ALWAYS { 1.0 } else { f64::from(threshold) / 4_294_967_296.0 };
            parts[place] += own / weights.len() as f64;
            parts[usize::from(alias)] += (1.0 - own) / weights.len() as f64;
        });
        assert!(assigned.iter().all(|times| *times == 1), "{assigned:?}");
        parts
    }

    proptest! {
        #[test]
        fn every_weight_has_its_part(weights in proptest::collection::vec(0u32..10_000, 1..40)) {
            let total: f64 = weights.iter().copied().map(f64::from).sum();
            for (weight, part) in weights.iter().zip(parts(&weights)) {
                let wanted = if total == 0.0 { 1.0 / weights.len() as f64 } else { f64::from(*weight) / total };
                prop_assert!((part - wanted).abs() < 1e-6, "{} is not {}", part, wanted);
            }
        }
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let parts = parts(&[u32::MAX, u32::MAX, 1]);
        assert!((parts[0] - 0.5).abs() < 1e-6 && parts[2] < 1e-6, "{parts:?}");
    }
}
