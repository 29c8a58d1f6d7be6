//! The workspace's own tests, and those of them that only root can run.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use super::{Outcome, Step, passed_tests};
use crate::Failure;
use crate::command;
use crate::project::Project;
use crate::servers;

/// The beginning of the names of tests that need root.
const MARK: &str = "privileged_";

pub const TESTS: Step = Step {
    name: "tests",
    about: "unit tests, documentation tests, and integration tests on real servers",
    run: |project| {
        let mut tests = prepared(project, &["test", "--workspace", "--no-fail-fast", "--", "--skip", MARK])?;
        command::run(&mut tests)?;
        Ok(Outcome::Passed)
    },
};

pub const PRIVILEGED: Step = Step {
    name: "privileged",
    about: "integration tests that need root: namespaces, real-time priority, foreign owners",
    run: |project| {
        if !is_root() {
            let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
            return if required {
                Err("CI=true requires the privileged tests: run as root".into())
            } else {
                Ok(Outcome::NotRun("needs root"))
            };
        }
        // The whole workspace: the very build of the step before.
        let mut tests = prepared(project, &["test", "--workspace", "--tests", "--no-fail-fast", "--", MARK])?;
        if passed_tests(&command::tee(&mut tests)?) == 0 {
            return Err(format!("no test whose name begins with {MARK} was run"));
        }
        Ok(Outcome::Passed)
    },
};

/// cargo with these arguments, when what integration tests start is in place: the servers and the `resolver` binary.
fn prepared(project: &Project, args: &[&str]) -> Result<Command, Failure> {
    let servers = servers::provide(project)?;
    // With the tests, so that dependencies get the same features and are built once: alone, the binary would have all
    // of them compiled a second time.
    command::run(&mut project.cargo(["build", "--workspace", "--bins", "--tests"]))?;
    let mut command = project.cargo(args.iter().copied());
    command.envs(servers.variables());
    Ok(command)
}

/// By the owner of our own process's directory: the effective user.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}
