//! What a publisher finds in a table that another one has left.

use std::net::SocketAddr;

/// What a predecessor left under a name.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) source: String,
    /// The primary's.
    pub(super) tier: Option<u8>,
    pub(super) endpoints: Vec<SocketAddr>,
    /// In the same order.
    pub(super) ids: Vec<u64>,
}
