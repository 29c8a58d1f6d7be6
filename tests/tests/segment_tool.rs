//! `resolver segment`: what it says of a whole segment, and of copies that were damaged word by word.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use resolver_core::{Bytes, Capacity, Counter, Endpoint, IncidentKind, OwnedSegment, Publication, Standing};
use resolver_tests::{Host, Ran};

const CAPACITY: Capacity = Capacity { services: 8, endpoints: 64, configs: 2, text_bytes: 64 };
/// Words of the file: the header is 64 lines of eight words, and the services' heads come after it.
const EPOCH: usize = 2 * 8;
const NAMES: usize = 3 * 8 + 3;
const HEAD: usize = 64 * 8;
const SHADOW: usize = HEAD + (8 + 32 + 2) * 8;

fn endpoint(port: u16) -> Endpoint {
    Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port))).with_id(u64::from(port))
}

/// Two services and two settings, and no owner.
fn create(path: &Path) -> OwnedSegment {
    let mut owned = OwnedSegment::acquire(path, &CAPACITY).expect("it can be created");
    let mut writer = owned.writer().expect("it is new");
    let oms = writer.add("oms").expect("there is room");
    let set = [endpoint(1), endpoint(2), endpoint(3)];
    let publication = Publication { active: 2, maglev: 200, ..Publication::new(&set, Standing::FRESH) };
    writer.publish_as(oms, &publication).expect("there is room");
    let risk = writer.add("risk").expect("there is room");
    writer.publish(risk, &[endpoint(9)], Standing::FRESH, b"").expect("there is room");
    let limit = writer.add_setting::<i64>("max-position").expect("there is room");
    writer.set(limit, -5, Standing::FRESH).expect("it was added");
    let venue = writer.add_setting::<Bytes>("venue").expect("there is room");
    writer.set(venue, Bytes::new(b"XNAS").expect("it is short"), Standing::FRESH).expect("it was added");
    writer.count(Counter::Holds, 2);
    writer.note(IncidentKind::Hold, "consul/oms", "an empty answer", 1_000);
    writer.note(IncidentKind::BadRecord, "consul/oms", "oms-7: port 0\u{1b}[2J", 2_000);
    writer.note(IncidentKind::BadRecord, "consul/oms", "oms-9: port 0\u{1b}[2J", 3_000);
    owned
}

fn tool(host: &Host, what: &str, path: &Path) -> Ran {
    host.run(&["segment", what, &path.display().to_string(), "--json"])
}

/// A copy with a change, in words of eight bytes.
fn damaged(host: &Host, name: &str, change: impl FnOnce(&mut [u64])) -> PathBuf {
    let path = host.segment().with_file_name(name);
    std::fs::copy(host.segment(), &path).expect("it can be copied");
    let bytes = std::fs::read(&path).expect("it can be read");
    let mut words: Vec<u64> = bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    change(&mut words);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    std::fs::write(&path, bytes).expect("it can be written");
    path
}

