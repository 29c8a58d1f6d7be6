//! A scripted HTTP/1.1 server, for answers that the real one cannot be made to give.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers by a script and keeps every request.
pub struct Fake {
    pub address: String,
    requests: Arc<Mutex<Vec<Asked>>>,
    leader: Arc<Mutex<&'static str>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub head: String,
}

/// What the script answers.
pub struct Reply {
    status: &'static str,
    headers: String,
    body: Vec<u8>,
    delay: Duration,
}

impl Reply {
    /// A 200 with an index and a known leader.
    pub fn ok(index: u64, body: impl Into<Vec<u8>>) -> Reply {
        let headers =
            format!("X-Consul-Index: {index}\r\nX-Consul-KnownLeader: true\r\nX-Consul-LastContact: 0\r\n");
        Reply { status: "200 OK", headers, body: body.into(), delay: Duration::ZERO }
    }

    pub fn error(status: &'static str, headers: &str, body: &str) -> Reply {
        Reply { status, headers: headers.into(), body: body.into(), delay: Duration::ZERO }
    }

    /// Other headers in place of the usual ones.
    pub fn headers(mut self, headers: &str) -> Reply {
        self.headers = headers.into();
        self
    }

    pub fn after(mut self, delay: Duration) -> Reply {
        self.delay = delay;
        self
    }

    /// As a server that holds a blocking query until long after any test.
    pub fn parked() -> Reply {
        Reply::ok(1, "[]").after(Duration::from_secs(3600))
    }
}

impl Asked {
    /// The index of a blocking query.
    pub fn index(&self) -> Option<u64> {
        self.query.get("index").map(|text| text.parse().expect("a number"))
    }

    pub fn has(&self, key: &str) -> bool {
        self.query.contains_key(key)
    }
}

impl Fake {
    /// `script` is asked for each request but the heartbeat, whose leader changes as it is told.
    pub async fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let leader = Arc::new(Mutex::new("10.0.0.1:8300"));
        let (log, script, rules) = (requests.clone(), Arc::new(script), leader.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, log.clone(), script.clone(), rules.clone()));
            }
        });
        Fake { address, requests, leader }
    }

    /// Another one rules, without a moment in which nobody did.
    pub fn set_leader(&self, leader: &'static str) {
        *self.leader.lock().expect("a leader") = leader;
    }

    /// Every request so far that the script has answered.
    pub fn asked(&self) -> Vec<Asked> {
        self.requests.lock().expect("a log").clone()
    }
}

async fn converse(
    mut stream: TcpStream,
    log: Arc<Mutex<Vec<Asked>>>,
    script: Arc<impl Fn(&Asked) -> Reply>,
    leader: Arc<Mutex<&'static str>>,
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        while !buffer.windows(4).any(|window| window == b"\r\n\r\n") {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8_lossy(&std::mem::take(&mut buffer)).into_owned();
        let target = head.split(' ').nth(1).unwrap_or("").to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let pair = |pair: &str| match pair.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (pair.to_owned(), String::new()),
        };
        let query = query.split('&').filter(|text| !text.is_empty()).map(pair).collect();
        let asked = Asked { path: path.to_owned(), query, head };
        let reply = if asked.path == "/v1/status/leader" {
            Reply::ok(1, format!("{:?}", leader.lock().expect("a leader")))
        } else {
            log.lock().expect("a log").push(asked.clone());
            script(&asked)
        };
        tokio::time::sleep(reply.delay).await;
        let length = reply.body.len();
        let head = format!("HTTP/1.1 {}\r\n{}Content-Length: {length}\r\n\r\n", reply.status, reply.headers);
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&reply.body).await?;
    }
}
