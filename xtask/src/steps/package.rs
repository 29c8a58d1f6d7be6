//! A step whose work is a cargo package of its own, with a build of its own.

use std::ffi::OsStr;
use std::path::Path;

use crate::Failure;
use crate::command;
use crate::project::Project;

/// Where the package is, and how it is run.
pub struct Package {
    /// Relative to the root.
    pub dir: &'static str,
    /// cargo's arguments, called in that directory.
    pub args: &'static [&'static str],
}

impl Package {
    /// Runs it with these variables set, and returns what it printed.
    pub fn run<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        &self,
        project: &Project,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Result<String, Failure> {
        let dir = project.root.join(self.dir);
        if !dir.join("Cargo.toml").is_file() {
            return Err(format!(
                "{}: there is no such package; this step has nothing to run",
                self.manifest()
            ));
        }
        let mut cargo = project.cargo(self.args.iter().copied());
        command::tee(cargo.current_dir(&dir).envs(variables))
    }

    fn manifest(&self) -> String {
        Path::new(self.dir).join("Cargo.toml").display().to_string()
    }
}
