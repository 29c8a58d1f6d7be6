//! What a lookup may answer. Every field of an instance is a function of its service and its id, so a record that mixes
//! two instances, or is another service's, shows by itself, without a lock between the registry and the reader.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use resolver_core::{Endpoint, ResolveError, Resolved};

/// Services of the demo.
pub(crate) const SERVICES: usize = 16;

/// All that the table has of an instance besides its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    pub(crate) tier: u8,
    pub(crate) weight: u32,
}

/// The one place of the instance with this id (as the table has it: hashed). Every other service is IPv6, whose address
/// fills both of its words. Two different ids agree in a field by chance only: 1 in 256 for the tier, less for others.
pub(crate) fn place(service: usize, id: u64) -> Place {
    let first = mix(id ^ mix(service as u64));
    let second = mix(first);
    let ip = if service.is_multiple_of(2) {
        let [a, b, c, ..] = first.to_le_bytes();
        IpAddr::V4(Ipv4Addr::new(10, a, b, c))
    } else {
        let unique_local = 0xfd << 120 | u128::from(first >> 8) << 64 | u128::from(second);
        IpAddr::V6(Ipv6Addr::from_bits(unique_local))
    };
    let port = 1024 + (second >> 32) as u16 % 60_000;
    Place {
        address: SocketAddr::new(ip, port),
        tier: (second >> 48) as u8,
        weight: 1 + (second >> 56) as u32,
    }
}

/// Spreads every bit over the whole word (the finalizer of SplitMix64).
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// Judges every answer that it is given. Allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// The last good answer for each service.
    last: [Option<Resolved>; SERVICES],
    pub(crate) tally: Tally,
}

/// What an oracle has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Answers judged.
    pub(crate) checked: u64,
    /// Records that no instance of the service ever had, or that differ within one publication.
    pub(crate) torn: u64,
    /// Records of an older publication than one seen before.
    pub(crate) back: u64,
    /// Answers that a name fixed by a view must never give again once it was published.
    pub(crate) gone: u64,
    /// Confirmed-empty answers: right ones.
    pub(crate) empty: u64,
    /// Reads that the writer overtook in every round: allowed, and rare.
    pub(crate) busy: u64,
    /// Publications that came into sight.
    pub(crate) changes: u64,
}

impl Oracle {
    #[inline]
    pub(crate) fn check(&mut self, service: usize, answer: Result<Resolved, ResolveError>) {
        self.tally.checked += 1;
        match answer {
            // Word for word what was found good before.
            Ok(resolved) if self.last[service] == Some(resolved) => {}
            Ok(resolved) => self.check_new(service, resolved),
            Err(ResolveError::Empty) => self.tally.empty += 1,
            Err(ResolveError::Busy) => self.tally.busy += 1,
            Err(ResolveError::Gone | ResolveError::Never) => self.tally.gone += 1,
        }
    }

    fn check_new(&mut self, service: usize, resolved: Resolved) {
        let (generation, id) = (resolved.generation(), resolved.id());
        let expected = place(service, id);
        if resolved.address().socket_addr() != expected.address
            || resolved.tier() != expected.tier
            || resolved.endpoints() == 0
        {
            self.tally.torn += 1;
            return;
        }
        if let Some(last) = &self.last[service] {
            // How the service stands may change within a publication; what was published may not.
            let same = (last.id(), last.endpoints()) == (id, resolved.endpoints());
            if generation < last.generation() {
                self.tally.back += 1;
                return;
            }
            if generation == last.generation() && !same {
                self.tally.torn += 1;
                return;
            }
            self.tally.changes += u64::from(generation > last.generation());
        }
        self.last[service] = Some(resolved);
    }

    /// As [`Oracle::check`], for an endpoint of a service's set.
    pub(crate) fn check_endpoint(&mut self, service: usize, endpoint: &Endpoint) {
        self.tally.checked += 1;
        let found = Place {
            address: endpoint.address().socket_addr(),
            tier: endpoint.tier(),
            weight: endpoint.weight(),
        };
        self.tally.torn += u64::from(found != place(service, endpoint.id()));
    }
}

