//! PDUs byte by byte, and bytes that are none.

use super::*;
use crate::base::crc::crc32c;
use proptest::prelude::*;

const BOTH: Digests = Digests {
    header: true,
    data: true,
};

const SN: InitiatorSn = InitiatorSn {
    cmd_sn: 0x0102_0304,
    exp_stat_sn: 0x0506_0708,
};

const TSN: TargetSn = TargetSn {
    stat_sn: 0x1112_1314,
    exp_cmd_sn: 0x2122_2324,
    max_cmd_sn: 0x3132_3334,
};

fn bytes(repr: &Repr, data_len: usize) -> [u8; BHS_LEN] {
    let mut out = [0xee; BHS_LEN];
    repr.emit(data_len, &mut out);
    out
}

/// Written, compared with the bytes given in hex, read again.
fn golden(repr: Repr, data_len: usize, hex: &str) {
    let out = bytes(&repr, data_len);
    let told: String = out.iter().map(|b| format!("{b:02x}")).collect();
    let want: String = hex.split_whitespace().collect();
    assert_eq!(told, want);
    assert_eq!(Repr::parse(&out), Ok(repr));
    assert_eq!(Header::parse(&out).unwrap().data_len, data_len);
}

#[test]
fn requests_golden() {
    golden(
        Repr::ScsiCommand(ScsiCommand {
            immediate: false,
            is_final: true,
            read: false,
            write: true,
            attr: TaskAttr::Simple,
            lun: 0x0001_0000_0000_0000,
            itt: 0xa1a2_a3a4,
            expected: 0x1000,
            sn: SN,
            cdb: [0x2a, 0, 0, 0, 0, 9, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0],
        }),
        0x1000,
        "01a10000 00001000 00010000 00000000 a1a2a3a4 00001000 01020304 05060708
         2a000000 00090000 08000000 00000000",
    );
    golden(
        Repr::TaskRequest(TaskRequest {
            immediate: true,
            function: TaskFunction::AbortTask as u8,
            lun: 2,
            itt: 1,
            ref_itt: 7,
            sn: SN,
            ref_cmd_sn: 9,
            exp_data_sn: 3,
        }),
        0,
        "42810000 00000000 00000000 00000002 00000001 00000007 01020304 05060708
         00000009 00000003 00000000 00000000",
    );
    golden(
        Repr::LoginRequest(LoginRequest {
            transit: true,
            cont: false,
            csg: 0,
            nsg: 1,
            version_max: 0,
            version_min: 0,
            isid: [0x40, 1, 2, 3, 4, 5],
            tsih: 0x0607,
            itt: 5,
            cid: 0x0809,
            sn: SN,
        }),
        7,
        "43810000 00000007 40010203 04050607 00000005 08090000 01020304 05060708
         00000000 00000000 00000000 00000000",
    );
    golden(
        Repr::TextRequest(TextRequest {
            immediate: false,
            is_final: false,
            cont: true,
            lun: 0,
            itt: 6,
            ttt: NO_TAG,
            sn: SN,
        }),
        16,
        "04400000 00000010 00000000 00000000 00000006 ffffffff 01020304 05060708
         00000000 00000000 00000000 00000000",
    );
    golden(
        Repr::DataOut(DataOut {
            is_final: true,
            lun: 0x0102_0304_0506_0708,
            itt: 8,
            ttt: 9,
            exp_stat_sn: 10,
            data_sn: 11,
            offset: 0x8000,
        }),
        0xff_ffff,
        "05800000 00ffffff 01020304 05060708 00000008 00000009 00000000 0000000a
         00000000 0000000b 00008000 00000000",
    );
    golden(
        Repr::LogoutRequest(LogoutRequest {
            immediate: true,
            reason: LogoutReason::Recovery,
            itt: 3,
            cid: 4,
            sn: SN,
        }),
        0,
        "46820000 00000000 00000000 00000000 00000003 00040000 01020304 05060708
         00000000 00000000 00000000 00000000",
    );
    golden(
        Repr::NopOut(NopOut {
            immediate: true,
            lun: 1,
            itt: NO_TAG,
            ttt: 0x55,
            sn: SN,
        }),
        3,
        "40800000 00000003 00000000 00000001 ffffffff 00000055 01020304 05060708
         00000000 00000000 00000000 00000000",
    );
    golden(
        Repr::Snack(Snack {
            kind: SnackType::Status,
            lun: 0,
            itt: NO_TAG,
            tag: NO_TAG,
            exp_stat_sn: 2,
            beg_run: 3,
            run_length: 4,
        }),
        0,
        "10810000 00000000 00000000 00000000 ffffffff ffffffff 00000000 00000002
         00000000 00000000 00000003 00000004",
    );
}

