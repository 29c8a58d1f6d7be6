//! The fuzz targets' corpus, replayed without a fuzzer: stable Rust, seconds.

use super::package::Package;
use super::{Outcome, Step, passed_tests};

const FUZZ: Package = Package { dir: "fuzz", args: &["test", "--no-fail-fast"] };

pub const STEP: Step = Step {
    name: "fuzz",
    about: "every input that a fuzzer has kept goes through its target again",
    run: |project| match passed_tests(&FUZZ.run(project, [("RUST_BACKTRACE", "1")])?) {
        0 => Err("no test ran in fuzz/: the corpus was not replayed".into()),
        _ => Ok(Outcome::Passed),
    },
};
