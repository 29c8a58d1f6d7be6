//! What is registered.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::check::{Check, long_enough};
use super::error::RegisterError;

/// One instance of a service, and how it is to be registered.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use resolver_sync::register::{Conflict, Registration};
///
/// let orders = Registration::new("orders", 8080)
///     .id("orders-1")
///     .address([10, 0, 0, 1].into())
///     .tag("v2")
///     .meta("build", "1234")
///     .weight(10)
///     .ttl(Duration::from_secs(10))
///     .conflict(Conflict::TakeOver);
/// # let _ = orders;
/// ```
#[derive(Clone, Debug)]
pub struct Registration {
    pub(super) name: String,
    pub(super) id: Option<String>,
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) tags: Vec<String>,
    pub(super) meta: BTreeMap<String, String>,
    pub(super) weights: Option<(u16, u16)>,
    pub(super) zone: Option<String>,
    pub(super) tier: Option<u8>,
    pub(super) checks: Vec<Check>,
    pub(super) ttl: Duration,
    pub(super) ttl_check: bool,
    pub(super) deregister_after: Option<Duration>,
    pub(super) condition: Condition,
    pub(super) conflict: Conflict,
}

/// What to do where the id is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conflict {
    /// Register if the holder is dead by its TTL; be refused as soon as it has shown that it lives, or has not died for
    /// longer than its TTL. So an instance that is started again after a crash waits for its predecessor's TTL.
    #[default]
    Refuse,
    /// Register at once. A holder that lives sees it at its next beat and stays away.
    TakeOver,
}

/// How an instance says it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// It works.
    #[default]
    Passing,
    /// It works, but not well. Consul's TTL check is in warning; in etcd nothing changes.
    Warning,
    /// It does not work. Consul's TTL check is critical; in etcd the key goes, and comes back when it works again.
    Critical,
}

impl Registration {
    /// An instance of a service at a port, with a TTL of 10 s, a TTL check (Consul) that removes it when it was critical
    /// for a minute, and no other check.
    pub fn new(name: impl Into<String>, port: u16) -> Self {
        Registration {
            name: name.into(),
            id: None,
            address: None,
            port,
            tags: Vec::new(),
            meta: BTreeMap::new(),
            weights: None,
            zone: None,
            tier: None,
            checks: Vec::new(),
            ttl: Duration::from_secs(10),
            ttl_check: true,
            deregister_after: Some(Duration::from_secs(60)),
            condition: Condition::default(),
            conflict: Conflict::default(),
        }
    }

    /// The instance's id: unique for the agent in Consul, for the service in etcd. `name-address-port` where nothing is
    /// said (`name-port` where there is no address either).
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Where it is. In Consul the node's own address where nothing is said; etcd knows of none, and wants it.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// One more tag.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// One more entry of the metadata.
    #[must_use]
    pub fn meta(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.meta.insert(key.into(), value.into());
        self
    }

    /// Its share of the traffic; 1 where nothing is said.
    #[must_use]
    pub fn weight(self, weight: u16) -> Self {
        let warning = self.weights.map_or(1, |weights| weights.1);
        self.weights(weight, warning)
    }

    /// Its share of the traffic while its checks pass, and while one is in warning (Consul).
    #[must_use]
    pub fn weights(mut self, passing: u16, warning: u16) -> Self {
        self.weights = Some((passing, warning));
        self
    }

    /// Its rack or zone: the field `zone` in etcd, the metadata's `zone` in Consul.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Its tier, in etcd only: Consul has none.
    #[must_use]
    pub fn tier(mut self, tier: u8) -> Self {
        self.tier = Some(tier);
        self
    }

    /// One more check that the Consul agent makes. etcd makes none.
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// How long the registry believes in the instance without a sign of life: the lease's TTL in etcd (whole seconds,
    /// rounded up), the TTL check's in Consul. 2 s to 1 day; signs of life go each third of it.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// No TTL check in Consul: the instance's other checks alone say whether it lives, and the condition says nothing.
    #[must_use]
    pub fn without_ttl_check(mut self) -> Self {
        self.ttl_check = false;
        self
    }

    /// Consul removes the instance when its TTL check was critical for so long (at least a minute, and up to 30 s later);
    /// `None`: never.
    #[must_use]
    pub fn deregister_critical_after(mut self, after: Option<Duration>) -> Self {
        self.deregister_after = after;
        self
    }