/// The faults that are told of a damaged copy, with exit code 1.
#[track_caller]
fn faults(host: &Host, name: &str, change: impl FnOnce(&mut [u64])) -> String {
    let path = damaged(host, name, change);
    let before = std::fs::read(&path).expect("it can be read");
    let ran = tool(host, "verify", &path);
    assert_eq!(ran.code, Some(1), "{name}: {}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("faults"), "{name}: {}", ran.stderr);
    assert!(before == std::fs::read(&path).expect("it can be read"), "{name}: it wrote");
    ran.json()["faults"].to_string()
}

#[test]
fn a_whole_segment_has_no_fault_and_is_told_in_full() {
    let host = Host::new();
    let owned = create(&host.segment());
    let stat = tool(&host, "stat", &host.segment()).json();
    assert_eq!(stat["owner"]["pid"], std::process::id(), "{stat}");
    assert_eq!(
        (&stat["owner"]["holds"], &stat["owner"]["process"]),
        (&true.into(), &"alive".into()),
        "{stat}"
    );
    assert_eq!((&stat["services"]["used"], &stat["services"]["of"]), (&2.into(), &8.into()), "{stat}");
    assert_eq!(stat["settings"]["used"], 2, "{stat}");
    // Two endpoints, the index, the reserve and eight leaves of places are twelve; blocks are powers of two.
    assert_eq!(stat["leaves"]["used"], 16 + 1, "{stat}");
    assert_eq!(stat["live"], false, "it never beat: {stat}");
    drop(owned);
    let before = std::fs::read(host.segment()).expect("it can be read");
    let stat = tool(&host, "stat", &host.segment()).json();
    assert_eq!(
        (&stat["owner"]["holds"], &stat["repair"]["needed"]),
        (&false.into(), &false.into()),
        "{stat}"
    );
    let verified = tool(&host, "verify", &host.segment());
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
    assert_eq!(verified.json()["services"], 2);
    let dump = tool(&host, "dump", &host.segment()).json();
    let oms = &dump["services"][0];
    assert_eq!(oms["service"], "oms", "{dump}");
    assert_eq!(oms["endpoints"].as_array().map(Vec::len), Some(3), "{dump}");
    assert_eq!(
        (&oms["endpoints"][1]["reserve"], &oms["endpoints"][2]["reserve"]),
        (&serde_json::Value::Null, &true.into()),
        "{dump}"
    );
    assert_eq!(dump["services"][1]["endpoint"]["port"], 9, "{dump}");
    assert_eq!(
        (&dump["settings"][0]["value"], &dump["settings"][1]["value"]),
        (&(-5).into(), &"XNAS".into()),
        "{dump}"
    );
    // For people: the same, in lines.
    let path = host.segment().display().to_string();
    for (what, words) in [
        ("stat", vec!["nobody holds", "2 of 8", "repair         none"]),
        ("verify", vec!["no fault"]),
        ("dump", vec!["oms", "10.0.0.1:2", "reserve", "max-position  i64  -5"]),
    ] {
        let ran = host.run(&["segment", what, &path]);
        assert_eq!(ran.code, Some(0), "{what}: {}", ran.stderr);
        assert!(words.iter().all(|word| ran.stdout.contains(word)), "{what}: {}", ran.stdout);
    }
    assert!(before == std::fs::read(host.segment()).expect("it can be read"), "a tool wrote");
}

#[test]
fn each_fault_is_told_in_words() {
    let host = Host::new();
    drop(create(&host.segment()));
    let died = faults(&host, "epoch.seg", |words| words[EPOCH] |= 1);
    assert!(died.contains("died in a publication: a publication is committed"), "{died}");
    let half = faults(&host, "half.seg", |words| words[HEAD] |= 1);
    assert!(half.contains("1 cells half written, 0 staged"), "{half}");
    let staged = faults(&host, "staged.seg", |words| words[SHADOW] += 4);
    assert!(staged.contains("nothing is committed, 0 cells half written, 1 staged"), "{staged}");

    let place = faults(&host, "place.seg", |words| words[HEAD + 7] |= 0xffff_ff00);
    assert!(place.contains("slot 0: its set of 2 endpoints begins at leaf"), "{place}");
    let overlap = faults(&host, "overlap.seg", |words| words[HEAD + 8 + 7] = words[HEAD + 7]);
    assert!(overlap.contains("slots 0 and 1 have their sets in the same leaves"), "{overlap}");
    let generation = faults(&host, "generation.seg", |words| words[HEAD + 6] += 1000);
    assert!(generation.contains("is the last that was given out"), "{generation}");
    assert!(generation.contains("an active endpoint of its set is of another set"), "{generation}");
    let primary = faults(&host, "primary.seg", |words| words[HEAD + 1] += 1);
    assert!(primary.contains("slot 0: its primary endpoint is not"), "{primary}");
    let standing = faults(&host, "standing.seg", |words| words[HEAD + 3] |= 7 << 56);
    assert!(standing.contains("which is no standing"), "{standing}");
    let names = faults(&host, "names.seg", |words| words[NAMES] = 1 << 40);
    assert!(names.contains("1099511627776 names are counted"), "{names}");
    let entry = faults(&host, "entry.seg", |words| {
        let name = u64::from_le_bytes(*b"oms\0\0\0\0\0");
        let bucket = words.iter().position(|word| *word == name).expect("its name is there");
        // Another slot, with the same incarnation.
        words[bucket + 3] ^= 5 << 6;
    });
    assert!(entry.contains("leads to slot 5, which is not its own"), "{entry}");
    assert!(entry.contains("slot 0 is in use, and no name leads to it"), "{entry}");

    // The log of errors is the end of the file: 8 entries of 40 words.
    let kind = faults(&host, "kind.seg", |words| {
        let log = words.len() - 8 * 40;
        words[log + 5] = 0xff;
    });
    assert!(
        kind.contains("entry 0 of the log of errors has a kind, a length or a text that cannot be"),
        "{kind}"
    );
    let text = faults(&host, "text.seg", |words| {
        let log = words.len() - 8 * 40;
        words[log + 40 + 6] |= 0x80;
    });
    assert!(text.contains("entry 1 of the log of errors"), "{text}");
    let noting = faults(&host, "noting.seg", |words| {
        let log = words.len() - 8 * 40;
        words[log] |= 1;
    });
    assert!(noting.contains("1 errors half noted"), "{noting}");

    // `stat` tells what a dead writer left, and goes on.
    let stat = tool(&host, "stat", &host.segment().with_file_name("epoch.seg"));
    assert_eq!((stat.code, &stat.json()["repair"]["needed"]), (Some(0), &true.into()), "{}", stat.stdout);
    // A header that cannot be read at all.
    let header = damaged(&host, "header.seg", |words| words[3] += 1);
    for what in ["stat", "verify", "dump"] {
        let ran = tool(&host, what, &header);
        assert_eq!(ran.code, Some(5), "{what}");
        assert!(ran.stderr.contains("checksum"), "{what}: {}", ran.stderr);
    }
}

#[test]
fn the_log_of_errors_is_told_the_latest_first() {
    let host = Host::new();
    drop(create(&host.segment()));
    let errors = tool(&host, "errors", &host.segment()).json();
    assert_eq!(errors["counters"]["holds"], 2, "{errors}");
    let told: Vec<_> = errors["errors"].as_array().expect("a list").iter().collect();
    assert_eq!(told.len(), 2, "{errors}");
    assert_eq!((&told[0]["kind"], &told[0]["count"]), (&"bad-record".into(), &2.into()), "{errors}");
    assert_eq!((&told[0]["about"], &told[0]["words"]), (&"consul/oms".into(), &"oms-7: port 0 [2J".into()));
    assert_eq!((&told[0]["first_ms"], &told[0]["last_ms"]), (&2000.into(), &3000.into()));
    assert_eq!((&told[1]["kind"], &told[1]["words"]), (&"hold".into(), &"an empty answer".into()));
    let path = host.segment().display().to_string();
    let lines = host.run(&["segment", "errors", &path]).stdout;
    assert!(lines.lines().count() == 2 && lines.starts_with("2 times, last"), "{lines}");
    let stat = host.run(&["segment", "stat", &path]).stdout;
    assert!(stat.contains("2 of 8 different ones kept") && stat.contains("2 holds"), "{stat}");
    let dump = tool(&host, "dump", &host.segment()).json();
    assert_eq!(dump["errors"], errors["errors"]);
}
