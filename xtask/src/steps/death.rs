//! A writer that dies at each instruction of a publication, as compiled for release: the order of its stores is what counts.

use super::{Outcome, Step, passed_tests};
use crate::Failure;
use crate::command;

pub const STEP: Step = Step {
    name: "death",
    about: "a writer single-stepped through its publications, in release: at each instruction readers go on, and so does a new writer",
    run: |project| {
        let mut cargo = project.cargo(["test", "--release", "--package", "resolver-core", "--test", "death"]);
        cargo.args(["--", "--nocapture"]);
        if passed_tests(&command::tee(&mut cargo)?) == 0 {
            return Err(Failure::from("no test was run"));
        }
        Ok(Outcome::Passed)
    },
};
