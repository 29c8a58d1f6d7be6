//! The address of a service in a nanosecond or two: endpoint tables published by seqlocks.
//!
//! A [`Writer`], off the hot path, publishes sets of endpoints under names; a [`Reader`], copied to every thread that
//! routes orders, resolves a [`Handle`] to the service's endpoint. Reading takes no lock, allocates nothing, makes no
//! system call and writes to no shared memory: it loads one cache line, and checks that it was whole.
//!
//! ```
//! use resolver_core::{Capacity, Endpoint, Standing, Table, heap};
//!
//! let memory = heap(Capacity::SMALL.lines());
//! let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
//!
//! // Off the path: a set comes from a registry.
//! let oms = writer.add("oms")?;
//! writer.publish(oms, &[Endpoint::new("10.0.0.1:9000".parse()?)], Standing::FRESH, b"")?;
//!
//! // On the path.
//! let resolved = reader.resolve(oms)?;
//! assert_eq!(resolved.address().socket_addr(), "10.0.0.1:9000".parse()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # When
//!
//! Addresses are asked for far more often than they change, on threads that must not wait, by one process or by all
//! processes of a host (feature `shm`: the same words in a file that readers map without write permission).
//!
//! # When not
//!
//! There is one writer. Records are small and of one shape. Capacity is chosen when the table is created.
//!
//! # How
//!
//! [`cell`](self) by cell: every value is a cache line with a sequence number, and a shadow far away that is whole
//! while the line is being written. `docs/orderings.md` has the argument, and the loom models in `models` check it.
//!
//! # Features
//!
//! Without features the crate is `no_std`, needs no allocator and has no dependency. `std` adds `heap` and
//! `ReplicatedWriter`; `shm` adds `Segment` and `OwnedSegment`; `numa` adds `NodeMemory`.

#![no_std]

#[cfg(feature = "std")]
extern crate std;

mod alias;
mod batch;
mod block;
mod cached;
mod cell;
mod cells;
#[cfg(not(resolver_loom))]
mod counter;
mod directory;
mod error;
mod fresh;
mod handle;
mod incident;
mod layout;
mod leaf;
mod machine;
mod maglev;
mod memory;
#[cfg(all(test, resolver_loom))]
mod models;
mod name;
#[cfg(all(feature = "numa", target_os = "linux", not(resolver_loom)))]
mod numa;
pub mod pick;
#[cfg(feature = "probe")]
pub mod probe;
mod publication;
mod reader;
mod record;
#[cfg(feature = "std")]
mod replicas;
mod room;
mod set;
mod setting;
#[cfg(all(feature = "shm", not(resolver_loom)))]
pub mod shm;
mod slots;
mod smooth;
mod source;
mod state;
mod sync;
mod table;
mod takeover;
mod writer;

pub use batch::Batch;
pub use cached::CachedHandle;
#[cfg(not(resolver_loom))]
pub use counter::Counter;
pub use error::{AddError, PublishError, ResolveError, WalkError};
pub use fresh::{FreshError, Liveness};
pub use handle::Handle;
pub use incident::{Incident, IncidentKind, Incidents};
pub use layout::{Capacity, LAYOUT_VERSION, MAX_NAME, MAX_SET, MAX_SOURCE_NAME, MAX_SOURCES, SHORT_NAME};
pub use memory::Line;
#[cfg(not(resolver_loom))]
pub use memory::Memory;
#[cfg(feature = "std")]
pub use memory::heap;
pub use name::{Name, NameError};
#[cfg(all(feature = "numa", target_os = "linux", not(resolver_loom)))]
pub use numa::{NodeMemory, NodePages, Placement, PlacementError, node_of_core};
pub use publication::Publication;
pub use reader::Reader;
pub use record::{Address, Endpoint, Resolved};
#[cfg(feature = "std")]
pub use replicas::{Difference, ReplicaError, ReplicatedBatch, ReplicatedWriter};
pub use set::{Set, Walk};
pub use setting::{Bytes, Kind, Setting, SettingError, Value};
#[cfg(all(feature = "shm", not(resolver_loom)))]
pub use shm::{OwnedSegment, Segment, SegmentError};
pub use source::{SourceBeat, SourceStatus};
pub use state::{Reason, State};
pub use table::{CreateError, OpenError, Table, TakeOverError};
pub use takeover::Damaged;
pub use writer::{Standing, Usage, Writer};
