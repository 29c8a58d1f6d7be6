//! Readers in processes of their own go on whatever becomes of the agent, the segment's file and the registry.

#![allow(clippy::print_stdout, reason = "what was measured, for `cargo test -- --nocapture`")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};

use resolver_tests::{Follower, Host, Place, Process, Ran, Registry, eventually};
use serde_json::{Value, json};

/// For what has no bound of its own.
const SOON: Duration = Duration::from_secs(20);
/// The bounds that are promised.
const STALE_WITHOUT_AGENT: Duration = Duration::from_secs(5);
const STALE_WITHOUT_REGISTRY: Duration = Duration::from_secs(20);
const CAUGHT_UP: Duration = Duration::from_secs(5);
const EMPTY: Duration = Duration::from_secs(2);
const REPUBLISHED: Duration = Duration::from_secs(2);
const ENDED: Duration = Duration::from_secs(2);

const INSTANCES: u8 = 3;

/// A registry with three instances of `orders`, an agent that has published them, and two processes that read.
struct Scene {
    followers: [Follower; 2],
    agent: Process,
    registry: Registry,
    // Dropped after the processes that write there: fields drop in their order.
    host: Host,
}

impl Scene {
    #[track_caller]
    fn of(registry: Registry) -> Scene {
        (1..=INSTANCES).for_each(|instance| registry.put("orders", Place::new(instance, 0)));
        let host = Host::new();
        let agent = host.agent(&registry.source());
        host.until("orders", "has its instances", SOON, |got| length(got) == usize::from(INSTANCES));
        let follower = || Follower::start(env!("CARGO_BIN_EXE_follow"), &host, "orders");
        let followers = [follower(), follower()];
        let scene = Scene { registry, host, agent, followers };
        scene.all("they resolve", SOON, |said| said["length"] == INSTANCES && said["live"] == true);
        scene
    }

    /// Waits until each follower's last word meets a condition.
    #[track_caller]
    fn all(&self, what: &str, deadline: Duration, condition: impl Fn(&Value) -> bool) -> [Value; 2] {
        let [a, b] = &self.followers;
        [a.until(what, deadline, &condition), b.until(what, deadline, &condition)]
    }

    fn all_last(&self) -> [Value; 2] {
        self.all("they run", SOON, |_| true)
    }

    /// Asserts that no reader ever saw a mix, an older set, no endpoint or a dead handle, nor had to wait.
    #[track_caller]
    fn assert_never_without(&self, from: &[Value; 2]) {
        for (follower, from) in self.followers.iter().zip(from) {
            follower.assert_whole();
            for count in ["empty", "gone", "busy"] {
                assert_eq!(follower.since(from, count), 0, "{count}: {}", follower.last());
            }
            assert_eq!(follower.last()["handle"], from["handle"]);
        }
    }

    #[track_caller]
    fn until_state(&self, state: &str, deadline: Duration) -> Ran {
        self.host.until("orders", &format!("is {state}"), deadline, |got| got.json()["state"] == state)
    }
}

fn length(got: &Ran) -> usize {
    got.json()["endpoints"].as_array().map_or(0, Vec::len)
}

/// Shown by `cargo test -- --nocapture`, and with a failure.
fn show(what: &str, took: Duration, bound: Duration) {
    println!("{what}: {} ms (bound {} ms)", took.as_millis(), bound.as_millis());
    assert!(took <= bound, "{what}: {took:?}, over {bound:?}");
}

/// Moves the instances about for as long as `during` runs, and then waits until every reader sees where they ended.
fn under_churn(scene: &Scene, during: impl FnOnce()) {
    let (stop, moves) = (AtomicBool::new(false), AtomicU16::new(0));
    /// Ends the churn when the test panics, too.
    struct Ends<'a>(&'a AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let ends = Ends(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let next = moves.fetch_add(1, Ordering::Relaxed) + 1;
                (1..=INSTANCES).for_each(|i| scene.registry.put("orders", Place::new(i, next)));
            }
        });
        during();
        drop(ends);
    });
    // All moved alike, and the heaviest with the lowest address is the primary.
    let last = Place::new(1, moves.into_inner());
    let place = format!("{}:{}", last.address(), last.port());
    scene.all("they see the last place", SOON, |said| said["endpoint"] == place);
    println!("{} moves of {INSTANCES} instances on {}", last.moves, scene.registry.name());
}

fn generation(said: &Value) -> u64 {
    said["generation"].as_u64().unwrap_or_default()
}

fn moved_on(scene: &Scene, by: u64) {
    let from = scene.all_last().map(|said| generation(&said)).into_iter().max().unwrap_or_default();
    scene.all("generations grow", SOON, |said| generation(said) >= from + by);
}

