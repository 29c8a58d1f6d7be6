//! Several sources as one: their sets laid over each other in an order of precedence, with who said each instance.
//!
//! Each member is watched and judged on its own, as any source: what it is believed to say, its last good set while it
//! cannot be believed, is laid over what the others say. So a member that is silent takes nothing away, and one that is
//! wrong is doubted by its own guard. The overlay stands as its worst member does: it is fresh when all of them are, as old
//! as the oldest, and held where one of them is.
//!
//! What is not known is not taken for nothing: a service that is empty by those who have spoken is not empty before all of
//! them have; and what a predecessor published stands as it is until then.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use resolver_core::Reason;
use serde::Deserialize;

use crate::record::{Instance, ServiceSet};
use crate::source::{Fault, Feed, LocalFuture, Source};

/// How the members' sets become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// All instances of all members. Where two have one address and port, or one id, the member that is named first has
    /// it: with its weight, tier, zone, tags and metadata, and with its word that it is unhealthy.
    #[default]
    Merge,
    /// The instances of the first member, in their order, that has any of the service; the others wait.
    First,
}

/// Several sources as one. The publisher feeds it; it has no connection of its own.
pub struct OverlaySource {
    name: String,
    members: Vec<Arc<str>>,
    rule: Rule,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts the reports.
    revision: u64,
    services: BTreeMap<String, Service>,
    /// Services that a predecessor published and that not every member has spoken of yet.
    inherited: BTreeSet<String>,
}

/// What is known of one service.
struct Service {
    /// What each member is believed to say.
    sets: Vec<Option<ServiceSet>>,
    /// Why it may not be all.
    doubt: Option<Fault>,
}

/// How a member stands to a service.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    /// What it said is believed; or it has nothing to say.
    Good,
    /// The last good set stands, for this reason.
    Held(Fault),
    /// It has said nothing yet that was believed.
    None(Fault),
}

/// What the overlay has to say of a service now.
pub(crate) enum Said {
    Nothing,
    Set(ServiceSet, Option<Fault>),
    Doubt(Fault),
}

impl OverlaySource {
    /// An overlay of these members, the ones that win first.
    pub fn new(name: impl Into<String>, members: impl IntoIterator<Item = String>, rule: Rule) -> Self {
        let members = members.into_iter().map(Arc::from).collect();
        OverlaySource { name: name.into(), members, rule, state: Mutex::default() }
    }

    /// The members' names, in their order.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| &**member)
    }

    /// A predecessor published these.
    pub(crate) fn inherit(&self, services: impl IntoIterator<Item = String>) {
        self.lock().inherited.extend(services);
    }

    /// Every service that anybody has spoken of.
    pub(crate) fn services(&self) -> Vec<String> {
        let state = self.lock();
        state.services.keys().chain(&state.inherited).cloned().collect()
    }

    /// A member is believed to say this.
    pub(crate) fn learn(&self, member: usize, service: &str, set: ServiceSet) {
        let mut state = self.lock();
        let count = self.members.len();
        let service = state.services.entry(service.to_owned()).or_insert_with(|| Service::new(count));
        if let Some(place) = service.sets.get_mut(member) {
            *place = Some(set);
        }
    }

    /// A service that has been empty for long; whoever names it again begins anew.
    pub(crate) fn forget(&self, service: &str) {
        self.lock().services.remove(service);
    }

    /// What there is to be said of a service, where its members stand like this.
    pub(crate) fn say(&self, name: &str, words: &[Word]) -> Said {
        let mut state = self.lock();
        let State { revision, services, inherited } = &mut *state;
        let is_inherited = inherited.contains(name);
        let service = match services.get_mut(name) {
            Some(service) => service,
            None if is_inherited => {
                services.entry(name.to_owned()).or_insert_with(|| Service::new(words.len()))
            }
            None => return Said::Nothing,
        };
        let mut held = None;
        let mut missing = None;
        for (place, word) in words.iter().enumerate() {
            match word {
                Word::Good => {}
                Word::Held(fault) => held = held.or_else(|| Some(self.by(place, fault))),
                Word::None(fault) => missing = missing.or_else(|| Some(self.by(place, fault))),
            }
            let has_any = service.sets[place].as_ref().is_some_and(|set| !set.instances.is_empty());
            if self.rule == Rule::First && has_any {
                // Whatever the others say, they wait.
                break;
            }
        }
        service.doubt = missing.clone().or_else(|| held.clone());
        *revision += 1;
        let set = merge(self.rule, &self.members, &service.sets, *revision);
        match missing {
            Some(fault) if is_inherited || set.instances.is_empty() => Said::Doubt(fault),
            missing => {
                inherited.remove(name);
                Said::Set(set, held.or(missing))
            }
        }
    }

    /// A fault with the member whose it is.
    fn by(&self, place: usize, fault: &Fault) -> Fault {
        Fault::new(fault.reason, format!("{}: {}", self.members[place], fault.detail))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    fn new(members: usize) -> Self {
        Service { sets: (0..members).map(|_| None).collect(), doubt: None }
    }
}

