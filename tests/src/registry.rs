//! One registry or the other, for tests that ask the same of both.

use std::ops::Deref;

use crate::consul::{Consul, ConsulOptions};
use crate::etcd::{Etcd, EtcdOptions};
use crate::follower::Place;
use crate::process::Process;

/// A real registry that keeps its data over a kill.
#[derive(Debug)]
pub enum Registry {
    /// A durable server.
    Consul(Consul),
    /// A cluster of one member.
    Etcd(Etcd),
}

impl Registry {
    /// A Consul.
    #[track_caller]
    pub fn consul() -> Registry {
        Registry::Consul(Consul::start(ConsulOptions::new().durable()))
    }

    /// An etcd.
    #[track_caller]
    pub fn etcd() -> Registry {
        Registry::Etcd(Etcd::start(EtcdOptions::new()))
    }

    /// What it is called in tests' output; also the name of its source in [`source`](Self::source).
    pub fn name(&self) -> &'static str {
        match self {
            Registry::Consul(_) => "consul",
            Registry::Etcd(_) => "etcd",
        }
    }

    /// An agent's `[[source]]` for all of its services.
    pub fn source(&self) -> String {
        match self {
            Registry::Consul(consul) => {
                format!("[[source]]\nname = \"consul\"\nkind = \"consul\"\naddress = \"{}\"\n", consul.url())
            }
            Registry::Etcd(etcd) => {
                format!("[[source]]\nname = \"etcd\"\nkind = \"etcd\"\nendpoints = [\"{}\"]\n", etcd.url())
            }
        }
    }

    /// Registers an instance, or moves it.
    #[track_caller]
    pub fn put(&self, service: &str, place: Place) {
        match self {
            Registry::Consul(consul) => consul.register(&place.consul(service)),
            Registry::Etcd(etcd) => etcd.put(&key(service, place.instance), place.etcd()),
        }
    }

    /// Removes an instance.
    #[track_caller]
    pub fn remove(&self, service: &str, instance: u8) {
        match self {
            Registry::Consul(consul) => consul.deregister(&format!("{service}-{instance}")),
            Registry::Etcd(etcd) => etcd.del(&key(service, instance)),
        }
    }

    /// Kills it if it runs, starts it again with its data, and waits until it is ready.
    #[track_caller]
    pub fn restart(&self) {
        match self {
            Registry::Consul(consul) => consul.restart(),
            Registry::Etcd(etcd) => etcd.restart(),
        }
    }
}

impl Deref for Registry {
    type Target = Process;

    fn deref(&self) -> &Process {
        match self {
            Registry::Consul(consul) => consul,
            Registry::Etcd(etcd) => etcd,
        }
    }
}

fn key(service: &str, instance: u8) -> String {
    format!("/services/{service}/{instance}")
}
