//! The Consul source against the real server, and against a scripted one for what the real one cannot be made to do.

#![allow(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]

mod acl;
mod datacenters;
mod discovery;
mod fake;
mod faults;
mod hostile;
mod lag;
mod limits;
mod options;
mod prepared;
mod recorder;
mod server;
mod table;
