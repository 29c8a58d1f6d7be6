//! From a set to what is published of it for one view: which endpoints serve, in which order, with which weight.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use resolver_core::Endpoint;

use super::ejection::{Noted, Outliers};
use super::slow_start::{Key, SlowStart};
use super::tiers::FailBack;
use super::{Policies, ZoneRule, Zones};
use crate::record::{Instance, ServiceSet};
use crate::report::Outcome;
use crate::view::{self, Policy, View};

/// What a view remembers from one publication to the next. A new one knows nothing, and a view without policies needs
/// no more than that.
#[derive(Debug, Default)]
pub struct Selection {
    tiers: FailBack,
    starts: SlowStart,
    outliers: Outliers,
}

/// What is to be published of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranked {
    /// In order of preference; the first `active` of them serve, the others are reserves.
    pub endpoints: Vec<Endpoint>,
    /// At least 1, unless there is no endpoint at all.
    pub active: usize,
    /// Words for people and tools, in the order of the endpoints.
    pub text: Vec<u8>,
    /// Whether health is ignored, and why.
    pub panic: Option<Panic>,
    /// When it is to be ranked again, if nothing changes before.
    pub due: Option<Instant>,
}

/// So few of the known instances are healthy that health is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panic {
    /// Healthy and not ejected.
    pub healthy: usize,
    /// All that the registry knows of the view, but for those in maintenance.
    pub known: usize,
}

/// How far an instance is from serving; reserves are in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Serves,
    /// In a panic: it serves after those that are healthy.
    ServesUnhealthy,
    Reserve,
    /// Its weight is 0, and others' are not: an operator's word, so nothing but a walk gets there.
    Drained,
    Ejected,
}

impl Selection {
    /// A predecessor published these, the first of them in this tier.
    pub fn inherit(&mut self, tier: u8, known: impl IntoIterator<Item = (u64, SocketAddr)>) {
        self.tiers.inherit(tier);
        self.starts.inherit(known);
    }

    /// Takes a report on an endpoint of the last set that was ranked.
    pub fn report(&mut self, policies: &Policies, id: u64, outcome: Outcome, now: Instant) -> Noted {
        match &policies.ejection {
            Some(rule) => self.outliers.report(id, outcome, rule, now),
            None => Noted::Counted,
        }
    }

