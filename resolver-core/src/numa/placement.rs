//! Where memory was to lie, where it lies, and what was refused.

use std::boxed::Box;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{fmt, io};

/// Where a [`NodeMemory`](super::NodeMemory) lay when it was made.
#[derive(Debug)]
pub struct Placement {
    pub(super) core: usize,
    pub(super) node: Option<u32>,
    pub(super) refusal: Option<PlacementError>,
    pub(super) pages: NodePages,
}

/// How many pages lie on each node, in units of 4 KiB also where the kernel's are larger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodePages {
    nodes: BTreeMap<u32, usize>,
}

/// Why memory is not, or is not known to be, where it was to be.
#[derive(Debug)]
#[non_exhaustive]
pub enum PlacementError {
    /// There is no such amount of memory.
    Map {
        /// Lines of 64 bytes that were asked for.
        lines: usize,
        /// What the system said.
        error: io::Error,
    },
    /// Which node the core is on could not be read.
    Node {
        /// The core.
        core: usize,
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// mbind(2) refused: EPERM in a container whose seccomp profile forbids it, ENOSYS on a kernel without NUMA, EINVAL for a
    /// node outside the process's cpuset.
    Refused {
        /// The node.
        node: u32,
        /// What the system said.
        error: io::Error,
    },
    /// get_mempolicy(2) does not tell where the pages lie.
    Unknown {
        /// What the system said.
        error: io::Error,
    },
    /// Nothing was refused, and yet not every page is on the node.
    Elsewhere {
        /// Where they are.
        placement: Box<Placement>,
    },
}

impl Placement {
    pub(super) fn unknown(core: usize) -> Self {
        Placement { core, node: None, refusal: None, pages: NodePages::default() }
    }

    /// The core that the memory is for.
    pub fn core(&self) -> usize {
        self.core
    }

    /// The core's node; `None` where it could not be read.
    pub fn node(&self) -> Option<u32> {
        self.node
    }

    /// What was refused first, if anything was. The pages may lie on the node all the same, as on a machine that has
    /// one.
    pub fn refusal(&self) -> Option<&PlacementError> {
        self.refusal.as_ref()
    }

    /// Where the pages lay, each of them, after all had been written to. Empty where the kernel does not tell.
    pub fn pages(&self) -> &NodePages {
        &self.pages
    }

    /// Whether all pages are known to have lain on the core's node.
    pub fn is_on_node(&self) -> bool {
        self.node.is_some_and(|node| {
            let mut nodes = self.pages.iter();
            nodes.next().is_some_and(|(first, _)| first == node) && nodes.next().is_none()
        })
    }
}

impl NodePages {
    pub(super) fn add(&mut self, node: u32) {
        *self.nodes.entry(node).or_default() += 1;
    }

    /// Each node with its pages.
    pub fn iter(&self) -> impl Iterator<Item = (u32, usize)> + '_ {
        self.nodes.iter().map(|(node, pages)| (*node, *pages))
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Some(node) => write!(f, "core {} is on node {node}: its {}", self.core, self.pages)?,
            None => write!(f, "core {} is on an unknown node: its {}", self.core, self.pages)?,
        }
        match &self.refusal {
            Some(refusal) => write!(f, "; {refusal}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for NodePages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes.is_empty() {
            return f.write_str("pages lie nobody knows where");
        }
        for (index, (node, pages)) in self.iter().enumerate() {
            let between = if index > 0 { ", " } else { "" };
            write!(f, "{between}{pages} pages lie on node {node}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PlacementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlacementError::Map { lines, error } => {
                write!(f, "cannot map {lines} lines of 64 bytes: {error}")
            }
            PlacementError::Node { core, path, error } => write!(
                f,
                "cannot tell the NUMA node of core {core} from {}: {error}; check the core's number, and that sysfs is mounted",
                path.display()
            ),
            PlacementError::Refused { node, error } => write!(
                f,
                "mbind(2) to node {node} was refused: {error}; a container's seccomp profile and cpuset must allow it"
            ),
            PlacementError::Unknown { error } => {
                write!(f, "get_mempolicy(2) does not tell where the pages lie: {error}")
            }
            PlacementError::Elsewhere { placement } => {
                write!(f, "not all memory is on its node: {placement}")
            }
        }
    }
}

impl std::error::Error for PlacementError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PlacementError::Map { error, .. }
            | PlacementError::Node { error, .. }
            | PlacementError::Refused { error, .. }
            | PlacementError::Unknown { error } => Some(error),
            PlacementError::Elsewhere { .. } => None,
        }
    }
}
