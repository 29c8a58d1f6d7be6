//! The steps of `cargo xtask test`.
//!
//! A new step is a module with a `STEP` and a line in [`STEPS`]. One whose work is a cargo package of its own hands
//! that to [`package::Package`]; see `fuzz.rs`, and `Valgrind::variables` for one that counts instructions.

mod budgets;
mod c_abi;
mod death;
mod fuzz;
mod hot_path;
mod latency;
mod lint;
mod listing;
mod loom;
mod no_std;
mod package;
mod tests;

use std::time::{Duration, Instant};

use crate::Failure;
use crate::project::Project;
use crate::servers;

/// One step of the test run.
pub struct Step {
    /// How it is asked for.
    pub name: &'static str,
    /// What it shows, in one line.
    pub about: &'static str,
    /// Does it. What it prints is for a person; what it returns counts.
    pub run: fn(&Project) -> Result<Outcome, Failure>,
}

/// How a step that did not fail ended.
pub enum Outcome {
    Passed,
    /// Why it could not be run here. Never the end of a step that this machine could run.
    NotRun(&'static str),
}

/// Every step, in the order in which they run: cheap ones first.
pub const STEPS: &[Step] = &[
    lint::FMT,
    lint::CLIPPY,
    lint::DOC,
    Step {
        name: "servers",
        about: "the real Consul and etcd are there (under target/servers, or your own)",
        run: |project| servers::provide(project).map(|_| Outcome::Passed),
    },
    tests::TESTS,
    tests::PRIVILEGED,
    death::STEP,
    no_std::STEP,
    hot_path::STEP,
    budgets::STEP,
    c_abi::STEP,
    latency::STEP,
    loom::STEP,
    fuzz::STEP,
];

/// The step of this name.
pub fn named(name: &str) -> Option<&'static Step> {
    STEPS.iter().find(|step| step.name == name)
}

/// Runs the steps that are named (all of them if none is), in the order of [`STEPS`]; a failure stops none of the others.
pub fn run(project: &Project, names: &[&str]) -> Result<(), Failure> {
    let mut results = Vec::new();
    for step in STEPS.iter().filter(|step| names.is_empty() || names.contains(&step.name)) {
        println!("\n== {}: {}", step.name, step.about);
        let start = Instant::now();
        let result = (step.run)(project);
        let time = start.elapsed();
        if let Err(failure) = &result {
            println!("{failure}");
        }
        println!("-- {}: {} in {}", step.name, word(&result), seconds(time));
        results.push((step, time, result));
    }
    println!("\n== summary");
    for (step, time, result) in &results {
        println!("{:<8} {:<12} {:>8}", word(result), step.name, seconds(*time));
    }
    for (step, _, result) in &results {
        if let Ok(Outcome::NotRun(why)) = result {
            println!("NOT RUN: {} ({why})", step.name);
        }
    }
    let count = |wanted| results.iter().filter(|(_, _, result)| word(result) == wanted).count();
    let (passed, failed, skipped) = (count("passed"), count("failed"), count("not run"));
    println!("steps: {passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 {
        return Ok(());
    }
    let names = results.iter().filter(|(_, _, result)| result.is_err()).map(|(step, _, _)| step.name);
    Err(format!("failed: {}", names.collect::<Vec<_>>().join(", ")))
}

fn word(result: &Result<Outcome, Failure>) -> &'static str {
    match result {
        Ok(Outcome::Passed) => "passed",
        Ok(Outcome::NotRun(_)) => "not run",
        Err(_) => "failed",
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// How many tests passed, by the result lines of cargo test's output.
fn passed_tests(output: &str) -> usize {
    let counts = output.lines().filter_map(|line| line.strip_prefix("test result: ")?.split_once(". "));
    counts.filter_map(|(_, counts)| counts.split_once(" passed")?.0.parse::<usize>().ok()).sum()
}

#[cfg(test)]
mod passed {
    use super::passed_tests;

    #[test]
    fn passed_tests_are_added_up_over_the_result_lines() {
        let output = "\nrunning 2 tests\ntest a ... ok\n\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 5 filtered out; finished in 0.00s\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(passed_tests(output), 5);
        assert_eq!(passed_tests("test result: ok. 0 passed; 0 failed;"), 0);
        assert_eq!(passed_tests(""), 0);
    }
}
