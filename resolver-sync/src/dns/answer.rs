//! What is asked for a service, and the instances that the answers are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType, rdata::SRV};

use super::server::{Found, Servers};
use crate::record::Candidate;
use crate::source::Fault;

/// What is asked for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// The SRV records of a name, and the addresses of their targets.
    Srv(Name),
    /// The addresses of a name, each with this port.
    Addresses(Name, u16),
}

/// The instances that an answer has, and for how long it is good.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) candidates: Vec<Candidate>,
    pub(super) ttl: Duration,
}

impl Question {
    pub(super) fn read(text: &str) -> Option<Self> {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok().filter(|port| *port != 0)?)),
            None => (text, None),
        };
        // An address is no name: it belongs into a file.
        if name.is_empty() || name.parse::<IpAddr>().is_ok() {
            return None;
        }
        // From the root on: a list of domains to search would make the answer depend on the host.
        let mut name = Name::from_utf8(name).ok()?;
        name.set_fqdn(true);
        Some(port.map_or_else(|| Question::Srv(name.clone()), |port| Question::Addresses(name.clone(), port)))
    }

    pub(super) async fn ask(&self, servers: &Servers) -> Result<Answer, Fault> {
        match self {
            Question::Srv(name) => services(servers, name).await,
            Question::Addresses(name, port) => {
                let (addresses, ttl) = addresses(servers, name).await?;
                let candidate = |address: IpAddr| Candidate {
                    id: format!("{address}"),
                    address: address.to_string(),
                    port: i64::from(*port),
                    ..Candidate::default()
                };
                Ok(Answer { candidates: addresses.into_iter().map(candidate).collect(), ttl })
            }
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::Srv(name) => write!(f, "SRV of {name}"),
            Question::Addresses(name, _) => write!(f, "addresses of {name}"),
        }
    }
}

/// The SRV records of a name with the addresses of their targets, which most servers send along.
async fn services(servers: &Servers, name: &Name) -> Result<Answer, Fault> {
    let lookup = match servers.records(name, RecordType::SRV).await? {
        Found::Records(lookup) => lookup,
        Found::Nothing(ttl) => return Ok(Answer { candidates: Vec::new(), ttl }),
    };
    let mut ttl = u32::MAX;
    let mut records = Vec::new();
    for record in lookup.answers() {
        if let RData::SRV(srv) = &record.data
            // "." says that there decidedly is no such service.
            && !srv.target.is_root()
        {
            ttl = ttl.min(record.ttl);
            records.push(srv);
        }
    }
    let (mut places, sent_ttl) = sent_along(&lookup);
    ttl = ttl.min(sent_ttl);
    let targets: BTreeSet<&Name> = records.iter().map(|srv| &srv.target).collect();
    let mut asked: FuturesUnordered<_> = targets
        .into_iter()
        .filter(|target| !places.contains_key(*target))
        .map(|target| async move { (target.clone(), addresses(servers, target).await) })
        .collect();
    let mut ttl = Duration::from_secs(if records.is_empty() { 0 } else { ttl.into() });
    while let Some((target, answer)) = asked.next().await {
        let (addresses, good_for) = answer?;
        ttl = ttl.min(good_for);
        places.insert(target, addresses);
    }
    Ok(Answer { candidates: instances(&records, &places), ttl })
}

/// The addresses in the additional section, by name, and how long the first of them is good.
fn sent_along(lookup: &Lookup) -> (BTreeMap<Name, BTreeSet<IpAddr>>, u32) {
    let mut places: BTreeMap<Name, BTreeSet<IpAddr>> = BTreeMap::new();
    let mut ttl = u32::MAX;
    for record in lookup.additionals() {
        if let Some(address) = address(record) {
            ttl = ttl.min(record.ttl);
            places.entry(record.name.clone()).or_default().insert(address);
        }
    }
    (places, ttl)
}

/// All addresses of a name, of both kinds. If one of both cannot be had, the other is not the whole of it.
async fn addresses(servers: &Servers, name: &Name) -> Result<(BTreeSet<IpAddr>, Duration), Fault> {
    let (v4, v6) =
        tokio::try_join!(servers.records(name, RecordType::A), servers.records(name, RecordType::AAAA))?;
    let mut found = BTreeSet::new();
    let (mut good, mut nothing) = (Duration::MAX, Duration::MAX);
    for answer in [v4, v6] {
        match answer {
            Found::Records(lookup) => {
                for record in lookup.answers() {
                    // A name that stands for another one has its own time to live.
                    good = good.min(Duration::from_secs(record.ttl.into()));
                    found.extend(address(record));
                }
            }
            Found::Nothing(ttl) => nothing = nothing.min(ttl),
        }
    }
    // That there is no address of the other kind is no news to hurry for.
    Ok((found, if good == Duration::MAX { nothing } else { good }))
}

fn address(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}

fn instances(records: &[&SRV], places: &BTreeMap<Name, BTreeSet<IpAddr>>) -> Vec<Candidate> {
    // Lower priorities come first, as lower tiers do; only their order counts.
    let priorities: BTreeSet<u16> = records.iter().map(|srv| srv.priority).collect();
    let mut candidates = Vec::new();
    for srv in records {
        let tier = priorities.iter().position(|priority| *priority == srv.priority).unwrap_or_default();
        let target = srv.target.to_utf8();
        let target = target.trim_end_matches('.');
        let none = BTreeSet::new();
        let addresses = places.get(&srv.target).unwrap_or(&none);
        let candidate = |id: String, address: String| Candidate {
            id,
            address,
            port: i64::from(srv.port),
            // 0 is "hardly ever" there and "never" here.
            weight: Some(i64::from(srv.weight.max(1))),
            tier: u8::try_from(tier).unwrap_or(u8::MAX),
            ..Candidate::default()
        };
        let id = format!("{target}:{}", srv.port);
        match addresses.len() {
            // Left out by the common check, which names it: a target without an address.
            0 => candidates.push(candidate(id, target.to_owned())),
            1 => candidates.extend(addresses.iter().map(|place| candidate(id.clone(), place.to_string()))),
            _ => candidates
                .extend(addresses.iter().map(|place| candidate(format!("{id}@{place}"), place.to_string()))),
        }
    }
    candidates
}
