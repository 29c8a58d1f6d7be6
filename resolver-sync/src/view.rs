//! Named views: what the hot path asks for, evaluated here so that no filter runs there.

use std::net::SocketAddr;

use resolver_core::Endpoint;
use serde::{Deserialize, Serialize};

use crate::policy::Policies;
use crate::record::Instance;

/// A named query of one service of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The name that readers resolve.
    pub name: String,
    /// The source's name.
    pub source: String,
    /// The service's name in the source.
    pub service: String,
    /// Tags that an instance must all have.
    pub tags: Vec<String>,
    /// Which instance is the primary.
    pub policy: Policy,
    /// Which endpoints serve, and with which weight.
    pub policies: Policies,
}

/// How the primary, which `resolve()` gives, is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// The lowest tier, in it the highest weight, then the lowest address and port. Any process that knows the set
    /// comes to the same answer.
    #[default]
    Primary,
    /// The present primary for as long as it serves: while it is in the set, no lower tier serves, it is not ejected,
    /// and the own zone, where that is preferred, does not serve without it. Then as [`Policy::Primary`]. For routers
    /// that hold a session.
    Sticky,
}

/// One endpoint's words for people and tools, in the text of a published set. In the set's own order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Label {
    /// The instance's id.
    pub id: String,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Who said so, where several sources are laid over each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl View {
    /// The view of everything that a service has, under its own name.
    pub fn of_service(source: &str, service: &str) -> Self {
        View {
            name: service.into(),
            source: source.into(),
            service: service.into(),
            tags: Vec::new(),
            policy: Policy::default(),
            policies: Policies::default(),
        }
    }
}

/// The record of an instance for the table; its tag bits and its zone's number are the policies' to say.
pub fn endpoint(instance: &Instance) -> Endpoint {
    Endpoint::new(SocketAddr::new(instance.address, instance.port))
        .with_id(id_hash(&instance.id))
        .with_weight(instance.weight)
        .with_tier(instance.tier)
}

/// The set's text: a JSON array of [`Label`]s.
pub fn text<'i>(instances: impl IntoIterator<Item = &'i Instance>) -> Vec<u8> {
    let label = |instance: &Instance| Label {
        id: instance.id.clone(),
        tags: instance.tags.clone(),
        source: instance.source.as_deref().map(str::to_owned),
    };
    let labels: Vec<Label> = instances.into_iter().map(label).collect();
    serde_json::to_vec(&labels).unwrap_or_default()
}

/// An instance's id as the table has it: FNV-1a, the same in every process and version.
pub fn id_hash(id: &str) -> u64 {
    id.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
