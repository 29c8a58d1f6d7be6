//! The C ABI's hot functions in the release library itself: none leads to a panic, and each keeps to its budget of
//! instructions.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::listing::{ANYWHERE, Listing};
use super::{Outcome, Step};
use crate::Failure;
use crate::command;
use crate::project::Project;
use crate::valgrind::{self, Valgrind};

/// What does not pay for catching panics. The getters of settings come to these: two that are alike may share their code.
const HOT: [&str; 9] = [
    "resolver_cached_resolve",
    "resolver_epoch",
    "resolver_is_current",
    "resolver_pick",
    "resolver_pick_less_loaded",
    "resolver_pick_where",
    "resolver_resolve",
    "resolver_resolve_address",
    "resolver_resolve_fresh",
];
const GETTERS: &str = "resolver_get_";
/// Leads to panics, which it catches: a check that does not see them shows nothing.
const CONTROL: &str = "resolver_open_with_message";
/// Calls whose target is computed: a picker asks for one of two tables by a function that reads one field, and a value of
/// bytes is copied by the C library's `memcpy`. Where the caller has a say, it is the caller's function.
const COMPUTED: [&str; 4] =
    ["resolver_pick", "resolver_pick_less_loaded", "resolver_pick_where", "resolver_get_bytes"];
/// Where unwinding ends the program. Nothing comes there but a panic, and those are what is looked for.
const PAD: &str = "core::panicking::panic_cannot_unwind";
/// Calls that `count.c` makes in one run.
const CALLS: u64 = 1000;

pub const STEP: Step = Step {
    name: "c-abi",
    about: "the C ABI's hot functions lead to no panic, and take no more instructions than resolver-ffi/budgets.txt has",
    run: |project| {
        if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
            return Ok(Outcome::NotRun("it reads and counts x86-64 code"));
        }
        command::run(&mut project.cargo(["build", "--release", "--package", "resolver-ffi"]))?;
        judge_panics(&Listing::of(&project.target.join("release/libresolver_ffi.so"))?)?;
        judge_budgets(project).map(|()| Outcome::Passed)
    },
};

fn judge_panics(listing: &Listing) -> Result<(), Failure> {
    if panics(listing, CONTROL).is_empty() {
        return Err(format!("the panics of {CONTROL} were not seen: this check shows nothing"));
    }
    let names: BTreeSet<&str> = listing.names().map(String::as_str).collect();
    if let Some(missing) = HOT.iter().find(|name| !names.contains(*name)) {
        return Err(format!("the library has no {missing}"));
    }
    let getters: Vec<&str> = names.iter().filter(|name| name.starts_with(GETTERS)).copied().collect();
    if getters.is_empty() {
        return Err(format!("the library has no {GETTERS}*"));
    }
    for name in HOT.into_iter().chain(getters) {
        let found = panics(listing, name);
        if !found.is_empty() {
            return Err(format!("{name} leads to {found:?}"));
        }
        let computed = listing.reached_but_through(name, PAD).contains(ANYWHERE);
        if computed && !COMPUTED.contains(&name) {
            return Err(format!("{name} leads to {ANYWHERE}"));
        }
        let note = if computed { "; calls an address that is computed, as is known" } else { "" };
        println!("  {name}: no panic{note}");
    }
    Ok(())
}

fn panics<'l>(listing: &'l Listing, name: &str) -> Vec<&'l str> {
    let reached = listing.reached_but_through(name, PAD);
    reached.into_iter().filter(|name| name.contains("panic") && *name != PAD || *name == "ud2").collect()
}

fn judge_budgets(project: &Project) -> Result<(), Failure> {
    let root = project.root.join("resolver-ffi");
    let work = project.target.join("c-abi");
    fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    // In a directory that its owner makes itself: one with another mode would be refused.
    let segment = work.join("segment/main.seg");
    let text =
        |path: &Path| path.to_str().map(str::to_owned).ok_or("the target directory's path is not UTF-8");
    // In the profile of the tests, where all that examples are built with is built already.
    let publish =
        ["run", "--quiet", "--package", "resolver-ffi", "--example", "publish", "--", &text(&segment)?];
    command::run(&mut project.cargo(publish))?;
    let program = compile(project, &root, &work)?;
    let valgrind = valgrind::provide(project)?;

    let file = root.join("budgets.txt");
    let budgets = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let mut over = Vec::new();
    println!("{:<12} {:>8} {:>8} {:>8}", "function", "counted", "budget", "rust");
    for line in budgets.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let [name, symbol, budget, rust] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(format!("{}: `{line}` is not FUNCTION SYMBOL BUDGET RUST", file.display()));
        };
        let budget: u64 = budget.parse().map_err(|e| format!("{}: `{line}`: {e}", file.display()))?;
        let counted = count(&valgrind, &work, &program, &segment, name, symbol)?;
        println!("{name:<12} {counted:>8} {budget:>8} {rust:>8}");
        if counted > budget {
            over.push(format!("{name}: {counted} instructions, and its budget is {budget}"));
        }
    }
    if over.is_empty() { Ok(()) } else { Err(format!("{}: {}", file.display(), over.join("; "))) }
}

fn compile(project: &Project, root: &Path, work: &Path) -> Result<PathBuf, Failure> {
    let program = work.join("count");
    let mut compile = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compile
        .args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
        .arg(root.join("include"));
    compile.arg(root.join("examples/count.c")).arg(project.target.join("release/libresolver_ffi.a"));
    compile.args(["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc", "-o"]).arg(&program);
    command::run(&mut compile).map_err(|e| format!("{e}\nThis wants a C compiler: apt-get install gcc."))?;
    Ok(program)
}

/// Instructions of one call, rounded up.
fn count(
    valgrind: &Valgrind,
    work: &Path,
    program: &Path,
    segment: &Path,
    name: &str,
    symbol: &str,
) -> Result<u64, Failure> {
    let out = work.join(format!("callgrind.{name}"));
    let mut run = valgrind.command();
    run.args(["--quiet", "--tool=callgrind"]).arg(format!("--callgrind-out-file={}", out.display()));
    run.arg(format!("--toggle-collect={symbol}"));
    command::read(run.arg(program).arg(segment).arg(name))?;
    let text = fs::read_to_string(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<u64>().ok());
    match total {
        Some(total) if total >= CALLS => Ok(total.div_ceil(CALLS)),
        _ => Err(format!("{}: no count of {symbol}", out.display())),
    }
}
