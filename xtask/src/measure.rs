//! `cargo xtask faults`, `scale`, `lag`: the programs of `tests/src/bin` that measure, in release, with the real servers.
//! Their own `--help` has their options.

use std::process::Command;

use crate::Failure;
use crate::command;
use crate::project::Project;
use crate::servers;

/// What can be run.
pub const PROGRAMS: [&str; 3] = ["faults", "scale", "lag"];

pub fn run(project: &Project, program: &str, arguments: &[&str]) -> Result<(), Failure> {
    let servers = servers::provide(project)?;
    // With the agent that they start.
    let packages = ["--package", "resolver-cli", "--package", "resolver-tests"];
    command::run(project.cargo(["build", "--release", "--bins"]).args(packages))?;
    let mut program = Command::new(project.target.join("release").join(program));
    command::run(program.args(arguments).envs(servers.variables()))
}
