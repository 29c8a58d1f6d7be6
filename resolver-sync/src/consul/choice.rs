//! The choices that a Consul source leaves to its configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::config::ConfigError;

/// Which services a source watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Services {
    /// These, whether or not the registry lists them.
    Named(Vec<String>),
    /// Each that the catalogue lists.
    All,
}

/// How current an answer must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// The leader answers; it may be deposed without knowing, for moments.
    #[default]
    Default,
    /// Any server answers. One that has no leader, or last heard from it longer ago than `max_age`, is not believed: the
    /// leader is asked instead.
    Stale {
        /// The most that `X-Consul-LastContact` may be.
        max_age: Duration,
    },
    /// The leader answers after it has made sure that it is one; a round trip dearer.
    Consistent,
    /// The agent's own cache answers, which it keeps in step by a blocking query of its own. One whose `Age` says that it
    /// lost its servers longer ago than `max_age` is not believed: the leader is asked instead.
    Cached {
        /// Sent as `Cache-Control: max-age`, in whole seconds, and the most that `Age` may be.
        max_age: Duration,
        /// Sent as `Cache-Control: stale-if-error`, in whole seconds: for how long the cache may still answer when the
        /// servers do not. Useless above `max_age`, from which on such an answer is not believed.
        stale_if_error: Duration,
    },
}

/// Which instances serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthPolicy {
    /// Those whose checks all pass.
    #[default]
    Passing,
    /// Those whose worst check is a warning as well, with the weight that Consul has for it.
    PassingOrWarning,
}

/// Which of an instance's addresses is taken.
///
/// The service's tagged address of that name goes first, with its port if it has one; then the service's own address;
/// then the node's tagged address; then the node's own. Where a family is asked for, an address of another one is passed
/// over, and an instance that has none is left out and named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressKind {
    /// The service's own address, else the node's.
    #[default]
    Default,
    /// `lan`.
    Lan,
    /// `lan_ipv4`, of that family alone.
    LanIpv4,
    /// `lan_ipv6`, of that family alone.
    LanIpv6,
    /// `wan`.
    Wan,
    /// `wan_ipv4`, of that family alone.
    WanIpv4,
    /// `wan_ipv6`, of that family alone.
    WanIpv6,
}

impl AddressKind {
    /// Consul's key for it; none for the default.
    pub(super) fn key(self) -> Option<&'static str> {
        match self {
            AddressKind::Default => None,
            AddressKind::Lan => Some("lan"),
            AddressKind::LanIpv4 => Some("lan_ipv4"),
            AddressKind::LanIpv6 => Some("lan_ipv6"),
            AddressKind::Wan => Some("wan"),
            AddressKind::WanIpv4 => Some("wan_ipv4"),
            AddressKind::WanIpv6 => Some("wan_ipv6"),
        }
    }

    /// Whether an address may be taken, as far as its family goes. What is no address is left to the record's check.
    pub(super) fn admits(self, address: &str) -> bool {
        let Ok(ip) = address.parse::<std::net::IpAddr>() else { return true };
        match self {
            AddressKind::LanIpv4 | AddressKind::WanIpv4 => ip.is_ipv4(),
            AddressKind::LanIpv6 | AddressKind::WanIpv6 => ip.is_ipv6(),
            _ => true,
        }
    }
}

/// How the agents prove who they are, and how this side does. Each file is read again when it has changed, so a renewed
/// certificate is taken without a restart; one that cannot be used leaves the last good ones in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The authorities that may have signed the agents' certificates, as PEM; no other is believed.
    pub ca_file: PathBuf,
    /// This side's own certificate, with its chain, as PEM; where the agents verify whoever connects.
    pub cert_file: Option<PathBuf>,
    /// The key of `cert_file`, as PEM; must be readable by its owner alone.
    pub key_file: Option<PathBuf>,
    /// The name that an agent's certificate must have, in place of the address's host; `server.dc1.consul`, say.
    pub server_name: Option<String>,
}

impl TlsConfig {
    /// What was set of it; none where nothing was. `source` is for the error alone.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where something is set beside `ca_file`, and that is not.
    pub fn of(
        source: &str,
        ca_file: Option<PathBuf>,
        cert_file: Option<PathBuf>,
        key_file: Option<PathBuf>,
        server_name: Option<String>,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(ca_file) = ca_file else {
            let given = [
                ("cert_file", cert_file.is_some()),
                ("key_file", key_file.is_some()),
                ("server_name", server_name.is_some()),
            ];
            return match given.iter().find(|(_, given)| *given) {
                Some((key, _)) => {
                    let what =
                        format!("{key} wants ca_file: the authorities that signed the agents' certificates");
                    Err(ConfigError::new(source, what))
                }
                None => Ok(None),
            };
        };
        Ok(Some(TlsConfig { ca_file, cert_file, key_file, server_name }))
    }
}
