//! How an agent starts, or refuses to, and how it leaves.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use resolver_tests::{Host, Process};

const SOON: Duration = Duration::from_secs(15);

/// A host with a file source of one instance, and its configuration without a `[segment]`.
fn host_with_a_file() -> (Host, String) {
    let host = Host::new();
    let file = host.dir().join("services.toml");
    let text = "[[service]]\nname = \"orders\"\n[[service.instance]]\nid = \"1\"\naddress = \"10.0.0.1\"\nport = 9001\n";
    std::fs::write(&file, text).expect("a file in the test's own directory");
    let config = format!("[[source]]\nname = \"file\"\nkind = \"file\"\npath = \"{}\"\n", file.display());
    (host, config)
}

fn started(host: &Host, config: &str) -> Process {
    let agent = host.agent(config);
    host.until("orders", "has its instance", SOON, |got| got.code == Some(0));
    agent
}

/// Asserts that an agent with this configuration ends with exit code 2 and each of these words, and leaves no segment.
#[track_caller]
fn refused(host: &Host, config: &str, words: &[&str]) {
    let file = host.configuration(config);
    let ran = host.run(&["agent", "--config", &file.display().to_string()]);
    assert_eq!(ran.code, Some(2), "{config}: {}", ran.stderr);
    assert!(words.iter().all(|word| ran.stderr.contains(word)), "{words:?} in: {}", ran.stderr);
    assert!(!host.segment().exists(), "{config}: it made a segment before it refused");
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place() {
    let (host, config) = host_with_a_file();
    // The harness puts [segment], its path and an empty line in front.
    refused(&host, &format!("{config}\n[sync]\ncorse = 1\n"), &["agent.toml", "line 10", "corse", "core"]);
    refused(&host, &format!("{config}prefx = \"/a\"\n"), &["line 8", "prefx"]);
    refused(&host, "[sync]\n", &["[[source]]"]);
    refused(&host, &format!("{config}prefix = \"/a\"\n"), &["source file", "prefix"]);
    refused(
        &host,
        &format!("{config}[[view]]\nname = \"v\"\nsource = \"consul\"\n"),
        &["\"v\"", "\"consul\""],
    );
    let missing = host.run(&["agent", "--config", "/nonexistent/agent.toml"]);
    assert_eq!(missing.code, Some(2));
    assert!(missing.stderr.contains("/nonexistent/agent.toml"), "{}", missing.stderr);
    assert_eq!(host.run(&["agent"]).code, Some(2), "no configuration named");
}

#[test]
fn a_core_that_is_not_there_or_is_the_readers_is_refused() {
    let (host, config) = host_with_a_file();
    refused(&host, &format!("{config}\n[sync]\ncore = 4095\n"), &["4095", "core"]);
    refused(
        &host,
        &format!("{config}\n[sync]\ncore = 0\nreader_cores = [1, 0]\n"),
        &["core 0", "reader_cores"],
    );
}

#[test]
fn the_sync_thread_sits_on_the_core_that_was_named() {
    let (host, config) = host_with_a_file();
    let allowed = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        line.map(|cores| cores.trim().to_owned()).expect("a kernel that says where a thread may run")
    };
    let own = allowed(std::fs::read_to_string("/proc/self/status").expect("our own status"));
    let core = own.split([',', '-']).next().expect("at least one core").to_owned();
    let agent = started(&host, &format!("{config}\n[sync]\ncore = {core}\n"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("it runs");
    assert_eq!(allowed(status), core);
}

#[test]
fn a_token_file_that_others_can_read_is_refused() {
    let (host, _) = host_with_a_file();
    let token = host.dir().join("token");
    std::fs::write(&token, "canary-5a3cbd8e\n").expect("a file in the test's own directory");
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o644)).expect("our own file");
    let config =
        format!("[[source]]\nname = \"consul\"\nkind = \"consul\"\ntoken_file = \"{}\"\n", token.display());
    refused(&host, &config, &["source consul", "token", "600"]);
    let file = host.configuration(&config);
    let ran = host.run(&["agent", "--config", &file.display().to_string()]);
    assert!(!ran.stderr.contains("canary"), "the token itself is never printed: {}", ran.stderr);
}

#[test]
fn a_second_agent_leaves_and_touches_no_byte() {
    let (host, config) = host_with_a_file();
    let first = started(&host, &config);
    let pid = first.pid();
    // Standing still, it changes nothing itself; its lock stays with it.
    first.stop();
    let state = || {
        let meta = host.segment().metadata().expect("the segment");
        (std::fs::read(host.segment()).expect("the segment"), meta.ino(), meta.mode(), meta.mtime_nsec())
    };
    let before = state();
    assert!(before.0.len() > 1 << 20, "the whole table was read");
    let others: Vec<PathBuf> = beside(&host);
    let file = host.dir().join("agent.toml").display().to_string();
    let second = host.run(&["agent", "--config", &file]);
    assert_eq!(second.code, Some(5), "{}", second.stderr);
    assert!(second.stderr.contains(&format!("process {pid}")), "it names the owner: {}", second.stderr);
    let after = state();
    assert!(before.0 == after.0, "bytes of the segment changed");
    assert_eq!((before.1, before.2, before.3), (after.1, after.2, after.3));
    assert_eq!(others, beside(&host), "it left a file beside the segment");
    first.cont();
    host.until("orders", "is fresh again", SOON, |got| got.json()["state"] == "FRESH");
    assert!(first.is_running());
}

fn beside(host: &Host) -> Vec<PathBuf> {
    let segment = host.segment();
    let directory = segment.parent().expect("a directory of its own");
    let entries = std::fs::read_dir(directory).expect("the segment's directory");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

#[test]
fn signals_end_it_cleanly_and_the_table_stays() {
    use rustix::process::Signal;
    let (host, config) = host_with_a_file();
    for signal in [Signal::TERM, Signal::INT] {
        let agent = started(&host, &config);
        agent.signal(signal);
        assert_eq!(agent.exit(Duration::from_secs(2)).code(), Some(0), "{signal:?}");
        let name = if signal == Signal::TERM { "SIGTERM" } else { "SIGINT" };
        assert!(agent.stderr().contains(name), "{}", agent.stderr());
        let left = host.get("orders");
        assert_eq!(
            (left.code, left.json()["state"].as_str(), left.json()["reason"].as_str()),
            (Some(0), Some("STALE"), Some("silent"))
        );
    }
}
