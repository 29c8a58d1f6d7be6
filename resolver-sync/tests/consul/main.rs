//! The Consul source against the real server, and against a scripted one for what the real one cannot be made to do.

mod acl;
mod discovery;
mod fake;
mod faults;
mod hostile;
mod lag;
mod server;
mod table;
