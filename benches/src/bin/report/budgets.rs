//! Instructions of one call, as `benches/budgets.txt` has them: `cargo xtask test budgets` holds the code to it.

use crate::words::Said;

/// Where it lies, from the project's root.
pub const PATH: &str = "benches/budgets.txt";

/// A line of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// The probe.
    pub probe: String,
    /// Instructions that it takes.
    pub counted: u64,
    /// What it should take.
    pub target: Option<u64>,
}

/// What a probe calls.
const CALLS: [(&str, &str); 13] = [
    ("floor_3", "3 words of a line, bare"),
    ("floor_8", "8 words of a line, bare"),
    ("address", "`resolve_address(handle)`"),
    ("resolve", "`resolve(handle)`"),
    ("cached", "`CachedHandle::resolve`"),
    ("hashed", "`resolve_name`, hashed beforehand"),
    ("name", "`resolve_name`, name of 12 bytes"),
    ("where", "`RoundRobin::pick_where`, the next one meets a tag and a zone"),
    ("turn_floor", "one turn of a loop: 8 words of a line, bare, by index"),
    ("turn_index", "one turn of a loop: probe `index`"),
    ("turn_resolve", "one turn of a loop: `resolve(handle)`"),
    ("turn_maglev", "one turn of a loop: `Maglev::pick`"),
    ("publish", "`Writer::publish`, one endpoint"),
];

/// # Errors
///
/// The line that is not of the form `PROBE BUDGET TARGET`.
pub fn parse(text: &str) -> Result<Vec<Budget>, String> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let budget = |line: &str| {
        let [probe, counted, target] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        let target = if target == "-" { None } else { Some(target.parse().ok()?) };
        Some(Budget { probe: probe.into(), counted: counted.parse().ok()?, target })
    };
    lines.map(|line| budget(line).ok_or_else(|| format!("{line:?} is not PROBE BUDGET TARGET"))).collect()
}

impl Budget {
    /// What is called.
    pub fn call(&self) -> String {
        let call = CALLS.iter().find(|(probe, _)| *probe == self.probe);
        call.map_or_else(|| format!("probe `{}`", self.probe), |(_, call)| (*call).to_owned())
    }

    /// The count, and by how much it is over.
    pub fn say(&self) -> Said {
        let counted = self.counted;
        match self.target {
            Some(target) if counted > target => {
                Said::with(&counted.to_string(), vec![format!("{} over the target", counted - target)])
            }
            _ => Said::plain(counted.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_its_target_is_bold() {
        let budgets =
            parse("# probe budget target\nresolve 36 32\naddress 24 24\nnew 7 -\n").expect("three lines");
        let said: Vec<_> = budgets.iter().map(Budget::say).collect();
        assert_eq!(said[0].text, "**36: 4 over the target**");
        assert_eq!(said[1..], [Said::plain("24".into()), Said::plain("7".into())]);
        assert_eq!(
            (budgets[0].call(), budgets[2].call()),
            ("`resolve(handle)`".into(), "probe `new`".into())
        );
        assert!(parse("resolve 36").is_err() && parse("resolve x 3").is_err());
    }

    #[test]
    fn the_projects_own_file_is_read() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/budgets.txt");
        let budgets = parse(&std::fs::read_to_string(path).expect("it is there")).expect("well-formed");
        assert!(budgets.iter().any(|budget| budget.probe == "resolve" && budget.target.is_some()));
    }
}
