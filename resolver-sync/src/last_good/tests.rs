use std::path::Path;

use proptest::prelude::*;
use resolver_core::{Bytes, Reason, State};

use super::keeper::Keeping;
use super::*;
use crate::catalog::{Entry, SettingEntry};
use crate::ledger::Ledger;
use crate::record::{Candidate, ServiceSet};
use crate::schema::{Bounds, OnDelete, Value};

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

fn setting(state: State, value: impl Into<Option<Value>>) -> SettingEntry {
    let value = value.into();
    SettingEntry { value, state, reason: Reason::None, detail: String::new(), alarms: 3 }
}

fn schema(name: &str) -> Schema {
    Schema {
        name: name.into(),
        source: "s".into(),
        key: format!("config/{name}"),
        bounds: Bounds::Bool,
        on_delete: OnDelete::Keep,
    }
}

fn schemas() -> Vec<Schema> {
    ["a", "b", "c", "d"].map(schema).to_vec()
}

fn keeping(directory: &Path, catalog: &Catalog, views: &[View]) -> Keeping {
    let known = LastGood::read(&options(directory)).expect("nothing, or good");
    Keeping::new(options(directory), known, catalog.clone(), (views.to_vec(), schemas()), Ledger::default())
}

fn read(directory: &Path) -> LastGood {
    LastGood::read(&options(directory)).expect("good")
}

fn refused(directory: &Path) -> String {
    LastGood::read(&options(directory)).expect_err("refused").to_string()
}

/// One service and one setting, kept.
fn kept(directory: &Path) -> Catalog {
    let catalog = Catalog::default();
    catalog.put("oms", entry(State::Fresh, 1..4));
    catalog.put_setting("a", setting(State::Fresh, Value::I64(7)));
    assert!(keeping(directory, &catalog, &[]).save(true).expect("written"));
    catalog
}

#[test]
fn what_is_kept_comes_back_whole_and_stale() {
    let directory = tempfile::tempdir().expect("a directory");
    let catalog = Catalog::default();
    let mut keeping = keeping(directory.path(), &catalog, &[]);
    assert!(!keeping.save(true).expect("nothing to write"), "nothing is not kept over nothing");
    catalog.put("oms", entry(State::Fresh, 1..4));
    catalog.put("none", entry(State::Empty, 1..1));
    catalog.put_setting("a", setting(State::Fresh, Value::I64(i64::MIN)));
    catalog.put_setting("b", setting(State::Empty, None));
    assert!(keeping.save(false).expect("written"));
    assert!(!keeping.save(false).expect("nothing new"));
    let kept = read(directory.path());
    assert_eq!(kept.len(), 2, "what is empty is not kept");
    let restored = Catalog::default();
    assert_eq!(kept.fill(&restored, &[], &schemas()), Filled { services: 1, settings: 1 });
    let (before, after) = (catalog.get("oms").expect("put"), restored.get("oms").expect("filled"));
    assert_eq!((&after.set, &after.source), (&before.set, &before.source));
    assert_eq!((after.state, after.reason), (State::Stale, Reason::Restored));
    let after = restored.setting("a").expect("filled");
    assert_eq!(after.value, Some(Value::I64(i64::MIN)));
    assert_eq!((after.state, after.reason, after.alarms), (State::Stale, Reason::Restored, 0));
    // Another value of a setting alone is something new.
    catalog.put_setting("a", setting(State::Fresh, Value::I64(0)));
    assert!(keeping.save(false).expect("written"));
    assert_ne!(read(directory.path()), kept);
    // What is gone is gone from the file, too.
    catalog.remove("oms");
    catalog.put_setting("a", setting(State::Empty, None));
    assert!(keeping.save(false).expect("written"));
    assert!(read(directory.path()).is_empty());
}

