//! Writes docs/latency.md and its plots from what was measured: `cargo run --release -p resolver-benches --bin report`.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it is a command")]

mod budgets;
mod canvas;
mod document;
mod gates;
mod plots;
mod quantiles;
mod ratio_tables;
mod ratios;
mod template;
mod words;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use document::Figures;
use resolver_benches::tails::sheet;

/// Writes docs/latency.md, its plots, and the figures that they are made of.
#[derive(Parser)]
struct Args {
    /// The project's root.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.."), hide_default_value = true)]
    root: PathBuf,
    /// The directory of the figures; latency/ in the build's directory unless this is given.
    #[arg(long, value_name = "DIRECTORY")]
    from: Option<PathBuf>,
    /// Writes nothing: exit code 1 where document or plots are not what the figures beside them give.
    #[arg(long)]
    check: bool,
}

/// The figures, and what writes them.
const INPUTS: [(&str, &str); 3] = [
    (ratios::FILE, "--features peers --bin ratios"),
    (gates::FILE, "--features peers --bin ratios"),
    (sheet::FILE, "--bin tails"),
];

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("report: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, String> {
    let docs = args.root.join("docs");
    let kept = docs.join("latency");
    let from = if args.check { kept } else { args.from.clone().unwrap_or_else(sheet::directory) };
    let mut texts = Vec::new();
    for (file, tool) in INPUTS {
        let path = from.join(file);
        let hint = format!("measure first: cargo run --release -p resolver-benches {tool}");
        texts.push(fs::read_to_string(&path).map_err(|e| format!("{}: {e}; {hint}", path.display()))?);
    }
    let budgets = args.root.join(budgets::PATH);
    let budgets_text = fs::read_to_string(&budgets).map_err(|e| format!("{}: {e}", budgets.display()))?;
    let figures = Figures {
        groups: ratios::parse(&texts[0]).map_err(|e| format!("{}: {e}", ratios::FILE))?,
        verdicts: gates::parse(&texts[1]).map_err(|e| format!("{}: {e}", gates::FILE))?,
        sheet: serde_json::from_str(&texts[2]).map_err(|e| format!("{}: {e}", sheet::FILE))?,
        budgets: budgets::parse(&budgets_text).map_err(|e| format!("{}: {e}", budgets::PATH))?,
    };
    let files = document::files(&figures).map_err(|e| e.to_string())?;
    if args.check {
        return Ok(check(&docs, &files));
    }
    let kept = INPUTS.iter().map(|(file, _)| format!("latency/{file}")).zip(texts);
    write(&docs, files.into_iter().chain(kept).collect())?;
    Ok(ExitCode::SUCCESS)
}

fn check(docs: &Path, files: &[(String, String)]) -> ExitCode {
    let differs =
        |(name, text): &&(String, String)| fs::read_to_string(docs.join(name)).ok().as_ref() != Some(text);
    let wrong: Vec<&str> = files.iter().filter(differs).map(|(name, _)| name.as_str()).collect();
    if wrong.is_empty() {
        println!("docs/latency.md and {} plots are what the figures give", files.len() - 1);
        return ExitCode::SUCCESS;
    }
    println!("not what the figures give: {}; run report after a change of its text", wrong.join(", "));
    ExitCode::FAILURE
}

/// Writes them all, and removes plots of an earlier run that are none of this one's.
fn write(docs: &Path, files: Vec<(String, String)>) -> Result<(), String> {
    let directory = docs.join("latency");
    let wrong = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    fs::create_dir_all(&directory).map_err(|e| wrong(&directory, e))?;
    for entry in fs::read_dir(&directory).map_err(|e| wrong(&directory, e))?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            fs::remove_file(&path).map_err(|e| wrong(&path, e))?;
        }
    }
    for (name, text) in &files {
        let path = docs.join(name);
        fs::write(&path, text).map_err(|e| wrong(&path, e))?;
    }
    println!("written: docs/latency.md and {} files in docs/latency/", files.len() - 1);
    Ok(())
}
