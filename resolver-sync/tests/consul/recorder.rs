//! A proxy in front of the real server: it counts connections, keeps what was asked, and fails as it is told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What happens to a connection's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// They pass.
    Good,
    /// Nothing arrives any longer, either way, and nobody is told: a cable that was pulled.
    Cut,
    /// The connection ends after this many more bytes of the next answer.
    Short(usize),
}

/// The proxy.
pub struct Recorder {
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    connections: AtomicUsize,
    /// The first lines of the requests.
    asked: Mutex<Vec<String>>,
    line: Mutex<Line>,
    changed: Notify,
}

impl Recorder {
    pub async fn start(server: &str) -> Recorder {
        let server: SocketAddr = server.parse().expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Arc::new(Shared {
            connections: AtomicUsize::new(0),
            asked: Mutex::default(),
            line: Mutex::new(Line::Good),
            changed: Notify::new(),
        });
        let own = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                own.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry(client, server, own.clone()));
            }
        });
        Recorder { address, shared }
    }

    /// How many connections were ever made.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The first line of each request so far.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("a log").clone()
    }

    pub fn set(&self, line: Line) {
        *self.shared.line.lock().expect("a line") = line;
        self.shared.changed.notify_waiters();
    }
}

impl Shared {
    /// Until bytes pass.
    async fn pass(&self) -> Line {
        loop {
            let changed = self.changed.notified();
            let line = *self.line.lock().expect("a line");
            if line != Line::Cut {
                return line;
            }
            changed.await;
        }
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, shared: Arc<Shared>) -> std::io::Result<()> {
    shared.pass().await;
    let mut server = TcpStream::connect(server).await?;
    let (mut from_client, mut from_server) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let bytes = &from_client[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                let first = String::from_utf8_lossy(bytes).lines().next().unwrap_or("").to_owned();
                shared.asked.lock().expect("a log").push(first);
                shared.pass().await;
                server.write_all(bytes).await?;
            }
            read = server.read(&mut from_server) => {
                let bytes = &from_server[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                match shared.pass().await {
                    Line::Short(count) if count < bytes.len() => {
                        client.write_all(&bytes[..count]).await?;
                        return Ok(());
                    }
                    _ => client.write_all(bytes).await?,
                }
            }
        }
    }
}
