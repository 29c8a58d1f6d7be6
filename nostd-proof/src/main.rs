//! A table in a `static`, a publication, and every way to resolve it, on bare Linux: no libc, no allocator, no `std`.
//!
//! It ends with exit code 0 if all answers were right, 1 if one was not, 2 after a panic. `cargo xtask test no-std` builds
//! it, runs it, and looks through its symbols. The functions named `hot_*` must be there and call nothing that panics.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::hint::black_box;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::panic::PanicInfo;

use resolver_core::{
    Address, CachedHandle, Capacity, Endpoint, Handle, Memory, Name, Reader, ResolveError, Resolved,
    Standing, Table,
};

const CAPACITY: Capacity = Capacity { services: 16, endpoints: 64, ..Capacity::SMALL };
static MEMORY: Memory<{ CAPACITY.lines() }> = Memory::new();

// The kernel enters with the stack aligned to 16, and no return address.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "call {run}", "ud2", run = sym run);

extern "C" fn run() -> ! {
    exit(i32::from(!proof().unwrap_or(false)))
}

/// Whether all answers are right; `None` where the table refused something.
fn proof() -> Option<bool> {
    let (mut writer, reader) = Table::create(MEMORY.lines(), &CAPACITY, 1).ok()?.split();
    let handle = writer.add("oms").ok()?;
    let never = hot_resolve(black_box(&reader), handle) == Err(ResolveError::Never);
    let address = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 9000));
    let set = [Endpoint::new(address), Endpoint::new(address).with_id(2)];
    writer.publish(handle, &set, Standing::FRESH, b"").ok()?;
    let mut cached = reader.cached(handle);
    let resolved = hot_resolve(black_box(&reader), handle).ok()?;
    let right = [
        never,
        resolved.address().socket_addr() == address,
        hot_address(black_box(&reader), handle) == Ok(resolved.address()),
        hot_cached(black_box(&mut cached)) == Ok(resolved),
        hot_cached(black_box(&mut cached)) == Ok(resolved),
        hot_name(black_box(&reader), &Name::new(black_box("oms"))) == Ok(resolved),
        hot_name(black_box(&reader), &Name::new(black_box("risk"))) == Err(ResolveError::Gone),
        hot_place(black_box(&reader), handle, 1) == 2,
    ];
    Some(!right.contains(&false))
}

#[unsafe(no_mangle)]
#[inline(never)]
fn hot_resolve(reader: &Reader<'_>, handle: Handle) -> Result<Resolved, ResolveError> {
    reader.resolve(handle)
}

#[unsafe(no_mangle)]
#[inline(never)]
fn hot_address(reader: &Reader<'_>, handle: Handle) -> Result<Address, ResolveError> {
    reader.resolve_address(handle)
}

#[unsafe(no_mangle)]
#[inline(never)]
fn hot_cached(cached: &mut CachedHandle<'_>) -> Result<Resolved, ResolveError> {
    cached.resolve()
}

#[unsafe(no_mangle)]
#[inline(never)]
fn hot_name(reader: &Reader<'_>, name: &Name<'_>) -> Result<Resolved, ResolveError> {
    reader.resolve_name(name)
}

#[unsafe(no_mangle)]
#[inline(never)]
fn hot_place(reader: &Reader<'_>, handle: Handle, place: usize) -> u64 {
    let endpoint = reader.set(handle).ok().and_then(|set| set.get(place)?.ok());
    endpoint.map_or(0, |endpoint| endpoint.id())
}

/// The planted control: it has a panic path, and the check must see it.
#[unsafe(no_mangle)]
#[inline(never)]
fn control_panics(words: &[u64], place: usize) -> u64 {
    words[place]
}

#[used]
static CONTROL: fn(&[u64], usize) -> u64 = control_panics;

fn exit(code: i32) -> ! {
    // SAFETY: exit_group ends the process; it reads no memory and does not return.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("syscall", in("rax") 231, in("rdi") code, options(noreturn, nostack));
    }
}

/// Whether two pieces of memory differ: the one function of a C library that this program's own comparisons ask for.
///
/// # Safety
///
/// As C has it: both are valid for reads of `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    for i in 0..count {
        // SAFETY: `i` is below `count`, for which the caller vouches. Through `black_box`, so that the compiler does not
        // recognise the loop and call this very function for it.
        if unsafe { *black_box(a.add(i)) != *b.add(i) } {
            return 1;
        }
    }
    0
}

#[panic_handler]
fn panicked(_: &PanicInfo<'_>) -> ! {
    exit(2)
}
