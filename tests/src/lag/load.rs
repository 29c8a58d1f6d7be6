//! What the scheduler says of a process: how long it ran, and how long it waited for a core.

use crate::process::Process;

/// Times of a process's first thread, which does all the work in each of ours. Nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// On a core.
    pub ran: u64,
    /// Ready to run, and no core free for it.
    pub waited: u64,
}

/// Of several processes at one moment.
pub(super) struct Loads<const N: usize>([Load; N]);

impl<const N: usize> Loads<N> {
    pub(super) fn of(processes: [&Process; N]) -> Self {
        Loads(processes.map(|process| read(process.pid())))
    }

    /// What came since.
    pub(super) fn since(&self, before: &Self) -> [Load; N] {
        std::array::from_fn(|i| Load {
            ran: self.0[i].ran.saturating_sub(before.0[i].ran),
            waited: self.0[i].waited.saturating_sub(before.0[i].waited),
        })
    }
}

/// Zeros where the kernel does not count (CONFIG_SCHED_INFO).
fn read(pid: u32) -> Load {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or(0));
    Load { ran: numbers.next().unwrap_or(0), waited: numbers.next().unwrap_or(0) }
}
