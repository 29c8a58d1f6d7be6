//! What the ratio tool wrote: `target/latency/ratios.json`.

use serde::Deserialize;

/// Its name among the figures.
pub const FILE: &str = "ratios.json";

/// One row of one table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Ratio {
    /// What is asked for, as `by handle`.
    pub table: String,
    /// `throughput` or `dependent`.
    pub form: String,
    /// Services of the table.
    pub services: u64,
    /// What is written meanwhile.
    #[serde(default)]
    pub writer: Option<String>,
    /// The call.
    pub row: String,
    /// To the table's first row; none where the writer did not keep its rate.
    pub ratio: Option<f64>,
    /// Median of one call.
    pub ns: Option<f64>,
    /// Of a peer: our row that does the same work.
    #[serde(default)]
    pub against: Option<String>,
    /// Of a peer: its time by that row's.
    #[serde(default)]
    pub to_ours: Option<f64>,
}

/// Rows that were measured together, against one base.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// As in [`Ratio`].
    pub table: String,
    /// As in [`Ratio`].
    pub form: String,
    /// As in [`Ratio`].
    pub writer: String,
    /// As in [`Ratio`].
    pub services: u64,
    /// The first is the base.
    pub rows: Vec<Ratio>,
}

impl Group {
    /// The row of this name.
    pub fn row(&self, name: &str) -> Option<&Ratio> {
        self.rows.iter().find(|ratio| ratio.row == name)
    }

    /// Nothing was written.
    pub fn is_idle(&self) -> bool {
        self.writer == IDLE
    }
}

/// The writer of a group without one.
pub const IDLE: &str = "idle";

/// Reads the rows and puts them in groups, both in the order of the file.
///
/// # Errors
///
/// In words: what is not as it should be.
pub fn parse(text: &str) -> Result<Vec<Group>, String> {
    let rows: Vec<Ratio> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut groups: Vec<Group> = Vec::new();
    for row in rows {
        let writer = match row.writer.as_deref() {
            None | Some("" | "none" | "idle") => IDLE.to_owned(),
            Some(writer) => writer.to_owned(),
        };
        let same = |group: &&mut Group| {
            (&group.table, &group.form, &group.writer, group.services)
                == (&row.table, &row.form, &writer, row.services)
        };
        match groups.iter_mut().find(same) {
            Some(group) if group.row(&row.row).is_some() => {
                return Err(format!(
                    "{}, {}, {writer}, {}: {} is there twice",
                    row.table, row.form, row.services, row.row
                ));
            }
            Some(group) => group.rows.push(row),
            None => {
                let (table, form, services) = (row.table.clone(), row.form.clone(), row.services);
                groups.push(Group { table, form, writer, services, rows: vec![row] });
            }
        }
    }
    if groups.is_empty() { Err("it holds no rows".into()) } else { Ok(groups) }
}

/// The distinct values that `of` gives, in their order.
pub fn distinct<T: PartialEq, U>(all: impl IntoIterator<Item = U>, of: impl Fn(U) -> T) -> Vec<T> {
    let mut found = Vec::new();
    for item in all {
        let value = of(item);
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Made by hand, in the shape of the ratio tool's file.
    pub(crate) const SAMPLE: &str = include_str!("sample/ratios.json");

    #[test]
    fn rows_measured_together_are_a_group_in_the_files_order() {
        let groups = parse(SAMPLE).expect("the sample is well-formed");
        let first = &groups[0];
        assert_eq!(
            (first.table.as_str(), first.form.as_str(), first.services),
            ("by handle", "throughput", 16)
        );
        assert_eq!((first.rows[0].row.as_str(), first.rows[0].ratio), ("torn line, 8 loads", Some(1.0)));
        assert!(first.is_idle() && first.row("resolve").is_some() && first.row("no such").is_none());
        assert!(groups.iter().any(|group| group.writer == "1M/s same"));
    }

    #[test]
    fn a_row_without_a_ratio_is_read_and_what_is_no_row_is_refused() {
        let row = |ratio: &str| {
            format!(
                r#"{{"table":"t","form":"throughput","services":16,"writer":null,"row":"r","ratio":{ratio},"ns":1.5,"pairs":9,"runs":[1.0]}}"#
            )
        };
        let groups = parse(&format!("[{}]", row("null"))).expect("a writer may miss its rate");
        assert_eq!((groups[0].rows[0].ratio, groups[0].writer.as_str()), (None, IDLE));
        assert!(parse(&format!("[{0},{0}]", row("1.0"))).is_err_and(|e| e.contains("twice")));
        assert!(parse("[]").is_err());
        assert!(parse(r#"[{"table":"t"}]"#).is_err_and(|e| e.contains("form")));
    }
}
