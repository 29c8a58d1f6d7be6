//! The lines that handles lead to.

use crate::handle::{Handle, LINE_BYTES};
use crate::memory::Line;

/// A section of lines, and what bounds an offset into it: the one comparison between a handle and its line.
#[derive(Clone, Copy)]
pub(crate) struct Cells<'m> {
    lines: &'m [Line],
    /// Of all lines.
    #[cfg_attr(resolver_loom, allow(dead_code, reason = "loom's lines have another size"))]
    bytes: usize,
}

impl<'m> Cells<'m> {
    pub(crate) fn new(lines: &'m [Line]) -> Self {
        Cells { lines, bytes: size_of_val(lines) }
    }

    #[inline(always)]
    pub(crate) fn lines(&self) -> &'m [Line] {
        self.lines
    }

    /// The line of a handle; `None` where the section has none there.
    #[inline(always)]
    #[cfg(not(resolver_loom))]
    pub(crate) fn at(&self, handle: Handle) -> Option<&'m Line> {
        let offset = handle.offset();
        if offset >= self.bytes {
            return None;
        }
        // SAFETY: `offset` and `bytes` are multiples of a line's 64 bytes (a handle's offset by its type: both of its
        // constructors see to it), and `offset` is the smaller: a whole line of `lines` begins there, aligned as all of them are.
        Some(unsafe { &*self.lines.as_ptr().byte_add(offset) })
    }

    /// The line of a handle, where lines are loom's and of another size.
    #[cfg(resolver_loom)]
    pub(crate) fn at(&self, handle: Handle) -> Option<&'m Line> {
        self.lines.get(handle.slot())
    }
}

/// The offset of the handle that leads to `line`, where the section begins here.
#[inline(always)]
pub(crate) fn offset(begin: *const Line, line: &Line) -> usize {
    let bytes = core::ptr::from_ref(line).addr().wrapping_sub(begin.addr());
    // A line of loom's has another size.
    bytes / size_of::<Line>() * LINE_BYTES as usize
}

#[cfg(not(resolver_loom))]
const _: () = assert!(size_of::<Line>() == 64);

#[cfg(all(test, feature = "std", not(resolver_loom)))]
mod tests {
    use super::*;
    use crate::memory::heap;

    #[test]
    fn a_handle_leads_to_the_line_of_its_slot_and_never_beyond_the_section() {
        let lines = heap(5);
        let cells = Cells::new(&lines[1..4]);
        for slot in 0..3 {
            let line = cells.at(Handle::new(slot, 7)).expect("it is there");
            assert!(core::ptr::eq(line, &lines[1 + slot as usize]));
            assert_eq!(Handle::of(offset(cells.lines().as_ptr(), line), 7), Handle::new(slot, 7));
        }
        for beyond in [3, 4, 1 << 20, crate::handle::MAX_SLOT] {
            assert!(cells.at(Handle::new(beyond, 7)).is_none(), "{beyond}");
        }
        // Whatever a caller makes up, it leads to a line's beginning or nowhere.
        for bits in [1, 63, 65, 191, 192, u64::MAX, u64::MAX << 32 | 129] {
            let at = cells.at(Handle::from_bits(bits));
            let known = at.is_none_or(|line| lines[1..4].iter().any(|each| core::ptr::eq(each, line)));
            assert!(known, "{bits:#x}");
        }
        assert!(Cells::new(&[]).at(Handle::from_bits(0)).is_none());
    }
}
