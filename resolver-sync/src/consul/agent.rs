//! One HTTP conversation with an agent: what is asked, what came back, and which fault a failure is.

use std::cell::Cell;
use std::error::Error;
use std::time::Duration;

use reqwest::header::CACHE_CONTROL;
use reqwest::{StatusCode, Url};
use resolver_core::Reason;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::source::Fault;

use super::config::{ConfigError, ConsulConfig};
use super::credentials::Credentials;

/// The agents of a source, one of which is asked at a time.
#[derive(Debug)]
pub(super) struct Agents {
    /// The source's name, for faults.
    source: String,
    addresses: Vec<Url>,
    active: Cell<usize>,
    credentials: Credentials,
    /// Reads that do not block: so many at a time, whoever asks.
    asking: Semaphore,
    /// The reads before blocking queries. All of 10,000 services' at once would keep an agent busy for longer than any
    /// of them may take; all would be given up, and asked again.
    reading: Semaphore,
    body_limit: usize,
}

/// Which connections a request uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// A blocking query.
    Watch,
    /// The read that goes before it, on the same connections; some at a time.
    Read,
    /// A read that does not block; a few at a time.
    Ask,
    /// The heartbeat, which waits for nobody.
    Beat,
}

/// A request, before the agent that gets it is known.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Below `/v1/`; each is escaped.
    pub(super) segments: Vec<String>,
    /// Escaped; an empty value stands for a bare key.
    pub(super) query: Vec<(&'static str, String)>,
    /// A JSON body makes it a POST, unless a method is named.
    pub(super) body: Option<Vec<u8>>,
    pub(super) method: Option<reqwest::Method>,
    /// A 404 is an answer: there is nothing.
    pub(super) or_absent: bool,
    /// For the agent's cache.
    pub(super) cache_control: Option<String>,
    /// Whether the answer is about everything there is.
    pub(super) wide: bool,
}

/// An answer of any status, with its body whole and under the limit.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// `X-Consul-Index`; means nothing unless the status is 200.
    pub(super) index: Option<u64>,
    /// `X-Consul-KnownLeader`; absent on endpoints that have none.
    pub(super) known_leader: Option<bool>,
    /// `X-Consul-LastContact`: how long ago the server that answered last heard from the leader.
    pub(super) last_contact: Duration,
    /// `Age`: how long ago the agent's cache lost its servers; 0 while it has them, and where no cache answered.
    pub(super) age: Duration,
    /// `X-Consul-Results-Filtered-By-ACLs`, of newer servers only.
    pub(super) filtered: bool,
    pub(super) body: Vec<u8>,
    /// From the request's start to its answer's head.
    pub(super) took: Duration,
}

impl Request {
    /// A GET of `/v1/` and these segments.
    pub(super) fn get<const N: usize>(segments: [&str; N]) -> Self {
        Self::of(segments.map(String::from).to_vec())
    }

    /// A GET of `/v1/` and these segments.
    pub(super) fn of(segments: Vec<String>) -> Self {
        Request {
            segments,
            query: Vec::new(),
            body: None,
            method: None,
            or_absent: false,
            cache_control: None,
            wide: false,
        }
    }

    /// Makes it a PUT with a JSON body.
    pub(super) fn put(self, body: Vec<u8>) -> Self {
        Request { body: Some(body), method: Some(reqwest::Method::PUT), ..self }
    }

    /// A 404 is an answer, too.
    pub(super) fn or_absent(self) -> Self {
        Request { or_absent: true, ..self }
    }

    /// Adds `key=value`, or the bare key where the value is empty.
    pub(super) fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    /// Makes it a POST with a JSON body.
    pub(super) fn post(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self
    }

    /// Asks for leave to read an answer that may be many times larger than that on one service.
    pub(super) fn wide(mut self) -> Self {
        self.wide = true;
        self
    }

    fn path(&self) -> String {
        format!("/v1/{}", self.segments.join("/"))
    }

    pub(super) fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().push("v1").extend(&self.segments);
        }
        if !self.query.is_empty() {
            let mut query = url.query_pairs_mut();
            for (key, value) in &self.query {
                if value.is_empty() {
                    query.append_key_only(key);
                } else {
                    query.append_pair(key, value);
                }
            }
        }
        url
    }
}

impl Agents {
    pub(super) fn new(config: &ConsulConfig) -> Result<Self, ConfigError> {
        let addresses = config.urls()?;
        Ok(Agents {
            source: config.name.clone(),
            credentials: Credentials::new(config, &addresses)?,
            addresses,
            active: Cell::new(0),
            asking: Semaphore::new(AT_ONCE),
            reading: Semaphore::new(READ_AT_ONCE),
            body_limit: config.body_limit,
        })
    }

    /// Takes the token and the certificates that are in their files now.
    pub(super) fn refresh(&self) {
        self.credentials.refresh();
    }

    /// Goes on to the next address; the same one where there is no other.
    pub(super) fn rotate(&self) {
        self.active.set((self.active.get() + 1) % self.addresses.len());
    }

