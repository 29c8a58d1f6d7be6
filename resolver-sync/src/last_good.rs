//! What was last published, on disk: so that an agent that starts with neither a segment nor a registry (after a reboot,
//! say) has something to serve, and says of it that it is STALE.

mod keeper;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use resolver_core::{Reason, State};
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Entry};
use crate::ledger::now_ms;
use crate::record::{Candidate, Instance, ServiceSet};
use crate::sealed::{Sealed, SealedError};
use crate::view::View;

pub use keeper::Keeper;

/// Where the last good table is kept, and for how long it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastGoodOptions {
    /// The file, in a directory that only the agent's user may write to.
    pub path: PathBuf,
    /// How often it is written, if there is something new.
    pub every: Duration,
    /// A set that its registry confirmed longer ago than this is not served.
    pub max_age: Duration,
}

/// What a file had.
#[derive(Clone, Debug, Default)]
pub struct LastGood {
    services: BTreeMap<String, Saved>,
}

/// Version of the file's body.
const VERSION: u32 = 1;
/// How far a clock may have been set back between writing and reading.
const CLOCK: u64 = 300_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    written_ms: u64,
    services: BTreeMap<String, Saved>,
}

/// One name of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    /// What the name stood for: what the configuration says now must be the same.
    source: String,
    service: String,
    tags: Vec<String>,
    /// When the registry last confirmed it, in milliseconds since 1970.
    good_ms: u64,
    revision: u64,
    instances: Vec<SavedInstance>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedInstance {
    id: String,
    address: IpAddr,
    port: u16,
    weight: u32,
    tier: u8,
    zone: String,
    tags: Vec<String>,
    meta: BTreeMap<String, String>,
    /// Who said so, where several sources are laid over each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said_by: Option<String>,
}

impl LastGoodOptions {
    fn file(&self) -> Sealed {
        Sealed::new(self.path.clone(), "last-good", VERSION)
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
        let Some(bytes) = file.read()? else { return Ok(LastGood::default()) };
        let refuse = |why: String| Err(SealedError::refused(file.path(), why));
        let body: Body = match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            Err(error) => return refuse(format!("it is not understood: {error}")),
        };
        let now = now_ms();
        let latest =
            body.services.values().map(|saved| saved.good_ms).max().unwrap_or(0).max(body.written_ms);
        if latest > now + CLOCK {
            return refuse(format!(
                "it was written {} s in the future: one of the clocks is wrong",
                (latest - now) / 1000
            ));
        }
        let max_age = u64::try_from(options.max_age.as_millis()).unwrap_or(u64::MAX);
        let age = |saved: &Saved| now.saturating_sub(saved.good_ms);
        let (good, old): (BTreeMap<_, _>, BTreeMap<_, _>) =
            body.services.into_iter().partition(|(_, saved)| age(saved) <= max_age);
        if good.is_empty()
            && let Some(least) = old.values().map(age).min()
        {
            return refuse(format!(
                "it is too old: its registry last confirmed it {} s ago, and [state] max_age is {} s",
                least / 1000,
                options.max_age.as_secs()
            ));
        }
        for (name, saved) in old {
            tracing::warn!(name, age_s = age(&saved) / 1000, "kept for too long; it is not served");
        }
        Ok(LastGood { services: good })
    }

    /// Moves a refused file out of the way; where to.
    pub fn set_aside(options: &LastGoodOptions) -> Option<PathBuf> {
        options.file().set_aside()
    }

    /// How many names it has.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Puts it into a catalogue, from where a publisher restores what its table does not have. Only names that still stand for
    /// the same are: with views, those whose source, service and tags are as they were. How many.
    pub fn fill(&self, catalog: &Catalog, views: &[View]) -> usize {
        let mut filled = 0;
        for (name, saved) in &self.services {
            let same = match views.iter().find(|view| view.name == *name) {
                Some(view) => {
                    (&view.source, &view.service, &view.tags) == (&saved.source, &saved.service, &saved.tags)
                }
                None => views.is_empty() && *name == saved.service && saved.tags.is_empty(),
            };
            if !same {
                tracing::warn!(name, "kept, and stands for something else now; it is not served");
                continue;
            }
            let candidates = saved.instances.iter().map(SavedInstance::candidate);
            let mut set = ServiceSet::check(candidates, saved.revision);
            for instance in &mut set.instances {
                let kept = saved.instances.iter().find(|kept| kept.id == instance.id);
                instance.source = kept.and_then(|kept| kept.said_by.as_deref()).map(Arc::from);
            }
            for rejected in &set.rejected {
                tracing::warn!(name, id = rejected.id, "kept, and left out: {}", rejected.why);
            }
            if set.instances.is_empty() {
                continue;
            }
            let entry = Entry {
                source: saved.source.clone(),
                set: ServiceSet { rejected: Vec::new(), ..set },
                state: State::Stale,
                reason: Reason::Restored,
                detail: "from disk; the registry has not spoken yet".into(),
                generation: 0,
            };
            catalog.put(name, entry);
            filled += 1;
        }
        filled
    }
}

impl SavedInstance {
    fn of(instance: &Instance) -> Self {
        let Instance { id, address, port, weight, tier, zone, tags, meta, source } = instance.clone();
        let said_by = source.map(|source| source.to_string());
        SavedInstance { id, address, port, weight, tier, zone, tags, meta, said_by }
    }

    /// To be checked like any record: that a file is whole does not make it right.
    fn candidate(&self) -> Candidate {
        let SavedInstance { id, address, port, weight, tier, zone, tags, meta, said_by: _ } = self.clone();
        Candidate {
            id,
            address: address.to_string(),
            port: port.into(),
            weight: Some(weight.into()),
            tier,
            zone,
            tags,
            meta,
            unhealthy: false,
        }
    }
}

#[cfg(test)]
mod tests;
