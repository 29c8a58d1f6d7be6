//! What the table should hold for a service, and every question about it.

use resolver_core::pick::{Failover, Maglev, PickError, Random, Rendezvous, RoundRobin, Smooth, Weighted};
use resolver_core::{Endpoint, Handle, Reader, Reason, ResolveError, State};

use crate::steps::PLACES;

#[derive(Clone, Debug)]
pub struct Service {
    pub handle: Handle,
    pub state: State,
    pub reason: Reason,
    pub ports: Vec<u16>,
    pub active: usize,
    pub smooth: bool,
    pub maglev: bool,
    pub text: Vec<u8>,
    pub generation: u64,
}

impl Service {
    pub fn compare(&self, reader: &Reader<'_>) {
        let (state, reason, _, generation) = reader.standing(self.handle).expect("it stands");
        assert_eq!((state, reason), (self.state, self.reason));
        if self.ports.is_empty() {
            let why = if self.state == State::Never { ResolveError::Never } else { ResolveError::Empty };
            assert_eq!(reader.resolve(self.handle), Err(why));
            assert_eq!(reader.set(self.handle).map(|set| set.len()), Err(why));
            return;
        }
        assert_eq!(generation, self.generation);
        let resolved = reader.resolve(self.handle).expect("it has a set");
        assert_eq!((resolved.state(), resolved.reason(), resolved.generation()), (state, reason, generation));
        assert_eq!((resolved.address().port(), resolved.endpoints()), (self.ports[0], self.active));
        let set = reader.set(self.handle).expect("it has a set");
        assert_eq!(set.all(), Ok(self.ports.len()));
        let ports: Vec<u16> =
            set.into_iter().map(|endpoint| endpoint.expect("nobody writes").address().port()).collect();
        assert_eq!(ports, self.ports[..self.active]);
        assert_eq!(reader.warm(self.handle), self.active);
        self.compare_picks(reader);
        let mut text = [0; 256];
        let length = reader.text(self.handle, &mut text).expect("it has a set");
        assert_eq!(&text[..length], self.text);
    }

    fn compare_picks(&self, reader: &Reader<'_>) {
        let active = &self.ports[..self.active];
        let port = |endpoint: Endpoint| endpoint.address().port();
        let mut round_robin = RoundRobin::new();
        let taken = active.iter().map(|_| round_robin.pick(reader, self.handle).map(port));
        assert_eq!(taken.collect::<Result<Vec<_>, _>>().as_deref(), Ok(active));
        let mut failover = Failover::new();
        for wanted in &self.ports {
            assert_eq!(failover.pick(reader, self.handle).map(port), Ok(*wanted));
            failover.failed();
        }
        assert_eq!(failover.pick(reader, self.handle), Err(PickError::NoneAccepted));
        // All have one weight, so the smooth order is that of the set.
        let mut smooth = Smooth::new();
        for wanted in active.iter().chain(active) {
            let wanted = if self.smooth { Ok(*wanted) } else { Err(PickError::NoTable) };
            assert_eq!(smooth.pick(reader, self.handle).map(port), wanted);
        }
        let (mut one, mut other) = (Maglev::new(), Maglev::new());
        let (mut random, mut weighted) = (Random::new(7), Weighted::new(7));
        for key in 0..8 {
            let by_key = one.pick(reader, self.handle, key).map(port);
            assert_eq!(other.pick(reader, self.handle, key).map(port), by_key);
            assert_eq!(by_key.is_ok_and(|port| active.contains(&port)), self.maglev);
            assert!(self.maglev || by_key == Err(PickError::NoTable));
            for picked in [
                random.pick(reader, self.handle),
                weighted.pick(reader, self.handle),
                Rendezvous::pick(reader, self.handle, key),
            ] {
                assert!(picked.is_ok_and(|endpoint| active.contains(&port(endpoint))));
            }
        }
        let last = active[active.len() - 1];
        let only = round_robin.pick_where(reader, self.handle, |endpoint| endpoint.address().port() == last);
        assert_eq!(only.map(port), Ok(last));
        let none = random.pick_where(reader, self.handle, |_| false);
        assert_eq!(none, Err(PickError::NoneAccepted));
    }

    /// Leaves of its block.
    pub fn leaves(&self) -> usize {
        let text = (1 + self.text.len().div_ceil(8)).div_ceil(8);
        let tables = if self.maglev { PLACES.div_ceil(28) as usize } else { 0 }
            + if self.smooth { self.active.div_ceil(28) } else { 0 };
        let index = usize::from(tables > 0 || self.active < self.ports.len());
        let set = self.ports.len() + index + tables;
        set.max(if self.text.is_empty() { 0 } else { text }).next_power_of_two()
    }
}
