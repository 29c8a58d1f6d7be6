//! One thread to one core, and proof that it is there.

use core_affinity::CoreId;

/// Why a thread could not be pinned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// The host has no such core, or it is switched off.
    #[error("core {core} does not exist; this host has cores {online}")]
    NoSuchCore {
        /// What was asked for.
        core: usize,
        /// What `/sys/devices/system/cpu/online` lists.
        online: String,
    },
    /// The configuration keeps this core for threads that resolve.
    #[error("core {core} is listed in reader_cores; give the sync thread another one, or none")]
    Reserved {
        /// What was asked for.
        core: usize,
    },
    /// Every core that the thread may run on is to be kept free of it.
    #[error(
        "this thread may run on cores {allowed}, and nowhere else than on {cores}, which are in reader_cores"
    )]
    NowhereElse {
        /// What it was to stay away from.
        cores: String,
        /// Where it may run.
        allowed: String,
    },
    /// The kernel refused, as it does for a core outside the process's cpuset.
    #[error("the kernel does not let this thread run on core {core}; it may run on cores {allowed}")]
    Refused {
        /// What was asked for.
        core: usize,
        /// Where it may run.
        allowed: String,
    },
}

/// Pins the calling thread to a core, and reads back from the kernel that it may run there and nowhere else.
///
/// Isolated cores (`isolcpus`, `nohz_full`) are as good as any: a process may not be scheduled there by itself, but may
/// ask to be. That is why the core is not looked up among those that the thread has now.
///
/// # Errors
///
/// [`PinError`] says which cores there are.
///
/// # Examples
///
/// ```
/// std::thread::spawn(|| resolver_sync::pin::pin_to(0)).join().expect("no panic")?;
/// # Ok::<(), resolver_sync::pin::PinError>(())
/// ```
pub fn pin_to(core: usize) -> Result<(), PinError> {
    let online = online();
    if !online.contains(&core) {
        return Err(PinError::NoSuchCore { core, online: list(&online) });
    }
    let set = core_affinity::set_for_current(CoreId { id: core });
    let now = allowed();
    if set && now == [core] { Ok(()) } else { Err(PinError::Refused { core, allowed: list(&now) }) }
}

/// As [`pin_to`], for the sync side: refuses a core that is kept for readers.
///
/// # Errors
///
/// [`PinError`]; the thread is left where it was.
pub fn pin_sync(core: usize, reader_cores: &[usize]) -> Result<(), PinError> {
    if reader_cores.contains(&core) {
        return Err(PinError::Reserved { core });
    }
    pin_to(core)
}

/// Keeps the calling thread away from these cores, without pinning it to one.
///
/// # Errors
///
/// [`PinError::NowhereElse`].
pub fn avoid(cores: &[usize]) -> Result<(), PinError> {
    let mut set = rustix::thread::CpuSet::new();
    let left: Vec<usize> = allowed().into_iter().filter(|core| !cores.contains(core)).collect();
    left.iter().for_each(|core| set.set(*core));
    if left.is_empty() || rustix::thread::sched_setaffinity(None, &set).is_err() || allowed() != left {
        return Err(PinError::NowhereElse { cores: list(cores), allowed: list(&allowed()) });
    }
    Ok(())
}

/// The cores that the calling thread may run on.
pub fn allowed() -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None).unwrap_or_default();
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
}

/// The cores that are switched on; those of this thread where the system does not say.
fn online() -> Vec<usize> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let cores = parse(text.trim());
    if cores.is_empty() { allowed() } else { cores }
}

/// Reads the kernel's way to list cores: `0-3,8`.
fn parse(text: &str) -> Vec<usize> {
    text.split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
        .flatten()
        .collect()
}

fn list(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_lists() {
        assert_eq!(parse("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(parse("0"), [0]);
        assert!(parse("").is_empty());
    }

    #[test]
    fn a_pinned_thread_is_on_its_core_alone() {
        let core = *online().last().expect("there is a core");
        let seen = std::thread::spawn(move || pin_to(core).map(|()| allowed())).join().expect("no panic");
        assert_eq!(seen.expect("pinned"), [core]);
    }

    #[test]
    fn a_thread_stays_away_from_what_it_is_told() {
        let cores = allowed();
        let (kept, others) = cores.split_first().expect("there is a core");
        let seen = std::thread::spawn({
            let kept = *kept;
            move || (avoid(&[kept]), allowed())
        });
        let (result, now) = seen.join().expect("no panic");
        // On a host of one core there is nowhere to go, and the thread stays where it was.
        assert_eq!(result.is_ok(), !others.is_empty());
        assert_eq!(now, if others.is_empty() { cores.clone() } else { others.to_vec() });
    }

    #[test]
    fn a_core_that_is_missing_or_kept_is_refused() {
        let error = pin_to(4096).expect_err("there is no such core").to_string();
        assert!(error.contains("core 4096 does not exist") && error.contains('0'), "{error}");
        let before = allowed();
        let error = pin_sync(0, &[0, 1]).expect_err("kept for readers").to_string();
        assert!(error.contains("reader_cores"), "{error}");
        assert_eq!(allowed(), before);
    }
}
