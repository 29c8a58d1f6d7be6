//! Directories that live as long as a test.

use std::path::{Path, PathBuf};
use std::sync::Once;

use tempfile::TempDir;

/// The names are this, the process's id, and something random.
const PREFIX: &str = "resolver-test-";

/// For logs, configuration and the servers' data.
pub fn on_disk() -> TempDir {
    static SWEEP: Once = Once::new();
    let base = std::env::temp_dir();
    SWEEP.call_once(|| sweep(&base));
    new(&base)
}

/// For segments: where a real one lies, in shared memory.
pub fn in_memory() -> TempDir {
    static SWEEP: Once = Once::new();
    let base = PathBuf::from("/dev/shm");
    if !base.is_dir() {
        return on_disk();
    }
    SWEEP.call_once(|| sweep(&base));
    new(&base)
}

fn new(base: &Path) -> TempDir {
    let prefix = format!("{PREFIX}{}-", std::process::id());
    match tempfile::Builder::new().prefix(&prefix).tempdir_in(base) {
        Ok(dir) => dir,
        Err(e) => panic!("no directory for a test can be made in {}: {e}", base.display()),
    }
}

/// Removes what test processes left that were killed: in /dev/shm that is memory.
fn sweep(base: &Path) {
    let Ok(entries) = std::fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if pid.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()) {
            // Another test process may sweep at the same time; somebody else's directory is left alone.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
