//! A reader in a container: in mount, process, time, network and IPC namespaces of its own, with a tmpfs of its own at
//! `/dev/shm`, and the segment bind-mounted for reading. Made with util-linux's unshare and mount, which is what a container
//! is to the kernel; no container engine is needed, and none was tried.
//!
//! The reader is this test binary again, and answers one line for each line that it is sent. The writer is the test itself.

#![allow(clippy::print_stdout, reason = "the other process answers on its standard output")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use resolver_core::shm::{Origin, Owner};
use resolver_core::{Capacity, Endpoint, Liveness, OwnedSegment, Reason, Segment, SourceBeat, Standing};
use resolver_tests::until;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

const SEGMENT: &str = "RESOLVER_TEST_CONTAINER_SEGMENT";
/// Set for a reader to which the host's users are nobody.
const OWNER: &str = "RESOLVER_TEST_CONTAINER_OWNER";
/// As a user namespace shows users that it has no number for.
const NOBODY: u32 = 65_534;
/// Of this number there is nobody on the host; the container's root is.
const STRANGER: u32 = 61_234;
/// For what is a matter of moments.
const SOON: Duration = Duration::from_secs(10);
const CAPACITY: Capacity = Capacity { services: 4, endpoints: 16, configs: 1, text_bytes: 0 };
/// Far from the host's: what is not shared is told apart, and a monotonic clock that has nothing to do with the writer's.
const CLOCK: &str = "--monotonic=86400";

/// What a reader in a container sees.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    port: u16,
    is_current: bool,
    /// `true`, `false`, or why it could not be asked for.
    has_owner: String,
    owner: u32,
    process: String,
    /// Its own number, in its own namespace.
    pid: u32,
    beats: u64,
    /// Milliseconds since the last beat, by its own clock.
    silence_ms: Option<u128>,
    /// What came of an attempt to open the segment for writing, and its directory's files.
    write: String,
    /// What came of opening it anew, where that was wanted.
    reopened: String,
    /// The same path under the host's name, if it leads anywhere.
    is_hosts_path_there: bool,
}

#[test]
fn reader_process() {
    // Without the variable this is not that process, and there is nothing to do.
    let Some(path) = std::env::var_os(SEGMENT).map(PathBuf::from) else { return };
    let hosts = std::env::var_os("RESOLVER_TEST_CONTAINER_HOSTS").map(PathBuf::from).expect("it is set");
    let owner = std::env::var(OWNER).ok().map(|uid| Owner::Uid(uid.parse().expect("a number")));
    let mut segment = match owner {
        // Whom it is shared with by name; else nobody else's is trusted.
        Some(owner) => {
            let refused = Segment::open(&path).err().expect("a stranger's").to_string();
            assert!(refused.contains("its owner is uid"), "{refused}");
            Segment::open_from(&path, owner).expect("it can be read")
        }
        None => Segment::open(&path).expect("it can be read"),
    };
    let (mut liveness, clock) = (Liveness::new(), Instant::now());
    for line in std::io::stdin().lock().lines() {
        let mut reopened = String::new();
        match line.expect("it is told what to do").as_str() {
            "reopen" => match Segment::open(&path) {
                Ok(opened) => segment = opened,
                Err(error) => reopened = error.to_string(),
            },
            _ => liveness.poll(&segment.reader(), clock.elapsed()),
        }
        let reader = segment.reader();
        let oms = reader.service("oms").expect("it was published");
        let inspection = segment.inspect();
        let write = match fs::OpenOptions::new().write(true).open(&path) {
            Ok(_) => "granted".to_owned(),
            Err(error) => error.to_string(),
        };
        let seen = Seen {
            port: reader.resolve(oms).expect("it has a set").address().port(),
            is_current: segment.is_current(),
            has_owner: segment.has_owner().map_or_else(|error| error.to_string(), |has| has.to_string()),
            reopened,
            owner: segment.owner().pid,
            process: inspection.process.name().to_owned(),
            pid: std::process::id(),
            beats: reader.pulse(),
            silence_ms: liveness.silence().map(|silence| silence.as_millis()),
            write,
            is_hosts_path_there: hosts.exists(),
        };
        println!("\n= {}", serde_json::to_string(&seen).expect("it is plain"));
    }
}

