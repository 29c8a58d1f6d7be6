//! Where the project is, and how its cargo is called.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;

/// The workspace and its target directory.
pub struct Project {
    /// The directory that holds the workspace's Cargo.toml.
    pub root: PathBuf,
    /// `CARGO_TARGET_DIR`, or `target` in the root.
    pub target: PathBuf,
}

impl Project {
    /// Finds the workspace: beside this package as cargo names it, else upwards from the current directory.
    pub fn find() -> Result<Project, Failure> {
        let here =
            std::env::current_dir().map_err(|e| format!("the current directory cannot be read: {e}"))?;
        let start = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| here.clone(), |dir| here.join(dir));
        let is_root = |dir: &&Path| dir.join("xtask/Cargo.toml").is_file();
        let root = start.ancestors().find(is_root).or_else(|| here.ancestors().find(is_root));
        let root =
            root.ok_or("this is not a directory of the project: run `cargo xtask` inside of it")?.to_owned();
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| here.join(dir));
        Ok(Project { root, target })
    }

    /// The cargo that runs this program, in the root.
    pub fn cargo<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(args).current_dir(&self.root);
        command
    }
}

/// The first executable file of this name in PATH.
pub fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

/// Whether this is a file that somebody may execute.
pub fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
