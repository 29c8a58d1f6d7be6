//! valgrind, for instruction counts: the machine's own, or Debian's package unpacked under `target/servers`.

use std::path::PathBuf;
use std::process::Command;

use crate::Failure;
use crate::bundle::{Bundle, Probe};
use crate::command;
use crate::project::{self, Project};

static BUNDLE: Bundle = Bundle {
    name: "valgrind",
    suite: "trixie",
    packages: &[("valgrind", "3.")],
    probes: &[Probe { program: "usr/bin/valgrind.bin", arg: "--version", says: "valgrind-3." }],
    second_source: None,
};

/// How to run it.
pub struct Valgrind {
    program: PathBuf,
    /// Where its tools are, if not where it was built to look.
    lib: Option<PathBuf>,
}

/// Finds or brings it: `VALGRIND_BIN`, PATH, `target/servers`, the mirror.
pub fn provide(project: &Project) -> Result<Valgrind, Failure> {
    let own = std::env::var_os("VALGRIND_BIN").map(PathBuf::from);
    if let Some(program) = own.or_else(|| project::in_path("valgrind")) {
        return Ok(Valgrind { program, lib: None });
    }
    match BUNDLE.provide(project) {
        // `usr/bin/valgrind` is a script around this one, for a system's own debug libraries.
        Ok(dir) => Ok(Valgrind {
            program: dir.join("usr/bin/valgrind.bin"),
            lib: Some(dir.join("usr/libexec/valgrind")),
        }),
        Err(failure) => {
            Err(format!("{failure}\nInstall valgrind 3.19 or later, or name it in VALGRIND_BIN."))
        }
    }
}

impl Valgrind {
    /// What a program that runs valgrind itself has to find in its environment.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        let lib = self.lib.clone().map(|lib| ("VALGRIND_LIB", lib));
        std::iter::once(("VALGRIND_BIN", self.program.clone())).chain(lib)
    }

    /// Ready for valgrind's own arguments and then the program to count.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.envs(self.variables());
        command
    }
}

/// `cargo xtask valgrind [ARGS]`: runs it in the project's root, or prints how to.
pub fn command_line(project: &Project, args: &[&str]) -> Result<(), Failure> {
    let valgrind = provide(project)?;
    if !args.is_empty() {
        return command::run(valgrind.command().args(args).current_dir(&project.root));
    }
    for (variable, path) in valgrind.variables() {
        println!("{variable}={}", path.display());
    }
    command::run(valgrind.command().arg("--version"))
}