#[test]
fn age_counts_from_the_last_confirmation_and_not_from_the_last_writing() {
    let directory = tempfile::tempdir().expect("a directory");
    let catalog = kept(directory.path());
    let good_ms = |now| {
        let table = keeping(directory.path(), &catalog, &[]).table(now);
        (table.services["oms"].good_ms, table.settings["a"].good_ms)
    };
    assert_eq!(good_ms(5), (5, 5), "confirmed at this moment");
    catalog.put("oms", entry(State::Stale, 1..4));
    catalog.put_setting("a", setting(State::Stale, Value::I64(7)));
    let (service, setting) = good_ms(u64::MAX);
    assert!(service <= now_ms() && setting == service, "as last confirmed: {service}, {setting}");
}

#[test]
fn too_old_and_of_the_future_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(directory.path());
    let written = |services_ms: u64, settings_ms: u64| {
        let catalog = Catalog::default();
        catalog.put("oms", entry(State::Fresh, 1..4));
        catalog.put_setting("a", setting(State::Fresh, Value::Bool(true)));
        let keeping = keeping(directory.path(), &catalog, &[]);
        let services = keeping.table(services_ms).services;
        let settings = keeping.table(settings_ms).settings;
        let body = Body { written_ms: services_ms, services, settings };
        options.file().write(&serde_json::to_vec(&body).expect("JSON")).expect("written");
        let read = LastGood::read(&options).map(|kept| (kept.services.len(), kept.settings.len()));
        std::fs::remove_file(&options.path).expect("there");
        read.map_err(|error| error.to_string())
    };
    let now = now_ms();
    let (young, old) = (now - 3_590_000, now - 3_610_000);
    assert_eq!(written(young, young), Ok((1, 1)));
    assert_eq!(written(young, old), Ok((1, 0)), "each has its own age");
    assert_eq!(written(old, young), Ok((0, 1)));
    assert!(written(old, old).expect_err("old").contains("too old"));
    assert_eq!(written(now + 60_000, now), Ok((1, 1)), "clocks are set a little");
    for (services, settings) in [(now + 600_000, now), (now, now + 600_000)] {
        assert!(written(services, settings).expect_err("future").contains("in the future"));
    }
    options.file().write(b"{\"written_ms\":1}").expect("written");
    assert!(refused(directory.path()).contains("not understood"));
}

