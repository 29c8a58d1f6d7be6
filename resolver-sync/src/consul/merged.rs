//! One service, and what each datacentre says of it.
//!
//! Each part comes in its own time, so what stands is the sum of the latest ones. Nothing is reported before each
//! datacentre has said something, be it that it cannot be read: else the backup would serve for as long as the first
//! one takes to answer.

use std::cell::RefCell;
use std::collections::HashSet;

use crate::record::{Rejected, ServiceSet};
use crate::source::Fault;

use super::contact::{Contact, Member};

/// A service that is watched.
pub(super) struct Merged<'a> {
    pub(super) name: String,
    contact: &'a Contact<'a>,
    member: Member<'a>,
    parts: RefCell<Vec<Part>>,
}

/// What one datacentre said last.
#[derive(Clone, Debug, Default)]
struct Part {
    set: Option<ServiceSet>,
    /// Why it cannot be read now; the set stands.
    fault: Option<Fault>,
    /// The generation in which it spoke last.
    generation: u64,
}

impl<'a> Merged<'a> {
    /// A service of so many datacentres. Joins those that must report before the source is alive.
    pub(super) fn new(name: &str, contact: &'a Contact<'a>, datacenters: usize) -> Self {
        let parts = RefCell::new(vec![Part::default(); datacenters]);
        Merged { name: name.to_owned(), contact, member: contact.join(), parts }
    }

    /// A datacentre's answer; whether it is another one than the last.
    pub(super) fn learn(&self, tier: u8, set: ServiceSet, generation: u64) -> bool {
        let mut parts = self.parts.borrow_mut();
        let part = &mut parts[usize::from(tier)];
        let changed = part.set.as_ref().is_none_or(|last| {
            (&last.instances, &last.unhealthy, &last.rejected)
                != (&set.instances, &set.unhealthy, &set.rejected)
        });
        let moved = part.set.as_ref().is_none_or(|last| last.revision != set.revision);
        let again = part.fault.is_some() || part.generation != generation;
        *part = Part { set: Some(set), fault: None, generation };
        if changed || moved || again {
            self.report(&parts);
        }
        self.settle(&parts, generation);
        changed
    }

    /// A datacentre cannot be read: what it said last stands.
    pub(super) fn doubt(&self, tier: u8, fault: Fault, generation: u64) {
        let mut parts = self.parts.borrow_mut();
        let part = &mut parts[usize::from(tier)];
        let first = part.fault.is_none();
        (part.fault, part.generation) = (Some(fault.clone()), generation);
        if first && parts.len() > 1 {
            // The others may have waited for it.
            self.report(&parts);
        }
        self.contact.feed().doubt(self.name.as_str(), fault);
        self.settle(&parts, generation);
    }

    /// Whether nothing at all is there.
    pub(super) fn is_gone(&self) -> bool {
        self.parts.borrow().iter().all(|part| {
            part.set.as_ref().is_some_and(|set| {
                set.instances.is_empty() && set.unhealthy.is_empty() && set.rejected.is_empty()
            })
        })
    }

    fn report(&self, parts: &[Part]) {
        if parts.iter().any(|part| part.set.is_none() && part.fault.is_none()) {
            return;
        }
        let sets: Vec<_> = parts.iter().filter_map(|part| part.set.clone()).collect();
        if sets.is_empty() {
            return;
        }
        let feed = self.contact.feed();
        feed.service(self.name.as_str(), sum(sets));
        if let Some(fault) = parts.iter().find_map(|part| part.fault.clone()) {
            feed.doubt(self.name.as_str(), fault);
        }
    }

    fn settle(&self, parts: &[Part], generation: u64) {
        if parts.iter().all(|part| part.generation == generation) {
            self.member.settle(generation);
        }
    }
}

/// Sets of one service, the first tier first, as one; its revision is the sum of theirs, which grows with each.
pub(super) fn sum(sets: Vec<ServiceSet>) -> ServiceSet {
    let mut sets = sets.into_iter();
    let mut sum = sets.next().unwrap_or_default();
    let mut places: HashSet<_> = sum.instances.iter().map(|own| (own.address, own.port)).collect();
    for set in sets {
        sum.revision = sum.revision.saturating_add(set.revision);
        sum.rejected.extend(set.rejected);
        for instance in set.instances {
            let (address, port) = (instance.address, instance.port);
            if places.insert((address, port)) {
                sum.instances.push(instance);
            } else {
                let why = format!("a second instance at {address}:{port}, of another datacentre");
                sum.rejected.push(Rejected { id: instance.id, why });
            }
        }
        sum.unhealthy.extend(set.unhealthy);
    }
    sum.unhealthy.retain(|other| places.insert((other.address, other.port)));
    sum
}

#[cfg(test)]
mod tests {
    use resolver_core::Reason;

    use super::*;
    use crate::record::Candidate;
    use crate::source::Feed;

    fn set(tier: u8, ports: &[i64], revision: u64) -> ServiceSet {
        let of = |port: &i64| Candidate {
            id: format!("{tier}/{port}"),
            address: "10.0.0.1".into(),
            port: *port,
            tier,
            ..Candidate::default()
        };
        ServiceSet::check(ports.iter().map(of), revision)
    }

    fn ids(feed: &Feed) -> Option<Vec<String>> {
        let set = feed.take().services.remove("web")?;
        Some(set.instances.into_iter().map(|own| own.id).collect())
    }

    #[test]
    fn sums_keep_the_tiers_in_order_and_one_instance_at_a_place() {
        let both = sum(vec![set(0, &[1, 2], 5), set(1, &[2, 3], 7)]);
        assert_eq!(
            both.instances.iter().map(|own| own.id.as_str()).collect::<Vec<_>>(),
            ["0/1", "0/2", "1/3"]
        );
        assert_eq!((both.revision, both.rejected[0].id.as_str()), (12, "1/2"));
    }

    #[test]
    fn a_backup_waits_for_the_first_datacentre_and_serves_when_that_cannot_be_read() {
        let feed = Feed::default();
        let contact = Contact::new(&feed);
        let web = Merged::new("web", &contact, 2);
        web.learn(1, set(1, &[9], 3), 1);
        assert_eq!(ids(&feed), None);
        web.doubt(0, Fault::new(Reason::Unreachable, "cut"), 1);
        let report = feed.take();
        assert_eq!(report.services["web"].instances[0].id, "1/9");
        assert_eq!(report.doubts["web"].reason, Reason::Unreachable);
        assert!(web.learn(0, set(0, &[1], 4), 1));
        assert_eq!(ids(&feed), Some(vec!["0/1".into(), "1/9".into()]));
        // Lost again: what it said stands, and the other one's changes arrive, in doubt.
        web.doubt(0, Fault::new(Reason::Unreachable, "cut"), 1);
        feed.take();
        web.learn(1, set(1, &[8], 4), 1);
        let report = feed.take();
        assert_eq!(report.services["web"].instances.len(), 2);
        assert!(report.doubts.contains_key("web"));
    }

    #[test]
    fn what_does_not_change_is_reported_once_in_a_generation() {
        let feed = Feed::default();
        let contact = Contact::new(&feed);
        let web = Merged::new("web", &contact, 1);
        assert!(web.learn(0, set(0, &[1], 3), 1));
        assert!(ids(&feed).is_some());
        assert!(!web.learn(0, set(0, &[1], 3), 1));
        assert_eq!(ids(&feed), None);
        assert!(!web.learn(0, set(0, &[1], 3), 2));
        assert!(ids(&feed).is_some(), "again in the next generation");
    }
}
