//! The command that is registered.

use std::ffi::OsString;
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// A command that runs, or none that never ends.
pub(super) struct Running {
    child: Option<Child>,
    /// What it is ended with.
    last: Signal,
}

/// A command that was told to end.
pub(super) struct Stopping {
    running: Running,
    kill_at: Option<Instant>,
}

impl Running {
    /// Starts it, in a process group of its own: a Ctrl-C at the terminal must reach it after the drain, not before.
    ///
    /// The exit code that shells have for it, and why, where it cannot be started.
    pub(super) fn start(command: &[OsString], secrets: [&str; 2]) -> Result<Self, (i32, String)> {
        let Some((program, args)) = command.split_first() else {
            return Ok(Running { child: None, last: Signal::TERM });
        };
        let mut command = Command::new(program);
        command.args(args).process_group(0);
        for secret in secrets {
            command.env_remove(secret);
        }
        match command.spawn() {
            Ok(child) => Ok(Running { child: Some(child), last: Signal::TERM }),
            Err(error) => {
                let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
                Err((code, format!("{} cannot be started: {error}", program.display())))
            }
        }
    }

    /// Its exit code; as shells have it, 128 and the signal's number where one ended it.
    pub(super) async fn ended(&mut self) -> i32 {
        let Some(child) = &mut self.child else { return std::future::pending().await };
        match child.wait().await {
            Ok(status) => status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            Err(error) => {
                tracing::error!("the command's end cannot be seen: {error}");
                1
            }
        }
    }

    /// To the command, and to what it has started in its group.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(Child::id).and_then(|pid| i32::try_from(pid).ok());
        if let Some(group) = pid.and_then(Pid::from_raw) {
            // It can have ended just now.
            let _ = kill_process_group(group, signal);
        }
    }

    /// What it will be ended with.
    pub(super) fn note(&mut self, signal: Signal) {
        self.last = signal;
    }
}

impl Stopping {
    /// Sends the signal that ends it.
    pub(super) fn of(running: Running, kill_after: Option<Duration>) -> Self {
        running.signal(running.last);
        Stopping { running, kill_at: kill_after.map(|after| Instant::now() + after) }
    }

    /// Its exit code; 0 at once where there is no command. May be called again after it was cancelled.
    pub(super) async fn ended(&mut self) -> i32 {
        if self.running.child.is_none() {
            return 0;
        }
        if let Some(at) = self.kill_at {
            tokio::select! {
                code = self.running.ended() => return code,
                () = tokio::time::sleep_until(at) => {
                    tracing::warn!("the command does not end; it is killed");
                    self.running.signal(Signal::KILL);
                    self.kill_at = None;
                }
            }
        }
        self.running.ended().await
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }
}

/// Until something takes a connection there.
pub(super) async fn listens(address: IpAddr, port: u16) {
    while TcpStream::connect((address, port)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