fn merge(rule: Rule, members: &[Arc<str>], sets: &[Option<ServiceSet>], revision: u64) -> ServiceSet {
    // Records that were left out are counted and named where they are: at the member.
    let mut merged = ServiceSet { revision, ..ServiceSet::default() };
    let mut places = HashSet::new();
    let mut ids = HashSet::new();
    for (member, set) in members.iter().zip(sets) {
        let Some(set) = set else { continue };
        let mut add = |instance: &Instance, to: &mut Vec<Instance>| {
            let place = SocketAddr::new(instance.address, instance.port);
            // Both are noted, whichever of them was there.
            let (new_place, new_id) = (places.insert(place), ids.insert(instance.id.clone()));
            if new_place && new_id {
                to.push(Instance { source: Some(member.clone()), ..instance.clone() });
            }
        };
        set.instances.iter().for_each(|instance| add(instance, &mut merged.instances));
        set.unhealthy.iter().for_each(|instance| add(instance, &mut merged.unhealthy));
        if rule == Rule::First && !merged.instances.is_empty() {
            break;
        }
    }
    let key = |instance: &Instance| (instance.tier, instance.address, instance.port);
    merged.instances.sort_by_key(key);
    merged.unhealthy.sort_by_key(key);
    merged
}

impl Source for OverlaySource {
    fn name(&self) -> &str {
        &self.name
    }

    /// The publisher lays the members' sets over each other itself, in the same moment as it believes them.
    fn watch<'a>(&'a self, _known: Vec<String>, _feed: &'a Feed) -> LocalFuture<'a, ()> {
        Box::pin(std::future::pending())
    }

    /// The members were asked already, each by its own guard; what they are believed to say is the second word.
    fn confirm<'a>(&'a self, service: &'a str) -> LocalFuture<'a, Result<ServiceSet, Fault>> {
        Box::pin(async move {
            let mut state = self.lock();
            state.revision += 1;
            let revision = state.revision;
            let Some(known) = state.services.get(service) else {
                return Err(Fault::new(
                    Reason::Unconfirmed,
                    format!("{}: no member has spoken of it", self.name),
                ));
            };
            match &known.doubt {
                Some(fault) => Err(fault.clone()),
                None => Ok(merge(self.rule, &self.members, &known.sets, revision)),
            }
        })
    }

    fn overlay(&self) -> Option<&OverlaySource> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Candidate;

    fn set(instances: &[(&str, i64, i64)]) -> ServiceSet {
        let candidate = |(id, port, weight): &(&str, i64, i64)| Candidate {
            id: (*id).into(),
            address: "10.0.0.1".into(),
            port: *port,
            weight: Some(*weight),
            ..Candidate::default()
        };
        ServiceSet::check(instances.iter().map(candidate), 1)
    }

    fn overlay(rule: Rule) -> OverlaySource {
        OverlaySource::new("all", ["pins".to_owned(), "consul".into(), "dns".into()], rule)
    }

    fn fault(words: &str) -> Fault {
        Fault::new(Reason::Unreachable, words)
    }

    /// Id, port, weight, who said so.
    type Shown = (String, u16, u32, String);

    fn said(said: Said) -> (Vec<Shown>, Option<String>) {
        match said {
            Said::Set(set, held) => {
                let shown = |i: &Instance| {
                    (i.id.clone(), i.port, i.weight, i.source.as_deref().unwrap_or("?").to_owned())
                };
                (set.instances.iter().map(shown).collect(), held.map(|fault| fault.detail))
            }
            Said::Doubt(fault) => (Vec::new(), Some(format!("doubt: {}", fault.detail))),
            Said::Nothing => (Vec::new(), Some("nothing".into())),
        }
    }

