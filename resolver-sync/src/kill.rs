//! The operator's hand: endpoints that are out of every answer, whatever the registry says, until an operator lets them in
//! again or their time is over.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::ledger::now_ms;
use crate::record::{Instance, ServiceSet};
use crate::sealed::{Sealed, SealedError};
use crate::view::View;

/// Which instance is meant: by where it is, or by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// `10.0.0.1:9000` or `[2001:db8::1]:9000`.
    Place(SocketAddr),
    /// The instance's id, as tools print it.
    Id(String),
}

impl Target {
    /// What a person wrote: an address with its port, or else an id.
    pub fn parse(text: &str) -> Target {
        text.parse().map_or_else(|_| Target::Id(text.to_owned()), Target::Place)
    }

    fn is(&self, instance: &Instance) -> bool {
        match self {
            Target::Place(place) => *place == SocketAddr::new(instance.address, instance.port),
            Target::Id(id) => *id == instance.id,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Place(place) => place.fmt(f),
            Target::Id(id) => id.fmt(f),
        }
    }
}

/// One order of an operator's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// Which instance.
    pub target: Target,
    /// Of which name of the table; of all of them where there is none.
    pub service: Option<String>,
    /// When it was ordered, in milliseconds since 1970.
    pub since_ms: u64,
    /// When it is over, in milliseconds since 1970.
    pub until_ms: u64,
    /// In the operator's words.
    pub reason: String,
    /// The operator's user id.
    pub by: u32,
}

/// What is out now.
#[derive(Clone, Debug, Default)]
pub struct Kills {
    /// With the moment at which each is over on a clock that nobody sets.
    kills: Vec<(Kill, Instant)>,
}

/// How many there can be at one time.
pub const MOST: usize = 1024;
/// The longest reason, in bytes.
pub const MAX_REASON: usize = 200;

impl Kills {
    /// Orders one, in place of an earlier one of the same target and service.
    pub(crate) fn add(&mut self, kill: Kill) -> bool {
        let left = Duration::from_millis(kill.until_ms.saturating_sub(now_ms()));
        self.kills.retain(|(other, _)| (&other.target, &other.service) != (&kill.target, &kill.service));
        let fits = self.kills.len() < MOST;
        if fits {
            self.kills.push((kill, Instant::now() + left));
        }
        fits
    }

    /// Takes those of a target back: all of them, or those of one name. How many.
    pub(crate) fn take_back(&mut self, target: &Target, service: Option<&str>) -> usize {
        let before = self.kills.len();
        self.kills.retain(|(kill, _)| {
            kill.target != *target || (service.is_some() && kill.service.as_deref() != service)
        });
        before - self.kills.len()
    }

    /// Those that are over, which are so no longer.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Kill> {
        let mut over = Vec::new();
        self.kills.retain(|(kill, until)| {
            let is_over = now >= *until;
            if is_over {
                over.push(kill.clone());
            }
            !is_over
        });
        over
    }

    /// All of them.
    pub fn list(&self) -> Vec<Kill> {
        self.kills.iter().map(|(kill, _)| kill.clone()).collect()
    }

    /// Whether a target is out of every name by one order.
    pub(crate) fn is_out_everywhere(&self, target: &Target) -> bool {
        self.kills.iter().any(|(kill, _)| kill.target == *target && kill.service.is_none())
    }

    /// A set without what is out of this name.
    pub(crate) fn without<'s>(&self, name: &str, set: &'s ServiceSet) -> Cow<'s, ServiceSet> {
        let mut instances = set.instances.iter().chain(&set.unhealthy);
        if !instances.any(|instance| self.hit(name, instance)) {
            return Cow::Borrowed(set);
        }
        let mut set = set.clone();
        set.instances.retain(|instance| !self.hit(name, instance));
        set.unhealthy.retain(|instance| !self.hit(name, instance));
        Cow::Owned(set)
    }

    /// Where the instances of a set are that a view would show and that are out.
    pub(crate) fn out_of(&self, view: &View, set: &ServiceSet) -> Vec<SocketAddr> {
        if self.kills.is_empty() {
            return Vec::new();
        }
        let shown =
            set.instances.iter().chain(&set.unhealthy).filter(|instance| instance.has_tags(&view.tags));
        let out = shown.filter(|instance| self.hit(&view.name, instance));
        out.map(|instance| SocketAddr::new(instance.address, instance.port)).collect()
    }

    fn hit(&self, name: &str, instance: &Instance) -> bool {
        let means = |kill: &Kill| kill.service.as_deref().is_none_or(|service| service == name);
        self.kills.iter().any(|(kill, _)| means(kill) && kill.target.is(instance))
    }
}

