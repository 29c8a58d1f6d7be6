//! The writer process: batches over all services without pause, and beats.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use resolver_core::{Capacity, Endpoint, OwnedSegment, Reason, SourceBeat, Standing};

const SEGMENT: &str = "RESOLVER_TEST_FROZEN_WRITER";
pub const CAPACITY: Capacity = Capacity { services: 32, endpoints: 128, configs: 0, text_bytes: 0 };
/// Many: of a batch's time the larger part is that in which it lands.
pub const SERVICES: usize = 32;

pub fn name(service: usize) -> String {
    format!("s{service}")
}

/// Everything in a record says `n`.
pub fn address(service: usize, n: u64) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from_bits((n as u32) << 8 | service as u32), n as u16))
}

#[test]
fn writer_process() {
    // Without the variable this is not that process, and there is nothing to do.
    let Some(path) = std::env::var_os(SEGMENT) else { return };
    let mut owned = OwnedSegment::acquire(Path::new(&path), &CAPACITY).expect("nobody owns it");
    let mut writer = owned.writer().expect("it is new");
    let handles: Vec<_> =
        (0..SERVICES).map(|service| writer.add(&name(service)).expect("there is room")).collect();
    for n in 1u64.. {
        let sets = (0..SERVICES).map(|service| [Endpoint::new(address(service, n)).with_id(n).with_tags(!n)]);
        let sets: Vec<_> = sets.collect();
        let mut batch = writer.batch();
        for (handle, set) in handles.iter().zip(&sets) {
            batch.publish(*handle, set, Standing::FRESH, b"").expect("there is room");
        }
        batch.commit();
        let source = SourceBeat {
            name: "source",
            age: Some(Duration::ZERO),
            revision: n,
            reason: Reason::None,
            rejected: 0,
        };
        writer.beat(&[source]);
        if n == 1 {
            eprint!("+");
        }
    }
}

/// The writer process; it ends with this value.
pub struct Publisher {
    child: Child,
}

impl Publisher {
    pub fn start(path: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["--exact", "writer::writer_process", "--nocapture"]).env(SEGMENT, path);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut publisher = Publisher { child: child.expect("this binary can be started") };
        let mut said = [0];
        let stderr = publisher.child.stderr.as_mut().expect("it is piped");
        stderr.read_exact(&mut said).expect("it says that it publishes");
        assert_eq!(&said, b"+", "the writer did not get the segment");
        publisher
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Stops it by a signal; it is stopped when this returns.
    pub fn stop(&self) {
        kill(self.pid(), Signal::SIGSTOP).expect("it runs");
        let status = waitpid(self.pid(), Some(WaitPidFlag::WUNTRACED)).expect("it is a child");
        assert!(matches!(status, WaitStatus::Stopped(..)), "{status:?}");
    }

    pub fn go_on(&self) {
        kill(self.pid(), Signal::SIGCONT).expect("it is stopped");
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
