//! What the agent keeps on disk, where something else lies in its place: it is refused, what it is or leads to stays as it is,
//! and the message says what to do.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use resolver_sync::report::{ReportSocket, SocketOptions};
use resolver_tests::{Host, Process, eventually};
use rustix::fs::{CWD, FileType, Mode};

const SOON: Duration = Duration::from_secs(20);
/// Nobody of this number is on the host.
const STRANGER: u32 = 61_234;

/// What lies where a file of the agent's should be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Planted {
    Link,
    SecondLink,
    Fifo,
    Directory,
    LooseMode,
    /// Only root can give files away.
    Stranger,
}

const BY_ANYBODY: [Planted; 5] =
    [Planted::Link, Planted::SecondLink, Planted::Fifo, Planted::Directory, Planted::LooseMode];

impl Planted {
    /// Plants it; `good` is a file that would be taken if it lay there itself.
    fn plant(self, path: &Path, good: &Path) {
        clear(path);
        match self {
            Planted::Link => symlink(good, path).expect("a link"),
            Planted::SecondLink => std::fs::hard_link(good, path).expect("a link"),
            Planted::Fifo => {
                rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO")
            }
            Planted::Directory => std::fs::create_dir(path).expect("a directory"),
            Planted::LooseMode => {
                std::fs::copy(good, path).expect("a copy");
                std::fs::set_permissions(path, PermissionsExt::from_mode(0o640)).expect("ours");
            }
            Planted::Stranger => {
                std::fs::copy(good, path).expect("a copy");
                chown(path, Some(STRANGER), None).expect("root may do that");
            }
        }
    }

    fn words(self) -> &'static str {
        match self {
            Planted::Link => "it is a symbolic link, which is not followed; look at it, and remove it",
            Planted::SecondLink => {
                "it has 2 links, and one is right: it has a second name; look at it, and remove it"
            }
            Planted::Fifo | Planted::Directory => "it is not a regular file; look at it, and remove it",
            Planted::LooseMode => {
                "its mode is 640, and 600 is right: something has changed it; look at it, and remove it"
            }
            Planted::Stranger => "its owner is uid 61234, and this agent's is 0; look at it, and remove it",
        }
    }
}

fn clear(path: &Path) {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => std::fs::remove_dir(path).expect("an empty one"),
        Ok(_) => std::fs::remove_file(path).expect("the test's own directory"),
        Err(_) => {}
    }
}

/// All that there is to say of what lies at a path: which file it is, whose, with what mode, and what is in it.
fn identity(path: &Path) -> (u64, u32, u32, Option<Vec<u8>>) {
    let found = path.symlink_metadata().expect("it is there");
    let bytes = found.is_file().then(|| std::fs::read(path).expect("a file"));
    (found.ino(), found.uid(), found.mode(), bytes)
}

/// An agent with a file of services and a state directory; both files are kept there.
struct Scene {
    agent: Process,
    host: Host,
}

impl Scene {
    fn new() -> Scene {
        let host = Host::new();
        let services = host.dir().join("services.json");
        let config = format!(
            "[state]\ndirectory = \"{}\"\nevery = \"1s\"\n\
             [[source]]\nname = \"f\"\nkind = \"file\"\npath = \"{}\"\n",
            host.dir().join("state").display(),
            services.display()
        );
        std::fs::write(
            &services,
            r#"{"service": [{"name": "orders", "instance": [
                {"id": "1", "address": "10.0.0.1", "port": 9001}, {"id": "2", "address": "10.0.0.2", "port": 9002}
            ]}]}"#,
        )
        .expect("a file");
        let agent = host.agent(&config);
        let scene = Scene { agent, host };
        scene.host.until("orders", "is fresh", SOON, |got| got.json()["state"] == "FRESH");
        scene
    }

    fn state(&self, name: &str) -> PathBuf {
        self.host.dir().join("state").join(name)
    }

    /// Puts a file of the agent's elsewhere, as one that would be taken.
    fn good(&self, name: &str) -> PathBuf {
        let good = self.host.dir().join(format!("good-{name}"));
        std::fs::rename(self.state(name), &good).expect("it is kept");
        good
    }

    /// As after the machine was started again, and the file of services is not there yet.
    fn reboot(&self, services: bool) {
        self.agent.kill();
        let directory = self.host.segment().parent().expect("a directory").to_owned();
        for entry in std::fs::read_dir(directory).expect("it is there").flatten() {
            std::fs::remove_file(entry.path()).expect("a file of the agent's");
        }
        let (here, away) = (self.host.dir().join("services.json"), self.host.dir().join("services.away"));
        let (from, to) = if services { (&away, &here) } else { (&here, &away) };
        if from.exists() {
            std::fs::rename(from, to).expect("ours");
        }
    }

    fn until_said(&self, what: &str, words: &str) {
        eventually(SOON, &format!("{what}: {words}\n{}", self.agent.stderr()), || {
            self.agent.stderr().contains(words)
        });
    }

    fn kill(&self, endpoint: &str) -> resolver_tests::Ran {
        self.host.run(&["kill", endpoint, "--json", "--segment", &self.host.segment().display().to_string()])
    }
}

