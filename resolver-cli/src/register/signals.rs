//! Signals that a supervisor gets, and what each of them wants.

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What a signal wants.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    /// The end, by this signal.
    End(Signal),
    /// Something that is between its sender and the command.
    Pass(Signal),
}

pub(super) struct Signals {
    term: Stream,
    interrupt: Stream,
    quit: Stream,
    hangup: Stream,
    user_1: Stream,
    user_2: Stream,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.term.recv() => Wish::End(Signal::TERM),
            _ = self.interrupt.recv() => Wish::End(Signal::INT),
            _ = self.quit.recv() => Wish::End(Signal::QUIT),
            _ = self.hangup.recv() => Wish::Pass(Signal::HUP),
            _ = self.user_1.recv() => Wish::Pass(Signal::USR1),
            _ = self.user_2.recv() => Wish::Pass(Signal::USR2),
        }
    }

    /// The next signal that wants the end.
    pub(super) async fn end(&mut self) -> Signal {
        loop {
            if let Wish::End(signal) = self.next().await {
                return signal;
            }
        }
    }
}

impl Wish {
    pub(super) fn signal(self) -> Signal {
        let (Wish::End(signal) | Wish::Pass(signal)) = self;
        signal
    }
}