#[test]
fn responses_golden() {
    golden(
        Repr::ScsiResponse(ScsiResponse {
            response: 0,
            status: 2,
            itt: 1,
            snack_tag: 0,
            sn: TSN,
            exp_data_sn: 4,
            residual: Residual::Underflow(0x200),
            bidi_residual: Residual::Overflow(1),
        }),
        20,
        "21920002 00000014 00000000 00000000 00000001 00000000 11121314 21222324
         31323334 00000004 00000001 00000200",
    );
    golden(
        Repr::TaskResponse(TaskResponse {
            response: TaskResult::Rejected as u8,
            itt: 1,
            sn: TSN,
        }),
        0,
        "2280ff00 00000000 00000000 00000000 00000001 00000000 11121314 21222324
         31323334 00000000 00000000 00000000",
    );
    golden(
        Repr::LoginResponse(LoginResponse {
            transit: false,
            cont: false,
            csg: 0,
            nsg: 0,
            version_max: 0,
            version_active: 0,
            isid: [0x80, 1, 2, 3, 4, 5],
            tsih: 0,
            itt: 9,
            sn: TSN,
            status_class: 2,
            status_detail: 1,
        }),
        0,
        "23000000 00000000 80010203 04050000 00000009 00000000 11121314 21222324
         31323334 02010000 00000000 00000000",
    );
    golden(
        Repr::TextResponse(TextResponse {
            is_final: true,
            cont: false,
            lun: 0,
            itt: 9,
            ttt: NO_TAG,
            sn: TSN,
        }),
        4,
        "24800000 00000004 00000000 00000000 00000009 ffffffff 11121314 21222324
         31323334 00000000 00000000 00000000",
    );
    golden(
        Repr::DataIn(DataIn {
            is_final: true,
            ack: false,
            status: Some(0),
            residual: Residual::Overflow(0x10),
            lun: 0,
            itt: 9,
            ttt: NO_TAG,
            sn: TSN,
            data_sn: 1,
            offset: 0x200,
        }),
        512,
        "25850000 00000200 00000000 00000000 00000009 ffffffff 11121314 21222324
         31323334 00000001 00000200 00000010",
    );
    golden(
        Repr::LogoutResponse(LogoutResponse {
            response: 0,
            itt: 9,
            sn: TSN,
            time2wait: 2,
            time2retain: 20,
        }),
        0,
        "26800000 00000000 00000000 00000000 00000009 00000000 11121314 21222324
         31323334 00000000 00020014 00000000",
    );
    golden(
        Repr::R2t(R2t {
            lun: 1,
            itt: 2,
            ttt: 3,
            sn: TSN,
            r2t_sn: 4,
            offset: 5,
            desired: 6,
        }),
        0,
        "31800000 00000000 00000000 00000001 00000002 00000003 11121314 21222324
         31323334 00000004 00000005 00000006",
    );
    golden(
        Repr::Async(Async {
            lun: 0,
            sn: TSN,
            event: AsyncEvent::ConnectionDrop {
                cid: 1,
                time2wait: 2,
                time2retain: 3,
            },
        }),
        0,
        "32800000 00000000 00000000 00000000 ffffffff 00000000 11121314 21222324
         31323334 02000001 00020003 00000000",
    );
    golden(
        Repr::Reject(Reject {
            reason: RejectReason::ProtocolError as u8,
            sn: TSN,
            data_sn: 0,
        }),
        48,
        "3f800400 00000030 00000000 00000000 ffffffff 00000000 11121314 21222324
         31323334 00000000 00000000 00000000",
    );
    golden(
        Repr::NopIn(NopIn {
            lun: 0,
            itt: NO_TAG,
            ttt: 8,
            sn: TSN,
        }),
        0,
        "20800000 00000000 00000000 00000000 ffffffff 00000008 11121314 21222324
         31323334 00000000 00000000 00000000",
    );
}

