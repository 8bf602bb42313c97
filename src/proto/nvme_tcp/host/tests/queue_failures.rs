//! One test for each named reason that ends a connection.

use super::peer::*;
use crate::base::request::Op;
use crate::proto::nvme_tcp::host::{Failure, HostQueue, QueueConfig, QueueState};
use crate::proto::nvme_tcp::pdu::*;

/// Feeds `bytes`, expects the failure, the termination request and the words.
#[track_caller]
fn fails(q: &mut HostQueue, peer: &mut Peer, bytes: &[u8], want: Failure, words: &str) {
    feed(q, bytes, Chunks::Whole);
    assert_eq!(q.failure(), Some(want));
    assert_eq!(q.state(), QueueState::Failed);
    assert_eq!(want.to_string(), words);
    let last = peer.pdus(q).pop().map(|p| p.repr);
    match want.term() {
        Some((fes, fei)) => {
            assert_eq!(last, Some(Repr::H2cTermReq(TermReq::new(fes, fei))));
        }
        None => assert_eq!(last, None),
    }
    // Dead: takes nothing more.
    assert_eq!(feed(q, &[0; 100], Chunks::Whole), 0);
}

fn with(op: Op, len: usize) -> (HostQueue, Peer) {
    let (mut q, mut peer) = ready(config());
    q.submit_io(sqe(), request(op, len, len.max(1), 0), NOW)
        .unwrap();
    peer.pdus(&mut q);
    (q, peer)
}

#[test]
fn unknown_pdu_type() {
    let (mut q, mut p) = ready(config());
    let want = Failure::Pdu(PduError::UnknownType(0x21));
    fails(&mut q, &mut p, &[0x21; 24], want, "unknown PDU type 0x21");
}

#[test]
fn wrong_header_length() {
    let (mut q, mut p) = ready(config());
    let mut b = p.resp(0, 0);
    b[2] = 23;
    let want = Failure::Pdu(PduError::field(PduType::CapsuleResp, Field::Hlen, 23));
    fails(
        &mut q,
        &mut p,
        &b,
        want,
        "CapsuleResp: HLEN 0x17 is not valid",
    );
}

#[test]
fn wrong_pdu_length() {
    let (mut q, mut p) = ready(config());
    let mut b = p.resp(0, 0);
    b[4] = 25;
    let want = Failure::Pdu(PduError::field(PduType::CapsuleResp, Field::Plen, 25));
    fails(
        &mut q,
        &mut p,
        &b,
        want,
        "CapsuleResp: PLEN 0x19 is not valid",
    );
}

#[test]
fn header_digest() {
    let (mut q, mut p) = ready(QueueConfig {
        header_digest: true,
        ..config()
    });
    let mut b = p.resp(0, 0);
    b[20] ^= 0x40;
    feed(&mut q, &b, Chunks::Whole);
    assert!(matches!(
        q.failure(),
        Some(Failure::Pdu(PduError::HeaderDigest { .. }))
    ));
    let Some(Repr::H2cTermReq(t)) = p.pdus(&mut q).pop().map(|p| p.repr) else {
        panic!("a termination")
    };
    assert_eq!(t.fes, Fes::HeaderDigest as u16);
}

#[test]
fn icresp_that_is_not_valid() {
    let mut q = HostQueue::new(config());
    let mut p = Peer::new(Digests::NONE);
    p.max_h2c = 100;
    q.start();
    p.pdus(&mut q);
    let b = p.icresp();
    let want = Failure::Pdu(PduError::field(PduType::IcResp, Field::MaxH2cData, 100));
    fails(
        &mut q,
        &mut p,
        &b,
        want,
        "ICResp: MAXH2CDATA 0x64 is not valid",
    );
}

#[test]
fn digests_not_agreed() {
    let mut q = HostQueue::new(QueueConfig {
        data_digest: true,
        ..config()
    });
    let mut p = Peer::new(Digests::NONE);
    q.start();
    p.pdus(&mut q);
    let b = p.icresp();
    let want = Failure::DigestsNotAgreed {
        asked: Digests {
            header: false,
            data: true,
        },
        got: Digests::NONE,
    };
    fails(
        &mut q,
        &mut p,
        &b,
        want,
        "ICResp: DGST 0x0 where 0x2 was asked for",
    );
}

#[test]
fn a_second_icresp() {
    let (mut q, mut p) = ready(config());
    let b = p.icresp();
    let want = Failure::UnexpectedPdu {
        kind: PduType::IcResp,
        state: "ready",
    };
    fails(&mut q, &mut p, &b, want, "unexpected ICResp while ready");
}

