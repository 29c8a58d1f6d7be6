//! Holds the table of `docs/consul.md` to the tests that there are.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_test_that_the_page_names_is_there_and_every_pitfall_has_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let page = std::fs::read_to_string(root.join("docs/consul.md")).expect("the page");
    let mut named = BTreeSet::new();
    for quoted in page.split('`').skip(1).step_by(2) {
        let Some((file, test)) = quoted.split_once("::") else { continue };
        let path = match file {
            file if file.starts_with("agent_") => format!("tests/tests/{file}"),
            file if file.starts_with("src/") => format!("resolver-sync/{file}"),
            file => format!("resolver-sync/tests/{file}"),
        };
        let source =
            std::fs::read_to_string(root.join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(source.contains(&format!("fn {test}()")), "{path} has no test {test}");
        named.insert(test.to_owned());
    }
    assert!(named.len() > 60, "only {} tests are named", named.len());
    for number in 1..=26 {
        let row = page.lines().find(|line| line.starts_with(&format!("| {number}. ")));
        let row = row.unwrap_or_else(|| panic!("pitfall {number} is not on the page"));
        assert!(row.contains("::") || row.contains("the same"), "pitfall {number} has no test: {row}");
    }
}
