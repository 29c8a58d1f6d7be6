//! What a segment says of itself, and whether that fits together; for people. Nothing is written.

mod faults;

pub use faults::Fault;

use std::string::String;
use std::vec::Vec;

use super::{OwnerInfo, Segment, owned};
use crate::incident::Incidents;
use crate::layout::{Capacity, LAYOUT_VERSION, count, epoch, incidents, owner, pulse};
use crate::record::{Words, head};
use crate::table::View;
use crate::{State, cell};

/// A segment's header, its use, and what is wrong with it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// Version of the layout.
    pub layout: u32,
    /// Size of the file in bytes.
    pub size: usize,
    /// Random number of this segment.
    pub seed: u64,
    /// What it has room for.
    pub capacity: Capacity,
    /// What of it is in use.
    pub used: Used,
    /// The last writer, as it signed.
    pub owner: OwnerInfo,
    /// Whether that process is there; see [`Segment::has_owner`] for whether it holds the segment.
    pub process: Process,
    /// Beats of the publisher, since the segment was created.
    pub pulse: u64,
    /// Moves with every publication; odd while one lands.
    pub epoch: u64,
    /// The last generation that was given out.
    pub generation: u64,
    /// Publications that were committed.
    pub publications: u64,
    /// Publications that were refused because they did not fit, or were not valid.
    pub refused: u64,
    /// Cells that were repaired, over all takeovers.
    pub repaired: u64,
    /// What the next writer would have to repair.
    pub repair: Repair,
}

/// How much of a segment is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Used {
    /// Services.
    pub services: usize,
    /// Settings.
    pub settings: usize,
    /// Leaves (lines for endpoints and tables) of published sets, each set rounded up to a power of two.
    pub leaves: usize,
    /// Leaves in all: twice the capacity in endpoints.
    pub leaves_total: usize,
    /// Different names that the table has seen.
    pub names: usize,
    /// Different names that it has room for.
    pub names_total: usize,
    /// Bytes of names over 23 bytes.
    pub long_name_bytes: usize,
    /// Bytes that there are for those.
    pub long_name_bytes_total: usize,
    /// Entries of the log of distinct errors.
    pub incidents: usize,
    /// Entries that there are.
    pub incidents_total: usize,
}

/// What a writer that dies now would leave, or a dead one has left, for the next one to finish. Readers need none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// A publication is committed and has not landed whole: the epoch is odd.
    pub batch: bool,
    /// Cells whose line is half written: `seq` is odd.
    pub half_written: usize,
    /// Cells with a staged value that did not land: the shadow is not the line's.
    pub staged: usize,
    /// Entries of the log of distinct errors that are half written.
    pub incidents: usize,
}

impl Repair {
    /// Whether there is anything to do. Of a live writer's segment it may be true at any moment, and says nothing.
    pub fn is_needed(&self) -> bool {
        *self != Repair::default()
    }
}

/// A process that signed as a segment's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Process {
    /// It is there, and was started before it signed.
    Alive,
    /// There is none of this number, or one that was started later.
    Gone,
    /// The machine was started again since.
    OtherBoot,
    /// It cannot be told: another namespace of processes, or `/proc` is hidden.
    Unknown,
}

impl Process {
    /// The word that tools print.
    pub const fn name(self) -> &'static str {
        match self {
            Process::Alive => "alive",
            Process::Gone => "gone",
            Process::OtherBoot => "of another boot",
            Process::Unknown => "unknown",
        }
    }
}

impl Segment {
    /// What the segment says of itself. Each field is as it was at some moment; a live writer goes on meanwhile. Cold: it
    /// looks at every cell, and at `/proc`.
    pub fn inspect(&self) -> Inspection {
        let view = View::new(self.mapping.lines(), self.plan);
        let (plan, counts) = (&self.plan, &view.header[count::LINE]);
        Inspection {
            layout: LAYOUT_VERSION,
            size: self.identity.size,
            seed: view.seed(),
            capacity: Capacity {
                services: plan.services as u32,
                endpoints: plan.leaves.div_ceil(2) as u32,
                configs: plan.configs as u32,
                text_bytes: (plan.text_lines * 64) as u32,
            },
            used: used(&view),
            owner: self.owner(),
            process: match process(&view, &self.owner()) {
                // It is there, and has another number here: this is a namespace of processes of its own.
                Process::Gone if self.has_owner().unwrap_or(false) => Process::Unknown,
                process => process,
            },
            pulse: view.header[pulse::LINE].load(pulse::BEAT),
            epoch: view.header[epoch::LINE].load(epoch::EPOCH),
            generation: counts.load(count::GENERATION),
            publications: counts.load(count::PUBLICATIONS),
            refused: counts.load(count::REFUSED),
            repaired: counts.load(count::REPAIRED),
            repair: repair(&view),
        }
    }

