//! The names of the peers' rows, whether they are built in or not: the gates name them.

/// The `seqlock` crate.
pub const SEQLOCK: &str = "seqlock";
/// crossbeam's `AtomicCell`.
pub const ATOMIC_CELL: &str = "crossbeam AtomicCell";
/// A seqlock of C++.
pub const CPP_SEQLOCK: &str = "C++ seqlock";
/// The `seqlock` crate around a record of a whole line, as a plain struct of 64 bytes would be: its sequence is in the next.
pub const SEQLOCK_64: &str = "seqlock, record of 64 bytes";
/// arc-swap's cache beside the reader.
pub const ARC_SWAP_CACHE: &str = "arc-swap Cache";
/// arc-swap's `load`.
pub const ARC_SWAP_LOAD: &str = "arc-swap load";
/// iceoryx2's blackboard, in shared memory.
pub const ICEORYX2: &str = "iceoryx2 blackboard";
/// A lock of the standard library around each record.
pub const STD_RW_LOCK: &str = "std RwLock";
/// A lock of parking_lot around each record.
pub const PARKING_LOT_MUTEX: &str = "parking_lot Mutex";
/// Likewise.
pub const PARKING_LOT_RW_LOCK: &str = "parking_lot RwLock";
/// tokio's watch channel, borrowed.
pub const WATCH: &str = "tokio watch borrow";
/// left-right, entered for each read.
pub const LEFT_RIGHT: &str = "left-right enter";
/// `std::atomic<std::shared_ptr>` of C++.
pub const CPP_SHARED_PTR: &str = "C++ atomic<shared_ptr>";

/// A map that cannot be written while it is read.
pub const HASH_MAP: &str = "HashMap, foldhash (no writer)";
/// papaya with one guard over a batch.
pub const PAPAYA_HELD: &str = "papaya, foldhash, guard held";
/// papaya as it comes: a guard for each call, SipHash.
pub const PAPAYA: &str = "papaya, pin per call";
/// dashmap with foldhash.
pub const DASHMAP_FOLD: &str = "dashmap, foldhash";
/// dashmap as it comes.
pub const DASHMAP: &str = "dashmap";
/// A lock of the standard library around a map.
pub const STD_RW_MAP: &str = "std RwLock<HashMap>";
/// A lock of parking_lot around a map with foldhash.
pub const PARKING_LOT_MAP: &str = "parking_lot RwLock<HashMap>, foldhash";
/// A whole map behind arc-swap.
pub const ARC_SWAP_MAP: &str = "arc-swap<HashMap>, foldhash";
/// scc's map.
pub const SCC: &str = "scc read_sync";
/// evmap.
pub const EVMAP: &str = "evmap get_one";
/// moka's cache.
pub const MOKA: &str = "moka get";
/// hickory-resolver's cache.
pub const HICKORY: &str = "hickory-resolver, cached";

/// pingora's balancer, in turn.
pub const PINGORA_ROUND_ROBIN: &str = "pingora select, round robin";
/// Likewise, at random.
pub const PINGORA_RANDOM: &str = "pingora select, random";
/// Likewise, by key.
pub const PINGORA_CONSISTENT: &str = "pingora select, consistent";
