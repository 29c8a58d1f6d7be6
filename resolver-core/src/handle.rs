//! Handles: what the hot path holds instead of a name.

/// A service of one table, looked up once. Eight bytes, and good for as long as the service is: a name that a view
/// fixes keeps it for ever; a removed service's handle is [`Gone`](crate::ResolveError::Gone), never another's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    /// incarnation | slot << 32: one register.
    bits: u64,
}

impl Handle {
    #[inline(always)]
    pub(crate) fn new(slot: u32, incarnation: u32) -> Self {
        Handle { bits: incarnation as u64 | (slot as u64) << 32 }
    }

    #[inline(always)]
    pub(crate) fn slot(self) -> usize {
        (self.bits >> 32) as usize
    }

    #[inline(always)]
    pub(crate) fn incarnation(self) -> u32 {
        self.bits as u32
    }

    /// Whether a head with this third word is its own.
    #[inline(always)]
    pub(crate) fn means(self, word: u64) -> bool {
        self.bits as u32 == word as u32
    }

    /// Whether a table may have given it out: the head of a slot that was never used has incarnation 0.
    #[inline(always)]
    pub(crate) fn is_given_out(self) -> bool {
        self.incarnation() != 0
    }

    /// As one integer, for bindings and logs. Means nothing in another table.
    pub const fn to_bits(self) -> u64 {
        self.bits
    }

    /// The inverse of [`Handle::to_bits`]. Any value is safe: what no table gave out is `Gone`.
    pub const fn from_bits(bits: u64) -> Self {
        Handle { bits }
    }
}

impl core::fmt::Debug for Handle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Handle")
            .field("slot", &self.slot())
            .field("incarnation", &self.incarnation())
            .finish()
    }
}
