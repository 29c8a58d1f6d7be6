use std::path::Path;

use super::keeper::Keeping;
use super::*;
use crate::ledger::Ledger;

fn options(directory: &Path) -> LastGoodOptions {
    let (every, max_age) = (Duration::from_secs(10), Duration::from_secs(3600));
    LastGoodOptions { path: directory.join("last-good"), every, max_age }
}

fn entry(state: State, ports: std::ops::Range<i64>) -> Entry {
    let candidate = |port: i64| Candidate {
        id: format!("i{port}"),
        address: "10.0.0.1".into(),
        port,
        weight: Some(port),
        tier: 1,
        zone: "east".into(),
        tags: vec!["v2".into()],
        meta: BTreeMap::from([("rack".into(), "7".into())]),
        unhealthy: false,
    };
    let set = ServiceSet::check(ports.map(candidate), 42);
    Entry { source: "s".into(), set, state, reason: Reason::None, detail: String::new(), generation: 9 }
}

fn keeping(directory: &Path, catalog: &Catalog, views: &[View]) -> Keeping {
    let known = LastGood::read(&options(directory)).expect("nothing, or good");
    Keeping::new(options(directory), known, catalog.clone(), views.to_vec(), Ledger::default())
}

#[test]
fn what_is_kept_comes_back_whole_and_stale() {
    let directory = tempfile::tempdir().expect("a directory");
    let catalog = Catalog::default();
    let mut keeping = keeping(directory.path(), &catalog, &[]);
    assert!(!keeping.save(true).expect("nothing to write"), "nothing is not kept over nothing");
    catalog.put("oms", entry(State::Fresh, 1..4));
    catalog.put("none", entry(State::Empty, 1..1));
    assert!(keeping.save(false).expect("written"));
    assert!(!keeping.save(false).expect("nothing new"));
    let kept = LastGood::read(&options(directory.path())).expect("good");
    assert_eq!(kept.len(), 1, "what is empty is not kept");
    let restored = Catalog::default();
    assert_eq!(kept.fill(&restored, &[]), 1);
    let (before, after) = (catalog.get("oms").expect("put"), restored.get("oms").expect("filled"));
    assert_eq!((&after.set, &after.source), (&before.set, &before.source));
    assert_eq!((after.state, after.reason), (State::Stale, Reason::Restored));
    // What is gone is gone from the file, too.
    catalog.remove("oms");
    assert!(keeping.save(false).expect("written"));
    assert!(LastGood::read(&options(directory.path())).expect("good").is_empty());
}

#[test]
fn age_counts_from_the_last_confirmation_and_not_from_the_last_writing() {
    let directory = tempfile::tempdir().expect("a directory");
    let catalog = Catalog::default();
    catalog.put("oms", entry(State::Fresh, 1..4));
    keeping(directory.path(), &catalog, &[]).save(true).expect("written");
    let good_ms = |now| keeping(directory.path(), &catalog, &[]).services_at(now)["oms"].good_ms;
    let first = good_ms(5);
    assert_eq!(first, 5, "confirmed at this moment");
    catalog.put("oms", entry(State::Stale, 1..4));
    let stale = good_ms(u64::MAX);
    assert!(stale <= now_ms(), "as it was when it was last confirmed: {stale}");
}

#[test]
fn too_old_and_of_the_future_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(directory.path());
    let written = |good_ms: u64| {
        let catalog = Catalog::default();
        catalog.put("oms", entry(State::Fresh, 1..4));
        let services = keeping(directory.path(), &catalog, &[]).services_at(good_ms);
        let body = Body { written_ms: good_ms, services };
        options.file().write(&serde_json::to_vec(&body).expect("JSON")).expect("written");
        let read = LastGood::read(&options).map(|kept| kept.len()).map_err(|error| error.to_string());
        std::fs::remove_file(&options.path).expect("there");
        read
    };
    let now = now_ms();
    assert_eq!(written(now - 3_590_000), Ok(1));
    assert!(written(now - 3_610_000).expect_err("old").contains("too old"));
    assert_eq!(written(now + 60_000), Ok(1), "clocks are set a little");
    assert!(written(now + 600_000).expect_err("future").contains("in the future"));
    options.file().write(b"{\"written_ms\":1}").expect("written");
    assert!(LastGood::read(&options).expect_err("no services").to_string().contains("not understood"));
}

#[test]
fn a_name_that_stands_for_something_else_now_is_not_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let catalog = Catalog::default();
    catalog.put("oms", entry(State::Fresh, 1..4));
    let view = |service: &str, tags: &[&str]| {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        View { name: "oms".into(), tags, ..View::of_service("s", service) }
    };
    let views = [view("order-management", &["v2"])];
    keeping(directory.path(), &catalog, &views).save(true).expect("written");
    let kept = LastGood::read(&options(directory.path())).expect("good");
    assert_eq!(kept.fill(&Catalog::default(), &views), 1);
    for other in [vec![view("other", &["v2"])], vec![view("order-management", &[])], vec![]] {
        assert_eq!(kept.fill(&Catalog::default(), &other), 0, "{other:?}");
    }
}
