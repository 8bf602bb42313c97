//! What it costs to write and to read the PDUs of one I/O: nanoseconds per PDU.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use umpio::base::crc::crc32c;
use umpio::proto::nvme::{Cqe, Sqe};
use umpio::proto::nvme_tcp::pdu::{
    CapsuleCmd, CapsuleResp, DataRange, Digests, FLAG_LAST, FLAG_SUCCESS, HEADER_AREA, Header,
    PduType, Repr,
};

const DIGESTS: [(&str, Digests); 2] = [
    ("plain", Digests::NONE),
    (
        "header digest",
        Digests {
            header: true,
            data: false,
        },
    ),
];

fn read_pdu(bytes: &[u8], digests: Digests) -> Repr {
    let header = Header::parse(bytes).expect("valid");
    let layout = header.layout(digests, 4, 1 << 20).expect("valid");
    Repr::parse(&header, &layout, &bytes[..layout.header]).expect("valid")
}

fn emit(c: &mut Criterion) {
    let mut group = c.benchmark_group("emit");
    group.throughput(Throughput::Elements(1));
    let mut out = [0u8; HEADER_AREA];
    group.bench_function("sqe read", |b| {
        b.iter(|| Sqe::read(1, black_box(4096), 7, false).with_cid(black_box(3)))
    });
    let range = DataRange {
        cccid: 3,
        ttag: 0,
        offset: 0,
        len: 4096,
    };
    for (name, d) in DIGESTS {
        group.bench_function(format!("command capsule, {name}"), |b| {
            b.iter(|| {
                let sqe = Sqe::read(1, black_box(4096), 7, false).with_cid(3);
                CapsuleCmd::emit(sqe.as_bytes(), 0, d, 4, black_box(&mut out))
            });
        });
        group.bench_function(format!("data header, {name}"), |b| {
            let flags = FLAG_LAST | FLAG_SUCCESS;
            b.iter(|| {
                black_box(&range).emit_data(PduType::C2hData, flags, d, 4, black_box(&mut out))
            });
        });
    }
    group.finish();
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Elements(1));
    let range = DataRange {
        cccid: 3,
        ttag: 0,
        offset: 0,
        len: 4096,
    };
    for (name, d) in DIGESTS {
        let mut capsule = [0u8; HEADER_AREA];
        CapsuleCmd::emit(Sqe::read(1, 0, 7, false).as_bytes(), 0, d, 4, &mut capsule);
        let mut response = [0u8; HEADER_AREA];
        CapsuleResp::emit(&[0; 16], d, &mut response);
        let mut data = [0u8; HEADER_AREA];
        range.emit_data(PduType::C2hData, FLAG_LAST, d, 4, &mut data);
        for (what, bytes) in [
            ("command capsule", &capsule),
            ("response", &response),
            ("data header", &data),
        ] {
            group.bench_function(format!("{what}, {name}"), |b| {
                b.iter(|| read_pdu(black_box(bytes), d))
            });
        }
    }
    let mut sqe = [0u8; 64];
    Sqe::read(1, 4096, 7, true).emit(&mut sqe).expect("room");
    group.bench_function("sqe read", |b| {
        b.iter(|| {
            let s = Sqe::parse(black_box(&sqe)).expect("valid");
            (s.opcode(), s.cid(), s.nsid(), s.slba(), s.blocks())
        });
    });
    group.bench_function("cqe", |b| b.iter(|| Cqe::parse(black_box(&[0; 16]))));
    group.finish();
}

fn digest(c: &mut Criterion) {
    let mut group = c.benchmark_group("crc32c");
    for len in [4096, 128 << 10] {
        let bytes = vec![0x5Au8; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("{len}"), |b| b.iter(|| crc32c(black_box(&bytes))));
    }
    group.finish();
}

criterion_group!(benches, emit, parse, digest);
criterion_main!(benches);
