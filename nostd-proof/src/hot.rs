//! What a router calls between two orders, each as a function that the disassembly shows: they must call nothing that panics,
//! and compute nothing in floating point.

use core::time::Duration;

use resolver_core::pick::{
    Failover, Maglev, PickError, PowerOfTwo, Random, Rendezvous, RoundRobin, Smooth, Weighted, tagged,
};
use resolver_core::{
    Address, Bytes, CachedHandle, Endpoint, FreshError, Handle, Liveness, Name, Reader, ResolveError,
    Resolved, Setting,
};

#[unsafe(export_name = "hot_resolve")]
#[inline(never)]
pub fn resolve(reader: &Reader<'_>, handle: Handle) -> Result<Resolved, ResolveError> {
    reader.resolve(handle)
}

#[unsafe(export_name = "hot_address")]
#[inline(never)]
pub fn address(reader: &Reader<'_>, handle: Handle) -> Result<Address, ResolveError> {
    reader.resolve_address(handle)
}

#[unsafe(export_name = "hot_cached")]
#[inline(never)]
pub fn cached(cached: &mut CachedHandle<'_>, reader: &Reader<'_>) -> Result<Resolved, ResolveError> {
    cached.resolve(reader)
}

#[unsafe(export_name = "hot_fresh")]
#[inline(never)]
pub fn fresh(
    reader: &Reader<'_>,
    handle: Handle,
    age: Duration,
    liveness: &Liveness,
) -> Result<Resolved, FreshError> {
    reader.resolve_fresh(handle, age, liveness)
}

#[unsafe(export_name = "hot_name")]
#[inline(never)]
pub fn name(reader: &Reader<'_>, name: &Name<'_>) -> Result<Resolved, ResolveError> {
    reader.resolve_name(name)
}

#[unsafe(export_name = "hot_place")]
#[inline(never)]
pub fn place(reader: &Reader<'_>, handle: Handle, place: usize) -> u64 {
    let endpoint = reader.set(handle).ok().and_then(|set| set.get(place)?.ok());
    endpoint.map_or(0, |endpoint| endpoint.id())
}

#[unsafe(export_name = "hot_walk")]
#[inline(never)]
pub fn walk(reader: &Reader<'_>, handle: Handle) -> u64 {
    let Ok(set) = reader.set(handle) else { return 0 };
    set.into_iter().flatten().fold(0, |sum, endpoint| sum ^ endpoint.id())
}

#[unsafe(export_name = "hot_together")]
#[inline(never)]
pub fn together(
    reader: &Reader<'_>,
    handles: &[Handle],
    into: &mut [Result<Resolved, ResolveError>],
) -> Result<u64, ResolveError> {
    reader.together(handles, into)
}

#[unsafe(export_name = "hot_round_robin")]
#[inline(never)]
pub fn round_robin(
    picker: &mut RoundRobin,
    reader: &Reader<'_>,
    handle: Handle,
) -> Result<Endpoint, ResolveError> {
    picker.pick(reader, handle)
}

#[unsafe(export_name = "hot_random")]
#[inline(never)]
pub fn random(picker: &mut Random, reader: &Reader<'_>, handle: Handle) -> Result<Endpoint, ResolveError> {
    picker.pick(reader, handle)
}

#[unsafe(export_name = "hot_weighted")]
#[inline(never)]
pub fn weighted(
    picker: &mut Weighted,
    reader: &Reader<'_>,
    handle: Handle,
) -> Result<Endpoint, ResolveError> {
    picker.pick(reader, handle)
}

#[unsafe(export_name = "hot_two_choices")]
#[inline(never)]
pub fn two_choices(
    picker: &mut PowerOfTwo,
    reader: &Reader<'_>,
    handle: Handle,
) -> Result<Endpoint, ResolveError> {
    picker.pick(reader, handle, |endpoint| endpoint.id())
}

#[unsafe(export_name = "hot_rendezvous")]
#[inline(never)]
pub fn rendezvous(reader: &Reader<'_>, handle: Handle, key: u64) -> Result<Endpoint, ResolveError> {
    Rendezvous::pick(reader, handle, key)
}

#[unsafe(export_name = "hot_epoch")]
#[inline(never)]
pub fn epoch(reader: &Reader<'_>) -> u64 {
    reader.epoch()
}

#[unsafe(export_name = "hot_pulse")]
#[inline(never)]
pub fn pulse(reader: &Reader<'_>) -> u64 {
    reader.pulse()
}

#[unsafe(export_name = "hot_smooth")]
#[inline(never)]
pub fn smooth(picker: &mut Smooth, reader: &Reader<'_>, handle: Handle) -> Result<Endpoint, PickError> {
    picker.pick(reader, handle)
}

#[unsafe(export_name = "hot_maglev")]
#[inline(never)]
pub fn maglev(
    picker: &mut Maglev,
    reader: &Reader<'_>,
    handle: Handle,
    key: u64,
) -> Result<Endpoint, PickError> {
    picker.pick(reader, handle, key)
}

#[unsafe(export_name = "hot_failover")]
#[inline(never)]
pub fn failover(picker: &mut Failover, reader: &Reader<'_>, handle: Handle) -> Result<Endpoint, PickError> {
    picker.pick(reader, handle)
}

#[unsafe(export_name = "hot_tagged")]
#[inline(never)]
pub fn in_turn_where_tagged(
    picker: &mut RoundRobin,
    reader: &Reader<'_>,
    handle: Handle,
    mask: u64,
) -> Result<Endpoint, PickError> {
    picker.pick_where(reader, handle, tagged(mask))
}

#[unsafe(export_name = "hot_setting")]
#[inline(never)]
pub fn setting(reader: &Reader<'_>, setting: Setting<i64>) -> Result<i64, ResolveError> {
    reader.get(setting)
}

#[unsafe(export_name = "hot_bytes")]
#[inline(never)]
pub fn bytes(reader: &Reader<'_>, setting: Setting<Bytes>) -> u8 {
    reader.get(setting).map_or(0, |value| value.as_slice().iter().fold(0, |sum, byte| sum ^ byte))
}

#[unsafe(export_name = "hot_is_current")]
#[inline(never)]
pub fn is_current(reader: &Reader<'_>, handle: Handle, resolved: &Resolved) -> bool {
    reader.is_current(handle, resolved)
}

#[unsafe(export_name = "hot_changes")]
#[inline(never)]
pub fn changes(reader: &Reader<'_>, since: u64, count: &mut u64) -> u64 {
    reader.changes_since(since, |handle| *count ^= handle.to_bits())
}
