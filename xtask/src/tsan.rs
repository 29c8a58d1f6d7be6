//! `cargo xtask tsan`: the stress test under ThreadSanitizer, and a planted race that it must report. What that shows and
//! what it cannot is in docs/testing.md.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::Failure;
use crate::nightly::Sanitized;
use crate::project::Project;

/// The standard library comes as it was built, without the sanitizer: `rust-src` is not asked for. It does not see the
/// library's own atomics, so it reports what threads and channels do within it; see [`is_ours`].
const BUILD: Sanitized = Sanitized {
    package: "resolver-core",
    args: &["--test", "stress", "--test", "tsan"],
    flags: &[
        "--cfg resolver_tsan",
        "-Zsanitizer=thread",
        "-Cunsafe-allow-abi-mismatch=sanitizer",
        "-Cdebuginfo=1",
    ],
    directory: "tsan",
};
const REPORT: &str = "WARNING: ThreadSanitizer: data race";

pub fn run(project: &Project) -> Result<(), Failure> {
    let deps = BUILD.build(project)?.join("deps");
    let planted = races(&newest(&deps, "tsan-")?)?;
    if planted.0.is_empty() {
        return Err("the planted race was not reported: this shows nothing".into());
    }
    println!("control: the planted race was reported, as it must be");
    let (ours, others) = races(&newest(&deps, "stress-")?)?;
    if let Some(first) = ours.first() {
        return Err(format!("{} races in the table or its test; the first:\n{first}", ours.len()));
    }
    println!(
        "stress: no race in the table or its test ({others} reports within the standard library are left out)"
    );
    Ok(())
}

/// The program that cargo built last under this name.
fn newest(deps: &Path, name: &str) -> Result<std::path::PathBuf, Failure> {
    let entries = std::fs::read_dir(deps).map_err(|e| format!("{}: {e}", deps.display()))?;
    let programs = entries.flatten().map(|entry| entry.path()).filter(|path| {
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        file.starts_with(name) && crate::project::is_executable(path)
    });
    let time = |path: &std::path::PathBuf| path.metadata().and_then(|meta| meta.modified()).ok();
    programs.max_by_key(time).ok_or_else(|| format!("{}: no program {name}*", deps.display()))
}

/// The reports on this project's own code, and how many there are on other code.
fn races(program: &Path) -> Result<(Vec<String>, usize), Failure> {
    let mut command = Command::new(program);
    // The reports decide, not the code that the process ends with.
    command.args(["--test-threads=1", "--nocapture"]).env("TSAN_OPTIONS", "exitcode=0 halt_on_error=0");
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("{} cannot be started: {e}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let (ours, others) = split(&said);
    // A test that fails in such a run fails by a race, more often than not: that is told first.
    if !output.status.success() && ours.is_empty() {
        return Err(format!("{} failed ({})\n{said}", program.display(), output.status));
    }
    Ok((ours, others))
}

fn split(said: &str) -> (Vec<String>, usize) {
    let reports: Vec<&str> = said.split(REPORT).skip(1).collect();
    let ours: Vec<String> =
        reports.iter().filter(|report| is_ours(report)).map(|report| (*report).to_owned()).collect();
    let others = reports.len() - ours.len();
    (ours, others)
}

/// Whether one of the two accesses is made by this project's code: the first frame of its stack that is not of `core` (the
/// atomics are there) is ours.
fn is_ours(report: &str) -> bool {
    let mut access = false;
    for line in report.lines() {
        let line = line.trim();
        let is_head =
            line.ends_with(':') && (line.contains(" by thread ") || line.contains(" by main thread"));
        if is_head {
            access = true;
        } else if line.is_empty() {
            access = false;
        } else if access && line.starts_with('#') {
            let function = line.split_once(' ').map_or("", |(_, function)| function).trim_start_matches('<');
            if function.starts_with("core::") || function.contains("/library/core/src/") {
                continue;
            }
            if ["resolver_core::", "stress::", "tsan::"].iter().any(|own| function.starts_with(own)) {
                return true;
            }
            access = false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_told_apart() {
        let said = "\
WARNING: ThreadSanitizer: data race (pid=1)
  Write of size 8 at 0x720c00000060 by thread T1:
    #0 free tsan_interceptors_posix.cpp:735:3 (ts+0x4f18a)
    #1 <alloc::sync::Arc<std::thread::thread::Inner>>::drop sync.rs:2874:18
    #2 stress::read::{closure#0} stress.rs:1

  Previous read of size 8 at 0x720c00000060 by main thread:
    #0 std::thread::join mod.rs:1

WARNING: ThreadSanitizer: data race (pid=1)
  Write of size 8 at 0x7ffc by thread T1 (mutexes: write M0):
    #0 core::sync::atomic::atomic_store::<u64> atomic.rs:1 (stress+0x1)
    #1 <*mut u64>::write /rustc/library/core/src/ptr/mut_ptr.rs:1418:18
    #1 <resolver_core::memory::Line>::store memory.rs:51:9 (stress+0x1)

  Previous read of size 8 at 0x7ffc by main thread:
    #0 std::thread::join mod.rs:1
";
        let (ours, others) = split(said);
        assert_eq!((ours.len(), others), (1, 1));
        assert!(ours[0].contains("resolver_core::memory::Line"));
    }
}
