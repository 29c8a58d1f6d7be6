//! Endpoints that callers report as failing are taken out for a while; a few at a time, and never the last one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{PolicyError, refuse};
use crate::report::Outcome;

/// When reported failures take an endpoint out, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// So many failures without a success between them.
    pub failures: u32,
    /// How long the first time; the second time twice that, and so on.
    pub base: Duration,
    /// How long at most.
    pub max: Duration,
    /// In percent of the view's endpoints, rounded down: no more are out at one time. One may always be, where there are
    /// two; the last one never is.
    pub max_ejected: u8,
}

impl Default for Ejection {
    fn default() -> Self {
        Ejection {
            failures: 5,
            base: Duration::from_secs(30),
            max: Duration::from_secs(300),
            max_ejected: 10,
        }
    }
}

impl Ejection {
    /// The same, if it makes sense.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] for no failures, a base of less than a second, a maximum under the base or over a day, or a
    /// percentage outside 1 to 100.
    pub fn check(self) -> Result<Self, PolicyError> {
        if self.failures == 0 {
            return refuse("ejection: failures is 0; it takes one at least");
        }
        if self.base < Duration::from_secs(1) {
            return refuse(format!("ejection: base is {:?}; it must be 1s at least", self.base));
        }
        if self.max < self.base || self.max > Duration::from_secs(86_400) {
            return refuse(format!(
                "ejection: max is {:?}; it must be base ({:?}) to 24h",
                self.max, self.base
            ));
        }
        if !(1..=100).contains(&self.max_ejected) {
            return refuse(format!(
                "ejection: max_ejected is {}; it must be 1 to 100 percent",
                self.max_ejected
            ));
        }
        Ok(self)
    }

    /// How many of so many may be out at one time.
    fn most(&self, members: usize) -> usize {
        (members * usize::from(self.max_ejected) / 100).max(1).min(members.saturating_sub(1))
    }
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// The view has no such endpoint.
    Unknown,
    /// It was counted, or the endpoint is out already.
    Counted,
    /// The endpoint is out, for so long.
    Ejected(Duration),
    /// It would be out, but as many as may be are out already.
    Spared,
}

/// Follows the endpoints of one view. Memory is bounded by the set: only its members are remembered.
#[derive(Debug, Default)]
pub(super) struct Outliers {
    members: HashMap<u64, Member>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Member {
    /// Without a success since.
    failures: u32,
    /// How often it was out; it counts down again with time.
    ejections: u32,
    /// Until when it is out.
    out_until: Option<Instant>,
    /// When it came back last.
    back_at: Option<Instant>,
}

impl Outliers {
    /// Takes the endpoints of a set. Where it shrank so that too many are out, those that were to come back first do.
    pub(super) fn follow(&mut self, present: impl IntoIterator<Item = u64>, rule: &Ejection, now: Instant) {
        let mut before = std::mem::take(&mut self.members);
        self.members = present.into_iter().map(|id| (id, before.remove(&id).unwrap_or_default())).collect();
        self.release(now);
        let most = rule.most(self.members.len());
        let mut out: Vec<_> = self.members.values_mut().filter(|member| member.out_until.is_some()).collect();
        out.sort_by_key(|member| member.out_until);
        let too_many = out.len().saturating_sub(most);
        out.into_iter().take(too_many).for_each(|member| member.come_back(now));
    }

    /// Takes one report.
    pub(super) fn report(&mut self, id: u64, outcome: Outcome, rule: &Ejection, now: Instant) -> Noted {
        let out = self.members.values().filter(|member| member.is_out(now)).count();
        let room = out < rule.most(self.members.len());
        let Some(member) = self.members.get_mut(&id) else { return Noted::Unknown };
        if member.is_out(now) {
            // Sent before it went out, or by somebody who tried a reserve.
            return Noted::Counted;
        }
        if outcome == Outcome::Success {
            member.failures = 0;
            return Noted::Counted;
        }
        member.failures = member.failures.saturating_add(1);
        if member.failures < rule.failures {
            return Noted::Counted;
        }
        if !room {
            return Noted::Spared;
        }
        Noted::Ejected(member.eject(rule, now))
    }

    /// Lets those come back whose time is over.
    fn release(&mut self, now: Instant) {
        for member in self.members.values_mut() {
            if let Some(until) = member.out_until.filter(|until| now >= *until) {
                member.come_back(until);
            }
        }
    }

    /// Whether an endpoint is out.
    pub(super) fn is_out(&self, id: u64, now: Instant) -> bool {
        self.members.get(&id).is_some_and(|member| member.is_out(now))
    }

    /// When the next one comes back.
    pub(super) fn due(&self) -> Option<Instant> {
        self.members.values().filter_map(|member| member.out_until).min()
    }
}

impl Member {
    fn is_out(&self, now: Instant) -> bool {
        self.out_until.is_some_and(|until| now < until)
    }

    fn come_back(&mut self, at: Instant) {
        (self.out_until, self.back_at, self.failures) = (None, Some(at), 0);
    }

