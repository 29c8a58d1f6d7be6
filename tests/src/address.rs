//! A loopback address for each server, so that all can use their default ports.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// The second and the fourth number are 1 to 254: 127.0.Y.Z is what other programs use.
const SPAN: u32 = 254;

/// An address of 127.0.0.0/8 on which none of these TCP ports is in use.
///
/// Derived from the process's id and a counter: concurrent test processes do not meet in practice, and where they
/// would, the ports are taken and the next address is tried.
pub fn loopback(ports: &[u16]) -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..1000 {
        let address = nth(std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        if ports.iter().all(|port| TcpListener::bind((address, *port)).is_ok()) {
            return address;
        }
    }
    panic!(
        "no address of 127.0.0.0/8 has ports {ports:?} free; does this system have the whole network on lo?"
    )
}

fn nth(pid: u32, count: u32) -> Ipv4Addr {
    // An odd multiplier spreads neighbouring ids, which run at the same time.
    let index = pid.wrapping_mul(2_654_435_769).wrapping_add(count) % (SPAN * 256 * SPAN);
    let (x, y, z) = (index / (256 * SPAN), index / SPAN % 256, index % SPAN);
    let byte = |n: u32| u8::try_from(n).expect("a remainder below 256");
    Ipv4Addr::new(127, byte(x + 1), byte(y), byte(z + 1))
}

#[cfg(test)]
mod tests {
    use super::nth;

    #[test]
    fn neighbouring_processes_get_addresses_far_apart() {
        for pid in [1, 4242, 4_194_303] {
            let first = u32::from(nth(pid, 0));
            let others = (1..=64).map(|next| u32::from(nth(pid + next, 0)));
            assert!(others.into_iter().all(|other| other.abs_diff(first) > 500), "pid {pid}");
        }
    }

    #[test]
    fn an_address_is_neither_a_network_nor_anybody_elses_usual_one() {
        for count in (0..3_000_000).step_by(911) {
            let [a, x, _, z] = nth(77, count).octets();
            assert!(a == 127 && (1..=254).contains(&x) && (1..=254).contains(&z));
        }
    }
}
