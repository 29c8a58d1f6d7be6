//! The server: one thread, one listener, connections with limits.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Health;
use super::answer::{Metrics, Pages};
use super::connections::Connections;

/// Where a health server listens, and how much it bears.
#[derive(Clone, Debug)]
pub struct HealthOptions {
    /// Port 0 takes a free one: see [`HealthServer::address`].
    pub listen: SocketAddr,
    /// Whether other hosts may ask. What is served is read-only, without a secret, without a password, unencrypted: all
    /// who can reach the port can read it. An address that is not of this host alone is refused without this.
    pub exposed: bool,
    /// The most connections at one time. When there is one more, the oldest is closed.
    pub connections: usize,
    /// How long a client may take for the head of a request.
    pub header_timeout: Duration,
    /// How long a connection may stay.
    pub lifetime: Duration,
    /// Cores that the server's thread stays away from.
    pub avoid: Vec<usize>,
}

impl Default for HealthOptions {
    /// 127.0.0.1:9600, 64 connections, 5 s for a head, 60 s for a connection.
    fn default() -> Self {
        HealthOptions {
            listen: (Ipv4Addr::LOCALHOST, 9600).into(),
            exposed: false,
            connections: 64,
            header_timeout: Duration::from_secs(5),
            lifetime: Duration::from_secs(60),
            avoid: Vec::new(),
        }
    }
}

/// Why there is no health server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HealthError {
    /// The address is open to other hosts.
    #[error("health: {0} is not of this host alone; take a loopback address, or say exposed = true")]
    Exposed(SocketAddr),
    /// The port cannot be had.
    #[error("health: cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// There is no thread for it.
    #[error("health: no thread: {0}")]
    Thread(std::io::Error),
}

/// Serves `/health`, `/ready` and `/metrics` on a thread of its own, for as long as it lives.
///
/// It answers GET and HEAD, takes 8 KiB of request head with 64 header lines and no body, and closes what is slow.
///
/// # Examples
///
/// ```
/// use resolver_sync::health::{Health, HealthOptions, HealthServer};
///
/// let health = Health::new();
/// let options = HealthOptions { listen: "127.0.0.1:0".parse()?, ..HealthOptions::default() };
/// let server = HealthServer::start(options, health.clone())?;
/// println!("curl http://{}/health", server.address());
/// health.set_healthy(false, "a critical component failed");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the server stops when it is dropped"]
pub struct HealthServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HealthServer {
    /// Serves `/health` and `/ready`.
    ///
    /// # Errors
    ///
    /// [`HealthError`]; the port is taken, or the address is open to others and nobody said that it should be.
    pub fn start(options: HealthOptions, health: Health) -> Result<Self, HealthError> {
        Self::start_with(options, Pages { health, metrics: None })
    }

    /// Serves `/metrics`, too: what `metrics` returns, in Prometheus's text format. It runs on the server's thread.
    ///
    /// # Errors
    ///
    /// As [`HealthServer::start`].
    pub fn start_with_metrics(
        options: HealthOptions,
        health: Health,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> Result<Self, HealthError> {
        let metrics: Metrics = Box::new(metrics);
        Self::start_with(options, Pages { health, metrics: Some(metrics) })
    }

    fn start_with(options: HealthOptions, pages: Pages) -> Result<Self, HealthError> {
        let asked = options.listen;
        if !options.exposed && !asked.ip().to_canonical().is_loopback() {
            return Err(HealthError::Exposed(asked));
        }
        let listen = |error| HealthError::Listen { address: asked, error };
        let listener = TcpListener::bind(asked).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(HealthError::Thread)?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("health".into()).spawn(move || {
            if !options.avoid.is_empty()
                && let Err(error) = crate::pin::avoid(&options.avoid)
            {
                tracing::warn!("the health server's thread stays where it is: {error}");
            }
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = serve(listener, &options, pages) => {}
                }
            });
        });
        Ok(HealthServer { address, stop: Some(stop), thread: Some(thread.map_err(HealthError::Thread)?) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HealthServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It has ended by itself where nobody listens any more.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, options: &HealthOptions, pages: Pages) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the health server cannot listen: {error}"),
    };
    let mut connections = Connections::new(options, Arc::new(pages));
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.add(stream),
                // No descriptors, or a client that went away: neither gets better by asking at once.
                Err(error) => {
                    tracing::debug!("a connection was not accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = connections.ended() => {}
        }
    }
}