    fn eject(&mut self, rule: &Ejection, now: Instant) -> Duration {
        // Each `base` that it served since it came back makes up for one time that it was out.
        let back_at = self.out_until.take().or(self.back_at);
        let served = back_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let forgiven = u32::try_from(served.as_millis() / rule.base.as_millis().max(1)).unwrap_or(u32::MAX);
        self.ejections = self.ejections.saturating_sub(forgiven).saturating_add(1);
        let time = rule.base.saturating_mul(self.ejections).min(rule.max);
        (self.out_until, self.failures) = (Some(now + time), 0);
        time
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Outcome::{Failure, Success};

    const RULE: Ejection = Ejection {
        failures: 5,
        base: Duration::from_secs(30),
        max: Duration::from_secs(300),
        max_ejected: 10,
    };

    fn of(members: u64, now: Instant) -> Outliers {
        let mut outliers = Outliers::default();
        outliers.follow(0..members, &RULE, now);
        outliers
    }

    fn fail(outliers: &mut Outliers, id: u64, now: Instant) -> Noted {
        (1..RULE.failures).for_each(|_| assert_eq!(outliers.report(id, Failure, &RULE, now), Noted::Counted));
        outliers.report(id, Failure, &RULE, now)
    }

    #[test]
    fn consecutive_failures_eject_and_a_success_begins_anew() {
        let now = Instant::now();
        let mut outliers = of(10, now);
        for _ in 0..3 {
            (0..4).for_each(|_| assert_eq!(outliers.report(3, Failure, &RULE, now), Noted::Counted));
            outliers.report(3, Success, &RULE, now);
        }
        assert_eq!(fail(&mut outliers, 3, now), Noted::Ejected(RULE.base));
        assert!(outliers.is_out(3, now) && !outliers.is_out(2, now));
        assert_eq!(outliers.due(), Some(now + RULE.base));
        assert_eq!(outliers.report(3, Failure, &RULE, now), Noted::Counted, "out already");
        assert!(!outliers.is_out(3, now + RULE.base), "it comes back by itself");
        assert_eq!(outliers.report(77, Failure, &RULE, now), Noted::Unknown);
        assert_eq!(outliers.members.len(), 10, "what is unknown takes no memory");
    }

    #[test]
    fn each_time_is_longer_up_to_the_maximum_and_good_time_makes_up_for_it() {
        let mut now = Instant::now();
        let mut outliers = of(10, now);
        for times in 1..=12 {
            let Noted::Ejected(time) = fail(&mut outliers, 0, now) else { panic!("not ejected") };
            assert_eq!(time, (RULE.base * times).min(RULE.max));
            now += time;
        }
        // 12 times out; ten bases of service leave two, and this one is the third.
        assert_eq!(fail(&mut outliers, 0, now + RULE.base * 10), Noted::Ejected(RULE.base * 3));
    }

    #[test]
    fn no_more_than_the_share_is_out_and_never_the_last() {
        let now = Instant::now();
        for (members, most) in [(1, 0), (2, 1), (3, 1), (10, 1), (19, 1), (20, 2), (35, 3)] {
            let mut outliers = of(members, now);
            let out =
                (0..members).filter(|id| matches!(fail(&mut outliers, *id, now), Noted::Ejected(_))).count();
            assert_eq!(out, most, "of {members}");
        }
        let all = Ejection { max_ejected: 100, ..RULE };
        assert_eq!((all.most(10), all.most(1), all.most(0)), (9, 0, 0));
        let mut outliers = of(2, now);
        fail(&mut outliers, 0, now);
        assert_eq!(fail(&mut outliers, 1, now), Noted::Spared);
        assert_eq!(
            outliers.report(1, Failure, &RULE, now + RULE.base),
            Noted::Ejected(RULE.base),
            "room again"
        );
    }

    #[test]
    fn a_set_that_shrinks_takes_back_those_that_were_to_come_first() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut outliers = of(20, now);
        fail(&mut outliers, 0, now);
        fail(&mut outliers, 1, later);
        outliers.follow(0..10, &RULE, later);
        assert_eq!([0, 1].map(|id| outliers.is_out(id, later)), [false, true]);
        outliers.follow([1], &RULE, later);
        assert!(!outliers.is_out(1, later), "the last one is never out");
        assert_eq!(outliers.members.len(), 1);
    }

    #[test]
    fn nonsense_is_refused() {
        let refused = |rule: Ejection| rule.check().expect_err("refused").to_string();
        assert!(refused(Ejection { failures: 0, ..RULE }).contains("failures"));
        assert!(refused(Ejection { base: Duration::from_millis(999), ..RULE }).contains("1s"));
        assert!(refused(Ejection { max: Duration::from_secs(29), ..RULE }).contains("max"));
        assert!(refused(Ejection { max_ejected: 0, ..RULE }).contains("percent"));
        assert!(refused(Ejection { max_ejected: 101, ..RULE }).contains("percent"));
        assert_eq!(Ejection::default().check(), Ok(RULE));
    }

    proptest! {
        /// Whatever is reported and however sets change: the share holds, and all are back in the end.
        #[test]
        fn the_share_always_holds(
            max_ejected in 1u8..=100,
            steps in prop::collection::vec((0u64..40, any::<bool>(), 0u64..20, prop::option::of(0u64..40)), 1..400),
        ) {
            let rule = Ejection { failures: 2, max_ejected, ..RULE };
            let (mut outliers, mut now) = (Outliers::default(), Instant::now());
            let mut members = 30;
            outliers.follow(0..members, &rule, now);
            for (id, good, pause, resize) in steps {
                now += Duration::from_secs(pause);
                if let Some(size) = resize {
                    members = size;
                    outliers.follow(0..members, &rule, now);
                }
                let noted = outliers.report(id, if good { Success } else { Failure }, &rule, now);
                prop_assert_eq!(noted == Noted::Unknown, id >= members);
                let out = (0..members).filter(|id| outliers.is_out(*id, now)).count();
                prop_assert!(out <= rule.most(members as usize), "{} of {}", out, members);
                prop_assert!(members == 0 || out < members as usize);
            }
            now += rule.max;
            prop_assert!((0..members).all(|id| !outliers.is_out(id, now)));
        }
    }
}
