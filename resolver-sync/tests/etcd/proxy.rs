//! A proxy before a real server, for what the real one cannot be made to do: a line that is cut, or dead in one direction.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

use crate::harness::{DEADLINE, Etcd, runtime};

/// A TCP proxy before a server, in a thread of its own.
pub struct Proxy {
    url: String,
    open: watch::Sender<bool>,
    /// What the client says is held back.
    held: watch::Sender<bool>,
    /// Once the server has said this, what the client says is held back.
    trigger: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Proxy {
    pub fn before(server: &Etcd) -> Self {
        let (open, opened) = watch::channel(true);
        let (held, holding) = watch::channel(false);
        let trigger = Arc::new(Mutex::new(None));
        let (theirs, hold) = (trigger.clone(), held.clone());
        let target = (server.ip(), 2379);
        let listener = std::net::TcpListener::bind((server.ip(), 0)).expect("a free port");
        listener.set_nonblocking(true).expect("non-blocking");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        std::thread::spawn(move || {
            runtime().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let mut ended = opened.clone();
                loop {
                    let accepted = tokio::select! {
                        accepted = listener.accept() => accepted,
                        // The proxy was dropped.
                        _ = ended.wait_for(|_| false) => return,
                    };
                    let (Ok((mut client, _)), mut opened) = (accepted, opened.clone()) else { continue };
                    let (mut holding, trigger, hold) = (holding.clone(), theirs.clone(), hold.clone());
                    tokio::spawn(async move {
                        if !*opened.borrow() {
                            return;
                        }
                        let Ok(mut server) = tokio::net::TcpStream::connect(target).await else { return };
                        let (_keep, mut never) = watch::channel(false);
                        let (from_client, to_client) = client.split();
                        let (from_server, to_server) = server.split();
                        tokio::select! {
                            _ = forward(from_client, to_server, &mut holding, |_| {}) => {}
                            _ = forward(from_server, to_client, &mut never, |said| {
                                let mut trigger = trigger.lock().expect("not poisoned");
                                let is_it = |mark: &Vec<u8>| said.windows(mark.len()).any(|part| part == mark);
                                if trigger.as_ref().is_some_and(is_it) {
                                    *trigger = None;
                                    hold.send_replace(true);
                                }
                            }) => {}
                            _ = opened.wait_for(|open| !open) => {}
                        }
                    });
                }
            });
        });
        Proxy { url, open, held, trigger }
    }

    /// From the moment on at which the server says this, the client is not heard.
    pub fn hold_after(&self, said: &str) {
        *self.trigger.lock().expect("not poisoned") = Some(said.into());
    }

    /// Waits until the client is not heard.
    pub fn until_held(&self) {
        let mut held = self.held.subscribe();
        let wait = async { tokio::time::timeout(DEADLINE, held.wait_for(|held| *held)).await.map(|_| ()) };
        runtime().block_on(wait).expect("the server never said it");
    }

    /// The client is heard again, with all that it said.
    pub fn release(&self) {
        self.held.send_replace(false);
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Closes every connection, and each new one at once.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    pub fn heal(&self) {
        self.open.send_replace(true);
    }
}

/// Passes on what one side says, but nothing while it is held back; shows each piece before it passes it on.
async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    held: &mut watch::Receiver<bool>,
    mut show: impl FnMut(&[u8]),
) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        show(&bytes[..count]);
        // Held for ever where the proxy is gone: then nobody listens either.
        let _ = held.wait_for(|held| !held).await;
        to.write_all(&bytes[..count]).await?;
    }
}