#[test]
fn a_response_before_icresp() {
    let mut q = HostQueue::new(config());
    let mut p = Peer::new(Digests::NONE);
    q.start();
    p.pdus(&mut q);
    let b = p.resp(0, 0);
    let want = Failure::UnexpectedPdu {
        kind: PduType::CapsuleResp,
        state: "waiting for ICResp",
    };
    fails(
        &mut q,
        &mut p,
        &b,
        want,
        "unexpected CapsuleResp while waiting for ICResp",
    );
}

#[test]
fn a_pdu_that_only_hosts_send() {
    let (mut q, mut p) = ready(config());
    let mut b = [0; HEADER_AREA];
    let n = CapsuleCmd::emit(&[0; 64], 0, Digests::NONE, 4, &mut b);
    let want = Failure::UnexpectedPdu {
        kind: PduType::CapsuleCmd,
        state: "ready",
    };
    fails(
        &mut q,
        &mut p,
        &b[..n],
        want,
        "unexpected CapsuleCmd while ready",
    );
}

#[test]
fn terminated_by_the_controller() {
    let (mut q, mut p) = ready(config());
    let mut b = [0; SHORT_LEN + TERM_DATA_MAX];
    let n = TermReq::new(Fes::OutOfRange, 0).emit(PduType::C2hTermReq, &[1; 72], &mut b);
    let want = Failure::Terminated { fes: 4, fei: 0 };
    fails(
        &mut q,
        &mut p,
        &b[..n],
        want,
        "C2HTermReq: data transfer out of range (FES 0x4, FEI 0x0)",
    );
}

#[test]
fn response_to_no_command() {
    for cid in [1, 8, 0xffff] {
        let (mut q, mut p) = with(Op::Flush, 0);
        let b = p.resp(cid, 0);
        let want = Failure::UnknownCommand {
            kind: PduType::CapsuleResp,
            cid,
        };
        let words = format!("CapsuleResp: CID {cid} names no outstanding command");
        fails(&mut q, &mut p, &b, want, &words);
    }
}

#[test]
fn response_to_a_command_that_was_not_sent() {
    let (mut q, p) = ready(config());
    q.submit_io(sqe(), request(Op::Flush, 0, 1, 0), NOW)
        .unwrap();
    let b = p.resp(0, 0);
    feed(&mut q, &b, Chunks::Whole);
    assert!(matches!(q.failure(), Some(Failure::UnknownCommand { .. })));
}

#[test]
fn a_second_response() {
    let (mut q, mut p) = with(Op::Flush, 0);
    let mut b = p.resp(0, 0);
    b.extend(p.resp(0, 0));
    let want = Failure::UnknownCommand {
        kind: PduType::CapsuleResp,
        cid: 0,
    };
    let words = "CapsuleResp: CID 0 names no outstanding command";
    fails(&mut q, &mut p, &b, want, words);
}

#[test]
fn data_for_a_write_and_r2t_for_a_read() {
    let (mut q, mut p) = with(Op::Write, 16_384);
    let b = p.data(0, 0, &[0; 512], FLAG_LAST);
    let want = Failure::WrongDirection {
        kind: PduType::C2hData,
        cid: 0,
    };
    let words = "C2HData: CID 0 is a command without such data";
    fails(&mut q, &mut p, &b, want, words);
    for (op, len) in [(Op::Read, 4096), (Op::Flush, 0), (Op::Write, 512)] {
        let (mut q, mut p) = with(op, len);
        let b = p.r2t(0, 0, 0, 512);
        let want = Failure::WrongDirection {
            kind: PduType::R2t,
            cid: 0,
        };
        let words = "R2T: CID 0 is a command without such data";
        fails(&mut q, &mut p, &b, want, words);
    }
}

#[test]
fn data_with_a_gap() {
    let (mut q, mut p) = with(Op::Read, 4096);
    let mut b = p.data(0, 0, &[0; 512], 0);
    b.extend(p.data(0, 1024, &[0; 512], 0));
    let want = Failure::DataOffset {
        cid: 0,
        expected: 512,
        got: 1024,
    };
    let words = "C2HData: CID 0: DATAO 1024 where 512 was expected";
    fails(&mut q, &mut p, &b, want, words);
}

#[test]
fn data_beyond_the_end() {
    let (mut q, mut p) = with(Op::Read, 4096);
    let mut b = p.data(0, 0, &[0; 4000], 0);
    b.extend(p.data(0, 4000, &[0; 100], 0));
    let want = Failure::DataRange {
        cid: 0,
        offset: 4000,
        len: 100,
        size: 4096,
    };
    let words = "C2HData: CID 0: DATAO 4000 DATAL 100 reaches beyond 4096 bytes";
    fails(&mut q, &mut p, &b, want, words);
}

