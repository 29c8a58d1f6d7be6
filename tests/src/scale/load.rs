//! What a process takes: memory and time on cores, by proc(5).

use std::time::Duration;

/// At one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    /// All of its threads, on a core.
    pub(super) ran: Duration,
    /// Its own memory, in bytes.
    pub(super) anon: u64,
    /// Memory that it has mapped and shares, in bytes: the segment.
    pub(super) shared: u64,
    /// All of it.
    pub(super) rss: u64,
    /// How long it was looked at, where this is a difference.
    over: Duration,
}

impl Load {
    pub(super) fn of(pid: u32) -> Load {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kib.unwrap_or(0) * 1024
        };
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let ran = tasks.filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Load {
            ran: Duration::from_nanos(ran.sum()),
            anon: field("RssAnon:"),
            shared: field("RssShmem:"),
            rss: field("VmRSS:"),
            over: Duration::ZERO,
        }
    }

    /// What it ran since, looked at for so long; the memory is that of now.
    pub(super) fn since(self, before: &Load, over: Duration) -> Load {
        Load { ran: self.ran.saturating_sub(before.ran), over, ..self }
    }

    /// Of one core.
    pub(super) fn percent(&self) -> f64 {
        if self.over.is_zero() { 0.0 } else { self.ran.as_secs_f64() / self.over.as_secs_f64() * 100.0 }
    }
}
