//! Where everything is. All offsets are in lines of 64 bytes; nothing else in the crate holds a number of its own.
//!
//! ```text
//! header        64 lines   identity, owner, epoch, counts, pulse, counters
//! lines         cells      heads | sources | settings
//! shadows       cells      the same, in the same order
//! directory     1 line for 2 buckets of 32 bytes: name 23, its length 1, entry 8
//! long names    1 line for 64 bytes of names over 23 bytes
//! changes       1 word for each cell: the epoch that it last changed with
//! notes         1 word for each cell and leaf; the writer's own, no reader looks
//! bitmap        1 bit for each leaf in use; likewise
//! leaves        1 line for each endpoint and each line of a set's tables
//! text          text_lines for each leaf
//! incidents     5 lines for each of 8 to 64 entries: the log of distinct errors
//! ```

use crate::handle::MAX_SLOT;
use crate::memory::WORDS;

// Sums and products of 32-bit counts must not overflow, and a word must be one load.
#[cfg(not(target_pointer_width = "64"))]
compile_error!("a table's sizes are counted in 64 bits");

/// Version of this layout and of the protocol over it. Independent of the crate's version: it changes when a reader
/// of the one could misread the other.
pub const LAYOUT_VERSION: u32 = 3;

/// First word of a table: "RESOLVER" in the machine's own byte order, so a foreign order does not match.
pub(crate) const MAGIC: u64 = 0x5245_534f_4c56_4552;

/// Lines of the header.
#[cfg(not(resolver_loom))]
pub(crate) const HEADER_LINES: usize = 64;
/// No more than what is used: loom makes every word anew in each execution.
#[cfg(resolver_loom)]
pub(crate) const HEADER_LINES: usize = 5;

/// Identity: written once, the version word last.
pub(crate) mod identity {
    pub(crate) const LINE: usize = 0;
    pub(crate) const MAGIC: usize = 0;
    /// Layout version, low half. Written last; 0 until then.
    pub(crate) const VERSION: usize = 1;
    pub(crate) const TOTAL_LINES: usize = 2;
    /// services | configs << 32
    pub(crate) const SERVICES: usize = 3;
    /// leaves | text lines for each << 32
    pub(crate) const LEAVES: usize = 4;
    /// buckets | lines of long names << 32
    pub(crate) const NAMES: usize = 5;
    /// Random; an old handle or path means nothing in another segment.
    pub(crate) const SEED: usize = 6;
    pub(crate) const CHECKSUM: usize = 7;
}

#[cfg(all(feature = "shm", not(resolver_loom)))]
/// Who writes. Changed at takeover only, under the lock.
pub(crate) mod owner {
    pub(crate) const LINE: usize = 1;
    /// Counts the writers that this table has had.
    pub(crate) const EPOCH: usize = 0;
    pub(crate) const PID: usize = 1;
    /// Milliseconds since 1970 when this owner took over; for people.
    pub(crate) const SINCE: usize = 2;
    /// Boot id, two words.
    pub(crate) const BOOT: usize = 3;
}

/// Moves with each batch.
pub(crate) mod epoch {
    pub(crate) const LINE: usize = 2;
    pub(crate) const EPOCH: usize = 0;
}

/// The writer's counters; readers only look at them for people.
pub(crate) mod count {
    pub(crate) const LINE: usize = 3;
    /// Last generation given out. Advanced before it is used, never set back.
    pub(crate) const GENERATION: usize = 0;
    pub(crate) const INCARNATION: usize = 1;
    /// Words of the long names in use.
    pub(crate) const LONG_NAMES: usize = 2;
    /// Directory buckets in use, tombstones included.
    pub(crate) const BUCKETS: usize = 3;
    pub(crate) const PUBLICATIONS: usize = 4;
    /// Publications refused because they did not fit.
    pub(crate) const REFUSED: usize = 5;
    /// Cells that repair had to touch, over all takeovers.
    pub(crate) const REPAIRED: usize = 6;
}

/// Beats while the publisher lives.
pub(crate) mod pulse {
    pub(crate) const LINE: usize = 4;
    pub(crate) const BEAT: usize = 0;
}

#[cfg(not(resolver_loom))]
/// What the publisher counts, one word for each [`Counter`](crate::Counter) that is not among [`count`].
pub(crate) mod counter {
    pub(crate) const LINE: usize = 5;
    pub(crate) const LINES: usize = 4;
}

/// The log of distinct errors: entries of their own shape, which `incident` has.
pub(crate) mod incidents {
    /// Lines of an entry.
    pub(crate) const LINES: usize = 5;
    /// The fewest and the most entries; a table has one for each 16 services.
    pub(crate) const ENTRIES: (usize, usize) = (8, 64);
}

/// Sources that a table can name.
pub const MAX_SOURCES: usize = 32;
/// Names of up to this many bytes lie in their bucket; longer ones are one step further away.
pub const SHORT_NAME: usize = 23;
/// The longest name of a source that is published, in bytes.
pub const MAX_SOURCE_NAME: usize = 24;
/// The longest name, in bytes.
pub const MAX_NAME: usize = 255;
/// The largest set, in endpoints.
pub const MAX_SET: usize = u16::MAX as usize;

/// The most text lines for each endpoint.
pub(crate) const MAX_TEXT_LINES: usize = 1 << 16;

/// Words of a directory bucket.
pub(crate) const BUCKET_WORDS: usize = 4;

