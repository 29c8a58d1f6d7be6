//! Instructions of one call on the hot path, by callgrind: the same number on every run and machine, so a rise by one
//! fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{Outcome, Step};
use crate::Failure;
use crate::command;
use crate::project::Project;
use crate::valgrind::{self, Valgrind};

/// Calls that `probes` makes in one run.
const CALLS: u64 = 1000;
/// Does twice the work of the probe whose budget must refuse it.
const CONTROL: &str = "control";
const CONTROLLED: &str = "resolve";

pub const STEP: Step = Step {
    name: "budgets",
    about: "no call on the hot path takes more instructions than benches/budgets.txt has for it",
    run: |project| {
        command::run(&mut project.cargo([
            "build",
            "--release",
            "--package",
            "resolver-benches",
            "--bin",
            "probes",
        ]))?;
        let file = project.root.join("benches/budgets.txt");
        let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let budgets = parse(&text)?;
        let valgrind = valgrind::provide(project)?;
        let probes = project.target.join("release/probes");
        let mut counts = BTreeMap::new();
        for name in command::read(&mut std::process::Command::new(&probes))?.split_whitespace() {
            counts.insert(name.to_owned(), count(project, &valgrind, &probes, name)?);
        }
        let control = counts.remove(CONTROL).ok_or("the probes have no control")?;
        let broken = BTreeMap::from([(CONTROLLED.to_owned(), control)]);
        let only = budgets.iter().filter(|budget| budget.name == CONTROLLED).cloned().collect::<Vec<_>>();
        if judge(&only, &broken).is_ok() {
            return Err(format!(
                "the control ({control} instructions) was not refused: this gate shows nothing"
            ));
        }
        print(&budgets, &counts);
        println!("control: {control} instructions in place of {CONTROLLED} were refused, as they must be");
        judge(&budgets, &counts).map(|()| Outcome::Passed)
    },
};

/// A line of the file.
#[derive(Clone, Debug, PartialEq)]
struct Budget {
    name: String,
    budget: u64,
    target: Option<u64>,
}

fn parse(text: &str) -> Result<Vec<Budget>, Failure> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let budgets = lines.map(|line| {
        let [name, budget, target] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        let target = if target == "-" { None } else { Some(target.parse().ok()?) };
        Some(Budget { name: name.to_owned(), budget: budget.parse().ok()?, target })
    });
    budgets
        .collect::<Option<_>>()
        .ok_or_else(|| "benches/budgets.txt: not lines of PROBE BUDGET TARGET".into())
}

/// Instructions of one call, rounded up: now and then a call does more (a publication that looks for room).
fn count(project: &Project, valgrind: &Valgrind, probes: &Path, name: &str) -> Result<u64, Failure> {
    let out = project.target.join(format!("callgrind.{name}"));
    let mut run = valgrind.command();
    run.args(["--quiet", "--tool=callgrind"]);
    run.arg(format!("--callgrind-out-file={}", out.display()));
    run.arg(format!("--toggle-collect=*probe_{name}*"));
    command::read(run.arg(probes).arg(name))?;
    let text = fs::read_to_string(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<u64>().ok());
    match total {
        Some(total) if total >= CALLS => Ok(total.div_ceil(CALLS)),
        _ => Err(format!("{}: no count of probe_{name}: was it inlined or renamed?", out.display())),
    }
}

fn print(budgets: &[Budget], counts: &BTreeMap<String, u64>) {
    println!("{:<10} {:>8} {:>8} {:>8}", "probe", "counted", "budget", "target");
    for budget in budgets {
        let counted = counts.get(&budget.name).map_or("-".into(), u64::to_string);
        let target = budget.target.map_or("-".into(), |target| target.to_string());
        let short = budget.target.is_some_and(|target| counts.get(&budget.name).is_some_and(|n| *n > target));
        let note = if short { "  over the target" } else { "" };
        println!("{:<10} {counted:>8} {:>8} {target:>8}{note}", budget.name, budget.budget);
    }
}

/// Every count has a budget and stays within it; every budget has a count.
fn judge(budgets: &[Budget], counts: &BTreeMap<String, u64>) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    for budget in budgets {
        match counts.get(&budget.name) {
            None => wrong.push(format!("{}: no probe has this name", budget.name)),
            Some(n) if *n > budget.budget => {
                wrong.push(format!("{}: {n} instructions, and its budget is {}", budget.name, budget.budget));
            }
            Some(n) if *n < budget.budget => {
                println!("{}: {n} instructions, less than its budget: record it", budget.name);
            }
            Some(_) => {}
        }
    }
    for name in counts.keys().filter(|name| budgets.iter().all(|budget| budget.name != **name)) {
        wrong.push(format!("{name}: it has no budget"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("benches/budgets.txt: {}", wrong.join("; "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_a_missing_probe_and_a_missing_budget_are_refused() {
        let budgets = parse("# probe budget target\nresolve 36 32\nfloor 16 -\n").expect("two lines");
        assert_eq!(budgets[0], Budget { name: "resolve".into(), budget: 36, target: Some(32) });
        let counts =
            |resolve, floor| BTreeMap::from([("resolve".to_owned(), resolve), ("floor".to_owned(), floor)]);
        assert_eq!(judge(&budgets, &counts(36, 16)), Ok(()));
        assert_eq!(judge(&budgets, &counts(30, 16)), Ok(()));
        assert!(judge(&budgets, &counts(37, 16)).is_err());
        assert!(judge(&budgets[..1], &counts(36, 16)).is_err());
        assert!(judge(&budgets, &BTreeMap::from([("resolve".to_owned(), 36)])).is_err());
        assert!(parse("resolve 36").is_err());
    }
}
