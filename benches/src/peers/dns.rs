//! hickory-resolver with a full cache: a stub on the loopback answers each name once.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::{Resolver, TokioResolver};
use tokio::runtime::Runtime;

/// A resolver that knows all names, and the runtime that it wants to be asked in.
pub(super) struct Cached {
    runtime: Runtime,
    resolver: TokioResolver,
    names: Vec<Name>,
}

impl Cached {
    /// Asks for each name once.
    pub(super) fn new(names: &[String]) -> Self {
        let made = || -> Result<Self, Box<dyn std::error::Error>> {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            let port = socket.local_addr()?.port();
            // It ends with the process: nobody asks it after the cache is full.
            std::thread::spawn(move || answer(&socket));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let mut connection = ConnectionConfig::udp();
            connection.port = port;
            let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![connection]);
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
            let options = builder.options_mut();
            options.cache_size = 4 * names.len() as u64;
            options.ip_strategy = LookupIpStrategy::Ipv4Only;
            options.use_hosts_file = ResolveHosts::Never;
            let resolver = builder.build()?;
            let parsed: Result<Vec<Name>, _> =
                names.iter().map(|name| Name::from_ascii(format!("{name}."))).collect();
            let cached = Cached { runtime, resolver, names: parsed? };
            for name in &cached.names {
                cached.runtime.block_on(cached.resolver.lookup_ip(name.clone()))?;
            }
            Ok(cached)
        };
        match made() {
            Ok(cached) => cached,
            Err(error) => {
                panic!("hickory-resolver could not be filled from the stub on the loopback: {error}")
            }
        }
    }

    /// Looks up the name at each place that `walk` asks for.
    pub(super) fn within<T>(&self, walk: impl FnOnce(&dyn Fn(usize) -> u64) -> T) -> T {
        let _in_runtime = self.runtime.enter();
        walk(&|at| {
            let found = at_once(self.resolver.lookup_ip(self.names[at].clone()));
            let address = found.expect("it was answered before").iter().next();
            match address.expect("the stub gives one") {
                IpAddr::V4(v4) => u64::from(v4.to_bits()),
                IpAddr::V6(_) => 0,
            }
        })
    }
}

/// The value of a future that waits for nothing.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("hickory-resolver asked its server though the name was in its cache"),
    }
}

/// Answers every question with an address that stays good for a day.
fn answer(socket: &UdpSocket) {
    let mut buffer = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let Some(end) = question_end(&buffer[..length]) else { continue };
        let mut reply = buffer[..end].to_vec();
        // A response, recursion available, no error; one question, one answer, and nothing else.
        reply[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        // The name of the question; A, IN, a day, four bytes.
        reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 1, 0x51, 0x80, 0, 4, 10, 0, 0, 1]);
        if socket.send_to(&reply, from).is_err() {
            return;
        }
    }
}

/// Where the one question of a query ends: after its name, type and class.
fn question_end(query: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        let label = usize::from(*query.get(at)?);
        at += label + 1;
        if label == 0 {
            return (at + 4 <= query.len()).then_some(at + 4);
        }
    }
}