/// A reader in a container; it ends with this value.
struct Container {
    child: Child,
    said: BufReader<ChildStdout>,
    told: ChildStdin,
}

impl Container {
    /// Binds `from` (a directory, or the segment's file) to `at`, for reading, in namespaces that nobody else sees, and starts the
    /// reader of `segment` there.
    fn start(from: &Path, at: &Path, segment: &Path, hosts: &Path) -> Self {
        Self::start_by(&["unshare"], from, at, segment, hosts)
    }

    /// As `start`, by another program that ends in `unshare`.
    fn start_by(by: &[&str], from: &Path, at: &Path, segment: &Path, hosts: &Path) -> Self {
        // As container engines do it: bind, and then take the right to write from this mount alone.
        let script = "mount --bind \"$1\" \"$2\" && mount -o remount,bind,ro \"$2\" && \
                      mount -t tmpfs -o size=1m tmpfs /dev/shm && shift 2 && exec \"$@\"";
        let mut command = Command::new(by[0]);
        command.args(&by[1..]).args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--ipc",
            "--net",
            "--time",
            CLOCK,
        ]);
        command.args(["sh", "-c", script, "sh"]).args([from, at]);
        command.arg(std::env::current_exe().expect("this binary"));
        command.args(["--exact", "reader_process", "--nocapture"]);
        command.env(SEGMENT, segment).env("RESOLVER_TEST_CONTAINER_HOSTS", hosts);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("util-linux's unshare is needed");
        let said = BufReader::new(child.stdout.take().expect("it is piped"));
        let told = child.stdin.take().expect("it is piped");
        Container { child, said, told }
    }

    fn tell(&mut self, what: &str) -> Seen {
        writeln!(self.told, "{what}").expect("the reader runs");
        let mut line = String::new();
        while !line.starts_with("= ") {
            line.clear();
            let read = self.said.read_line(&mut line).expect("it speaks in lines");
            assert!(read > 0, "the reader ended; are namespaces and mounts allowed here?");
        }
        serde_json::from_str(&line[2..]).expect("what it saw")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Place {
    /// Where the host has it: in memory. The container's `/dev/shm` is another one.
    host: TempDir,
    /// Where the container has it.
    inside: TempDir,
}

impl Place {
    fn new() -> Self {
        let host = tempfile::tempdir_in("/dev/shm").expect("a directory");
        Place { host, inside: tempfile::tempdir_in("/tmp").expect("a directory") }
    }

    fn path(&self) -> PathBuf {
        self.host.path().join("main.seg")
    }
}

fn publish(owned: &mut OwnedSegment, port: u16) {
    let mut writer = owned.writer().expect("it is whole");
    let oms = writer.add("oms").expect("there is room");
    let endpoint = Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port)));
    writer.publish(oms, &[endpoint], Standing::FRESH, b"").expect("there is room");
    let age = Some(Duration::ZERO);
    writer.beat(&[SourceBeat { name: "source", age, revision: 1, reason: Reason::None, rejected: 0 }]);
}

