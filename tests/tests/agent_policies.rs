//! What a view's policies make of a set: tiers and fail-back, slow start, ejection by other processes' reports, panic, and
//! the marks that readers test for.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use resolver_core::pick::{Maglev, PickError, Smooth};
use resolver_core::{Endpoint, Segment, State};
use resolver_tests::{Consul, ConsulOptions, Host, Process, Ran, eventually, try_until};
use serde_json::Value;

/// For a change to reach the segment. It takes milliseconds; a machine that is busy building takes longer.
const SOON: Duration = Duration::from_secs(20);

/// A host whose agent has one view, `oms`, of a file that the test writes; and everything that was ever resolved of it.
struct Stage {
    agent: Process,
    watch: Process,
    file: PathBuf,
    // Dropped after the processes that write there: fields drop in their order.
    host: Host,
}

impl Stage {
    fn start(instances: &str, view: &str, rest: &str) -> Stage {
        let host = Host::new();
        let file = host.dir().join("services.toml");
        std::fs::write(&file, document(instances)).expect("a file in the test's own directory");
        let agent = host.agent(&format!(
            "[[source]]\nname = \"file\"\nkind = \"file\"\npath = \"{}\"\n\
             [[view]]\nname = \"oms\"\nsource = \"file\"\n{view}\n{rest}",
            file.display()
        ));
        host.until("oms", "is published", SOON, |got| got.code == Some(0));
        let watch = host.watch("oms");
        let stage = Stage { agent, watch, file, host };
        stage.until("the watch has begun", |history| !history.is_empty());
        stage
    }

    fn write(&self, instances: &str) {
        std::fs::write(&self.file, document(instances)).expect("a file in the test's own directory");
    }

    /// Every set since the watch began, as `id:weight` in order, reserves in parentheses; never twice the same in a row.
    fn history(&self) -> Vec<String> {
        let output = self.watch.stdout();
        let lines = output.lines().filter_map(|line| serde_json::from_str(line).ok());
        let mut history: Vec<String> = lines.map(|line: Value| shown(&line)).collect();
        history.dedup();
        history
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&[String]) -> bool) {
        let found = try_until(SOON, || {
            let history = self.history();
            if holds(&history) { Ok(()) } else { Err(history) }
        });
        if let Err(history) = found {
            panic!("not within {SOON:?}: {what}; there were {history:#?}\n{}", self.agent.stderr());
        }
    }
}

fn shown(service: &Value) -> String {
    let endpoints = service["endpoints"].as_array().cloned().unwrap_or_default();
    let one = |e: &Value| {
        let shown = format!("{}:{}", e["id"].as_str().unwrap_or("?"), e["weight"]);
        if e["reserve"] == true { format!("({shown})") } else { shown }
    };
    endpoints.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Instances as `id port tier weight`, one a line.
fn document(instances: &str) -> String {
    let mut text = "[[service]]\nname = \"oms\"\n".to_owned();
    for line in instances.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [id, port, tier, weight] = words[..] else { panic!("{line}") };
        text += &format!(
            "[[service.instance]]\nid = \"{id}\"\naddress = \"10.0.0.1\"\nport = {port}\ntier = {tier}\nweight = {weight}\n"
        );
    }
    text
}

fn ids(got: &Ran) -> Vec<String> {
    let got = got.json();
    let endpoints = got["endpoints"].as_array().cloned().unwrap_or_default();
    endpoints.iter().map(|endpoint| endpoint["id"].as_str().unwrap_or("?").to_owned()).collect()
}

#[test]
fn a_tier_that_was_lost_serves_again_after_its_time_and_over_a_restart_of_the_agent() {
    const BOTH: &str = "first 1 0 1\nbackup 2 1 1";
    let stage = Stage::start(BOTH, "fail_back = \"3s\"", "");
    stage.until("the first tier serves", |history| history == ["first:1 (backup:1)"]);
    stage.write("backup 2 1 1");
    stage.until("the backup serves", |history| history.last().is_some_and(|last| last == "backup:1"));
    let back = Instant::now();
    stage.write(BOTH);
    let whole = ["first:1 (backup:1)", "backup:1", "backup:1 (first:1)", "first:1 (backup:1)"];
    stage.until("the first tier serves again", |history| history == whole);
    assert!(back.elapsed() >= Duration::from_secs(3), "it waited: {:?}", back.elapsed());

    // A new agent finds the backup at work, and makes the first tier prove itself again.
    stage.write("backup 2 1 1");
    stage.until("the backup serves", |history| history.len() == 5);
    stage.agent.kill();
    stage.write(BOTH);
    let back = Instant::now();
    stage.agent.start_again();
    stage.until("the first tier serves again", |history| history[5..] == whole[2..]);
    assert!(back.elapsed() >= Duration::from_secs(3), "it waited: {:?}", back.elapsed());
}

