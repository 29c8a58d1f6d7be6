//! What a source does for as long as it lives: the heartbeat, a query for each service, and for all services one more
//! that says which they are.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use futures_util::stream::{FuturesUnordered, StreamExt};
use resolver_core::Reason;
use tokio::sync::Notify;

use crate::record::ServiceSet;
use crate::source::{Fault, Feed};

use super::agent::{Agents, Request};
use super::config::{ConsulConfig, Services};
use super::contact::{Contact, Member};
use super::health::Health;
use super::heartbeat;
use super::memory::Memory;
use super::poll::Poll;
use super::{in_datacenter, service_request};

/// Watches until it is dropped.
pub(super) async fn run(
    config: &ConsulConfig,
    agents: &Agents,
    memory: &Memory,
    known: Vec<String>,
    feed: &Feed,
) {
    let contact = Contact::new(feed);
    let run = Run { config, agents, memory, contact: &contact, wanted: Wanted::default() };
    memory.inherit(&known);
    for name in known {
        run.want(&name, true);
    }
    let catalog = async {
        match &config.services {
            Services::Named(names) => {
                names.iter().for_each(|name| run.want(name, true));
                std::future::pending().await
            }
            Services::All => run.follow_catalog().await,
        }
    };
    tokio::join!(heartbeat::beat(agents, &contact), catalog, run.follow_services());
}

/// What the parts of one run share.
struct Run<'a> {
    config: &'a ConsulConfig,
    agents: &'a Agents,
    memory: &'a Memory,
    contact: &'a Contact<'a>,
    wanted: Wanted<'a>,
}

