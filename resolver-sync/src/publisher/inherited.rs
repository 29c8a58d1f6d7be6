//! What a predecessor's table says of a set, as a source would have said it: so that what stands can be kept on disk, and an
//! operator can take an endpoint out of it, before its registry has spoken.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use resolver_core::{Handle, Reader};

use super::staged::whole;
use crate::policy::Zones;
use crate::record::{Instance, ServiceSet};
use crate::view::{Label, View};

/// The largest text that is read: 65535 endpoints with long ids and some tags.
const MOST: usize = 64 << 20;

impl super::Publisher<'_> {
    /// Publishes what the catalogue has of a table that this one supersedes.
    pub(super) fn restore(&mut self) {
        for (name, source, set) in self.shelf.superseded() {
            let view = match self.views.iter().find(|view| view.name == name) {
                Some(view) => view.clone(),
                None => View::of_service(&source, &name),
            };
            let Some(index) = self.sources.iter().position(|source| source.name() == view.source) else {
                continue;
            };
            if self.views.is_empty() && self.overlays.has_member(index) {
                continue;
            }
            let endpoints = self.shelf.restore(&view, &set, index as u8);
            self.sources[index].inherit(&view.service, &view.tags, endpoints);
        }
    }
}

/// The set that stands under a handle; `None` where there is none, or not all of it can be read.
pub(super) fn set_of(reader: &Reader<'_>, handle: Handle, zones: &Zones) -> Option<ServiceSet> {
    let set = reader.set(handle).ok()?;
    let endpoints: Vec<_> = whole(&set).collect();
    let labels = labels(reader, handle);
    let named = labels.len() == endpoints.len();
    let instance = |(place, endpoint): (usize, &resolver_core::Endpoint)| {
        let address: SocketAddr = endpoint.address().socket_addr();
        let label = labels.get(place).filter(|_| named);
        Instance {
            id: label.map_or_else(|| format!("{:016x}", endpoint.id()), |label| label.id.clone()),
            address: address.ip(),
            port: address.port(),
            weight: endpoint.weight(),
            tier: endpoint.tier(),
            zone: zones.name(endpoint.zone()).to_owned(),
            tags: label.map(|label| label.tags.clone()).unwrap_or_default(),
            meta: BTreeMap::new(),
            source: label.and_then(|label| label.source.as_deref()).map(Into::into),
        }
    };
    let mut instances: Vec<Instance> = endpoints.iter().enumerate().map(instance).collect();
    instances.sort_by(|a, b| (a.tier, a.address, a.port, &a.id).cmp(&(b.tier, b.address, b.port, &b.id)));
    Some(ServiceSet { instances, ..ServiceSet::default() })
}

/// Ids and tags, in the order of the endpoints; nothing where the table has none.
fn labels(reader: &Reader<'_>, handle: Handle) -> Vec<Label> {
    let mut text = vec![0; 4096];
    let mut length = reader.text(handle, &mut text).unwrap_or(0);
    if length > text.len() && length <= MOST {
        text.resize(length, 0);
        length = reader.text(handle, &mut text).unwrap_or(0);
    }
    text.get(..length).and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default()
}
