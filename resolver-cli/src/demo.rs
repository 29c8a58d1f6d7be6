//! `resolver demo`: the whole path at work in one process.

use clap::Args;

use crate::Failure;

#[derive(Args)]
pub(crate) struct DemoArgs {
    /// How long to run.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let _ = (args.seconds, args.json);
    Err(Failure::Failed)
}
