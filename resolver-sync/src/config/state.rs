//! What the agent keeps on disk, and where operators ask it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::duration::Span;
use super::host::{LONGEST, check_socket};
use crate::control::{SocketOptions, Terms};
use crate::kill::KillStore;
use crate::last_good::LastGoodOptions;

/// What outlives the machine's restart.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateConfig {
    /// A directory of this agent's own, made with mode 700 if it is missing.
    pub directory: Option<PathBuf>,
    every: Option<Span>,
    #[serde(alias = "max-age")]
    max_age: Option<Span>,
}

/// Where operators ask.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlConfig {
    /// The socket; beside the segment where there is none.
    pub socket: Option<PathBuf>,
    /// The id of the group whose members may ask.
    pub group: Option<u32>,
    #[serde(alias = "kill-for")]
    kill_for: Option<Span>,
    #[serde(alias = "kill-max")]
    kill_max: Option<Span>,
}

const EVERY: Duration = Duration::from_secs(10);
const MAX_AGE: Duration = Duration::from_secs(86_400);
/// A year: what is meant for longer is a matter for the registry.
const LONGEST_TERM: Duration = Duration::from_secs(365 * 86_400);

/// The path of an agent's control socket where its configuration names none.
pub fn control_path(segment: &Path) -> PathBuf {
    beside(segment, ".control")
}

fn beside(segment: &Path, ending: &str) -> PathBuf {
    let mut path = segment.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

impl StateConfig {
    /// Where the last good table is kept; nowhere where there is no directory.
    pub fn last_good(&self) -> Option<LastGoodOptions> {
        let every = self.every.map_or(EVERY, |span| span.0);
        let max_age = self.max_age.map_or(MAX_AGE, |span| span.0);
        self.directory.as_ref().map(|directory| LastGoodOptions {
            path: directory.join("last-good"),
            every,
            max_age,
        })
    }

    /// Where kills are kept: on disk, or beside the segment, so that they outlive the agent at least.
    pub fn kills(&self, segment: &Path) -> KillStore {
        match &self.directory {
            Some(directory) => KillStore::new(directory.join("kills"), true),
            None => KillStore::new(beside(segment, ".kills"), false),
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let span = |span: &Option<Span>, usual| span.map_or(usual, |span: Span| span.0);
        match &self.directory {
            None if self.every.is_some() || self.max_age.is_some() => {
                Err("state: every and max_age are of no use without a directory".into())
            }
            Some(directory) if !directory.is_absolute() => {
                Err(format!("state: directory is {}; it must be an absolute path", directory.display()))
            }
            _ if span(&self.every, EVERY) < Duration::from_secs(1) => {
                Err("state: every must be 1s at least; each time is a write to disk".into())
            }
            _ if span(&self.max_age, MAX_AGE).is_zero() => {
                Err("state: max_age must be more than nothing; leave [state] out to keep no table".into())
            }
            _ => Ok(()),
        }
    }
}

impl ControlConfig {
    /// The socket, and whether the configuration names it.
    pub fn options(&self, segment: &Path) -> (SocketOptions, bool) {
        let path = self.socket.clone().unwrap_or_else(|| control_path(segment));
        (SocketOptions { path, group: self.group }, self.socket.is_some())
    }

    /// How long kills last.
    pub fn terms(&self) -> Terms {
        let usual = Terms::default();
        let longest = self.kill_max.map_or(usual.longest, |span| span.0);
        Terms { usual: self.kill_for.map_or(usual.usual.min(longest), |span| span.0), longest }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let terms = self.terms();
        match () {
            () if terms.usual.is_zero() || terms.usual > terms.longest => {
                Err("control: kill_for must be more than nothing, and kill_max at most".into())
            }
            () if terms.longest > LONGEST_TERM => Err("control: kill_max is a year (8760h) at most".into()),
            () if self.socket.is_none() => Ok(()),
            () => check_socket(self.socket.as_ref(), self.group).map_err(|error| format!("control: {error}")),
        }
    }
}

/// Whether a socket can be there at all: an address has room for so much.
pub(crate) fn fits(path: &Path) -> bool {
    path.as_os_str().len() <= LONGEST
}
