//! Handles: what the hot path holds instead of a name.

/// Bytes of a line, by which handles count.
pub(crate) const LINE_BYTES: u32 = 64;
/// The last slot that a handle can lead to.
pub(crate) const MAX_SLOT: u32 = u32::MAX / LINE_BYTES;

/// A service of one table, looked up once. Eight bytes, and good for as long as the service is: a name that a view
/// fixes keeps it for ever; a removed service's handle is [`Gone`](crate::ResolveError::Gone), never another's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    /// offset of the cell in its section, in bytes | incarnation << 32: one register, and no shift on the way to the line.
    /// The offset is a multiple of a line's size, always: [`Cells`](crate::cells::Cells) rests on it.
    bits: u64,
}

impl Handle {
    #[inline(always)]
    pub(crate) fn new(slot: u32, incarnation: u32) -> Self {
        debug_assert!(slot <= MAX_SLOT);
        Handle { bits: (slot * LINE_BYTES) as u64 | (incarnation as u64) << 32 }
    }

    /// The handle that leads to the line at this offset and means this incarnation.
    #[inline(always)]
    pub(crate) fn of(offset: usize, incarnation: u32) -> Self {
        Handle::from_bits(u64::from(incarnation) << 32 | u64::from(offset as u32))
    }

    /// Where the cell's line begins, in bytes from that of slot 0.
    #[inline(always)]
    pub(crate) fn offset(self) -> usize {
        self.bits as u32 as usize
    }

    #[inline(always)]
    pub(crate) fn slot(self) -> usize {
        self.offset() / LINE_BYTES as usize
    }

    #[inline(always)]
    pub(crate) fn incarnation(self) -> u32 {
        (self.bits >> 32) as u32
    }

    /// Whether a head with this third word is its own.
    #[inline(always)]
    pub(crate) fn means(self, word: u64) -> bool {
        self.incarnation() == word as u32
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

    /// The inverse of [`Handle::to_bits`]. Any value is safe: what no table gave out is `Gone`. The lowest six bits, which
    /// are 0 in every handle, are not looked at.
    pub const fn from_bits(bits: u64) -> Self {
        Handle { bits: bits & !(LINE_BYTES as u64 - 1) }
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
