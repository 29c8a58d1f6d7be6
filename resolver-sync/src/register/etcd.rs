//! Registration in etcd: a key with a lease, in the seed's form.
//!
//! The lease is the owner's mark: whatever goes with another lease is another's, and is never removed. That of a lease we
//! had before is our own: a cluster that is restored brings back the key as it was. The key is created by a
//! transaction that finds it absent, so of two that begin at one moment one has it.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use resolver_core::Reason;
use serde::Serialize;
use tokio::time::Instant;

use crate::etcd::EtcdConfig;
use crate::etcd::lease::{Holding, Lessor};
use crate::source::Fault;

use super::backend::{Backend, Beat, Orders, Presence, Trouble};
use super::error::RegisterError;
use super::instance::{Condition, Conflict, Registration};

pub(super) struct LeaseBackend<'a> {
    lessor: Lessor,
    registration: &'a Registration,
    key: String,
    lease: Option<i64>,
    /// Every lease that was ours, the latest last.
    granted: VecDeque<i64>,
    /// Whether the key was there with a lease of ours.
    was_ours: bool,
    /// Whether the key is to be there now.
    shown: bool,
    value: Vec<u8>,
    suspect: Option<Suspect>,
}

/// How many of its leases a registration remembers.
const REMEMBERED: usize = 64;

/// A holder that may be dead.
struct Suspect {
    lease: i64,
    remaining: i64,
    since: Instant,
}

/// The seed's three fields, and those that our own codec reads beside them, where they say anything.
#[derive(Serialize)]
struct Value<'a> {
    address: String,
    port: u16,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    meta: &'a std::collections::BTreeMap<String, String>,
}

/// Whether an instance under these orders has no key.
pub(super) fn withdraws(orders: &Orders) -> bool {
    orders.presence != Presence::Here || orders.condition == Condition::Critical
}

impl<'a> LeaseBackend<'a> {
    pub(super) fn new(config: &EtcdConfig, registration: &'a Registration) -> Result<Self, RegisterError> {
        // A registration has calls to make within its TTL, whatever a source may wait for.
        let deadline = config.deadline.min(Duration::from_secs(2));
        Ok(LeaseBackend {
            lessor: Lessor::new(&EtcdConfig { deadline, ..config.clone() })?,
            registration,
            key: format!("{}{}/{}", config.prefix, registration.name, registration.instance()),
            lease: None,
            granted: VecDeque::new(),
            was_ours: false,
            shown: false,
            value: Vec::new(),
            suspect: None,
        })
    }

    fn ttl(&self) -> i64 {
        i64::try_from(self.registration.ttl.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)
    }

    fn value(&self) -> Vec<u8> {
        let Registration { port, weights, tier, zone, tags, meta, .. } = self.registration;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let value = Value {
            address: self.registration.address.map(|address| address.to_string()).unwrap_or_default(),
            port: *port,
            timestamp: now.as_secs(),
            weight: weights.map(|weights| weights.0),
            tier: *tier,
            zone: zone.as_deref(),
            tags,
            meta,
        };
        // Strings and numbers: there is nothing that could fail.
        serde_json::to_vec(&value).unwrap_or_default()
    }

    async fn leased(&mut self) -> Result<i64, Fault> {
        if let Some(lease) = self.lease {
            return Ok(lease);
        }
        let (lease, _) = self.lessor.grant(self.ttl()).await?;
        self.lease = Some(lease);
        self.granted.push_back(lease);
        if self.granted.len() > REMEMBERED {
            self.granted.pop_front();
        }
        Ok(lease)
    }

    async fn put(&mut self, lease: i64) -> Result<(), Trouble> {
        self.value = self.value();
        let mut seen = 0;
        // Each turn has seen a change by somebody else; that many in a row are no accident.
        for _ in 0..5 {
            let holding = match self.lessor.put_if(&self.key, &self.value, lease, seen).await? {
                Ok(()) => return Ok(()),
                Err(holding) => holding,
            };
            seen = match holding {
                None => 0,
                // An answer was lost on the way, or our own value is an older one.
                Some(own) if self.granted.contains(&own.lease) => own.mod_revision,
                Some(other) => self.claim(other).await?,
            };
        }
        Err(Fault::new(Reason::Unreachable, format!("etcd: {} changes all the time", self.key)).into())
    }

