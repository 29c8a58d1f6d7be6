//! What was last published, on disk: so that an agent that starts with neither a segment nor a registry (after a reboot,
//! say) has something to serve, and says of it that it is STALE.

mod keeper;
mod service;
mod setting;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::ledger::now_ms;
use crate::schema::Schema;
use crate::sealed::{Sealed, SealedError};
use crate::view::View;
use service::SavedService;
use setting::SavedSetting;

pub use keeper::Keeper;

/// Where the last good table is kept, and for how long it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastGoodOptions {
    /// The file, in a directory that only the agent's user may write to.
    pub path: PathBuf,
    /// How often it is written, if there is something new.
    pub every: Duration,
    /// A set or value that its registry confirmed longer ago than this is not served.
    pub max_age: Duration,
}

/// What a file had: the sets of services, and the values of settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LastGood {
    services: BTreeMap<String, SavedService>,
    settings: BTreeMap<String, SavedSetting>,
}

/// How many names a catalogue was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Of services.
    pub services: usize,
    /// Of settings. Each is still to be checked against its schema.
    pub settings: usize,
}

/// Version of the file's body.
const VERSION: u32 = 2;
/// The body of files from before settings were kept. They are read, for the services that they have.
const WITHOUT_SETTINGS: u32 = 1;
/// How far a clock may have been set back between writing and reading.
const CLOCK: u64 = 300_000;
/// Why what was kept stands as it does.
const FROM_DISK: &str = "from disk; the registry has not spoken yet";

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    written_ms: u64,
    services: BTreeMap<String, SavedService>,
    settings: BTreeMap<String, SavedSetting>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BodyWithoutSettings {
    written_ms: u64,
    services: BTreeMap<String, SavedService>,
}

impl Body {
    fn parse(version: u32, bytes: &[u8]) -> serde_json::Result<Self> {
        if version != WITHOUT_SETTINGS {
            return serde_json::from_slice(bytes);
        }
        let BodyWithoutSettings { written_ms, services } = serde_json::from_slice(bytes)?;
        Ok(Body { written_ms, services, settings: BTreeMap::new() })
    }

    /// When each thing was last confirmed.
    fn times(&self) -> impl Iterator<Item = u64> {
        let services = self.services.values().map(|saved| saved.good_ms);
        services.chain(self.settings.values().map(|saved| saved.good_ms))
    }
}

impl LastGoodOptions {
    fn file(&self) -> Sealed {
        Sealed::new(self.path.clone(), "last-good", VERSION).or_version(WITHOUT_SETTINGS)
    }
}

impl LastGood {
    /// Reads what was kept; nothing where there is no file. What is older than the options allow is left out, and named in
    /// the log.
    ///
    /// # Errors
    ///
    /// [`SealedError`] for a file that is damaged, of another version, written in the future or by somebody else, or of which
    /// all is too old. Nothing of it is used then.
    pub fn read(options: &LastGoodOptions) -> Result<Self, SealedError> {
        let file = options.file();
        let Some((version, bytes)) = file.read()? else { return Ok(LastGood::default()) };
        let refuse = |why: String| Err(SealedError::refused(file.path(), why));
        let body = match Body::parse(version, &bytes) {
            Ok(body) => body,
            Err(error) => return refuse(format!("it is not understood: {error}")),
        };
        let now = now_ms();
        let latest = body.times().max().unwrap_or(0).max(body.written_ms);
        if latest > now + CLOCK {
            return refuse(format!(
                "it was written {} s in the future: one of the clocks is wrong",
                (latest - now) / 1000
            ));
        }
        let max_age = u64::try_from(options.max_age.as_millis()).unwrap_or(u64::MAX);
        let youngest = body.times().map(|good_ms| now.saturating_sub(good_ms)).min();
        if let Some(age) = youngest.filter(|age| *age > max_age) {
            return refuse(format!(
                "it is too old: its registry last confirmed it {} s ago, and [state] max_age is {} s",
                age / 1000,
                options.max_age.as_secs()
            ));
        }
        let is_young = |name: &String, good_ms: u64| {
            let age = now.saturating_sub(good_ms);
            if age > max_age {
                tracing::warn!(name, age_s = age / 1000, "kept for too long; it is not served");
            }
            age <= max_age
        };
        let Body { mut services, mut settings, .. } = body;
        services.retain(|name, saved| is_young(name, saved.good_ms));
        settings.retain(|name, saved| is_young(name, saved.good_ms));
        Ok(LastGood { services, settings })
    }

    /// Moves a refused file out of the way; where to.
    pub fn set_aside(options: &LastGoodOptions) -> Option<PathBuf> {
        options.file().set_aside()
    }

    /// How many names it has, of services and of settings.
    pub fn len(&self) -> usize {
        self.services.len() + self.settings.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts it into a catalogue, from where a publisher restores what its table does not have. Only names that still stand for
    /// the same are: with views, those whose source, service and tags are as they were; settings that are wanted, and whose
    /// source and key are as they were.
    pub fn fill(&self, catalog: &Catalog, views: &[View], schemas: &[Schema]) -> Filled {
        let mut filled = Filled { services: 0, settings: 0 };
        for (name, saved) in &self.services {
            if !saved.is_still(name, views) {
                tracing::warn!(name, "kept, and stands for something else now; it is not served");
            } else if let Some(entry) = saved.entry(name) {
                catalog.put(name, entry);
                filled.services += 1;
            }
        }
        for (name, saved) in &self.settings {
            match schemas.iter().find(|schema| schema.name == *name) {
                None => tracing::info!(setting = name, "kept, and nobody wants this setting any more"),
                Some(schema) if !saved.is_still(schema) => {
                    tracing::warn!(
                        setting = name,
                        "kept, and stands for another key now; its value is not served"
                    );
                }
                Some(_) => {
                    catalog.put_setting(name, saved.entry());
                    filled.settings += 1;
                }
            }
        }
        filled
    }

    /// Whether another one differs in no more than the times of confirmation.
    fn is_same(&self, other: &Self) -> bool {
        fn same<T>(
            a: &BTreeMap<String, T>,
            b: &BTreeMap<String, T>,
            is_same: impl Fn(&T, &T) -> bool,
        ) -> bool {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && is_same(a.1, b.1))
        }
        same(&self.services, &other.services, SavedService::is_same)
            && same(&self.settings, &other.settings, SavedSetting::is_same)
    }
}

#[cfg(test)]
mod tests;
