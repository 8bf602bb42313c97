//! Every `parse` meets 100 000 buffers, half of them noise of any length, half of them valid
//! structures with a few bytes changed and the end cut off. None may panic; whatever is accepted
//! has to read the same again after it was written.

use super::super::ana::AnaLogParser;
use super::super::ccr::{CcrLogEntry, CcrStatus, emit_ccr_log, parse_ccr_log};
use super::super::dsm::{DsmRange, emit_ranges, parse_ranges};
use super::super::fabrics::{ConnectData, ConnectResponse, InvalidParameter};
use super::super::features::{GetFeatures, HostBehavior, NumberOfQueues, SetFeatures};
use super::super::identify::{Identify, IdentifyController, IdentifyNamespace, NsList};
use super::super::ns_desc::{NsDescriptors, emit_ns_descriptors};
use super::super::property::{PropertyGet, PropertySet};
use super::super::*;
use super::structures::{DESCRIPTORS, LIMITS, ana_log, connect_data, controller, namespace};

const ROUNDS: u32 = 100_000;
const LEN_MAX: usize = 4200;

/// splitmix64: enough for noise, and the same on every machine.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn fill(&mut self, buf: &mut [u8]) {
        for piece in buf.chunks_mut(8) {
            piece.copy_from_slice(&self.next().to_le_bytes()[..piece.len()]);
        }
    }
}

/// One valid buffer of each kind.
fn valid() -> Vec<Vec<u8>> {
    let page = || vec![0; 4096];
    let mut all = Vec::new();
    let mut add = |write: &dyn Fn(&mut [u8])| {
        let mut buf = page();
        write(&mut buf);
        all.push(buf);
    };
    add(&|b| controller().emit(b).unwrap());
    add(&|b| namespace().emit(b).unwrap());
    add(&|b| connect_data().emit(b).unwrap());
    add(&|b| emit_ns_descriptors(b, &DESCRIPTORS).unwrap());
    add(&|b| assert!(identify::emit_ns_list(b, 1..=1024).unwrap() > 0));
    add(&|b| assert!(ana_log(b) > 0));
    add(&|b| assert!(emit_ranges(b, &[DsmRange { slba: 1, blocks: 2 }; 256]).unwrap() > 0));
    let entry = CcrLogEntry {
        icid: 1,
        ciu: 2,
        acid: 3,
        status: CcrStatus::Failed,
        flags: 0,
    };
    add(&|b| assert!(emit_ccr_log(b, &[entry; 511]).unwrap() > 0));
    for sqe in [
        Sqe::read(1, 2, 3, true),
        fabrics::Connect {
            qid: 0,
            sqsize0: 31,
            cattr: 0,
            kato_ms: 5000,
        }
        .to_sqe(),
        PropertyGet {
            size: fabrics::PropertySize::Qword,
            offset: 0,
        }
        .to_sqe(),
        ana::get_ana_log(64, 4096).to_sqe(),
        CrossControllerReset {
            icid: 1,
            ciu: 2,
            cirn: 3,
        }
        .to_sqe(),
        features::keep_alive_timer(1).to_sqe(),
        Identify::new(Cns::NAMESPACE, 1).to_sqe(),
    ] {
        all.push(sqe.as_bytes().to_vec());
    }
    all
}

/// A buffer that is written again reads the same.
macro_rules! again {
    ($type:ty, $buf:expr, $scratch:expr) => {
        if let Ok(first) = <$type>::parse($buf) {
            first.emit($scratch).unwrap();
            assert_eq!(<$type>::parse($scratch), Ok(first));
        }
    };
}

macro_rules! again_sqe {
    ($sqe:expr, $($type:ty),*) => {
        $(if let Ok(first) = <$type>::parse($sqe) {
            assert_eq!(<$type>::parse(&first.to_sqe()), Ok(first));
        })*
    };
}

