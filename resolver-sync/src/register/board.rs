//! Where the keeper writes how the registration stands, and its owner reads it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::error::RegisterError;

/// How a registration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It is being registered, for the first time or again; with what came of the last attempt, or why it is done again.
    Trying(Option<String>),
    /// It was there when it was last read back.
    Registered,
    /// It was there, and the last sign of life or look failed: it may be there for up to its TTL.
    Unproven(String),
    /// It is withdrawn for now, as ordered: critical or in maintenance, with no key in etcd.
    Withdrawn,
    /// It is not registered, and nobody tries any more.
    Failed(RegisterError),
    /// It was deregistered, as ordered.
    Left,
}

impl Status {
    /// Whether nothing will change any more.
    pub fn is_final(&self) -> bool {
        matches!(self, Status::Failed(_) | Status::Left)
    }

    fn settled(&self) -> Option<Result<(), RegisterError>> {
        match self {
            Status::Trying(_) => None,
            Status::Failed(error) => Some(Err(error.clone())),
            _ => Some(Ok(())),
        }
    }
}

/// What a registration has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Times that it was registered; more than once where it vanished.
    pub registrations: u64,
    /// Signs of life that the registry took, each with a look at what it has.
    pub beats: u64,
    /// Attempts of either that failed.
    pub faults: u64,
}

#[derive(Debug)]
pub(super) struct Board {
    status: watch::Sender<Status>,
    /// For those that wait without a runtime.
    lock: Mutex<()>,
    changed: Condvar,
    registrations: AtomicU64,
    beats: AtomicU64,
    faults: AtomicU64,
}

impl Board {
    pub(super) fn new() -> Self {
        Board {
            status: watch::Sender::new(Status::Trying(None)),
            lock: Mutex::new(()),
            changed: Condvar::new(),
            registrations: AtomicU64::new(0),
            beats: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        }
    }

    pub(super) fn set(&self, status: Status) {
        {
            let _lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.status.send_if_modified(|now| {
                // The first end is the true one.
                let news = !now.is_final() && *now != status;
                if news {
                    *now = status;
                }
                news
            });
        }
        self.changed.notify_all();
    }

    pub(super) fn registered(&self) {
        self.registrations.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    pub(super) fn counts(&self) -> Counts {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts { registrations: get(&self.registrations), beats: get(&self.beats), faults: get(&self.faults) }
    }

    /// Waits for the first word on whether it is registered, without a runtime.
    pub(super) fn wait(&self, within: Duration) -> Result<(), RegisterError> {
        match self.until(within, |status| status.settled()) {
            Ok(settled) => settled,
            Err(Status::Trying(last)) => Err(RegisterError::Late { within, last }),
            Err(_) => Err(RegisterError::Late { within, last: None }),
        }
    }

    /// Waits for the end; `false` if it did not come in time.
    pub(super) fn wait_for_end(&self, within: Duration) -> bool {
        self.until(within, |status| status.is_final().then_some(())).is_ok()
    }

    /// Like [`Board::wait`], in a runtime and for as long as it takes.
    pub(super) async fn settled(&self) -> Result<(), RegisterError> {
        let mut changes = self.status.subscribe();
        loop {
            let settled = changes.borrow_and_update().settled();
            if let Some(settled) = settled {
                return settled;
            }
            // The sender is part of `self`.
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn until<T>(&self, within: Duration, found: impl Fn(&Status) -> Option<T>) -> Result<T, Status> {
        let start = Instant::now();
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let status = self.status();
            if let Some(found) = found(&status) {
                return Ok(found);
            }
            let Some(left) = within.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) else {
                return Err(status);
            };
            lock = self.changed.wait_timeout(lock, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