#[test]
fn privileged_a_container_with_the_directory_bound_follows_the_host() {
    let place = Place::new();
    let mut owned = OwnedSegment::acquire(place.path(), &CAPACITY).expect("it can be created");
    publish(&mut owned, 1);
    let inside = place.inside.path().join("main.seg");
    let mut container = Container::start(place.host.path(), place.inside.path(), &inside, &place.path());
    let seen = container.tell("poll");
    eprintln!("in the container: {seen:?}");
    assert_eq!((seen.port, seen.is_current, seen.has_owner.as_str()), (1, true, "true"));
    assert_eq!(seen.pid, 1, "it is the first process of its namespace");
    assert!(!seen.is_hosts_path_there, "the host's /dev/shm is there, too");
    assert!(seen.write.contains("Read-only file system"), "{}", seen.write);
    // The owner's number is the host's, and means nothing in there; the lock does.
    assert_eq!(seen.owner, std::process::id());

    // The same memory: what is published is there at once, the pulse as well, by the container's own clock.
    publish(&mut owned, 2);
    let next = container.tell("poll");
    assert_eq!((next.port, next.beats), (2, seen.beats + 1));
    assert!(next.silence_ms.is_some_and(|silence| silence < 60_000), "{next:?}");

    // The agent dies, and another one takes over in place: nobody reopens.
    drop(owned);
    // Another test's child has the lock, too, from its fork to its exec.
    let ownerless = until(SOON, "nobody owns it", || {
        let seen = container.tell("poll");
        if seen.has_owner == "false" { Ok(seen) } else { Err(format!("{seen:?}")) }
    });
    assert_eq!((ownerless.port, ownerless.is_current), (2, true));
    let mut owned = OwnedSegment::acquire(place.path(), &CAPACITY).expect("nobody owns it");
    assert_eq!(owned.origin(), Origin::TakenOver);
    publish(&mut owned, 3);
    let taken = container.tell("poll");
    assert_eq!((taken.port, taken.is_current, taken.has_owner.as_str()), (3, true, "true"));

    // It is superseded: the poll says so, the old answers stay, and what is there now can be opened.
    drop(owned);
    let capacity = Capacity { services: 9, ..CAPACITY };
    let mut owned = OwnedSegment::acquire(place.path(), &capacity).expect("nobody owns it");
    assert_eq!(owned.origin(), Origin::Superseded);
    publish(&mut owned, 4);
    let superseded = container.tell("poll");
    assert_eq!((superseded.port, superseded.is_current), (3, false));
    let reopened = container.tell("reopen");
    assert_eq!((reopened.port, reopened.is_current, reopened.has_owner.as_str()), (4, true, "true"));
}

/// Why the directory and not the file: a bind mount of a file is of its inode, and no other one ever comes to its path.
#[test]
fn privileged_a_container_with_the_file_bound_stays_with_the_old_segment() {
    let place = Place::new();
    let mut owned = OwnedSegment::acquire(place.path(), &CAPACITY).expect("it can be created");
    publish(&mut owned, 1);
    let inside = place.inside.path().join("main.seg");
    fs::write(&inside, b"").expect("a place to bind to");
    let mut container = Container::start(&place.path(), &inside, &inside, &place.path());
    let seen = container.tell("poll");
    assert_eq!((seen.port, seen.is_current, seen.has_owner.as_str()), (1, true, "true"));
    publish(&mut owned, 2);
    assert_eq!(container.tell("poll").port, 2);
    drop(owned);
    let capacity = Capacity { services: 9, ..CAPACITY };
    let mut owned = OwnedSegment::acquire(place.path(), &capacity).expect("nobody owns it");
    publish(&mut owned, 3);
    // Its path still leads to the file, which has no name any more: so it is not current, and there is no other one to open.
    let seen = container.tell("poll");
    eprintln!("with the file bound, superseded: {seen:?}");
    assert_eq!((seen.port, seen.is_current), (2, false), "{seen:?}");
    assert!(seen.has_owner.contains("0 links"), "{}", seen.has_owner);
    let seen = container.tell("reopen");
    assert!(seen.reopened.contains("0 links"), "{}", seen.reopened);
    assert_eq!(seen.port, 2, "the old mapping goes on");
}

/// Where root in the container is nobody on the host: the file's group lets it read, and the opener names the owner as it sees
/// it.
#[test]
fn privileged_a_container_with_users_of_its_own_names_the_owner() {
    let place = Place::new();
    let mut owned = OwnedSegment::acquire(place.path(), &CAPACITY).expect("it can be created");
    publish(&mut owned, 1);
    chown(place.path(), None, Some(STRANGER)).expect("root may do that");
    for directory in [place.host.path(), place.inside.path()] {
        chown(directory, None, Some(STRANGER)).expect("root may do that");
        fs::set_permissions(directory, fs::Permissions::from_mode(0o750)).expect("its mode");
    }
    let inside = place.inside.path().join("main.seg");
    let (user, group) = (format!("--reuid={STRANGER}"), format!("--regid={STRANGER}"));
    let owner = format!("{OWNER}={NOBODY}");
    let by =
        ["env", &owner, "setpriv", &user, &group, "--clear-groups", "unshare", "--user", "--map-root-user"];
    let mut container =
        Container::start_by(&by, place.host.path(), place.inside.path(), &inside, &place.path());
    let seen = container.tell("poll");
    assert_eq!((seen.port, seen.is_current, seen.has_owner.as_str()), (1, true, "true"), "{seen:?}");
    publish(&mut owned, 2);
    assert_eq!(container.tell("poll").port, 2);
}
