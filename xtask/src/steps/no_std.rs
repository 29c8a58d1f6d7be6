//! The core without a standard library: linked, run, and looked through for what must not be there.

use std::process::Command;

use super::listing::Listing;
use super::package::Package;
use super::{Outcome, Step};
use crate::Failure;
use crate::command;

const PROOF: Package = Package { dir: "nostd-proof", args: &["build", "--release"] };
/// The functions that must have no way to a panic, by the beginning of their names, and how many there are at least.
const HOT: (&str, usize) = ("hot_", 15);
/// Fall short still: paths that no caller can reach, and that the compiler could not rule out.
const KNOWN: [(&str, &str); 0] = [];
/// Have on purpose what no hot function may: a check that misses them shows nothing.
const PANICS: &str = "control_panics";
const COMPUTES: &str = "control_computes";
/// In the names of symbols that no part of the program may have.
const FOREIGN: [&str; 8] =
    ["alloc::", "std::", "__rust_alloc", "__rdl_", "malloc", "__libc", "pthread", "_Unwind"];

pub const STEP: Step = Step {
    name: "no-std",
    about: "a program without libc and allocator links the core and resolves; its hot functions cannot panic or use floats",
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
        // The disassembly has the functions only; a static could be foreign too.
        let symbols = command::read(Command::new("nm").arg("--demangle").arg(&program))?;
        foreign(symbols.lines())?;
        let listing = Listing::of(&program)?;
        println!(
            "{} symbols, {} functions in the program:",
            symbols.lines().count(),
            listing.names().count()
        );
        judge(&listing)?;
        Ok(Outcome::Passed)
    },
};

fn foreign<'a>(mut symbols: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    match symbols.find(|symbol| FOREIGN.iter().any(|foreign| symbol.contains(foreign))) {
        Some(symbol) => Err(format!("{symbol} is in the program")),
        None => Ok(()),
    }
}

fn judge(listing: &Listing) -> Result<(), Failure> {
    let hot: Vec<&String> = listing.names().filter(|name| name.starts_with(HOT.0)).collect();
    if hot.len() < HOT.1 {
        return Err(format!("only {} functions are named {}*: {hot:?}", hot.len(), HOT.0));
    }
    if listing.unwanted(PANICS).is_none() {
        return Err(format!("the panic path of {PANICS} was not seen: this check shows nothing"));
    }
    if listing.float(COMPUTES).is_none() {
        return Err(format!("the floating point of {COMPUTES} was not seen: this check shows nothing"));
    }
    listing.judge(&hot, &KNOWN)
}

#[cfg(test)]
mod tests {
    use super::foreign;

    #[test]
    fn a_foreign_symbol_is_refused() {
        let own = ["0000000000201000 T hot_resolve", "0000000000201020 t resolver_core::name::fold"];
        assert!(foreign(own.into_iter()).is_ok());
        assert!(foreign(own.into_iter().chain(["0000000000203000 T __rust_alloc"])).is_err());
    }
}