fn no_last_good_table_is_taken_from_where(plants: &[Planted]) {
    let scene = Scene::new();
    assert_eq!(scene.agent.terminate(SOON).code(), Some(0), "it is kept at the end");
    let good = scene.good("last-good");
    let path = scene.state("last-good");
    // As it was written it is good: the others are refused for what they are.
    std::fs::copy(&good, &path).expect("a copy");
    scene.reboot(false);
    scene.agent.start_again();
    scene.host.until("orders", "is served", SOON, |got| got.json()["state"] == "STALE");

    for planted in plants {
        scene.reboot(false);
        planted.plant(&path, &good);
        let (before, target) = (identity(&path), identity(&good));
        scene.agent.start_again();
        scene.until_said(&format!("{planted:?}"), "the last good table is not served");
        scene.until_said(&format!("{planted:?}"), planted.words());
        let got = scene.host.until("orders", "is asked for", SOON, |got| got.code != Some(5));
        assert_eq!(got.code, Some(3), "{planted:?}: nothing is served: {}", got.stdout);
        let aside = scene.state("last-good.refused");
        let place = if *planted == Planted::Stranger { &path } else { &aside };
        assert_eq!(identity(place), before, "{planted:?}");
        if *planted == Planted::Stranger {
            // Nor is anything put in its place, when there is something to keep.
            scene.reboot(true);
            scene.agent.start_again();
            scene.host.until("orders", "is fresh", SOON, |got| got.json()["state"] == "FRESH");
            scene.until_said(&format!("{planted:?}"), "the last good table is not kept");
            assert_eq!(identity(&path), before);
        }
        assert_eq!(identity(&good), target, "{planted:?}: what it leads to is as it was");
        clear(&aside);
        clear(&path);
    }
}

#[test]
fn no_last_good_table_is_taken_from_a_link_a_fifo_or_a_file_of_loose_mode() {
    no_last_good_table_is_taken_from_where(&BY_ANYBODY);
}

#[test]
fn privileged_no_last_good_table_is_taken_from_another_users_file() {
    no_last_good_table_is_taken_from_where(&[Planted::Stranger]);
}