    /// Checks that what the segment says fits together: each name leads to its service and each service has a name, sets lie
    /// where sets can and nowhere twice, and every leaf is of its set. What a live writer is about to change is looked at
    /// again, and is no fault.
    pub fn faults(&self) -> Vec<Fault> {
        let view = View::new(self.mapping.lines(), self.plan);
        let mut faults = faults::of(&view);
        for _ in 0..LOOKS {
            if faults.is_empty() {
                break;
            }
            let again = faults::of(&view);
            faults.retain(|fault| again.contains(fault));
        }
        faults
    }
}

/// How often a fault must be there before it is one.
const LOOKS: usize = 16;

fn used(view: &View<'_>) -> Used {
    let plan = &view.plan;
    let is_used = |slot: &usize| {
        let words: Words = cell::staged(&view.shadows[*slot]);
        head::incarnation(&words) != 0 && head::standing_of(&words).0 != State::Removed
    };
    let sets = (0..plan.services).filter_map(|slot| faults::block_of(view, slot));
    let counts = &view.header[count::LINE];
    Used {
        services: (0..plan.services).filter(is_used).count(),
        settings: (plan.first_setting()..plan.cells()).filter(is_used).count(),
        leaves: sets.map(|(_, leaves)| leaves).sum(),
        leaves_total: plan.leaves,
        names: counts.load(count::BUCKETS) as usize,
        names_total: plan.buckets / 2,
        long_name_bytes: (counts.load(count::LONG_NAMES) as usize).saturating_mul(8),
        long_name_bytes_total: plan.long_lines * 64,
        incidents: Incidents::of(view.incidents).count(),
        incidents_total: plan.incident_entries(),
    }
}

fn repair(view: &View<'_>) -> Repair {
    let batch = view.header[epoch::LINE].load(epoch::EPOCH) & 1 != 0;
    let mut repair = Repair { batch, ..Repair::default() };
    for (line, shadow) in view.cells.iter().zip(view.shadows) {
        let (line, shadow) = (line.to_words(), shadow.to_words());
        if line[0] & 1 != 0 {
            repair.half_written += 1;
        } else if line != shadow {
            repair.staged += 1;
        }
    }
    let entries = view.incidents.chunks_exact(incidents::LINES);
    repair.incidents = entries.filter(|entry| entry[0].load(0) & 1 != 0).count();
    repair
}

fn process(view: &View<'_>, info: &OwnerInfo) -> Process {
    let line = &view.header[owner::LINE];
    let (signed, now) = ([line.load(owner::BOOT), line.load(owner::BOOT + 1)], owned::boot_id());
    if signed != now && signed != [0, 0] && now != [0, 0] {
        return Process::OtherBoot;
    }
    match started_ms(info.pid) {
        // The kernel counts in hundredths of a second, and tells the time of its start in seconds.
        Ok(Some(started)) if started <= info.since_ms.saturating_add(2000) => Process::Alive,
        Ok(_) => Process::Gone,
        Err(_) => Process::Unknown,
    }
}

/// When a process was started, in milliseconds since 1970; `None` where there is none of this number.
fn started_ms(pid: u32) -> std::io::Result<Option<u64>> {
    let unknown = || std::io::Error::other("/proc tells no time");
    let system = std::fs::read_to_string("/proc/stat")?;
    let boot = system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok());
    let boot = boot.ok_or_else(unknown)?;
    let stat = match std::fs::read_to_string(std::format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // "PID (NAME) STATE ...": the name may hold anything, so count from its end. The start is the 22nd field.
    let fields = stat.rsplit_once(')').map(|(_, fields)| String::from(fields)).ok_or_else(unknown)?;
    let ticks: u64 =
        fields.split_whitespace().nth(19).and_then(|field| field.parse().ok()).ok_or_else(unknown)?;
    Ok(Some(boot * 1000 + ticks * 1000 / rustix::param::clock_ticks_per_second().max(1)))
}
