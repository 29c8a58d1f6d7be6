//! What came out: on the terminal, in markdown, as JSON.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use crate::gates::Verdict;
use crate::paired::{Samples, median};
use crate::subject::Role;

/// Fewer pairs than this, over all runs, say nothing.
const LEAST_PAIRS: usize = 100;

/// What was measured in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// See [`crate::gates::table`].
    pub table: &'static str,
    /// `throughput` or `dependent`.
    pub form: &'static str,
    /// Services.
    pub services: usize,
    /// Who wrote meanwhile.
    pub writer: String,
}

/// The runs of a table.
#[derive(Clone, Debug)]
pub struct Table {
    /// What it is.
    pub key: Key,
    /// Names and roles; the first one is the base.
    pub rows: Vec<(&'static str, Role)>,
    /// Every run.
    pub runs: Vec<Samples>,
}

/// The figures of a row.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    table: &'static str,
    form: &'static str,
    services: usize,
    writer: String,
    row: &'static str,
    /// The row that `ratio` is to.
    base: &'static str,
    /// The middle run's; null where the writer did not keep its rate.
    ratio: Option<f64>,
    ns: Option<f64>,
    /// Over all runs.
    pairs: usize,
    runs: Vec<f64>,
    /// Millions of writes a second meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    writes: Option<f64>,
    /// Of a peer: our row that does the same work, and the ratio to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_ours: Option<f64>,
}

impl Table {
    /// The middle one of the runs' ratios; not a number where too few pairs counted, nothing where a row is missing.
    pub fn ratio(&self, row: &str, base: &str) -> Option<f64> {
        let runs: Option<Vec<_>> = self.runs.iter().map(|run| run.row(row, base)).collect();
        let runs = runs?;
        let pairs: usize = runs.iter().map(|run| run.pairs).sum();
        let ratio = median(runs.iter().map(|run| run.ratio).collect());
        Some(if pairs < LEAST_PAIRS { f64::NAN } else { ratio })
    }

    /// All rows.
    pub fn figures(&self) -> Vec<Figures> {
        let Some((base, _)) = self.rows.first() else { return Vec::new() };
        let figures = |(row, role): &(&'static str, Role)| {
            let runs: Vec<_> = self.runs.iter().filter_map(|run| run.row(row, base)).collect();
            let ratio = self.ratio(row, base).filter(|ratio| ratio.is_finite());
            let against = match role {
                Role::Peer { against } => Some(*against),
                Role::Floor | Role::Ours => None,
            };
            Figures {
                table: self.key.table,
                form: self.key.form,
                services: self.key.services,
                writer: self.key.writer.clone(),
                row,
                base,
                ratio: ratio.map(rounded),
                ns: ratio.map(|_| rounded(median(runs.iter().map(|run| run.nanoseconds).collect()))),
                pairs: runs.iter().map(|run| run.pairs).sum(),
                runs: runs.iter().map(|run| rounded(run.ratio)).filter(|ratio| ratio.is_finite()).collect(),
                writes: Some(median(runs.iter().map(|run| run.writes / 1e6).collect()))
                    .filter(|writes| writes.is_finite())
                    .map(rounded),
                against,
                to_ours: against
                    .and_then(|ours| self.ratio(row, ours))
                    .filter(|ratio| ratio.is_finite())
                    .map(rounded),
            }
        };
        self.rows.iter().map(figures).collect()
    }

    /// As a title.
    pub fn title(&self) -> String {
        let Key { table, form, services, writer } = &self.key;
        format!("{table}, {services} services, {form}, {writer}")
    }

    /// For a terminal, or as a table of markdown.
    pub fn text(&self, markdown: bool) -> String {
        let cells: Vec<[String; 7]> = self.figures().iter().map(Figures::cells).collect();
        let head = ["", "ratio", "ns", "to ours", "M writes/s", "pairs", "runs"].map(String::from);
        let title = if markdown { format!("### {}\n", self.title()) } else { self.title() };
        let mut text = title + "\n";
        if markdown {
            let _ = writeln!(text, "| {} |\n|---|---:|---:|---:|---:|---:|---|", head.join(" | "));
            for row in &cells {
                let _ = writeln!(text, "| {} |", row.join(" | "));
            }
        } else {
            for [name, ratio, ns, ours, writes, pairs, runs] in std::iter::once(&head).chain(&cells) {
                let _ = writeln!(
                    text,
                    "  {name:<38} {ratio:>8} {ns:>9} {ours:>16} {writes:>10} {pairs:>7}  {runs}"
                );
            }
        }
        text
    }
}

