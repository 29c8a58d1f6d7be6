//! One set as it is added to a batch: the one place that speaks to the core of endpoints.

use std::net::SocketAddr;

use resolver_core::{Batch, Endpoint, Handle, PublishError, Reason, Set, Standing, State};

use super::shelf::Publication;
use crate::policy::{Panic, Policies, Ranked};

/// What is to be published of a set.
pub(super) struct Ready {
    pub(super) ranked: Ranked,
    /// Where the instances are that an operator took out.
    pub(super) out: Vec<SocketAddr>,
}

/// A publication that was added to a batch.
pub(super) struct Published {
    pub(super) handle: Handle,
    pub(super) primary: Option<SocketAddr>,
    pub(super) generation: u64,
    pub(super) extras: Extras,
}

/// What is published beside the endpoints.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Extras {
    pub(super) text: bool,
    pub(super) tables: bool,
}

impl Extras {
    pub(super) const ALL: Extras = Extras { text: true, tables: true };

    /// What else to try where not all of it fits, the best first.
    pub(super) fn fewer(policies: &Policies) -> impl Iterator<Item = Extras> + use<> {
        let has_tables = policies.has_tables();
        let fewer =
            [(false, true), (true, false), (false, false)].map(|(text, tables)| Extras { text, tables });
        // Without tables, the first of these is all there is to leave out.
        fewer.into_iter().take(if has_tables { 3 } else { 1 })
    }
}

/// The active endpoints of a set and its reserves.
pub(super) fn whole<'s>(set: &'s Set<'_>) -> impl Iterator<Item = Endpoint> + 's {
    set.into_iter().chain((0..).map_while(|place| set.reserve(place))).flatten()
}

pub(super) fn said(standing: (State, Reason), source: u8) -> Standing {
    Standing { state: standing.0, reason: standing.1, source }
}

/// How a set stands for readers: one of a panic is fresh, and says so (or that all of it is out) where there is nothing
/// worse to say.
pub(super) fn explained((state, reason): (State, Reason), remark: Reason) -> (State, Reason) {
    (state, if reason == Reason::None { remark } else { reason })
}

/// What there is to say of a ranked set: that it is one of a panic, or empty because all of it is out.
pub(super) fn remark(ranked: &Ranked, out: &[SocketAddr]) -> Reason {
    match () {
        () if ranked.panic.is_some() => Reason::Panic,
        () if ranked.endpoints.is_empty() && !out.is_empty() => Reason::Killed,
        () => Reason::None,
    }
}

/// Why what is published is not what one would expect, in words.
pub(super) fn words(ranked: &Ranked) -> String {
    let words =
        |panic: Panic| format!("panic: {} of {} are healthy, so all serve", panic.healthy, panic.known);
    ranked.panic.map_or(String::new(), words)
}

pub(super) fn add(
    batch: &mut Batch<'_, '_>,
    handle: Handle,
    publication: &Publication,
    ready: &Ready,
    extras: Extras,
) -> Result<Published, PublishError> {
    let Publication { view, standing, source, .. } = publication;
    let Ready { ranked, out } = ready;
    let set = &ranked.endpoints;
    let publication = resolver_core::Publication {
        set,
        active: ranked.active,
        standing: said(explained(*standing, remark(ranked, out)), *source),
        text: if set.is_empty() || !extras.text { &[] } else { ranked.text.as_slice() },
        smooth: extras.tables && view.policies.smooth,
        maglev: if extras.tables { view.policies.maglev } else { 0 },
    };
    let generation = batch.publish_as(handle, &publication)?;
    let primary = set.first().map(|endpoint| endpoint.address().socket_addr());
    Ok(Published { handle, primary, generation, extras })
}