    /// Sends a request and reads its answer to the end, all within `deadline`.
    pub(super) async fn send(
        &self,
        lane: Lane,
        request: &Request,
        deadline: Duration,
    ) -> Result<Answer, Fault> {
        // Held until the answer is there; the time spent waiting for it is not the agent's.
        let _place = match lane {
            Lane::Ask => self.asking.acquire().await.ok(),
            Lane::Read => self.reading.acquire().await.ok(),
            Lane::Watch | Lane::Beat => None,
        };
        let started = Instant::now();
        match tokio::time::timeout(deadline, self.exchange(lane, request, started)).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(self.fault(Reason::Unreachable, request, format_args!("no answer within {deadline:?}")))
            }
        }
    }

    /// A fault's words: the source, the agent, what was asked, what came.
    pub(super) fn fault(&self, reason: Reason, request: &Request, what: impl std::fmt::Display) -> Fault {
        let base = self.base();
        let place = base.host_str().unwrap_or("?");
        let port = base.port_or_known_default().unwrap_or(0);
        let path: String = request.path().chars().flat_map(char::escape_default).collect();
        Fault::new(reason, format!("consul source {} at {place}:{port}, {path}: {what}", self.source))
    }

    /// The fault of an answer that is not a 200.
    pub(super) fn refusal(&self, request: &Request, answer: &Answer) -> Fault {
        let text = String::from_utf8_lossy(&answer.body);
        let (reason, advice) = classify(answer.status, &text);
        let text: String = text.trim().chars().take(200).flat_map(char::escape_default).collect();
        self.fault(reason, request, format_args!("{} {text}{advice}", answer.status.as_u16()))
    }

    fn base(&self) -> &Url {
        &self.addresses[self.active.get()]
    }

    async fn exchange(&self, lane: Lane, request: &Request, started: Instant) -> Result<Answer, Fault> {
        let clients = self.credentials.clients();
        let client = match lane {
            Lane::Watch | Lane::Read => clients.watching,
            Lane::Ask | Lane::Beat => clients.asking,
        };
        let url = request.url(self.base());
        let mut builder = match &request.body {
            None => client.get(url),
            Some(body) => {
                let method = request.method.clone().unwrap_or(reqwest::Method::POST);
                client.request(method, url).body(body.clone())
            }
        };
        if let Some(token) = self.credentials.token() {
            builder = builder.header("X-Consul-Token", token);
        }
        if let Some(control) = &request.cache_control {
            builder = builder.header(CACHE_CONTROL, control);
        }
        let failed = |error: reqwest::Error| {
            let words = self.credentials.advised(cause(&error));
            self.fault(Reason::Unreachable, request, words)
        };
        let mut response = builder.send().await.map_err(failed)?;
        let took = started.elapsed();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| header(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut answer = Answer {
            status: response.status(),
            index: header("X-Consul-Index").and_then(|text| text.parse().ok()),
            known_leader: header("X-Consul-KnownLeader").map(|text| text.eq_ignore_ascii_case("true")),
            last_contact: Duration::from_millis(number("X-Consul-LastContact")),
            age: Duration::from_secs(number("Age")),
            filtered: header("X-Consul-Results-Filtered-By-ACLs")
                .is_some_and(|text| text.eq_ignore_ascii_case("true")),
            body: Vec::new(),
            took,
        };
        if answer.status == StatusCode::FORBIDDEN {
            // Perhaps a new token is there already; then the next attempt has it.
            self.refresh();
        }
        let limit = if request.wide { self.body_limit.saturating_mul(WIDE) } else { self.body_limit };
        // Counted after decompression, so that a small answer cannot unfold into a large one.
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if answer.body.len() + chunk.len() > limit {
                let what = format_args!("the body is over the limit of {limit} bytes");
                return Err(self.fault(Reason::BadAnswer, request, what));
            }
            answer.body.extend_from_slice(&chunk);
        }
        Ok(answer)
    }
}

/// Which fault a refusal is, and what to do about it.
fn classify(status: StatusCode, text: &str) -> (Reason, &'static str) {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if matches!(status.as_u16(), 401 | 403) || says(&["ACL not found", "Permission denied"]) {
        (Reason::Acl, "; check the token, and that it may read the service and its nodes")
    } else if status == StatusCode::TOO_MANY_REQUESTS {
        (Reason::Capacity, "; raise limits.http_max_conns_per_client on the agent, or lower the watch limit")
    } else if says(&["No cluster leader", "No known Consul servers", "leadership lost"]) {
        (Reason::NoLeader, "")
    } else if status.is_server_error() {
        (Reason::Unreachable, "")
    } else {
        (Reason::BadAnswer, "")
    }
}

/// The innermost words of an error; the outer ones repeat the address.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if std::ptr::addr_eq(innermost, error) && error.is_redirect() {
        return "a redirect, which is never followed".into();
    }
    innermost.to_string()
}

/// How many reads that do not block are under way at once.
pub(super) const AT_ONCE: usize = 8;
/// How many reads before blocking queries are.
const READ_AT_ONCE: usize = 32;
/// How much larger an answer about everything may be.
const WIDE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let base = Url::parse("http://127.0.0.1:8500").expect("a URL");
        let request =
            Request::get(["health", "service", "a/b c?d"]).with("stale", "").with("filter", "a == \"&\"");
        let url = request.url(&base);
        assert_eq!(url.path(), "/v1/health/service/a%2Fb%20c%3Fd");
        assert_eq!(url.query(), Some("stale&filter=a+%3D%3D+%22%26%22"));
    }

    #[test]
    fn refusals_have_their_reason() {
        let reason = |status: u16, text| classify(StatusCode::from_u16(status).expect("a status"), text).0;
        assert_eq!(reason(403, "ACL not found"), Reason::Acl);
        assert_eq!(reason(500, "rpc error making call: Permission denied"), Reason::Acl);
        assert_eq!(reason(500, "No cluster leader"), Reason::NoLeader);
        assert_eq!(reason(500, "No known Consul servers"), Reason::NoLeader);
        assert_eq!(reason(500, "rpc error making call: EOF"), Reason::Unreachable);
        assert_eq!(reason(429, ""), Reason::Capacity);
        assert_eq!(reason(301, ""), Reason::BadAnswer);
        assert_eq!(reason(400, "Invalid index"), Reason::BadAnswer);
    }
}
