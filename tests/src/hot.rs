//! Everything that a router may call between two orders, once each: what must not allocate, call the system or write.

use std::hint::black_box;
use std::time::Duration;

use resolver_core::pick::{
    Failover, Maglev, PowerOfTwo, Random, Rendezvous, RoundRobin, Smooth, Weighted, tagged,
};
use resolver_core::{CachedHandle, Handle, Liveness, Name, Reader, ResolveError, Setting};

/// How many answers [`HotPath::ask`] can give: one of each form, and the walk.
pub const FORMS: usize = 19;

/// A thread's own state of every form: cursors, copies, random numbers.
pub struct HotPath<'m> {
    reader: Reader<'m>,
    handle: Handle,
    cached: CachedHandle<'m>,
    liveness: Liveness,
    round: RoundRobin,
    random: Random,
    weighted: Weighted,
    two: PowerOfTwo,
    smooth: Smooth,
    maglev: Maglev,
    failover: Failover,
    setting: Setting<i64>,
    asked: u64,
    epoch: u64,
}

impl<'m> HotPath<'m> {
    /// For one service, published with a smooth order and a key table, and a setting with a value.
    pub fn new(reader: Reader<'m>, handle: Handle, setting: Setting<i64>) -> Self {
        HotPath {
            reader,
            handle,
            cached: reader.cached(handle),
            liveness: Liveness::new(),
            round: RoundRobin::new(),
            random: Random::new(1),
            weighted: Weighted::new(2),
            two: PowerOfTwo::new(3),
            smooth: Smooth::new(),
            maglev: Maglev::new(),
            failover: Failover::new(),
            setting,
            asked: 0,
            epoch: 0,
        }
    }

    /// Asks once in every form; `name` is the service's. Gives how many answered with an endpoint: [`FORMS`] where nothing
    /// changes meanwhile and the publisher has beaten since the first call.
    pub fn ask(&mut self, name: &str) -> usize {
        let (reader, handle) = (&self.reader, self.handle);
        self.asked += 1;
        // Any clock that goes forward will do; reading one may be a system call.
        self.liveness.poll(reader, Duration::from_nanos(self.asked));
        let fresh = reader.resolve_fresh(handle, Duration::MAX, &self.liveness);
        let found = reader.find(&Name::new(black_box(name)));
        let mut both = [Err(ResolveError::Busy); 2];
        let _ = black_box(reader.together(&[handle; 2], &mut both));
        let since = self.epoch;
        self.epoch = reader.changes_since(since, |changed| {
            black_box(changed);
        });
        let resolved = reader.resolve(handle);
        let _ =
            black_box((reader.warm(handle), resolved.map(|resolved| reader.is_current(handle, &resolved))));
        let walk = reader.set(handle).map_or(0, |set| set.into_iter().flatten().count());
        let _ =
            black_box((reader.epoch(), reader.pulse(), reader.generation(handle), reader.standing(handle)));
        let answers = [
            black_box(reader.resolve(handle)).is_ok(),
            black_box(reader.resolve_address(handle)).is_ok(),
            black_box(reader.resolve_name(&Name::new(black_box(name)))).is_ok(),
            black_box(self.cached.resolve(reader)).is_ok(),
            black_box(fresh).is_ok(),
            black_box(found) == Some(handle),
            black_box(both)[0].is_ok() && both[0] == both[1],
            black_box(walk) > 0,
            black_box(self.round.pick(reader, handle)).is_ok(),
            black_box(self.random.pick(reader, handle)).is_ok(),
            black_box(self.weighted.pick(reader, handle)).is_ok(),
            black_box(self.two.pick(reader, handle, |endpoint| endpoint.id())).is_ok(),
            black_box(Rendezvous::pick(reader, handle, self.asked)).is_ok(),
            black_box(self.smooth.pick(reader, handle)).is_ok(),
            black_box(self.maglev.pick(reader, handle, self.asked)).is_ok(),
            black_box(self.failover.pick(reader, handle)).is_ok(),
            black_box(self.round.pick_where(reader, handle, tagged(0))).is_ok(),
            black_box(reader.get(self.setting)).is_ok(),
            black_box(reader.source(0)).is_some(),
        ];
        const { assert!(FORMS == 19) };
        answers.into_iter().filter(|answered| *answered).count()
    }
}
