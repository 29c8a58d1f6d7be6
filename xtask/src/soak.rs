//! `cargo xtask soak`: the long form of two tests of the core, in release: two processes over one segment for minutes, and a
//! table of 100,000 services. `cargo xtask test` runs the short forms.

use crate::Failure;
use crate::command;
use crate::project::Project;

/// Services of the large table; each has ten endpoints on average.
const SERVICES: &str = "100000";

pub fn run(project: &Project, minutes: u64) -> Result<(), Failure> {
    let seconds = (minutes * 60).to_string();
    let forms =
        [("scale", ("RESOLVER_SCALE_SERVICES", SERVICES)), ("soak", ("RESOLVER_SOAK_SECONDS", &seconds))];
    for (test, (variable, value)) in forms {
        println!("== {test}: {variable}={value}");
        let mut cargo = project.cargo(["test", "--quiet", "--release", "--package", "resolver-core"]);
        // One after the other: the control of the soak would take a core from the two processes.
        cargo.args(["--test", test, "--", "--nocapture", "--test-threads=1"]).env(variable, value);
        command::run(&mut cargo)?;
    }
    Ok(())
}
