//! PDUs byte by byte, and bytes that are none.

use super::header::seal;
use super::*;
use crate::base::crc::crc32c;
use proptest::prelude::*;

const BOTH: Digests = Digests {
    header: true,
    data: true,
};

fn parse(bytes: &[u8], digests: Digests, align: usize) -> Result<(Layout, Repr), PduError> {
    let header = Header::parse(bytes)?;
    let layout = header.layout(digests, align, 1 << 20)?;
    let repr = Repr::parse(&header, &layout, bytes)?;
    Ok((layout, repr))
}

#[test]
fn icreq_golden() {
    let req = IcReq {
        pfv: 0,
        hpda: 3,
        digests: Digests {
            header: true,
            data: false,
        },
        max_r2t: 15,
    };
    let mut out = [0xff; HEADER_AREA];
    assert_eq!(req.emit(&mut out), 128);
    assert_eq!(
        out[..16],
        [0, 0, 128, 0, 128, 0, 0, 0, 0, 0, 3, 1, 15, 0, 0, 0]
    );
    assert!(out[16..].iter().all(|b| *b == 0));
    assert_eq!(parse(&out, BOTH, 4).unwrap().1, Repr::IcReq(req));
}

#[test]
fn icresp_golden() {
    let resp = IcResp {
        pfv: 0,
        cpda: 31,
        digests: BOTH,
        max_h2c_data: 0x20000,
    };
    let mut out = [0xff; HEADER_AREA];
    assert_eq!(resp.emit(&mut out), 128);
    assert_eq!(
        out[..16],
        [1, 0, 128, 0, 128, 0, 0, 0, 0, 0, 31, 3, 0, 0, 2, 0]
    );
    assert_eq!(parse(&out, BOTH, 4).unwrap().1, Repr::IcResp(resp));
}

#[test]
fn command_capsule_golden() {
    let sqe: [u8; 64] = std::array::from_fn(|i| i as u8);
    let mut out = [0xff; HEADER_AREA];
    assert_eq!(CapsuleCmd::emit(&sqe, 0, Digests::NONE, 4, &mut out), 72);
    assert_eq!(out[..8], [4, 0, 72, 0, 72, 0, 0, 0]);
    assert_eq!(out[8..72], sqe);
    let n = CapsuleCmd::emit(&sqe, 4096, BOTH, pda_bytes(31), &mut out);
    assert_eq!(n, 128);
    // PLEN 128 + 4096 + 4.
    assert_eq!(out[..8], [4, 3, 72, 128, 0x84, 0x10, 0, 0]);
    assert_eq!(out[72..76], crc32c(&out[..72]).to_le_bytes());
    assert!(out[76..].iter().all(|b| *b == 0));
    let (layout, repr) = parse(&out, BOTH, 128).unwrap();
    assert_eq!(repr, Repr::CapsuleCmd(CapsuleCmd { sqe }));
    assert_eq!(
        layout,
        Layout {
            header: 76,
            data: 128,
            data_len: 4096,
            data_digest: true,
            total: 4228
        }
    );
}

#[test]
fn response_capsule_golden() {
    let cqe: [u8; 16] = std::array::from_fn(|i| 0xa0 + i as u8);
    let mut out = [0; HEADER_AREA];
    assert_eq!(CapsuleResp::emit(&cqe, Digests::NONE, &mut out), 24);
    assert_eq!(out[..8], [5, 0, 24, 0, 24, 0, 0, 0]);
    assert_eq!(CapsuleResp::emit(&cqe, BOTH, &mut out), 28);
    assert_eq!(out[..8], [5, 1, 24, 0, 28, 0, 0, 0]);
    assert_eq!(
        parse(&out, BOTH, 4).unwrap().1,
        Repr::CapsuleResp(CapsuleResp { cqe })
    );
}

#[test]
fn data_and_r2t_golden() {
    let range = DataRange {
        cccid: 0x0102,
        ttag: 0x0304,
        offset: 0x1000,
        len: 0x2000,
    };
    let mut out = [0xff; HEADER_AREA];
    let n = range.emit_data(PduType::H2cData, FLAG_LAST, Digests::NONE, 4, &mut out);
    assert_eq!(n, 24);
    assert_eq!(
        out[..24],
        [
            6, 4, 24, 24, 0x18, 0x20, 0, 0, 2, 1, 4, 3, 0, 0x10, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0
        ]
    );
    assert_eq!(
        parse(&out, Digests::NONE, 4).unwrap().1,
        Repr::H2cData { range, last: true }
    );
    range.emit_data(
        PduType::C2hData,
        FLAG_LAST | FLAG_SUCCESS,
        BOTH,
        8,
        &mut out,
    );
    assert_eq!(out[..8], [7, 0x0f, 24, 32, 0x24, 0x20, 0, 0]);
    assert_eq!(
        parse(&out, BOTH, 8).unwrap().1,
        Repr::C2hData {
            range,
            last: true,
            success: true
        }
    );
    assert_eq!(range.emit_r2t(Digests::NONE, &mut out), 24);
    assert_eq!(out[..8], [9, 0, 24, 0, 24, 0, 0, 0]);
    assert_eq!(parse(&out, Digests::NONE, 4).unwrap().1, Repr::R2t(range));
}