/// Where they are kept, so that the next agent knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillStore {
    file: Sealed,
    /// Whether the file is there after the machine was started again.
    pub durable: bool,
}

const VERSION: u32 = 1;

impl KillStore {
    /// In this file. `durable`: on a disk.
    pub fn new(path: PathBuf, durable: bool) -> Self {
        KillStore { file: Sealed::new(path, "kills", VERSION), durable }
    }

    /// Those that were kept and are not over.
    ///
    /// # Errors
    ///
    /// [`SealedError`] for a file that cannot be believed. What an operator took out must not come back by a damaged file, so
    /// this is no reason to go on without.
    pub fn read(&self) -> Result<Kills, SealedError> {
        let mut kills = Kills::default();
        let Some((_, bytes)) = self.file.read()? else { return Ok(kills) };
        let list: Vec<Kill> = serde_json::from_slice(&bytes).map_err(|error| {
            SealedError::refused(self.file.path(), format!("it is not understood: {error}"))
        })?;
        let now = now_ms();
        list.into_iter().filter(|kill| kill.until_ms > now).for_each(|kill| {
            kills.add(kill);
        });
        Ok(kills)
    }

    pub(crate) fn write(&self, kills: &[Kill]) -> Result<(), SealedError> {
        let bytes = serde_json::to_vec(kills).map_err(|error| {
            SealedError::refused(self.file.path(), format!("it cannot be said in JSON: {error}"))
        })?;
        self.file.write(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Candidate;

    fn set() -> ServiceSet {
        let candidate = |port: i64| Candidate {
            id: format!("i{port}"),
            address: "10.0.0.1".into(),
            port,
            unhealthy: port == 4,
            ..Candidate::default()
        };
        ServiceSet::check((1..5).map(candidate), 1)
    }

    fn kill(target: &str, service: Option<&str>) -> Kill {
        let until_ms = now_ms() + 60_000;
        let service = service.map(str::to_owned);
        Kill { target: Target::parse(target), service, since_ms: 0, until_ms, reason: "x".into(), by: 0 }
    }

    fn ports(kills: &Kills, name: &str) -> Vec<u16> {
        let set = set();
        let set = kills.without(name, &set);
        set.instances.iter().chain(&set.unhealthy).map(|instance| instance.port).collect()
    }

    #[test]
    fn what_is_out_is_out_of_the_names_that_are_meant() {
        let mut kills = Kills::default();
        assert!(matches!(kills.without("oms", &set()), Cow::Borrowed(_)));
        assert!(kills.add(kill("10.0.0.1:1", None)));
        assert!(kills.add(kill("i3", Some("oms"))));
        assert!(kills.add(kill("10.0.0.1:4", Some("risk"))));
        assert_eq!((ports(&kills, "oms"), ports(&kills, "risk")), (vec![2, 4], vec![2, 3]));
        let out = kills.out_of(&View::of_service("s", "oms"), &set());
        assert_eq!(out.iter().map(SocketAddr::port).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(kills.take_back(&Target::parse("i3"), Some("risk")), 0, "not out of that one");
        assert_eq!(kills.take_back(&Target::parse("i3"), Some("oms")), 1);
        assert_eq!(kills.take_back(&Target::parse("10.0.0.1:1"), None), 1);
        assert_eq!(ports(&kills, "oms"), [1, 2, 3, 4]);
    }

    #[test]
    fn a_second_order_takes_the_place_of_the_first_and_each_runs_out() {
        let mut kills = Kills::default();
        kills.add(kill("i1", None));
        kills.add(Kill { until_ms: now_ms() + 120_000, ..kill("i1", None) });
        assert_eq!(kills.list().len(), 1);
        let later = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert!(kills.expire(later(100)).is_empty());
        assert_eq!(kills.expire(later(121)).len(), 1);
        assert_eq!(ports(&kills, "oms"), [1, 2, 3, 4]);
    }

    #[test]
    fn they_outlive_their_agent_and_a_damaged_file_is_no_empty_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = KillStore::new(directory.path().join("kills"), true);
        assert!(store.read().expect("no file is none").list().is_empty());
        let over = Kill { until_ms: now_ms() - 1, ..kill("i2", None) };
        store.write(&[kill("[2001:db8::1]:9", Some("oms")), over]).expect("written");
        let read = store.read().expect("good").list();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].target.to_string(), "[2001:db8::1]:9");
        let mut bytes = std::fs::read(directory.path().join("kills")).expect("there");
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        std::fs::write(directory.path().join("kills"), bytes).expect("ours");
        assert!(store.read().expect_err("refused").to_string().contains("checksum"));
    }
}
