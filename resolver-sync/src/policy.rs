//! Which endpoints of a view serve, in which order and with which weight: what of picking can be decided off the path.
//!
//! ```text
//! ServiceSet -> tags -> drained, ejected -> panic? -> lowest tier that can serve -> own zone -> active | reserves
//!                          ^ reports                     ^ fail-back                  weights <- slow start
//! ```
//!
//! Pure: a [`Selection`] is what a view remembers, every moment is an argument, and [`Ranked`] is what is to be
//! published. Each rule has a file of its own.

mod ejection;
mod marks;
mod ranking;
mod slow_start;
mod tiers;

use std::time::Duration;

pub use ejection::{Ejection, Noted};
pub use marks::{TagBits, Zones};
pub use ranking::{Panic, Ranked, Selection};

/// What a view asks for beyond its filter. The default is the strict order of tiers, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// The tags that readers can test for.
    pub tag_bits: TagBits,
    /// How long a lower tier must have been back without interruption before it serves again; zero: at once.
    pub fail_back: Duration,
    /// Whether the host's own zone comes first.
    pub zone: ZoneRule,
    /// Over how long an instance that is new gains its full weight; zero: it has it at once.
    pub slow_start: Duration,
    /// In percent of the known instances: with fewer healthy ones than this, health is ignored. 0: never.
    pub panic_threshold: u8,
    /// When reported failures take an endpoint out; `None`: never.
    pub ejection: Option<Ejection>,
    /// Whether the order of the smooth weighted round robin is made; see
    /// [`Publication::smooth`](resolver_core::Publication::smooth).
    pub smooth: bool,
    /// Places of the Maglev table, 0 for none; see [`Publication::maglev`](resolver_core::Publication::maglev).
    pub maglev: u32,
}

/// Whether the host's own zone comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZoneRule {
    /// Zones make no difference.
    #[default]
    Any,
    /// Within a tier the own zone's endpoints come first; they alone serve where at least `min` of them can.
    Prefer {
        /// At least 1.
        min: u16,
    },
}

impl Policies {
    /// Whether there is anything to remember from one publication to the next.
    pub(crate) fn remember(&self) -> bool {
        let over_time = !self.fail_back.is_zero() || !self.slow_start.is_zero();
        over_time || self.panic_threshold > 0 || self.ejection.is_some() || self.has_tables()
    }

    pub(crate) fn has_tables(&self) -> bool {
        self.smooth || self.maglev > 0
    }
}

/// Why a policy makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(pub(crate) String);

pub(crate) fn refuse<T>(what: impl Into<String>) -> Result<T, PolicyError> {
    Err(PolicyError(what.into()))
}
