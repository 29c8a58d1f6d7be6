//! What the integration tests stand on: real servers and real processes, started, watched and ended.
//!
//! ```no_run
//! use std::time::Duration;
//! use resolver_tests::{Consul, ConsulOptions, Host};
//!
//! let consul = Consul::start(ConsulOptions::new());
//! consul.register_ttl("orders", "orders-1", "10.0.0.1", 8080);
//!
//! let host = Host::new();
//! let agent = host.agent(&format!(
//!     "[[source]]\nname = \"consul\"\nkind = \"consul\"\naddress = \"{}\"\n",
//!     consul.url()
//! ));
//! host.until("orders", "shows the instance", Duration::from_secs(5), |got| {
//!     got.json()["endpoint"]["address"] == "10.0.0.1"
//! });
//!
//! consul.stop(); // SIGSTOP: the registry hangs, connections stay open
//! agent.kill(); // SIGKILL; the segment stays
//! ```
//!
//! - Every server has a loopback address of its own (`127.X.Y.Z`, default ports), so tests run beside each other.
//! - Whatever was started ends with the value that stands for it, when a test panics, and (where util-linux's
//!   `setpriv` is there, as on every usual Linux) when the test process is killed.
//! - Every failure of the harness says what was expected and carries the end of the server's log; so does a test's own
//!   panic, for each server it holds.
//! - Nothing here sleeps to wait for something: [`eventually`] and [`until`] poll a condition up to a deadline.
//! - Calls block. They may be made from a test's own thread or inside of an async runtime (which waits meanwhile).
//!
//! The servers come from `CONSUL_BIN`, `ETCD_BIN` and `ETCDCTL_BIN`, from `target/servers` (`cargo xtask servers`), or
//! from PATH. A missing one is a failure that says so, never a skipped test.

#![forbid(unsafe_code)]

mod address;
mod certificates;
pub mod cluster;
mod consul;
mod etcd;
mod follower;
pub mod hot;
mod http;
pub mod interop;
pub mod lag;
mod process;
mod registry;
mod resolver;
pub mod scale;
mod scratch;
mod servers;
mod tls;
mod wait;

pub use address::loopback;
pub use certificates::{Authority, Certificate};
pub use consul::{Consul, ConsulOptions, MASTER_TOKEN, consul_program};
pub use etcd::{Etcd, EtcdOptions};
pub use follower::{Follower, Place};
pub use http::{Answer, request};
pub use process::{Process, is_alive};
pub use registry::Registry;
pub use resolver::{Host, Ran};
pub use servers::server;
pub use tls::Tls;
pub use wait::{eventually, try_until, until};
