//! The operator's socket: `resolver kill`, `resolver allow` and `resolver kills` ask the agent here, and get an answer.
//!
//! A stream socket of the host, made as the socket for reports is; one line of JSON each way for each connection. Who may
//! connect is said by its mode, and the kernel says who did: the agent's own user and root, and a group's members where the
//! configuration names one.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::kill::{Kill, KillStore, MAX_REASON, Target};
use crate::report::{ControlSocket, SocketError};

pub use crate::report::SocketOptions;

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Takes an endpoint out of every answer.
    Kill {
        /// Its address and port, or its id.
        target: Target,
        /// Of one name of the table; of all of them where there is none.
        service: Option<String>,
        /// For how long, in milliseconds; the agent's default where there is none.
        for_ms: Option<u64>,
        /// In the operator's words.
        reason: String,
    },
    /// Lets it in again.
    Allow {
        /// As it was taken out.
        target: Target,
        /// Where it was taken out of this one name.
        service: Option<String>,
    },
    /// What is out.
    List,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The names of the table whose answers have changed, and how many endpoints each has left.
    pub services: Vec<(String, usize)>,
    /// What is out now.
    pub kills: Vec<Kill>,
    /// When the kill that was asked for is over, in milliseconds since 1970.
    pub until_ms: Option<u64>,
    /// What else the operator should know.
    pub notes: Vec<String>,
}

/// How long kills last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Where the operator says nothing.
    pub usual: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Terms { usual: Duration::from_secs(1800), longest: Duration::from_secs(86_400) }
    }
}

/// Why the agent did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Nobody listens.
    #[error(
        "no agent listens at {path}: {error}; is it running, and is this its segment (--segment) or socket (--socket)?"
    )]
    Absent {
        /// Where.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// Somebody else does.
    #[error(
        "process {pid} of uid {uid} listens at {path}, which is neither this user, nor root, nor the owner that was named"
    )]
    Stranger {
        /// Where.
        path: String,
        /// Its user id.
        uid: u32,
        /// Its process id.
        pid: i32,
    },
    /// It did not answer.
    #[error(
        "the agent at {path} did not answer: {why}; whether it did what was asked, `resolver kills` tells"
    )]
    Silent {
        /// Where.
        path: String,
        /// What went wrong.
        why: String,
    },
    /// It refused.
    #[error("the agent refused: {0}")]
    Refused(String),
}

/// An asked request, on its way to the publisher.
pub(crate) struct Asked {
    pub(crate) request: Request,
    /// The asker's user id.
    pub(crate) by: u32,
    pub(crate) reply: oneshot::Sender<Result<Answer, String>>,
}

/// The socket with what belongs to it; for a publisher.
#[derive(Debug)]
pub struct Control {
    pub(crate) socket: ControlSocket,
    pub(crate) store: KillStore,
    pub(crate) terms: Terms,
    /// Whether a group's members may ask, too; the file's mode says which.
    group: bool,
}

/// The longest line of a request.
const MAX_LINE: u64 = 4096;
/// The longest line of an answer: 1024 kills with their words.
const MAX_ANSWER: u64 = 4 << 20;
/// For one connection, each way.
const PATIENCE: Duration = Duration::from_secs(5);

impl Control {
    /// Listens, as the options say; kills are kept in `store`.
    ///
    /// # Errors
    ///
    /// [`SocketError`], as for the socket of reports.
    pub fn bind(options: &SocketOptions, store: KillStore, terms: Terms) -> Result<Self, SocketError> {
        Ok(Control { socket: ControlSocket::bind(options)?, store, terms, group: options.group.is_some() })
    }

