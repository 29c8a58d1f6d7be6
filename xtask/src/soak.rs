//! `cargo xtask soak`: the long form of tests of the core, in release: two processes over one segment for minutes, a writer
//! that is stopped for one, a table of 100,000 services, sixteen readers of a million endpoints. `cargo xtask test` runs the
//! short forms. `--deaths N`: a writer that is killed N times, too.

use crate::Failure;
use crate::command;
use crate::project::Project;

/// Services of the large table; each has ten endpoints on average.
const SERVICES: &str = "100000";

/// Endpoints of the segment that sixteen processes read.
const ENDPOINTS: &str = "1000000";

/// How long a writer stays stopped in the middle of a publication.
const FROZEN: &str = "60";

/// Instructions that are stepped through for writers that are killed at each of them, for each kind of publication.
const STEPS: &str = "10000000";

pub fn run(project: &Project, minutes: u64, deaths: u64) -> Result<(), Failure> {
    let (seconds, number) = ((minutes * 60).to_string(), deaths.to_string());
    let mut forms = vec![
        ("scale", ("RESOLVER_SCALE_SERVICES", SERVICES)),
        ("readers", ("RESOLVER_READERS_ENDPOINTS", ENDPOINTS)),
        ("frozen", ("RESOLVER_FROZEN_SECONDS", FROZEN)),
        ("soak", ("RESOLVER_SOAK_SECONDS", &seconds)),
    ];
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
