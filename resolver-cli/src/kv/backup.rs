//! `resolver kv backup` and `restore`.

use std::path::{Path, PathBuf};

use clap::Args;
use resolver_sync::kv::Kv;
use resolver_sync::kv::backup::{Backup, BackupError, Existing, Fate};
use serde_json::json;

use super::failed;
use crate::registry::Registry;
use crate::{Failure, output};

#[derive(Args)]
pub(super) struct RestoreArgs {
    file: PathBuf,
    /// Only the keys that begin with this.
    #[arg(long, default_value = "")]
    prefix: String,
    /// Write only keys that are not there, by compare-and-set. The default.
    #[arg(long)]
    cas: bool,
    /// Overwrite keys that have another value.
    #[arg(long, conflicts_with = "cas")]
    overwrite: bool,
    /// Write nothing, and say what would be written.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn take(registry: &Registry, file: &Path, prefix: &str, json: bool) -> Result<(), Failure> {
    let backup = match Backup::take(registry.kv(), registry.kind(), prefix).await {
        Ok(backup) => backup,
        Err(BackupError::Kv(error)) => return Err(failed(&error)),
        Err(error) => return Err(fail(&error)),
    };
    backup.write(file).map_err(|error| fail(&error))?;
    let (keys, revision) = (backup.entries.len(), backup.head.revision);
    match json {
        true => {
            output::line(json!({ "keys": keys, "revision": revision, "file": file.display().to_string() }))
        }
        false => output::line(format_args!("{keys} keys as of revision {revision} in {}", file.display())),
    }
}

pub(super) async fn restore(kv: &dyn Kv, args: &RestoreArgs, json: bool) -> Result<(), Failure> {
    let backup = Backup::read(&args.file).map_err(|error| fail(&error))?;
    let existing = if args.overwrite { Existing::Overwrite } else { Existing::Keep };
    let (mut written, mut skipped, mut failures) = (0, 0, 0);
    let mut gone = Ok(());
    let tell = |key: &str, fate: &Fate| {
        let (word, why) = match fate {
            Fate::Written => ("written", String::new()),
            Fate::Same => ("same", String::new()),
            Fate::Differs => ("kept", "it has another value; --overwrite replaces it".into()),
            Fate::Leased => ("skipped", "it went with a lease or session".into()),
            Fate::Failed(error) => ("failed", error.to_string()),
        };
        match fate {
            Fate::Written => written += 1,
            Fate::Failed(_) => failures += 1,
            _ => skipped += 1,
        }
        let said = match json {
            true => output::line(json!({ "key": key, "fate": word, "why": why })),
            false => output::line(output::printable(format!("{word}  {key}  {why}").trim_end())),
        };
        if gone.is_ok() {
            gone = said;
        }
    };
    backup.restore(kv, &args.prefix, existing, args.dry_run, tell).await;
    gone?;
    if !json {
        let would = if args.dry_run { "would be " } else { "" };
        output::line(format_args!("{written} {would}written, {skipped} skipped, {failures} failed"))?;
    }
    if failures == 0 { Ok(()) } else { Err(Failure::Failed) }
}

fn fail(error: &BackupError) -> Failure {
    output::fail(Failure::Failed, output::printable(&error.to_string()))
}
