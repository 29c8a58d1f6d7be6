//! What writes keys.

use std::io::Read;
use std::time::Duration;

use clap::Args;
use resolver_sync::kv::{Check, Kv, KvError, Op, Outcome, keep};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::{ValueArgs, failed};
use crate::{Failure, output};

/// Comparisons, which must all hold, and what is done then.
#[derive(Args)]
pub(super) struct TxnArgs {
    /// The key is at this revision.
    #[arg(long = "if", value_name = "KEY=REVISION")]
    revisions: Vec<String>,
    /// There is no such key.
    #[arg(long, value_name = "KEY")]
    absent: Vec<String>,
    /// Write a value.
    #[arg(long, value_name = "KEY=VALUE")]
    put: Vec<String>,
    /// Delete a key.
    #[arg(long, value_name = "KEY")]
    delete: Vec<String>,
}

pub(super) async fn put(kv: &dyn Kv, args: &ValueArgs, json: bool) -> Result<(), Failure> {
    let value = value(args, kv.value_limit())?;
    told(kv.put(&args.key, &value).await, json)
}

/// Writes a value that goes after its time, or with this process.
pub(super) async fn put_for(
    kv: &dyn Kv,
    args: &ValueArgs,
    ttl: Duration,
    is_kept: bool,
    json: bool,
) -> Result<(), Failure> {
    let value = value(args, kv.value_limit())?;
    // Before a lease is taken for nothing.
    kv.check_key(&args.key).map_err(|error| failed(&error))?;
    let lease = kv.grant(ttl).await.map_err(|error| failed(&error))?;
    let put = told(kv.txn(&[], &[Op::put_with(&args.key, &value, &lease)]).await, json);
    if put.is_err() {
        // A session that stands for nothing would be there until its time is up.
        let _ = revoke(kv, &lease).await;
        return put;
    }
    if !is_kept {
        return Ok(());
    }
    let signals = signal(SignalKind::terminate()).and_then(|t| Ok((t, signal(SignalKind::interrupt())?)));
    let (mut term, mut interrupt) = signals.map_err(|error| output::fail(Failure::Failed, error))?;
    tokio::select! {
        error = keep(kv, &lease) => Err(failed(&error)),
        _ = term.recv() => revoke(kv, &lease).await,
        _ = interrupt.recv() => revoke(kv, &lease).await,
    }
}

async fn revoke(kv: &dyn Kv, lease: &resolver_sync::kv::Lease) -> Result<(), Failure> {
    match kv.revoke(lease).await {
        Ok(()) | Err(KvError::LeaseGone) => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

pub(super) async fn cas(kv: &dyn Kv, args: &ValueArgs, revision: u64, json: bool) -> Result<(), Failure> {
    let value = value(args, kv.value_limit())?;
    told(kv.compare_and_set(&args.key, &value, revision).await, json)
}

pub(super) async fn delete(kv: &dyn Kv, key: &str, revision: Option<u64>, json: bool) -> Result<(), Failure> {
    told(
        match revision {
            None => kv.delete(key).await,
            Some(revision) => kv.compare_and_delete(key, revision).await,
        },
        json,
    )
}

pub(super) async fn txn(kv: &dyn Kv, args: &TxnArgs, json: bool) -> Result<(), Failure> {
    let usage = |why: &str| output::fail(Failure::Usage, why);
    let mut checks = Vec::new();
    for text in &args.revisions {
        let parsed = text.rsplit_once('=').and_then(|(key, revision)| Some((key, revision.parse().ok()?)));
        let (key, revision) = parsed.ok_or_else(|| usage("--if wants KEY=REVISION, a whole number"))?;
        checks.push(Check::of(key, revision));
    }
    checks.extend(args.absent.iter().map(|key| Check::Absent { key: key.clone() }));
    let mut ops = Vec::new();
    for text in &args.put {
        let (key, value) = text.split_once('=').ok_or_else(|| usage("--put wants KEY=VALUE"))?;
        ops.push(Op::put(key, value.as_bytes()));
    }
    ops.extend(args.delete.iter().map(|key| Op::Delete { key: key.clone() }));
    told(kv.txn(&checks, &ops).await, json)
}

fn told(outcome: Result<Outcome, KvError>, json: bool) -> Result<(), Failure> {
    match outcome.map_err(|error| failed(&error))? {
        Outcome::Done { revision } if json => output::line(json!({ "done": true, "revision": revision })),
        Outcome::Done { revision: Some(revision) } => {
            output::line(format_args!("done at revision {revision}"))
        }
        Outcome::Done { revision: None } => output::line("done"),
        Outcome::Conflict { why } => {
            if json {
                output::line(json!({ "done": false, "why": why }))?;
            }
            let why = output::printable(&why);
            Err(output::fail(Failure::Conflict, format_args!("nothing was written: {why}")))
        }
    }
}

/// The value, and no more of it than is needed to see that it is too large.
fn value(args: &ValueArgs, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    let most = limit as u64 + 1;
    let read = match (&args.value, &args.file) {
        (_, Some(file)) => std::fs::File::open(file).and_then(|file| file.take(most).read_to_end(&mut value)),
        (Some(text), None) if text != "-" => return Ok(text.clone().into_bytes()),
        _ => std::io::stdin().lock().take(most).read_to_end(&mut value),
    };
    match read {
        Ok(_) => Ok(value),
        Err(error) => Err(output::fail(Failure::Usage, format_args!("the value cannot be read: {error}"))),
    }
}
