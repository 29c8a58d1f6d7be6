//! What is printed: answers to standard output, errors to standard error. A reader that has gone away ends us quietly.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use crate::Failure;

/// Prints one line, at once.
pub(crate) fn line(text: impl Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(fail(Failure::Failed, format_args!("cannot write the answer: {error}"))),
    }
}

/// Says what went wrong.
pub(crate) fn fail(failure: Failure, why: impl Display) -> Failure {
    // Nothing is left to be done where even this cannot be written.
    let _ = writeln!(std::io::stderr().lock(), "resolver: {why}");
    failure
}

/// Replaces what a terminal could take for a command; names and ids come from registries.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
