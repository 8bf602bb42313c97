//! Golden bytes of I/O commands and completions: what they look like on the wire, byte by byte.

mod commands;
mod random;
mod structures;
mod structures_log;

use super::dsm::{DsmRange, emit_ranges, parse_ranges};
use super::sqe::Fuse;
use super::*;

fn words(sqe: &Sqe) -> [u32; 16] {
    let mut out = [0; 16];
    for (i, word) in out.iter_mut().enumerate() {
        *word = bytes::get32(sqe.as_bytes(), 4 * i);
    }
    out
}

#[test]
fn a_read_is_these_64_bytes() {
    let mut sqe = Sqe::read(7, 0x1122_3344_5566_7788, 15, true).with_cid(0xabcd);
    sqe.set_transport(8192);
    let want = [
        0xabcd_4002,
        7,
        0,
        0,
        0,
        0,
        0,
        0,
        8192,
        0x5a00_0000,
        0x5566_7788,
        0x1122_3344,
        0x4000_000f,
        0,
        0,
        0,
    ];
    assert_eq!(words(&sqe), want);
    assert_eq!(
        (sqe.slba(), sqe.blocks(), sqe.fua()),
        (0x1122_3344_5566_7788, 16, true)
    );
    assert_eq!((sqe.cid(), sqe.nsid(), sqe.uses_sgl()), (0xabcd, 7, true));
    assert_eq!(Direction::of(sqe.opcode()), Direction::ToHost);
}

#[test]
fn a_write_carries_its_data_in_the_capsule() {
    let mut sqe = Sqe::write(1, 8, 0, false);
    sqe.set_in_capsule(0, 512);
    assert_eq!(words(&sqe)[..2], [0x0000_4001, 1]);
    assert_eq!(words(&sqe)[6..12], [0, 0, 512, 0x0100_0000, 8, 0]);
    assert_eq!(
        sqe.sgl(),
        Sgl {
            address: 0,
            length: 512,
            kind: SglType::IN_CAPSULE
        }
    );
    assert!(!sqe.fua());
    let mut buf = [0xff; SQE_LEN + 1];
    sqe.emit(&mut buf).unwrap();
    assert_eq!(Sqe::parse(&buf), Ok(sqe));
    assert_eq!(buf[SQE_LEN], 0xff);
}

#[test]
fn the_other_nvm_commands() {
    assert_eq!(words(&Sqe::flush(3))[..2], [0x4000, 3]);
    let zeroes = Sqe::write_zeroes(1, 5, 9, true, true);
    assert_eq!(words(&zeroes)[10..13], [5, 0, 0x4200_0009]);
    assert!(zeroes.deac() && zeroes.fua());
    let dsm = Sqe::dataset_management(1, 2, true);
    assert_eq!((dsm.opcode(), dsm.cdw10(), dsm.cdw11()), (0x09, 2, 4));
    assert_eq!((dsm.dsm_ranges(), dsm.dsm_deallocate()), (3, true));
    let mut compare = Sqe::compare(1, 0, 0, false);
    compare.set_fuse(Fuse::First);
    assert_eq!(
        (compare.opcode(), compare.flags(), compare.fuse()),
        (5, 0x41, Fuse::First)
    );
    compare.set_fuse(Fuse::None);
    assert_eq!(compare.flags(), 0x40);
}

#[test]
fn a_completion_is_these_16_bytes() {
    let mut status = Status::dnr(StatusCode::LBA_OUT_OF_RANGE);
    status.crd = 2;
    let cqe = Cqe {
        result: 0x0807_0605_0403_0201,
        sqhd: 0x0a09,
        sqid: 0,
        cid: 0x0e0d,
        status,
    };
    let mut buf = [0xff; CQE_LEN];
    cqe.emit(&mut buf).unwrap();
    assert_eq!(
        buf,
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0, 13, 14, 0x00, 0xa1]
    );
    assert_eq!(Cqe::parse(&buf), Ok(cqe));
    assert_eq!(cqe.dw0(), 0x0403_0201);
}

#[test]
fn every_status_survives_but_for_the_phase_tag() {
    for raw in 0..=u16::MAX {
        let status = Status::from_raw(raw);
        assert_eq!(status.to_raw(), raw & !1);
        assert_eq!(Status::new(status.code()).code(), status.code());
        assert_eq!(status.is_success(), raw & 0x0ffe == 0);
    }
    assert_eq!(Status::new(StatusCode::HOST_PATHING_ERROR).to_raw(), 0x06e0);
    assert_eq!(Status::dnr(StatusCode::CCR_LIMIT_EXCEEDED).to_raw(), 0x8282);
    assert!(Status::new(StatusCode::ANA_TRANSITION).is_ana_error());
    assert!(!Status::new(StatusCode::INTERNAL_PATH_ERROR).is_ana_error());
}

#[test]
fn a_status_reads_as_the_specification_words_it() {
    let text = |code: StatusCode| Status::new(code).to_string();
    assert_eq!(
        text(StatusCode::SUCCESS),
        "Successful Completion (SCT 0h SC 00h)"
    );
    assert_eq!(
        Status::dnr(StatusCode::CONNECT_INVALID_PARAMETERS).to_string(),
        "Attempted Write to Read Only Range / Connect Invalid Parameters (SCT 1h SC 82h DNR)"
    );
    assert_eq!(
        text(StatusCode::CONNECT_INVALID_HOST),
        "Connect Invalid Host (SCT 1h SC 84h)"
    );
    assert_eq!(text(StatusCode(0x7ff)), "Unknown Status (SCT 7h SC FFh)");
    assert_eq!(AdminOpcode(0x38).to_string(), "Cross-Controller Reset");
    assert_eq!(NvmOpcode(0xee).to_string(), "NvmOpcode 0xee");
    let error = CodecError::Truncated { need: 64, got: 3 };
    assert_eq!(error.to_string(), "truncated: 3 bytes of 64");
}

#[test]
fn deallocate_ranges() {
    let ranges = [
        DsmRange {
            slba: 0x10,
            blocks: 8,
        },
        DsmRange {
            slba: u64::MAX,
            blocks: 1,
        },
    ];
    let mut buf = [0xff; 40];
    assert_eq!(emit_ranges(&mut buf, &ranges), Ok(32));
    assert_eq!(
        buf[..16],
        [0, 0, 0, 0, 8, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0]
    );
    assert!(parse_ranges(&buf, 2).unwrap().eq(ranges));
    assert_eq!((ranges[0].end(), ranges[1].end()), (Some(0x18), None));
    let truncated = CodecError::Truncated { need: 48, got: 40 };
    assert_eq!(parse_ranges(&buf, 3).err(), Some(truncated));
    assert!(matches!(
        parse_ranges(&[0; 8192], 257),
        Err(CodecError::TooLong { .. })
    ));
    assert!(parse_ranges(&buf, 0).is_err());
}
