//! Where the host is, and where its callers report.

use std::path::PathBuf;

use serde::Deserialize;

use crate::policy::{PolicyError, Zones};
use crate::report::SocketOptions;

/// Where this host is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostConfig {
    /// The zones that have a number in the table: 1 for the first. 0 is every other.
    pub zones: Vec<String>,
    /// The host's own; one of `zones`.
    pub zone: Option<String>,
}

impl HostConfig {
    pub(super) fn zones(&self) -> Result<Zones, PolicyError> {
        Zones::new(self.zones.clone(), self.zone.as_deref())
    }
}

/// Where callers' reports arrive.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportsConfig {
    /// The socket for reports of other processes.
    #[serde(alias = "report-socket")]
    pub socket: Option<PathBuf>,
    /// The id of the group whose members may report.
    pub group: Option<u32>,
}

/// What fits a socket's address beside the name that it has until it is complete.
pub(super) const LONGEST: usize = 80;

impl ReportsConfig {
    /// The socket, if there is to be one.
    pub fn options(&self) -> Option<SocketOptions> {
        self.socket.clone().map(|path| SocketOptions { path, group: self.group })
    }

    pub(super) fn check(&self) -> Result<(), String> {
        check_socket(self.socket.as_ref(), self.group)
    }
}

/// Whether there can be a socket of this path and group.
pub(super) fn check_socket(socket: Option<&PathBuf>, group: Option<u32>) -> Result<(), String> {
    match (socket, group) {
        (None, Some(_)) => Err("group says who may send to a socket; set socket, too".into()),
        (Some(path), _) if !path.is_absolute() || path.file_name().is_none() => {
            Err(format!("socket is {}; it must be the absolute path of a file", path.display()))
        }
        (Some(path), _) if path.as_os_str().len() > LONGEST => {
            Err(format!("socket is {} bytes long; an address has room for {LONGEST}", path.as_os_str().len()))
        }
        (_, Some(u32::MAX)) => Err("group 4294967295 means no group; name one, or leave it out".into()),
        _ => Ok(()),
    }
}