#[cfg(test)]
mod tests {
    use resolver_core::{Capacity, Standing, Table, heap};

    use super::*;

    fn endpoint(place: Place, id: u64) -> Endpoint {
        Endpoint::new(place.address).with_id(id).with_tier(place.tier).with_weight(place.weight)
    }

    /// What a reader finds where these sets were published one after the other.
    fn answers(sets: &[&[Endpoint]]) -> Vec<Result<Resolved, ResolveError>> {
        let memory = heap(Capacity::SMALL.lines());
        let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1).expect("new").split();
        let handle = writer.add("s").expect("room");
        let mut resolve = |set: &&[Endpoint]| {
            writer.publish(handle, set, Standing::FRESH, b"").expect("room");
            reader.resolve(handle)
        };
        sets.iter().map(&mut resolve).collect()
    }

    fn tally(service: usize, answers: &[Result<Resolved, ResolveError>]) -> Tally {
        let mut oracle = Oracle::default();
        answers.iter().for_each(|answer| oracle.check(service, *answer));
        oracle.tally
    }

    #[test]
    fn what_was_published_passes() {
        let good = |id| endpoint(place(3, id), id);
        let found = tally(3, &answers(&[&[good(1)], &[good(2), good(1)], &[]]));
        assert_eq!(found, Tally { checked: 3, changes: 1, empty: 1, ..Tally::default() });
    }

    #[test]
    fn a_planted_torn_record_is_seen() {
        for service in [0, 1] {
            let (one, other) = (place(service, 1), place(service, 2));
            let mut mixed_port = one.address;
            mixed_port.set_port(other.address.port());
            let mixtures = [
                endpoint(one, 2),
                endpoint(Place { address: mixed_port, ..one }, 1),
                endpoint(Place { tier: other.tier, ..one }, 1),
            ];
            for mixed in mixtures {
                assert_eq!(tally(service, &answers(&[&[mixed]])).torn, 1, "{mixed:?}");
            }
        }
        let (IpAddr::V6(one), IpAddr::V6(other)) = (place(1, 1).address.ip(), place(1, 2).address.ip())
        else {
            panic!("every other service is IPv6")
        };
        let half = u128::from(u64::MAX);
        let mixed = Ipv6Addr::from_bits(one.to_bits() & !half | other.to_bits() & half);
        let address = SocketAddr::new(mixed.into(), place(1, 1).address.port());
        let mixed = endpoint(Place { address, ..place(1, 1) }, 1);
        assert_eq!(tally(1, &answers(&[&[mixed]])).torn, 1, "half of an address");

        let mut oracle = Oracle::default();
        oracle.check_endpoint(1, &mixed);
        oracle.check_endpoint(1, &endpoint(Place { weight: 0, ..place(1, 1) }, 1));
        oracle.check_endpoint(1, &endpoint(place(1, 1), 1));
        assert_eq!((oracle.tally.torn, oracle.tally.checked), (2, 3));
    }

    #[test]
    fn another_services_record_is_seen() {
        assert_eq!(tally(2, &answers(&[&[endpoint(place(4, 1), 1)]])).torn, 1);
    }

    #[test]
    fn two_records_of_one_publication_are_seen() {
        let good = |id| endpoint(place(0, id), id);
        let (one, other) = (answers(&[&[good(1)]]), answers(&[&[good(2)]]));
        let longer = answers(&[&[good(1), good(2)]]);
        assert_eq!(tally(0, &[one[0], other[0]]).torn, 1);
        assert_eq!(tally(0, &[one[0], longer[0]]).torn, 1, "the length of another set");
    }

    #[test]
    fn a_step_back_is_seen() {
        let good = |id| endpoint(place(0, id), id);
        let found = answers(&[&[good(1)], &[good(2)]]);
        assert_eq!(tally(0, &[found[0], found[1], found[0], found[1]]).back, 1);
        assert_eq!(tally(0, &[found[0], Err(ResolveError::Gone), Err(ResolveError::Never)]).gone, 2);
    }
}
