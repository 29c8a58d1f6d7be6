//! The token and the certificates as their files have them now.
//!
//! Files are looked at with every heartbeat and after a 403, and read when they have changed: what is renewed is taken
//! without a restart. What cannot be used is named once and leaves the last good one in place; half a renewal (a
//! certificate whose key is not there yet) is such a case, and ends with the next change.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};

use super::choice::TlsConfig;
use super::config::{ConfigError, ConsulConfig, is_loopback};
use super::tls;
use crate::handshake::Shown;
use crate::secret::{Secret, Stamp, stamp};

/// What a request is sent with.
#[derive(Debug)]
pub(super) struct Credentials {
    /// The source's name, for the log.
    source: String,
    token_file: Option<PathBuf>,
    tls: Option<TlsConfig>,
    /// Whether nothing crosses a wire.
    local: bool,
    /// Whether the system's authorities are wanted.
    system: bool,
    now: RefCell<Now>,
}

#[derive(Debug)]
struct Now {
    token: Option<HeaderValue>,
    token_stamp: Option<Stamp>,
    clients: Clients,
    tls_stamps: Vec<Option<Stamp>>,
}

/// Blocking queries hold a connection each; what must not wait for one has a pool of its own.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    pub(super) watching: Client,
    pub(super) asking: Client,
}

impl Credentials {
    pub(super) fn new(config: &ConsulConfig, addresses: &[reqwest::Url]) -> Result<Self, ConfigError> {
        // Fails where the program has installed a provider of its own already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wrong = |what: String| ConfigError::new(&config.name, what);
        let (token_file, tls) = (config.token_file.clone(), config.tls.clone());
        // Before the files are read: what changes meanwhile is seen as a change.
        let (token_stamp, tls_stamps) =
            (token_file.as_deref().and_then(stamp), tls.as_ref().map_or_else(Vec::new, stamps));
        let token = match (&config.token, &token_file) {
            (Some(token), _) => Some(header(token).map_err(wrong)?),
            (None, Some(file)) => Some(read_token(file).map_err(wrong)?),
            (None, None) => None,
        };
        let local = addresses.iter().all(is_loopback);
        let system = tls.is_none() && addresses.iter().any(|address| address.scheme() == "https");
        let clients = clients(tls.as_ref(), local, system).map_err(wrong)?;
        Ok(Credentials {
            source: config.name.clone(),
            token_file,
            tls,
            local,
            system,
            now: RefCell::new(Now { token, token_stamp, clients, tls_stamps }),
        })
    }

    pub(super) fn token(&self) -> Option<HeaderValue> {
        self.now.borrow().token.clone()
    }

    pub(super) fn clients(&self) -> Clients {
        self.now.borrow().clients.clone()
    }

    /// An error's words, with what to do where TLS is at fault.
    pub(super) fn advised(&self, words: String) -> String {
        let tls = self.tls.as_ref();
        let shown = Shown {
            ca_file: tls.map(|tls| tls.ca_file.as_path()),
            cert_file: tls.and_then(|tls| tls.cert_file.as_deref()),
            server_name: tls.and_then(|tls| tls.server_name.as_deref()),
        };
        // Without a certificate of ours, a connection that ends may be an answer to that.
        let nothing_shown = tls.is_some_and(|tls| tls.cert_file.is_none());
        let advice = if nothing_shown { shown.advice_at_start(&words) } else { shown.advice(&words) };
        match advice {
            Some(advice) => format!("{words}; {advice}"),
            None => words,
        }
    }

    /// Reads what has changed.
    pub(super) fn refresh(&self) {
        let mut now = self.now.borrow_mut();
        if let Some(file) = &self.token_file {
            let stamp = stamp(file);
            if stamp != now.token_stamp {
                now.token_stamp = stamp;
                match read_token(file) {
                    Ok(token) => {
                        now.token = Some(token);
                        tracing::info!(source = self.source, file = %file.display(), "took the new token");
                    }
                    Err(why) => tracing::error!(source = self.source, "the last token stays: {why}"),
                }
            }
        }
        if let Some(tls) = &self.tls {
            let stamps = stamps(tls);
            if stamps != now.tls_stamps {
                now.tls_stamps = stamps;
                match clients(Some(tls), self.local, self.system) {
                    Ok(clients) => {
                        now.clients = clients;
                        let ca = tls.ca_file.display();
                        tracing::info!(source = self.source, %ca, "took the new certificates");
                    }
                    Err(why) => tracing::error!(source = self.source, "the last certificates stay: {why}"),
                }
            }
        }
    }
}