#[test]
fn termination_golden() {
    let term = TermReq::new(Fes::InvalidHeaderField, 4);
    let mut out = [0xff; SHORT_LEN + TERM_DATA_MAX];
    assert_eq!(term.emit(PduType::H2cTermReq, &[9; 200], &mut out), 152);
    assert_eq!(
        out[..16],
        [2, 0, 24, 0, 152, 0, 0, 0, 1, 0, 4, 0, 0, 0, 0, 0]
    );
    assert_eq!(out[24..], [9; 128]);
    let (layout, repr) = parse(&out, BOTH, 4).unwrap();
    assert_eq!(repr, Repr::H2cTermReq(term));
    assert_eq!(layout.data_len, 128);
}

/// Each wrong header field by name, with the offset that a termination request gives.
#[test]
fn wrong_fields_are_named() {
    let range = DataRange {
        cccid: 1,
        ttag: 0,
        offset: 0,
        len: 512,
    };
    let mut good = [0; HEADER_AREA];
    range.emit_data(PduType::C2hData, FLAG_LAST, BOTH, 4, &mut good);
    let wrong = |at: usize, value: u8| {
        let mut b = good;
        b[at] = value;
        parse(&b, BOTH, 4).unwrap_err()
    };
    let field = |e: PduError| match e {
        PduError::BadField { field, .. } => field,
        other => panic!("{other}"),
    };
    assert_eq!(wrong(0, 0x0a), PduError::UnknownType(0x0a));
    assert_eq!(wrong(0, 0x0a).term(), (Fes::InvalidHeaderField, 0));
    assert_eq!(field(wrong(1, FLAG_LAST | FLAG_DDGST)), Field::Flags);
    assert_eq!(field(wrong(1, FLAG_LAST | FLAG_HDGST)), Field::Flags);
    assert_eq!(field(wrong(2, 25)), Field::Hlen);
    assert_eq!(field(wrong(3, 24)), Field::Pdo);
    assert_eq!(field(wrong(3, 30)), Field::Pdo);
    assert_eq!(field(wrong(7, 0xff)), Field::Plen);
    assert_eq!(wrong(7, 0xff).term(), (Fes::InvalidHeaderField, 4));
    assert!(matches!(wrong(9, 1), PduError::HeaderDigest { .. }));
    assert_eq!(wrong(9, 1).term().0, Fes::HeaderDigest);
    // The length that the header digest covers differs from PLEN.
    let mut b = good;
    b[16] = 1;
    seal(PduType::C2hData, &mut b);
    assert_eq!(field(parse(&b, BOTH, 4).unwrap_err()), Field::DataLen);
    // SUCCESS without LAST_PDU.
    let mut b = good;
    b[1] = FLAG_HDGST | FLAG_DDGST | FLAG_SUCCESS;
    seal(PduType::C2hData, &mut b);
    assert_eq!(field(parse(&b, BOTH, 4).unwrap_err()), Field::Flags);
}

#[test]
fn connection_set_up_limits() {
    let mut out = [0; HEADER_AREA];
    let ok = IcResp {
        pfv: 0,
        cpda: 0,
        digests: Digests::NONE,
        max_h2c_data: 4096,
    };
    let mut try_with = |r: IcResp| {
        r.emit(&mut out);
        parse(&out, Digests::NONE, 4)
    };
    assert!(try_with(ok).is_ok());
    assert_eq!(
        try_with(IcResp { pfv: 1, ..ok }).unwrap_err().term(),
        (Fes::UnsupportedParameter, 8)
    );
    assert!(try_with(IcResp { cpda: 32, ..ok }).is_err());
    let small = IcResp {
        max_h2c_data: 4092,
        ..ok
    };
    assert_eq!(
        try_with(small).unwrap_err().to_string(),
        "ICResp: MAXH2CDATA 0xffc is not valid"
    );
    let odd = IcResp {
        max_h2c_data: 4098,
        ..ok
    };
    assert!(try_with(odd).is_err());
}

proptest! {
    /// Contract of the module: any bytes give a PDU or an error.
    #[test]
    fn random_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), HEADER_AREA),
        kind in 0u8..12, known_hlen: bool, header: bool, data: bool, pda in 0u8..32,
    ) {
        let mut bytes = bytes;
        bytes[0] = kind;
        if known_hlen && let Some(k) = PduType::from_byte(kind) {
            bytes[2] = k.hlen() as u8;
            bytes[6] = 0;
            bytes[7] = 0;
        }
        if let Ok((layout, _)) = parse(&bytes, Digests { header, data }, pda_bytes(pda)) {
            prop_assert!(layout.header <= layout.data && layout.data <= HEADER_AREA + SHORT_LEN + 128);
            prop_assert!(layout.data + layout.data_len <= layout.total);
        }
    }

    #[test]
    fn data_headers_come_back(
        cccid: u16, ttag: u16, offset: u32, len in 1u32..(1 << 20),
        header: bool, data: bool, pda in 0u8..32, last: bool,
    ) {
        let digests = Digests { header, data };
        let align = pda_bytes(pda);
        let range = DataRange { cccid, ttag, offset, len };
        let mut out = [0xff; HEADER_AREA];
        let flags = if last { FLAG_LAST } else { 0 };
        let pdo = range.emit_data(PduType::H2cData, flags, digests, align, &mut out);
        let (layout, repr) = parse(&out, digests, align).unwrap();
        prop_assert_eq!(repr, Repr::H2cData { range, last });
        prop_assert_eq!(layout.data, pdo);
        prop_assert_eq!(layout.data_len, len as usize);
    }
}