#[test]
fn data_after_the_last() {
    let (mut q, mut p) = with(Op::Read, 4096);
    let mut b = p.data(0, 0, &[0; 512], FLAG_LAST);
    b.extend(p.data(0, 512, &[0; 512], FLAG_LAST));
    let want = Failure::DataAfterLast { cid: 0 };
    let words = "C2HData: CID 0: data after LAST_PDU";
    fails(&mut q, &mut p, &b, want, words);
}

#[test]
fn data_that_disagrees_with_its_length() {
    let (mut q, mut p) = with(Op::Read, 4096);
    let mut b = p.data(0, 0, &[0; 512], FLAG_LAST);
    b[17] = 3;
    let want = Failure::Pdu(PduError::field(PduType::C2hData, Field::DataLen, 0x300));
    let words = "C2HData: length 0x300 is not valid";
    fails(&mut q, &mut p, &b, want, words);
}

#[test]
fn success_flag_without_last() {
    let (mut q, mut p) = with(Op::Read, 512);
    let b = p.data(0, 0, &[0; 512], FLAG_SUCCESS);
    let want = Failure::Pdu(PduError::field(PduType::C2hData, Field::Flags, 8));
    fails(&mut q, &mut p, &b, want, "C2HData: FLAGS 0x8 is not valid");
}

#[test]
fn success_with_data_missing() {
    let want = Failure::DataShort {
        cid: 0,
        received: 512,
        size: 4096,
    };
    let words = "CID 0: success after 512 of 4096 bytes of data";
    let (mut q, mut p) = with(Op::Read, 4096);
    let b = p.data(0, 0, &[0; 512], FLAG_SUCCESS | FLAG_LAST);
    fails(&mut q, &mut p, &b, want, words);
    let (mut q, mut p) = with(Op::Read, 4096);
    let mut b = p.data(0, 0, &[0; 512], FLAG_LAST);
    b.extend(p.resp(0, 0));
    fails(&mut q, &mut p, &b, want, words);
}

#[test]
fn r2t_for_nothing() {
    let (mut q, mut p) = with(Op::Write, 16_384);
    let b = p.r2t(0, 0, 0, 0);
    let want = Failure::R2tEmpty { cid: 0 };
    fails(&mut q, &mut p, &b, want, "R2T: CID 0: R2TL 0");
}

#[test]
fn r2t_with_a_gap() {
    let (mut q, mut p) = with(Op::Write, 16_384);
    let b = p.r2t(0, 0, 4096, 4096);
    let want = Failure::R2tOffset {
        cid: 0,
        expected: 0,
        got: 4096,
    };
    let words = "R2T: CID 0: R2TO 4096 where 0 was expected";
    fails(&mut q, &mut p, &b, want, words);
}

#[test]
fn r2t_beyond_the_end() {
    let (mut q, mut p) = with(Op::Write, 16_384);
    let b = p.r2t(0, 0, 0, 16_385);
    let want = Failure::R2tRange {
        cid: 0,
        offset: 0,
        len: 16_385,
        size: 16_384,
    };
    let words = "R2T: CID 0: R2TO 0 R2TL 16385 reaches beyond 16384 bytes";
    fails(&mut q, &mut p, &b, want, words);
}

#[test]
fn more_r2ts_than_agreed() {
    let (mut q, mut p) = with(Op::Write, 16_384);
    let mut b = vec![];
    for i in 0..5 {
        b.extend(p.r2t(0, i, u32::from(i) * 512, 512));
    }
    let want = Failure::R2tLimit { cid: 0, limit: 4 };
    let words = "R2T: CID 0: more than MAXR2T 4 outstanding";
    fails(&mut q, &mut p, &b, want, words);
}

#[test]
fn success_before_all_data_was_asked_for() {
    let (mut q, mut p) = with(Op::Write, 16_384);
    feed(&mut q, &p.r2t(0, 0, 0, 512), Chunks::Whole);
    p.pdus(&mut q);
    let b = p.resp(0, 0);
    let want = Failure::SuccessBeforeData {
        cid: 0,
        asked: 512,
        size: 16_384,
    };
    let words = "CapsuleResp: CID 0: success when 512 of 16384 bytes were asked for and not all \
                 of them were sent";
    fails(&mut q, &mut p, &b, want, words);
}

#[test]
fn submission_queue_head_outside_the_queue() {
    let (mut q, mut p) = ready(QueueConfig {
        sq_flow_control: true,
        ..config()
    });
    q.submit_io(sqe(), request(Op::Flush, 0, 1, 0), NOW)
        .unwrap();
    p.pdus(&mut q);
    let b = p.resp_full(0, 0, 0, 9);
    let want = Failure::SqHead {
        head: 9,
        entries: 9,
    };
    let words = "CapsuleResp: SQHD 9 is outside a queue of 9 entries";
    fails(&mut q, &mut p, &b, want, words);
}
