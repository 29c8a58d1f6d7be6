//! The nightly toolchain, for what stable does not have: sanitizers. Only the commands that ask for it need it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::command;
use crate::project::Project;

/// Sanitizers are built for a target by name, so that build scripts are not.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A build with flags of its own, in a directory of its own under `target/`.
pub struct Sanitized {
    /// Where the package is, relative to the root.
    pub package: &'static str,
    /// cargo's arguments after `build`.
    pub args: &'static [&'static str],
    /// RUSTFLAGS.
    pub flags: &'static [&'static str],
    /// Its directory under `target/`.
    pub directory: &'static str,
}

impl Sanitized {
    /// Builds it; gives the directory of the programs.
    pub fn build(&self, project: &Project) -> Result<PathBuf, Failure> {
        present()?;
        let target = project.target.join(self.directory);
        let mut cargo = Command::new("rustup");
        cargo.args(["run", "nightly", "cargo", "build", "--release", "--target", TARGET]).args(self.args);
        cargo.current_dir(project.root.join(self.package));
        // Of the stable toolchain that runs this program.
        cargo
            .env_remove("CARGO")
            .env_remove("RUSTC")
            .env_remove("RUSTDOC")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        cargo.env("RUSTFLAGS", self.flags.join(" ")).env("CARGO_TARGET_DIR", &target);
        command::run(&mut cargo)?;
        Ok(target.join(Path::new(TARGET)).join("release"))
    }
}

fn present() -> Result<(), Failure> {
    let version = command::read(Command::new("rustup").args(["run", "nightly", "rustc", "--version"]));
    let version = version.map_err(|failure| {
        format!("{failure}\nThis command wants nightly Rust: `rustup toolchain install nightly --profile minimal`.")
    })?;
    println!("{}", version.trim());
    Ok(())
}
