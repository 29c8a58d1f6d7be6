//! `resolver segment verify`.

use serde::Serialize;

use super::stat::Repair;
use super::{PlaceArgs, is_held};
use crate::{Failure, output};

#[derive(Serialize)]
struct Verified {
    path: String,
    services: usize,
    settings: usize,
    faults: Vec<String>,
    repair: Repair,
}

pub(super) fn run(args: &PlaceArgs) -> Result<(), Failure> {
    let reading = args.open()?;
    let segment = reading.segment();
    let mut faults: Vec<String> =
        segment.faults().iter().map(|fault| output::printable(&fault.to_string())).collect();
    let inspection = segment.inspect();
    let repair = Repair::of(&inspection, is_held(segment));
    if repair.needed {
        faults.push(format!(
            "its last writer died in a publication: {}; the next agent repairs it",
            repair.line()
        ));
    }
    let (services, settings) = (inspection.used.services, inspection.used.settings);
    let path = args.path.display().to_string();
    let verified = Verified { path, services, settings, faults, repair };
    if args.json {
        output::line(serde_json::to_string(&verified).unwrap_or_default())?;
    } else {
        for fault in &verified.faults {
            output::line(fault)?;
        }
    }
    match verified.faults.len() {
        0 if args.json => Ok(()),
        0 => output::line(format_args!(
            "{}: {services} services and {settings} settings, no fault",
            verified.path
        )),
        number => Err(output::fail(Failure::Failed, format_args!("{}: {number} faults", verified.path))),
    }
}
