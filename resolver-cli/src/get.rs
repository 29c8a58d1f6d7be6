//! `resolver get NAME`: one service, read from the segment alone.

use clap::Args;

use crate::reading::{Entry, Reading};
use crate::{Failure, SegmentArgs, output};

#[derive(Args)]
pub(crate) struct GetArgs {
    /// The service's name, or a view's.
    name: String,
    #[command(flatten)]
    segment: SegmentArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &GetArgs) -> Result<(), Failure> {
    let mut reading = Reading::open(&args.segment)?;
    reading.wait_for_beat();
    let service = match reading.service(&args.name) {
        Ok(Some(service)) => service,
        Ok(None) => {
            let name = output::printable(&args.name);
            let why = format_args!("no service {name:?} in {}", args.segment.segment.display());
            return Err(output::fail(Failure::UnknownService, why));
        }
        Err(error) => return Err(output::fail(Failure::NoEndpoint, error)),
    };
    if args.json {
        output::line(serde_json::to_string(&service).unwrap_or_default())?;
    } else {
        output::line(service.line())?;
        for endpoint in service.endpoints.iter().map(Entry::line) {
            output::line(endpoint)?;
        }
    }
    if service.endpoint.is_some() { Ok(()) } else { Err(Failure::NoEndpoint) }
}
