//! What the engine itself costs: reactor turns over LUNs without a transport, per I/O.
//!
//! `turn` has one LUN at queue depth 1 and 32. `luns` keeps 32 I/Os in flight over ever more LUNs,
//! each with a local device of its own, so that a turn's cost per LUN that has nothing to do shows;
//! `shared` has its LUNs on paths of one nexus, as namespaces of one controller are.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;
use umpio::base::request::{Op, Token};
use umpio::engine::reactor::{LunSpec, Reactor, ReactorConfig};
use umpio::lun::plane::empty_request;
use umpio::lun::policy::{Policy, PolicySpec};
use umpio::lun::port::{PortId, Ports};
use umpio::sys::iobuf::IoBuf;

const BLOCKS: u32 = 8;

struct Rig {
    reactor: Reactor,
    ports: Vec<PortId>,
    idle: Vec<Token>,
    next: usize,
    lba: u64,
}

impl Rig {
    /// `luns` LUNs over `paths` paths each; `url` makes the URL of a LUN's path.
    fn new(luns: usize, paths: usize, depth: usize, url: impl Fn(usize, usize) -> String) -> Self {
        let mut reactor = Reactor::new(ReactorConfig::default()).expect("descriptors");
        let mut ports = Vec::with_capacity(luns);
        for lun in 0..luns {
            let spec = LunSpec {
                name: format!("lun{lun}"),
                urls: (0..paths).map(|p| url(lun, p)).collect(),
                policy: Some(PolicySpec::new(Policy::RoundRobin)),
                ..LunSpec::default()
            };
            let id = reactor.open_lun(&spec).expect("local paths open");
            reactor
                .await_paths(id, Duration::from_secs(5))
                .expect("local paths join");
            ports.push(reactor.open_port(id));
        }
        let request = |_| {
            let mut t = empty_request();
            t.op = Op::Read;
            t.blocks = BLOCKS;
            t.data.push(IoBuf::zeroed(BLOCKS as usize * 512));
            t
        };
        Self {
            reactor,
            ports,
            idle: (0..depth).map(request).collect(),
            next: 0,
            lba: 0,
        }
    }

    /// As many I/Os as the rig's depth: handed in together, and polled for until all are back.
    fn round(&mut self) {
        let depth = self.idle.len();
        let first = self.next;
        let used = depth.min(self.ports.len());
        for (n, mut t) in self.idle.drain(..).enumerate() {
            self.lba = (self.lba + 12_345 * u64::from(BLOCKS)) % 100_000;
            t.lba = self.lba;
            let port = self.ports[(first + n) % self.ports.len()];
            self.reactor.plane().submit(port, t);
        }
        self.next = (first + used) % self.ports.len();
        while self.idle.len() < depth {
            self.reactor.poll();
            for n in 0..used {
                let port = self.ports[(first + n) % self.ports.len()];
                self.reactor.plane().completions(port, &mut self.idle);
            }
        }
        assert!(self.idle[0].result.is_ok());
    }
}

fn uuid(lun: usize) -> String {
    format!("{:032x}", lun + 1)
}

fn turn(c: &mut Criterion) {
    let mut group = c.benchmark_group("turn");
    for device in ["null", "mem"] {
        for depth in [1, 32] {
            let mut rig = Rig::new(1, 1, depth, |_, _| format!("{device}:64M"));
            group.throughput(Throughput::Elements(depth as u64));
            group.bench_function(BenchmarkId::new(device, depth), |b| b.iter(|| rig.round()));
        }
    }
    let mut idle = Rig::new(1, 1, 1, |_, _| "null:64M".to_owned());
    group.throughput(Throughput::Elements(1));
    group.bench_function("nothing to do", |b| b.iter(|| idle.reactor.poll()));
    group.finish();
}

fn luns(c: &mut Criterion) {
    let mut group = c.benchmark_group("luns");
    group.throughput(Throughput::Elements(32));
    for luns in [1, 10, 100, 1000] {
        let mut rig = Rig::new(luns, 1, 32, |lun, _| format!("null:64M?uuid={}", uuid(lun)));
        group.bench_function(BenchmarkId::from_parameter(luns), |b| {
            b.iter(|| rig.round())
        });
    }
    for luns in [10, 100, 1000] {
        let mut rig = Rig::new(luns, 1, 32, |_, _| "null:64M".to_owned());
        group.bench_function(BenchmarkId::new("shared", luns), |b| b.iter(|| rig.round()));
    }
    group.finish();
}

criterion_group!(benches, turn, luns);
criterion_main!(benches);
