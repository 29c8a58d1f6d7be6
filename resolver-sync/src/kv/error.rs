//! What can go wrong with keys and values, and what is worth another attempt.

use std::future::Future;
use std::time::Duration;

use resolver_core::Reason;

use crate::pace::Backoff;
use crate::source::Fault;

/// Why an operation on keys did not come to its end. No variant carries a value or a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KvError {
    /// The registry could not take such a key, or would take it for another one.
    #[error("key {key:?} cannot be used: {why}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A value over the limit.
    #[error(
        "the value of {key:?} has {bytes} bytes, over the limit of {limit}: a registry keeps every value in memory on \
         every server; store it elsewhere and put its name here"
    )]
    TooLarge {
        /// The key.
        key: String,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// The transaction is none that both registries take.
    #[error("the transaction cannot be sent: {0}")]
    Txn(String),
    /// A time to live that the registry does not take.
    #[error("a time to live of {0:?} cannot be had: etcd takes 1 s to 24 h, Consul 10 s to 24 h")]
    Ttl(Duration),
    /// The lease or session has ended, and its keys with it.
    #[error("the lease has ended, and its keys with it; take another one and put them again")]
    LeaseGone,
    /// The registry does not answer, refuses, or says what cannot be understood; nothing was written.
    #[error("{}", .0.detail)]
    Registry(Fault),
    /// No answer came to a write.
    #[error("{}; whether it was written is not known: read before you write again", .0.detail)]
    InDoubt(Fault),
}

impl KvError {
    pub(crate) fn key(key: &str, why: impl Into<String>) -> Self {
        KvError::Key { key: key.into(), why: why.into() }
    }

    pub(crate) fn too_large(key: &str, bytes: usize, limit: usize) -> Self {
        KvError::TooLarge { key: key.into(), bytes, limit }
    }

    /// Of a write whose request was sent: silence, or a leader that went meanwhile, says nothing of the outcome.
    pub(crate) fn of_write(fault: Fault) -> Self {
        match fault.reason {
            Reason::Unreachable | Reason::NoLeader => KvError::InDoubt(fault),
            _ => KvError::Registry(fault),
        }
    }

    /// The registry's fault, where it is one.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            KvError::Registry(fault) | KvError::InDoubt(fault) => Some(fault),
            _ => None,
        }
    }

    /// Whether the same read may succeed a moment later.
    pub fn is_worth_a_retry(&self) -> bool {
        matches!(self, KvError::Registry(fault) if matches!(fault.reason, Reason::Unreachable | Reason::NoLeader))
    }
}

/// Reads until it works, at most [`ATTEMPTS`] times, with back-off and jitter.
pub(crate) async fn retry<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, KvError>
where
    F: Future<Output = Result<T, KvError>>,
{
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
    let mut attempts = 1;
    loop {
        match attempt().await {
            Err(error) if error.is_worth_a_retry() && attempts < ATTEMPTS => {
                attempts += 1;
                backoff.wait().await;
            }
            outcome => return outcome,
        }
    }
}

/// How often a read is tried.
const ATTEMPTS: u32 = 4;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn fault(reason: Reason) -> Fault {
        Fault::new(reason, "somewhere")
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_is_tried_again_only_where_that_may_help() {
        for (reason, expected) in [(Reason::Unreachable, 4), (Reason::NoLeader, 4), (Reason::Acl, 1)] {
            let attempts = Cell::new(0);
            let outcome: Result<(), _> = retry(|| {
                attempts.set(attempts.get() + 1);
                async { Err(KvError::Registry(fault(reason))) }
            })
            .await;
            assert_eq!((outcome.is_err(), attempts.get()), (true, expected), "{reason:?}");
        }
    }

    #[test]
    fn a_write_without_an_answer_is_in_doubt() {
        assert!(matches!(KvError::of_write(fault(Reason::Unreachable)), KvError::InDoubt(_)));
        assert!(matches!(KvError::of_write(fault(Reason::NoLeader)), KvError::InDoubt(_)));
        assert!(matches!(KvError::of_write(fault(Reason::Acl)), KvError::Registry(_)));
        let words = KvError::of_write(fault(Reason::Unreachable)).to_string();
        assert!(words.contains("not known"), "{words}");
    }
}