/// RFC 7143, appendix A.4 (CRC examples): the bytes in the order of the wire.
#[test]
fn digests_have_the_byte_order_of_the_rfc() {
    let cases: [([u8; 32], [u8; 4]); 3] = [
        ([0; 32], [0xaa, 0x36, 0x91, 0x8a]),
        ([0xff; 32], [0x43, 0xab, 0xa8, 0x62]),
        (std::array::from_fn(|i| i as u8), [0x4e, 0x79, 0xdd, 0x46]),
    ];
    for (data, wire) in cases {
        let mut out = [0; 4];
        put_digest(&mut out, 0, crc32c(&data));
        assert_eq!(out, wire);
        assert_eq!(get_digest(&wire, 0), crc32c(&data));
    }
}

fn header(opcode: Opcode, ahs_words: u8, data_len: u32) -> Header {
    let mut b = [0; BHS_LEN];
    b[4..8].copy_from_slice(&data_len.to_be_bytes());
    b[0] = opcode as u8;
    b[4] = ahs_words;
    Header::parse(&b).unwrap()
}

#[test]
fn layout_adds_up() {
    let l = header(Opcode::ScsiCommand, 3, 5)
        .layout(BOTH, 8192)
        .unwrap();
    assert_eq!((l.segments, l.header, l.pad), (60, 64, 3));
    assert_eq!((l.data_len, l.data_digest, l.total), (5, true, 64 + 8 + 4));
    // No data, no data digest.
    let l = header(Opcode::NopIn, 0, 0).layout(BOTH, 8192).unwrap();
    assert_eq!((l.data_digest, l.total), (false, 52));
    // Login never has digests.
    let l = header(Opcode::LoginRequest, 0, 6)
        .layout(BOTH, 8192)
        .unwrap();
    assert_eq!((l.header, l.data_digest, l.total), (48, false, 56));
}

