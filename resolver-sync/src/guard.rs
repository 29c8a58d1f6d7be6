//! What stands between a registry's word and the table: an answer that looks like an outage is read again before it is
//! believed.
//!
//! The classic outage is a valid answer that is empty or partial. So a set that leaves a view empty, that lost more than
//! half of what a view shows, or that is of an older revision, is confirmed by a second, consistent read. Once
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
#[derive(Debug)]
pub struct Guard {
    /// What each view of the service takes of it; a view is judged by what it shows, not by what it leaves out.
    filters: Vec<Filter>,
    /// Whether a set was believed since this guard is there.
    believed: bool,
    revision: u64,
    confirming: bool,
    /// Whether the answer of the second read that is under way is of no use any more.
    void: bool,
    /// The latest suspicious set and what is suspicious about it, while it is not confirmed.
    suspect: Option<(ServiceSet, Fault)>,
    /// Whether a second read has already answered with less than the suspect's revision.
    behind: bool,
    hold: Option<Fault>,
    retry_at: Option<Instant>,
    retry_after: Duration,
}

/// One view's tags, and where the instances are that were published for it; `None` while nothing was.
#[derive(Debug)]
struct Filter {
    tags: Vec<String>,
    published: Option<HashSet<SocketAddr>>,
}

impl Default for Guard {
    fn default() -> Self {
        Guard::new([Vec::new()])
    }
}

impl Guard {
    /// For a service that is shown through views with these tags each.
    pub fn new(views: impl IntoIterator<Item = Vec<String>>) -> Self {
        Guard {
            filters: views.into_iter().map(|tags| Filter { tags, published: None }).collect(),
            believed: false,
            revision: 0,
            confirming: false,
            void: false,
            suspect: None,
            behind: false,
            hold: None,
            retry_at: None,
            retry_after: Duration::ZERO,
        }
    }

    /// A predecessor published these for the view with these tags: they count as good until the registry says otherwise.
    pub fn inherit(&mut self, tags: &[String], published: impl IntoIterator<Item = SocketAddr>) {
        let published: HashSet<_> = published.into_iter().collect();
        // An empty set of a predecessor's is confirmed once more: nobody here has seen it.
        if let Some(filter) = self.filters.iter_mut().find(|filter| filter.tags == tags)
            && !published.is_empty()
        {
            filter.published.get_or_insert_default().extend(published);
        }
    }

    /// Judges a set that the source has reported.
    pub fn offer(&mut self, set: ServiceSet) -> Verdict {
        let Some(doubt) = self.doubt(&set) else {
            return self.believe(set);
        };
        self.suspect = Some((set, doubt));
        self.behind = false;
        self.start_confirming()
    }

    /// Takes the answer of a second read.
    pub fn confirmed(&mut self, answer: Result<ServiceSet, Fault>, now: Instant) -> Verdict {
        self.confirming = false;
        let void = std::mem::take(&mut self.void);
        let Some((suspect, doubt)) = self.suspect.take() else {
            // A good set was published meanwhile; that is newer than what was asked for.
            return Verdict::Keep;
        };
        // Asked before something newer was said, or of a history that has ended: it proves nothing of the suspect. A
        // second answer that is behind is the registry's word, though: its revisions have gone back.
        let behind = matches!(&answer, Ok(set) if set.revision < suspect.revision.max(self.revision));
        if void || (behind && !self.behind) {
            self.behind = behind;
            self.suspect = Some((suspect, doubt));
            return self.start_confirming();
        }
        let fault = match answer {
            Ok(set) if is_unusable(&set) => unusable(&set),
            Ok(set) => return self.believe(set),
            Err(fault) => fault,
        };
        self.hold = Some(fault);
        self.suspect = Some((suspect, doubt));
        self.retry_after = (self.retry_after * 2).clamp(RETRY.0, RETRY.1);
        self.retry_at = Some(now + self.retry_after);
        Verdict::Keep
    }

    /// The source cannot read this service.
    pub fn doubted(&mut self, fault: Fault) {
        self.hold = Some(fault);
    }

    /// The source has begun a new history: the next revision may be lower, and what was asked of the old one is void.
    pub fn new_epoch(&mut self) {
        self.revision = 0;
        self.void = self.confirming;
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

    /// Whether a set was believed since this guard is there; else what stands is a predecessor's.
    pub fn has_believed(&self) -> bool {
        self.believed
    }

    fn start_confirming(&mut self) -> Verdict {
        self.retry_at = None;
        if std::mem::replace(&mut self.confirming, true) { Verdict::Keep } else { Verdict::Confirm }
    }

    fn believe(&mut self, set: ServiceSet) -> Verdict {
        for filter in &mut self.filters {
            filter.published = Some(filter.places(&set));
        }
        self.believed = true;
        self.revision = set.revision;
        self.void = self.confirming;
        self.suspect = None;
        self.behind = false;
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
        let detail = self.filters.iter().find_map(|filter| filter.doubt(set))?;
        Some(Fault::new(Reason::Unconfirmed, format!("{detail}, not confirmed by a second read")))
    }
}

impl Filter {
    fn places(&self, set: &ServiceSet) -> HashSet<SocketAddr> {
        let shown = set.instances.iter().filter(|instance| instance.has_tags(&self.tags));
        shown.map(|instance| SocketAddr::new(instance.address, instance.port)).collect()
    }

