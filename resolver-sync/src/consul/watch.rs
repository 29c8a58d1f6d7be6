//! What a source does for as long as it lives: the heartbeat, a query for each service, for all services one more that
//! says which they are, and one watch for those that get no query of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use resolver_core::Reason;

use crate::source::{Fault, Feed};

use super::agent::{Agents, Request};
use super::choice::Services;
use super::config::ConsulConfig;
use super::contact::Contact;
use super::health::Health;
use super::memory::Memory;
use super::merged::Merged;
use super::poll::Poll;
use super::query::{Scope, scoped, service_request};
use super::wanted::Wanted;
use super::wide::Wide;
use super::{heartbeat, prepared};

/// Watches until it is dropped. There is a memory for each datacentre.
pub(super) async fn run(
    config: &ConsulConfig,
    agents: &Agents,
    memories: &[Memory],
    queries: &Memory,
    known: Vec<String>,
    feed: &Feed,
) {
    let contact = Contact::new(feed);
    let scopes = Scope::all(config);
    let wanted = Wanted::new(&contact, scopes.len());
    let shared = Shared { config, agents, contact: &contact, wanted: &wanted };
    let wide: Vec<_> =
        scopes.iter().zip(memories).map(|(scope, memory)| Wide::new(shared, *scope, memory)).collect();
    let run = Run { shared, scopes: &scopes, memories, wide: &wide };
    let (known_queries, known): (Vec<_>, Vec<_>) =
        known.into_iter().partition(|name| config.queries.contains(name));
    memories.iter().for_each(|memory| memory.inherit(&known));
    queries.inherit(&known_queries);
    known.iter().for_each(|name| wanted.want(name, true));
    let catalog = async {
        match &config.services {
            Services::Named(names) => {
                names.iter().for_each(|name| wanted.want(name, true));
                std::future::pending().await
            }
            Services::All => {
                join_all(scopes.iter().zip(&wide).map(|(scope, wide)| run.follow_catalog(scope, wide))).await
            }
        }
    };
    let prepared = config.queries.iter().map(|query| prepared::follow(shared, queries, query));
    tokio::join!(
        heartbeat::beat(agents, &contact),
        catalog,
        run.follow_services(),
        join_all(wide.iter().map(Wide::run)),
        join_all(prepared),
    );
}

/// What the parts of one run share.
#[derive(Clone, Copy)]
pub(super) struct Shared<'r, 'c> {
    pub(super) config: &'r ConsulConfig,
    pub(super) agents: &'r Agents,
    pub(super) contact: &'c Contact<'c>,
    pub(super) wanted: &'r Wanted<'c>,
}

struct Run<'r, 'c> {
    shared: Shared<'r, 'c>,
    scopes: &'r [Scope<'r>],
    memories: &'r [Memory],
    wide: &'r [Wide<'r, 'c>],
}