fn stamps(tls: &TlsConfig) -> Vec<Option<Stamp>> {
    let files = [Some(&tls.ca_file), tls.cert_file.as_ref(), tls.key_file.as_ref()];
    files.into_iter().flatten().map(|file| stamp(file)).collect()
}

fn read_token(file: &Path) -> Result<HeaderValue, String> {
    header(&Secret::from_file(file).map_err(|error| error.to_string())?)
}

fn header(token: &Secret) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(token.expose())
        .map_err(|_| "the token has characters that no header can carry".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn clients(tls: Option<&TlsConfig>, local: bool, system: bool) -> Result<Clients, String> {
    let tls = tls.map(tls::load).transpose()?;
    Ok(Clients { watching: client(tls.clone(), local, system)?, asking: client(tls, local, system)? })
}

fn client(tls: Option<rustls::ClientConfig>, local: bool, system: bool) -> Result<Client, String> {
    let mut headers = HeaderMap::new();
    if local {
        // Packing costs more than it saves where nothing crosses a wire.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        // A connection of HTTP/2 takes 250 queries at a time, and lets the others wait without a word.
        .http1_only()
        .tcp_nodelay(true)
        .tcp_keepalive(KEEPALIVE)
        .tcp_keepalive_interval(KEEPALIVE)
        .connect_timeout(CONNECT)
        .default_headers(headers);
    if let Some(tls) = tls {
        builder = builder.tls_backend_preconfigured(tls);
    } else if !system {
        // The system's certificates are not needed, and a host without any is no error.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| format!("no HTTP client: {}", super::agent::cause(&error)))
}

/// A connection that is not there in this time is not coming.
const CONNECT: Duration = Duration::from_secs(2);
/// A cut cable shows on an idle connection after a few of these.
const KEEPALIVE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(path: &Path, content: &str) {
        fs::write(path, content).expect("write");
        fs::set_permissions(path, Permissions::from_mode(0o600)).expect("chmod");
    }

    fn of(file: &Path) -> Result<Credentials, ConfigError> {
        let config =
            ConsulConfig { token_file: Some(file.to_owned()), ..ConsulConfig::new("main", "127.0.0.1:8500") };
        Credentials::new(&config, &config.urls()?)
    }

    #[test]
    fn a_token_is_read_again_when_its_file_changed_and_kept_when_it_went_bad() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("token");
        write(&file, "canary-1\n");
        let credentials = of(&file).expect("good");
        let token = || credentials.token().expect("a token").to_str().expect("text").to_owned();
        assert_eq!(token(), "canary-1");
        // Replaced, as careful tools do.
        write(&dir.path().join("next"), "canary-2\n");
        fs::rename(dir.path().join("next"), &file).expect("rename");
        assert_eq!(token(), "canary-1", "only when it is looked at");
        credentials.refresh();
        assert_eq!(token(), "canary-2");
        for bad in ["", "two\nlines"] {
            write(&file, bad);
            credentials.refresh();
            assert_eq!(token(), "canary-2");
        }
        fs::remove_file(&file).expect("removed");
        credentials.refresh();
        assert_eq!(token(), "canary-2");
        write(&file, "canary-3");
        credentials.refresh();
        assert_eq!(token(), "canary-3");
        assert!(!format!("{credentials:?}").contains("canary"), "{credentials:?}");
    }

    #[test]
    fn a_token_that_cannot_be_read_at_the_start_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("token");
        assert!(of(&file).expect_err("none").to_string().contains("cannot read"));
        write(&file, "canary-1\n");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("chmod");
        let error = of(&file).expect_err("open to all").to_string();
        assert!(error.contains("chmod 600") && !error.contains("canary"), "{error}");
    }
}
