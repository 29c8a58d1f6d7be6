//! The same endpoint for the same key.

use super::from_set;
use crate::error::ResolveError;
use crate::handle::Handle;
use crate::reader::Reader;
use crate::record::Endpoint;

/// Picks by highest random weight: each endpoint is hashed with the key, and the highest wins. A key changes its endpoint
/// only when that endpoint leaves or a newcomer wins, whatever the order of the set. Looks at every endpoint, so it is for
/// short sets.
///
/// ```
/// # use resolver_core::{Capacity, Endpoint, Standing, Table, heap};
/// use resolver_core::pick::Rendezvous;
///
/// # let memory = heap(Capacity::SMALL.lines());
/// # let (mut writer, reader) = Table::create(&memory, &Capacity::SMALL, 1)?.split();
/// # let oms = writer.add("oms")?;
/// # let set = ["10.0.0.1:9000".parse()?, "10.0.0.2:9000".parse()?].map(Endpoint::new);
/// # writer.publish(oms, &set, Standing::FRESH, b"")?;
/// let account = 4711;
/// assert_eq!(Rendezvous::pick(&reader, oms, account)?, Rendezvous::pick(&reader, oms, account)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Rendezvous;

impl Rendezvous {
    /// The endpoint of this key. Endpoints are told apart by [`Endpoint::id`].
    ///
    /// # Progress
    ///
    /// Wait-free: at most 16 rounds of the head and every cell of the set.
    ///
    /// # Errors
    ///
    /// As [`Reader::resolve`].
    #[inline]
    pub fn pick(reader: &Reader<'_>, handle: Handle, key: u64) -> Result<Endpoint, ResolveError> {
        from_set(reader, handle, |set| {
            let mut best = set.at(0)?;
            let mut highest = weight(key, best.id());
            for place in 1..set.len() {
                let endpoint = set.at(place)?;
                let weight = weight(key, endpoint.id());
                // Of two with one weight the smaller id wins, in whatever order they come.
                if (weight, best.id()) > (highest, endpoint.id()) {
                    (best, highest) = (endpoint, weight);
                }
            }
            Ok(best)
        })
    }
}

/// Two folded multiplications. Every process and every binding must agree on it.
#[inline(always)]
fn weight(key: u64, id: u64) -> u64 {
    const K: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9];
    let fold = |a: u64, b: u64| {
        let wide = u128::from(a) * u128::from(b);
        wide as u64 ^ (wide >> 64) as u64
    };
    fold(fold(key ^ K[0], K[1]) ^ id, K[0])
}
