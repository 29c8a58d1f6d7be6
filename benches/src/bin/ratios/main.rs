//! Prints how `resolve()` compares with plain loads of its line, and with other libraries: ratios from one run, held to the
//! gates and targets. `ratios --help` says more.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it prints tables")]

mod bench;
mod segments;
mod tables;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use bench::{Bench, Options};
use resolver_benches::stopped;

const HELP: &str = "\
ratios: what resolve() costs beside plain loads of a line and beside other libraries; median of paired ratios, the middle of
three runs. Peers are measured if they are built in (--features peers).

  --quick          no peers, 16 and 1024 services, idle and 1M writes/s
  --assert         exit with 1 if a gate fails
  --markdown       print tables of markdown
  --only TEXT      only tables whose title contains TEXT, such as \"by name\" or \"1024 services, dependent\"
  --out DIRECTORY  for ratios.json and gates.json; latency/ beside the build's own directory otherwise
";

/// What "100k" and "1M" are: powers of two, so that no division is in the loop.
const SCALE: [u32; 2] = [1 << 17, 1 << 20];

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ratios: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value; see --help"));
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--assert" => options.asserts = true,
            "--markdown" => options.markdown = true,
            "--only" => options.only = Some(value()?),
            "--out" => options.out = Some(PathBuf::from(value()?)),
            stopped::WRITER => {
                return stopped::publish_without_pause(Path::new(&value()?)).map(|()| ExitCode::SUCCESS);
            }
            "--help" | "-h" => {
                print!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            other => return Err(format!("{other} is no option; see --help").into()),
        }
    }
    let start = Instant::now();
    let quick = options.quick;
    let mut bench = Bench::new(options)?;
    let counts = [16, 1024].into_iter().chain(SCALE.into_iter().filter(|_| !quick));
    for count in counts {
        tables::services(&mut bench, count);
    }
    tables::balancers(&mut bench);
    segments::stopped(&mut bench)?;
    for count in [16, 1024] {
        segments::mapped(&mut bench, count)?;
    }
    bench.end(start)
}
