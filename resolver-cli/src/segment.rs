//! `resolver segment stat|errors|verify|dump`: what a segment says of itself, for who looks after it. Nothing is written.

mod dump;
mod errors;
mod stat;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use resolver_core::{Segment, shm};

use crate::reading::Reading;
use crate::{Failure, SegmentArgs};

#[derive(Args)]
pub(crate) struct SegmentCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Its owner, pulse, counts, capacity and use, and whether the next agent has something to repair.
    Stat(PlaceArgs),
    /// What went wrong, each different error once: how often, when first and when last. The latest first.
    Errors(PlaceArgs),
    /// Check that all of it fits together; each fault in a line of its own, and exit code 1.
    Verify(PlaceArgs),
    /// Every service with its set, every setting, and the log of errors.
    Dump(PlaceArgs),
}

#[derive(Args)]
struct PlaceArgs {
    /// The segment's file.
    #[arg(value_name = "PATH", default_value = shm::DEFAULT_PATH)]
    path: PathBuf,
    /// The user id that it belongs to, where it is neither this user's nor root's.
    #[arg(long, value_name = "UID")]
    owner: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl PlaceArgs {
    fn open(&self) -> Result<Reading, Failure> {
        Reading::open(&SegmentArgs { segment: self.path.clone(), owner: self.owner })
    }
}

pub(crate) fn run(args: &SegmentCommand) -> Result<(), Failure> {
    match &args.command {
        Command::Stat(place) => stat::run(place),
        Command::Errors(place) => errors::run(place),
        Command::Verify(place) => verify::run(place),
        Command::Dump(place) => dump::run(place),
    }
}

/// Whether a process holds the segment. A file that was removed meanwhile is nobody's.
fn is_held(segment: &Segment) -> bool {
    segment.has_owner().unwrap_or(false)
}