    /// Takes one connection after the other, for ever. For the sync thread.
    pub(crate) async fn serve(mut self, asked: mpsc::Sender<Asked>) {
        let listener = match self.socket.take().map(UnixListener::from_std) {
            Some(Ok(listener)) => listener,
            Some(Err(error)) => return tracing::error!("no operator can ask this agent: {error}"),
            None => return,
        };
        let server = Rc::new(self);
        loop {
            match listener.accept().await {
                // One after the other: kills are rare, and what is kept must be the last of them.
                Ok((stream, _)) => server.answer(stream, &asked).await,
                Err(error) => {
                    tracing::warn!("an operator could not connect: {error}");
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        }
    }

    async fn answer(&self, mut stream: UnixStream, asked: &mpsc::Sender<Asked>) {
        let answered = match tokio::time::timeout(PATIENCE, self.take(&mut stream)).await {
            Ok(Ok((request, by))) => self.ask(request, by, asked).await,
            Ok(Err(why)) => Err(why),
            Err(_) => return,
        };
        let mut line = serde_json::to_vec(&answered).unwrap_or_default();
        line.push(b'\n');
        // Whoever has gone away meanwhile needs no answer.
        let _ = tokio::time::timeout(PATIENCE, stream.write_all(&line)).await;
    }

    /// Reads who asks for what.
    async fn take(&self, stream: &mut UnixStream) -> Result<(Request, u32), String> {
        let by =
            stream.peer_cred().map_err(|error| format!("the system does not say who asks: {error}"))?.uid();
        let own = rustix::process::geteuid().as_raw();
        if by != own && by != 0 && !self.group {
            return Err(format!("uid {by} may not ask this agent; uid {own} and root may"));
        }
        let mut line = Vec::new();
        let mut reader = tokio::io::BufReader::new(stream.take(MAX_LINE));
        reader
            .read_until(b'\n', &mut line)
            .await
            .map_err(|error| format!("the request cannot be read: {error}"))?;
        let request: Request = serde_json::from_slice(&line)
            .map_err(|error| format!("the request is not understood: {error}"))?;
        check(&request, &self.terms)?;
        Ok((request, by))
    }

    /// Has it done by the publisher, and then keeps what is out now.
    async fn ask(&self, request: Request, by: u32, asked: &mpsc::Sender<Asked>) -> Result<Answer, String> {
        let gone = || "the agent is ending".to_owned();
        let (reply, answer) = oneshot::channel();
        let changes = request != Request::List;
        asked.send(Asked { request, by, reply }).await.map_err(|_| gone())?;
        let mut answer = answer.await.map_err(|_| gone())??;
        if changes {
            let (store, kills) = (self.store.clone(), answer.kills.clone());
            let written = tokio::task::spawn_blocking(move || store.write(&kills)).await;
            match written
                .map_err(|error| error.to_string())
                .and_then(|written| written.map_err(|e| e.to_string()))
            {
                Ok(()) if self.store.durable => {}
                Ok(()) => answer.notes.push(
                    "kept until the machine is started again: the agent has no [state] directory".into(),
                ),
                Err(error) => {
                    tracing::error!("what is out is not kept, and lost with this agent: {error}");
                    answer
                        .notes
                        .push(format!("done, but not kept, so the next agent will not know of it: {error}"));
                }
            }
        }
        Ok(answer)
    }
}

fn check(request: &Request, terms: &Terms) -> Result<(), String> {
    let (target, service, reason, for_ms) = match request {
        Request::Kill { target, service, for_ms, reason } => (target, service, reason.as_str(), *for_ms),
        Request::Allow { target, service } => (target, service, "", None),
        Request::List => return Ok(()),
    };
    let longest = u64::try_from(terms.longest.as_millis()).unwrap_or(u64::MAX);
    let words = [reason, service.as_deref().unwrap_or("x")];
    match () {
        () if matches!(target, Target::Id(id) if id.is_empty() || id.len() > 255) => {
            Err("an endpoint is an address with its port, or an id of 1 to 255 bytes".into())
        }
        () if reason.len() > MAX_REASON => Err(format!("the reason is longer than {MAX_REASON} bytes")),
        () if words.iter().any(|word| word.chars().any(char::is_control))
            || target.to_string().chars().any(char::is_control) =>
        {
            Err("there are control characters in it".into())
        }
        () if for_ms.is_some_and(|time| time == 0 || time > longest) => Err(format!(
            "for how long must be within 1 ms and {} s, the longest that [control] allows",
            terms.longest.as_secs()
        )),
        () => Ok(()),
    }
}

/// Asks the agent that listens at a path. `owner`: the user id that it has, where it is neither this user's nor root's. Blocks, for ten
/// seconds at most.
///
/// # Errors
///
/// [`ControlError`].
pub fn ask(path: &Path, request: &Request, owner: Option<u32>) -> Result<Answer, ControlError> {
    let named = || path.display().to_string();
    let mut stream = std::os::unix::net::UnixStream::connect(path)
        .map_err(|error| ControlError::Absent { path: named(), error })?;
    let silent = |error: std::io::Error| ControlError::Silent { path: named(), why: error.to_string() };
    let peer = rustix::net::sockopt::socket_peercred(&stream).map_err(|error| silent(error.into()))?;
    let (uid, own) = (peer.uid.as_raw(), rustix::process::geteuid().as_raw());
    if uid != own && uid != 0 && Some(uid) != owner {
        return Err(ControlError::Stranger { path: named(), uid, pid: peer.pid.as_raw_nonzero().get() });
    }
    stream.set_read_timeout(Some(2 * PATIENCE)).map_err(silent)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(silent)?;
    let mut line = serde_json::to_vec(request).map_err(|error| silent(error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(silent)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MAX_ANSWER)).read_until(b'\n', &mut answer).map_err(silent)?;
    let answer: Result<Answer, String> = serde_json::from_slice(&answer)
        .map_err(|error| ControlError::Silent { path: named(), why: error.to_string() })?;
    answer.map_err(ControlError::Refused)
}