#[test]
fn a_name_that_stands_for_something_else_now_is_not_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let catalog = Catalog::default();
    catalog.put("oms", entry(State::Fresh, 1..4));
    for name in ["a", "b", "c", "d"] {
        catalog.put_setting(name, setting(State::Fresh, Value::Bool(true)));
    }
    let view = |service: &str, tags: &[&str]| {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        View { name: "oms".into(), tags, ..View::of_service("s", service) }
    };
    let views = [view("order-management", &["v2"])];
    keeping(directory.path(), &catalog, &views).save(true).expect("written");
    let kept = read(directory.path());
    assert_eq!(kept.fill(&Catalog::default(), &views, &[]).services, 1);
    for other in [vec![view("other", &["v2"])], vec![view("order-management", &[])], vec![]] {
        assert_eq!(kept.fill(&Catalog::default(), &other, &[]).services, 0, "{other:?}");
    }
    // As it was; another key; another source; and the fourth is not wanted any more.
    let other_key = Schema { key: "elsewhere".into(), ..schema("b") };
    let other_source = Schema { source: "t".into(), ..schema("c") };
    let restored = Catalog::default();
    assert_eq!(kept.fill(&restored, &[], &[schema("a"), other_key, other_source]).settings, 1);
    assert_eq!(restored.settings().into_keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_file_from_before_settings_is_read_for_what_it_has() {
    let directory = tempfile::tempdir().expect("a directory");
    kept(directory.path());
    let options = options(directory.path());
    let now = read(directory.path());
    let services = serde_json::to_value(&now.services).expect("JSON");
    let settings = serde_json::to_value(&now.settings).expect("JSON");
    let write = |version: u32, body: serde_json::Value| {
        let file = Sealed::new(options.path.clone(), "last-good", version);
        file.write(body.to_string().as_bytes()).expect("written");
    };
    let without = serde_json::json!({ "written_ms": now_ms(), "services": services });
    write(1, without.clone());
    assert_eq!(read(directory.path()), LastGood { settings: BTreeMap::new(), ..now });
    // One version's body under the other's number is neither.
    write(2, without);
    assert!(refused(directory.path()).contains("missing field `settings`"), "{}", refused(directory.path()));
    let with = serde_json::json!({ "written_ms": now_ms(), "services": services, "settings": settings });
    write(1, with.clone());
    assert!(refused(directory.path()).contains("unknown field `settings`"), "{}", refused(directory.path()));
    for unknown in [0, 3] {
        write(unknown, with.clone());
        let words = format!("it has version {unknown}; this agent reads version 1 and 2");
        assert!(refused(directory.path()).contains(&words), "{}", refused(directory.path()));
    }
}

#[test]
fn a_value_that_no_agent_would_have_written_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let long = format!(r#"{{"bytes":"{}"}}"#, "A".repeat(68));
    for value in [r#"{"f64":"much"}"#, r#"{"bytes":"?"}"#, &long, r#"{"u64":1}"#, r#"{"i64":"1"}"#, "7"] {
        let saved = format!(r#"{{"source":"s","key":"k","good_ms":1,"value":{value}}}"#);
        let body = format!(r#"{{"written_ms":1,"services":{{}},"settings":{{"a":{saved}}}}}"#);
        options(directory.path()).file().write(body.as_bytes()).expect("written");
        assert!(refused(directory.path()).contains("not understood"), "{value}");
    }
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::I64),
        // Every finite one, the smallest and the negative zero among them.
        any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |f| f.is_finite()).prop_map(Value::F64),
        any::<bool>().prop_map(Value::Bool),
        prop::collection::vec(any::<u8>(), 0..=48)
            .prop_map(|bytes| Value::Bytes(Bytes::new(&bytes).expect("48 at most"))),
    ]
}

/// Of a value, so that numbers are compared bit by bit.
fn bits(value: Value) -> (String, u64) {
    (value.to_string(), if let Value::F64(number) = value { number.to_bits() } else { 0 })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn every_value_comes_back_bit_by_bit_and_any_flipped_byte_is_refused(
        values in prop::collection::vec(values(), 1..=4),
        ports in 1_i64..20,
        places in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 32),
    ) {
        let directory = tempfile::tempdir().expect("a directory");
        let catalog = Catalog::default();
        catalog.put("oms", entry(State::Fresh, 1..1 + ports));
        let named: Vec<_> = schemas().into_iter().map(|schema| schema.name).zip(values).collect();
        for (name, value) in &named {
            catalog.put_setting(name, setting(State::Fresh, *value));
        }
        keeping(directory.path(), &catalog, &[]).save(true).expect("written");
        let restored = Catalog::default();
        read(directory.path()).fill(&restored, &[], &schemas());
        prop_assert_eq!(&restored.get("oms").expect("filled").set, &catalog.get("oms").expect("put").set);
        for (name, value) in named {
            let after = restored.setting(&name).expect("filled").value.expect("a value");
            prop_assert_eq!(bits(after), bits(value));
        }

        let path = options(directory.path()).path;
        let good = std::fs::read(&path).expect("there");
        // Every place of the first line, each other place with some luck, and every version that there might be.
        let first = good.iter().position(|byte| *byte == b'\n').expect("a first line");
        let random = places.into_iter().map(|(place, mask)| (place.index(good.len()), mask));
        let version = "resolver last-good ".len();
        let flips = (0..=first).map(|place| (place, 1)).chain((1..=255).map(|mask| (version, mask))).chain(random);
        for (place, mask) in flips {
            let mut bytes = good.clone();
            bytes[place] ^= mask;
            std::fs::write(&path, &bytes).expect("ours");
            let read = LastGood::read(&options(directory.path()));
            prop_assert!(matches!(read, Err(SealedError::Refused { .. })), "byte {} by {}", place, mask);
        }
    }
}
