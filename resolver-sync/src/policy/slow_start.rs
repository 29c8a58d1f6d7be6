//! An instance that is new begins with a tenth of its weight and gains the rest evenly.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How often a weight that grows is looked at.
const STEP: Duration = Duration::from_secs(1);
/// What a new instance begins with, in percent of its weight; and the least weight that can be told from its tenth.
const FLOOR: u32 = 10;

/// An instance: the same id at another address is another process.
pub(super) type Key = (u64, SocketAddr);

/// Follows the instances of one view.
#[derive(Debug, Default)]
pub(super) struct SlowStart {
    /// Those of the last set, and since when one gains weight. `None` before the first set.
    known: Option<HashMap<Key, Option<Instant>>>,
}

impl SlowStart {
    /// A predecessor published these: they are not new.
    pub(super) fn inherit(&mut self, known: impl IntoIterator<Item = Key>) {
        self.known.get_or_insert_default().extend(known.into_iter().map(|key| (key, None)));
    }

    /// Takes the instances of a set. Of the first one nobody knows who is new, so none is.
    pub(super) fn follow(&mut self, present: impl IntoIterator<Item = Key>, window: Duration, now: Instant) {
        let before = self.known.take();
        let since = |key: &Key| match &before {
            None => None,
            Some(known) => known.get(key).copied().unwrap_or(Some(now)),
        };
        let grows = |since: &Instant| now.saturating_duration_since(*since) < window;
        self.known = Some(present.into_iter().map(|key| (key, since(&key).filter(grows))).collect());
    }

    /// What all weights are multiplied by while one of them grows: small weights leave no room for tenths. Only the
    /// ratio of weights counts.
    pub(super) fn scale(&self, weights: impl Iterator<Item = u32>) -> u32 {
        let (mut least, mut most) = (u32::MAX, 0);
        for weight in weights.filter(|weight| *weight > 0) {
            (least, most) = (least.min(weight), most.max(weight));
        }
        let grows = self.known.iter().flat_map(HashMap::values).any(Option::is_some);
        if grows && least < FLOOR && most <= u32::MAX / FLOOR { FLOOR } else { 1 }
    }

    /// The weight as of now. One that is not 0 never becomes 0.
    pub(super) fn weight(&self, key: &Key, full: u32, window: Duration, now: Instant) -> u32 {
        let since = self.known.as_ref().and_then(|known| known.get(key).copied().flatten());
        let Some(since) = since.filter(|_| full > 0) else { return full };
        let (elapsed, window) = (now.saturating_duration_since(since).as_millis(), window.as_millis().max(1));
        let (floor, rest) = (u128::from(FLOOR), u128::from(100 - FLOOR));
        let weight = u128::from(full) * (floor * window + rest * elapsed.min(window)) / (100 * window);
        u32::try_from(weight).unwrap_or(full).max(1)
    }

    /// When to look again.
    pub(super) fn due(&self, window: Duration, now: Instant) -> Option<Instant> {
        let growing = self.known.iter().flat_map(HashMap::values).flatten();
        growing.min().map(|since| (*since + window).min(now + STEP))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn key(port: u16) -> Key {
        (u64::from(port), SocketAddr::from(([10, 0, 0, 1], port)))
    }

    #[test]
    fn a_new_instance_gains_its_weight_evenly() {
        let (mut starts, start) = (SlowStart::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        starts.follow([key(1)], WINDOW, at(0));
        assert_eq!(
            (starts.weight(&key(1), 100, WINDOW, at(0)), starts.due(WINDOW, at(0))),
            (100, None),
            "the start"
        );
        starts.follow([key(1), key(2)], WINDOW, at(10));
        let weights: Vec<u32> =
            [10, 20, 40, 69, 70].map(|second| starts.weight(&key(2), 100, WINDOW, at(second))).into();
        assert_eq!(weights, [10, 25, 55, 98, 100]);
        assert_eq!(starts.weight(&key(1), 100, WINDOW, at(40)), 100);
        assert_eq!(starts.due(WINDOW, at(40)), Some(at(41)));
        assert_eq!(starts.due(WINDOW, at(70) - Duration::from_millis(1)), Some(at(70)));
        starts.follow([key(1), key(2)], WINDOW, at(70));
        assert_eq!((starts.due(WINDOW, at(70)), starts.scale([1].into_iter())), (None, 1));
    }

    #[test]
    fn what_was_inherited_is_not_new_and_what_came_with_it_is() {
        let (mut starts, now) = (SlowStart::default(), Instant::now());
        starts.inherit([key(1)]);
        starts.follow([key(1), key(2)], WINDOW, now);
        assert_eq!([1, 2].map(|port| starts.weight(&key(port), 100, WINDOW, now)), [100, 10]);
    }

    #[test]
    fn one_that_left_and_came_back_or_moved_is_new() {
        let (mut starts, now) = (SlowStart::default(), Instant::now());
        starts.follow([key(1), key(2)], WINDOW, now);
        starts.follow([key(1)], WINDOW, now);
        starts.follow([key(1), key(2), (1, key(3).1)], WINDOW, now);
        assert_eq!(starts.weight(&key(2), 50, WINDOW, now), 5);
        assert_eq!(starts.weight(&(1, key(3).1), 50, WINDOW, now), 5);
    }

    #[test]
    fn small_weights_are_scaled_while_one_grows() {
        let (mut starts, now) = (SlowStart::default(), Instant::now());
        starts.follow([key(1)], WINDOW, now);
        assert_eq!(starts.scale([1, 1].into_iter()), 1, "nothing grows");
        starts.follow([key(1), key(2)], WINDOW, now);
        assert_eq!(starts.scale([1, 100].into_iter()), 10);
        assert_eq!(starts.scale([10, 0].into_iter()), 1, "0 stays 0, and 10 has tenths");
        assert_eq!(starts.scale([1, u32::MAX].into_iter()), 1, "no room");
    }

    proptest! {
        #[test]
        fn weights_grow_and_end_at_the_full_one(full in 0u32.., window in 1u64..7200, moments in prop::collection::vec(0u64..8000, 1..20)) {
            let (mut starts, start) = (SlowStart::default(), Instant::now());
            let window = Duration::from_secs(window);
            starts.follow([key(1)], window, start);
            starts.follow([key(1), key(2)], window, start);
            let mut moments = moments;
            moments.sort();
            let weight = |second| starts.weight(&key(2), full, window, start + Duration::from_secs(second));
            let mut before = 0;
            for moment in moments {
                let now = weight(moment);
                prop_assert!(now >= before && now <= full && (now > 0) == (full > 0));
                prop_assert!(u64::from(now) * 10 + 10 >= u64::from(full));
                before = now;
            }
            prop_assert_eq!(weight(window.as_secs()), full);
        }
    }
}
