//! The project's own commands; `cargo xtask --help` lists them.
//!
//! Standard library only: this is built before anything else is.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command-line tool talks on standard output")]

mod bundle;
mod command;
mod debian;
mod fuzz;
mod measure;
mod nightly;
mod project;
mod servers;
mod soak;
mod steps;
mod tsan;
mod valgrind;

use std::process::ExitCode;

use project::Project;

/// What went wrong, for a person: what was tried, what came of it, what to do.
type Failure = String;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        [] | ["-h" | "--help" | "help", ..] | [_, "-h" | "--help"] => {
            println!("{}", help());
            return ExitCode::SUCCESS;
        }
        ["test", names @ ..] => {
            if let Some(unknown) = names.iter().find(|name| steps::named(name).is_none()) {
                return usage(&format!("no step is named `{unknown}`"));
            }
            Project::find().and_then(|project| steps::run(&project, names))
        }
        ["servers"] => Project::find().and_then(|project| servers::provide(&project)).map(|servers| {
            for (variable, path) in servers.variables() {
                println!("{variable}={}", path.display());
            }
        }),
        ["valgrind", arguments @ ..] => {
            Project::find().and_then(|project| valgrind::command_line(&project, arguments))
        }
        ["fuzz", arguments @ ..] => {
            let Some((seconds, targets)) = option("--seconds", 60, arguments) else {
                return usage("`fuzz` takes --seconds N and the names of targets");
            };
            Project::find().and_then(|project| fuzz::run(&project, seconds, &targets))
        }
        ["soak", arguments @ ..] => {
            let minutes = option("--minutes", 10, arguments);
            let deaths = minutes.and_then(|(minutes, rest)| Some((minutes, option("--deaths", 0, &rest)?)));
            match deaths {
                Some((minutes @ 1.., (deaths, rest))) if rest.is_empty() => {
                    Project::find().and_then(|project| soak::run(&project, minutes, deaths))
                }
                _ => return usage("`soak` takes --minutes N, of at least 1, and --deaths N"),
            }
        }
        [program, arguments @ ..] if measure::PROGRAMS.contains(program) => {
            Project::find().and_then(|project| measure::run(&project, program, arguments))
        }
        ["tsan"] => Project::find().and_then(|project| tsan::run(&project)),
        [unknown, ..] => return usage(&format!("`{}` is not a command of xtask", unknown)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The number after this option, or what stands for it, and the other arguments. `None` where the option has no number.
fn option<'a>(name: &str, default: u64, arguments: &[&'a str]) -> Option<(u64, Vec<&'a str>)> {
    let Some(at) = arguments.iter().position(|argument| *argument == name) else {
        return Some((default, arguments.to_vec()));
    };
    let value = arguments.get(at + 1)?.parse().ok()?;
    Some((value, [&arguments[..at], &arguments[at + 2..]].concat()))
}

fn usage(what: &str) -> ExitCode {
    eprintln!("xtask: {what}\n\n{}", help());
    ExitCode::from(2)
}

fn help() -> String {
    let mut text = String::from(
        "\
cargo xtask COMMAND

  test [STEP]...     run every step, or the ones that are named, in order; all run even when one fails
  fuzz [--seconds N] [TARGET]...
                     libFuzzer with AddressSanitizer over the targets of fuzz/, N seconds each (60); wants nightly Rust
  soak [--minutes N] [--deaths N]
                     a writer process and a reader process over one segment, for N minutes (10); a large table; with
                     --deaths (1000000, say) writers that are killed while they publish
  faults [ARGS]      real clusters of three, and what can befall them, with repeats (--repeats N); wants root
  scale [ARGS]       10,000 services in one registry: time, memory, lag, and a storm of changes
  lag [ARGS]         how much later than a bare watch a change is resolved (--cluster: clusters with TLS; wants root)
  servers            bring the real Consul and etcd under target/servers, and print where they are
  tsan               the stress test under ThreadSanitizer, and a planted race; wants nightly Rust
  valgrind [ARGS]    bring valgrind under target/servers if it is not in PATH; run it, or say how to

Steps of `cargo xtask test`:
",
    );
    for step in steps::STEPS {
        text.push_str(&format!("  {:<18} {}\n", step.name, step.about));
    }
    text.push_str(
        "
Variables: CONSUL_BIN, ETCD_BIN, ETCDCTL_BIN, VALGRIND_BIN name binaries of your own; CONSUL_DEB names a local copy
of Consul's package, used where the mirror has none. CI=true requires the privileged step. See docs/testing.md.",
    );
    text
}
