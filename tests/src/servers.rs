//! Where the servers' binaries and our own are.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A server's binary: its variable, else `target/servers`, else PATH.
///
/// # Panics
///
/// With what to do, if it is in none of them.
pub fn server(name: &str, bundle: &str, variable: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable).map(PathBuf::from) {
        assert!(path.is_file(), "{variable}={} is no file", path.display());
        return path;
    }
    let unpacked = target().join("servers").join(bundle).join("usr/bin").join(name);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|dir| dir.join(name));
    match std::iter::once(unpacked).chain(in_path).find(|file| file.is_file()) {
        Some(found) => found,
        None => panic!(
            "no `{name}` to test against: run `cargo xtask servers` once, or set {variable} to its path"
        ),
    }
}

/// The `resolver` binary: `RESOLVER_BIN`, else the one that the tests' own build profile made.
///
/// # Panics
///
/// If there is none, or if it is older than the sources: cargo builds another package's binary for no test.
pub fn resolver() -> PathBuf {
    const BUILD: &str =
        "run `cargo build -p resolver-cli` (with --release if the tests have it), or set RESOLVER_BIN";
    if let Some(path) = std::env::var_os("RESOLVER_BIN").map(PathBuf::from) {
        assert!(path.is_file(), "RESOLVER_BIN={} is no file", path.display());
        return path;
    }
    let target = target();
    let profile =
        own_executable().strip_prefix(&target).ok().and_then(|rest| rest.iter().next().map(PathBuf::from));
    let binary = target.join(profile.unwrap_or_default()).join("resolver");
    let Some(built) = modified(&binary) else { panic!("no {}: {BUILD}", binary.display()) };
    if let Some(root) = target.parent() {
        for package in ["resolver-core", "resolver-sync", "resolver-cli"] {
            if let Some(newer) = newer_source(&root.join(package).join("src"), built) {
                panic!("{} is older than {}: {BUILD}", binary.display(), newer.display());
            }
        }
    }
    binary
}

/// The target directory: cargo marks it with a file of this name.
pub(crate) fn target() -> PathBuf {
    let own = own_executable();
    match own.ancestors().skip(1).find(|dir| dir.join("CACHEDIR.TAG").is_file()) {
        Some(dir) => dir.to_owned(),
        None => panic!("{} does not lie in a target directory of cargo", own.display()),
    }
}

fn own_executable() -> PathBuf {
    std::env::current_exe().expect("a running program's own path")
}

fn modified(file: &Path) -> Option<SystemTime> {
    file.metadata().ok()?.modified().ok()
}

fn newer_source(dir: &Path, than: SystemTime) -> Option<PathBuf> {
    std::fs::read_dir(dir).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            newer_source(&path, than)
        } else {
            modified(&path).is_some_and(|time| time > than).then_some(path)
        }
    })
}
