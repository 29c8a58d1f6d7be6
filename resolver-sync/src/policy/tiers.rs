//! Which tier serves: the lowest that can, and how soon a lower one that was lost serves again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Follows the tiers of one view.
#[derive(Debug, Default)]
pub(super) struct FailBack {
    serving: Option<u8>,
    /// The tiers below the one that serves which could serve, and since when without interruption.
    back: BTreeMap<u8, Instant>,
}

impl FailBack {
    /// A predecessor had this tier serve: a lower one must prove itself to us as it would have had to there.
    pub(super) fn inherit(&mut self, serving: u8) {
        self.serving = Some(serving);
    }

    /// The tier that serves, of those that can. A tier that can serve no more is left at once, for the lowest that can;
    /// a lower one serves again after `wait` without interruption.
    pub(super) fn serve(&mut self, able: &BTreeSet<u8>, wait: Duration, now: Instant) -> Option<u8> {
        self.back.retain(|tier, _| able.contains(tier));
        let serving = match self.serving.filter(|serving| able.contains(serving)) {
            None => able.first().copied(),
            Some(serving) => {
                for tier in able.range(..serving) {
                    self.back.entry(*tier).or_insert(now);
                }
                let proven = |since: &Instant| now.saturating_duration_since(*since) >= wait;
                let mut lower = self.back.range(..serving).filter(|(_, since)| proven(since));
                Some(lower.next().map_or(serving, |(tier, _)| *tier))
            }
        };
        self.back.retain(|tier, _| serving.is_some_and(|serving| *tier < serving));
        self.serving = serving;
        serving
    }

    /// When a lower tier will have proven itself, if nothing else changes.
    pub(super) fn due(&self, wait: Duration) -> Option<Instant> {
        self.back.values().min().map(|since| *since + wait)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WAIT: Duration = Duration::from_secs(30);

    fn able(tiers: &[u8]) -> BTreeSet<u8> {
        tiers.iter().copied().collect()
    }

    #[test]
    fn without_a_wait_the_lowest_serves() {
        let (mut tiers, now) = (FailBack::default(), Instant::now());
        for set in [&[2, 5][..], &[0, 2], &[1, 5], &[5], &[0]] {
            assert_eq!(tiers.serve(&able(set), Duration::ZERO, now), Some(set[0]));
        }
        assert_eq!(tiers.serve(&able(&[]), Duration::ZERO, now), None);
    }

    #[test]
    fn a_lower_tier_serves_again_once_it_was_back_for_long_enough() {
        let (mut tiers, start) = (FailBack::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(tiers.serve(&able(&[0, 1]), WAIT, at(0)), Some(0), "the start is no fail-back");
        assert_eq!(tiers.serve(&able(&[1]), WAIT, at(1)), Some(1), "a loss is followed at once");
        assert_eq!(tiers.serve(&able(&[0, 1]), WAIT, at(2)), Some(1));
        assert_eq!(tiers.due(WAIT), Some(at(32)));
        assert_eq!(tiers.serve(&able(&[1]), WAIT, at(20)), Some(1), "an interruption");
        assert_eq!(tiers.due(WAIT), None);
        assert_eq!(tiers.serve(&able(&[0, 1]), WAIT, at(21)), Some(1));
        assert_eq!(tiers.serve(&able(&[0, 1]), WAIT, at(50)), Some(1), "29 s");
        assert_eq!(tiers.serve(&able(&[0, 1]), WAIT, at(51)), Some(0), "30 s");
        assert_eq!(tiers.due(WAIT), None);
    }

    #[test]
    fn when_the_serving_tier_is_lost_nobody_waits() {
        let (mut tiers, start) = (FailBack::default(), Instant::now());
        assert_eq!(tiers.serve(&able(&[1, 2]), WAIT, start), Some(1));
        assert_eq!(tiers.serve(&able(&[0, 1, 2]), WAIT, start), Some(1));
        assert_eq!(
            tiers.serve(&able(&[0, 2]), WAIT, start),
            Some(0),
            "a tier on probation is better than a later one"
        );
    }

    #[test]
    fn each_tier_proves_itself() {
        let (mut tiers, start) = (FailBack::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(tiers.serve(&able(&[2]), WAIT, at(0)), Some(2));
        assert_eq!(tiers.serve(&able(&[1, 2]), WAIT, at(10)), Some(2));
        assert_eq!(tiers.serve(&able(&[0, 1, 2]), WAIT, at(20)), Some(2));
        assert_eq!(tiers.serve(&able(&[0, 1, 2]), WAIT, at(40)), Some(1));
        assert_eq!(tiers.serve(&able(&[0, 1, 2]), WAIT, at(50)), Some(0));
    }

    #[test]
    fn a_successor_goes_on_from_the_tier_that_served() {
        let (mut tiers, start) = (FailBack::default(), Instant::now());
        tiers.inherit(1);
        assert_eq!(tiers.serve(&able(&[0, 1]), WAIT, start), Some(1));
        assert_eq!(tiers.serve(&able(&[0, 1]), WAIT, start + WAIT), Some(0));
    }

    proptest! {
        /// Against an oracle that remembers the whole history and looks it through each time.
        #[test]
        fn as_the_whole_history_says(steps in prop::collection::vec((0u64..20, prop::collection::btree_set(0u8..4, 0..4)), 1..60)) {
            let (mut tiers, start) = (FailBack::default(), Instant::now());
            let mut history: Vec<(u64, BTreeSet<u8>, Option<u8>)> = Vec::new();
            let mut now = 0;
            for (pause, able) in steps {
                now += pause;
                let before = history.last().and_then(|(_, _, serving)| *serving);
                let expected = match before.filter(|before| able.contains(before)) {
                    None => able.first().copied(),
                    Some(before) => {
                        // For how long it was able while a later tier served and went on serving, looking back from now.
                        let held = |tier: &u8| {
                            let counts = |place: &usize| {
                                let (_, able, served) = &history[*place];
                                let before = place.checked_sub(1).and_then(|before| history[before].2);
                                able.contains(tier)
                                    && served.is_some_and(|served| served > *tier)
                                    && before.is_some_and(|before| before > *tier && able.contains(&before))
                            };
                            let first = (0..history.len()).rev().take_while(counts).last();
                            now - first.map_or(now, |first| history[first].0)
                        };
                        let lower = able.iter().filter(|tier| **tier < before).find(|tier| held(tier) >= WAIT.as_secs());
                        Some(lower.copied().unwrap_or(before))
                    }
                };
                let serving = tiers.serve(&able, WAIT, start + Duration::from_secs(now));
                prop_assert_eq!(serving, expected);
                history.push((now, able, serving));
            }
        }
    }
}
