//! What the compiler does not do by itself for a reader's first round; on x86-64 only, by assembly that is empty or one comparison.
//!
//! A function has nine registers that it need not save, and a record has seven words. With the line's address, its `seq` and the
//! reader there is one too many already, and each more is paid in every call: it is saved and restored. So
//!
//! - the last look at `seq` compares with memory; of an atomic load the compiler makes a register's;
//! - what is needed only where the round fails (handle, offset) is had again from what is in registers anyway, the line's
//!   address and the third word. The compiler, which knows how these came about, would keep what they were made from.
//!
//! On other machines, under loom and under Miri it is plain Rust, which says what the assembly means.

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(any(resolver_loom, miri))))]
mod assembly {
    use core::arch::asm;

    use crate::memory::Line;

    /// The same reference, of which the compiler does not know whence it came. No instruction.
    #[inline(always)]
    #[expect(
        clippy::pointers_in_nomem_asm_block,
        reason = "the pointer goes in and out, and is not followed"
    )]
    pub(crate) fn forget(line: &Line) -> &Line {
        let mut start = core::ptr::from_ref(line);
        // SAFETY:
        // - The code is empty: no memory, flag or stack is touched, and the register has what it had.
        // - So `start` is the pointer that it was, of the same provenance, and good for as long as `line` is.
        unsafe {
            asm!("/* {0} */", inlateout(reg) start, options(pure, nomem, nostack, preserves_flags));
            &*start
        }
    }

    /// The same word, of which the compiler does not know what it was compared with. No instruction.
    #[inline(always)]
    pub(crate) fn forget_word(mut word: u64) -> u64 {
        // SAFETY: the code is empty, as above, and any word is a valid one.
        unsafe {
            asm!("/* {0} */", inlateout(reg) word, options(pure, nomem, nostack, preserves_flags));
        }
        word
    }

    /// Whether the first word of a line is `seq`: a relaxed load, compared.
    #[inline(always)]
    pub(crate) fn is_at(line: &Line, seq: u64) -> bool {
        // SAFETY:
        // - It reads eight bytes, aligned, at the beginning of `line`, which are there for as long as the reference is. On x86-64 such
        //   a read is one access and so a relaxed atomic load; it writes nothing, as the mapping may be read-only.
        // - `readonly` and not `nomem` or `pure`: the compiler moves no load or fence over it, as over the load it stands for.
        // - It leaves by its end or by the label, the stack as it was.
        unsafe {
            asm!(
                "cmp qword ptr [{line}], {seq}",
                "jne {moved}",
                line = in(reg) core::ptr::from_ref(line),
                seq = in(reg) seq,
                moved = label { return false },
                options(readonly, nostack),
            );
        }
        true
    }
}

#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64", not(any(resolver_loom, miri)))))]
mod plain {
    pub(crate) use crate::cell::is_at;
    use crate::memory::Line;

    #[inline(always)]
    pub(crate) fn forget(line: &Line) -> &Line {
        line
    }

    #[inline(always)]
    pub(crate) fn forget_word(word: u64) -> u64 {
        word
    }
}

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(any(resolver_loom, miri))))]
pub(crate) use assembly::{forget, forget_word, is_at};
#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64", not(any(resolver_loom, miri)))))]
pub(crate) use plain::{forget, forget_word, is_at};

#[cfg(all(test, not(resolver_loom)))]
mod tests {
    use super::*;
    use crate::memory::Line;

    #[test]
    fn what_is_forgotten_is_the_same_and_a_line_is_at_its_first_word_alone() {
        let lines = [Line::from([7, 8, 8, 8, 8, 8, 8, 8]), Line::from([u64::MAX, 7, 7, 7, 7, 7, 7, 7])];
        for (line, seq) in lines.iter().zip([7, u64::MAX]) {
            assert!(core::ptr::eq(forget(line), line));
            assert_eq!(forget_word(seq), seq);
            assert!(is_at(line, seq));
            for other in [0, 6, 8, u64::MAX >> 1, seq ^ 1 << 63, seq ^ 1 << 32, seq ^ 1] {
                assert!(!is_at(line, other), "{seq:#x} {other:#x}");
            }
        }
    }
}
