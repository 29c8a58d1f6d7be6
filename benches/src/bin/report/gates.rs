//! What the ratio tool says of its gates and targets: `target/latency/gates.json`. The bounds are that tool's; here are only
//! the words.

use serde::Deserialize;

use crate::ratios::{Group, Ratio};
use crate::words::Said;

/// Its name among the figures.
pub const FILE: &str = "gates.json";

/// A bound on the ratio of two rows, and what was measured.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Verdict {
    table: String,
    form: String,
    services: u64,
    writer: String,
    row: String,
    base: String,
    measured: Option<f64>,
    /// As `<= 1.45`, or `>= 1.20` for a peer.
    gate: Option<String>,
    passes: bool,
    target: Option<String>,
    meets: Option<bool>,
}

/// # Errors
///
/// In words: what is not as it should be.
pub fn parse(text: &str) -> Result<Vec<Verdict>, String> {
    serde_json::from_str(text).map_err(|e| e.to_string())
}

impl Verdict {
    fn is_of(&self, group: &Group, row: &str) -> bool {
        (self.table.as_str(), self.form.as_str(), self.services)
            == (group.table.as_str(), group.form.as_str(), group.services)
            && (self.writer.as_str(), self.row.as_str()) == (group.writer.as_str(), row)
    }

    /// What falls short, in words.
    fn short(&self) -> Option<String> {
        let (kind, bound) = match (self.passes, self.meets) {
            (false, _) => ("gate", self.gate.as_deref()?),
            (true, Some(false)) => ("target", self.target.as_deref()?),
            _ => return None,
        };
        let Some(measured) = self.measured else {
            return Some(format!("nothing to hold against the {kind} {bound}"));
        };
        let base = &self.base;
        let figure = |bound: &str| format!("{measured:.2} of `{base}`'s time, {kind} {bound}");
        Some(match bound.split_once(' ') {
            Some(("<=", bound)) => format!("over the {kind} ({})", figure(bound)),
            Some((">=", bound)) => format!("short of the {kind} ({})", figure(bound)),
            _ => format!("outside the {kind} ({})", figure(bound)),
        })
    }
}

/// What is said of a row: its ratio to the first row, ns in brackets, and for a peer its ratio to ours.
pub fn say(group: &Group, row: &Ratio, verdicts: &[Verdict]) -> Said {
    let Some(ratio) = row.ratio else {
        return Said::plain("- (the writer did not keep its rate)".into());
    };
    let ns = row.ns.map_or(String::new(), |ns| format!(" ({})", time(ns)));
    let ours = row.to_ours.map_or(String::new(), |times| format!("; {times:.2}x"));
    let mut short = Vec::new();
    if let (Some(times), Some(against)) = (row.to_ours, &row.against)
        && times < 1.0
    {
        short.push(format!("`{against}` is behind"));
    }
    short.extend(verdicts.iter().filter(|verdict| verdict.is_of(group, &row.row)).filter_map(Verdict::short));
    Said::with(&format!("{ratio:.2}{ns}{ours}"), short)
}

/// Nanoseconds, with as many places as say something.
pub fn time(ns: f64) -> String {
    if ns < 10.0 {
        format!("{ns:.2}")
    } else if ns < 100.0 {
        format!("{ns:.1}")
    } else {
        format!("{ns:.0}")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ratios;

    /// Made by hand, in the shape of the ratio tool's file.
    pub(crate) const SAMPLE: &str = include_str!("sample/gates.json");

    fn said(row: &str, form: &str, writer: &str, services: u64) -> Said {
        let groups = ratios::parse(ratios::tests::SAMPLE).expect("well-formed");
        let verdicts = parse(SAMPLE).expect("well-formed");
        let of = |group: &&Group| {
            (group.form.as_str(), group.writer.as_str(), group.services) == (form, writer, services)
        };
        let group = groups.iter().filter(of).find(|group| group.row(row).is_some()).expect("in the sample");
        say(group, group.row(row).expect("found"), &verdicts)
    }

    #[test]
    fn within_the_target_nothing_is_bold() {
        assert_eq!(said("resolve", "throughput", "idle", 16), Said::plain("1.34 (1.55)".into()));
        assert_eq!(said("seqlock", "throughput", "idle", 16), Said::plain("1.74 (2.02); 1.30x".into()));
    }

    #[test]
    fn over_a_target_over_a_gate_and_behind_a_peer_are_bold_and_say_so() {
        let target = said("resolve", "throughput", "1M/s same", 1024);
        assert_eq!(
            target.text,
            "**1.47 (1.58): over the target (1.47 of `torn line, 8 loads`'s time, target 1.42)**"
        );
        let gate = said("resolve", "dependent", "idle", 1024);
        assert!(gate.text.starts_with("**") && gate.text.contains("over the gate") && gate.short.len() == 1);
        let behind = said("HashMap, foldhash (no writer)", "throughput", "idle", 1024);
        assert_eq!(behind.short[0], "`resolve_name(&str)` is behind");
        assert!(behind.short[1].contains("short of the gate"), "{behind:?}");
    }

    #[test]
    fn a_row_without_a_ratio_says_why() {
        assert!(
            said("cached handle", "throughput", "1M/s same", 1024).text.contains("did not keep its rate")
        );
    }
}
