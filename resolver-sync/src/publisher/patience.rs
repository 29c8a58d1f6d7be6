//! How long a publisher waits before it calls something stale, or gone.

use std::time::Duration;

/// How patient a publisher is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A source that proved nothing for so long is stale, and so is everything that it said.
    pub stale_after: Duration,
    /// A discovered name that stays empty for so long leaves the table; its handles are `Gone`.
    pub forget_after: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { stale_after: Duration::from_secs(5), forget_after: Duration::from_secs(600) }
    }
}
