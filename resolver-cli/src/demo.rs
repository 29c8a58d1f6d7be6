//! `resolver demo`: the whole path at work in one process. An embedded registry is changed all the time; the agent's own
//! sync side publishes it to a table; on another core a reader resolves, and an oracle judges what it finds.

mod churn;
mod cores;
mod lookups;
mod oracle;
mod report;

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use clap::Args;
use resolver_core::{Capacity, Handle, Reader, ResolveError, Table, heap};
use resolver_sync::agent::Publication;
use resolver_sync::catalog::Catalog;
use resolver_sync::memory::MemorySource;
use resolver_sync::policy::Zones;
use resolver_sync::publisher::Patience;
use resolver_sync::report::Inflow;
use resolver_sync::view::View;
use tokio::sync::oneshot;

use crate::{Failure, output};
use churn::{Churn, NAMES};
use cores::Cores;
use lookups::{Findings, Progress};
use oracle::SERVICES;
use report::{Published, Summary, grouped, mean, short};

/// Room for what the registry may hold, with text for tools as an agent's table has it.
const CAPACITY: Capacity = Capacity { services: 64, endpoints: 1024, configs: 0, text_bytes: 64 };
/// How long the first publication, and the last, may take.
const SOON: Duration = Duration::from_secs(2);
const SOURCE: &str = "demo";

#[derive(Args)]
pub(crate) struct DemoArgs {
    /// How long to run, in seconds; at least 1.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Print the result as one JSON object, and nothing before it.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let cores = Cores::choose();
    // This thread, the churn's and the publisher's share the one; the reader moves away from them.
    Cores::pin(cores.sync).map_err(|error| output::fail(Failure::Failed, error))?;
    if !args.json {
        output::line(opening(args, cores))?;
    }
    let summary = demonstrate(args, cores)?;
    if args.json {
        let json = serde_json::to_string(&summary).map_err(|error| output::fail(Failure::Failed, error))?;
        output::line(json)?;
    } else {
        output::line(format_args!("\n{}", summary.text()))?;
    }
    match summary.faults() {
        faults if faults.is_empty() => Ok(()),
        faults => Err(output::fail(Failure::Failed, format_args!("the demo failed: {}", faults.join("; ")))),
    }
}

/// Builds the path, runs it, and takes it down again.
fn demonstrate(args: &DemoArgs, cores: Cores) -> Result<Summary, Failure> {
    let memory = heap(CAPACITY.lines());
    let table = Table::create(&memory, &CAPACITY, churn::SEED)
        .map_err(|error| output::fail(Failure::Failed, error))?;
    let (writer, reader) = table.split();
    let churn = Churn::new();
    let publication = Publication {
        settings: resolver_sync::publisher::Wanted::default(),
        sources: vec![Box::new(MemorySource::new(SOURCE, churn.registry()))],
        // Names that views fix keep their handles, whatever happens to the services.
        views: NAMES.iter().map(|name| View::of_service(SOURCE, name)).collect(),
        patience: Patience::default(),
        catalog: Catalog::default(),
        zones: Zones::default(),
        reports: Inflow::default(),
    };
    let (stop, stopped) = oneshot::channel();
    let (interrupt, interrupted) = channel();
    std::thread::scope(|scope| {
        let sync = scope.spawn(move || publication.run(writer, until_stopped(stopped, interrupt)));
        let summary = watch(args, cores, reader, churn, &interrupted);
        // The sync thread may have ended by itself; its result says why.
        let _ = stop.send(());
        match sync.join() {
            Ok(Ok(())) => summary,
            Ok(Err(error)) => Err(output::fail(Failure::Failed, format_args!("the sync thread: {error}"))),
            Err(_) => Err(output::fail(Failure::Failed, "the sync thread panicked")),
        }
    })
}

/// Ends when the demo does. Until then it passes SIGINT on: the demo has a summary to show first.
async fn until_stopped(stopped: oneshot::Receiver<()>, interrupt: Sender<()>) {
    let pass_on = async {
        if tokio::signal::ctrl_c().await.is_ok() {
            let _ = interrupt.send(());
        }
        std::future::pending::<()>().await;
    };
    first(async { drop(stopped.await) }, pass_on).await;
}

async fn first(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    tokio::select! {
        () = one => {}
        () = other => {}
    }
}

