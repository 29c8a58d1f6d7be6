//! What needs no run of the code: its form, its lints, its documentation.

use super::{Outcome, Step};
use crate::command;

pub const FMT: Step = Step {
    name: "fmt",
    about: "the code has rustfmt's form",
    run: |project| {
        command::run(&mut project.cargo(["fmt", "--all", "--check"]))?;
        Ok(Outcome::Passed)
    },
};

pub const CLIPPY: Step = Step {
    name: "clippy",
    about: "no warning of the compiler or of clippy, tests and benches included",
    run: |project| {
        command::run(&mut project.cargo([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ]))?;
        Ok(Outcome::Passed)
    },
};

pub const DOC: Step = Step {
    name: "doc",
    about: "the documentation builds without a warning",
    run: |project| {
        let mut doc = project.cargo(["doc", "--workspace", "--no-deps"]);
        command::run(doc.env("RUSTDOCFLAGS", "--deny warnings"))?;
        Ok(Outcome::Passed)
    },
};