    /// Ranks a set; `primary` is where the present primary is.
    ///
    /// 1. Those with the view's tags are looked at. Weight 0 is drained where another has more; what was reported too
    ///    often is ejected. If nothing else is left, the ejected serve.
    /// 2. With fewer healthy ones than the panic threshold, all that is known serves, the healthy first; tiers and zones
    ///    make no difference then. What is drained stays out.
    /// 3. Else the lowest tier that can serves, by the rule of fail-back; of it the own zone's alone, where that is
    ///    preferred and enough of them are there.
    /// 4. Order: what serves, the reserves, the drained, the ejected; in each the lower tier, the own zone where it is
    ///    preferred, the sticky primary, the higher weight, the lower address.
    pub fn rank(
        &mut self,
        view: &View,
        zones: &Zones,
        set: &ServiceSet,
        primary: Option<SocketAddr>,
        now: Instant,
    ) -> Ranked {
        let policies = &view.policies;
        let healthy: Vec<&Instance> = set.instances.iter().filter(|i| i.has_tags(&view.tags)).collect();
        self.follow(policies, &healthy, now);
        let ejects = policies.ejection.is_some();
        let out = |instance: &Instance| ejects && self.outliers.is_out(view::id_hash(&instance.id), now);
        let panic = panic(policies, &healthy, set, &view.tags, out);

        let unhealthy: Vec<&Instance> = match panic {
            Some(_) => set.unhealthy.iter().filter(|i| i.has_tags(&view.tags)).collect(),
            None => Vec::new(),
        };
        let any_weight = healthy.iter().chain(&unhealthy).any(|instance| instance.weight > 0);
        let drained = |instance: &Instance| any_weight && instance.weight == 0;
        // Never nobody: where all that is not drained is ejected, ejection yields.
        let ejection_holds = healthy.iter().any(|instance| !drained(instance) && !out(instance));
        let ejected = |instance: &Instance| ejection_holds && out(instance);
        let able = |instance: &Instance| !drained(instance) && !ejected(instance);

        let tiers: BTreeSet<u8> = healthy.iter().filter(|i| able(i)).map(|i| i.tier).collect();
        let serving = self.tiers.serve(&tiers, policies.fail_back, now);
        let is_far = |instance: &Instance| {
            policies.zone != ZoneRule::Any && zones.own() != Some(zones.number(&instance.zone))
        };
        let in_tier = |instance: &Instance| able(instance) && Some(instance.tier) == serving;
        let near = healthy.iter().filter(|instance| in_tier(instance) && !is_far(instance)).count();
        let near_alone = matches!(policies.zone, ZoneRule::Prefer { min } if near >= usize::from(min.max(1)));

        let rank = |instance: &Instance| match () {
            () if drained(instance) => Rank::Drained,
            () if panic.is_some() && out(instance) => Rank::ServesUnhealthy,
            () if panic.is_some() => Rank::Serves,
            () if ejected(instance) => Rank::Ejected,
            () if in_tier(instance) && !(near_alone && is_far(instance)) => Rank::Serves,
            () => Rank::Reserve,
        };
        let sticks = |instance: &Instance| view.policy == Policy::Sticky && primary == Some(place(instance));
        let mut order: Vec<(Rank, u32, &Instance)> = Vec::with_capacity(healthy.len());
        let scale = self.starts.scale(healthy.iter().map(|instance| instance.weight));
        for instance in &healthy {
            let mut weight = instance.weight.saturating_mul(scale);
            if !policies.slow_start.is_zero() {
                weight = self.starts.weight(&key(instance), weight, policies.slow_start, now);
            }
            order.push((rank(instance), weight, instance));
        }
        let serve = unhealthy.iter().filter(|instance| !drained(instance));
        order.extend(serve.map(|i| (Rank::ServesUnhealthy, i.weight.saturating_mul(scale), *i)));
        order.sort_by_key(|(rank, weight, instance)| {
            (
                *rank,
                instance.tier,
                is_far(instance),
                !sticks(instance),
                Reverse(*weight),
                instance.address,
                instance.port,
            )
        });

        let endpoint = |(_, weight, instance): &(Rank, u32, &Instance)| {
            view::endpoint(instance)
                .with_weight(*weight)
                .with_tags(policies.tag_bits.of(&instance.tags))
                .with_zone(zones.number(&instance.zone))
        };
        let active = order.iter().filter(|(rank, ..)| *rank <= Rank::ServesUnhealthy).count();
        Ranked {
            endpoints: order.iter().map(endpoint).collect(),
            active,
            text: view::text(order.iter().map(|(_, _, instance)| *instance)),
            panic,
            due: self.due(policies, now),
        }
    }

    fn follow(&mut self, policies: &Policies, healthy: &[&Instance], now: Instant) {
        if !policies.slow_start.is_zero() {
            self.starts.follow(healthy.iter().map(|instance| key(instance)), policies.slow_start, now);
        }
        if let Some(rule) = &policies.ejection {
            self.outliers.follow(healthy.iter().map(|instance| view::id_hash(&instance.id)), rule, now);
        }
    }

    fn due(&self, policies: &Policies, now: Instant) -> Option<Instant> {
        let tiers = self.tiers.due(policies.fail_back);
        let starts = self.starts.due(policies.slow_start, now);
        [tiers, starts, self.outliers.due()].into_iter().flatten().min()
    }
}

fn panic(
    policies: &Policies,
    healthy: &[&Instance],
    set: &ServiceSet,
    tags: &[String],
    out: impl Fn(&Instance) -> bool,
) -> Option<Panic> {
    let unhealthy = set.unhealthy.iter().filter(|instance| instance.has_tags(tags)).count();
    let known = healthy.len() + unhealthy;
    let healthy = healthy.iter().filter(|instance| !out(instance)).count();
    (healthy * 100 < known * usize::from(policies.panic_threshold)).then_some(Panic { healthy, known })
}

fn place(instance: &Instance) -> SocketAddr {
    SocketAddr::new(instance.address, instance.port)
}

fn key(instance: &Instance) -> Key {
    (view::id_hash(&instance.id), place(instance))
}

#[cfg(test)]
mod tests;
