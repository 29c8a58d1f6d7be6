//! An instance that is in a registry for as long as it is kept alive.

use std::net::SocketAddr;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use super::registry::Registry;
use crate::http::request;
use crate::process::Process;

/// A third of the time that a Consul check may go without news.
const BEAT: Duration = Duration::from_secs(1);
const TTL: &str = "3s";

/// Kept alive until it is dropped; the registry ends it after that.
pub(super) enum Leased {
    /// etcdctl keeps the lease.
    Etcd(#[expect(dead_code, reason = "ended by its drop")] Process),
    /// A thread of ours keeps the check.
    Consul(Option<(Sender<()>, JoinHandle<()>)>),
}

impl Leased {
    /// The instance's number.
    pub(super) const INSTANCE: u8 = 9;

    /// Registers it.
    pub(super) fn grant(registry: &Registry, service: &str, place: SocketAddr) -> Result<Leased, String> {
        match registry {
            Registry::Etcd(etcd) => {
                let lease = etcd.put_leased(service, Self::INSTANCE, place)?;
                Ok(Leased::Etcd(etcd.keep_alive(&lease)))
            }
            Registry::Consul(consul) => {
                let body = json!({
                    "Name": service, "ID": format!("{service}-leased"), "Address": place.ip(), "Port": place.port(),
                    "Check": { "CheckID": "leased", "TTL": TTL, "Status": "passing" },
                });
                consul.put_agent("/v1/agent/service/register", &body)?;
                let url = format!("{}/v1/agent/check/pass/leased", consul.agent_url());
                let token = consul.token().map(|token| ("X-Consul-Token", token));
                let (stop, stopped) = channel();
                let beats = std::thread::spawn(move || {
                    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(BEAT / 2) {
                        // One that is not taken is followed by another before the check runs out.
                        let _ = request("PUT", &url, token.as_slice(), None, BEAT);
                    }
                });
                Ok(Leased::Consul(Some((stop, beats))))
            }
        }
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Leased::Consul(beats) = self
            && let Some((stop, beats)) = beats.take()
        {
            drop(stop);
            // It has nothing to say; what it asked for is asserted elsewhere.
            let _ = beats.join();
        }
    }
}