fn feed_all(buf: &[u8], noise: &mut Noise, scratch: &mut [u8]) {
    again!(Sqe, buf, scratch);
    again!(ConnectData, buf, scratch);
    again!(IdentifyController, buf, scratch);
    again!(IdentifyNamespace, buf, scratch);
    again!(HostBehavior, buf, scratch);
    if let Ok(cqe) = Cqe::parse(buf) {
        cqe.emit(scratch).unwrap();
        assert_eq!(Cqe::parse(scratch), Ok(cqe));
        let _ = AsyncEvent::from_dw0(cqe.dw0()).to_dw0();
        let _ = NumberOfQueues::from_raw(cqe.dw0()).to_raw();
        let _ = (
            InvalidParameter::from_dw0(cqe.dw0()),
            ConnectResponse::from_dw0(cqe.dw0()),
        );
    }
    if let Ok(sqe) = Sqe::parse(buf) {
        again_sqe!(
            &sqe,
            fabrics::Connect,
            PropertyGet,
            PropertySet,
            Identify,
            GetLogPage,
            CrossControllerReset,
            SetFeatures,
            GetFeatures
        );
        let _ = (
            sqe.sgl(),
            sqe.fuse(),
            sqe.blocks(),
            fabrics::fabrics_type(&sqe),
        );
        if let Ok(ranges) = parse_ranges(buf, sqe.dsm_ranges()) {
            assert!(ranges.filter_map(|range| range.end()).count() <= 256);
        }
    }
    if let Ok(id) = IdentifyController::parse(buf) {
        let _ = (
            id.serial(),
            id.model(),
            id.mdts_bytes(buf[0]),
            id.in_capsule_bytes(),
        );
        let _ = id.check_io_controller();
    }
    if let Ok(ns) = IdentifyNamespace::parse(buf) {
        let _ = (ns.format(), ns.block_shift(), ns.size_bytes());
    }
    if let Ok(list) = NsList::parse(buf) {
        assert_eq!(list.iter().count(), list.len());
        let _ = list.is_overflow();
    }
    assert!(NsDescriptors::new(buf).count() <= buf.len() / 4);
    if let Ok(entries) = parse_ccr_log(buf) {
        assert!(entries.count() <= buf.len() / 8);
    }
    feed_ana(buf, noise);
}

/// The same log in one piece and in pieces of random size gives the same items and verdict.
fn feed_ana(buf: &[u8], noise: &mut Noise) {
    let limits = AnaLimits {
        groups: 1000,
        nsids: 1000,
        grpid: u32::MAX,
    };
    for limits in [LIMITS, limits] {
        let (mut whole, mut pieces) = (AnaLogParser::new(limits), AnaLogParser::new(limits));
        let mut seen = Vec::new();
        let verdict = whole.feed(buf, |item| seen.push(item));
        assert!(seen.len() <= 1 + buf.len() / 4);
        let (mut rest, mut at, mut last) = (buf, 0, Ok(false));
        while !rest.is_empty() && last == Ok(false) {
            let (piece, after) = rest.split_at(1 + noise.below(rest.len()));
            rest = after;
            last = pieces.feed(piece, |item| {
                assert_eq!(seen.get(at), Some(&item));
                at += 1;
            });
        }
        assert_eq!((at, last), (seen.len(), verdict));
        assert_eq!(whole.finish(), pieces.finish());
    }
}

#[test]
fn no_parser_panics_on_any_bytes() {
    let valid = valid();
    let mut noise = Noise(0x756d_7069_6f00_0001);
    let mut buf = vec![0; LEN_MAX];
    let mut scratch = vec![0; LEN_MAX];
    for round in 0..ROUNDS {
        let len = if round % 2 == 0 {
            let short = noise.below(3) > 0;
            let len = noise.below(if short { 130 } else { LEN_MAX });
            noise.fill(&mut buf[..len]);
            len
        } else {
            let base = &valid[noise.below(valid.len())];
            buf[..base.len()].copy_from_slice(base);
            for _ in 0..noise.below(5) {
                let near = if noise.below(2) == 0 { 64 } else { base.len() };
                let at = noise.below(near);
                buf[at] = match noise.below(4) {
                    0 => 0xff,
                    1 => buf[at].wrapping_add(1),
                    2 => buf[at] ^ 1 << noise.below(8),
                    _ => noise.next() as u8,
                };
            }
            if noise.below(3) == 0 {
                noise.below(base.len() + 1)
            } else {
                base.len()
            }
        };
        feed_all(&buf[..len], &mut noise, &mut scratch);
    }
}

#[test]
fn no_emitter_panics_on_a_short_buffer() {
    for len in 0..=4096 {
        let mut buf = vec![0; len];
        let b = &mut buf[..];
        assert_eq!(Sqe::flush(1).emit(b).is_ok(), len >= 64);
        assert_eq!(Cqe::default().emit(b).is_ok(), len >= 16);
        assert_eq!(connect_data().emit(b).is_ok(), len >= 1024);
        assert_eq!(controller().emit(b).is_ok(), len >= 4096);
        assert_eq!(namespace().emit(b).is_ok(), len >= 4096);
        assert_eq!(HostBehavior::default().emit(b).is_ok(), len >= 512);
        assert_eq!(emit_ns_descriptors(b, &DESCRIPTORS).is_ok(), len >= 4096);
        assert_eq!(identify::emit_ns_list(b, [1]).is_ok(), len >= 4096);
        assert_eq!(emit_ranges(b, &[DsmRange::default()]).is_ok(), len >= 16);
        assert_eq!(emit_ccr_log(b, &[]).is_ok(), len >= 8);
        assert_eq!(log::emit_no_errors(b, 1).is_ok(), len >= 64);
        assert_eq!(log::emit_firmware_slot(b, *b"1.0     ").is_ok(), len >= 512);
        assert_eq!(AnaLogWriter::new(b, 0).is_ok(), len >= 16);
    }
}
