//! An address and port, in the first three words of either record.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const FAMILY_V4: u64 = 4;
const FAMILY_V6: u64 = 6;

/// An address and port, as three words of a record.
#[derive(Clone, Copy)]
pub struct Address {
    words: [u64; 3],
}

/// By address and port. The third word also has what is not the address's.
impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.socket_addr() == other.socket_addr()
    }
}

impl Eq for Address {}

impl core::hash::Hash for Address {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.socket_addr().hash(state);
    }
}

impl Address {
    #[inline(always)]
    pub(crate) fn from_words(words: [u64; 3]) -> Self {
        Address { words }
    }

    /// The three words as they lie in the table: for bindings, and to consume an answer whole. What lies where is the
    /// layout's, and changes with [`LAYOUT_VERSION`](crate::LAYOUT_VERSION).
    #[inline(always)]
    pub fn to_words(&self) -> [u64; 3] {
        self.words
    }

    pub(super) fn encode(address: SocketAddr) -> [u64; 3] {
        let port = u64::from(address.port());
        match address.ip() {
            IpAddr::V4(v4) => [u64::from(v4.to_bits()), 0, port << 32 | FAMILY_V4 << 48],
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                [(bits >> 64) as u64, bits as u64, port << 32 | FAMILY_V6 << 48]
            }
        }
    }

    /// The port, 1 to 65535.
    #[inline(always)]
    pub fn port(&self) -> u16 {
        (self.words[2] >> 32) as u16
    }

    /// The IP address.
    #[inline]
    pub fn ip(&self) -> IpAddr {
        if self.words[2] >> 48 & 0xff == FAMILY_V4 {
            IpAddr::V4(Ipv4Addr::from_bits(self.words[0] as u32))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(u128::from(self.words[0]) << 64 | u128::from(self.words[1])))
        }
    }

    /// As the standard library has it.
    #[inline]
    pub fn socket_addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip(), self.port())
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> Self {
        address.socket_addr()
    }
}

impl core::fmt::Debug for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.socket_addr().fmt(f)
    }
}

impl core::fmt::Display for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.socket_addr().fmt(f)
    }
}
