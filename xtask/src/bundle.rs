//! Packages unpacked beside each other into one directory, whole or not at all.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::command;
use crate::debian::{self, Suite};
use crate::project::Project;

/// Written last, into the new directory before it gets its name: a line `PACKAGE VERSION` for each package.
const STAMP: &str = "VERSIONS";

/// What to bring.
pub struct Bundle {
    /// The directory below `target/servers`.
    pub name: &'static str,
    /// The Debian suite that has it.
    pub suite: &'static str,
    /// Packages, each with its upstream version (or the beginning of one).
    pub packages: &'static [(&'static str, &'static str)],
    /// Each must run and say its version.
    pub probes: &'static [Probe],
    /// For a package that the mirror may drop.
    pub second_source: Option<SecondSource>,
}

/// A program that must run once it is unpacked.
pub struct Probe {
    /// Relative to the bundle's directory.
    pub program: &'static str,
    pub arg: &'static str,
    /// What its output must contain.
    pub says: &'static str,
}

/// A local copy of the bundle's only package, believed because its checksum is known here.
pub struct SecondSource {
    pub variable: &'static str,
    pub sha256: &'static str,
}

impl Bundle {
    /// The unpacked directory: at once if it is there, else from the mirror, else from the second source.
    pub fn provide(&self, project: &Project) -> Result<PathBuf, Failure> {
        let base = project.target.join("servers");
        let dir = base.join(self.name);
        if self.is_complete(&dir) {
            return Ok(dir);
        }
        fs::create_dir_all(&base).map_err(|e| format!("{}: {e}", base.display()))?;
        let lock = base.join(format!("{}.lock", self.name));
        let lock = File::create(&lock).map_err(|e| format!("{}: {e}", lock.display()))?;
        lock.lock().map_err(|e| format!("locking {}: {e}", base.display()))?;
        // Another run may have brought it while this one waited.
        if self.is_complete(&dir) {
            return Ok(dir);
        }
        let work = base.join(format!("{}.work", self.name));
        remove(&work)?;
        let brought = self.bring(&work, &dir);
        // apt's lists alone are 60 MB.
        remove(&work)?;
        let versions = brought?;
        println!("{}: {} in {}", self.name, versions.trim_end().replace('\n', ", "), dir.display());
        Ok(dir)
    }

    fn bring(&self, work: &Path, dir: &Path) -> Result<String, Failure> {
        let names: Vec<&str> = self.packages.iter().map(|(name, _)| *name).collect();
        println!("{}: fetching {} from the mirror's {} with apt", self.name, names.join(" and "), self.suite);
        let debs = Suite::open(work, self.suite).and_then(|suite| suite.download(&names));
        let debs = match (debs, &self.second_source) {
            (Ok(debs), _) => debs,
            (Err(failure), None) => return Err(failure),
            (Err(failure), Some(source)) => vec![source.deb(failure)?],
        };
        let new = work.join("new");
        fs::create_dir_all(&new).map_err(|e| format!("{}: {e}", new.display()))?;
        let mut stamp = String::new();
        for deb in &debs {
            debian::unpack(deb, &new)?;
            stamp.push_str(&format!(
                "{} {}\n",
                debian::field(deb, "Package")?,
                debian::field(deb, "Version")?
            ));
        }
        for probe in self.probes {
            probe.check(&new)?;
        }
        let file = new.join(STAMP);
        fs::write(&file, &stamp).map_err(|e| format!("{}: {e}", file.display()))?;
        if !self.is_complete(&new) {
            return Err(format!("the mirror's {} has other versions than wanted: {stamp}", self.suite));
        }
        // A program that runs from the old directory goes on with its open file.
        remove(dir)?;
        fs::rename(&new, dir).map_err(|e| format!("renaming {} to {}: {e}", new.display(), dir.display()))?;
        Ok(stamp)
    }

    /// Whether the stamp names every package in a version that was asked for.
    fn is_complete(&self, dir: &Path) -> bool {
        let Ok(stamp) = fs::read_to_string(dir.join(STAMP)) else { return false };
        self.packages.iter().all(|(name, wanted)| {
            let line = stamp.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.is_some_and(|version| is_version(version, wanted))
        })
    }
}

impl Probe {
    fn check(&self, dir: &Path) -> Result<(), Failure> {
        let said = command::read(Command::new(dir.join(self.program)).arg(self.arg))?;
        if said.contains(self.says) {
            Ok(())
        } else {
            Err(format!("{} {} does not say \"{}\" but: {said}", self.program, self.arg, self.says))
        }
    }
}

impl SecondSource {
    fn deb(&self, why: Failure) -> Result<PathBuf, Failure> {
        let variable = self.variable;
        let Some(deb) = std::env::var_os(variable).map(PathBuf::from) else {
            return Err(format!(
                "{why}\n{variable} can name a local copy of the package (SHA-256 {})",
                self.sha256
            ));
        };
        println!(
            "the mirror cannot provide it ({}): taking {variable}",
            why.lines().next().unwrap_or_default()
        );
        let sum = command::read(Command::new("sha256sum").arg("--").arg(&deb))?;
        // A name with a backslash or line feed gets a leading backslash.
        let sum = sum.trim_start_matches('\\').split_whitespace().next().unwrap_or_default();
        if sum == self.sha256 {
            Ok(deb)
        } else {
            Err(format!("{variable}={} has SHA-256 {sum}, not {}: not used", deb.display(), self.sha256))
        }
    }
}

/// Whether a Debian version (`[epoch:]upstream[-revision]`) is of the upstream version wanted.
pub fn is_version(version: &str, wanted: &str) -> bool {
    let upstream = version.split_once(':').map_or(version, |(_, rest)| rest);
    let rest = upstream.strip_prefix(wanted);
    rest.is_some_and(|rest| {
        wanted.ends_with('.') || !rest.starts_with(|c: char| c.is_ascii_digit() || c == '.')
    })
}

fn remove(dir: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(format!("removing {}: {e}", dir.display())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::is_version;

    #[test]
    fn a_version_is_of_its_upstream_release_only() {
        assert!(is_version("1.8.7+dfsg1-2+b3", "1.8.7"));
        assert!(is_version("3.5.16-4", "3.5.16"));
        assert!(is_version("1:3.24.0-3", "3."));
        assert!(!is_version("3.5.160-1", "3.5.16"));
        assert!(!is_version("3.5.16.1-1", "3.5.16"));
        assert!(!is_version("3.4.23+dfsg-4", "3.5.16"));
    }
}
