//! The table of rules in docs/etcd.md names tests that there are.

use std::path::Path;

/// The letters of the table, and where their tests are.
const FILES: [(&str, &[&str]); 9] = [
    ("S", &["resolver-sync/tests/etcd.rs"]),
    ("G", &["resolver-sync/tests/etcd/gaps.rs"]),
    ("X", &["resolver-sync/tests/etcd/secure.rs"]),
    ("C", &["resolver-sync/tests/etcd/conventions.rs"]),
    ("T", &["resolver-sync/src/etcd/tail.rs"]),
    ("D", &["resolver-sync/src/etcd/codec/tests.rs"]),
    ("A", &["tests/tests/agent_etcd.rs"]),
    ("O", &["tests/tests/agent_etcd_others.rs"]),
    ("etcd::tests", &["resolver-sync/src/etcd.rs"]),
];

#[test]
fn every_rule_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let read =
        |file: &str| std::fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    let text = read("docs/etcd.md");
    let table = text.split("## Rules and the tests").nth(1).expect("the rules");
    let mut seen = 0;
    for named in table.split('`').skip(1).step_by(2) {
        let Some((place, test)) = named.rsplit_once("::") else { continue };
        let Some((_, files)) = FILES.iter().find(|(letter, _)| *letter == place) else {
            panic!("`{named}`: no file is known for {place:?}");
        };
        let there = files.iter().any(|file| read(file).contains(&format!("fn {test}(")));
        assert!(there, "docs/etcd.md names `{named}`, which is in none of {files:?}");
        seen += 1;
    }
    assert!(seen > 40, "{seen} tests are named");
    let pitfalls = (1..=23).filter(|number| table.contains(&format!("\n| {number} "))).count();
    assert_eq!(pitfalls, 23);
}