    /// How it is at first; [`Condition::Critical`] for a service that is yet to warm up.
    #[must_use]
    pub fn condition(mut self, condition: Condition) -> Self {
        self.condition = condition;
        self
    }

    /// What to do where the id is in use.
    #[must_use]
    pub fn conflict(mut self, conflict: Conflict) -> Self {
        self.conflict = conflict;
        self
    }

    /// The instance's id, as said or made.
    pub(super) fn instance(&self) -> String {
        match (&self.id, self.address) {
            (Some(id), _) => id.clone(),
            (None, Some(address)) => format!("{}-{address}-{}", self.name, self.port),
            (None, None) => format!("{}-{}", self.name, self.port),
        }
    }

    /// Refuses what makes no sense, to this registry.
    pub(super) fn checked(self, etcd: bool) -> Result<Self, RegisterError> {
        let wrong =
            |what: String| Err(RegisterError::Config(format!("registration of {:?}: {what}", self.name)));
        // Slashes divide etcd's keys and Consul's paths; dots are folded away in URLs.
        if !is_word(&self.name) || self.name.contains('/') {
            return wrong("the name is empty, or has a slash or a control character".into());
        }
        let id = self.instance();
        if !is_word(&id) {
            return wrong(format!("the id {id:?} is empty, or has a control character"));
        }
        if self.port == 0 {
            return wrong("port 0 is none".into());
        }
        if let Some(address) = self.address.map(|address| address.to_canonical())
            && (address.is_unspecified() || address.is_multicast())
        {
            return wrong(format!("{address} is nobody's address; name the one that callers use"));
        }
        if !(Duration::from_secs(2)..=Duration::from_secs(86_400)).contains(&self.ttl) {
            return wrong(format!("the TTL is {:?}; it must be 2 s to 1 day", self.ttl));
        }
        if self.meta.contains_key(INCARNATION) {
            return wrong(format!("the metadata's {INCARNATION} is written by the registration itself"));
        }
        if etcd {
            if self.address.is_none() {
                return wrong("etcd knows no address of a node; name the one that callers use".into());
            }
            if !self.checks.is_empty() || !self.ttl_check {
                return wrong("etcd makes no checks; the lease is all there is".into());
            }
        } else {
            if self.tier.is_some() {
                return wrong("Consul has no tiers".into());
            }
            if self.zone.is_some() && self.meta.contains_key("zone") {
                return wrong("the zone is said twice, as such and in the metadata".into());
            }
            let deregister = self.deregister_after.map_or(Ok(()), long_enough);
            if let Err(what) = deregister.and_then(|()| self.checks.iter().try_for_each(Check::check)) {
                return wrong(what);
            }
        }
        Ok(self)
    }
}

/// The key of Consul's metadata that says which process registered.
pub(super) const INCARNATION: &str = "resolver-incarnation";

fn is_word(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> Registration {
        Registration::new("orders", 8080)
    }

    fn refused(registration: Registration, etcd: bool) -> String {
        registration.checked(etcd).expect_err("refused").to_string()
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let here = || orders().address([10, 0, 0, 1].into());
        for (registration, etcd, words) in [
            (Registration::new("a/b", 1), false, "slash"),
            (Registration::new("", 1), false, "empty"),
            (orders().id(".."), false, "empty"),
            (orders().id("a\nb"), false, "control"),
            (Registration::new("orders", 0), false, "port 0"),
            (orders().address([0, 0, 0, 0].into()), false, "nobody's"),
            (orders().ttl(Duration::from_millis(1999)), false, "2 s"),
            (orders().meta(INCARNATION, "x"), false, "itself"),
            (orders().tier(1), false, "no tiers"),
            (orders().zone("a").meta("zone", "b"), false, "twice"),
            (orders().deregister_critical_after(Some(Duration::from_secs(1))), false, "1 min"),
            (orders(), true, "name the one"),
            (here().check(Check::tcp("h:1")), true, "no checks"),
        ] {
            let why = refused(registration, etcd);
            assert!(why.contains(words), "{why}");
        }
        for (registration, etcd) in [(orders(), false), (here().tier(1).zone("a"), true)] {
            assert!(registration.checked(etcd).is_ok());
        }
    }

    #[test]
    fn an_id_is_made_of_what_is_known() {
        assert_eq!(orders().instance(), "orders-8080");
        assert_eq!(orders().address([10, 0, 0, 1].into()).instance(), "orders-10.0.0.1-8080");
        assert_eq!(orders().id("x").instance(), "x");
    }
}
