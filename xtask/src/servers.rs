//! The real Consul and etcd that the tests run against.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::bundle::{Bundle, Probe, SecondSource};
use crate::command;
use crate::project::{self, Project};

const CONSUL: &str = "1.8.7";
const ETCD: &str = "3.5.16";

/// No supported suite has Consul any more, hence the second source.
static CONSUL_BUNDLE: Bundle = Bundle {
    name: "consul",
    suite: "bullseye",
    packages: &[("consul", CONSUL)],
    probes: &[Probe { program: "usr/bin/consul", arg: "version", says: CONSUL }],
    second_source: Some(SecondSource {
        variable: "CONSUL_DEB",
        sha256: "e4e888bba104daba1d9161f49bfc52649a7e4efd45b1a7ead5bc54f2cb9c89d9",
    }),
};

static ETCD_BUNDLE: Bundle = Bundle {
    name: "etcd",
    suite: "trixie",
    packages: &[("etcd-server", ETCD), ("etcd-client", ETCD)],
    probes: &[
        Probe { program: "usr/bin/etcd", arg: "--version", says: ETCD },
        Probe { program: "usr/bin/etcdctl", arg: "version", says: ETCD },
    ],
    second_source: None,
};

/// A binary that the tests need, and the ways to get it.
struct Binary {
    name: &'static str,
    variable: &'static str,
    version: &'static str,
    version_arg: &'static str,
    bundle: &'static Bundle,
}

static BINARIES: [Binary; 3] = [
    Binary {
        name: "consul",
        variable: "CONSUL_BIN",
        version: CONSUL,
        version_arg: "version",
        bundle: &CONSUL_BUNDLE,
    },
    Binary {
        name: "etcd",
        variable: "ETCD_BIN",
        version: ETCD,
        version_arg: "--version",
        bundle: &ETCD_BUNDLE,
    },
    Binary {
        name: "etcdctl",
        variable: "ETCDCTL_BIN",
        version: ETCD,
        version_arg: "version",
        bundle: &ETCD_BUNDLE,
    },
];

/// Where the servers' binaries are.
pub struct Servers(Vec<(&'static str, PathBuf)>);

impl Servers {
    /// The variables that the test harness reads, with the paths.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.0.iter().map(|(variable, path)| (*variable, path.as_path()))
    }
}

/// Finds or brings every binary: its variable, PATH if it is the very version, `target/servers`, the mirror.
pub fn provide(project: &Project) -> Result<Servers, Failure> {
    let found = BINARIES.iter().map(|binary| Ok((binary.variable, binary.provide(project)?)));
    found.collect::<Result<_, Failure>>().map(Servers)
}

impl Binary {
    fn provide(&self, project: &Project) -> Result<PathBuf, Failure> {
        let Binary { name, variable, version, .. } = self;
        if let Some(path) = std::env::var_os(variable).map(PathBuf::from) {
            if !project::is_executable(&path) {
                return Err(format!("{variable}={} is not an executable file", path.display()));
            }
            if !self.is_wanted(&path)? {
                println!(
                    "{name}: {variable} is used as it is, but the tests are written for version {version}"
                );
            }
            return std::path::absolute(&path).map_err(|e| format!("{variable}={}: {e}", path.display()));
        }
        if let Some(path) = project::in_path(name) {
            if self.is_wanted(&path)? {
                return Ok(path);
            }
            println!(
                "{name}: the one in PATH is not version {version}; set {variable} to use it all the same"
            );
        }
        match self.bundle.provide(project) {
            Ok(dir) => Ok(dir.join("usr/bin").join(name)),
            Err(failure) => Err(format!("{failure}\n{}", instructions())),
        }
    }

    fn is_wanted(&self, path: &Path) -> Result<bool, Failure> {
        let said = command::read(Command::new(path).arg(self.version_arg))?;
        Ok(said.split_whitespace().any(|word| word.trim_start_matches('v') == self.version))
    }
}

/// For a system where Debian's packages are out of reach.
fn instructions() -> String {
    let mut text = String::from("Provide what is missing, for this system and architecture, and name it:");
    for Binary { name, variable, version, .. } in &BINARIES {
        text.push_str(&format!("\n  {variable:<12} the path of `{name}`, version {version}"));
    }
    text
}
