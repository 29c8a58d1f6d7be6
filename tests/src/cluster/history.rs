//! The oracle: which sets a registry held, in their order, and whether what was read is one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::witness::Sighting;

/// A service's instances, by id.
pub type Instances = BTreeMap<u8, SocketAddr>;

/// What the registry held of each service, every state that was written in the order of the writes. A state is noted
/// before its write is sent, so that nothing is read earlier than it is known here.
#[derive(Clone, Debug, Default)]
pub struct History {
    services: BTreeMap<String, Vec<Instances>>,
}

impl History {
    /// What comes now: the service's present state with this instance at another place, or without it.
    pub fn note(&mut self, service: &str, instance: u8, place: Option<SocketAddr>) {
        let states = self.services.entry(service.to_owned()).or_default();
        let mut next = states.last().cloned().unwrap_or_default();
        match place {
            Some(place) => next.insert(instance, place),
            None => next.remove(&instance),
        };
        // The same write once more, as its first try was not answered, is no state of its own.
        if states.last() != Some(&next) {
            states.push(next);
        }
    }

    /// What the registry holds now, to come back to.
    pub fn mark(&self) -> BTreeMap<String, Instances> {
        let last =
            |(service, states): (&String, &Vec<Instances>)| Some((service.clone(), states.last()?.clone()));
        self.services.iter().filter_map(last).collect()
    }

    /// The registry goes back to an earlier state, which is a new one in this order.
    pub fn rewind(&mut self, mark: &BTreeMap<String, Instances>) {
        for (service, state) in mark {
            self.services.entry(service.clone()).or_default().push(state.clone());
        }
    }

    /// The addresses of the present state.
    pub fn addresses(&self, service: &str) -> BTreeSet<SocketAddr> {
        let last = self.services.get(service).and_then(|states| states.last());
        last.map(|state| state.values().copied().collect()).unwrap_or_default()
    }
}

/// Follows one witness through a history.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    /// By service: the place in its history that was read last.
    at: BTreeMap<String, usize>,
    /// How many answers were judged.
    pub judged: usize,
}

impl Judge {
    /// Judges an answer.
    ///
    /// # Errors
    ///
    /// What is wrong with it: an endpoint that was never registered, a set that never was, an empty one that never was,
    /// or one older than what was read before.
    pub fn judge(&mut self, history: &History, seen: &Sighting) -> Result<(), String> {
        self.judged += 1;
        let none = Vec::new();
        let states = history.services.get(&seen.service).unwrap_or(&none);
        let at = self.at.get(&seen.service).copied();
        if seen.state == "NEVER" && at.is_none() {
            return Ok(());
        }
        let wrong = |what: &str| {
            Err(format!("{what}: {seen:?}; read before: {:?}", at.and_then(|at| states.get(at))))
        };
        if let Some(stranger) = seen
            .set
            .iter()
            .find(|address| !states.iter().any(|state| state.values().any(|known| known == *address)))
        {
            return wrong(&format!("{stranger} was never registered"));
        }
        if seen.endpoint.is_some_and(|endpoint| !seen.set.contains(&endpoint)) {
            return wrong("what resolve() gives is not of the set");
        }
        let same = |state: &Instances| state.values().copied().collect::<BTreeSet<_>>() == seen.set;
        let first = at.unwrap_or(0);
        match states.iter().enumerate().skip(first).find(|(_, state)| same(state)) {
            Some((found, _)) => {
                self.at.insert(seen.service.clone(), found);
                Ok(())
            }
            None if states.iter().take(first).any(same) => wrong("older than what was read before"),
            None if seen.set.is_empty() => wrong("empty, which it never was"),
            None => wrong("the registry never held this set"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], number))
    }

    fn seen(state: &str, set: &[u16]) -> Sighting {
        Sighting {
            at: 1,
            service: "orders".into(),
            state: state.into(),
            reason: "none".into(),
            endpoint: set.first().map(|number| place(*number)),
            set: set.iter().map(|number| place(*number)).collect(),
        }
    }

    /// Instance 1 at 1, 2 at 2, then 1 at 3.
    fn history() -> History {
        let mut history = History::default();
        for (instance, number) in [(1, 1), (2, 2), (1, 3)] {
            history.note("orders", instance, Some(place(number)));
        }
        history
    }

    fn judged(history: &History, all: &[(&str, &[u16])]) -> Result<(), String> {
        let mut judge = Judge::default();
        all.iter().try_for_each(|(state, set)| judge.judge(history, &seen(state, set)))
    }

    #[test]
    fn what_the_registry_held_may_be_read_in_its_order() {
        let all: [(&str, &[u16]); 5] =
            [("NEVER", &[]), ("FRESH", &[1]), ("FRESH", &[1, 2]), ("STALE", &[1, 2]), ("FRESH", &[2, 3])];
        assert_eq!(judged(&history(), &all), Ok(()));
    }

    #[test]
    fn what_it_never_held_is_found() {
        let history = history();
        for (all, what) in [
            (&[("FRESH", &[1, 2][..]), ("FRESH", &[1, 2, 9][..])][..], "never registered"),
            (&[("FRESH", &[1, 2][..]), ("EMPTY", &[][..])][..], "empty, which it never was"),
            (&[("FRESH", &[1, 2][..]), ("FRESH", &[2][..])][..], "never held this set"),
            (&[("FRESH", &[1, 2, 3][..])][..], "never held this set"),
            (&[("FRESH", &[2, 3][..]), ("STALE", &[1, 2][..])][..], "older"),
        ] {
            assert!(judged(&history, all).is_err_and(|why| why.contains(what)), "{what}");
        }
    }

    #[test]
    fn an_older_set_is_right_once_the_registry_went_back_to_it() {
        let mut history = history();
        let all: [(&str, &[u16]); 2] = [("FRESH", &[2, 3]), ("FRESH", &[1])];
        assert!(judged(&history, &all).is_err());
        history.rewind(&BTreeMap::from([("orders".to_owned(), Instances::from([(1, place(1))]))]));
        assert_eq!(judged(&history, &all), Ok(()));
    }

    #[test]
    fn an_empty_set_is_right_once_all_have_left() {
        let mut history = history();
        [1, 2].into_iter().for_each(|instance| history.note("orders", instance, None));
        assert_eq!(judged(&history, &[("FRESH", &[2, 3]), ("EMPTY", &[])]), Ok(()));
    }
}
