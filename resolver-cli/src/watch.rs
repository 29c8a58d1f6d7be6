//! `resolver watch NAME`: a line for each change of one service, until interrupted.

use std::time::Duration;

use clap::Args;

use crate::reading::{Reading, Service};
use crate::{Failure, SegmentArgs, output};

/// How often the segment is looked at.
const PERIOD: Duration = Duration::from_millis(1);
/// How often a silent segment is looked for under its path again: one that superseded it is there.
const REOPEN_EVERY: u32 = 200;

#[derive(Args)]
pub(crate) struct WatchArgs {
    /// The service's name, or a view's.
    name: String,
    #[command(flatten)]
    segment: SegmentArgs,
    /// Print JSON objects, as `get` does.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &WatchArgs) -> Result<(), Failure> {
    let mut reading = Reading::open(&args.segment)?;
    reading.wait_for_beat();
    let mut shown = None;
    let mut glanced = None;
    let mut looked: u32 = 0;
    loop {
        reading.poll();
        // One line of the table tells whether there is anything to read; a service that is not there may come.
        let glance = reading.glance(&args.name);
        if glanced != Some(glance)
            && let Ok(service) = reading.service(&args.name)
        {
            if shown.as_ref() != Some(&key(service.as_ref())) {
                print(args, service.as_ref())?;
                shown = Some(key(service.as_ref()));
            }
            glanced = Some(glance);
        }
        looked = looked.wrapping_add(1);
        if looked.is_multiple_of(REOPEN_EVERY)
            && !reading.is_live()
            && !reading.segment().is_current()
            && let Ok(mut next) = Reading::try_open(&args.segment)
        {
            next.wait_for_beat();
            (reading, glanced) = (next, None);
        }
        std::thread::sleep(PERIOD);
    }
}

/// What counts as a change: everything but the age.
fn key(service: Option<&Service>) -> Option<Service> {
    service.map(|service| Service { age_ms: None, ..service.clone() })
}

fn print(args: &WatchArgs, service: Option<&Service>) -> Result<(), Failure> {
    match (service, args.json) {
        (Some(service), true) => output::line(serde_json::to_string(service).unwrap_or_default()),
        (Some(service), false) => output::line(service.line()),
        (None, true) => output::line(serde_json::json!({ "service": args.name, "state": "UNKNOWN" })),
        (None, false) => output::line(output::printable(&format!("{}  UNKNOWN", args.name))),
    }
}
