//! Starts a Consul and an etcd, says their process ids, and holds them until it is killed. The harness's own tests use
//! it to show that nothing is left behind then.

#![allow(clippy::print_stdout, reason = "a program that is asked for its output")]

use std::process::ExitCode;

use resolver_tests::{Consul, ConsulOptions, Etcd, EtcdOptions};

fn main() -> ExitCode {
    // From a thread that ends, as in libtest: the servers must outlive the thread that asked for them.
    let servers =
        std::thread::spawn(|| (Consul::start(ConsulOptions::new()), Etcd::start(EtcdOptions::new())));
    let Ok((consul, etcd)) = servers.join() else { return ExitCode::FAILURE };
    println!("{} {}", consul.pid(), etcd.pid());
    loop {
        std::thread::park();
    }
}
