//! The models: every interleaving that the memory model allows, within loom's bounds.

use super::{Outcome, Step, passed_tests};
use crate::command;

pub const STEP: Step = Step {
    name: "loom",
    about: "the models of the table's protocol, under every interleaving within loom's bounds",
    run: |project| {
        let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
        flags.push_str(" --cfg resolver_loom");
        let mut tests = project.cargo(["test", "--package", "resolver-core", "--release", "--lib", "loom"]);
        tests.env("RUSTFLAGS", flags.trim_start());
        // Its own directory: another RUSTFLAGS would rebuild everything, here and at the next ordinary build.
        tests.env("CARGO_TARGET_DIR", project.target.join("loom"));
        // A model that these limits cut short ends as if it had passed.
        tests.env_remove("LOOM_MAX_DURATION").env_remove("LOOM_MAX_PERMUTATIONS");
        match passed_tests(&command::tee(&mut tests)?) {
            0 => {
                Err("no loom model ran: no test of resolver-core has `loom` in its name under that cfg"
                    .into())
            }
            _ => Ok(Outcome::Passed),
        }
    },
};
