//! Every bound and target of a ratio, as data. A gate must hold on a noisy machine; a target is higher, and where we are
//! behind it the report says so.

use crate::floors::{LINE, PLAIN};
use crate::ours::{CACHED, NAME, RESOLVE, ROUND_ROBIN};
use crate::peers::rows::*;
use crate::report::Table;
use crate::stopped::{MAPPED, STOPPED};

/// The tables that gates look at.
pub mod table {
    /// One value for each service, by handle or index.
    pub const HANDLE: &str = "by handle";
    /// One handle, asked all the time.
    pub const ONE: &str = "one handle";
    /// By name.
    pub const NAME: &str = "by name";
    /// One of several endpoints.
    pub const BALANCE: &str = "one of 8";
    /// A writer that is stopped in the middle.
    pub const STOPPED: &str = "writer stopped in mid-publication";
    /// A read-only mapping.
    pub const MAPPED: &str = "read-only mapping";
}

/// Nobody writes.
pub const IDLE: &str = "idle";

/// Which way a ratio is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// The ratio of ours to a limit.
    AtMost(f64),
    /// The ratio of a peer to ours.
    AtLeast(f64),
}

impl Bound {
    /// Whether a ratio keeps it. Not a number keeps nothing.
    pub fn holds(self, ratio: f64) -> bool {
        match self {
            Bound::AtMost(bound) => ratio <= bound,
            Bound::AtLeast(bound) => ratio >= bound,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bound::AtMost(bound) => write!(f, "<= {bound:.2}"),
            Bound::AtLeast(bound) => write!(f, ">= {bound:.2}"),
        }
    }
}

/// A bound on the ratio of two rows of a table.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// See [`table`].
    pub table: &'static str,
    /// The dividend.
    pub row: &'static str,
    /// The divisor.
    pub base: &'static str,
    /// `throughput` or `dependent`.
    pub form: &'static str,
    /// Services in the table.
    pub services: usize,
    /// Who writes meanwhile.
    pub writer: &'static str,
    /// Must hold.
    pub gate: Option<Bound>,
    /// Is aimed at.
    pub target: Option<Bound>,
}

/// What came out for a gate.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The gate.
    pub gate: Gate,
    /// The middle one of the runs.
    pub measured: f64,
}

impl Verdict {
    /// Whether the gate is kept; true where there is none.
    pub fn passes(&self) -> bool {
        self.gate.gate.is_none_or(|bound| bound.holds(self.measured))
    }

    /// Whether the target is met, if there is one.
    pub fn meets(&self) -> Option<bool> {
        Some(self.gate.target?.holds(self.measured))
    }
}

/// Looks up what was measured for each gate. One whose rows were not measured (peers that are not built in, a quick run)
/// has no verdict; one whose rows were measured without a valid pair has failed.
pub fn judge(tables: &[Table]) -> Vec<Verdict> {
    let measured = |gate: &Gate| {
        let found = tables.iter().find(|table| {
            (table.key.table, table.key.form, table.key.services) == (gate.table, gate.form, gate.services)
                && table.key.writer == gate.writer
        })?;
        found.ratio(gate.row, gate.base)
    };
    let verdict = |gate: Gate| Some(Verdict { measured: measured(&gate)?, gate });
    all().into_iter().filter_map(verdict).collect()
}

const TPUT: &str = "throughput";
const DEP: &str = "dependent";
const SAME: &str = "1M/s same";
const K: usize = 1024;

/// All of them.
pub fn all() -> Vec<Gate> {
    let mut gates = Vec::new();
    limits(&mut gates);
    cells(&mut gates);
    names(&mut gates);
    let balancers = [PINGORA_ROUND_ROBIN, PINGORA_RANDOM, PINGORA_CONSISTENT];
    gates.extend(balancers.map(|row| ahead(table::BALANCE, row, ROUND_ROBIN, TPUT, 1, (30.0, 50.0))));
    gates
}

