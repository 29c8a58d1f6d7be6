//! Answers as C has them. Each is the image of the table's words, so that writing one is a store for each word; the inline
//! functions of the header take apart what does not lie there plainly, when it is asked for.
//!
//! This is what keeps `resolver_resolve` within the budget of the Rust function, whose caller does the same.

#[cfg(not(target_endian = "little"))]
compile_error!(
    "records are images of words: write their fields one by one here for a machine of the other byte order"
);

use resolver_core::Resolved;

/// An address and port, and how its service stands. `resolver_ip_bytes`, `resolver_sockaddr`,
/// `resolver_state_of` and `resolver_reason_of` read what is not plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Address {
    /// The IP address as a number: IPv4 in the first; of IPv6 the high half in the first.
    pub ip: [u64; 2],
    /// Not for use.
    pub reserved: u32,
    /// The port, in the machine's byte order.
    pub port: u16,
    /// 4 or 6.
    pub family: u8,
    /// State and reason.
    pub standing: u8,
}

/// A service's primary endpoint, and how the service stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Record {
    /// Its address.
    pub address: Address,
    /// Identifies the instance within its service, across changes of address.
    pub id: u64,
    /// One bit for each tag; what each bit means is the publisher's word.
    pub tags: u64,
    /// The publication. It only ever grows, over the whole segment.
    pub generation: u64,
    /// Not for use.
    pub reserved: u32,
    /// Tier of the endpoint; 0 is asked first.
    pub tier: u8,
    /// Read it with `resolver_source_of`.
    pub source_bits: u8,
    /// Active endpoints of the set: those that there are to be picked.
    pub endpoints: u16,
    /// Of the service's cell, when it was read: `resolver_is_current` looks at it.
    pub sequence: u64,
}

/// One endpoint of a set, as a picker gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Endpoint {
    /// As in `resolver_address`.
    pub ip: [u64; 2],
    /// Not for use.
    pub reserved: u16,
    /// A number for the zone; 0 is unknown.
    pub zone: u16,
    /// The port, in the machine's byte order.
    pub port: u16,
    /// 4 or 6.
    pub family: u8,
    /// 0 is asked first.
    pub tier: u8,
    /// Identifies the instance within its service, across changes of address.
    pub id: u64,
    /// One bit for each tag.
    pub tags: u64,
    /// Not for use.
    pub reserved2: u32,
    /// Relative share of the traffic.
    pub weight: u32,
    /// The publication of the set that it belongs to.
    pub generation: u64,
}

// No padding: every byte of these is a byte of their fields.
const _: () = assert!(size_of::<Address>() == 24 && size_of::<Record>() == 64 && size_of::<Endpoint>() == 56);
const _: () = assert!(size_of::<Address>() == 2 * 8 + 4 + 2 + 1 + 1);
const _: () = assert!(size_of::<Record>() == 24 + 3 * 8 + 4 + 1 + 1 + 2 + 8);
const _: () = assert!(size_of::<Endpoint>() == 2 * 8 + 3 * 2 + 1 + 1 + 2 * 8 + 2 * 4 + 8);

impl From<Resolved> for Record {
    #[inline(always)]
    fn from(resolved: Resolved) -> Record {
        let [a, b, c, d, e, f, g] = resolved.to_words();
        // SAFETY:
        // - Both types have 64 bytes, none of `Record`'s is padding (above).
        // - It is `repr(C)` and made of integers alone, which have no invalid values.
        unsafe { core::mem::transmute::<[u64; 8], Record>([a, b, c, d, e, f, g, resolved.seq()]) }
    }
}

impl From<resolver_core::Address> for Address {
    #[inline(always)]
    fn from(address: resolver_core::Address) -> Address {
        // SAFETY: As above, with 24 bytes.
        unsafe { core::mem::transmute::<[u64; 3], Address>(address.to_words()) }
    }
}

impl From<resolver_core::Endpoint> for Endpoint {
    #[inline(always)]
    fn from(endpoint: resolver_core::Endpoint) -> Endpoint {
        // SAFETY: As above, with 56 bytes.
        unsafe { core::mem::transmute::<[u64; 7], Endpoint>(endpoint.to_words()) }
    }
}
