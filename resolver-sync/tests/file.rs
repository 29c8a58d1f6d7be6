//! The file source, as files are really written.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use resolver_core::Reason;
use resolver_sync::file::FileSource;
use resolver_sync::source::{Feed, LocalFuture, Report, Source};
use tempfile::TempDir;

/// Longer than anything here may take; what is not there by then never comes.
const DEADLINE: Duration = Duration::from_secs(10);
/// A change that no event tells is taken after this at the earliest: it has to stay as it is for so long.
const WITHOUT_EVENTS: Duration = Duration::from_millis(500);

fn services(ports: &[u16]) -> String {
    let instance = |port: &u16| {
        format!("[[service.instance]]\nid = \"{port}\"\naddress = \"10.0.0.1\"\nport = {port}\n")
    };
    format!("[[service]]\nname = \"oms\"\n{}", ports.iter().map(instance).collect::<String>())
}

fn ports(report: &Report) -> Option<Vec<u16>> {
    report.services.get("oms").map(|set| set.instances.iter().map(|instance| instance.port).collect())
}

/// A file that a source watches.
struct Watched<'a> {
    source: &'a FileSource,
    feed: &'a Feed,
    watch: LocalFuture<'a, ()>,
}

impl<'a> Watched<'a> {
    fn new(source: &'a FileSource, feed: &'a Feed) -> Self {
        Watched { source, feed, watch: source.watch(Vec::new(), feed) }
    }

    /// Runs the source until a report is as it should be; gives that report, and panics with what came instead.
    async fn until(&mut self, what: &str, so: impl Fn(&Report) -> bool) -> Report {
        let end = tokio::time::Instant::now() + DEADLINE;
        let mut last = None;
        loop {
            tokio::select! {
                () = &mut self.watch => unreachable!("a watch never returns"),
                () = self.feed.ready() => {}
                () = tokio::time::sleep_until(end) => panic!("not so after {DEADLINE:?}: {what}; {last:#?}"),
            }
            let report = self.feed.take();
            if so(&report) {
                return report;
            }
            last = Some(report);
        }
    }

    async fn until_ports(&mut self, expected: &[u16]) -> Report {
        let what = format!("the ports {expected:?}");
        self.until(&what, |report| ports(report).is_some_and(|ports| ports == expected)).await
    }

    /// Runs the source for this long, and gives every report with services or a loss.
    async fn reports_for(&mut self, time: Duration) -> Vec<Report> {
        let end = tokio::time::Instant::now() + time;
        let mut reports = Vec::new();
        loop {
            tokio::select! {
                () = &mut self.watch => unreachable!("a watch never returns"),
                () = self.feed.ready() => {}
                () = tokio::time::sleep_until(end) => return reports,
            }
            let report = self.feed.take();
            if report.complete || report.lost.is_some() {
                reports.push(report);
            }
        }
    }
}

fn file(name: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join(name);
    (directory, path)
}

fn rename_over(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("written");
    fs::rename(&beside, path).expect("renamed");
}

#[tokio::test]
async fn rewritten_in_place_and_renamed_over() {
    let (_directory, path) = file("services.toml");
    fs::write(&path, services(&[1])).expect("written");
    let (source, feed) = (FileSource::new("f", &path), Feed::default());
    let mut watched = Watched::new(&source, &feed);
    let first = watched.until_ports(&[1]).await;
    assert!(first.complete && first.alive_at.is_some());
    assert_eq!(first.services["oms"].revision, 1);

    let mut took = Vec::new();
    for (revision, port) in (2..).zip(2..12) {
        let written = Instant::now();
        if port % 2 == 0 {
            fs::write(&path, services(&[port])).expect("written");
        } else {
            rename_over(&path, &services(&[port]));
        }
        let report = watched.until_ports(&[port]).await;
        took.push(written.elapsed());
        assert_eq!(report.services["oms"].revision, revision);
    }
    // The directory's events are what brings either kind. A slow machine may delay most of them.
    for kind in 0..2 {
        assert!(took.iter().skip(kind).step_by(2).any(|took| *took < WITHOUT_EVENTS), "{took:?}");
    }

    // The same contents again are no change.
    rename_over(&path, &services(&[11]));
    assert!(watched.reports_for(Duration::from_millis(1500)).await.is_empty());
    watched.until("alive at rest", |report| report.alive_at.is_some()).await;
}

#[tokio::test]
async fn a_service_that_is_gone_from_the_file_is_gone() {
    let (_directory, path) = file("services.toml");
    fs::write(&path, services(&[1])).expect("written");
    let (source, feed) = (FileSource::new("f", &path), Feed::default());
    let mut watched = Watched::new(&source, &feed);
    watched.until_ports(&[1]).await;
    fs::write(&path, "service = []\n").expect("written");
    watched.until("none is left", |report| report.complete && report.services.is_empty()).await;
    let set = watched.source.confirm("oms").await.expect("readable");
    assert!(set.instances.is_empty() && set.revision == 2);
}

