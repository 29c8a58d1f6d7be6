//! Whom a process has connections to.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

/// In /proc/net/tcp: a connection that stands.
const ESTABLISHED: &str = "01";

/// The other ends of a process's TCP connections (IPv4; of the network namespace that we are in).
pub(super) fn connected(pid: u32) -> BTreeSet<SocketAddrV4> {
    let own: BTreeSet<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|fd| {
            let link = std::fs::read_link(fd.path()).ok()?;
            Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    table.lines().skip(1).filter_map(|line| remote(line, &own)).collect()
}

/// The fields of proc_net_tcp(5): number, local, remote, state, ..., inode as the tenth.
fn remote(line: &str, own: &BTreeSet<String>) -> Option<SocketAddrV4> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if *fields.get(3)? != ESTABLISHED || !own.contains(*fields.get(9)?) {
        return None;
    }
    let (address, port) = fields.get(2)?.split_once(':')?;
    // The address as the kernel holds it, in network order, printed as a number of this machine.
    let address = u32::from_str_radix(address, 16).ok()?;
    let address = Ipv4Addr::from(address.to_ne_bytes());
    Some(SocketAddrV4::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};

    #[test]
    fn our_own_connection_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let SocketAddr::V4(address) = listener.local_addr().expect("its address") else { panic!("IPv4") };
        let _stream = TcpStream::connect(address).expect("it listens");
        assert!(super::connected(std::process::id()).contains(&address));
    }
}
