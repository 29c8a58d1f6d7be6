//! How a client of a registry reaches it, and what it shows.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use etcd_client::{ConnectOptions, TlsOptions};
use reqwest::header::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

/// A URL and what goes with it; as JSON it can be handed to another process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// One member's, or Consul's agent's.
    pub url: String,
    /// Where the URL is https: the authority's certificate, our own, and its key, as files of PEM.
    pub tls: Option<[PathBuf; 3]>,
    /// Consul's.
    pub token: Option<String>,
    /// etcd's user and its password.
    pub user: Option<(String, String)>,
}

type Wrong = Box<dyn std::error::Error>;

impl Access {
    /// Plain HTTP, and nothing to show.
    pub fn plain(url: impl Into<String>) -> Access {
        Access { url: url.into(), ..Access::default() }
    }

    /// A client of Consul with nothing but what it needs.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or holds no PEM.
    pub fn consul(&self, deadline: Option<Duration>) -> Result<reqwest::Client, Wrong> {
        // The client wants a provider, with TLS or without. Another one may be there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder().no_proxy().no_gzip().http1_only();
        if let Some(deadline) = deadline {
            builder = builder.timeout(deadline);
        }
        builder = match &self.tls {
            None => builder.tls_certs_only([]),
            Some([ca, cert, key]) => {
                let identity = [std::fs::read(cert)?, std::fs::read(key)?].concat();
                builder
                    .tls_certs_only([reqwest::Certificate::from_pem(&std::fs::read(ca)?)?])
                    .identity(reqwest::Identity::from_pem(&identity)?)
            }
        };
        if let Some(token) = &self.token {
            let mut headers = HeaderMap::new();
            headers.insert("X-Consul-Token", HeaderValue::from_str(token)?);
            builder = builder.default_headers(headers);
        }
        Ok(builder.build()?)
    }

    /// A client of etcd, connected.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or the member does not answer.
    pub async fn etcd(&self) -> Result<etcd_client::Client, Wrong> {
        let mut options = ConnectOptions::new();
        if let Some([ca, cert, key]) = &self.tls {
            let authority = self.url.rsplit_once('/').map_or(self.url.as_str(), |(_, authority)| authority);
            let host = authority.parse::<SocketAddr>()?.ip().to_string();
            let tls = TlsOptions::new()
                .ca_certificate(etcd_client::Certificate::from_pem(std::fs::read(ca)?))
                .identity(etcd_client::Identity::from_pem(std::fs::read(cert)?, std::fs::read(key)?))
                .domain_name(host);
            options = options.with_tls(tls);
        }
        if let Some((user, password)) = &self.user {
            options = options.with_user(user, password);
        }
        Ok(etcd_client::Client::connect([&self.url], Some(options)).await?)
    }
}
