//! The planted controls: each has what no hot function may have, and the check must see it.

/// Has a panic path.
#[unsafe(no_mangle)]
#[inline(never)]
fn control_panics(words: &[u64], place: usize) -> u64 {
    words[place]
}

/// Computes in floating point.
#[unsafe(no_mangle)]
#[inline(never)]
fn control_computes(weight: u64, total: u64) -> u64 {
    (weight as f64 / total as f64 * 4_294_967_296.0) as u64
}

#[used]
static PANICS: fn(&[u64], usize) -> u64 = control_panics;
#[used]
static COMPUTES: fn(u64, u64) -> u64 = control_computes;
