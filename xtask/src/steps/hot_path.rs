//! The hot functions as an ordinary program has them, with the standard library and unwinding: the very code whose
//! instructions `budgets` counts.

use super::listing::Listing;
use super::{Outcome, Step};
use crate::Failure;
use crate::command;
use crate::project::Project;

const PROBE: &str = "probes::probe_";
/// Publishing is not hot, and its `expect` is the control: a check that does not see it shows nothing.
const PUBLISHES: &str = "probes::probe_publish";
/// Fewer hot probes than this, and they were renamed or inlined.
const LEAST: usize = 7;

pub const STEP: Step = Step {
    name: "hot-path",
    about: "the hot functions of an ordinary release build lead to no panic and use no floating point",
    run: |project| {
        if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
            return Ok(Outcome::NotRun("it reads x86-64 code"));
        }
        build(project)?;
        let listing = Listing::of(&project.target.join("release/probes"))?;
        let hot: Vec<&String> =
            listing.names().filter(|name| name.starts_with(PROBE) && !name.starts_with(PUBLISHES)).collect();
        if hot.len() < LEAST {
            return Err(format!("only {} functions are named {PROBE}*: {hot:?}", hot.len()));
        }
        if listing.unwanted(PUBLISHES).is_none() {
            return Err(format!("the panic path of {PUBLISHES} was not seen: this check shows nothing"));
        }
        listing.judge(&hot, &[]).map(|()| Outcome::Passed)
    },
};

fn build(project: &Project) -> Result<(), Failure> {
    let args = ["build", "--release", "--package", "resolver-benches", "--bin", "probes"];
    command::run(&mut project.cargo(args))
}
