//! Every kind of gap, and that one way leads back from all of them: a listing, and a watch from there.

use std::time::Duration;

use resolver_core::Reason;
use resolver_sync::etcd::EtcdConfig;

use crate::harness::{Etcd, Mirror, Options, config};
use crate::proxy::Proxy;

#[test]
fn a_revision_that_is_compacted_before_the_watch_begins() {
    let etcd = Etcd::start();
    etcd.put("oms", "1", "10.0.0.1", 9000);
    let proxy = Proxy::before(&etcd);
    // The listing's answer passes, and the watch that follows it does not.
    proxy.hold_after("/services/oms/1");
    let mut mirror = Mirror::of(EtcdConfig { deadline: Duration::from_secs(15), ..config([proxy.url()]) });
    proxy.until_held();
    for port in 9001..9010 {
        etcd.put("oms", "1", "10.0.0.1", port);
    }
    etcd.ctl(&["compaction", "9"]);
    proxy.release();
    // The server cancels that watch in a message of its own and leaves the stream open and silent.
    mirror.until_ports("oms", &[9009]);
    mirror.until("alive", |m| m.alive > 0 && m.lost.is_none());
    assert!(mirror.losses[0].detail.contains("compacted up to revision 9"), "{:?}", mirror.losses);
    assert_eq!((mirror.snapshots, mirror.losses.len(), mirror.epochs.len()), (2, 1, 0));
    etcd.put("oms", "1", "10.0.0.1", 9100);
    mirror.until_ports("oms", &[9100]);
}

#[test]
fn what_happens_between_the_listing_and_the_watch() {
    let etcd = Etcd::start();
    etcd.put("oms", "1", "10.0.0.1", 9000);
    etcd.put("gone", "1", "10.0.0.1", 1);
    let proxy = Proxy::before(&etcd);
    proxy.hold_after("/services/oms/1");
    let mut mirror = Mirror::of(EtcdConfig { deadline: Duration::from_secs(15), ..config([proxy.url()]) });
    proxy.until_held();
    // The very next revision, which a watch that began one later would miss, and no other of its service.
    etcd.delete("gone", "1");
    etcd.put("oms", "2", "10.0.0.1", 9001);
    proxy.release();
    mirror.until_ports("oms", &[9000, 9001]);
    mirror.until("the deletion is seen", |m| m.ports("gone").is_empty());
    assert_eq!((mirror.snapshots, mirror.losses.len()), (1, 0));
}

#[test]
fn a_line_that_goes_dead_in_one_direction() {
    let etcd = Etcd::start();
    etcd.put("oms", "1", "10.0.0.1", 9000);
    let proxy = Proxy::before(&etcd);
    let heartbeat = Duration::from_millis(200);
    let mut mirror = Mirror::of(EtcdConfig { heartbeat, ..config([proxy.url()]) });
    mirror.until("heartbeats are answered", |m| m.alive > 2);
    // The server goes on sending; that it hears nothing any more is seen by the heartbeat alone.
    proxy.hold_after("/services/oms/2");
    etcd.put("oms", "2", "10.0.0.1", 9001);
    proxy.until_held();
    mirror.until("the silence is reported", |m| m.lost.is_some());
    assert!(mirror.losses[0].detail.contains("heartbeats unanswered"), "{:?}", mirror.losses);
    proxy.release();
    mirror.until("alive again", |m| m.lost.is_none());
    assert_eq!(mirror.ports("oms"), [9000, 9001]);
}

#[test]
fn a_server_that_ends_in_peace() {
    let mut etcd = Etcd::start();
    etcd.put("oms", "1", "10.0.0.1", 9000);
    let mut mirror = Mirror::on([etcd.url()]);
    etcd.stop();
    mirror.until("the loss is reported", |m| m.lost.is_some());
    etcd.restart();
    etcd.put("oms", "1", "10.0.0.1", 9001);
    mirror.until_ports("oms", &[9001]);
    assert!(mirror.epochs.is_empty());
}

#[test]
fn a_server_that_comes_later() {
    let mut etcd = Etcd::start();
    etcd.put("oms", "1", "10.0.0.1", 9000);
    etcd.kill();
    let mut mirror = Mirror::of(config([etcd.url()]));
    mirror.until("nobody is there", |m| m.lost.is_some());
    assert_eq!((mirror.losses[0].reason, mirror.snapshots), (Reason::Unreachable, 0));
    etcd.restart();
    mirror.until_ports("oms", &[9000]);
}

impl Mirror {
    /// What was lost, but for heartbeats of a few tenths of a second that went unanswered: a busy machine may be slower.
    pub fn losses_but_for_silence(&self) -> Vec<&str> {
        let details = self.losses.iter().map(|fault| fault.detail.as_str());
        details.filter(|detail| !detail.contains("heartbeats unanswered")).collect()
    }
}

#[test]
fn a_full_server_is_read_all_the_same() {
    let args = vec!["--quota-backend-bytes=1048576".into()];
    let etcd = Etcd::start_with(Options { args, ..Options::default() });
    etcd.put("oms", "1", "10.0.0.1", 9000);
    let heartbeat = Duration::from_millis(100);
    let mut mirror = Mirror::of(EtcdConfig { heartbeat, ..config([etcd.url()]) });
    mirror.until_ports("oms", &[9000]);
    let filler = "x".repeat(100_000);
    let full = (0..100).any(|key| {
        let (good, said) = etcd.try_ctl(&["put", &format!("/filler/{key}"), &filler], "");
        !good && said.contains("database space exceeded")
    });
    assert!(full, "its quota was never reached");
    let before = mirror.alive;
    mirror.until("heartbeats are answered", |m| m.alive > before + 2);
    assert_eq!(mirror.confirm("oms").expect("reads work").instances.len(), 1);
    // What can still be done is seen.
    etcd.delete("oms", "1");
    mirror.until("the deletion is seen", |m| m.ports("oms").is_empty());
    assert_eq!(mirror.losses_but_for_silence(), [""; 0]);
}
