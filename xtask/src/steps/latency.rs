//! The latency report: it must be what its figures, its template and the recorded budgets give, so that text and figures
//! cannot drift apart.

use super::{Outcome, Step};
use crate::command;

pub const STEP: Step = Step {
    name: "latency",
    about: "docs/latency.md and its plots are what the figures in docs/latency and the recorded budgets give",
    run: |project| {
        let report = ["run", "--quiet", "--package", "resolver-benches", "--bin", "report", "--", "--check"];
        command::run(&mut project.cargo(report))?;
        Ok(Outcome::Passed)
    },
};