#[test]
fn layout_refuses_what_cannot_be() {
    let field = |h: Header, max| match h.layout(BOTH, max) {
        Err(PduError::BadField { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        field(header(Opcode::NopOut, 1, 0), 8192),
        Field::TotalAhsLength
    );
    assert_eq!(
        field(header(Opcode::DataIn, 0, 8193), 8192),
        Field::DataSegmentLength
    );
    assert_eq!(
        field(header(Opcode::R2t, 0, 1), 8192),
        Field::DataSegmentLength
    );
}

#[test]
fn header_digest_is_checked() {
    let mut b = [0; BHS_LEN + DIGEST_LEN];
    NopIn {
        lun: 0,
        itt: NO_TAG,
        ttt: NO_TAG,
        sn: TSN,
    }
    .emit(0, &mut b);
    assert_eq!(seal(&mut b, BHS_LEN, false), 48);
    assert!(check_header_digest(&b, BHS_LEN).is_err());
    assert_eq!(seal(&mut b, BHS_LEN, true), 52);
    assert_eq!(check_header_digest(&b, BHS_LEN), Ok(()));
    b[30] ^= 4;
    let e = check_header_digest(&b, BHS_LEN).unwrap_err();
    assert!(matches!(e, PduError::HeaderDigest { .. }), "{e}");
    assert_eq!(e.reject(), None);
}

#[test]
fn fields_that_cannot_be_are_refused() {
    let command = Repr::ScsiCommand(ScsiCommand {
        immediate: false,
        is_final: true,
        read: true,
        write: false,
        attr: TaskAttr::Simple,
        lun: 0,
        itt: 1,
        expected: 512,
        sn: SN,
        cdb: [0; 16],
    });
    let refused = |at: usize, value: &[u8], base: &Repr| {
        let mut b = bytes(base, 0);
        b[at..at + value.len()].copy_from_slice(value);
        match Repr::parse(&b) {
            Err(PduError::BadField { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(1, &[0x41], &command), Field::Flags);
    assert_eq!(refused(1, &[0xc7], &command), Field::TaskAttribute);
    assert_eq!(refused(16, &[0xff; 4], &command), Field::InitiatorTaskTag);
    let login = Repr::LoginRequest(LoginRequest {
        transit: false,
        cont: false,
        csg: 1,
        nsg: 0,
        version_max: 0,
        version_min: 0,
        isid: [0; 6],
        tsih: 0,
        itt: 0,
        cid: 0,
        sn: SN,
    });
    // Stage 2; to itself; back; with C; from full feature phase.
    for flags in [0x08, 0x85, 0x84, 0xc7, 0x82, 0x0c] {
        assert_eq!(refused(1, &[flags], &login), Field::Stage, "{flags:#x}");
    }
    let r2t = Repr::R2t(R2t {
        lun: 0,
        itt: 1,
        ttt: 1,
        sn: TSN,
        r2t_sn: 0,
        offset: 0,
        desired: 1,
    });
    assert_eq!(refused(20, &[0xff; 4], &r2t), Field::TargetTransferTag);
    assert_eq!(refused(44, &[0; 4], &r2t), Field::DesiredDataLength);
    let mut b = bytes(&r2t, 0);
    b[0] = 0x1c;
    let e = Repr::parse(&b).unwrap_err();
    assert_eq!(e, PduError::UnknownOpcode(0x1c));
    assert_eq!(e.reject(), Some(RejectReason::CommandNotSupported));
}

#[test]
fn additional_header_segments_golden() {
    let cdb: [u8; 17] = std::array::from_fn(|i| i as u8 + 1);
    let ahs = Ahs {
        extended_cdb: Some(&cdb),
        read_length: Some(0x1000),
    };
    let mut out = [0xee; 64];
    assert_eq!(ahs.len(), 24 + 8);
    assert_eq!(ahs.emit(&mut out), 32);
    assert_eq!(out[..6], [0, 18, 1, 0, 1, 2]);
    assert_eq!(out[20..24], [17, 0, 0, 0]);
    assert_eq!(out[24..32], [0, 5, 2, 0, 0, 0, 0x10, 0]);
    assert_eq!(Ahs::parse(&out[..32]), Ok(ahs));
    // An unknown type is skipped.
    let unknown = [0, 1, 0x3e, 0];
    assert_eq!(Ahs::parse(&unknown), Ok(Ahs::NONE));
    for wrong in [
        &[0, 0, 1, 0][..],
        &[0, 9, 1, 0, 0, 0, 0, 0],
        &[0, 4, 2, 0, 0, 0, 0, 0],
        &[0, 5, 2, 0, 0, 0, 0, 0, 0, 5, 2, 0, 0, 0, 0, 0],
    ] {
        assert!(Ahs::parse(wrong).is_err(), "{wrong:?}");
    }
}

proptest! {
    /// What is accepted reads the same again after it was written.
    #[test]
    fn any_bytes_read_and_written(mut b: [u8; BHS_LEN], pick in 0_usize..18) {
        b[0] = Opcode::ALL[pick] as u8 | b[0] & 0x40;
        if let Ok(repr) = Repr::parse(&b) {
            prop_assert_eq!(Repr::parse(&bytes(&repr, 0)), Ok(repr));
        }
    }
}
