//! `resolver segment errors`.

use resolver_core::{Counter, Reader};
use serde::Serialize;
use serde_json::{Map, Value};

use super::PlaceArgs;
use super::stat::seconds_since;
use crate::{Failure, output};

/// One distinct error.
#[derive(Serialize)]
pub(super) struct Error {
    kind: &'static str,
    /// The source and service that it is about.
    about: String,
    words: String,
    /// Whether the words were longer.
    cut: bool,
    count: u64,
    first_ms: u64,
    last_ms: u64,
}

#[derive(Serialize)]
struct Errors {
    counters: Map<String, Value>,
    errors: Vec<Error>,
}

pub(super) fn run(args: &PlaceArgs) -> Result<(), Failure> {
    let reading = args.open()?;
    let reader = reading.reader();
    let errors = Errors { counters: counters(&reader), errors: errors(&reader) };
    if args.json {
        return output::line(serde_json::to_string(&errors).unwrap_or_default());
    }
    for error in &errors.errors {
        output::line(error.line())?;
    }
    let lost = reader.counter(Counter::IncidentsNotKept);
    if lost > 0 {
        output::line(format_args!("and {lost} more, for which the log had no room"))?;
    }
    Ok(())
}

pub(super) fn counters(reader: &Reader<'_>) -> Map<String, Value> {
    let counted = |counter: Counter| (counter.name().replace('-', "_"), Value::from(reader.counter(counter)));
    Counter::ALL.into_iter().map(counted).collect()
}

/// The latest first.
pub(super) fn errors(reader: &Reader<'_>) -> Vec<Error> {
    let mut buffer = [0; 272];
    let mut errors: Vec<Error> = reader
        .incidents()
        .map(|incident| Error {
            kind: incident.kind().name(),
            about: incident.about(&mut buffer).to_owned(),
            words: incident.words(&mut buffer).to_owned(),
            cut: incident.is_cut(),
            count: incident.count(),
            first_ms: incident.first_ms(),
            last_ms: incident.last_ms(),
        })
        .collect();
    errors.sort_by(|a, b| (b.last_ms, &a.about, &a.words).cmp(&(a.last_ms, &b.about, &b.words)));
    errors
}

impl Error {
    pub(super) fn line(&self) -> String {
        let Error { kind, about, words, count, first_ms, last_ms, .. } = self;
        let (first, last) = (seconds_since(*first_ms), seconds_since(*last_ms));
        let cut = if self.cut { " ..." } else { "" };
        output::printable(&format!(
            "{count} times, last {last} s ago, first {first} s ago  {kind}  {about}: {words}{cut}"
        ))
    }
}
