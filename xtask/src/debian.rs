//! Packages from the Debian mirror that this machine already uses, without root and without installing them.
//!
//! apt works in a state of its own (sources, lists, cache, status) and checks the signatures as always, against the
//! Debian archive keyring. The system's own state is only read: its mirror and how it reaches the network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::command;

/// Where Debian and its derivatives keep the keys of Debian's archive.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// Names under which a mirror's main archive stands in a sources list. Security and third-party archives have others.
const SUITES: [&str; 9] =
    ["bullseye", "bookworm", "trixie", "forky", "oldstable", "stable", "testing", "unstable", "sid"];

/// One suite's private apt state, up to date.
pub struct Suite {
    config: PathBuf,
    debs: PathBuf,
}

impl Suite {
    /// Lays a private apt state in `work` (an empty directory) and fetches the suite's signed index.
    pub fn open(work: &Path, suite: &str) -> Result<Suite, Failure> {
        let keyring = KEYRINGS.iter().find(|file| Path::new(file).is_file()).ok_or_else(|| {
            format!("no Debian archive keyring at {} (package debian-archive-keyring)", KEYRINGS[0])
        })?;
        let lists = work.join("lists");
        let debs = work.join("debs");
        for dir in [&lists.join("partial"), &work.join("cache/archives/partial"), &debs] {
            fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        }
        let mirror = mirror(&lists)?;
        let config = work.join("apt.conf");
        let sources = work.join("sources.list");
        write(&work.join("status"), "")?;
        write(&sources, &format!("deb [signed-by={keyring}] {mirror} {suite} main\n"))?;
        write(&config, &configuration(work)?)?;
        let suite = Suite { config, debs };
        // Without --error-on a part that could not be fetched is only a warning.
        command::read(suite.apt_get().args(["-qq", "--error-on=any", "update"]))?;
        Ok(suite)
    }

    /// Fetches the packages; apt compares them with the signed index.
    pub fn download(&self, packages: &[&str]) -> Result<Vec<PathBuf>, Failure> {
        command::read(self.apt_get().args(["-qq", "download"]).args(packages).current_dir(&self.debs))?;
        let entries = fs::read_dir(&self.debs).map_err(|e| format!("{}: {e}", self.debs.display()))?;
        let debs: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .collect();
        if debs.len() == packages.len() {
            Ok(debs)
        } else {
            Err(format!("apt-get download {} brought {} file(s)", packages.join(" "), debs.len()))
        }
    }

    fn apt_get(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.env("APT_CONFIG", &self.config).env("LC_ALL", "C");
        command
    }
}

/// One field of a package's control data.
pub fn field(deb: &Path, name: &str) -> Result<String, Failure> {
    Ok(command::read(Command::new("dpkg-deb").arg("--field").arg(deb).arg(name))?.trim().to_owned())
}

/// Unpacks a package's files below `into`; runs none of its scripts.
pub fn unpack(deb: &Path, into: &Path) -> Result<(), Failure> {
    command::read(Command::new("dpkg-deb").arg("--extract").arg(deb).arg(into)).map(drop)
}

/// The mirror's address: from apt's lists, or from the sources alone where no `apt-get update` was run yet.
fn mirror(empty_lists: &Path) -> Result<String, Failure> {
    let known = command::read(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(RELEASE) $(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    let known = known.lines().filter_map(|line| line.split_once(' '));
    if let Some((_, uri)) = known.clone().find(|(suite, _)| SUITES.contains(suite)) {
        return Ok(uri.trim_end_matches('/').to_owned());
    }
    let planned = command::read(
        Command::new("apt-get")
            .args(["update", "--print-uris", "-o"])
            .arg(format!("Dir::State::lists={}", empty_lists.display())),
    )?;
    let planned = planned.lines().filter_map(|line| line.strip_prefix('\'')?.split_once("/InRelease'"));
    let planned = planned.filter_map(|(uri, _)| uri.rsplit_once("/dists/"));
    match planned.clone().find(|(_, suite)| SUITES.contains(suite)) {
        Some((uri, _)) => Ok(uri.to_owned()),
        None => Err("apt's sources name no mirror of Debian (is this another distribution?)".into()),
    }
}

/// apt's configuration: everything that is state lies in `work`; how to reach the network is the system's.
fn configuration(work: &Path) -> Result<String, Failure> {
    let system = command::read(Command::new("apt-config").arg("dump").arg("Acquire"))?;
    let network =
        ["http", "https", "ftp", "Retries", "ForceIPv4", "ForceIPv6", "Check-Valid-Until", "Check-Date"];
    let mut text = String::new();
    for line in system.lines() {
        let name = line.strip_prefix("Acquire::").and_then(|rest| rest.split([':', ' ']).next());
        if name.is_some_and(|name| network.contains(&name)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    let work = work.display();
    text.push_str(&format!(
        r#"
Dir::State "{work}";
Dir::State::status "{work}/status";
Dir::Cache "{work}/cache";
Dir::Log "{work}/log";
Dir::Etc::sourcelist "{work}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
Acquire::Languages "none";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
APT::Get::AllowUnauthenticated "false";
// The user _apt of a system's own update may not be able to enter this directory.
APT::Sandbox::User "root";
"#
    ));
    Ok(text)
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))
}
