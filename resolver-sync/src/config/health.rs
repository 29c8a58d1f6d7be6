//! Where the agent says how it is.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::health::HealthOptions;

/// Where `/health`, `/ready` and `/metrics` are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthConfig {
    /// Where to listen; nowhere where nothing is said.
    pub listen: Option<SocketAddr>,
    /// See [`HealthOptions::exposed`].
    pub exposed: bool,
}

impl HealthConfig {
    /// The server's options, if there is to be one.
    pub fn options(&self, reader_cores: &[usize]) -> Option<HealthOptions> {
        let (listen, exposed) = (self.listen?, self.exposed);
        Some(HealthOptions { listen, exposed, avoid: reader_cores.to_vec(), ..HealthOptions::default() })
    }

    pub(super) fn check(&self) -> Result<(), String> {
        match self.listen {
            Some(listen) if !self.exposed && !listen.ip().to_canonical().is_loopback() => Err(format!(
                "{listen} is not of this host alone; take a loopback address, or say exposed = true"
            )),
            None if self.exposed => Err("exposed says who may ask; set listen, too".into()),
            _ => Ok(()),
        }
    }
}