/// Against plain loads of the same line, and against ourselves.
fn limits(gates: &mut Vec<Gate>) {
    let most = |table, row, base, form, services, writer, gate, target: Option<f64>| Gate {
        table,
        row,
        base,
        form,
        services,
        writer,
        gate: Some(Bound::AtMost(gate)),
        target: target.map(Bound::AtMost),
    };
    for services in [16, K] {
        let line = |form, writer, gate, target| {
            most(table::HANDLE, RESOLVE, LINE, form, services, writer, gate, Some(target))
        };
        gates.extend([
            line(TPUT, IDLE, 1.45, 1.35),
            line(DEP, IDLE, 1.12, 1.03),
            line(TPUT, SAME, 1.50, 1.42),
            line(DEP, SAME, 1.15, 1.10),
            most(table::HANDLE, RESOLVE, PLAIN, TPUT, services, IDLE, 1.05, None),
            most(table::MAPPED, MAPPED, RESOLVE, TPUT, services, IDLE, 1.03, Some(1.03)),
            most(table::MAPPED, MAPPED, RESOLVE, DEP, services, IDLE, 1.03, Some(1.03)),
        ]);
    }
    for form in [TPUT, DEP] {
        gates.push(most(table::STOPPED, STOPPED, RESOLVE, form, 16, "stopped", 1.6, Some(1.5)));
    }
}

/// A peer's ratio to ours, with nobody writing: gate and target.
fn ahead(
    table: &'static str,
    row: &'static str,
    base: &'static str,
    form: &'static str,
    services: usize,
    (gate, target): (f64, f64),
) -> Gate {
    let (gate, target) = (Some(Bound::AtLeast(gate)), Some(Bound::AtLeast(target)));
    Gate { table, row, base, form, services, writer: IDLE, gate, target }
}

fn cells(gates: &mut Vec<Gate>) {
    let by = |row, form, bounds| ahead(table::HANDLE, row, RESOLVE, form, K, bounds);
    for row in [SEQLOCK, ATOMIC_CELL, CPP_SEQLOCK] {
        gates.extend([by(row, TPUT, (1.10, 1.20)), by(row, DEP, (1.08, 1.15))]);
    }
    gates.push(by(ICEORYX2, TPUT, (2.3, 2.5)));
    let dear = [
        STD_RW_LOCK,
        PARKING_LOT_MUTEX,
        PARKING_LOT_RW_LOCK,
        ARC_SWAP_LOAD,
        LEFT_RIGHT,
        WATCH,
        CPP_SHARED_PTR,
    ];
    for row in dear {
        gates.extend([by(row, TPUT, (3.0, 3.4)), by(row, DEP, (1.35, 1.4))]);
    }
    // 1 / 1.05 and 1 / 0.9, and the other way round: the cache's time by ours.
    gates.extend([
        ahead(table::ONE, ARC_SWAP_CACHE, CACHED, TPUT, 1, (0.95, 1.0)),
        ahead(table::HANDLE, ARC_SWAP_CACHE, CACHED, TPUT, K, (1.11, 1.2)),
    ]);
}

fn names(gates: &mut Vec<Gate>) {
    let by = |row, bounds| ahead(table::NAME, row, NAME, TPUT, K, bounds);
    gates.extend([by(HASH_MAP, (1.10, 1.10)), by(PAPAYA_HELD, (1.05, 1.1)), by(DASHMAP_FOLD, (1.35, 1.5))]);
    gates.extend([STD_RW_MAP, DASHMAP, PAPAYA, SCC, EVMAP].map(|row| by(row, (2.5, 3.0))));
    gates.extend([by(MOKA, (8.0, 14.0)), by(HICKORY, (40.0, 70.0))]);
    for services in [1 << 17, 1 << 20] {
        for row in [HASH_MAP, PAPAYA_HELD, DASHMAP_FOLD, STD_RW_MAP] {
            for form in [TPUT, DEP] {
                let gate = ahead(table::NAME, row, NAME, form, services, (1.0, 1.0));
                gates.push(Gate { gate: None, ..gate });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_no_lower_than_its_gate() {
        for gate in all() {
            let in_order = match (gate.gate, gate.target) {
                (Some(Bound::AtMost(gate)), Some(Bound::AtMost(target))) => target <= gate,
                (Some(Bound::AtLeast(gate)), Some(Bound::AtLeast(target))) => target >= gate,
                (Some(_), None) | (None, Some(_)) => true,
                _ => false,
            };
            assert!(in_order, "{gate:?}");
        }
    }

    #[test]
    fn a_ratio_that_is_none_keeps_no_bound() {
        assert!(!Bound::AtMost(1.0).holds(f64::NAN) && !Bound::AtLeast(1.0).holds(f64::NAN));
        assert!(Bound::AtMost(1.0).holds(1.0) && !Bound::AtLeast(1.1).holds(1.0));
    }
}