/// Which services are to be watched, and which of them wait for a place.
#[derive(Default)]
struct Wanted<'a> {
    services: RefCell<HashMap<String, Standing>>,
    /// Not yet looked at. Members from the start: the source is not alive before they have reported.
    fresh: RefCell<VecDeque<(String, Member<'a>)>>,
    /// Over the limit, and named as such; in the order in which they came.
    unwatched: RefCell<VecDeque<String>>,
    changed: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Standing {
    /// Watched whether or not the catalogue lists it.
    always: bool,
    listed: bool,
}

impl<'a> Run<'a> {
    /// Puts a service among those that are watched, if it is not there yet.
    fn want(&self, name: &str, always: bool) {
        let mut services = self.wanted.services.borrow_mut();
        if let Some(standing) = services.get_mut(name) {
            standing.always |= always;
            standing.listed = true;
            return;
        }
        services.insert(name.to_owned(), Standing { always, listed: true });
        self.wanted.fresh.borrow_mut().push_back((name.to_owned(), self.contact.join()));
        self.wanted.changed.notify_one();
    }

    /// Whether an empty service is still worth a query.
    fn is_wanted(&self, name: &str) -> bool {
        let services = self.wanted.services.borrow();
        services.get(name).is_none_or(|standing| standing.always || standing.listed)
    }

    /// Watches what is wanted, up to the limit; names what is over it.
    async fn follow_services(&self) {
        let mut watched = FuturesUnordered::new();
        loop {
            while watched.len() < self.config.watch_limit {
                let longest = self.wanted.unwatched.borrow_mut().pop_front();
                let next = longest.map(|name| (name, self.contact.join()));
                let Some((name, member)) = next.or_else(|| self.wanted.fresh.borrow_mut().pop_front()) else {
                    break;
                };
                watched.push(self.follow_service(name, member));
            }
            self.name_the_unwatched();
            tokio::select! {
                Some(ended) = watched.next() => {
                    // Listed again since it ended?
                    let again = self.is_wanted(&ended);
                    self.wanted.services.borrow_mut().remove(&ended);
                    if again {
                        self.want(&ended, false);
                    }
                }
                () = self.wanted.changed.notified() => {}
            }
        }
    }

    fn name_the_unwatched(&self) {
        let fresh = self.wanted.fresh.take();
        if fresh.is_empty() {
            return;
        }
        let limit = self.config.watch_limit;
        let mut unwatched = self.wanted.unwatched.borrow_mut();
        for (name, _) in fresh {
            let what = format!("consul source {}: over the limit of {limit} watches", self.config.name);
            self.contact.feed().doubt(name.as_str(), Fault::new(Reason::Capacity, what));
            unwatched.push_back(name);
        }
        tracing::error!(
            source = self.config.name,
            limit,
            unwatched = unwatched.len(),
            "services are not watched: raise this source's watch limit, and on the agent \
             limits.http_max_conns_per_client to at least twice that and 20"
        );
    }

    /// Watches one service; ends with its name when it is gone for good.
    async fn follow_service(&self, name: String, member: Member<'_>) -> String {
        let request = service_request(self.config, &name, true);
        let mut poll = Poll::new(self.config, self.agents, self.contact, request.clone());
        let feed = self.contact.feed();
        let mut last: Option<ServiceSet> = None;
        let (mut doubted, mut reported_in) = (false, 0);
        let doubt = |fault| feed.doubt(name.as_str(), fault);
        loop {
            let word = match poll.next().await {
                Ok(word) => word,
                Err(fault) => {
                    doubt(fault);
                    doubted = true;
                    member.settle(poll.generation());
                    continue;
                }
            };
            let health = match Health::parse(&word.body) {
                Ok(health) => health,
                Err(wrong) => {
                    poll.disbelieve();
                    doubt(self.agents.fault(Reason::BadAnswer, &request, wrong));
                    doubted = true;
                    member.settle(word.generation);
                    continue;
                }
            };
            self.memory.saw(&name, health.nodes(), word.index);
            let set = health.into_set(self.config, word.index);
            let changed = last.as_ref().is_none_or(|last| {
                (&last.instances, &last.unhealthy, &last.rejected)
                    != (&set.instances, &set.unhealthy, &set.rejected)
            });
            let again = reported_in != word.generation;
            let gone = set.instances.is_empty() && set.unhealthy.is_empty() && set.rejected.is_empty();
            let moved = last.as_ref().is_none_or(|last| last.revision != set.revision);
            if changed || moved || doubted || again {
                feed.service(name.as_str(), set.clone());
            }
            (last, doubted, reported_in) = (Some(set), false, word.generation);
            poll.learned(changed);
            member.settle(word.generation);
            // The publisher goes first: what it was told waits for nothing, and the next query has time.
            tokio::task::yield_now().await;
            if gone && !self.is_wanted(&name) {
                return name;
            }
        }
    }

    /// Keeps what is wanted in step with the catalogue.
    async fn follow_catalog(&self) {
        let member = self.contact.join();
        let request = in_datacenter(self.config, Request::get(["catalog", "services"]));
        let mut poll = Poll::new(self.config, self.agents, self.contact, request.clone());
        let mut last = BTreeSet::new();
        loop {
            let names = match poll.next().await {
                Ok(word) => self.names(&request, &word.body).map(|names| (names, word.generation)),
                Err(fault) => Err(fault),
            };
            match names {
                Ok((names, generation)) => {
                    poll.learned(names != last);
                    self.list(&names);
                    member.settle(generation);
                    last = names;
                }
                // Without the list nobody knows what there is: that is more than one service's fault.
                Err(fault) => {
                    poll.disbelieve();
                    member.unsettle();
                    self.contact.feed().lost(fault);
                }
            }
        }
    }

    fn names(&self, request: &Request, body: &[u8]) -> Result<BTreeSet<String>, Fault> {
        let names: BTreeMap<String, serde::de::IgnoredAny> =
            serde_json::from_slice(body).map_err(|wrong| {
                self.agents.fault(Reason::BadAnswer, request, format_args!("not a list of services: {wrong}"))
            })?;
        if names.is_empty() {
            // Every cluster registers `consul`: a catalogue without it was filtered, and without anything, wholly.
            let what =
                "the catalogue shows no service, not even consul: give the token `service_prefix \"\"` read";
            return Err(self.agents.fault(Reason::Acl, request, what));
        }
        Ok(names.into_keys().filter(|name| self.can_watch(name)).collect())
    }

    fn can_watch(&self, name: &str) -> bool {
        // A path folds these away, and the query would be another one.
        let folds = matches!(name, "" | "." | "..");
        if folds {
            tracing::error!(source = self.config.name, name, "a service of this name cannot be asked for");
        }
        !folds && (name != "consul" || self.config.include_consul)
    }

    fn list(&self, names: &BTreeSet<String>) {
        for (name, standing) in self.wanted.services.borrow_mut().iter_mut() {
            standing.listed = names.contains(name);
        }
        // A service that left before it had a place needs none any longer.
        let stays = |name: &String| {
            let wanted = self.is_wanted(name);
            if !wanted {
                self.wanted.services.borrow_mut().remove(name);
            }
            wanted
        };
        self.wanted.fresh.borrow_mut().retain(|(name, _)| stays(name));
        self.wanted.unwatched.borrow_mut().retain(stays);
        names.iter().for_each(|name| self.want(name, false));
    }
}
