//! What is published: every field of every record follows from the service and the publication's number, so that a record
//! says by itself whether it is whole, and how old it is.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use resolver_core::{Bytes, Capacity, Endpoint, Reason, Resolved, Standing, State};

pub const CAPACITY: Capacity = Capacity { services: 24, endpoints: 2048, configs: 4, text_bytes: 64 };

/// Settings; published with the group. Not a service's number: where its newest number is noted.
pub const NUMBER: &str = "number";
pub const VALUE: &str = "value";

/// Always published together, in one batch.
pub const GROUP: [&str; 4] = ["group-a", "group-b", "group-c", "group-d-with-a-name-that-is-long"];
/// Each published alone, with a text, and now and then empty.
pub const ALONE: [&str; 4] = ["alone-a", "alone-b", "alone-c", "alone-d-with-a-name-that-is-long"];
/// They come and go.
pub const PASSING: [&str; 4] = ["pass-a", "pass-b", "pass-c", "pass-d-with-a-name-that-is-long"];
/// All of them; a service's number is its place here.
pub const SERVICES: usize = 12;

/// The name of a service by number.
pub fn name(service: usize) -> &'static str {
    [GROUP, ALONE, PASSING][service / 4][service % 4]
}

/// How a service can stand: state, reason and source belong together, and lie in two words of the head.
pub const STANDINGS: [Standing; 4] = [
    Standing::FRESH,
    Standing { state: State::Stale, reason: Reason::Unreachable, source: 1 },
    Standing { state: State::Stale, reason: Reason::Acl, source: 2 },
    Standing { state: State::Stale, reason: Reason::NoLeader, source: 3 },
];

/// Two folded multiplications: no field is another one shifted.
pub fn mix(value: u64) -> u64 {
    let fold = |a: u64, b: u64| {
        let wide = u128::from(a) * u128::from(b);
        wide as u64 ^ (wide >> 64) as u64
    };
    fold(fold(value ^ 0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9), 0x94d0_49bb_1331_11eb)
}

/// The publication's number, the service, the place in the set.
fn id(service: usize, n: u64, place: usize) -> u64 {
    n << 16 | (service as u64) << 8 | place as u64
}

fn address(id: u64) -> SocketAddr {
    let (n, mixed) = (id >> 16, mix(id));
    let port = mixed as u16 | 1;
    if n.is_multiple_of(2) {
        SocketAddr::from((Ipv4Addr::from_bits(n as u32), port))
    } else {
        SocketAddr::from((Ipv6Addr::from_bits(u128::from(mixed) << 64 | u128::from(id)), port))
    }
}

/// Endpoints in a set; 0 is an empty one.
pub fn size(service: usize, n: u64) -> usize {
    match n {
        _ if (4..8).contains(&service) && n.is_multiple_of(101) => 0,
        _ if n % 64 == 9 => 40,
        _ => 1 + (mix(id(service, n, 0)) >> 32) as usize % 8,
    }
}

/// The set of a publication.
pub fn set(service: usize, n: u64) -> Vec<Endpoint> {
    let endpoint = |place| {
        let id = id(service, n, place);
        let mixed = mix(id);
        Endpoint::new(address(id))
            .with_id(id)
            .with_tags(!mixed)
            .with_weight(mixed as u32 >> 8)
            .with_tier((mixed >> 40) as u8)
            .with_zone((mixed >> 48) as u16)
    };
    (0..size(service, n)).map(endpoint).collect()
}

/// The text of a publication: its number, then bytes that follow from it.
pub fn text(service: usize, n: u64) -> ([u8; 48], usize) {
    let mut text = [0; 48];
    let start = id(service, n, 0);
    for (place, bytes) in text.chunks_exact_mut(8).enumerate() {
        let word = if place == 0 { start } else { mix(start + place as u64) };
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    (text, 8 + n as usize % 41)
}

/// A setting's value: the text of the last service.
pub fn value(n: u64) -> Bytes {
    let (text, length) = text(SERVICES, n);
    Bytes::new(&text[..length]).expect("48 bytes at most")
}

/// As [`of_address`], for a setting's value.
pub fn of_value(found: &Bytes) -> Option<u64> {
    of_text(SERVICES, found.as_slice())
}

/// The number of the publication that an address is of; `None` where its parts are not of one.
pub fn of_address(service: usize, found: SocketAddr) -> Option<u64> {
    let n = match found {
        SocketAddr::V4(v4) => u64::from(v4.ip().to_bits()),
        SocketAddr::V6(v6) => v6.ip().to_bits() as u64 >> 16,
    };
    (address(id(service, n, 0)) == found).then_some(n)
}

/// As [`of_address`], for all that a head or an endpoint have in common.
pub fn of_parts(service: usize, found: SocketAddr, found_id: u64, tags: u64, tier: u8) -> Option<u64> {
    let (n, place) = (found_id >> 16, found_id as usize & 0xff);
    let mixed = mix(found_id);
    let whole = found_id == id(service, n, place)
        && place < size(service, n)
        && found == address(found_id)
        && tags == !mixed
        && tier == (mixed >> 40) as u8;
    whole.then_some(n)
}

/// As [`of_address`], for a head.
pub fn of_head(service: usize, head: &Resolved) -> Option<u64> {
    let n = of_parts(service, head.address().socket_addr(), head.id(), head.tags(), head.tier())?;
    let stands = STANDINGS.iter().any(|standing| {
        (standing.state, standing.reason, standing.source) == (head.state(), head.reason(), head.source())
    });
    (stands && head.id() & 0xff == 0 && head.endpoints() == size(service, n)).then_some(n)
}

/// As [`of_address`], for an endpoint of a set, with its place.
pub fn of_endpoint(service: usize, endpoint: &Endpoint) -> Option<(u64, usize)> {
    let address = endpoint.address().socket_addr();
    let n = of_parts(service, address, endpoint.id(), endpoint.tags(), endpoint.tier())?;
    let mixed = mix(endpoint.id());
    let whole = endpoint.weight() == mixed as u32 >> 8 && endpoint.zone() == (mixed >> 48) as u16;
    whole.then_some((n, endpoint.id() as usize & 0xff))
}

/// As [`of_address`], for a text.
pub fn of_text(service: usize, found: &[u8]) -> Option<u64> {
    let n = u64::from_le_bytes(*found.first_chunk()?) >> 16;
    let (text, length) = text(service, n);
    (text[..length] == *found).then_some(n)
}