    fn doubt(&self, set: &ServiceSet) -> Option<String> {
        let now = self.places(set);
        let published = self.published.as_ref();
        if now.is_empty() {
            // What is empty already needs no second proof.
            return published
                .is_none_or(|published| !published.is_empty())
                .then(|| "an empty answer".to_owned());
        }
        let published = published?;
        let lost = published.difference(&now).count();
        let strong = lost * 2 > published.len() && published.len() > 1;
        strong.then(|| format!("{lost} of {} instances gone at once", published.len()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Candidate;

    fn candidate(port: i64) -> Candidate {
        Candidate { id: port.to_string(), address: "10.0.0.1".into(), port, ..Candidate::default() }
    }

    fn set(ports: std::ops::Range<i64>, revision: u64) -> ServiceSet {
        ServiceSet::check(ports.map(candidate), revision)
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
        let mut guard = Guard::default();
        guard.inherit(&[], (1..5).map(|port| SocketAddr::from(([10, 0, 0, 1], port))));
        assert!(!guard.has_believed());
        assert_eq!(guard.offer(set(1..2, 1)), Verdict::Confirm);
    }

    #[test]
    fn a_second_read_that_is_behind_the_suspect_is_made_again_and_then_believed() {
        let mut guard = guard_of(1..11);
        assert_eq!(guard.offer(set(4..5, 5)), Verdict::Confirm);
        assert_eq!(guard.offer(set(3..4, 6)), Verdict::Keep);
        assert_eq!(guard.confirmed(Ok(set(4..5, 5)), Instant::now()), Verdict::Confirm, "asked before 6");
        assert_eq!(guard.confirmed(Ok(set(3..4, 6)), Instant::now()), Verdict::Publish(set(3..4, 6)));
        // Revisions that have really gone back are believed, but not at the first word.
        assert_eq!(guard.offer(set(1..2, 2)), Verdict::Confirm);
        assert_eq!(guard.confirmed(Ok(set(1..2, 2)), Instant::now()), Verdict::Confirm);
        assert_eq!(guard.confirmed(Ok(set(1..2, 2)), Instant::now()), Verdict::Publish(set(1..2, 2)));
    }

    #[test]
    fn a_second_read_of_before_a_good_set_or_an_epoch_proves_nothing() {
        let mut guard = guard_of(1..4);
        assert_eq!(guard.offer(set(1..1, 5)), Verdict::Confirm);
        assert!(matches!(guard.offer(set(1..4, 7)), Verdict::Publish(_)));
        assert_eq!(guard.offer(set(1..1, 8)), Verdict::Keep, "one is under way");
        assert_eq!(guard.confirmed(Ok(set(1..1, 9)), Instant::now()), Verdict::Confirm);
        guard.new_epoch();
        assert_eq!(guard.confirmed(Ok(set(1..1, 9)), Instant::now()), Verdict::Confirm);
        assert_eq!(guard.confirmed(Ok(set(1..1, 9)), Instant::now()), Verdict::Publish(set(1..1, 9)));
    }

    #[test]
    fn what_is_empty_already_needs_no_second_proof() {
        let mut guard = Guard::default();
        assert_eq!(guard.offer(set(1..1, 1)), Verdict::Confirm);
        assert_eq!(guard.confirmed(Ok(set(1..1, 1)), Instant::now()), Verdict::Publish(set(1..1, 1)));
        assert_eq!(guard.offer(set(1..1, 2)), Verdict::Publish(set(1..1, 2)));
    }

    #[test]
    fn a_view_is_judged_by_what_it_shows() {
        let tagged = |tag: &str, revision| {
            let candidate = |port| Candidate { port, tags: vec![tag.into()], ..candidate(port) };
            ServiceSet::check((1..4).map(candidate), revision)
        };
        let mut guard = Guard::new([Vec::new(), vec!["v2".into()]]);
        assert!(matches!(guard.offer(tagged("v2", 1)), Verdict::Publish(_)));
        assert_eq!(
            guard.offer(tagged("v3", 2)),
            Verdict::Confirm,
            "every address is there, and the view is empty"
        );
    }
}
