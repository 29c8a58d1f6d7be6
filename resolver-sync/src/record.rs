//! What a registry says of an instance, and the check that stands between its words and ours.
//!
//! Every source hands raw [`Candidate`]s to [`ServiceSet::check`]; so one rule holds for all of them: a bad record
//! is left out, counted and named, and the set goes on without it.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

/// An instance of a service that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Unique within its service and source. Consul: `node/service-id`; etcd: the key below the service's prefix.
    pub id: String,
    /// Unicast and usable from this host: never unspecified, multicast or a scoped IPv6 address.
    pub address: IpAddr,
    /// Never 0.
    pub port: u16,
    /// Relative share of the traffic; 1 where the registry says nothing.
    pub weight: u32,
    /// 0 is asked first; a higher tier serves only when every lower one is empty.
    pub tier: u8,
    /// Rack, zone or node group; empty where unknown.
    pub zone: String,
    /// Sorted and without repetitions.
    pub tags: Vec<String>,
    /// For people and tools; never read on the hot path.
    pub meta: BTreeMap<String, String>,
    /// Who said so, where several sources are laid over each other; else it is the source that the set is of.
    pub source: Option<Arc<str>>,
}

/// An instance in a registry's own words, before any check.
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    /// As [`Instance::id`].
    pub id: String,
    /// Should be an IP address; host names are refused.
    pub address: String,
    /// Should be 1 to 65535.
    pub port: i64,
    /// Negative is refused; `None` is 1.
    pub weight: Option<i64>,
    /// As [`Instance::tier`].
    pub tier: u8,
    /// As [`Instance::zone`].
    pub zone: String,
    /// In any order.
    pub tags: Vec<String>,
    /// As [`Instance::meta`].
    pub meta: BTreeMap<String, String>,
    /// The registry knows it and says that it does not work now.
    pub unhealthy: bool,
}

/// A record that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rejected {
    /// The record's id, or its key where it could not be read at all.
    pub id: String,
    /// What was wrong with it, for a person.
    pub why: String,
}

/// What one source says of one service at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSet {
    /// Sorted by tier, address, port; no two share an address and port.
    pub instances: Vec<Instance>,
    /// What the registry knows beside them and calls unhealthy, in the same order; only from a source that was asked for
    /// it. Whether the service is there, empty or shrunken is never judged by these: they serve in a panic alone.
    pub unhealthy: Vec<Instance>,
    /// The records that were left out.
    pub rejected: Vec<Rejected>,
    /// The source's own count: Consul's index, etcd's revision, a file's or a memory's count of loads.
    pub revision: u64,
}

impl Instance {
    /// Whether it has all of these tags.
    pub fn has_tags(&self, tags: &[String]) -> bool {
        tags.iter().all(|tag| self.tags.contains(tag))
    }
}

impl ServiceSet {
    /// Checks raw records and puts the good ones in their order.
    ///
    /// Left out, and named in [`ServiceSet::rejected`]: an address that is not an IP address, or is unspecified,
    /// multicast, broadcast or link-local IPv6; a port outside 1 to 65535; a negative weight or one over `u32`; an id
    /// with control characters or over 255 bytes; a second instance at the same address and port (the smaller id stays).
    ///
    /// ```
    /// use resolver_sync::record::{Candidate, ServiceSet};
    ///
    /// let good = Candidate { id: "a".into(), address: "10.0.0.1".into(), port: 9000, ..Default::default() };
    /// let bad = Candidate { id: "b".into(), address: "db.example".into(), port: 9000, ..Default::default() };
    /// let set = ServiceSet::check([good, bad], 7);
    /// assert_eq!(set.instances.len(), 1);
    /// assert_eq!(set.rejected[0].id, "b");
    /// ```
    pub fn check(candidates: impl IntoIterator<Item = Candidate>, revision: u64) -> Self {
        let mut set = ServiceSet { revision, ..ServiceSet::default() };
        let (mut instances, mut unhealthy) = (Vec::new(), Vec::new());
        for candidate in candidates {
            let id = candidate.id.clone();
            match (candidate.unhealthy, candidate.check()) {
                (false, Ok(instance)) => instances.push(instance),
                (false, Err(why)) => set.rejected.push(Rejected { id, why }),
                (true, Ok(instance)) => unhealthy.push(instance),
                // It would not have served, so nobody misses it.
                (true, Err(_)) => {}
            }
        }
        let mut places = HashSet::new();
        for instance in sorted(instances) {
            if places.insert((instance.address, instance.port)) {
                set.instances.push(instance);
            } else {
                let why = format!("a second instance at {}:{}", instance.address, instance.port);
                set.rejected.push(Rejected { id: instance.id, why });
            }
        }
        let others = sorted(unhealthy).into_iter();
        set.unhealthy = others.filter(|other| places.insert((other.address, other.port))).collect();
        set
    }
}

fn sorted(mut instances: Vec<Instance>) -> Vec<Instance> {
    instances.sort_by(|a, b| (a.tier, a.address, a.port, &a.id).cmp(&(b.tier, b.address, b.port, &b.id)));
    instances
}

impl Candidate {
    fn check(self) -> Result<Instance, String> {
        if self.id.len() > 255 || self.id.chars().any(char::is_control) {
            return Err("an id with control characters or over 255 bytes".into());
        }
        let address: IpAddr =
            self.address.parse().map_err(|_| format!("address {:?} is not an IP address", self.address))?;
        let usable = match address {
            IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast(),
            IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast() && !v6.is_unicast_link_local(),
        };
        if !usable {
            return Err(format!("address {address} is not a unicast address that works without a scope"));
        }
        let port = u16::try_from(self.port).ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| format!("port {} is not within 1 to 65535", self.port))?;
        let weight = u32::try_from(self.weight.unwrap_or(1))
            .map_err(|_| format!("weight {} is not within 0 to 4294967295", self.weight.unwrap_or(1)))?;
        let mut tags = self.tags;
        tags.sort();
        tags.dedup();
        Ok(Instance {
            id: self.id,
            address,
            port,
            weight,
            tier: self.tier,
            zone: self.zone,
            tags,
            meta: self.meta,
            source: None,
        })
    }
}
