//! The `[sync]` section.

use serde::Deserialize;

use crate::publisher::Patience;

/// How the sync thread runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyncConfig {
    /// The core that the sync thread is pinned to.
    pub core: Option<usize>,
    /// Cores of threads that resolve; the sync thread refuses to sit on one of them.
    pub reader_cores: Vec<usize>,
    /// See [`Patience::stale_after`].
    pub stale_after_ms: u64,
    /// See [`Patience::forget_after`].
    pub forget_after_s: u64,
}

impl Default for SyncConfig {
    fn default() -> Self {
        let patience = Patience::default();
        SyncConfig {
            core: None,
            reader_cores: Vec::new(),
            stale_after_ms: u64::try_from(patience.stale_after.as_millis()).unwrap_or(u64::MAX),
            forget_after_s: patience.forget_after.as_secs(),
        }
    }
}