    /// Whether the place of another may be taken: the revision that it is taken at.
    async fn claim(&mut self, holding: Holding) -> Result<i64, Trouble> {
        let holder = described(&holding);
        if self.was_ours {
            return Err(Trouble::TakenOver(holder));
        }
        if self.registration.conflict == Conflict::TakeOver {
            tracing::warn!(key = self.key, "taking over from {holder}");
            return Ok(holding.mod_revision);
        }
        if holding.lease == 0 {
            // It will not go by itself.
            return Err(Trouble::Refused(holder));
        }
        let Some((remaining, granted)) = self.lessor.remaining(holding.lease).await? else {
            return Err(Trouble::Held(holder));
        };
        let now = Instant::now();
        match &mut self.suspect {
            Some(suspect) if suspect.lease == holding.lease => {
                let outlived = Duration::from_secs(granted.unsigned_abs()) + Duration::from_millis(1500);
                // Only a process that lives prolongs its lease.
                if remaining > suspect.remaining || suspect.since.elapsed() > outlived {
                    return Err(Trouble::Refused(holder));
                }
                suspect.remaining = remaining;
            }
            _ => self.suspect = Some(Suspect { lease: holding.lease, remaining, since: now }),
        }
        Err(Trouble::Held(holder))
    }

    async fn registered(&mut self, orders: &Orders) -> Result<(), Trouble> {
        let lease = self.leased().await?;
        if withdraws(orders) {
            return Ok(());
        }
        match self.put(lease).await {
            Ok(()) => {
                (self.was_ours, self.shown) = (true, true);
                Ok(())
            }
            Err(Trouble::Fault(fault)) if fault.detail.contains("requested lease not found") => {
                self.lease = None;
                Err(Fault::new(Reason::Unreachable, fault.detail).into())
            }
            Err(trouble) => Err(trouble),
        }
    }

    async fn beaten(&mut self, orders: &Orders) -> Result<Beat, Trouble> {
        let Some(lease) = self.lease else {
            return Ok(Beat::Vanished("there is no lease".into()));
        };
        if !self.lessor.keep_alive(lease).await? {
            self.lease = None;
            return Ok(Beat::Vanished("its lease is gone".into()));
        }
        if withdraws(orders) {
            if self.shown {
                self.lessor.delete_if(&self.key, lease).await?;
                self.shown = false;
            }
            return Ok(Beat::Fine);
        }
        match self.lessor.read(&self.key).await? {
            Some(own) if own.lease == lease && own.value == self.value => Ok(Beat::Fine),
            Some(own) if own.lease == lease => {
                tracing::warn!(key = self.key, "its value is another's; writing it again");
                self.put(lease).await.map(|()| Beat::Fine)
            }
            Some(own) if self.granted.contains(&own.lease) => {
                tracing::warn!(key = self.key, "it is there with a lease of before; writing it again");
                self.put(lease).await.map(|()| Beat::Fine)
            }
            Some(other) if self.shown => Err(Trouble::TakenOver(described(&other))),
            // Withdrawn until now: putting it back is nothing to warn of.
            _ if !self.shown => self.registered(orders).await.map(|()| Beat::Fine),
            _ => {
                self.shown = false;
                Ok(Beat::Vanished("its key is gone".into()))
            }
        }
    }

    /// Another member may do what this one does not.
    fn note<T>(&self, result: Result<T, Trouble>) -> Result<T, Trouble> {
        if let Err(Trouble::Fault(fault)) = &result
            && fault.reason != Reason::Acl
        {
            self.lessor.rotate();
        }
        result
    }
}

impl Backend for LeaseBackend<'_> {
    async fn register(&mut self, orders: &Orders) -> Result<(), Trouble> {
        let registered = self.registered(orders).await;
        self.note(registered)
    }

    async fn beat(&mut self, orders: &Orders) -> Result<Beat, Trouble> {
        let beat = self.beaten(orders).await;
        self.note(beat)
    }

    /// The keys of the lease go with it, and no others: a key that was taken over has another one.
    async fn leave(&mut self) -> Result<(), Trouble> {
        let Some(lease) = self.lease else { return Ok(()) };
        let revoked = self.lessor.revoke(lease).await.map_err(Trouble::from);
        self.note(revoked)?;
        self.lease = None;
        Ok(())
    }
}

fn described(holding: &Holding) -> String {
    let value: String =
        String::from_utf8_lossy(&holding.value).chars().take(120).flat_map(char::escape_default).collect();
    match holding.lease {
        0 => format!("somebody without a lease ({value})"),
        lease => format!("the owner of lease {lease:x} ({value})"),
    }
}