#[test]
fn a_new_instance_gains_its_weight_in_steps_and_those_of_the_start_have_it() {
    let stage = Stage::start("old 1 0 100", "slow_start = \"5s\"", "");
    stage.until("the start is not slow", |history| history == ["old:100"]);
    stage.write("old 1 0 100\nnew 2 0 100");
    stage.until("it has its weight", |history| history.last().is_some_and(|last| last == "old:100 new:100"));
    let history = stage.history();
    let weight = |line: &String| {
        let weight =
            line.strip_prefix("old:100 new:").expect("the old one keeps its weight, and comes first");
        weight.parse::<u32>().expect("a number")
    };
    let weights: Vec<u32> = history[1..].iter().map(weight).collect();
    // 10, and more each second; a watch on a busy machine may miss one, the first too.
    assert!(weights[0] < 50, "{weights:?}");
    assert!(weights.len() >= 3 && weights.is_sorted(), "{weights:?}");
}

#[test]
fn what_another_process_reports_takes_an_endpoint_out_and_time_brings_it_back() {
    let host = Host::new();
    let (file, socket) = (host.dir().join("services.toml"), host.dir().join("report.sock"));
    std::fs::write(&file, document("a 1 0 9\nb 2 0 5\nc 3 1 1")).expect("a file in the test's own directory");
    // Left behind by an agent that was killed.
    drop(UnixDatagram::bind(&socket).expect("bound"));
    let agent = host.agent(&format!(
        "[[source]]\nname = \"file\"\nkind = \"file\"\npath = \"{}\"\n\
         [[view]]\nname = \"oms\"\nsource = \"file\"\nejection = {{ failures = 3, base = \"2s\" }}\n\
         [[view]]\nname = \"calm\"\nsource = \"file\"\nservice = \"oms\"\n\
         [reports]\nsocket = \"{}\"\n",
        file.display(),
        socket.display()
    ));
    host.until("oms", "is published", SOON, |got| ids(got) == ["a", "b", "c"]);
    let watch = host.watch("oms");
    let stage = Stage { agent, watch, file, host };
    stage.until("the watch has begun", |history| history.len() == 1);

    // Whatever else comes is counted and named in the log, and changes nothing.
    let anybody = UnixDatagram::unbound().expect("a socket");
    for nonsense in [&b""[..], b"RSRP", b"RSRP\x02\x01\0\0", &[0xff; 5000]] {
        anybody.send_to(nonsense, &socket).expect("the agent receives");
    }
    let report = |view: &str, lines: &str| {
        let (segment, socket) = (stage.host.segment(), socket.clone());
        let mut command = Command::new(env!("CARGO_BIN_EXE_reporter"));
        let mut child = command
            .args([segment.as_os_str(), socket.as_os_str(), view.as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("it reads");
        let ended = child.wait_with_output().expect("it ends");
        assert!(ended.status.success());
        assert_eq!(String::from_utf8_lossy(&ended.stdout).trim(), "0", "nothing was dropped");
    };
    report("calm", "a failure\na failure\na failure\n");
    report("oms", "nobody failure\nnobody failure\nnobody failure\n");
    report("oms", "a failure\na failure\na success\na failure\na failure\n");
    let before = Instant::now();
    // b fails as well; but of three, one may be out.
    report("oms", "a failure\nb failure\nb failure\nb failure\n");
    stage.until("a is out, and comes back", |history| {
        history == ["a:9 b:5 (c:1)", "b:5 (c:1) (a:9)", "a:9 b:5 (c:1)"]
    });
    assert!(before.elapsed() >= Duration::from_secs(2), "it was out for its time: {:?}", before.elapsed());
    assert_eq!(ids(&stage.host.get("calm")), ["a", "b", "c"], "a view without ejection does not care");
    let log = stage.agent.stderr();
    for words in ["datagrams of reports were refused", "reports named no endpoint", "ejected"] {
        assert!(log.contains(words), "{words}: {log}");
    }
    stage.agent.terminate(SOON);
    assert!(!socket.exists(), "the socket goes with the agent");
}

#[test]
fn readers_find_tags_as_bits_and_zones_as_numbers() {
    let host = Host::new();
    let file = host.dir().join("services.json");
    let text = r#"{"service":[{"name":"oms","instance":[
        {"id":"near","address":"10.0.0.1","port":1,"zone":"west","tags":["canary","primary"]},
        {"id":"far","address":"10.0.0.1","port":2,"zone":"east","weight":9,"tags":["primary","unnamed"]},
        {"id":"where","address":"10.0.0.1","port":3,"zone":"mars"}]}]}"#;
    std::fs::write(&file, text).expect("a file in the test's own directory");
    let _agent = host.agent(&format!(
        "[[source]]\nname = \"file\"\nkind = \"file\"\npath = \"{}\"\n\
         [host]\nzones = [\"east\", \"west\"]\nzone = \"west\"\n\
         [[view]]\nname = \"oms\"\nsource = \"file\"\nzone = \"prefer\"\ntag_bits = [\"primary\", \"canary\"]\n\
         smooth = true\nmaglev = 1000\n",
        file.display()
    ));
    let got = host.until("oms", "has its own zone first", SOON, |got| ids(got) == ["near", "far", "where"]);
    assert_eq!(
        got.json()["endpoints"][1]["tags"],
        serde_json::json!(["primary", "unnamed"]),
        "tools see every tag"
    );
    let segment = Segment::open(host.segment()).expect("the agent's segment");
    let reader = segment.reader();
    let oms = reader.service("oms").expect("published");
    let resolved = reader.resolve(oms).expect("published");
    assert_eq!((resolved.address().port(), resolved.tags()), (1, 0b11));
    let set = reader.set(oms).expect("published");
    let marks = |e: Endpoint| (e.address().port(), e.zone(), e.tags());
    assert_eq!(
        set.into_iter().flatten().map(marks).collect::<Vec<_>>(),
        [(1, 2, 0b11)],
        "the own zone alone"
    );
    let reserves = (0..).map_while(|place| set.reserve(place)).flatten();
    assert_eq!(reserves.map(marks).collect::<Vec<_>>(), [(2, 1, 0b01), (3, 0, 0)]);
    // The tables of the pickers that need one are there.
    assert_eq!(Smooth::new().pick(&reader, oms).map(|picked| picked.id()), Ok(resolved.id()));
    assert_eq!(Maglev::new().pick(&reader, oms, 7).map(|picked| picked.id()), Ok(resolved.id()));
}

