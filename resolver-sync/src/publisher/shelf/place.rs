//! What stands under a name, and what waits to.

use std::net::SocketAddr;

use resolver_core::{Handle, Reason, State};

use super::Publication;

/// A set that could not be published, and is tried again.
pub(super) struct Refused {
    pub(super) publication: Publication,
    pub(super) why: Why,
    /// As it was logged, so that it is logged once.
    pub(super) words: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Another source has the name.
    Name,
    /// It does not fit.
    Room,
}

/// What stands under a name.
pub(super) struct Place {
    pub(super) handle: Handle,
    pub(super) source: u8,
    pub(super) standing: (State, Reason),
    pub(super) primary: Option<SocketAddr>,
    /// What there is to say of the set where nothing worse is: that it is one of a panic, or that all of it is out.
    pub(super) remark: Reason,
    /// Where the instances are that it does not have because an operator took them out.
    pub(super) out: Vec<SocketAddr>,
    /// How many endpoints it has.
    pub(super) endpoints: usize,
}

impl Place {
    /// Of what stands from before, or of nothing.
    pub(super) fn new(
        handle: Handle,
        source: u8,
        standing: (State, Reason),
        endpoints: &[SocketAddr],
    ) -> Self {
        let (primary, endpoints) = (endpoints.first().copied(), endpoints.len());
        Place { handle, source, standing, primary, remark: Reason::None, out: Vec::new(), endpoints }
    }
}
