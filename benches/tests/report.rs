//! The program as it is run, on figures made by hand.

use std::path::Path;
use std::process::{Command, Output};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin/report/sample");

fn report(root: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_report"));
    command.arg("--root").arg(root).args(more).output().expect("it starts")
}

fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(root.path().join("benches")).expect("made");
    std::fs::write(root.path().join("benches/budgets.txt"), "resolve 36 32\n").expect("written");
    root
}

#[test]
fn a_document_that_is_not_what_its_figures_give_is_found() {
    let root = root();
    assert!(report(root.path(), &["--from", SAMPLE]).status.success());
    let check = || report(root.path(), &["--check"]).status.code();
    assert_eq!(check(), Some(0));

    let document = root.path().join("docs/latency.md");
    let text = std::fs::read_to_string(&document).expect("written");
    std::fs::write(&document, text.replace("1.34 (1.55)", "1.24 (1.55)")).expect("written");
    assert_eq!(check(), Some(1), "a figure was changed by hand");
    std::fs::write(&document, text).expect("written");
    assert_eq!(check(), Some(0));
    std::fs::remove_file(root.path().join("docs/latency/ratios-by-name-throughput.svg"))
        .expect("it was there");
    assert_eq!(check(), Some(1), "a plot is missing");
}

#[test]
fn plots_of_an_earlier_run_go() {
    let root = root();
    let old = root.path().join("docs/latency/tails-old.svg");
    std::fs::create_dir_all(old.parent().expect("it has one")).expect("made");
    std::fs::write(&old, "<svg/>").expect("written");
    assert!(report(root.path(), &["--from", SAMPLE]).status.success());
    assert!(!old.exists());
}

#[test]
fn missing_figures_are_an_error_that_says_what_to_run() {
    let root = root();
    let output = report(root.path(), &["--from", "/nonexistent"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("/nonexistent/ratios.json") && said.contains("--bin ratios"), "{said}");
}
