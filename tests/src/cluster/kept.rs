//! An instance that `resolver register` keeps in a registry, through all that befalls it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::Options;
use super::registry::Registry;
use crate::process::Process;
use crate::resolver::Host;
use crate::wait::try_until;

/// Its service, which nobody else writes to.
pub(super) const KEPT: &str = "kept";
const ADDRESS: &str = "10.77.0.1";
const PORT: u16 = 9001;
/// A third of its TTL, and some: it has no more to wait for than the registry has.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `resolver register`.
#[derive(Debug)]
pub(super) struct Kept {
    process: Process,
}

impl Kept {
    /// Its instance.
    pub(super) const ID: &str = "kept-1";

    /// Starts it, with what the agent's source has to show, and waits until it is there.
    #[track_caller]
    pub(super) fn start(host: &Host, registry: &Registry, options: Options) -> Kept {
        let port = PORT.to_string();
        let mut args =
            vec!["register", KEPT, "--port", &port, "--id", Self::ID, "--address", ADDRESS, "--ttl", "10s"];
        let flags = registry.flags(host, options);
        args.extend(flags.iter().map(String::as_str));
        let kept = Kept { process: host.start(&args) };
        kept.until_there(registry);
        kept
    }

    /// etcd's key of it.
    pub(super) fn key() -> String {
        format!("/services/{KEPT}/{}", Self::ID)
    }

    /// The process's id.
    #[track_caller]
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// How often it was registered, by its own word.
    pub(super) fn registrations(&self) -> usize {
        self.process.stderr().lines().filter(|line| line.contains(" registered ")).count()
    }

    /// The end of what it wrote.
    pub(super) fn logs(&self) -> String {
        self.process.logs()
    }

    /// Waits until the registry has it, and nothing else of its service.
    #[track_caller]
    pub(super) fn until_there(&self, registry: &Registry) {
        let wanted = BTreeSet::from([SocketAddr::new(ADDRESS.parse().expect("an address"), PORT)]);
        let there = try_until(PATIENCE, || match registry.read(KEPT) {
            Ok(found) if found == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        });
        if let Err(found) = there {
            panic!("what `resolver register` keeps is not there: {found}{}", self.process.logs());
        }
        assert!(self.process.is_running(), "it has ended{}", self.process.logs());
    }
}
