//! `resolver kv`: keys and values of a registry.

mod backup;
mod change;
mod show;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use resolver_sync::kv::KvError;

use crate::registry::{RegistryArgs, run_here};
use crate::{Failure, output};

/// Exit codes: 0 fine, 1 the registry failed or refused, 2 usage, 6 there is no such key, 7 a comparison did not hold and
/// nothing was written.
#[derive(Args)]
pub(crate) struct KvCommand {
    #[command(flatten)]
    registry: RegistryArgs,
    /// Print JSON: one object, or one for each line of a watch or a restore.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print a key's value.
    Get {
        key: String,
        /// The very bytes and nothing else.
        #[arg(long, conflicts_with = "json")]
        raw: bool,
    },
    /// Write a key.
    Put {
        #[command(flatten)]
        value: ValueArgs,
        /// Let the key go after this time (10s, 5m, 1h) unless it is kept. Consul may be up to twice that late.
        #[arg(long, value_name = "TIME", value_parser = time)]
        ttl: Option<Duration>,
        /// Renew it until SIGTERM or SIGINT, and let it go then.
        #[arg(long, requires = "ttl")]
        keep: bool,
    },
    /// Write a key if it is at this revision (as `get --json` shows it); 0 means that there is none.
    Cas {
        #[command(flatten)]
        value: ValueArgs,
        #[arg(long, value_name = "N")]
        revision: u64,
    },
    /// Delete a key; that there is none is fine.
    Delete {
        key: String,
        /// Only if it is at this revision.
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
    },
    /// List the keys below a prefix, which ends in a slash; without one, every key.
    List {
        #[arg(default_value = "")]
        prefix: String,
        /// The keys alone.
        #[arg(long)]
        keys: bool,
    },
    /// Print a line for each change of a key, or of all below a prefix that ends in a slash, until interrupted.
    Watch {
        #[arg(default_value = "")]
        target: String,
    },
    /// Do several things at once, or nothing: all comparisons must hold.
    Txn(change::TxnArgs),
    /// Write all keys below a prefix to a file, which is whole or not there.
    Backup {
        file: PathBuf,
        #[arg(long, default_value = "")]
        prefix: String,
    },
    /// Write the keys of a backup, and say what became of each. A damaged file is refused before anything is written.
    Restore(backup::RestoreArgs),
}

/// A key, and where its value comes from.
#[derive(Args)]
struct ValueArgs {
    key: String,
    /// The value; left out, or `-`: standard input.
    value: Option<String>,
    /// A file with the value.
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    file: Option<PathBuf>,
}

pub(crate) fn run(args: &KvCommand) -> Result<(), Failure> {
    let registry = args.registry.open()?;
    let json = args.json;
    run_here(async move {
        match &args.command {
            Command::Get { key, raw } => show::get(registry.kv(), key, *raw, json).await,
            Command::List { prefix, keys } => show::list(registry.kv(), prefix, *keys, json).await,
            Command::Watch { target } => show::watch(registry.into_kv(), target, json).await,
            Command::Put { value, ttl: None, .. } => change::put(registry.kv(), value, json).await,
            Command::Put { value, ttl: Some(ttl), keep } => {
                change::put_for(registry.kv(), value, *ttl, *keep, json).await
            }
            Command::Cas { value, revision } => change::cas(registry.kv(), value, *revision, json).await,
            Command::Delete { key, revision } => change::delete(registry.kv(), key, *revision, json).await,
            Command::Txn(txn) => change::txn(registry.kv(), txn, json).await,
            Command::Backup { file, prefix } => backup::take(&registry, file, prefix, json).await,
            Command::Restore(restore) => backup::restore(registry.kv(), restore, json).await,
        }
    })
}

/// What an error of the registry ends the command with.
fn failed(error: &KvError) -> Failure {
    let failure = match error {
        KvError::Key { .. } | KvError::Txn(_) | KvError::Ttl(_) | KvError::TooLarge { .. } => Failure::Usage,
        _ => Failure::Failed,
    };
    output::fail(failure, output::printable(&error.to_string()))
}

fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "a whole number with its unit (s, m, h), such as 30s".to_owned();
    let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}
