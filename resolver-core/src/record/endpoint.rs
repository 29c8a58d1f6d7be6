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
        Endpoint { words: [a, b, c, 0, 0, 1, 0] }
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
        self.words[5] = self.words[5] & !0xffff_ffff | u64::from(weight);
        self
    }

    /// 0 is asked first.
    pub fn with_tier(mut self, tier: u8) -> Self {
        self.words[2] = self.words[2] & !(0xff << 24) | u64::from(tier) << 24;
        self
    }

    /// A number for the zone; 0 is unknown.
    pub fn with_zone(mut self, zone: u16) -> Self {
        self.words[2] = self.words[2] & !(0xffff << 48) | u64::from(zone) << 48;
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
        self.words[5] as u32
    }

    /// See [`Endpoint::with_tier`].
    #[inline(always)]
    pub fn tier(&self) -> u8 {
        (self.words[2] >> 24) as u8
    }

    /// See [`Endpoint::with_zone`].
    #[inline(always)]
    pub fn zone(&self) -> u16 {
        (self.words[2] >> 48) as u16
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

    /// Below it, of 32 random bits, this endpoint is picked by weight; else its alias.
    #[inline(always)]
    pub(crate) fn threshold(&self) -> u32 {
        (self.words[5] >> 32) as u32
    }

    /// The place in the set to which it gives the rest of its picks.
    #[inline(always)]
    pub(crate) fn alias(&self) -> u16 {
        (self.words[2] >> 32) as u16
    }

    /// As it lies in a set of this generation, with its line of the alias table.
    pub(crate) fn words_in(&self, generation: u64, threshold: u32, alias: u16) -> Words {
        let mut words = self.words;
        words[2] = words[2] & !(0xffff << 32) | u64::from(alias) << 32;
        words[5] = words[5] & 0xffff_ffff | u64::from(threshold) << 32;
        words[6] = generation;
        words
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
