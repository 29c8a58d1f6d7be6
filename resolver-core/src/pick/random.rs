//! Any one, and the less loaded of any two.

use super::{PickError, Seen, accepted, from_set};
use crate::error::ResolveError;
use crate::handle::Handle;
use crate::reader::Reader;
use crate::record::Endpoint;
use crate::set::Set;

/// A step of a Weyl sequence, hashed by a folded multiplication: one multiplication a draw, eight bytes of state. For
/// spreading load, not for secrets.
#[derive(Clone, Debug)]
struct Draws {
    state: u64,
}

impl Draws {
    const fn new(seed: u64) -> Self {
        Draws { state: seed }
    }

    #[inline(always)]
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0xa076_1d64_78bd_642f);
        let wide = u128::from(self.state) * u128::from(self.state ^ 0xe703_7ed1_a0b4_28db);
        wide as u64 ^ (wide >> 64) as u64
    }
}

/// A place below `length`, from 32 random bits: a multiplication in place of a division. The bias is below one in
/// 65,000 for the longest set.
#[inline(always)]
fn below(length: usize, bits: u64) -> usize {
    (((bits & 0xffff_ffff) * length as u64) >> 32) as usize
}

/// Picks any endpoint of a set, each as likely.
#[derive(Clone, Debug)]
pub struct Random {
    draws: Draws,
    seen: Seen,
}

impl Random {
    /// The same seed draws the same sequence: give each thread its own.
    pub const fn new(seed: u64) -> Self {
        Random { draws: Draws::new(seed), seen: Seen::from(0) }
    }

    /// Any endpoint.
    ///
    /// # Progress
    ///
    /// Wait-free: at most 16 rounds of the head and a leaf.
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`].
    #[inline(always)]
    pub fn pick(&mut self, reader: &Reader<'_>, handle: Handle) -> Result<Endpoint, ResolveError> {
        let bits = self.draws.next();
        self.seen.pick_plain(reader, handle, bits, |set, _, bits| set.at(below(set.len(), bits)))
    }

    /// Any endpoint that `accept` is true of, each as likely.
    ///
    /// # Progress
    ///
    /// Wait-free, if `accept` is: at most 16 rounds of the whole set.
    ///
    /// # Errors
    ///
    /// [`PickError::NoneAccepted`]; else as [`Reader::resolve`].
    #[inline]
    pub fn pick_where(
        &mut self,
        reader: &Reader<'_>,
        handle: Handle,
        mut accept: impl FnMut(&Endpoint) -> bool,
    ) -> Result<Endpoint, PickError> {
        accepted(from_set(reader, handle, |set: &Set<'_>| {
            let (mut held, mut seen) = (None, 0);
            for place in 0..set.len() {
                let endpoint = set.at(place)?;
                if accept(&endpoint) {
                    seen += 1;
                    // The n-th takes the place with a probability of one in n.
                    if below(seen, self.draws.next()) == 0 {
                        held = Some(endpoint);
                    }
                }
            }
            Ok(held)
        }))
    }
}

/// Picks any endpoint of a set, each as likely as its weight says. The publisher has made the alias table: a pick draws once,
/// and reads one endpoint's line or two, however long the set.
///
/// ```
/// # use resolver_core::{Capacity, Endpoint, Standing, Table, heap};
/// use resolver_core::pick::Weighted;
///
/// # let memory = heap(Capacity::SMALL.lines());
/// # let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
/// # let oms = writer.add("oms")?;
/// # let set = [Endpoint::new("10.0.0.1:9000".parse()?).with_weight(0), Endpoint::new("10.0.0.2:9000".parse()?)];
/// # writer.publish(oms, &set, Standing::FRESH, b"")?;
/// let mut picker = Weighted::new(7);
/// assert_eq!(picker.pick(&reader, oms)?.weight(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Weighted {
    draws: Draws,
    seen: Seen,
}

impl Weighted {
    /// The same seed draws the same sequence: give each thread its own.
    pub const fn new(seed: u64) -> Self {
        Weighted { draws: Draws::new(seed), seen: Seen::from(0) }
    }

