//! The order of a smooth weighted round robin, made once for each set.
//!
//! Each step adds every endpoint's weight to its credit, takes the endpoint with the most (the first of equals), and
//! subtracts the sum of all weights from its credit: so a heavy endpoint is spread over the order and not taken in a row.
//! The order repeats after as many steps as the weights, reduced by their greatest common divisor, have in sum.

use crate::error::PublishError;
use crate::record::Endpoint;
use crate::room::Notes;

/// The longest set that an order is made for: making it looks at every endpoint in every step.
const MOST_ENDPOINTS: usize = 2048;
/// Looks at endpoints, at most.
const MOST_LOOKS: usize = 1 << 22;

/// How often each endpoint comes within an order.
pub(crate) struct Order {
    /// Endpoints' weights in sum, where any has one.
    total: u64,
    divisor: u64,
    /// Steps that the weights are scaled to; 0 where they are exact.
    scale: u64,
}

impl Order {
    pub(crate) fn of(active: &[Endpoint]) -> Result<Order, PublishError> {
        if active.len() > MOST_ENDPOINTS {
            return Err(PublishError::Order { active: active.len(), most: MOST_ENDPOINTS });
        }
        let weights = || active.iter().map(|endpoint| u64::from(endpoint.weight()));
        let total: u64 = weights().sum();
        let divisor = weights().fold(0, gcd).max(1);
        let most = (64 * active.len()).max(1024).min(MOST_LOOKS / active.len().max(1)) as u64;
        Ok(Order { total, divisor, scale: if total / divisor > most { most } else { 0 } })
    }

    /// How often this endpoint comes. With no weight at all, all are alike.
    fn share(&self, endpoint: &Endpoint) -> u64 {
        let weight = u64::from(endpoint.weight());
        match (self.total, weight, self.scale) {
            (0, ..) => 1,
            (_, 0, _) => 0,
            (_, _, 0) => weight / self.divisor,
            // Weights are below 2^32 and the scale below 2^22. One that has a weight comes at least once.
            (total, _, scale) => ((weight * scale + total / 2) / total).max(1),
        }
    }

    /// Steps in all.
    pub(crate) fn steps(&self, active: &[Endpoint]) -> usize {
        active.iter().map(|endpoint| self.share(endpoint)).sum::<u64>() as usize
    }

    /// Calls `put` with each step's endpoint, by its place. `credit` has a word for each endpoint.
    pub(crate) fn write(&self, active: &[Endpoint], credit: Notes<'_>, mut put: impl FnMut(usize, u16)) {
        let steps = self.steps(active);
        (0..active.len()).for_each(|place| credit.set(place, 0));
        for step in 0..steps {
            let mut best = (i64::MIN, 0);
            for (place, endpoint) in active.iter().enumerate() {
                let grown = credit.get(place) as i64 + self.share(endpoint) as i64;
                credit.set(place, grown as u64);
                if grown > best.0 && self.share(endpoint) > 0 {
                    best = (grown, place);
                }
            }
            credit.set(best.1, (best.0 - steps as i64) as u64);
            put(step, best.1 as u16);
        }
    }
}

pub(crate) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(all(test, feature = "std", not(resolver_loom)))]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::memory::Line;

    fn order(weights: &[u32]) -> Vec<u16> {
        let address = std::net::SocketAddr::from(([10, 0, 0, 1], 1));
        let set: Vec<_> = weights.iter().map(|weight| Endpoint::new(address).with_weight(*weight)).collect();
        let credit: Vec<Line> = (0..weights.len().div_ceil(8)).map(|_| Line::new()).collect();
        let order = Order::of(&set).expect("it is short");
        let mut steps = vec![u16::MAX; order.steps(&set)];
        order.write(&set, Notes::new(&credit, 0), |step, place| steps[step] = place);
        steps
    }

    #[test]
    fn heavy_endpoints_are_spread() {
        assert_eq!(order(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(order(&[10, 20]), [1, 0, 1]);
        assert_eq!(order(&[7]), [0]);
        assert_eq!(order(&[0, 3, 0]), [1]);
        assert_eq!(order(&[0, 0]), [0, 1], "with no weight at all, all are alike");
    }

    #[test]
    fn too_many_are_refused() {
        let set = vec![Endpoint::new(std::net::SocketAddr::from(([10, 0, 0, 1], 1))); 2049];
        assert!(Order::of(&set[..2048]).is_ok());
        assert_eq!(
            Order::of(&set).err(),
            Some(PublishError::Order { active: 2049, most: 2048 }),
            "making it would take too long"
        );
    }

    proptest! {
        /// Exact where the order is short enough, else off by less than a 64th of the mean.
        #[test]
        fn each_comes_as_often_as_its_weight_says(weights in proptest::collection::vec(0u32..5000, 1..24)) {
            let steps = order(&weights);
            let total: f64 = weights.iter().copied().map(f64::from).sum();
            for (place, weight) in weights.iter().enumerate() {
                let times = steps.iter().filter(|step| usize::from(**step) == place).count() as f64;
                let wanted = if total == 0.0 { 1.0 } else { f64::from(*weight) * steps.len() as f64 / total };
                prop_assert!((times - wanted).abs() <= 1.0 + wanted / 40.0, "{} for {}", times, wanted);
            }
        }

        /// At no moment is one endpoint further ahead of its due than the others together allow.
        #[test]
        fn none_comes_in_a_row_beyond_its_share(weights in proptest::collection::vec(1u32..20, 2..8)) {
            let steps = order(&weights);
            let total: u32 = weights.iter().sum();
            for (place, weight) in weights.iter().enumerate() {
                let mut seen = 0.0;
                for (step, taken) in steps.iter().enumerate() {
                    seen += f64::from(u8::from(usize::from(*taken) == place));
                    let due = f64::from(*weight) * (step + 1) as f64 / f64::from(total);
                    prop_assert!((seen - due).abs() < weights.len() as f64, "{} at {}", seen, step);
                }
            }
        }
    }
}
