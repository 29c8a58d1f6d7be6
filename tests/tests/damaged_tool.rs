//! `resolver segment` and the commands that read, on copies of a segment in which bits are turned over: they say what they find,
//! or why they cannot, and end.

use std::net::SocketAddr;
use std::path::Path;

use resolver_core::{Bytes, Capacity, Endpoint, OwnedSegment, Publication, Standing};
use resolver_tests::Host;

const CAPACITY: Capacity = Capacity { services: 8, endpoints: 64, configs: 2, text_bytes: 64 };
const COPIES: u64 = 40;
/// Without an agent these two wait for a beat, for two seconds: a few copies are enough.
const WAITED_FOR: u64 = 2;

fn create(path: &Path) {
    let mut owned = OwnedSegment::acquire(path, &CAPACITY).expect("it can be created");
    let mut writer = owned.writer().expect("it is new");
    for (number, name) in ["oms", "risk", "a-name-that-does-not-fit-its-bucket"].into_iter().enumerate() {
        let address = |port| SocketAddr::from(([10, 0, 0, number as u8], port));
        let set: Vec<Endpoint> = (1..=4).map(|port| Endpoint::new(address(port))).collect();
        let handle = writer.add(name).expect("there is room");
        let publication = Publication { active: 3, maglev: 300, ..Publication::new(&set, Standing::FRESH) };
        writer.publish_as(handle, &publication).expect("there is room");
    }
    let limit = writer.add_setting::<i64>("max-position").expect("there is room");
    writer.set(limit, -5, Standing::FRESH).expect("it was added");
    let venue = writer.add_setting::<Bytes>("venue").expect("there is room");
    writer.set(venue, Bytes::new(b"XNAS").expect("it is short"), Standing::FRESH).expect("it was added");
}

/// Numbers without a pattern, the same each time.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

#[test]
fn tools_survive_what_they_are_given() {
    let host = Host::new();
    create(&host.segment());
    let whole = std::fs::read(host.segment()).expect("it can be read");
    let path = host.segment().with_file_name("copy.seg");
    let place = path.display().to_string();
    let (mut random, mut ends) = (0x9e37_79b9_7f4a_7c15u64, [0; 6]);
    for copy in 0..COPIES {
        let mut bytes = whole.clone();
        for _ in 0..1 << (copy % 8) {
            // Not the header's first line, nor the rest of it too often: its checksum would end nearly all of them.
            let first = if copy % 4 == 0 { 64 } else { 64 * 64 };
            let at = first + next(&mut random) as usize % (bytes.len() - first);
            bytes[at] ^= 1 << (next(&mut random) % 8);
        }
        std::fs::copy(host.segment(), &path).expect("it can be copied");
        std::fs::write(&path, &bytes).expect("it can be written");
        let segment = ["stat", "verify", "dump"].map(|what| vec!["segment", what, &place, "--json"]);
        let waiting =
            [vec!["get", "oms", "--json", "--segment", &place], vec!["list", "--json", "--segment", &place]];
        let waiting = waiting.iter().filter(|_| copy < WAITED_FOR);
        for command in segment.iter().chain(waiting) {
            let ran = host.run(command);
            // Done; faults or a failure; the answers of `get` where a service has none; a segment that cannot be read.
            let code = ran.code.unwrap_or(-1);
            assert!(
                (0..=5).contains(&code),
                "{command:?} of copy {copy}: {code}\n{}{}",
                ran.stdout,
                ran.stderr
            );
            assert!(!ran.stderr.contains("panicked"), "{command:?} of copy {copy}: {}", ran.stderr);
            assert!(
                code == 0 || !ran.stderr.is_empty() || !ran.stdout.is_empty(),
                "{command:?}: nothing said"
            );
            ends[code as usize] += 1;
        }
        assert!(std::fs::read(&path).expect("it can be read") == bytes, "copy {copy} was written to");
    }
    eprintln!("exit codes 0 to 5: {ends:?}");
    assert!(ends[0] > 0 && ends[1] > 0, "copies were as good as new: {ends:?}");
}
