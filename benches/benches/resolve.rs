//! Criterion's own reports of `resolve()`: `cargo bench -p resolver-benches`. For ratios use the `ratios` binary, which
//! pairs its batches; criterion runs one case after the other, and a noisy machine changes in between.

#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion_group makes public functions of its own")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::RwLock;

use arc_swap::ArcSwap;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use resolver_benches::writer::{Rate, pin};
use resolver_benches::{Memory, Services, TornLine, consume, consume_address, fold, publish};
use resolver_core::Name;

fn resolve(criterion: &mut Criterion) {
    for written in [false, true] {
        for count in [16u32, 1024] {
            let memory = Memory::for_services(count);
            let services = Services::new(&memory);
            let rate = Rate::new(1_000_000);
            std::thread::scope(|scope| {
                let Services { mut writer, reader, handles, names } = services;
                if written {
                    let (handles, rate) = (handles.clone(), &rate);
                    scope.spawn(move || {
                        pin(1);
                        rate.keep(|n| publish(&mut writer, handles[n as usize * 389 % handles.len()], n));
                    });
                }
                pin(0);
                let mask = handles.len() - 1;
                let mut i = 0usize;
                let mut next = move || {
                    i = i.wrapping_add(389);
                    i & mask
                };
                let lines: Vec<TornLine> = (0..count).map(|_| TornLine::default()).collect();
                let swaps: Vec<_> = (0..count).map(|i| ArcSwap::from_pointee([u64::from(i); 7])).collect();
                let map: RwLock<HashMap<String, [u64; 7]>> =
                    RwLock::new(names.iter().map(|name| (name.clone(), [1; 7])).collect());
                let load = if written { "1M writes a second" } else { "idle" };
                let mut group = criterion.benchmark_group(format!("resolve, {load}"));
                let id = |name| BenchmarkId::new(name, count);
                group.bench_function(id("torn line"), |b| b.iter(|| lines[black_box(next())].fold::<8>()));
                group.bench_function(id("handle"), |b| {
                    b.iter(|| consume(reader.resolve(handles[black_box(next())])))
                });
                group.bench_function(id("handle, address only"), |b| {
                    b.iter(|| consume_address(reader.resolve_address(handles[black_box(next())])));
                });
                group.bench_function(id("name"), |b| {
                    b.iter(|| consume(reader.resolve_name(&Name::new(&names[black_box(next())]))));
                });
                group.bench_function(id("arc-swap load"), |b| {
                    b.iter(|| fold(**swaps[black_box(next())].load()))
                });
                group.bench_function(id("RwLock<HashMap>"), |b| {
                    b.iter(|| {
                        let map = map.read().expect("nobody panics with it");
                        map.get(&names[black_box(next())]).map(|record| fold(*record))
                    });
                });
                group.finish();
                rate.stop();
            });
        }
    }
}

criterion_group!(benches, resolve);
criterion_main!(benches);
