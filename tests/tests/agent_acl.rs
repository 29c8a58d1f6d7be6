//! Consul with ACLs: an answer that was filtered looks like an empty service, and must never be taken for one.

#![allow(clippy::print_stdout, reason = "what was measured, for `cargo test -- --nocapture`")]

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use resolver_tests::{Consul, ConsulOptions, Follower, Host, Place, Process, Ran};
use serde_json::json;

/// A parked query that nothing wakes ends after 10 s and a sixteenth, and its answer is what was true when it was asked:
/// so lost rights show in the answer to the next one.
const NOTICED: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(20);

const READ: &str = r#"service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;
const NOTHING: &str = r#"key_prefix "" { policy = "read" }"#;
const NO_NODES: &str = r#"service_prefix "" { policy = "read" }"#;

struct Scene {
    agent: Process,
    consul: Consul,
    token: String,
    // Dropped after the processes that write there: fields drop in their order.
    host: Host,
}

impl Scene {
    /// A Consul that denies by default, two instances of `orders`, and an agent whose token's policy has these rules.
    #[track_caller]
    fn with(rules: &str, views: &str) -> Scene {
        let consul = Consul::start(ConsulOptions::new().acl());
        (1..=2).for_each(|instance| consul.register(&Place::new(instance, 0).consul("orders")));
        consul.set_policy("agent", rules);
        let token = consul.create_token(&["agent"]);
        let host = Host::new();
        let file = host.dir().join("token");
        std::fs::write(&file, &token).expect("a file in the test's own directory");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("our own file");
        let agent = host.agent(&format!(
            "[[source]]\nname = \"consul\"\nkind = \"consul\"\naddress = \"{}\"\ntoken_file = \"{}\"\n{views}",
            consul.url(),
            file.display()
        ));
        Scene { consul, token, host, agent }
    }

    #[track_caller]
    fn until_fresh(&self, instances: usize) -> Ran {
        self.host.until("orders", "is fresh", SOON, |got| {
            let json = got.json();
            json["state"] == "FRESH" && json["endpoints"].as_array().map(Vec::len) == Some(instances)
        })
    }

    fn follower(&self) -> Follower {
        Follower::start(env!("CARGO_BIN_EXE_follow"), &self.host, "orders")
    }

    /// Waits until the set stands for want of rights, checks that it is the set, and says how long that took.
    #[track_caller]
    fn until_held(&self, since: Instant) {
        let got =
            self.host.until("orders", "stands by its ACL", NOTICED, |got| got.json()["reason"] == "acl");
        println!("rights gone: get says so after {} ms", since.elapsed().as_millis());
        let json = got.json();
        assert_eq!((got.code, &json["state"]), (Some(0), &json!("STALE")), "{json}");
        assert_eq!(json["endpoints"].as_array().map(Vec::len), Some(2), "{json}");
    }
}

fn revoked_and_given_back(revoke: impl Fn(&Scene), give_back: impl Fn(&Scene)) {
    let scene = Scene::with(READ, "");
    scene.until_fresh(2);
    let follower = scene.follower();
    let before = follower.until("it resolves", SOON, |said| said["length"] == 2);
    let start = Instant::now();
    revoke(&scene);
    scene.until_held(start);
    follower.until("it sees why", SOON, |said| said["reason"] == "acl" && said["length"] == 2);
    // What happens now is not seen, and is right when the rights return.
    scene.consul.register(&Place::new(3, 0).consul("orders"));
    let start = Instant::now();
    give_back(&scene);
    scene.until_fresh(3);
    println!("rights back: get says FRESH after {} ms", start.elapsed().as_millis());
    follower.until("it is fresh", SOON, |said| said["state"] == "FRESH" && said["length"] == 3);
    follower.assert_whole();
    for count in ["empty", "gone", "busy"] {
        assert_eq!(follower.since(&before, count), 0, "{count}: {}", follower.last());
    }
    let log = scene.agent.stderr();
    assert!(!log.contains(&scene.token), "the token is in the log");
    assert!(log.lines().any(|line| line.contains("WARN") && line.contains("reason=\"acl\"")), "{log}");
}

#[test]
fn the_set_stands_while_the_policy_gives_no_rights() {
    revoked_and_given_back(
        |scene| scene.consul.set_policy("agent", NOTHING),
        |scene| scene.consul.set_policy("agent", READ),
    );
}

#[test]
fn the_set_stands_while_the_policy_gives_no_rights_on_nodes() {
    revoked_and_given_back(
        |scene| {
            scene.consul.set_policy("agent", NO_NODES);
            // A change wakes the query, so that this need not wait.
            scene.consul.register(&Place::new(2, 1).consul("orders"));
        },
        |scene| scene.consul.set_policy("agent", READ),
    );
}

#[test]
fn the_set_stands_when_the_token_is_deleted() {
    let scene = Scene::with(READ, "");
    scene.until_fresh(2);
    let follower = scene.follower();
    let before = follower.until("it resolves", SOON, |said| said["length"] == 2);
    let start = Instant::now();
    scene.consul.delete_token(&scene.token);
    scene.until_held(start);
    follower.assert_whole();
    assert_eq!((follower.since(&before, "empty"), follower.since(&before, "gone")), (0, 0));
}

#[test]
fn a_view_without_rights_from_the_start_is_never_and_not_empty() {
    let scene = Scene::with(NOTHING, "[[view]]\nname = \"orders\"\nsource = \"consul\"\n");
    let got = scene.host.until("orders", "says why", SOON, |got| got.json()["reason"] == "acl");
    assert_eq!((got.code, &got.json()["state"]), (Some(4), &json!("NEVER")), "{}", got.stdout);
    let follower = scene.follower();
    follower.until("it has the handle", SOON, |said| said["why"] == "Never");
    scene.consul.set_policy("agent", READ);
    scene.until_fresh(2);
    follower.until("it resolves", SOON, |said| said["length"] == 2);
    assert!(follower.history().iter().all(|said| said["state"] != "EMPTY"), "it was never empty");
}

#[test]
fn an_empty_service_that_may_be_read_is_empty() {
    let scene = Scene::with(READ, "");
    scene.until_fresh(2);
    (1..=2).for_each(|instance| scene.consul.deregister(&format!("orders-{instance}")));
    let start = Instant::now();
    let got = scene.host.until("orders", "is empty", SOON, |got| got.code == Some(4));
    println!("deregistered: EMPTY after {} ms", start.elapsed().as_millis());
    assert_eq!((&got.json()["state"], start.elapsed() < Duration::from_secs(2)), (&json!("EMPTY"), true));
}