impl<'c> Run<'_, 'c> {
    /// Watches what is wanted: up to the limit by a query for each, what is over it together.
    async fn follow_services(&self) {
        let Shared { config, wanted, .. } = self.shared;
        let places = (config.watch_limit / self.scopes.len()).max(1);
        let mut watched = FuturesUnordered::new();
        loop {
            while watched.len() < places {
                let Some(merged) = wanted.next() else { break };
                self.wide.iter().for_each(|wide| wide.remove(&merged.name));
                watched.push(self.follow_service(merged));
            }
            let (together, new) = wanted.no_more_places();
            if !new.is_empty() {
                self.say_what_to_raise(places, together);
                self.wide.iter().for_each(|wide| wide.add(&new));
            }
            tokio::select! {
                Some(ended) = watched.next() => wanted.ended(&ended),
                () = wanted.changed() => {}
            }
        }
    }

    fn say_what_to_raise(&self, places: usize, together: usize) {
        let config = self.shared.config;
        let limit = (places + together) * self.scopes.len();
        tracing::warn!(
            source = config.name,
            watch_limit = config.watch_limit,
            together,
            "{together} services are over the watch limit: they are watched together, and their changes arrive \
             later. Raise this source's watch_limit to {limit}, and on the agent limits.http_max_conns_per_client to \
             at least {}",
            limit * 2 + 20
        );
    }

    /// Watches one service in every datacentre; ends with its name when it is gone for good.
    async fn follow_service(&self, merged: Rc<Merged<'c>>) -> String {
        let mut parts: FuturesUnordered<_> =
            self.scopes.iter().zip(self.memories).map(|part| self.follow_part(part, &merged)).collect();
        parts.next().await;
        merged.name.clone()
    }

    async fn follow_part(&self, (scope, memory): (&Scope<'_>, &Memory), merged: &Merged<'_>) {
        let Shared { config, agents, contact, wanted } = self.shared;
        let request = service_request(config, scope, &merged.name, true);
        let mut poll = Poll::new(config, agents, contact, request.clone());
        loop {
            let word = match poll.next().await {
                Ok(word) => word,
                Err(fault) => {
                    merged.doubt(scope.tier, fault, poll.generation());
                    continue;
                }
            };
            let health = match Health::parse(&word.body) {
                Ok(health) => health,
                Err(wrong) => {
                    poll.disbelieve();
                    let fault = agents.fault(Reason::BadAnswer, &request, wrong);
                    merged.doubt(scope.tier, fault, word.generation);
                    continue;
                }
            };
            memory.saw(&merged.name, health.nodes(), word.index);
            let set = health.into_set(config, scope, word.index);
            poll.learned(merged.learn(scope.tier, set, word.generation));
            // The publisher goes first: what it was told waits for nothing, and the next query has time.
            tokio::task::yield_now().await;
            if merged.is_gone() && !wanted.is_wanted(&merged.name) {
                return;
            }
        }
    }

    /// Keeps what is wanted in step with a datacentre's catalogue.
    async fn follow_catalog(&self, scope: &Scope<'_>, wide: &Wide<'_, '_>) {
        let Shared { config, agents, contact, wanted } = self.shared;
        let member = contact.join();
        let request = scoped(config, scope, Request::get(["catalog", "services"]));
        let mut poll = Poll::new(config, agents, contact, request.clone());
        let mut last = BTreeSet::new();
        loop {
            let names = match poll.next().await {
                Ok(word) => self.names(&request, &word.body).map(|names| (names, word.generation)),
                Err(fault) => Err(fault),
            };
            match names {
                Ok((names, generation)) => {
                    poll.learned(names != last);
                    wanted.list(scope.tier, &names);
                    member.settle(generation);
                    wide.everything();
                    last = names;
                }
                // Without the list nobody knows what there is: that is more than one service's fault.
                Err(fault) if scope.tier == 0 => {
                    poll.disbelieve();
                    member.unsettle();
                    contact.feed().lost(fault);
                }
                // What the first datacentre has is known, and each service says by itself that its backup is not.
                Err(fault) => {
                    poll.disbelieve();
                    tracing::warn!(source = config.name, reason = fault.reason.name(), "{}", fault.detail);
                    member.settle(poll.generation());
                }
            }
        }
    }

    fn names(&self, request: &Request, body: &[u8]) -> Result<BTreeSet<String>, Fault> {
        let agents = self.shared.agents;
        let names: BTreeMap<String, serde::de::IgnoredAny> =
            serde_json::from_slice(body).map_err(|wrong| {
                agents.fault(Reason::BadAnswer, request, format_args!("not a list of services: {wrong}"))
            })?;
        if names.is_empty() {
            // Every cluster registers `consul`: a catalogue without it was filtered, and without anything, wholly.
            let what =
                "the catalogue shows no service, not even consul: give the token `service_prefix \"\"` read";
            return Err(agents.fault(Reason::Acl, request, what));
        }
        Ok(names.into_keys().filter(|name| self.can_watch(name)).collect())
    }

    fn can_watch(&self, name: &str) -> bool {
        let config = self.shared.config;
        // A path folds these away, and the query would be another one.
        let folds = matches!(name, "" | "." | "..");
        if folds {
            tracing::error!(source = config.name, name, "a service of this name cannot be asked for");
        }
        let query = config.queries.iter().any(|query| query == name);
        if query {
            tracing::error!(
                source = config.name,
                name,
                "a prepared query has this service's name; rename it"
            );
        }
        !folds && !query && (name != "consul" || config.include_consul)
    }
}
