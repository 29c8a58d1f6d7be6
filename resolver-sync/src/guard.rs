//! What stands between a registry's word and the table: an answer that looks like an outage is read again before it is
//! believed.
//!
//! The classic outage is a valid answer that is empty or partial. So a set that is empty, that lost more than half of
//! the instances that are published, or that is of an older revision, is confirmed by a second, consistent read. Once
//! confirmed it is believed at once: holding on for ever does harm too. What cannot be confirmed is a hold: the last
//! good set stands, with its reason, and the second read is tried again until it says something.
//!
//! A state machine without clock or wire of its own: [`Guard::offer`] and [`Guard::confirmed`] say what to do.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use resolver_core::Reason;

use crate::record::ServiceSet;
use crate::source::Fault;

/// How long after a second read failed the next one is made, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// What to do about a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The set is to be published.
    Publish(ServiceSet),
    /// Read the service again, consistently, and hand the answer to [`Guard::confirmed`].
    Confirm,
    /// The last good set stands; [`Guard::hold`] says why, if it says anything.
    Keep,
}

/// Watches over one service of one source.
#[derive(Debug, Default)]
pub struct Guard {
    /// Where the published instances are; `None` while nothing was published.
    published: Option<HashSet<SocketAddr>>,
    revision: u64,
    confirming: bool,
    /// The latest suspicious set and what is suspicious about it, while it is not confirmed.
    suspect: Option<(ServiceSet, Fault)>,
    hold: Option<Fault>,
    retry_at: Option<Instant>,
    retry_after: Duration,
}

impl Guard {
    /// For a service whose set a predecessor published: it counts as good until the registry says otherwise.
    pub fn inherit(published: impl IntoIterator<Item = SocketAddr>) -> Self {
        let published: HashSet<_> = published.into_iter().collect();
        Guard { published: (!published.is_empty()).then_some(published), ..Guard::default() }
    }

    /// Judges a set that the source has reported.
    pub fn offer(&mut self, set: ServiceSet) -> Verdict {
        let Some(doubt) = self.doubt(&set) else {
            return self.believe(set);
        };
        self.suspect = Some((set, doubt));
        self.start_confirming()
    }

    /// Takes the answer of a second read.
    pub fn confirmed(&mut self, answer: Result<ServiceSet, Fault>, now: Instant) -> Verdict {
        self.confirming = false;
        let Some(suspect) = self.suspect.take() else {
            // A good set was published meanwhile; that is newer than what was asked for.
            return Verdict::Keep;
        };
        let fault = match answer {
            Ok(set) if is_unusable(&set) => unusable(&set),
            Ok(set) => return self.believe(set),
            Err(fault) => fault,
        };
        self.hold = Some(fault);
        self.suspect = Some(suspect);
        self.retry_after = (self.retry_after * 2).clamp(RETRY.0, RETRY.1);
        self.retry_at = Some(now + self.retry_after);
        Verdict::Keep
    }

    /// The source cannot read this service.
    pub fn doubted(&mut self, fault: Fault) {
        self.hold = Some(fault);
    }

    /// The source has begun a new history: the next revision may be lower.
    pub fn new_epoch(&mut self) {
        self.revision = 0;
    }

    /// Whether it is time to read again what could not be confirmed. A second read that is still under way makes a hold
    /// of the suspicion: most have ended by then, and a set that is confirmed in a moment was never held.
    pub fn tick(&mut self, now: Instant) -> Verdict {
        if let (None, Some((_, doubt))) = (&self.hold, &self.suspect) {
            self.hold = Some(doubt.clone());
        }
        match self.retry_at {
            Some(at) if now >= at && self.suspect.is_some() => self.start_confirming(),
            _ => Verdict::Keep,
        }
    }

    /// Why the last good set stands in place of what the registry says.
    pub fn hold(&self) -> Option<&Fault> {
        self.hold.as_ref()
    }

    /// Whether the guard waits for a second read, or holds.
    pub fn is_unsettled(&self) -> bool {
        self.suspect.is_some() || self.hold.is_some()
    }

    fn start_confirming(&mut self) -> Verdict {
        self.retry_at = None;
        if std::mem::replace(&mut self.confirming, true) { Verdict::Keep } else { Verdict::Confirm }
    }

    fn believe(&mut self, set: ServiceSet) -> Verdict {
        self.published = Some(places(&set).collect());
        self.revision = set.revision;
        self.suspect = None;
        self.hold = None;
        self.retry_at = None;
        self.retry_after = Duration::ZERO;
        Verdict::Publish(set)
    }

    /// Why a set cannot be believed at its first reading.
    fn doubt(&self, set: &ServiceSet) -> Option<Fault> {
        if is_unusable(set) {
            return Some(unusable(set));
        }
        if set.revision < self.revision {
            let detail = format!("revision {} after {}", set.revision, self.revision);
            return Some(Fault::new(Reason::Regressed, detail));
        }
        if set.instances.is_empty() {
            return Some(Fault::new(
                Reason::Unconfirmed,
                "an empty answer that a second read has not confirmed",
            ));
        }
        let published = self.published.as_ref()?;
        let now: HashSet<_> = places(set).collect();
        let lost = published.difference(&now).count();
        (lost * 2 > published.len() && published.len() > 1).then(|| {
            let detail = format!(
                "{lost} of {} instances gone at once, not confirmed by a second read",
                published.len()
            );
            Fault::new(Reason::Unconfirmed, detail)
        })
    }
}

