//! The ratios, as tables of markdown.

use std::fmt::Write;

use crate::gates::{Verdict, say};
use crate::ratios::{Group, distinct};
use crate::words::{self, services};

/// All tables, a heading for each, and under it what `under` gives for it.
pub fn tables(groups: &[Group], verdicts: &[Verdict], under: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    for table in distinct(groups, |group| group.table.as_str()) {
        let _ = write!(text, "### {}\n\n{}", capital(table), under(table));
        let of: Vec<&Group> = groups.iter().filter(|group| group.table == table).collect();
        for (form, writer) in distinct(&of, |group| (group.form.as_str(), group.writer.as_str())) {
            let columns: Vec<&Group> =
                of.iter().copied().filter(|group| group.form == form && group.writer == writer).collect();
            let _ = write!(text, "{form}, {writer}:\n\n{}\n", one(&columns, verdicts));
        }
    }
    text
}

/// A column for each number of services.
fn one(columns: &[&Group], verdicts: &[Verdict]) -> String {
    let mut text = String::from("| |");
    columns.iter().for_each(|group| text += &format!(" {} |", services(group.services)));
    text += "\n|---|";
    columns.iter().for_each(|_| text += "---:|");
    text += "\n";
    let names = distinct(columns.iter().flat_map(|group| &group.rows), |row| row.row.as_str());
    for name in names {
        let _ = write!(text, "| {} |", words::name(name));
        for group in columns {
            let said = group.row(name).map(|row| say(group, row, verdicts).text);
            let _ = write!(text, " {} |", said.unwrap_or_default());
        }
        text += "\n";
    }
    text
}

/// Every row that falls short, in words: lines of a list.
pub fn short(groups: &[Group], verdicts: &[Verdict]) -> Vec<String> {
    let of = |group: &Group| -> Vec<String> {
        let place =
            format!("{}, {}, {}, {}", group.table, group.form, services(group.services), group.writer);
        let rows = group.rows.iter().map(|row| (row, say(group, row, verdicts).short));
        let short = rows.filter(|(_, short)| !short.is_empty());
        short
            .map(|(row, short)| format!("{place}: **{}: {}**", words::name(&row.row), short.join(", ")))
            .collect()
    };
    groups.iter().flat_map(of).collect()
}

fn capital(words: &str) -> String {
    let mut rest = words.chars();
    rest.next().map_or(String::new(), |first| first.to_uppercase().chain(rest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{gates, ratios};

    fn sample() -> (Vec<Group>, Vec<Verdict>) {
        (
            ratios::parse(ratios::tests::SAMPLE).expect("well-formed"),
            gates::parse(gates::tests::SAMPLE).expect("well-formed"),
        )
    }

    #[test]
    fn each_form_and_writer_has_a_table_with_a_column_for_each_size() {
        let (groups, verdicts) = sample();
        let text = tables(&groups, &verdicts, |table| format!("[{table}]\n\n"));
        assert!(text.starts_with("### By handle\n\n[by handle]\n\nthroughput, idle:\n\n"), "{text}");
        assert!(
            text.contains("| | 16 services | 1,024 services | 131,072 services |\n|---|---:|---:|---:|\n")
        );
        assert!(text.contains("\n| resolve | 1.34 (1.55) | 1.26 (2.04) | 1.20 (5.30) |\n"), "{text}");
        assert!(text.contains("\n| resolve | **1.17 (6.75): over the gate"), "{text}");
        assert_eq!(text.matches("### ").count(), 2);
        assert!(text.contains("\n| std RwLock&lt;HashMap> | 2.53 (21.2); 2.53x |"), "{text}");
    }

    #[test]
    fn what_falls_short_is_listed_with_its_place() {
        let (groups, verdicts) = sample();
        let short = short(&groups, &verdicts);
        assert_eq!(short.len(), 3, "{short:#?}");
        assert!(short[0].starts_with("by handle, dependent, 1,024 services, idle: **resolve: over the gate"));
        assert!(short[2].contains("`resolve_name(&str)` is behind"));
    }
}
