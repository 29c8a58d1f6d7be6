//! `resolver segment stat`.

use std::time::SystemTime;

use resolver_core::shm::{Inspection, Process};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{PlaceArgs, errors, is_held};
use crate::{Failure, output};

/// What is printed, field by field.
#[derive(Serialize)]
struct Stat {
    path: String,
    layout: u32,
    size_bytes: usize,
    seed: String,
    owner: Owner,
    pulse: u64,
    live: bool,
    epoch: u64,
    generation: u64,
    publications: u64,
    refused: u64,
    repaired_cells: u64,
    services: Share,
    settings: Share,
    leaves: Share,
    names: Share,
    long_name_bytes: Share,
    text_bytes_for_each: u32,
    /// Different errors in the log.
    errors: Share,
    counters: Map<String, Value>,
    repair: Repair,
}

#[derive(Serialize)]
struct Owner {
    epoch: u64,
    pid: u32,
    process: &'static str,
    /// Whether a process holds the lock now.
    holds: bool,
    since_ms: u64,
}

#[derive(Serialize)]
struct Share {
    used: usize,
    of: usize,
}

#[derive(Serialize)]
pub(super) struct Repair {
    /// Whether a dead writer left something unfinished; a live one finishes it itself.
    pub(super) needed: bool,
    pub(super) batch: bool,
    pub(super) half_written: usize,
    pub(super) staged: usize,
    pub(super) errors: usize,
}

impl Repair {
    pub(super) fn of(inspection: &Inspection, held: bool) -> Self {
        let repair = &inspection.repair;
        let needed = repair.is_needed() && !held;
        Repair {
            needed,
            batch: repair.batch,
            half_written: repair.half_written,
            staged: repair.staged,
            errors: repair.incidents,
        }
    }

    pub(super) fn line(&self) -> String {
        let batch =
            if self.batch { "a publication is committed and has not landed" } else { "nothing is committed" };
        let Repair { half_written, staged, errors, .. } = self;
        format!("{batch}, {half_written} cells half written, {staged} staged, {errors} errors half noted")
    }
}

pub(super) fn run(args: &PlaceArgs) -> Result<(), Failure> {
    let mut reading = args.open()?;
    let held = is_held(reading.segment());
    if held {
        reading.wait_for_beat();
    }
    let inspection = reading.segment().inspect();
    let counters = errors::counters(&reading.reader());
    let stat = stat(args, &inspection, held, held && reading.is_live(), counters);
    if args.json {
        return output::line(serde_json::to_string(&stat).unwrap_or_default());
    }
    for (word, value) in lines(&stat, inspection.process) {
        output::line(output::printable(&format!("{word:<14} {value}")))?;
    }
    Ok(())
}

fn stat(
    args: &PlaceArgs,
    inspection: &Inspection,
    held: bool,
    live: bool,
    counters: Map<String, Value>,
) -> Stat {
    let (used, capacity) = (&inspection.used, &inspection.capacity);
    let share = |used: usize, of: usize| Share { used, of };
    Stat {
        path: args.path.display().to_string(),
        layout: inspection.layout,
        size_bytes: inspection.size,
        seed: format!("{:016x}", inspection.seed),
        owner: Owner {
            epoch: inspection.owner.epoch,
            pid: inspection.owner.pid,
            process: inspection.process.name(),
            holds: held,
            since_ms: inspection.owner.since_ms,
        },
        pulse: inspection.pulse,
        live,
        epoch: inspection.epoch,
        generation: inspection.generation,
        publications: inspection.publications,
        refused: inspection.refused,
        repaired_cells: inspection.repaired,
        services: share(used.services, capacity.services as usize),
        settings: share(used.settings, capacity.configs as usize),
        leaves: share(used.leaves, used.leaves_total),
        names: share(used.names, used.names_total),
        long_name_bytes: share(used.long_name_bytes, used.long_name_bytes_total),
        text_bytes_for_each: capacity.text_bytes,
        errors: share(used.incidents, used.incidents_total),
        counters,
        repair: Repair::of(inspection, held),
    }
}

/// Seconds since a moment in milliseconds since 1970.
pub(super) fn seconds_since(ms: u64) -> u128 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    now.saturating_sub(u128::from(ms)) / 1000
}

fn lines(stat: &Stat, process: Process) -> Vec<(&'static str, String)> {
    let share = |share: &Share| format!("{} of {}", share.used, share.of);
    let holder = match (stat.owner.holds, stat.live) {
        (true, true) => "holds the segment and beats",
        (true, false) => "holds the segment and gives no sign of life",
        (false, _) => "nobody holds the segment",
    };
    let ago = seconds_since(stat.owner.since_ms);
    let repair = if stat.repair.needed {
        format!("needed: {}; the next agent does it, and readers go on as they are", stat.repair.line())
    } else if stat.owner.holds {
        "none; its owner is at work".into()
    } else {
        "none".into()
    };
    vec![
        (
            "segment",
            format!("{}, {} bytes, layout {}, seed {}", stat.path, stat.size_bytes, stat.layout, stat.seed),
        ),
        (
            "owner",
            format!(
                "{holder}; process {} ({}), writer {} of this segment",
                stat.owner.pid,
                process.name(),
                stat.owner.epoch
            ),
        ),
        ("since", format!("{ago} s ago")),
        ("pulse", stat.pulse.to_string()),
        ("epoch", stat.epoch.to_string()),
        ("generation", stat.generation.to_string()),
        ("publications", format!("{}, and {} refused", stat.publications, stat.refused)),
        ("services", share(&stat.services)),
        ("settings", share(&stat.settings)),
        ("leaves", format!("{}, with {} bytes of text each", share(&stat.leaves), stat.text_bytes_for_each)),
        (
            "names",
            format!(
                "{} different ones, {} bytes of long ones",
                share(&stat.names),
                share(&stat.long_name_bytes)
            ),
        ),
        ("errors", format!("{} different ones kept (resolver segment errors)", share(&stat.errors))),
        ("counted", counted(&stat.counters)),
        ("repair", format!("{repair}; {} cells over all takeovers", stat.repaired_cells)),
    ]
}

/// What was counted at all.
fn counted(counters: &Map<String, Value>) -> String {
    let counted = counters.iter().filter(|(_, count)| count.as_u64() != Some(0));
    let words: Vec<String> =
        counted.map(|(name, count)| format!("{count} {}", name.replace('_', "-"))).collect();
    if words.is_empty() { "nothing".into() } else { words.join(", ") }
}
