//! A table in a `static`, a publication, and every way to resolve it, on bare Linux: no libc, no allocator, no `std`.
//!
//! It ends with exit code 0 if all answers were right, 1 if one was not, 2 after a panic. `cargo xtask test no-std` builds
//! it, runs it, and looks through its symbols and its code.

#![no_std]
#![no_main]

mod control;
mod hot;

use core::arch::{asm, global_asm};
use core::hint::black_box;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::panic::PanicInfo;
use core::time::Duration;

use resolver_core::pick::{PowerOfTwo, Random, RoundRobin, Weighted};
use resolver_core::{
    Capacity, Endpoint, Liveness, Memory, Name, Reason, ResolveError, SourceBeat, Standing, Table,
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
    let reader = black_box(&reader);
    let never = hot::resolve(reader, handle) == Err(ResolveError::Never);
    let address = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 9000));
    let set = [Endpoint::new(address), Endpoint::new(address).with_id(2).with_weight(0)];
    writer.publish(handle, &set, Standing::FRESH, b"").ok()?;
    let mut liveness = Liveness::new();
    liveness.poll(reader, Duration::ZERO);
    writer.beat(&[SourceBeat {
        name: "r",
        age: Some(Duration::ZERO),
        revision: 1,
        reason: Reason::None,
        rejected: 0,
    }]);
    liveness.poll(reader, Duration::ZERO);

    let mut cached = reader.cached(handle);
    let resolved = hot::resolve(reader, handle).ok()?;
    let (mut round, mut random) = (RoundRobin::from(1), Random::new(1));
    let (mut weighted, mut two) = (Weighted::new(1), PowerOfTwo::new(1));
    let mut both = [Err(ResolveError::Busy); 2];
    let right = [
        never,
        hot::epoch(reader) == reader.epoch(),
        hot::pulse(reader) == 1,
        resolved.address().socket_addr() == address,
        hot::address(reader, handle) == Ok(resolved.address()),
        hot::cached(black_box(&mut cached), reader) == Ok(resolved),
        hot::cached(black_box(&mut cached), reader) == Ok(resolved),
        hot::fresh(reader, handle, Duration::ZERO, &liveness) == Ok(resolved),
        hot::name(reader, &Name::new(black_box("oms"))) == Ok(resolved),
        hot::name(reader, &Name::new(black_box("risk"))) == Err(ResolveError::Gone),
        hot::place(reader, handle, 1) == 2,
        hot::walk(reader, handle) == 2,
        hot::together(reader, &[handle; 2], &mut both) == Ok(reader.epoch()) && both == [Ok(resolved); 2],
        hot::round_robin(&mut round, reader, handle).map(|endpoint| endpoint.id()) == Ok(2),
        hot::random(&mut random, reader, handle).is_ok_and(|endpoint| endpoint.id() % 2 == 0),
        hot::weighted(&mut weighted, reader, handle).map(|endpoint| endpoint.id()) == Ok(0),
        hot::two_choices(&mut two, reader, handle).map(|endpoint| endpoint.id()) == Ok(0),
        hot::rendezvous(reader, handle, 7) == hot::rendezvous(reader, handle, 7),
    ];
    Some(!right.contains(&false))
}

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