/// Records there are, and none that can be used: that is no empty service.
fn is_unusable(set: &ServiceSet) -> bool {
    set.instances.is_empty() && !set.rejected.is_empty()
}

fn unusable(set: &ServiceSet) -> Fault {
    let first = set.rejected.first().map_or(String::new(), |first| format!("{}: {}", first.id, first.why));
    Fault::new(Reason::BadRecords, format!("none of {} records can be used; {first}", set.rejected.len()))
}

fn places(set: &ServiceSet) -> impl Iterator<Item = SocketAddr> + '_ {
    set.instances.iter().map(|instance| SocketAddr::new(instance.address, instance.port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Candidate;

    fn set(ports: std::ops::Range<i64>, revision: u64) -> ServiceSet {
        let candidates = ports.map(|port| Candidate {
            id: port.to_string(),
            address: "10.0.0.1".into(),
            port,
            ..Candidate::default()
        });
        ServiceSet::check(candidates, revision)
    }

    fn guard_of(ports: std::ops::Range<i64>) -> Guard {
        let mut guard = Guard::default();
        assert!(matches!(guard.offer(set(ports, 1)), Verdict::Publish(_)));
        guard
    }

    #[test]
    fn small_changes_pass_at_once() {
        let mut guard = guard_of(1..5);
        assert!(matches!(guard.offer(set(1..4, 2)), Verdict::Publish(_)), "one of four left");
        assert!(matches!(guard.offer(set(1..9, 3)), Verdict::Publish(_)), "five came");
    }

    #[test]
    fn empty_is_believed_only_when_confirmed() {
        for mut guard in [guard_of(1..4), Guard::default()] {
            assert_eq!(guard.offer(set(1..1, 2)), Verdict::Confirm);
            assert_eq!(guard.hold(), None, "most second reads end in a moment");
            assert_eq!(guard.tick(Instant::now()), Verdict::Keep, "one second read at a time");
            assert_eq!(guard.hold().map(|fault| fault.reason), Some(Reason::Unconfirmed));
            assert_eq!(guard.offer(set(1..1, 2)), Verdict::Keep, "one second read at a time");
            assert_eq!(guard.confirmed(Ok(set(1..1, 2)), Instant::now()), Verdict::Publish(set(1..1, 2)));
            assert_eq!(guard.hold(), None);
        }
    }

    #[test]
    fn a_strong_shrink_is_confirmed_and_the_second_read_counts() {
        let mut guard = guard_of(1..11);
        assert_eq!(guard.offer(set(1..4, 2)), Verdict::Confirm);
        assert_eq!(guard.confirmed(Ok(set(1..10, 3)), Instant::now()), Verdict::Publish(set(1..10, 3)));
    }

    #[test]
    fn a_hold_stands_until_it_is_confirmed() {
        let mut guard = guard_of(1..4);
        let mut now = Instant::now();
        assert_eq!(guard.offer(set(1..1, 2)), Verdict::Confirm);
        for _ in 0..5 {
            assert_eq!(guard.confirmed(Err(Fault::new(Reason::Acl, "denied")), now), Verdict::Keep);
            assert_eq!(guard.hold().map(|fault| fault.reason), Some(Reason::Acl));
            assert_eq!(guard.tick(now), Verdict::Keep, "not at once");
            now += RETRY.1;
            assert_eq!(guard.tick(now), Verdict::Confirm, "but later");
        }
        assert_eq!(guard.confirmed(Ok(set(1..1, 2)), now), Verdict::Publish(set(1..1, 2)));
    }

    #[test]
    fn a_good_set_ends_a_hold_and_outlives_a_late_second_read() {
        let mut guard = guard_of(1..4);
        assert_eq!(guard.offer(set(1..1, 2)), Verdict::Confirm);
        assert!(matches!(guard.offer(set(1..5, 3)), Verdict::Publish(_)));
        assert_eq!(guard.confirmed(Ok(set(1..1, 2)), Instant::now()), Verdict::Keep);
        assert_eq!(guard.hold(), None);
    }

    #[test]
    fn an_older_revision_is_confirmed_unless_a_new_epoch_was_announced() {
        let mut guard = guard_of(1..4);
        assert!(matches!(guard.offer(set(1..4, 9)), Verdict::Publish(_)));
        assert_eq!(guard.offer(set(1..4, 3)), Verdict::Confirm);
        assert_eq!(guard.tick(Instant::now()), Verdict::Keep);
        assert_eq!(guard.hold().map(|fault| fault.reason), Some(Reason::Regressed));
        guard.new_epoch();
        assert!(matches!(guard.offer(set(1..4, 3)), Verdict::Publish(_)));
    }

    #[test]
    fn only_bad_records_is_not_empty() {
        let mut guard = guard_of(1..4);
        let bad = set(0..1, 2);
        assert_eq!(guard.offer(bad.clone()), Verdict::Confirm);
        assert_eq!(guard.confirmed(Ok(bad), Instant::now()), Verdict::Keep);
        assert_eq!(guard.hold().map(|fault| fault.reason), Some(Reason::BadRecords));
    }

    #[test]
    fn what_a_predecessor_published_is_not_dropped_for_nothing() {
        let mut guard = Guard::inherit((1..5).map(|port| SocketAddr::from(([10, 0, 0, 1], port))));
        assert_eq!(guard.offer(set(1..2, 1)), Verdict::Confirm);
    }
}
