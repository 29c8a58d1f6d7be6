//! Memory on the NUMA node of a core, and where the kernel says that it lies.
//!
//! The policy is set by mbind(2) before any page is there, then every page is written to, so that each has its place
//! before the first reader comes. A container may forbid the call, and a kernel may lack it: the memory works all the
//! same, wherever it lies, unless the caller wants it bound.

mod node;
mod placement;

use std::io;

use libc::c_int;
use memmap2::{MmapMut, MmapRaw};

pub use node::node_of_core;
pub use placement::{NodePages, Placement, PlacementError};

use crate::memory::{Line, lines_from_raw};

/// Memory for a table, on the NUMA node of a core; anonymous, and gone with this value.
///
/// ```
/// use resolver_core::{Capacity, NodeMemory, ReplicatedWriter};
///
/// // The cores that readers are pinned to. How a thread is pinned is the caller's matter.
/// let cores = [0, 0];
/// let memory: Vec<_> =
///     cores.iter().map(|core| NodeMemory::prefer(*core, Capacity::SMALL.lines())).collect::<Result<_, _>>()?;
/// for memory in &memory {
///     // "core 0 is on node 0: its 26 pages lie on node 0", or why not.
///     println!("{}", memory.placement());
/// }
/// let writer = ReplicatedWriter::create(memory.iter().map(NodeMemory::lines), &Capacity::SMALL, 1)?;
/// for (core, reader) in cores.iter().zip(writer.readers()) {
///     # let _ = (core, reader);
///     // Give each thread the reader of its own core.
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct NodeMemory {
    mapping: MmapRaw,
    lines: usize,
    placement: Placement,
}

/// What the kernel is to do where the node has no page left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    /// Take one of another node.
    Prefer,
    /// Never take one of another node.
    Bind,
}

/// Pages are counted in steps of the smallest there is, also where the kernel's are larger.
pub(crate) const PAGE: usize = 4096;

impl NodeMemory {
    /// Zeroed memory of this many lines ([`Capacity::lines`](crate::Capacity::lines)), on the core's node where that can
    /// be had: if the node is unknown, the kernel refuses or the node is full, it lies elsewhere, and
    /// [`NodeMemory::placement`] says so.
    ///
    /// # Errors
    ///
    /// [`PlacementError::Map`]: there is no memory at all.
    pub fn prefer(core: usize, lines: usize) -> Result<Self, PlacementError> {
        Self::placed(core, node_of_core(core), lines, Policy::Prefer)
    }

    /// The same, on the core's node and nowhere else. Where the node has too little memory, the kernel gives no
    /// error but ends a process that uses the node, this one perhaps; that comes here and not later, as every page is
    /// written to.
    ///
    /// # Errors
    ///
    /// [`PlacementError`], also where it could not be shown that every page lies on the node.
    pub fn bind(core: usize, lines: usize) -> Result<Self, PlacementError> {
        let mut memory = Self::placed(core, node_of_core(core), lines, Policy::Bind)?;
        if let Some(refusal) = memory.placement.refusal.take() {
            return Err(refusal);
        }
        if !memory.placement.is_on_node() {
            return Err(PlacementError::Elsewhere { placement: memory.placement.into() });
        }
        Ok(memory)
    }

    fn placed(
        core: usize,
        node: Result<u32, PlacementError>,
        lines: usize,
        policy: Policy,
    ) -> Result<Self, PlacementError> {
        let map = |error| PlacementError::Map { lines, error };
        let bytes = lines.max(1).checked_mul(size_of::<Line>()).ok_or(io::ErrorKind::OutOfMemory);
        let bytes = bytes.map_err(|kind| map(kind.into()))?;
        let mapping = MmapRaw::from(MmapMut::map_anon(bytes).map_err(map)?);
        let (node, mut refusal) = match node {
            Ok(node) => (Some(node), set_policy(&mapping, node, policy).err()),
            Err(error) => (None, Some(error)),
        };
        let mut memory = NodeMemory { mapping, lines, placement: Placement::unknown(core) };
        // A read would be answered with the one page of zeros that all share: only a write gives a page its place.
        memory.lines().iter().step_by(PAGE / size_of::<Line>()).for_each(|line| line.store(0, 0));
        let pages = memory.pages().unwrap_or_else(|error| {
            refusal.get_or_insert(error);
            NodePages::default()
        });
        memory.placement = Placement { core, node, refusal, pages };
        Ok(memory)
    }

    /// The lines, to create a table in.
    pub fn lines(&self) -> &[Line] {
        // SAFETY:
        // - A mapping begins at a page, so it is aligned to 64. It was made with room for `lines` lines (one byte at
        //   least), it is readable and writable, and it stays mapped as long as `self` is borrowed.
        // - It is anonymous and private, and nothing here gives out its address as anything but lines: every access to it
        //   is by atomic words. The kernel moves its pages without a change of what is in them.
        unsafe { lines_from_raw(self.mapping.as_ptr(), self.lines) }
    }

    /// Where the memory lay when it was made, and what was refused.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Where it lies now: the kernel may have moved pages since (a change of the process's cpuset, an administrator's
    /// migratepages). A system call for each page.
    ///
    /// # Errors
    ///
    /// [`PlacementError::Unknown`] where the kernel does not tell.
    pub fn pages(&self) -> Result<NodePages, PlacementError> {
        let mut pages = NodePages::default();
        for line in self.lines().iter().step_by(PAGE / size_of::<Line>()) {
            pages.add(node_of_page(line).map_err(|error| PlacementError::Unknown { error })?);
        }
        Ok(pages)
    }
}

