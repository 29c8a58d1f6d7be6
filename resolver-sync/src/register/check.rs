//! Checks that a Consul agent makes of an instance by itself.

use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};

/// A check that the local Consul agent makes. The TTL check is not one of these: see
/// [`Registration::ttl`](super::Registration::ttl).
///
/// Until the agent has made it for the first time, it is critical, unless [`Check::initially_passing`] says otherwise.
/// None of them should be answered by a core that trades: give the service a port for checks, such as
/// [`HealthServer`](crate::health::HealthServer).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use resolver_sync::register::Check;
///
/// let check = Check::http("http://127.0.0.1:9600/health")
///     .every(Duration::from_secs(10))
///     .timeout(Duration::from_secs(5))
///     .deregister_critical_after(Duration::from_secs(60));
/// assert_eq!(check, check.clone());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub(super) probe: Probe,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) deregister_after: Option<Duration>,
    pub(super) passing: bool,
}

/// What is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probe {
    /// GET of a URL: 2xx passes, 429 is a warning, all else is critical.
    Http(String),
    /// A connection to `host:port`.
    Tcp(String),
    /// The standard gRPC health service at `host:port` or `host:port/service`.
    Grpc(String),
}

impl Check {
    fn new(probe: Probe) -> Self {
        let (interval, timeout) = (Duration::from_secs(10), Duration::from_secs(5));
        Check { probe, interval, timeout, deregister_after: None, passing: false }
    }

    /// GET of a URL. Whoever may read the service in Consul reads the URL, too: no secrets.
    pub fn http(url: impl Into<String>) -> Self {
        Self::new(Probe::Http(url.into()))
    }

    /// A connection to `host:port`.
    pub fn tcp(address: impl Into<String>) -> Self {
        Self::new(Probe::Tcp(address.into()))
    }

    /// The standard gRPC health service at `host:port`, or `host:port/service` for one service of it.
    pub fn grpc(target: impl Into<String>) -> Self {
        Self::new(Probe::Grpc(target.into()))
    }

    /// How often; 10 s where nothing is said.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long one may take; 5 s where nothing is said.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Consul removes the instance when the check was critical for so long: at least a minute, and up to 30 s later.
    #[must_use]
    pub fn deregister_critical_after(mut self, after: Duration) -> Self {
        self.deregister_after = Some(after);
        self
    }

    /// Passes until the agent has made it for the first time.
    #[must_use]
    pub fn initially_passing(mut self) -> Self {
        self.passing = true;
        self
    }

    pub(super) fn check(&self) -> Result<(), String> {
        match &self.probe {
            Probe::Http(url) => match Url::parse(url) {
                Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                    return Err(
                        "an HTTP check's URL holds a user; everybody who reads the service would see it"
                            .into(),
                    );
                }
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {}
                _ => return Err(format!("HTTP check {url:?} is not the URL of a page")),
            },
            Probe::Tcp(address) => host_port(address)?,
            Probe::Grpc(target) => host_port(target.split('/').next().unwrap_or(target))?,
        }
        if self.interval < Duration::from_secs(1) {
            return Err(format!("a check's interval is {:?}; Consul has none below 1 s", self.interval));
        }
        if self.timeout.is_zero() {
            return Err("a check's timeout is 0; leave it out for 5 s".into());
        }
        self.deregister_after.map_or(Ok(()), long_enough)
    }

    /// In Consul's own terms.
    pub(super) fn definition(&self, id: &str) -> Value {
        let (key, target, name) = match &self.probe {
            Probe::Http(url) => ("HTTP", url, "HTTP check"),
            Probe::Tcp(address) => ("TCP", address, "TCP check"),
            Probe::Grpc(target) => ("GRPC", target, "gRPC check"),
        };
        let mut check = json!({
            "CheckID": id,
            "Name": name,
            key: target,
            "Interval": consul_duration(self.interval),
            "Timeout": consul_duration(self.timeout),
            "Status": if self.passing { "passing" } else { "critical" },
        });
        if let Some(after) = self.deregister_after {
            check["DeregisterCriticalServiceAfter"] = consul_duration(after).into();
        }
        check
    }
}

/// As Go reads durations.
pub(super) fn consul_duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// Consul takes what is shorter for a minute, without a word.
pub(super) fn long_enough(after: Duration) -> Result<(), String> {
    if after < Duration::from_secs(60) {
        return Err(format!("deregister after {after:?} critical: Consul's least is 1 min"));
    }
    Ok(())
}

fn host_port(text: &str) -> Result<(), String> {
    let good = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
    if good { Ok(()) } else { Err(format!("check target {text:?} is not host:port")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_said() {
        for (check, words) in [
            (Check::http("127.0.0.1:80/health"), "not the URL"),
            (Check::http("http://u:canary@h/"), "holds a user"),
            (Check::tcp("127.0.0.1"), "not host:port"),
            (Check::grpc("h:0/s"), "not host:port"),
            (Check::tcp("h:1").every(Duration::from_millis(500)), "none below 1 s"),
            (Check::tcp("h:1").timeout(Duration::ZERO), "timeout is 0"),
            (Check::tcp("h:1").deregister_critical_after(Duration::from_secs(59)), "1 min"),
        ] {
            let why = check.check().expect_err("refused");
            assert!(why.contains(words) && !why.contains("canary"), "{why}");
        }
        for check in [Check::http("https://h/x?y"), Check::tcp("[::1]:80"), Check::grpc("h:1/s")] {
            assert_eq!(check.check(), Ok(()));
        }
    }

    #[test]
    fn the_seeds_check_in_consuls_terms() {
        let check =
            Check::http("http://10.0.0.1:8080/health").deregister_critical_after(Duration::from_secs(60));
        assert_eq!(
            check.definition("service:o:1"),
            json!({
                "CheckID": "service:o:1", "Name": "HTTP check", "HTTP": "http://10.0.0.1:8080/health",
                "Interval": "10000ms", "Timeout": "5000ms", "Status": "critical",
                "DeregisterCriticalServiceAfter": "60000ms",
            })
        );
    }
}