/// Starts the reader and the churn, shows what they do, and gathers what they found.
fn watch(
    args: &DemoArgs,
    cores: Cores,
    reader: Reader<'_>,
    mut churn: Churn,
    interrupted: &Receiver<()>,
) -> Result<Summary, Failure> {
    if !within(SOON, || churn.agreed(&reader) == SERVICES) {
        return Err(output::fail(Failure::Failed, "the registry's services are not in the table after 2 s"));
    }
    let Some(handles) = handles(&reader) else {
        return Err(output::fail(Failure::Failed, "a published service has no handle"));
    };
    let before = (generation(&reader, &handles), reader.epoch());
    let (changes, progress, ending) = (AtomicU64::new(0), Progress::default(), AtomicBool::new(false));
    let (found, churn) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            Cores::pin(cores.reader).map_err(|error| error.to_string())?;
            lookups::run(reader, &handles, &progress, &ending).map_err(|error| error.to_string())
        });
        let churning = scope.spawn(|| {
            churn.run(&changes, &ending);
            churn
        });
        let shown = show(args, &reader, &handles, &changes, &progress, interrupted);
        ending.store(true, Ordering::Relaxed);
        let found = looking.join().unwrap_or_else(|_| Err("it panicked".into()));
        let churn = churning.join().map_err(|_| output::fail(Failure::Failed, "the churn panicked"))?;
        shown?;
        let found: Findings = found
            .map_err(|error| output::fail(Failure::Failed, format_args!("the reader's thread: {error}")))?;
        Ok((found, churn))
    })?;
    within(SOON, || churn.agreed(&reader) == SERVICES);
    let published = Published {
        registry_changes: changes.into_inner(),
        sets: generation(&reader, &handles) - before.0,
        // Two steps each.
        batches: (reader.epoch() - before.1) / 2,
        services_in_step: churn.agreed(&reader),
    };
    Ok(Summary::new(cores, &found, published))
}

/// A line each second, until the time is up or somebody ends it.
fn show(
    args: &DemoArgs,
    reader: &Reader<'_>,
    handles: &[Handle; SERVICES],
    changes: &AtomicU64,
    progress: &Progress,
    interrupted: &Receiver<()>,
) -> Result<(), Failure> {
    let start = Instant::now();
    let mut last = (0, 0, 0);
    for second in 1..=args.seconds {
        let rest = (start + Duration::from_secs(second)).saturating_duration_since(Instant::now());
        // Disconnected: the sync thread has ended, and will say why.
        if !matches!(interrupted.recv_timeout(rest), Err(std::sync::mpsc::RecvTimeoutError::Timeout)) {
            return Ok(());
        }
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let now = (load(&progress.lookups), load(&progress.batched), load(&progress.batched_ns));
        if !args.json {
            output::line(format_args!(
                "{second:>4} s  {:>16}  {:>10.2}  {:>10}  {:>5}   {}",
                short(now.0 - last.0),
                mean(now.2 - last.2, now.1 - last.1),
                grouped(load(changes)),
                load(&progress.torn),
                describe(reader, handles[0])
            ))?;
        }
        last = now;
    }
    Ok(())
}

/// What is said before anything happens, with the heads of the columns that follow.
fn opening(args: &DemoArgs, cores: Cores) -> String {
    format!(
        "resolver demo: {} services for {} s; Ctrl-C ends it early\n\n  \
         registry   in this process; instances come, go, fail, recover and move, and services with them\n  \
         sync       watches it and publishes to the table, as the agent does, {}\n  \
         reader     took {} handles once and calls resolve(handle), {}\n\n  \
         time      lookups in 1 s  ns/resolve     changes   torn   {} now",
        SERVICES,
        args.seconds,
        Cores::describe(cores.sync),
        SERVICES,
        Cores::describe(cores.reader),
        NAMES[0]
    )
}

fn describe(reader: &Reader<'_>, handle: Handle) -> String {
    match reader.resolve(handle) {
        Ok(resolved) => format!("{}, first of {}", resolved.address(), resolved.endpoints()),
        Err(ResolveError::Empty) => "EMPTY".into(),
        Err(error) => error.to_string(),
    }
}

fn handles(reader: &Reader<'_>) -> Option<[Handle; SERVICES]> {
    let handles: Option<Vec<_>> = NAMES.iter().map(|name| reader.service(name)).collect();
    handles?.try_into().ok()
}

/// The newest generation. It is one count over the whole table.
fn generation(reader: &Reader<'_>, handles: &[Handle]) -> u64 {
    let of = |handle: &Handle| reader.standing(*handle).map_or(0, |(.., generation)| generation);
    handles.iter().map(of).max().unwrap_or(0)
}

/// Whether it comes true in time.
fn within(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