/// The agent's end or standstill, three times over, while it publishes.
fn agent_goes_and_comes(
    registry: Registry,
    goes: impl Fn(&Process),
    comes: impl Fn(&Process),
    same_owner: bool,
) {
    let scene = Scene::of(registry);
    let first = scene.all_last();
    under_churn(&scene, || {
        for round in 1..=3 {
            moved_on(&scene, 50);
            let start = Instant::now();
            goes(&scene.agent);
            let got = scene.until_state("STALE", SOON);
            let took = start.elapsed();
            let stood = scene.all("they notice the silence", SOON, |said| said["live"] == false);
            assert_eq!((got.code, &got.json()["reason"], length(&got)), (Some(0), &json!("silent"), 3));
            show("agent gone: get says STALE after", took, STALE_WITHOUT_AGENT);
            let start = Instant::now();
            comes(&scene.agent);
            scene.until_state("FRESH", SOON);
            show("agent back: get says FRESH after", start.elapsed(), CAUGHT_UP);
            let owner = if same_owner { 1 } else { round + 1 };
            let went_on = scene.all("they see the agent again", SOON, |said| {
                said["live"] == true && said["state"] == "FRESH" && said["owner"] == owner
            });
            for (stood, went_on) in stood.iter().zip(&went_on) {
                assert!(generation(went_on) >= generation(stood), "{stood} then {went_on}");
            }
        }
        moved_on(&scene, 50);
    });
    scene.assert_never_without(&first);
    assert_eq!(scene.agent.terminate(ENDED).code(), Some(0));
}

#[test]
fn readers_go_on_when_the_agent_is_killed_and_started_again_with_consul() {
    agent_goes_and_comes(Registry::consul(), Process::kill, Process::start_again, false);
}

#[test]
fn readers_go_on_when_the_agent_is_killed_and_started_again_with_etcd() {
    agent_goes_and_comes(Registry::etcd(), Process::kill, Process::start_again, false);
}

#[test]
fn readers_go_on_when_the_agent_stands_still() {
    agent_goes_and_comes(Registry::consul(), Process::stop, Process::cont, true);
}

/// The registry's end or standstill: the set stands, says so, and what happens after is seen soon.
fn registry_goes_and_comes(registry: Registry, goes: impl Fn(&Registry), comes: impl Fn(&Registry)) {
    let scene = Scene::of(registry);
    let name = scene.registry.name();
    let first = scene.all_last();
    let start = Instant::now();
    goes(&scene.registry);
    let got = scene.until_state("STALE", 2 * STALE_WITHOUT_REGISTRY);
    show(&format!("{name} gone: get says STALE after"), start.elapsed(), STALE_WITHOUT_REGISTRY);
    let json = got.json();
    assert_eq!((got.code, length(&got), &json["reason"]), (Some(0), 3, &json!("unreachable")), "{json}");
    scene.all("they see it stand", SOON, |said| said["state"] == "STALE" && said["live"] == true);
    assert_eq!(scene.all_last().map(|said| generation(&said)), first.clone().map(|said| generation(&said)));

    comes(&scene.registry);
    let ready = Instant::now();
    scene.registry.put("orders", Place::new(9, 0));
    scene.all("they are fresh and see the newcomer", SOON, |said| {
        said["state"] == "FRESH" && said["length"] == 4 && said["reason"] == "none"
    });
    show(&format!("{name} back: readers have caught up after"), ready.elapsed(), CAUGHT_UP);
    let got = scene.host.get("orders");
    assert_eq!((length(&got), &got.json()["state"]), (4, &json!("FRESH")));
    scene.assert_never_without(&first);
    assert_eq!(scene.agent.terminate(ENDED).code(), Some(0));
}

#[test]
fn the_table_holds_when_consul_is_killed_and_restarted() {
    registry_goes_and_comes(Registry::consul(), |consul| consul.kill(), Registry::restart);
}

#[test]
fn the_table_holds_when_etcd_is_killed_and_restarted() {
    registry_goes_and_comes(Registry::etcd(), |etcd| etcd.kill(), Registry::restart);
}

#[test]
fn the_table_holds_when_consul_stands_still() {
    registry_goes_and_comes(Registry::consul(), |consul| consul.stop(), |consul| consul.cont());
}

#[test]
fn the_table_holds_when_etcd_stands_still() {
    registry_goes_and_comes(Registry::etcd(), |etcd| etcd.stop(), |etcd| etcd.cont());
}

fn all_instances_leave(registry: Registry) {
    let scene = Scene::of(registry);
    let first = scene.all_last();
    (1..INSTANCES).for_each(|instance| scene.registry.remove("orders", instance));
    scene.all("they see the last instance", SOON, |said| said["length"] == 1);
    let start = Instant::now();
    scene.registry.remove("orders", INSTANCES);
    scene.all("they see it empty", SOON, |said| said["state"] == "EMPTY" && said["why"] == "Empty");
    show(&format!("{}: EMPTY after", scene.registry.name()), start.elapsed(), EMPTY);
    let got = scene.host.get("orders");
    assert_eq!((got.code, &got.json()["state"]), (Some(4), &json!("EMPTY")));

    scene.registry.put("orders", Place::new(1, 1));
    scene.all("they see it come again", SOON, |said| said["state"] == "FRESH" && said["why"].is_null());
    for (last, first) in scene.all_last().iter().zip(&first) {
        assert_eq!((&last["handle"], &last["gone"]), (&first["handle"], &json!(0)));
    }
    scene.followers.iter().for_each(Follower::assert_whole);
}