    /// An endpoint by weight. One of weight 0 is picked only where every weight is 0.
    ///
    /// # Progress
    ///
    /// Wait-free: at most 16 rounds of the head and two leaves.
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`].
    #[inline(always)]
    pub fn pick(&mut self, reader: &Reader<'_>, handle: Handle) -> Result<Endpoint, ResolveError> {
        let bits = self.draws.next();
        self.seen.pick_plain(reader, handle, bits, |set, _, bits| {
            let drawn = set.at(below(set.len(), bits >> 32))?;
            if (bits as u32) < drawn.threshold() { Ok(drawn) } else { set.at(usize::from(drawn.alias())) }
        })
    }
}

/// Picks the less loaded of two different endpoints drawn at random: nearly as even as looking at all of them.
///
/// ```
/// # use resolver_core::{Capacity, Endpoint, Standing, Table, heap};
/// use resolver_core::pick::PowerOfTwo;
///
/// # let memory = heap(Capacity::SMALL.lines());
/// # let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
/// # let oms = writer.add("oms")?;
/// # let set = [Endpoint::new("10.0.0.1:9000".parse()?).with_id(0), Endpoint::new("10.0.0.2:9000".parse()?).with_id(1)];
/// # writer.publish(oms, &set, Standing::FRESH, b"")?;
/// let orders_in_flight = [12, 3];
/// let mut picker = PowerOfTwo::new(7);
/// let endpoint = picker.pick(&reader, oms, |endpoint| orders_in_flight[endpoint.id() as usize])?;
/// assert_eq!(endpoint.id(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PowerOfTwo {
    draws: Draws,
    seen: Seen,
}

impl PowerOfTwo {
    /// The same seed draws the same sequence: give each thread its own.
    pub const fn new(seed: u64) -> Self {
        PowerOfTwo { draws: Draws::new(seed), seen: Seen::from(0) }
    }

    /// The one of two with the lower load, as `load` gives it; the first drawn where they are equal. A set of one is
    /// picked without asking.
    ///
    /// # Progress
    ///
    /// Wait-free, if `load` is: at most 16 rounds of the head and two leaves.
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`].
    #[inline(always)]
    pub fn pick(
        &mut self,
        reader: &Reader<'_>,
        handle: Handle,
        mut load: impl FnMut(&Endpoint) -> u64,
    ) -> Result<Endpoint, ResolveError> {
        let bits = self.draws.next();
        self.seen.pick_plain(reader, handle, bits, |set, _, bits| {
            let first = below(set.len(), bits);
            let one = set.at(first)?;
            if set.len() < 2 {
                return Ok(one);
            }
            let second = below(set.len() - 1, bits >> 32);
            let other = set.at(if second < first { second } else { second + 1 })?;
            Ok(if load(&other) < load(&one) { other } else { one })
        })
    }

    /// As [`PowerOfTwo::pick`], among the endpoints that `accept` is true of: any two of them, each pair as likely, of which
    /// `load` is asked. One alone is picked without asking. It looks at the whole set, so it costs what
    /// [`Random::pick_where`] does and not what `pick` does.
    ///
    /// ```
    /// # use resolver_core::{Capacity, Endpoint, Standing, Table, heap};
    /// use resolver_core::pick::{PowerOfTwo, in_zone};
    ///
    /// # let memory = heap(Capacity::SMALL.lines());
    /// # let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
    /// # let oms = writer.add("oms")?;
    /// # let address = "10.0.0.1:9000".parse()?;
    /// # let set = [0, 1, 2].map(|id| Endpoint::new(address).with_id(id).with_zone(if id == 1 { 9 } else { 3 }));
    /// # writer.publish(oms, &set, Standing::FRESH, b"")?;
    /// let orders_in_flight = [12, 0, 3];
    /// let mut picker = PowerOfTwo::new(7);
    /// let load = |endpoint: &Endpoint| orders_in_flight[endpoint.id() as usize];
    /// assert_eq!(picker.pick_where(&reader, oms, in_zone(3), load)?.id(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Progress
    ///
    /// Wait-free, if `accept` and `load` are: at most 16 rounds of the whole set.
    ///
    /// # Errors
    ///
    /// [`PickError::NoneAccepted`]; else as [`Reader::resolve`].
    #[inline]
    pub fn pick_where(
        &mut self,
        reader: &Reader<'_>,
        handle: Handle,
        mut accept: impl FnMut(&Endpoint) -> bool,
        mut load: impl FnMut(&Endpoint) -> u64,
    ) -> Result<Endpoint, PickError> {
        accepted(from_set(reader, handle, |set: &Set<'_>| {
            let (mut one, mut other, mut seen) = (None, None, 0);
            for place in 0..set.len() {
                let endpoint = set.at(place)?;
                if !accept(&endpoint) {
                    continue;
                }
                seen += 1;
                // The n-th takes the place of either with a probability of one in n, so that any two are as likely as any other.
                match if seen <= 2 { seen - 1 } else { below(seen, self.draws.next()) } {
                    0 => one = Some(endpoint),
                    1 => other = Some(endpoint),
                    _ => {}
                }
            }
            let (Some(a), Some(b)) = (one, other) else { return Ok(one) };
            // The first of the set is in the first place more often, which must not decide between equal loads.
            let (a, b) = if below(2, self.draws.next()) == 0 { (a, b) } else { (b, a) };
            Ok(Some(if load(&b) < load(&a) { b } else { a }))
        }))
    }
}
