//! The core without a standard library: linked, run, and looked through for what must not be there.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::package::Package;
use super::{Outcome, Step};
use crate::Failure;
use crate::command;

const PROOF: Package = Package { dir: "nostd-proof", args: &["build", "--release"] };
/// The functions that must have no way to a panic, by the beginning of their names, and how many there are at least.
const HOT: (&str, usize) = ("hot_", 5);
/// Has a panic path on purpose: a check that misses it shows nothing.
const CONTROL: &str = "control_panics";
/// In the names of symbols that no part of the program may have.
const FOREIGN: [&str; 8] =
    ["alloc::", "std::", "__rust_alloc", "__rdl_", "malloc", "__libc", "pthread", "_Unwind"];

pub const STEP: Step = Step {
    name: "no-std",
    about: "a program without libc and allocator links the core and resolves; no panic path in the hot functions",
    run: |project| {
        if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
            return Ok(Outcome::NotRun("the program is written for x86-64 Linux"));
        }
        PROOF.run(project, [("CARGO_TARGET_DIR", project.target.join("nostd-proof"))])?;
        let program = project.target.join("nostd-proof/release/nostd-proof");
        // 1 is a wrong answer, 2 a panic.
        command::run(&mut Command::new(&program))?;
        let undefined = command::read(Command::new("nm").arg("--undefined-only").arg(&program))?;
        if !undefined.trim().is_empty() {
            return Err(format!("symbols from elsewhere: {undefined}"));
        }
        let listing =
            command::read(Command::new("objdump").args(["-d", "-C", "--no-show-raw-insn"]).arg(&program))?;
        let calls = calls(&listing);
        println!("{} functions in the program:", calls.len());
        judge(&calls)?;
        Ok(Outcome::Passed)
    },
};

/// Each function of a disassembly, with what it calls or jumps to.
fn calls(listing: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut calls: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut function = String::new();
    for line in listing.lines() {
        if let Some((_, name)) = line.split_once(" <").filter(|_| line.ends_with(">:")) {
            function = name.trim_end_matches(">:").to_owned();
            calls.entry(function.clone()).or_default();
            continue;
        }
        let Some((_, instruction)) = line.split_once(":\t") else { continue };
        let mut parts = instruction.split_whitespace();
        let operation = parts.next().unwrap_or_default();
        if !operation.starts_with("call") && !operation.starts_with('j') {
            continue;
        }
        // `<function>` or `<function+0x12>`, which is the function itself unless it fell into another one.
        let target = match instruction.split_once('<') {
            Some((_, target)) => {
                let target = target.trim_end().trim_end_matches('>');
                target.rsplit_once("+0x").map_or(target, |(name, _)| name)
            }
            None => "an address that is computed",
        };
        if target != function {
            calls.entry(function.clone()).or_default().insert(target.to_owned());
        }
    }
    calls
}

fn judge(calls: &BTreeMap<String, BTreeSet<String>>) -> Result<(), Failure> {
    if let Some(name) = calls.keys().find(|name| FOREIGN.iter().any(|foreign| name.contains(foreign))) {
        return Err(format!("{name} is in the program"));
    }
    let hot: Vec<&String> = calls.keys().filter(|name| name.starts_with(HOT.0)).collect();
    if hot.len() < HOT.1 {
        return Err(format!("only {} functions are named {}*: {hot:?}", hot.len(), HOT.0));
    }
    if unwanted(calls, CONTROL).is_none() {
        return Err(format!("the panic path of {CONTROL} was not seen: this check shows nothing"));
    }
    for name in hot {
        if let Some(found) = unwanted(calls, name) {
            return Err(format!("{name} leads to {found}"));
        }
        println!("  {name}: calls {:?}, and no panic", reached(calls, name));
    }
    Ok(())
}

/// What a function leads to that is not the core's own.
fn unwanted(calls: &BTreeMap<String, BTreeSet<String>>, from: &str) -> Option<String> {
    let known = |name: &String| name.starts_with("resolver_core::") && calls.contains_key(name);
    reached(calls, from).into_iter().find(|name| !known(name) || name.contains("panic"))
}

fn reached(calls: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(name) = open.pop() {
        for target in calls.get(&name).into_iter().flatten() {
            if reached.insert(target.clone()) {
                open.push(target.clone());
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_followed_through_the_core_and_nothing_else() {
        let listing = "\
0000000000201000 <hot_resolve>:
  201000:\tcmp    %rax,0x8(%rdi)
  201004:\tjae    201010 <hot_resolve+0x10>
  201006:\tcall   201020 <resolver_core::reader::Reader::head_again>
  20100b:\tret

0000000000201020 <resolver_core::reader::Reader::head_again>:
  201020:\tjmp    201040 <core::panicking::panic_bounds_check>

0000000000201030 <other>:
  201030:\tcall   *0x10(%rax)

0000000000201040 <core::panicking::panic_bounds_check>:
  201040:\tud2
";
        let calls = calls(listing);
        assert_eq!(calls.len(), 4);
        assert_eq!(unwanted(&calls, "hot_resolve").as_deref(), Some("core::panicking::panic_bounds_check"));
        assert_eq!(unwanted(&calls, "other").as_deref(), Some("an address that is computed"));
        assert_eq!(unwanted(&calls, "core::panicking::panic_bounds_check"), None);
        assert!(judge(&calls).is_err());
    }
}
