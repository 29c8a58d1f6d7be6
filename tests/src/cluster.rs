//! Real clusters, one network namespace for each member, and what can befall them. Wants root.
//!
//! [`Etcd`] is three members; [`Consul`] is three servers and a client agent on the host, as one would run it beside
//! `resolver agent`. Members have two cables each: one to the clients and one to each other, so that a member can be cut
//! off from the others while the clients still reach it.
//!
//! [`Stage`] puts an agent of ours and a [`Witness`] beside a cluster: a process that reads all the time and writes down
//! each answer. An instance of `resolver register` is there, too, and has to be there again after each fault. [`History`] is the oracle: the sets that the registry really held, in their order. An answer that is
//! none of them, or an older one than before, is a violation, and so is an empty one that never was.
//! [`Fault`] has the faults.

mod access;
mod consul;
mod etcd;
mod fault;
mod history;
mod kept;
mod lease;
mod network;
mod recovery;
mod registry;
mod sockets;
mod stage;
mod witness;

pub use access::Access;
pub use consul::Consul;
pub use etcd::Etcd;
pub use fault::Fault;
pub use history::{History, Judge};
pub use network::Network;
pub use recovery::Recoveries;
pub use registry::{Kind, Registry};
pub use stage::Stage;
pub use witness::{Sighting, Witness, witness};

/// How to start a cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// TLS between all, with certificates that both sides show.
    pub tls: bool,
    /// ACLs or authentication: whoever shows nothing may do nothing.
    pub auth: bool,
}

impl Options {
    /// As it should be run.
    pub const SECURE: Options = Options { tls: true, auth: true };
}

/// Members of a cluster that vote.
pub const MEMBERS: usize = 3;

/// Nanoseconds of CLOCK_MONOTONIC, one clock for all processes of a host.
pub fn now() -> u64 {
    crate::lag::now()
}