#[test]
fn a_service_whose_instances_all_left_consul_is_empty() {
    all_instances_leave(Registry::consul());
}

#[test]
fn a_service_whose_instances_all_left_etcd_is_empty() {
    all_instances_leave(Registry::etcd());
}

/// Which file is at a path, if there is one.
fn inode(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    path.metadata().ok().map(|meta| meta.ino())
}

#[test]
fn a_segment_that_was_removed_is_there_again_and_watch_follows() {
    let scene = Scene::of(Registry::consul());
    let watch = scene.host.watch("orders");
    eventually(SOON, "watch shows how it stands", || watch.stdout().lines().count() == 1);
    let path = scene.host.segment();
    let (old, first) = (inode(&path), scene.all_last());
    std::fs::remove_file(&path).expect("the agent's segment");
    let start = Instant::now();
    scene
        .host
        .until("orders", "is published anew", SOON, |got| got.json()["state"] == "FRESH" && length(got) == 3);
    show("segment removed: published anew after", start.elapsed(), REPUBLISHED);
    assert!(inode(&path).is_some() && inode(&path) != old);

    scene.registry.put("orders", Place::new(9, 0));
    let last = Place::new(9, 0).address().to_string();
    eventually(SOON, "watch follows to the new file", || watch.stdout().contains(&last));
    // Those who hold the old file keep its last table, and see that it is silent.
    scene.all("they notice the silence", SOON, |said| said["live"] == false && said["length"] == 3);
    scene.assert_never_without(&first);
    assert_eq!(scene.agent.terminate(ENDED).code(), Some(0));
}

#[test]
fn a_segment_that_was_removed_during_an_outage_comes_back_with_what_was_known() {
    let scene = Scene::of(Registry::etcd());
    let path = scene.host.segment();
    scene.registry.kill();
    std::fs::remove_file(&path).expect("the agent's segment");
    let start = Instant::now();
    let got = scene.host.until("orders", "is published anew", SOON, |got| got.code == Some(0));
    show("segment removed without a registry: published anew after", start.elapsed(), REPUBLISHED);
    assert_eq!((length(&got), &got.json()["state"]), (3, &json!("STALE")));
    assert_eq!(got.json()["endpoint"]["id"], "1", "with ids");
    scene.registry.restart();
    scene.registry.put("orders", Place::new(9, 0));
    let start = Instant::now();
    scene
        .host
        .until("orders", "has caught up", SOON, |got| got.json()["state"] == "FRESH" && length(got) == 4);
    show("etcd back: get has caught up after", start.elapsed(), CAUGHT_UP);
}

#[test]
fn an_agent_that_starts_without_its_registry_takes_over_what_stands() {
    let scene = Scene::of(Registry::consul());
    let first = scene.all_last();
    scene.agent.kill();
    scene.registry.kill();
    scene.agent.start_again();
    scene.all("they see the new agent", SOON, |said| said["owner"] == 2 && said["live"] == true);
    let got = scene.until_state("STALE", SOON);
    assert_eq!((got.code, length(&got)), (Some(0), 3), "{}", got.stdout);
    scene.registry.restart();
    let start = Instant::now();
    scene.all("they are fresh", SOON, |said| said["state"] == "FRESH");
    show("consul back: readers are fresh after", start.elapsed(), CAUGHT_UP);
    scene.assert_never_without(&first);
}

/// What every other test here stands on: the followers' own checks can fail.
#[test]
fn a_follower_tells_a_mix_and_an_older_set() {
    let host = Host::new();
    let file = host.dir().join("services.json");
    let write = |address: std::net::Ipv4Addr, of: Place| {
        let instance = json!({ "id": "1", "address": address, "port": of.port(), "weight": of.weight() });
        let text = json!({ "service": [{ "name": "orders", "instance": [instance] }] }).to_string();
        std::fs::write(&file, text).expect("a file in the test's own directory");
    };
    let place = |moves| Place::new(1, moves);
    write(place(5).address(), place(5));
    let source = format!("[[source]]\nname = \"file\"\nkind = \"file\"\npath = \"{}\"\n", file.display());
    let _agent = host.agent(&source);
    host.until("orders", "has its instance", SOON, |got| got.code == Some(0));
    let follower = Follower::start(env!("CARGO_BIN_EXE_follow"), &host, "orders");
    follower.until("it resolves", SOON, |said| said["length"] == 1 && said["torn"] == 0 && said["back"] == 0);
    write(place(4).address(), place(4));
    follower.until("it tells the older set", SOON, |said| said["back"] != 0 && said["torn"] == 0);
    write(place(6).address(), place(7));
    follower.until("it tells the mix", SOON, |said| said["torn"] != 0);
}
