//! How members prove who they are, and how we do.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use zeroize::Zeroizing;

use super::EtcdError;
use crate::handshake::Shown;

/// Certificates and keys for members with `https://` URLs. The files are read at each connection, so what is renewed in
/// place is used from the next one on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EtcdTls {
    /// PEM, the authorities that members' certificates must be from; the system's own where there is none.
    pub ca_file: Option<PathBuf>,
    /// PEM, our own certificate and its chain, for clusters that ask for one; together with [`EtcdTls::key_file`]. A cluster
    /// with authentication takes its common name for the user, where no user is set.
    pub cert_file: Option<PathBuf>,
    /// PEM, our certificate's key; readable by its owner alone.
    pub key_file: Option<PathBuf>,
    /// The name that members' certificates must have, where it is not the host of the URL.
    pub server_name: Option<String>,
}

/// A certificate is a few kilobytes; a bundle of the system's is a few hundred.
const LIMIT: u64 = 4 << 20;

impl EtcdTls {
    /// Whether anything is set.
    pub(super) fn is_set(&self) -> bool {
        *self != EtcdTls::default()
    }

    /// What may be named of it.
    pub(super) fn shown(&self) -> Shown<'_> {
        Shown {
            ca_file: self.ca_file.as_deref(),
            cert_file: self.cert_file.as_deref(),
            server_name: self.server_name.as_deref(),
        }
    }

    /// Reads the files.
    pub(super) fn load(&self, host: &str) -> Result<ClientTlsConfig, EtcdError> {
        let mut config = ClientTlsConfig::new();
        config = match &self.ca_file {
            Some(file) => config.ca_certificate(Certificate::from_pem(read(file, false)?)),
            None => config.with_native_roots(),
        };
        match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => {
                config = config.identity(Identity::from_pem(read(cert, false)?, read(key, true)?));
            }
            (None, None) => {}
            _ => return Err(EtcdError::HalfCertificate),
        }
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(config.domain_name(self.server_name.as_deref().unwrap_or(bare)))
    }
}

/// A file's bytes; of a key only if nobody else may read it.
fn read(path: &Path, is_key: bool) -> Result<Zeroizing<Vec<u8>>, EtcdError> {
    let refuse = |why: String| EtcdError::File { path: path.into(), why };
    let metadata = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > LIMIT {
        return Err(refuse(format!("it must be a regular file of at most {LIMIT} bytes")));
    }
    if is_key && metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o777;
        return Err(refuse(format!("it holds a key but has mode {mode:03o}: run `chmod 600` on it")));
    }
    let bytes = std::fs::read(path).map(Zeroizing::new).map_err(|error| refuse(error.to_string()))?;
    if !bytes.windows(11).any(|part| part == b"-----BEGIN ") {
        return Err(refuse("it holds no PEM".into()));
    }
    Ok(bytes)
}
