//! `cargo xtask soak`: the long form of tests of the core, in release: two processes over one segment for minutes, and a
//! table of 100,000 services. `cargo xtask test` runs the short forms. `--deaths N`: a writer that is killed N times, too.

use crate::Failure;
use crate::command;
use crate::project::Project;

/// Services of the large table; each has ten endpoints on average.
const SERVICES: &str = "100000";

/// Instructions that are stepped through for writers that are killed at each of them, for each kind of publication.
const STEPS: &str = "10000000";

pub fn run(project: &Project, minutes: u64, deaths: u64) -> Result<(), Failure> {
    let (seconds, number) = ((minutes * 60).to_string(), deaths.to_string());
    let mut forms =
        vec![("scale", ("RESOLVER_SCALE_SERVICES", SERVICES)), ("soak", ("RESOLVER_SOAK_SECONDS", &seconds))];
    if deaths > 0 {
        forms.push(("death", ("RESOLVER_DEATHS", &number)));
    }
    for (test, (variable, value)) in forms {
        println!("== {test}: {variable}={value}");
        let mut cargo = project.cargo(["test", "--quiet", "--release", "--package", "resolver-core"]);
        // One after the other: the control of the soak would take a core from the two processes.
        cargo.args(["--test", test, "--", "--nocapture", "--test-threads=1"]).env(variable, value);
        cargo.env("RESOLVER_DEATH_STEPS", STEPS);
        command::run(&mut cargo)?;
    }
    Ok(())
}
