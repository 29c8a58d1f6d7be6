//! The record of one endpoint of a set.

use core::net::SocketAddr;

use super::{Address, Words};

/// One endpoint of a set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    words: Words,
}

impl Endpoint {
    /// An endpoint at this address, with weight 1 and all else 0.
    ///
    /// ```
    /// use resolver_core::Endpoint;
    ///
    /// let endpoint = Endpoint::new("10.0.0.1:9000".parse()?).with_weight(10).with_id(7);
    /// assert_eq!(endpoint.address().port(), 9000);
    /// assert_eq!((endpoint.weight(), endpoint.id(), endpoint.tier()), (10, 7, 0));
    /// # Ok::<(), core::net::AddrParseError>(())
    /// ```
    pub fn new(address: SocketAddr) -> Self {
        let [a, b, c] = Address::encode(address);
        Endpoint { words: [a, b, c, 0, 0, 1 << 32, 0] }
    }

    /// Identifies the instance within its service, across changes of address.
    pub fn with_id(mut self, id: u64) -> Self {
        self.words[3] = id;
        self
    }

    /// One bit for each tag; what each bit means is the publisher's word.
    pub fn with_tags(mut self, tags: u64) -> Self {
        self.words[4] = tags;
        self
    }

    /// Relative share of the traffic.
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.words[5] = self.words[5] & 0xffff_ffff | u64::from(weight) << 32;
        self
    }

    /// 0 is asked first.
    pub fn with_tier(mut self, tier: u8) -> Self {
        self.words[2] = self.words[2] & !(0xff << 56) | u64::from(tier) << 56;
        self
    }

    /// A number for the zone; 0 is unknown.
    pub fn with_zone(mut self, zone: u16) -> Self {
        self.words[2] = self.words[2] & !(0xffff << 16) | u64::from(zone) << 16;
        self
    }

    /// Address and port.
    #[inline(always)]
    pub fn address(&self) -> Address {
        Address::from_words([self.words[0], self.words[1], self.words[2]])
    }

    /// See [`Endpoint::with_id`].
    #[inline(always)]
    pub fn id(&self) -> u64 {
        self.words[3]
    }

    /// See [`Endpoint::with_tags`].
    #[inline(always)]
    pub fn tags(&self) -> u64 {
        self.words[4]
    }

    /// See [`Endpoint::with_weight`].
    #[inline(always)]
    pub fn weight(&self) -> u32 {
        (self.words[5] >> 32) as u32
    }

    /// See [`Endpoint::with_tier`].
    #[inline(always)]
    pub fn tier(&self) -> u8 {
        (self.words[2] >> 56) as u8
    }

    /// See [`Endpoint::with_zone`].
    #[inline(always)]
    pub fn zone(&self) -> u16 {
        (self.words[2] >> 16) as u16
    }

    /// The publication of the set that it belongs to.
    #[inline(always)]
    pub fn generation(&self) -> u64 {
        self.words[6]
    }

    /// As it was made, or read.
    #[inline(always)]
    pub(super) fn words(&self) -> Words {
        self.words
    }

    #[inline(always)]
    pub(crate) fn from_words(words: Words) -> Self {
        Endpoint { words }
    }

    #[inline(always)]
    pub(crate) fn from_leaf(words: [u64; 6], generation: u64) -> Self {
        let [a, b, c, d, e, f] = words;
        Endpoint { words: [a, b, c, d, e, f, generation] }
    }

    /// Its words, the publication's generation last: for bindings, and to consume an answer whole. What lies where is the
    /// layout's, and changes with [`LAYOUT_VERSION`](crate::LAYOUT_VERSION).
    #[inline(always)]
    pub fn to_words(&self) -> [u64; 7] {
        self.words
    }

    /// Below it, of 32 random bits, this endpoint is picked by weight; else its alias.
    #[inline(always)]
    pub(crate) fn threshold(&self) -> u32 {
        self.words[5] as u32
    }

    /// The place in the set to which it gives the rest of its picks.
    #[inline(always)]
    pub(crate) fn alias(&self) -> u16 {
        self.words[2] as u16
    }

    /// As it lies in its leaf, with its line of the alias table.
    pub(crate) fn leaf_words(&self, threshold: u32, alias: u16) -> [u64; 6] {
        let [a, b, c, id, tags, weight, _] = self.words;
        let place = c & !0xffff | u64::from(alias);
        [a, b, place, id, tags, weight & !0xffff_ffff | u64::from(threshold)]
    }
}

impl core::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &self.address())
            .field("id", &self.id())
            .field("weight", &self.weight())
            .field("tier", &self.tier())
            .field("generation", &self.generation())
            .finish()
    }
}