/// What a table has room for; fixed when it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Services at one time. Over the life of a table twice as many different names may come and go, those of settings
    /// included.
    pub services: u32,
    /// Endpoints in all sets together, each set counted rounded up to a power of two, and with what its tables take
    /// ([`Publication`](crate::Publication) says how much). Twice the room is set aside, so that a new set is written whole
    /// before the old one is left. Blocks are aligned to their size and nothing is moved to make room, so where sets of very
    /// different sizes come and go, a large one can be refused though the sum would fit.
    pub endpoints: u32,
    /// Settings: typed configuration values.
    pub configs: u32,
    /// Room for a set's text (ids, tags, for tools) for each endpoint, in steps of 64 bytes. A set with more text takes
    /// the room of more endpoints.
    pub text_bytes: u32,
}

impl Capacity {
    /// For one process and a handful of services: 64 services, 256 endpoints, no text.
    pub const SMALL: Capacity = Capacity { services: 64, endpoints: 256, configs: 16, text_bytes: 0 };
    /// What an agent creates unless told otherwise: 4096 services, 65536 endpoints; 27 MiB.
    pub const HOST: Capacity = Capacity { services: 4096, endpoints: 65_536, configs: 256, text_bytes: 128 };

    /// Lines of 64 bytes that a table of this capacity needs.
    pub const fn lines(&self) -> usize {
        Plan::of(self).total
    }

    /// Whether the header can say it: counts have 32 bits, leaves and directory buckets among them.
    pub(crate) const fn is_sayable(&self) -> bool {
        let plan = Plan::of(self);
        plan.leaves <= u32::MAX as usize
            && plan.buckets <= u32::MAX as usize
            && plan.text_lines <= MAX_TEXT_LINES
            && plan.cells() <= MAX_SLOT as usize
    }
}

/// The sections of a table with a certain capacity, in lines from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) services: usize,
    pub(crate) configs: usize,
    /// Cells for sources: [`MAX_SOURCES`] (a loom model has none).
    pub(crate) sources: usize,
    /// Twice the capacity in endpoints, a multiple of 64.
    pub(crate) leaves: usize,
    pub(crate) text_lines: usize,
    pub(crate) buckets: usize,
    pub(crate) long_lines: usize,
    pub(crate) total: usize,
}

impl Plan {
    pub(crate) const fn of(capacity: &Capacity) -> Plan {
        let services = at_least(capacity.services as usize, 1);
        Plan::with(
            services,
            capacity.configs as usize,
            at_least(capacity.endpoints as usize * 2, 64).next_multiple_of(64),
            (capacity.text_bytes as usize).div_ceil(64),
            // A quarter full at most while each service stays, a little more with settings; half when as many again have
            // come and gone. A few settings must not double it: it would fall out of the caches.
            at_least(services * 4, (services + capacity.configs as usize) * 16 / 5 + 8).next_power_of_two(),
            at_least(services, 8),
        )
    }

    pub(crate) const fn with(
        services: usize,
        configs: usize,
        leaves: usize,
        text_lines: usize,
        buckets: usize,
        long_lines: usize,
    ) -> Plan {
        let sources = MAX_SOURCES;
        let mut plan = Plan { services, configs, sources, leaves, text_lines, buckets, long_lines, total: 0 };
        plan.total = plan.incidents() + plan.incident_entries() * incidents::LINES;
        plan
    }

    pub(crate) const fn cells(&self) -> usize {
        self.first_setting() + self.configs
    }

    /// Index of a cell of each kind.
    pub(crate) const fn first_source(&self) -> usize {
        self.services
    }

    pub(crate) const fn first_setting(&self) -> usize {
        self.services + self.sources
    }

    pub(crate) const fn lines(&self) -> usize {
        HEADER_LINES
    }

    pub(crate) const fn shadows(&self) -> usize {
        self.lines() + self.cells()
    }

    pub(crate) const fn directory(&self) -> usize {
        self.shadows() + self.cells()
    }

    pub(crate) const fn long_names(&self) -> usize {
        self.directory() + (self.buckets * BUCKET_WORDS).div_ceil(WORDS)
    }

    pub(crate) const fn changes(&self) -> usize {
        self.long_names() + self.long_lines
    }

    pub(crate) const fn notes(&self) -> usize {
        self.changes() + self.cells().div_ceil(WORDS)
    }

    pub(crate) const fn bitmap(&self) -> usize {
        self.notes() + (self.cells() + self.leaves).div_ceil(WORDS)
    }

    pub(crate) const fn leaves(&self) -> usize {
        self.bitmap() + (self.leaves / 64).div_ceil(WORDS)
    }

    pub(crate) const fn text(&self) -> usize {
        self.leaves() + self.leaves
    }

    pub(crate) const fn incidents(&self) -> usize {
        self.text() + self.leaves * self.text_lines
    }

    pub(crate) const fn incident_entries(&self) -> usize {
        let (fewest, most) = incidents::ENTRIES;
        let entries = at_least(self.services / 16, fewest);
        if entries > most { most } else { entries }
    }
}

const fn at_least(value: usize, floor: usize) -> usize {
    if value < floor { floor } else { value }
}

#[cfg(not(resolver_loom))]
const _: () = assert!(counter::LINE > pulse::LINE && counter::LINE + counter::LINES <= HEADER_LINES);
const _: () = assert!(WORDS * size_of::<u64>() == 64);
const _: () = assert!(SHORT_NAME + 1 == (BUCKET_WORDS - 1) * size_of::<u64>());
const _: () = assert!(pulse::LINE < HEADER_LINES && identity::CHECKSUM < WORDS && count::REPAIRED < WORDS);