/// Words of a mask of nodes: 1024 of them, the most that Linux can be built for, and a word more, as the kernel's `maxnode`
/// counts from 1.
const MASK_WORDS: usize = (MASK_NODES / libc::c_ulong::BITS) as usize + 1;
const MASK_NODES: u32 = 1024;

// include/uapi/linux/mempolicy.h; libc has the policies only.
/// Of mbind: pages that are there already are looked at.
const MPOL_MF_STRICT: c_int = 1;
/// Of mbind: and moved.
const MPOL_MF_MOVE: c_int = 1 << 1;
/// Of get_mempolicy: the node.
const MPOL_F_NODE: c_int = 1;
/// Of get_mempolicy: of an address.
const MPOL_F_ADDR: c_int = 1 << 1;

type Mask = [libc::c_ulong; MASK_WORDS];

/// This node alone; `None` for one that no kernel has.
fn mask_of(node: u32) -> Option<Mask> {
    let mut mask: Mask = [0; MASK_WORDS];
    let word = mask.get_mut((node / libc::c_ulong::BITS) as usize).filter(|_| node < MASK_NODES)?;
    *word = 1 << (node % libc::c_ulong::BITS);
    Some(mask)
}

fn set_policy(mapping: &MmapRaw, node: u32, policy: Policy) -> Result<(), PlacementError> {
    let refused = |error| PlacementError::Refused { node, error };
    let mask: Mask = mask_of(node).ok_or_else(|| refused(io::ErrorKind::InvalidInput.into()))?;
    let mode = match policy {
        Policy::Prefer => libc::MPOL_PREFERRED,
        Policy::Bind => libc::MPOL_BIND,
    };
    // SAFETY:
    // - mbind(2) changes where pages of this range come from and never what is in them. The range is this mapping and
    //   no other: it begins at a page, and the kernel rounds its length up to whole pages, as mmap did.
    // - It reads `MASK_NODES + 1` bits of the mask at most, in unsigned longs, of which that many are there; it writes
    //   nothing.
    // - The arguments have the types of the call: pointer, unsigned long, int, pointer, unsigned long, unsigned int;
    //   each is passed as wide as a register.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mbind,
            mapping.as_mut_ptr(),
            mapping.len() as libc::c_ulong,
            libc::c_long::from(mode),
            mask.as_ptr(),
            libc::c_ulong::from(MASK_NODES + 1),
            libc::c_long::from(MPOL_MF_STRICT | MPOL_MF_MOVE),
        )
    };
    if answer == 0 { Ok(()) } else { Err(refused(io::Error::last_os_error())) }
}

/// The node that the page of a line lies on.
fn node_of_page(line: &Line) -> io::Result<u32> {
    let mut node: c_int = -1;
    // SAFETY:
    // - With these flags get_mempolicy(2) writes one int, the page's node, through the first pointer, which is valid for
    //   that. The mask is null and its length 0: none is written.
    // - It looks the address up as a read would, without a change of what is there.
    // - The arguments have the types of the call: int pointer, pointer, unsigned long, pointer, unsigned long; each is
    //   passed as wide as a register.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_get_mempolicy,
            &raw mut node,
            core::ptr::null_mut::<libc::c_ulong>(),
            0 as libc::c_ulong,
            core::ptr::from_ref(line),
            libc::c_long::from(MPOL_F_NODE | MPOL_F_ADDR),
        )
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    u32::try_from(node).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No machine has it: the kernel's own refusal, whatever the host.
    const NO_NODE: u32 = MASK_NODES - 1;

    #[test]
    fn a_refusal_is_told_and_the_memory_works() {
        let memory = NodeMemory::placed(3, Ok(NO_NODE), 1000, Policy::Prefer).expect("there is memory");
        let placement = memory.placement();
        assert_eq!((placement.core(), placement.node()), (3, Some(NO_NODE)));
        let Some(PlacementError::Refused { node: NO_NODE, error }) = placement.refusal() else {
            panic!("{placement}");
        };
        // EINVAL for the node; EPERM and ENOSYS where the call itself is refused.
        let told = [libc::EINVAL, libc::EPERM, libc::ENOSYS].map(Some);
        assert!(told.contains(&error.raw_os_error()), "{error}");
        assert!(!placement.is_on_node());
        assert_eq!(memory.lines().len(), 1000);
        memory.lines()[999].store(7, 1);
        assert_eq!(memory.lines()[999].to_words(), [0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_mask_has_the_bit_of_its_node_alone() {
        for node in [0, 1, 31, 32, 63, 64, 65, NO_NODE] {
            let mask = mask_of(node).expect("a kernel may have it");
            let bits = (0..MASK_WORDS as u32 * libc::c_ulong::BITS).filter(|bit| {
                mask[(bit / libc::c_ulong::BITS) as usize] >> (bit % libc::c_ulong::BITS) & 1 == 1
            });
            assert_eq!(bits.collect::<std::vec::Vec<_>>(), [node]);
        }
        assert_eq!(mask_of(MASK_NODES), None);
    }

    #[test]
    fn a_node_beyond_the_mask_is_refused_here() {
        let memory = NodeMemory::placed(0, Ok(u32::MAX), 1, Policy::Prefer).expect("there is memory");
        assert!(matches!(memory.placement().refusal(), Some(PlacementError::Refused { .. })));
    }

    #[test]
    fn too_much_memory_is_an_error() {
        for lines in [usize::MAX, usize::MAX / 64] {
            let refused = NodeMemory::prefer(0, lines).err();
            assert!(matches!(refused, Some(PlacementError::Map { .. })), "{refused:?}");
        }
    }
}
