//! `resolver sources`: the registries that the agent watches, as of its last beat.

use clap::Args;
use resolver_core::{MAX_SOURCE_NAME, MAX_SOURCES};
use serde::Serialize;

use crate::reading::Reading;
use crate::{Failure, SegmentArgs, output};

#[derive(Args)]
pub(crate) struct SourcesArgs {
    #[command(flatten)]
    segment: SegmentArgs,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Source {
    source: String,
    /// How old its word is, at most; `null` where it never spoke, or the agent gives no sign of life.
    age_ms: Option<u64>,
    /// Its own count of changes.
    revision: u64,
    /// Why it is silent; `none` where it is not.
    reason: &'static str,
    /// Records that are left out now; the agent's log names them.
    rejected: u32,
}

pub(crate) fn run(args: &SourcesArgs) -> Result<(), Failure> {
    let mut reading = Reading::open(&args.segment)?;
    reading.wait_for_beat();
    let reader = reading.reader();
    // A source that was not in the last beat is a predecessor's.
    let beat = reader.pulse();
    let numbers = 0..u8::try_from(MAX_SOURCES).unwrap_or(u8::MAX);
    let sources: Vec<Source> = numbers
        .filter_map(|number| {
            Some((number, reader.source(number).filter(|status| status.beat() + 1 >= beat)?))
        })
        .map(|(number, status)| Source {
            source: status.name(&mut [0; MAX_SOURCE_NAME]).to_owned(),
            age_ms: reading.age_ms(number),
            revision: status.revision(),
            reason: if reading.is_live() { status.reason().name() } else { "silent" },
            rejected: status.rejected(),
        })
        .collect();
    if args.json {
        return output::line(serde_json::to_string(&sources).unwrap_or_default());
    }
    for source in sources {
        let age = source.age_ms.map_or("age unknown".into(), |age| format!("age {age} ms"));
        let why = if source.reason == "none" { String::new() } else { format!("  ({})", source.reason) };
        let Source { source, revision, rejected, .. } = source;
        let line = format!("{source}  {age}{why}  revision {revision}  {rejected} records left out");
        output::line(output::printable(&line))?;
    }
    Ok(())
}
