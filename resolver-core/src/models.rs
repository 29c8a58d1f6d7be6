//! Loom models: each shows one claim over every interleaving and every value that the memory model permits within its
//! bound, and for each ordering that the claim rests on, the same model fails without it.
//!
//! Run by `cargo xtask test loom` with `--cfg resolver_loom`. Every model reads once more after the join, compares
//! values with what was published (not only with each other), and prints its executions. A model that was cut short
//! by a limit is a failure.
//!
//! The reader is always the spawned thread and the writer the one that began. Loom looks for a race only between an
//! access and the *last* one that depends on it: were the reader first, the writer's own load before a store would hide
//! the reader's, and the model would end after one execution, having shown nothing. [`explore`] fails on that.

extern crate std;

mod batch;
mod cell;
mod directory;
mod incident;
mod pulse;
mod set;
mod table;

use std::boxed::Box;
use std::format;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sync::weakened::without;
use crate::sync::{ALL, Site};

/// Runs a model to its end at a preemption bound, and says how many executions that took.
fn explore(name: &str, bound: usize, model: impl Fn() + Sync + Send + 'static) {
    let executions = executions(bound, model);
    assert!(executions > 1, "model {name} explored nothing");
    say(&format!("model {name}: {executions} executions at bound {bound}"));
}

/// Past the test harness, which keeps what a test that passes prints to itself.
fn say(line: &str) {
    use std::io::Write;

    writeln!(std::io::stderr(), "{line}").expect("standard error can be written to");
}

fn executions(bound: usize, model: impl Fn() + Sync + Send + 'static) -> usize {
    // Leaked, as loom wants a closure that lives for ever: a few bytes for each model.
    let executions: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    // A limit would end the model early and call that a pass.
    builder.max_duration = None;
    builder.max_permutations = None;
    builder.max_branches = 20_000;
    builder.check(move || {
        executions.fetch_add(1, Ordering::Relaxed);
        model();
    });
    executions.load(Ordering::Relaxed)
}

/// The model must fail by one of its own assertions.
fn must_fail(name: &str, bound: usize, model: impl Fn() + Sync + Send + 'static) {
    let result = catch_unwind(AssertUnwindSafe(|| executions(bound, model)));
    let Err(panic) = result else { std::panic!("{name} was not caught") };
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("");
    // A limit of loom's is no proof of anything; `join` passes the reader's own panic on as `Any`.
    assert!(!said.contains("exceeded"), "{name} ended by a limit: {said}");
    say(&format!("model {name}: caught"));
}

/// The model must fail without this ordering.
fn must_catch(site: Site, name: &str, bound: usize, model: impl Fn() + Sync + Send + 'static) {
    let name = format!("{name} without {site:?}");
    let result = catch_unwind(AssertUnwindSafe(|| without(site, || must_fail(&name, bound, model))));
    // A model that panicked left the ordering weak.
    without(site, || {});
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// No ordering without a mutant: each model's list says what its `loom_*_needs_each_ordering` takes away.
#[test]
fn loom_every_ordering_has_a_mutant() {
    let lists = [
        cell::MUTANTS,
        batch::MUTANTS,
        directory::MUTANTS,
        incident::MUTANTS,
        set::MUTANTS,
        table::MUTANTS,
        pulse::MUTANTS,
    ];
    for site in ALL {
        assert!(lists.iter().any(|list| list.contains(&site)), "{site:?} is in no list of mutants");
    }
}
