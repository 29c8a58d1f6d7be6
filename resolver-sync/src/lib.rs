//! Watches Consul, etcd and files, and publishes what they say to a `resolver-core` table.
//!
//! ```text
//! wire -> Source -> Feed -> Model -> Guard -> Policies -> Publisher -> Writer -> cells -> Reader
//!                                                ^ reports of callers
//! ```

pub mod agent;
pub mod catalog;
pub mod config;
pub mod consul;
pub mod control;
pub mod dns;
#[cfg(feature = "etcd")]
pub mod etcd;
pub mod file;
pub mod guard;
mod handshake;
pub mod health;
pub mod kill;
pub mod kv;
pub mod last_good;
pub mod ledger;
pub mod memory;
pub mod metrics;
pub mod overlay;
pub mod pace;
pub mod pin;
pub mod policy;
pub mod publisher;
pub mod record;
pub mod register;
pub mod report;
pub mod schema;
pub mod sealed;
pub mod secret;
pub mod source;
pub mod status;
pub mod subscribe;
pub mod view;
