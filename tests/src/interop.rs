//! Other people's clients, to see that what they write is read.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::servers::target;

/// A Python that has this package of PyPI, in this version: `target/interop/<package>`, made by venv and pip where it is
/// not there yet, or what `INTEROP_PYTHON` names.
///
/// # Panics
///
/// If it cannot be had (with what to do).
pub fn python(package: &str, version: &str) -> PathBuf {
    if let Some(python) = std::env::var_os("INTEROP_PYTHON").map(PathBuf::from) {
        return python;
    }
    let dir = target().join("interop").join(format!("{package}-{version}"));
    let python = dir.join("bin/python");
    if !python.is_file() {
        make(&dir, &format!("{package}=={version}"));
    }
    python
}

/// Beside its place and then moved there: another test may be doing the same.
fn make(dir: &Path, package: &str) {
    let beside = dir.with_extension(std::process::id().to_string());
    let venv = run(Command::new("python3").args(["-m", "venv", "--copies"]).arg(&beside));
    let install = venv.and_then(|_| {
        run(Command::new(beside.join("bin/python")).args(["-m", "pip", "install", "--quiet", package]))
    });
    if let Err(why) = install {
        let _ = std::fs::remove_dir_all(&beside);
        panic!(
            "no Python with {package}: {why}\nIt wants python3 with venv (Debian: python3-venv), and comes from PyPI by pip; \
             without a network, name a Python that has it in INTEROP_PYTHON"
        );
    }
    if std::fs::rename(&beside, dir).is_err() {
        // Somebody else was first.
        let _ = std::fs::remove_dir_all(&beside);
    }
}

fn run(command: &mut Command) -> Result<Output, String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(output),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Runs a script with arguments to its end, and gives what it printed.
///
/// # Panics
///
/// If it fails, with what it said.
#[track_caller]
pub fn script(python: &Path, text: &str, args: &[&str]) -> String {
    match run(Command::new(python).args(["-c", text]).args(args)) {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(why) => panic!("{}: {why}", python.display()),
    }
}
