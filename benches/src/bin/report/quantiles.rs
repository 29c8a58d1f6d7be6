//! The tails, as tables of markdown.

use std::fmt::Write;

use resolver_benches::tails::field::row;
use resolver_benches::tails::sheet::{ALLOWED, Row, Sheet, TABLE};

use crate::ratios::distinct;
use crate::words::{Said, services};

/// The rows of one scenario.
pub struct Scenario<'a> {
    /// What is written meanwhile.
    pub writer: &'a str,
    /// Services of the table.
    pub services: u32,
    /// In the order of measurement.
    pub rows: Vec<&'a Row>,
}

impl Scenario<'_> {
    /// As a title.
    pub fn title(&self) -> String {
        format!("{}, {}", self.writer, services(u64::from(self.services)))
    }
}

/// In the order of measurement.
pub fn scenarios(sheet: &Sheet) -> Vec<Scenario<'_>> {
    let places = distinct(&sheet.rows, |row| (row.writer.as_str(), row.services));
    let of = |(writer, services)| {
        let rows = sheet.rows.iter().filter(|row| row.writer == writer && row.services == services);
        Scenario { writer, services, rows: rows.collect() }
    };
    places.into_iter().map(of).collect()
}

/// A table for each scenario, and under its heading what `under` gives for it.
pub fn tables(sheet: &Sheet, under: impl Fn(&Scenario<'_>) -> String) -> String {
    let mut text = String::new();
    for scenario in scenarios(sheet) {
        let _ = write!(text, "### {}\n\n{}", scenario.title(), under(&scenario));
        text += "| ns | p50 | p90 | p99 | p99.9 | p99.99 | p99.9 over its floor | calls | slices kept |\n";
        text += "|---|---:|---:|---:|---:|---:|---|---:|---:|\n";
        for row in &scenario.rows {
            let _ = write!(text, "| {} |", row.row);
            for quantile in TABLE {
                let _ = write!(text, " {} |", row.at(quantile).map_or("-".into(), |ns| format!("{ns:.0}")));
            }
            let samples: u64 = row.runs.iter().map(|run| run.samples).sum();
            let kept = row.runs.iter().map(|run| run.kept).sum::<f64>() / row.runs.len().max(1) as f64;
            let _ = writeln!(
                text,
                " {} | {} | {:.0} % |",
                over(sheet, row).text,
                millions(samples),
                kept * 100.0
            );
        }
        let writes: Vec<f64> =
            scenario.rows.iter().flat_map(|row| &row.runs).filter_map(|run| run.writes).collect();
        if let (Some(least), Some(most)) =
            (writes.iter().copied().reduce(f64::min), writes.iter().copied().reduce(f64::max))
        {
            let _ = writeln!(
                text,
                "\nThe writer made {:.1} to {:.1} million publications a second.",
                least / 1e6,
                most / 1e6
            );
        }
        text += "\n";
    }
    text
}

/// How far p99.9 is over the floor's of the same run, the middle of the runs.
pub fn over(sheet: &Sheet, row: &Row) -> Said {
    if row.floor.is_none() {
        return Said::default();
    }
    let Some(verdict) = sheet.judge(row) else {
        return Said::plain("- (too few calls: the writer did not keep its rate)".into());
    };
    let (middle, allowed) = (format!("{:.0}", verdict.middle), sheet.allowed());
    let short = match (verdict.within, row.gated) {
        (true, _) => vec![],
        (false, true) => {
            vec![format!("over the gate of {ALLOWED} ns ({allowed:.0} in whole steps of the clock)")]
        }
        (false, false) => vec![format!("more than the {ALLOWED} ns that `resolve` is allowed")],
    };
    Said::with(&middle, short)
}

/// Every row that is over, in words: lines of a list.
pub fn short(sheet: &Sheet) -> Vec<String> {
    let rows = sheet.rows.iter().map(|row| (row, over(sheet, row).short));
    let short = rows.filter(|(_, short)| !short.is_empty());
    let line = |(row, short): (&Row, Vec<String>)| {
        let middle = sheet.judge(row).map_or(0.0, |verdict| verdict.middle);
        let place = format!("{}, {}", row.writer, services(u64::from(row.services)));
        format!("p99.9, {place}: **{}: {middle:.0} ns over its floor, {}**", row.row, short.join(", "))
    };
    short.map(line).collect()
}

/// What the clock was, what was subtracted, and why nothing is said of the longest call.
pub fn clock(sheet: &Sheet) -> String {
    let empty = || sheet.rows.iter().filter(|row| row.row == row::EMPTY).flat_map(|row| &row.runs);
    let all = sheet.rows.iter().flat_map(|row| &row.runs);
    let subtracted: Vec<f64> = all.map(|run| run.subtracted).collect();
    let (least, most) = (
        subtracted.iter().copied().fold(f64::INFINITY, f64::min),
        subtracted.iter().copied().fold(0.0, f64::max),
    );
    let longest = empty().map(|run| run.longest).fold(0.0, f64::max);
    let trips: Vec<String> = sheet.round_trips.iter().map(|trip| format!("{trip:.0}")).collect();
    let trips =
        if trips.is_empty() { "not measured: one core".into() } else { format!("{} ns", trips.join(", ")) };
    format!(
        "Clock: {}; it moved in steps of {:.1} ns in this run, so no figure is known better. Subtracted from every call: the p50 of the \
         empty pair of the same run and scenario, {least:.0} to {most:.0} ns. {} of everything with {} million calls of each row, and \
         the middle figure is shown. Core to core and back, in each run: {trips}. The longest empty pair took {:.0} us, with nothing \
         between its two readings: that is why no claim is made on the longest call of any row.\n",
        sheet.clock,
        sheet.step,
        if sheet.runs == 1 { "One run".into() } else { format!("{} runs", sheet.runs) },
        sheet.samples as f64 / 1e6,
        longest / 1e3,
    )
}

/// What the gate says, in one line.
pub fn gate(sheet: &Sheet) -> String {
    let failures = sheet.failures();
    if failures.is_empty() {
        let (allowed, rows) = (sheet.allowed(), sheet.rows.iter().filter(|row| row.gated).count());
        return format!(
            "Met in all {rows} rows ({ALLOWED} ns are {allowed:.0} in whole steps of the clock).\n"
        );
    }
    failures.iter().map(|failure| format!("- **{failure}**\n")).collect()
}

fn millions(n: u64) -> String {
    if n < 100_000 { n.to_string() } else { format!("{:.1}M", n as f64 / 1e6) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Made by hand, in the shape of the tails' file.
    pub(crate) fn sample() -> Sheet {
        serde_json::from_str(include_str!("sample/tails.json")).expect("well-formed")
    }

    #[test]
    fn each_scenario_has_a_table_with_the_five_quantiles() {
        let text = tables(&sample(), |scenario| format!("[{}]\n\n", scenario.writer));
        assert!(text.starts_with("### idle, 1,024 services\n\n[idle]\n\n| ns | p50 |"), "{text}");
        assert!(
            text.contains("\n| torn line, 8 loads | 10 | 10 | 40 | 40 | 50 |  | 12.0M | 98 % |\n"),
            "{text}"
        );
        assert!(text.contains("made 4.7 to 4.9 million publications a second"), "{text}");
    }

    #[test]
    fn a_row_over_its_floor_is_bold_and_listed() {
        let sheet = sample();
        let said = |name: &str, writer: &str| {
            let row = sheet.rows.iter().find(|row| row.row == name && row.writer.starts_with(writer));
            over(&sheet, row.expect("in the sample"))
        };
        assert_eq!(said("resolve", "idle"), Said::plain("0".into()));
        assert_eq!(said("torn line, 8 loads", "1M/s"), Said::default());
        assert_eq!(
            said("resolve", "1M/s").text,
            "**40: over the gate of 20 ns (20 in whole steps of the clock)**"
        );
        assert!(said("round robin", "unthrottled").text.contains("more than the 20 ns"));
        assert_eq!(short(&sheet).len(), 2, "{:#?}", short(&sheet));
        assert!(gate(&sheet).starts_with("- **resolve, 1M/s"), "{}", gate(&sheet));
    }

    #[test]
    fn the_clock_is_stated() {
        let text = clock(&sample());
        for fact in ["steps of 10.0 ns", "20 to 20 ns", "3 runs", "180, 181, 182 ns", "took 25 us"] {
            assert!(text.contains(fact), "{fact}: {text}");
        }
    }
}
