//! Who is where: names, addresses and ports by number.

use std::net::Ipv4Addr;

/// So many services, each with so many instances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fleet {
    pub(super) services: u32,
    pub(super) instances: u8,
}

/// One instance at one time. Its port is what changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) service: u32,
    pub(super) instance: u8,
    pub(super) port: u16,
}

/// Of an instance that has not moved.
pub(super) const FIRST_PORT: u16 = 1000;

impl Fleet {
    /// All of them, where they are at first.
    pub(super) fn all(self) -> impl Iterator<Item = Place> {
        (0..self.services).flat_map(move |service| {
            (0..self.instances).map(move |instance| Place { service, instance, port: FIRST_PORT })
        })
    }
}

/// A service's name.
pub(super) fn name(service: u32) -> String {
    format!("service-{service:05}")
}

impl Place {
    /// The first instance has the lowest address, so it is the primary that `resolve()` gives.
    pub(super) fn address(self) -> Ipv4Addr {
        let [_, _, high, low] = self.service.to_be_bytes();
        Ipv4Addr::new(10, high, low, self.instance + 1)
    }

    pub(super) fn id(self) -> String {
        format!("{}-{}", name(self.service), self.instance)
    }
}
