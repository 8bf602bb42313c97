//! PDU headers: a stream of PDUs, taken apart header by header.

use super::Input;
use crate::proto::nvme_tcp::pdu::{
    COMMON_LEN, CapsuleCmd, CapsuleResp, DataRange, Digests, HEADER_AREA, Header, IcReq, IcResp,
    Layout, PduType, Repr, TermReq, pda_bytes,
};

const DATA_MAX: usize = 1 << 20;

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let digests = Digests::from_byte(input.byte());
    let align = pda_bytes(input.byte() % 32);
    let mut rest = input.rest();
    while rest.len() >= COMMON_LEN {
        let header = match Header::parse(rest) {
            Ok(header) => header,
            Err(e) => return told(&e),
        };
        let layout = match header.layout(digests, align, DATA_MAX) {
            Ok(layout) => layout,
            Err(e) => return told(&e),
        };
        check(&layout, header.plen);
        if rest.len() < layout.header {
            return;
        }
        match Repr::parse(&header, &layout, &rest[..layout.header]) {
            Ok(repr) => again(&repr, digests, align),
            Err(e) => return told(&e),
        }
        rest = &rest[layout.total.min(rest.len())..];
    }
}

/// An error has its termination request and its words.
fn told(e: &crate::proto::nvme_tcp::pdu::PduError) {
    let _ = (e.term(), e.to_string());
}

fn check(layout: &Layout, plen: u32) {
    assert_eq!(layout.total, plen as usize);
    assert!(layout.header >= COMMON_LEN && layout.header <= layout.data.max(layout.header));
    assert!(layout.data + layout.data_len <= layout.total);
    assert!(layout.data_len <= DATA_MAX);
}

/// What was read reads the same once it was written.
fn again(repr: &Repr, digests: Digests, align: usize) {
    let mut area = [0; HEADER_AREA + 128];
    let out = &mut area[..];
    match *repr {
        Repr::IcReq(r) => {
            r.emit(out);
            assert_eq!(IcReq::parse(out), Ok(r));
        }
        Repr::IcResp(r) => {
            r.emit(out);
            assert_eq!(IcResp::parse(out), Ok(r));
        }
        Repr::H2cTermReq(r) | Repr::C2hTermReq(r) => {
            r.emit(PduType::H2cTermReq, &[], out);
            assert_eq!(TermReq::parse(out), r);
        }
        Repr::CapsuleCmd(c) => {
            CapsuleCmd::emit(&c.sqe, 0, digests, align, out);
            assert_eq!(CapsuleCmd::parse(out), c);
        }
        Repr::CapsuleResp(c) => {
            CapsuleResp::emit(&c.cqe, digests, out);
            assert_eq!(CapsuleResp::parse(out), c);
        }
        Repr::H2cData { range, .. } | Repr::C2hData { range, .. } => {
            range.emit_data(PduType::C2hData, 0, digests, align, out);
            assert_eq!(DataRange::parse(out), range);
        }
        Repr::R2t(range) => {
            range.emit_r2t(digests, out);
            assert_eq!(DataRange::parse(out), range);
        }
    }
}

/// Puts a PDU into a buffer and returns its length.
type Write<'a> = &'a dyn Fn(&mut [u8]) -> usize;

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for bits in 0..4 {
        let digests = Digests::from_byte(bits);
        let range = DataRange {
            cccid: 1,
            ttag: 2,
            offset: 0,
            len: 512,
        };
        let ic = IcReq {
            pfv: 0,
            hpda: 0,
            digests,
            max_r2t: 3,
        };
        let resp = IcResp {
            pfv: 0,
            cpda: 0,
            digests,
            max_h2c_data: 4096,
        };
        let writers: [Write<'_>; 8] = [
            &|b| ic.emit(b),
            &|b| resp.emit(b),
            &|b| CapsuleCmd::emit(&[1; 64], 0, digests, 4, b),
            &|b| CapsuleResp::emit(&[2; 16], digests, b),
            &|b| range.emit_r2t(digests, b),
            &|b| range.emit_data(PduType::C2hData, 0x0c, digests, 4, b),
            &|b| range.emit_data(PduType::H2cData, 0x04, digests, 4, b),
            &|b| TermReq { fes: 1, fei: 8 }.emit(PduType::C2hTermReq, &[9; 40], b),
        ];
        for write in writers {
            let mut b = [0; 2 * HEADER_AREA];
            let n = write(&mut b);
            let mut seed = vec![bits, 0];
            seed.extend_from_slice(&b[..n]);
            // Payload and digest of data PDUs, a second header for the others.
            seed.extend_from_slice(&[7; 516]);
            all.push(seed);
        }
    }
    all
}