impl Figures {
    fn cells(&self) -> [String; 7] {
        let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
        let ours = match (self.against, self.to_ours) {
            (None, _) => String::new(),
            // A peer that is ahead is to be seen.
            (Some(_), Some(ratio)) if ratio < 1.0 => format!("**{ratio:.2} ahead**"),
            (Some(_), ratio) => number(ratio),
        };
        let runs: Vec<String> = self.runs.iter().map(|ratio| format!("{ratio:.2}")).collect();
        let runs = if self.ratio.is_some() {
            runs.join(" ")
        } else {
            "too few: the writer did not keep its rate, or its core".into()
        };
        let writes = self.writes.map_or(String::new(), |writes| format!("{writes:.3}"));
        [self.row.into(), number(self.ratio), number(self.ns), ours, writes, self.pairs.to_string(), runs]
    }
}

/// The gates and targets: what was measured, and what became of them.
pub fn verdicts(verdicts: &[Verdict], markdown: bool) -> String {
    let head = ["what", "to", "where", "measured", "gate", "", "target", ""].map(String::from);
    let cells = verdicts.iter().map(|verdict| {
        let gate = &verdict.gate;
        let place = format!("{}, {}, {}, {}", gate.table, gate.services, gate.form, gate.writer);
        let bound = |bound: Option<crate::gates::Bound>| bound.map_or("-".into(), |bound| bound.to_string());
        let judged = match (gate.gate, verdict.passes()) {
            (None, _) => "",
            (_, true) => "pass",
            (_, false) => "**FAIL**",
        };
        let met = match verdict.meets() {
            None => "",
            Some(true) => "met",
            Some(false) => "**behind**",
        };
        [
            gate.row.into(),
            gate.base.into(),
            place,
            format!("{:.2}", verdict.measured),
            bound(gate.gate),
            judged.into(),
            bound(gate.target),
            met.into(),
        ]
    });
    let mut text = String::from(if markdown { "### Gates and targets\n\n" } else { "gates and targets\n" });
    for (index, row) in std::iter::once(head).chain(cells).enumerate() {
        let [what, to, place, measured, gate, judged, target, met] = &row;
        if markdown {
            let _ = writeln!(text, "| {} |", row.join(" | "));
            if index == 0 {
                text.push_str("|---|---|---|---:|---:|---|---:|---|\n");
            }
        } else {
            let _ = writeln!(
                text,
                "  {what:<38} {to:<22} {place:<48} {measured:>8} {gate:>8} {judged:<8} {target:>8} {met}"
            );
        }
    }
    text
}

#[derive(Serialize)]
struct Judged<'a> {
    table: &'a str,
    form: &'a str,
    services: usize,
    writer: &'a str,
    row: &'a str,
    base: &'a str,
    measured: Option<f64>,
    gate: Option<String>,
    passes: bool,
    target: Option<String>,
    meets: Option<bool>,
}

/// Writes `ratios.json` (an object for each row of each table) and `gates.json` into a directory.
///
/// # Errors
///
/// What the file system says.
pub fn save(directory: &Path, tables: &[Table], verdicts: &[Verdict]) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let figures: Vec<Figures> = tables.iter().flat_map(Table::figures).collect();
    std::fs::write(directory.join("ratios.json"), serde_json::to_string_pretty(&figures)?)?;
    let judged = |verdict: &Verdict| {
        let gate = verdict.gate;
        serde_json::to_value(Judged {
            table: gate.table,
            form: gate.form,
            services: gate.services,
            writer: gate.writer,
            row: gate.row,
            base: gate.base,
            measured: verdict.measured.is_finite().then(|| rounded(verdict.measured)),
            gate: gate.gate.map(|bound| bound.to_string()),
            passes: verdict.passes(),
            target: gate.target.map(|bound| bound.to_string()),
            meets: verdict.meets(),
        })
    };
    let judged: Vec<_> = verdicts.iter().map(judged).collect::<Result<_, _>>()?;
    std::fs::write(directory.join("gates.json"), serde_json::to_string_pretty(&judged)?)
}

/// To four places: the rest is noise.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
