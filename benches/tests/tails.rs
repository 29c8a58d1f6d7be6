//! The program as it is run, with few calls: figures are not looked at, only that they are there.

use std::path::Path;
use std::process::Command;

use resolver_benches::tails::field::row;
use resolver_benches::tails::sheet::Sheet;
use resolver_benches::tails::stopped::Stopped;
use resolver_benches::tails::{Course, slices::Plan};
use resolver_benches::tails::{SCENARIOS, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tails");

fn second_core() -> Option<usize> {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1).then_some(1)
}

#[test]
fn a_writer_is_stopped_while_its_publication_lands_and_readers_get_the_whole_of_it() {
    let stopped =
        Stopped::start(Path::new(PROGRAM), second_core().unwrap_or(0)).expect("it is met in a publication");
    let (reader, handle) = stopped.reader();
    let epoch = reader.epoch();
    assert_eq!(epoch & 1, 1, "the batch has begun to land");
    let first = reader.resolve(handle).expect("a stopped writer delays nobody");
    let mut cached = reader.cached(handle);
    for _ in 0..1000 {
        assert_eq!(reader.resolve(handle), Ok(first));
        assert_eq!(cached.resolve(&reader), Ok(first));
        assert_eq!(reader.resolve_address(handle), Ok(first.address()));
    }
    assert_eq!(reader.epoch(), epoch, "it stood still");
}

#[test]
fn every_scenario_gives_its_rows_and_too_few_calls_fail_the_gate() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("made").join("tails.json");
    let mut command = Command::new(PROGRAM);
    command.args(["--quick", "--samples", "2000", "--assert", "--out"]).arg(&out);
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("gate: "), "{said}");
    assert!(said.contains("no claim on max"), "{said}");

    let text = std::fs::read_to_string(&out).expect("it was written");
    let sheet: Sheet = serde_json::from_str(&text).expect("as it is read");
    let rows = |writer: &str| sheet.rows.iter().filter(|row| row.writer == writer).count();
    assert_eq!(rows("idle"), 16, "eight rows for each of two sizes");
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.writer != "idle") {
        assert_eq!(rows(scenario.writer) > 0, second_core().is_some(), "{}", scenario.writer);
    }
    let undisturbed = ["idle", "stopped in mid-publication"];
    for row in sheet.rows.iter().filter(|row| undisturbed.contains(&row.writer.as_str())) {
        assert!(row.runs[0].samples >= 2000 && row.at(0.5).is_some() && row.at(0.999).is_none(), "{row:?}");
    }
    assert_eq!(sheet.rows.iter().any(|row| row.gated), second_core().is_some());
}

#[test]
fn each_run_adds_one_figure_to_each_row() {
    let plan = Plan { samples: 300, limit: std::time::Duration::from_secs(20) };
    let course = Course { plan, runs: 3, reader_core: 0, writer_core: None };
    let sheet = run(&course, Path::new(PROGRAM), |_| {}).expect("nothing is started");
    assert_eq!(sheet.rows.len(), 16);
    assert!(sheet.rows.iter().all(|row| row.runs.len() == 3), "{:#?}", sheet.rows);
    assert!(sheet.rows.iter().any(|row| row.row == row::ROUND_ROBIN));
    assert_eq!(sheet.failures().len(), 1, "without a writer the gate fails");
}
