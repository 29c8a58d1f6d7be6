//! `cargo xtask fuzz`: libFuzzer with AddressSanitizer over the targets of `fuzz/`, a fixed time or a number of inputs for each. What reaches new
//! code is kept in `fuzz/corpus`, which `cargo xtask test fuzz` replays.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Failure;
use crate::nightly::Sanitized;
use crate::project::Project;

const TARGETS: [&str; 3] = ["attach", "name", "record"];
/// Has a fault that the fuzzer must find.
const CONTROL: &str = "planted";
/// As `cargo fuzz` has them: coverage and comparisons for the fuzzer, overflow checks, and the sanitizer.
const BUILD: Sanitized = Sanitized {
    package: "fuzz",
    args: &["--features", "libfuzzer", "--bins"],
    flags: &[
        "--cfg fuzzing",
        "-Zsanitizer=address",
        "-Cpasses=sancov-module",
        "-Cllvm-args=-sanitizer-coverage-level=4",
        "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
        "-Cllvm-args=-sanitizer-coverage-pc-table",
        "-Cllvm-args=-sanitizer-coverage-trace-compares",
        "-Cllvm-args=-sanitizer-coverage-stack-depth",
        "-Cdebug-assertions",
        "-Ccodegen-units=1",
    ],
    directory: "fuzzer",
};

/// When a target has had enough.
#[derive(Clone, Copy)]
pub enum Limit {
    Seconds(u64),
    /// Inputs.
    Runs(u64),
}

/// Runs the targets that are named, or all, as long as that each.
pub fn run(project: &Project, limit: Limit, names: &[&str]) -> Result<(), Failure> {
    if let Some(unknown) = names.iter().find(|name| !TARGETS.contains(name)) {
        return Err(format!("no fuzz target is named `{unknown}`; there are {}", TARGETS.join(", ")));
    }
    let programs = BUILD.build(project)?;
    control(project, &programs.join(CONTROL))?;
    for name in TARGETS.iter().filter(|name| names.is_empty() || names.contains(name)) {
        target(project, &programs.join(name), name, limit)?;
    }
    Ok(())
}

/// The planted fault: memory that is lost after an input that only a fuzzer which follows comparisons makes.
fn control(project: &Project, program: &Path) -> Result<(), Failure> {
    let artifacts = project.target.join("fuzzer/planted/");
    make(&artifacts)?;
    let (found, said) = fuzz(program, &artifacts, &["-max_total_time=60"], &[])?;
    if found || !said.contains("leaked in 1 allocation") {
        return Err(format!("the planted fault was not found: the fuzzer shows nothing\n{}", end(&said)));
    }
    println!("{CONTROL}: the control's fault was found, as it must be");
    Ok(())
}

fn target(project: &Project, program: &Path, name: &str, limit: Limit) -> Result<(), Failure> {
    let kept = project.root.join("fuzz/corpus").join(name);
    let work = project.target.join("fuzzer/corpus").join(name);
    let artifacts = project.root.join("fuzz/artifacts").join(name).join("");
    make(&work)?;
    make(&artifacts)?;
    let limit = match limit {
        Limit::Seconds(seconds) => format!("-max_total_time={seconds}"),
        Limit::Runs(runs) => format!("-runs={runs}"),
    };
    let (passed, said) = fuzz(program, &artifacts, &[&limit, "-timeout=10"], &[&work, &kept])?;
    if !passed {
        return Err(format!(
            "{name}: the fuzzer found a fault; its input is in {}. Keep it in fuzz/corpus/{name} with the repair.\n{}",
            artifacts.display(),
            end(&said)
        ));
    }
    let before = files(&kept)?;
    // By edges alone: with counters it would keep some thousand inputs.
    let (merged, merging) = fuzz(program, &artifacts, &["-merge=1", "-use_counters=0"], &[&kept, &work])?;
    if !merged {
        return Err(format!("{name}: the corpus could not be merged\n{}", end(&merging)));
    }
    let last = |word: &str| {
        said.lines().rev().find(|line| line.contains(word)).unwrap_or_default().trim().to_owned()
    };
    println!("{name}: {}; {}", last("Done "), last("cov: "));
    println!("{name}: {} inputs in fuzz/corpus/{name}, {before} before", files(&kept)?);
    Ok(())
}

/// Whether it ended well, and what it said.
fn fuzz(
    program: &Path,
    artifacts: &Path,
    args: &[&str],
    corpora: &[&Path],
) -> Result<(bool, String), Failure> {
    let mut command = Command::new(program);
    command.args(args).arg(format!("-artifact_prefix={}", artifacts.display())).args(corpora);
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("{} cannot be started: {e}", program.display()))?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn make(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory).map_err(|e| format!("{} cannot be made: {e}", directory.display()))
}

fn files(directory: &Path) -> Result<usize, Failure> {
    let entries = fs::read_dir(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    Ok(entries.count())
}

/// What it said of a fault: from the panic or the sanitizer's report on; else its last words.
fn end(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let fault = lines.iter().position(|line| line.contains("panicked at") || line.contains("ERROR: "));
    let start = fault.unwrap_or(lines.len().saturating_sub(20));
    lines[start..].iter().take(20).copied().collect::<Vec<_>>().join("\n")
}