#[test]
fn a_table_that_is_too_small_is_missed_by_its_picker_alone() {
    let stage = Stage::start("a 1 0 1\nb 2 0 1", "smooth = true\nmaglev = 250", "");
    let segment = Segment::open(stage.host.segment()).expect("the agent's segment");
    let reader = segment.reader();
    let oms = reader.service("oms").expect("published");
    assert!(Maglev::new().pick(&reader, oms, 7).is_ok());
    stage.write("a 1 0 1\nb 2 0 1\nc 3 0 1");
    stage.until("the new one is there", |history| history == ["a:1 b:1", "a:1 b:1 c:1"]);
    assert!(matches!(Maglev::new().pick(&reader, oms, 7), Err(PickError::NoTable)));
    assert_eq!(reader.resolve(oms).map(|oms| oms.state()), Ok(State::Fresh));
    eventually(SOON, "it says so, once it is published", || {
        stage.agent.stderr().contains("without its tables")
    });
    stage.write("a 1 0 1\nb 2 0 1");
    stage.until("it is gone", |history| history.len() == 3);
    assert!(Maglev::new().pick(&reader, oms, 7).is_ok());
}

#[test]
fn in_a_panic_what_consul_calls_critical_serves_behind_the_healthy_and_never_else() {
    let consul = Consul::start(ConsulOptions::new());
    for (place, id) in ["a", "b", "c"].into_iter().enumerate() {
        consul.register_ttl("orders", id, "10.0.0.1", 8080 + place as u16);
    }
    let host = Host::new();
    let agent = host.agent(&format!(
        "[[source]]\nname = \"consul\"\nkind = \"consul\"\naddress = \"{}\"\n\
         [[view]]\nname = \"oms\"\nsource = \"consul\"\nservice = \"orders\"\npanic_threshold = 50\n\
         [[view]]\nname = \"strict\"\nsource = \"consul\"\nservice = \"orders\"\n",
        consul.url()
    ));
    let until = |view: &str, wanted: &[&str]| {
        let wanted: Vec<String> = wanted.iter().map(|id| format!("node-1/{id}")).collect();
        host.until(view, &format!("has {wanted:?}"), SOON, |got| {
            ids(got) == wanted && (wanted.is_empty() || got.json()["state"] == "FRESH")
        })
    };
    until("oms", &["a", "b", "c"]);
    consul.fail("a");
    until("oms", &["b", "c"]);
    consul.fail("b");
    until("oms", &["c", "a", "b"]);
    host.until("oms", "says why", SOON, |got| got.json()["reason"] == "panic");
    until("strict", &["c"]);
    consul.fail("c");
    until("oms", &["a", "b", "c"]);
    until("strict", &[]);
    assert!(agent.stderr().contains("panic"), "{}", agent.stderr());
    // What a person takes out is out.
    consul.put("/v1/agent/service/maintenance/a?enable=true", &Value::Null);
    until("oms", &["b", "c"]);
    consul.put("/v1/agent/service/maintenance/a?enable=false", &Value::Null);
    consul.pass("a");
    consul.pass("b");
    until("oms", &["a", "b"]);
    host.until("oms", "has nothing to explain", SOON, |got| got.json()["reason"] != "panic");
    until("strict", &["a", "b"]);
}
