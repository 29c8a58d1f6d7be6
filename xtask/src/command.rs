//! Running other programs.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};

use crate::Failure;

/// Runs it with our own input and output.
pub fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.stdin(Stdio::null()).status().map_err(|e| no_start(command, &e))?;
    judge(command, status, "")
}

/// Runs it and returns what it printed; a failure carries what it said on standard error.
pub fn read(command: &mut Command) -> Result<String, Failure> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| no_start(command, &e))?;
    judge(command, output.status, &String::from_utf8_lossy(&output.stderr))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs it, shows what it prints as it comes, and returns that.
pub fn tee(command: &mut Command) -> Result<String, Failure> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|e| no_start(command, &e))?;
    let mut text = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.map_err(|e| format!("{}: reading its output: {e}", shown(command)))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            text.push_str(&line);
            text.push('\n');
        }
    }
    let status = child.wait().map_err(|e| format!("{}: waiting for it: {e}", shown(command)))?;
    judge(command, status, "")?;
    Ok(text)
}

fn no_start(command: &Command, error: &std::io::Error) -> Failure {
    format!("`{}` cannot be started: {error}", command.get_program().to_string_lossy())
}

fn judge(command: &Command, status: ExitStatus, stderr: &str) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    let said = if stderr.trim().is_empty() { String::new() } else { format!("\n{}", stderr.trim_end()) };
    Err(format!("`{}` failed ({status}){said}", shown(command)))
}

/// The program's own name and its arguments.
fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut text = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}