    const GOOD: [Word; 3] = [Word::Good, Word::Good, Word::Good];

    #[test]
    fn the_first_to_name_a_place_or_an_id_has_it() {
        let overlay = overlay(Rule::Merge);
        assert_eq!(said(overlay.say("oms", &GOOD)).1.as_deref(), Some("nothing"));
        overlay.learn(2, "oms", set(&[("x", 1, 9), ("y", 4, 9)]));
        overlay.learn(1, "oms", set(&[("a", 1, 5), ("b", 2, 5), ("c", 3, 5)]));
        overlay.learn(0, "oms", set(&[("pin", 2, 1), ("c", 30, 1)]));
        let (instances, held) = said(overlay.say("oms", &GOOD));
        let of = |id: &str, port, weight, source: &str| (id.to_owned(), port, weight, source.to_owned());
        let wanted =
            [of("a", 1, 5, "consul"), of("pin", 2, 1, "pins"), of("y", 4, 9, "dns"), of("c", 30, 1, "pins")];
        assert_eq!((instances, held), (wanted.to_vec(), None));
    }

    #[test]
    fn the_first_that_has_any_serves_alone() {
        let overlay = overlay(Rule::First);
        overlay.learn(1, "oms", set(&[("a", 1, 5)]));
        overlay.learn(2, "oms", set(&[("x", 2, 5)]));
        assert_eq!(said(overlay.say("oms", &GOOD)).0[0].3, "consul");
        overlay.learn(0, "oms", set(&[("pin", 3, 5)]));
        // With what it has to say, nobody waits for the others.
        let words = [Word::Good, Word::None(fault("down")), Word::Held(fault("held"))];
        let (instances, held) = said(overlay.say("oms", &words));
        assert_eq!((instances.len(), instances[0].3.as_str(), held), (1, "pins", None));
        overlay.learn(0, "oms", set(&[]));
        let (instances, held) = said(overlay.say("oms", &GOOD));
        assert_eq!((instances[0].3.as_str(), held), ("consul", None));
    }

    #[test]
    fn a_member_that_has_not_spoken_makes_nothing_empty() {
        let overlay = overlay(Rule::Merge);
        overlay.learn(0, "oms", set(&[]));
        let words = [Word::Good, Word::None(fault("down")), Word::Good];
        assert_eq!(said(overlay.say("oms", &words)).1.as_deref(), Some("doubt: consul: down"));
        // What the others have serves meanwhile.
        overlay.learn(2, "oms", set(&[("x", 2, 5)]));
        let (instances, held) = said(overlay.say("oms", &words));
        assert_eq!((instances.len(), held.as_deref()), (1, Some("consul: down")));
        assert_eq!(said(overlay.say("oms", &GOOD)).1, None);
    }

    #[test]
    fn what_a_predecessor_left_stands_until_all_have_spoken() {
        let overlay = overlay(Rule::Merge);
        overlay.inherit(["oms".to_owned()]);
        overlay.learn(0, "oms", set(&[("pin", 3, 5)]));
        let words = [Word::Good, Word::None(fault("down")), Word::Good];
        assert_eq!(said(overlay.say("oms", &words)).1.as_deref(), Some("doubt: consul: down"));
        assert_eq!(said(overlay.say("oms", &GOOD)).0.len(), 1);
        assert_eq!(said(overlay.say("oms", &words)).0.len(), 1, "it is ours from then on");
    }

    #[tokio::test]
    async fn a_second_read_is_what_the_members_are_believed_to_say() {
        let overlay = overlay(Rule::Merge);
        overlay.confirm("oms").await.expect_err("nobody knows it");
        overlay.learn(0, "oms", set(&[]));
        let _ = overlay.say("oms", &GOOD);
        assert!(overlay.confirm("oms").await.expect("all have spoken").instances.is_empty());
        let _ = overlay.say("oms", &[Word::Good, Word::Held(fault("denied")), Word::Good]);
        assert!(overlay.confirm("oms").await.expect_err("held").detail.contains("consul: denied"));
    }
}