fn no_agent_starts_on_kills_from_where(plants: &[Planted]) {
    let scene = Scene::new();
    assert_eq!(scene.kill("10.0.0.1:9001").code, Some(0));
    scene.agent.kill();
    let good = scene.good("kills");
    let path = scene.state("kills");
    for planted in plants {
        planted.plant(&path, &good);
        let (before, target) = (identity(&path), identity(&good));
        scene.agent.start_again();
        assert_eq!(scene.agent.exit(SOON).code(), Some(2), "{planted:?}: {}", scene.agent.stderr());
        scene.until_said(&format!("{planted:?}"), "what an operator took out is not known");
        scene.until_said(&format!("{planted:?}"), planted.words());
        assert_eq!((identity(&path), identity(&good)), (before, target), "{planted:?}");
        // What stands has the endpoint that was left.
        assert_eq!(scene.host.get("orders").json()["endpoints"].as_array().map(Vec::len), Some(1));
        clear(&path);
    }
    // While the agent runs: the order is done, and what lies there stays.
    std::fs::copy(&good, &path).expect("a copy");
    scene.agent.start_again();
    scene.host.until("orders", "is fresh", SOON, |got| got.json()["state"] == "FRESH");
    for planted in
        plants.iter().filter(|planted| !matches!(planted, Planted::LooseMode | Planted::SecondLink))
    {
        planted.plant(&path, &good);
        let (before, target) = (identity(&path), identity(&good));
        let ran = scene.kill("10.0.0.1:9001");
        assert!(ran.stdout.contains("done, but not kept"), "{planted:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(planted.words()), "{planted:?}: {}{}", ran.stdout, ran.stderr);
        assert_eq!((identity(&path), identity(&good)), (before, target), "{planted:?}");
    }
}

#[test]
fn no_agent_starts_on_kills_from_a_link_a_fifo_or_a_file_of_loose_mode() {
    no_agent_starts_on_kills_from_where(&BY_ANYBODY);
}

#[test]
fn privileged_no_agent_starts_on_another_users_kills() {
    no_agent_starts_on_kills_from_where(&[Planted::Stranger]);
}

fn no_agent_starts_on_a_lock_from_where(plants: &[Planted]) {
    let scene = Scene::new();
    scene.agent.kill();
    let good = scene.good("lock");
    let path = scene.state("lock");
    for planted in plants {
        planted.plant(&path, &good);
        let before = (identity(&path), identity(&good));
        scene.agent.start_again();
        assert_eq!(scene.agent.exit(SOON).code(), Some(2), "{planted:?}: {}", scene.agent.stderr());
        scene.until_said(&format!("{planted:?}"), planted.words());
        assert_eq!((identity(&path), identity(&good)), before, "{planted:?}");
        clear(&path);
    }
}

#[test]
fn no_agent_starts_on_a_lock_that_is_a_link_a_fifo_or_of_loose_mode() {
    // A directory cannot be opened for writing: the system says so.
    let plants: Vec<_> = BY_ANYBODY.into_iter().filter(|planted| *planted != Planted::Directory).collect();
    no_agent_starts_on_a_lock_from_where(&plants);
}

#[test]
fn privileged_no_agent_starts_on_another_users_lock() {
    no_agent_starts_on_a_lock_from_where(&[Planted::Stranger]);
}

#[test]
fn privileged_a_state_directory_of_another_user_or_behind_a_link_is_refused() {
    let scene = Scene::new();
    scene.agent.kill();
    let state = scene.host.dir().join("state");
    chown(&state, Some(STRANGER), None).expect("root may do that");
    let before = identity(&scene.state("lock"));
    scene.agent.start_again();
    assert_eq!(scene.agent.exit(SOON).code(), Some(2), "{}", scene.agent.stderr());
    scene.until_said("a stranger's", "it must be a directory of uid 0 that only it may write to");
    chown(&state, Some(0), None).expect("root may do that");
    let real = scene.host.dir().join("real");
    std::fs::rename(&state, &real).expect("ours");
    symlink(&real, &state).expect("a link");
    scene.agent.start_again();
    assert_eq!(scene.agent.exit(SOON).code(), Some(2), "{}", scene.agent.stderr());
    scene.until_said("a link", "it is a symbolic link, which is not followed");
    assert_eq!(identity(&real.join("lock")), before, "nothing was written there");
}

#[test]
fn privileged_a_socket_that_another_user_left_stays() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("report.sock");
    drop(std::os::unix::net::UnixDatagram::bind(&path).expect("bound, and left behind"));
    chown(&path, Some(STRANGER), None).expect("root may do that");
    let before = identity(&path);
    let options = SocketOptions { path: path.clone(), group: None };
    let refused = ReportSocket::bind(&options).expect_err("a stranger's").to_string();
    assert!(refused.contains("its owner is uid 61234") && refused.contains("remove it"), "{refused}");
    assert_eq!(identity(&path), before);
    let below = directory.path().join("below");
    std::fs::create_dir(&below).expect("a directory");
    chown(&below, Some(STRANGER), None).expect("root may do that");
    let options = SocketOptions { path: below.join("report.sock"), group: None };
    let refused = ReportSocket::bind(&options).expect_err("a stranger's").to_string();
    assert!(refused.contains("only it may write to"), "{refused}");
    assert_eq!(std::fs::read_dir(&below).expect("it is there").count(), 0);
}