#[tokio::test]
async fn a_bad_file_keeps_the_last_good_services() {
    let (_directory, path) = file("services.toml");
    fs::write(&path, services(&[1])).expect("written");
    let (source, feed) = (FileSource::new("f", &path), Feed::default());
    let mut watched = Watched::new(&source, &feed);
    watched.until_ports(&[1]).await;

    let good = services(&[2]);
    for (text, words) in [
        (format!("{good}prot = 1\n"), "line 7: unknown field `prot`"),
        (good.replace("port = 2", "port = \"2\""), "line 6: invalid type"),
        (good.replace("port = 2", "port = "), "line 6"),
        (good.replace("port = 2\n", ""), "missing field `port`"),
        (String::new(), "the file is empty"),
    ] {
        fs::write(&path, text).expect("written");
        let report = watched.until("the mistake", |report| report.lost.is_some()).await;
        let fault = report.lost.clone().expect("checked");
        assert_eq!(fault.reason, Reason::BadAnswer);
        assert!(fault.detail.contains(words) && fault.detail.contains("services.toml"), "{fault:?}");
        assert!(report.services.is_empty() && !report.complete, "{report:?}");
        assert_eq!(watched.source.confirm("oms").await.expect_err("bad").reason, Reason::BadAnswer);
        // Back to what it was: the services never changed, and are alive again.
        fs::write(&path, services(&[1])).expect("written");
        let report = watched.until("alive", |report| report.alive_at.is_some()).await;
        assert!(!report.complete && report.lost.is_none());
    }
}

#[tokio::test]
async fn a_bad_address_costs_one_instance() {
    let (_directory, path) = file("services.json");
    let text = r#"{"service":[{"name":"oms","instance":[
        {"id":"good","address":"10.0.0.1","port":1},
        {"id":"name","address":"db.example","port":1},
        {"id":"port","address":"10.0.0.2","port":70000}]}]}"#;
    fs::write(&path, text).expect("written");
    let (source, feed) = (FileSource::new("f", &path), Feed::default());
    let report = Watched::new(&source, &feed).until_ports(&[1]).await;
    let rejected = &report.services["oms"].rejected;
    assert_eq!(rejected.iter().map(|rejected| rejected.id.as_str()).collect::<Vec<_>>(), ["name", "port"]);
}

#[tokio::test]
async fn a_file_written_bit_by_bit_is_taken_when_it_is_whole() {
    let (_directory, path) = file("services.toml");
    fs::write(&path, services(&[1, 2])).expect("written");
    let (source, feed) = (FileSource::new("f", &path), Feed::default());
    let mut watched = Watched::new(&source, &feed);
    watched.until_ports(&[1, 2]).await;
    // Each half is a file that could be meant; only the writer's close says that it is.
    let mut writer = fs::File::create(&path).expect("truncated");
    writer.write_all(services(&[3]).as_bytes()).expect("written");
    let early = watched.reports_for(Duration::from_millis(400)).await;
    assert!(early.is_empty(), "{early:?}");
    let rest = services(&[3, 4]);
    writer.write_all(&rest.as_bytes()[services(&[3]).len()..]).expect("written");
    drop(writer);
    watched.until_ports(&[3, 4]).await;
}

#[tokio::test]
async fn a_file_that_is_taken_away_keeps_its_services() {
    let (directory, path) = file("services.toml");
    let (source, feed) = (FileSource::new("f", &path), Feed::default());
    let mut watched = Watched::new(&source, &feed);
    let fault =
        watched.until("there is none yet", |report| report.lost.is_some()).await.lost.expect("checked");
    assert_eq!(fault.reason, Reason::Unreachable);
    assert!(fault.detail.contains("services.toml"), "{fault:?}");

    fs::write(&path, services(&[1])).expect("written");
    watched.until_ports(&[1]).await;
    fs::remove_file(&path).expect("removed");
    let report = watched.until("the loss", |report| report.lost.is_some()).await;
    assert!(report.services.is_empty() && !report.complete, "{report:?}");
    assert!(watched.source.confirm("oms").await.is_err());

    // The directory goes as well, and another one comes in its place.
    fs::remove_dir_all(directory.path()).expect("removed");
    fs::create_dir(directory.path()).expect("made");
    fs::write(&path, services(&[2])).expect("written");
    watched.until_ports(&[2]).await;
    // Its events are seen from the next timed look on.
    watched.until("a timed look", |report| report.alive_at.is_some()).await;
    let mut took = Vec::new();
    for port in 3..8 {
        let written = Instant::now();
        fs::write(&path, services(&[port])).expect("written");
        watched.until_ports(&[port]).await;
        took.push(written.elapsed());
    }
    assert!(took.iter().any(|took| *took < WITHOUT_EVENTS), "{took:?}");
}

#[tokio::test]
async fn a_link_that_is_switched() {
    let (directory, path) = file("services.toml");
    let (one, two) = (directory.path().join("1"), directory.path().join("2"));
    for (place, port) in [(&one, 1), (&two, 2)] {
        fs::create_dir(place).expect("made");
        fs::write(place.join("services.toml"), services(&[port])).expect("written");
    }
    // As mounted configuration is: the file is a link through a link to a directory, and that one is switched.
    let current = directory.path().join("current");
    std::os::unix::fs::symlink(&one, &current).expect("linked");
    std::os::unix::fs::symlink("current/services.toml", &path).expect("linked");
    let (source, feed) = (FileSource::new("f", &path), Feed::default());
    let mut watched = Watched::new(&source, &feed);
    watched.until_ports(&[1]).await;
    let beside = directory.path().join("next");
    std::os::unix::fs::symlink(&two, &beside).expect("linked");
    fs::rename(&beside, &current).expect("switched");
    watched.until_ports(&[2]).await;
}

#[tokio::test]
async fn a_pipe_in_its_place_does_not_block() {
    let (_directory, path) = file("services.toml");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).expect("a pipe");
    let (source, feed) = (FileSource::new("f", &path), Feed::default());
    let report = Watched::new(&source, &feed).until("it is refused", |report| report.lost.is_some()).await;
    assert!(report.lost.expect("checked").detail.contains("not a regular file"));
}
