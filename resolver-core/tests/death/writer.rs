//! A forked process that writes, until it is killed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

pub struct Forked {
    pid: Pid,
}

impl Forked {
    /// Runs `write` in a child, which has nothing else to do; it ends with this process at the latest.
    pub fn start(write: impl FnOnce()) -> Self {
        // SAFETY:
        // - The child has this thread alone. The other one of this process is the test harness's, which waits; this file's
        //   tests run one at a time. So no lock is held that the child could wait for; the allocator's are taken by the C
        //   library itself around a fork.
        // - The child never returns from here: it ends in `abort` whatever happens.
        match unsafe { fork() }.expect("a process can be forked") {
            ForkResult::Parent { child } => Forked { pid: child },
            ForkResult::Child => {
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    set_pdeathsig(Signal::SIGKILL).expect("it can be asked for");
                    write();
                }));
                std::process::abort()
            }
        }
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it still runs.
    pub fn runs(&self) -> bool {
        matches!(waitpid(self.pid, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive))
    }

    /// Kills it, and waits until the kernel has let go of all that it held.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if kill(self.pid, Signal::SIGKILL).is_ok() {
            while matches!(waitpid(self.pid, None), Ok(WaitStatus::Stopped(..))) {}
        }
    }
}
