//! `resolver demo`, as somebody who has just cloned the repository runs it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use resolver_sync::pin;
use resolver_tests::{Host, Ran, eventually};
use rustix::process::Signal;
use serde_json::Value;

fn number(figures: &Value, key: &str) -> f64 {
    let found = key.split('.').fold(figures, |value, key| &value[key]);
    found.as_f64().unwrap_or_else(|| panic!("`{key}` is no number in {figures}"))
}

/// The figures of a run that must have gone well.
fn figures(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let figures = ran.json();
    let at_least_one = [
        "lookups",
        "reads_per_second",
        "changes_applied",
        "publications",
        "registry_changes",
        "changes_seen",
        "records_checked",
        "latency_ns.samples",
        "latency_ns.clock_overhead_subtracted_ns",
        "planted_allocations_counted",
    ];
    for key in at_least_one {
        assert!(number(&figures, key) >= 1.0, "{key} in {figures}");
    }
    for key in ["torn_reads", "back_in_time", "allocations", "lost_names"] {
        assert_eq!(number(&figures, key), 0.0, "{key} in {figures}");
    }
    assert!(number(&figures, "resolve_ns_mean_batched") > 0.0, "{figures}");
    assert!(number(&figures, "resolve_ns_median_batch") > 0.0, "{figures}");
    let percentiles = ["p50", "p99", "p99_9", "max"].map(|key| number(&figures["latency_ns"], key));
    assert!(percentiles.is_sorted(), "{figures}");
    assert_eq!(number(&figures, "services_in_step"), number(&figures, "services"), "{figures}");
    figures
}

#[test]
fn a_second_of_it_has_every_figure_and_no_fault() {
    let ran = Host::new().run(&["demo", "--seconds", "1", "--json"]);
    assert_eq!(ran.stdout.lines().count(), 1, "nothing but the object: {}", ran.stdout);
    let figures = figures(&ran);
    assert!((0.5..5.0).contains(&number(&figures, "seconds")), "{figures}");
    match pin::allowed()[..] {
        [first, .., last] => {
            assert_eq!((&figures["sync_core"], &figures["reader_core"]), (&first.into(), &last.into()));
        }
        _ => assert!(figures["sync_core"].is_null() && figures["reader_core"].is_null(), "{figures}"),
    }
}

#[test]
fn one_core_is_enough() {
    let core = pin::allowed()[0].to_string();
    let resolver = Host::new().binary().display().to_string();
    // Of util-linux, as setpriv is.
    let host = Host::with_binary(PathBuf::from("taskset"));
    let figures = figures(&host.run(&["-c", &core, &resolver, "demo", "--seconds", "1", "--json"]));
    assert!(figures["sync_core"].is_null() && figures["reader_core"].is_null(), "{figures}");
}

#[test]
fn no_time_at_all_is_a_mistake_of_the_caller() {
    let ran = Host::new().run(&["demo", "--seconds", "0"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert!(ran.stderr.contains("--seconds"), "{}", ran.stderr);
}

#[test]
fn it_shows_itself_and_an_interrupt_ends_it_with_the_summary() {
    let host = Host::new();
    let demo = host.start(&["demo", "--seconds", "600"]);
    eventually(Duration::from_secs(20), "it shows its second second", || demo.stdout().contains("\n   2 s"));
    let began = Instant::now();
    demo.signal(Signal::INT);
    let ended = demo.exit(Duration::from_secs(10));
    assert!(ended.success() && began.elapsed() < Duration::from_secs(10), "{}", demo.logs());
    let shown = demo.stdout();
    for part in ["time", "lookups", "latency, ns", "p99.9", "torn reads", "allocations", "16 of 16"] {
        assert!(shown.contains(part), "no `{part}` in\n{shown}");
    }
}
