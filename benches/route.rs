//! Nanoseconds per choice of a path, for each policy at 2, 8 and 32 paths.
//!
//! `choice` is the choice alone, over loads that differ from nexus to nexus. `choice, counted` adds
//! what the plane does around it: the request is counted on the nexus, and an older one taken off.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use umpio::lun::policy::defaults::Setting;
use umpio::lun::policy::{
    IoShape, NexusLoad, Options, PathInit, Policy, PolicySpec, Selector, VendorPolicy,
};

const PATHS: [usize; 3] = [2, 8, 32];
/// Requests in flight while choices are counted.
const DEPTH: usize = 32;

fn policies() -> Vec<PolicySpec> {
    let windows = Policy::ALL
        .into_iter()
        .filter(|p| *p != Policy::VendorSpecific)
        .map(PolicySpec::new);
    windows
        .chain(VendorPolicy::ALL.into_iter().map(PolicySpec::vendor))
        .collect()
}

fn selector(spec: PolicySpec, paths: usize) -> Selector {
    let mut s = Selector::new(Options::default());
    for n in 0..paths {
        let weight = 1 + (n as u32 * 7) % 5;
        s.add_path(PathInit {
            id: n as u64 + 1,
            nexus: n as u16,
            tpg: 1,
            weight,
        })
        .expect("a new path");
    }
    s.set_explicit(Some(Setting {
        spec,
        preferred: None,
    }))
    .expect("granted on a symmetric LUN");
    assert_eq!(s.policy(), spec);
    s
}

/// Loads with no order in them, so that a scan does not end early by luck.
fn loads(paths: usize) -> Vec<NexusLoad> {
    let load = |n: usize| NexusLoad {
        in_flight: 8 + (n as u32 * 13) % 7,
        outstanding_bytes: 4096 * (8 + (n as u64 * 13) % 7),
        service_ns: 20_000 + (n as u64 * 7919) % 5000,
        sampled_at_ns: 1_000_000,
        oldest_dispatch_ns: 990_000,
        ..NexusLoad::default()
    };
    (0..paths).map(load).collect()
}

/// Reads at places that do not follow each other.
fn shape(n: u64) -> IoShape {
    IoShape::read((n.wrapping_mul(0x9E37_79B9_7F4A_7C15)) >> 40, 8, 512)
}

fn choice(c: &mut Criterion) {
    let mut group = c.benchmark_group("choice");
    group.throughput(Throughput::Elements(1));
    for spec in policies() {
        for paths in PATHS {
            let (mut s, loads, mut n) = (selector(spec, paths), loads(paths), 0);
            group.bench_function(BenchmarkId::new(spec.to_string(), paths), |b| {
                b.iter(|| {
                    n += 1;
                    s.choose(black_box(shape(n)), black_box(&loads), 1_000_000 + n, None)
                });
            });
        }
    }
    group.finish();
}

fn counted(c: &mut Criterion) {
    let mut group = c.benchmark_group("choice, counted");
    group.throughput(Throughput::Elements(1));
    for spec in policies() {
        for paths in PATHS {
            let (mut s, mut loads, mut n) = (
                selector(spec, paths),
                vec![NexusLoad::default(); paths],
                0u64,
            );
            // The path and the shape of each request in flight, by place in a ring.
            let mut ring: [Option<(usize, IoShape)>; DEPTH] = [None; DEPTH];
            group.bench_function(BenchmarkId::new(spec.to_string(), paths), |b| {
                b.iter(|| {
                    n += 1;
                    let (now, place, io) = (1_000_000 + n * 500, n as usize % DEPTH, shape(n));
                    if let Some((nexus, io)) = ring[place].take() {
                        loads[nexus].on_complete(&io, DEPTH as u64 * 500, now);
                    }
                    let nexus = s
                        .choose(io, &loads, now, None)
                        .expect("every path is up")
                        .index();
                    loads[nexus].on_dispatch(&io, now);
                    ring[place] = Some((nexus, io));
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, choice, counted);
criterion_main!(benches);
