//! Leases (etcd) and sessions (Consul): a time to live for keys.

use std::time::Duration;

use crate::pace::Backoff;

use super::{Kv, KvError};

/// A lease of etcd or a session of Consul. Ends by itself unless it is renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub(crate) id: String,
    pub(crate) ttl: Duration,
}

impl Lease {
    /// The registry's name for it: etcd's id as a decimal number, Consul's session id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The time to live that the registry granted, which may be longer than what was asked for.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }
}

/// Renews a lease each third of its time to live, until it has ended or this future is dropped. One answer that does not
/// come costs nothing: the next attempt is soon.
pub async fn keep(kv: &dyn Kv, lease: &Lease) -> KvError {
    let mut backoff = Backoff::new(Duration::from_millis(100), lease.ttl / 6);
    loop {
        match kv.renew(lease).await {
            Ok(()) => {
                backoff.reset();
                tokio::time::sleep(lease.ttl / 3).await;
            }
            Err(KvError::LeaseGone) => return KvError::LeaseGone,
            Err(error) => {
                tracing::warn!(registry = kv.name(), "a lease was not renewed, and is tried again: {error}");
                backoff.wait().await;
            }
        }
    }
}
