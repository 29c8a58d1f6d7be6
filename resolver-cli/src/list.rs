//! `resolver list`: every service of the segment.

use clap::Args;

use crate::reading::Reading;
use crate::{Failure, SegmentArgs, output};

#[derive(Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    segment: SegmentArgs,
    /// Print a JSON array of objects as `get` prints them.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ListArgs) -> Result<(), Failure> {
    let mut reading = Reading::open(&args.segment)?;
    reading.wait_for_beat();
    let mut names = Vec::new();
    reading.reader().for_each(|name, _| {
        names.push(name.to_owned());
        true
    });
    names.sort();
    // A name that was removed since it was listed is left out, as it would be a moment later.
    let services: Vec<_> = names.iter().filter_map(|name| reading.service(name).ok().flatten()).collect();
    if args.json {
        return output::line(serde_json::to_string(&services).unwrap_or_default());
    }
    for service in services {
        output::line(service.line())?;
    }
    Ok(())
}
