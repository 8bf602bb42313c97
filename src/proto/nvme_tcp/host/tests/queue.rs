//! Commands, completions, loss.

use super::peer::*;
use crate::base::request::Op;
use crate::proto::nvme_tcp::host::{AdminData, Event, HostQueue, Pending, QueueConfig, QueueState};
use crate::proto::nvme_tcp::pdu::*;
use crate::transport::Source;

#[test]
fn set_up_sends_what_is_configured() {
    let mut q = HostQueue::new(QueueConfig {
        header_digest: true,
        max_r2t: 16,
        hpda: 3,
        ..config()
    });
    assert_eq!(q.state(), QueueState::Idle);
    q.start();
    let mut peer = Peer::new(Digests::NONE);
    let pdus = peer.pdus(&mut q);
    assert_eq!(
        pdus[0].repr,
        Repr::IcReq(IcReq {
            pfv: 0,
            hpda: 3,
            digests: Digests {
                header: true,
                data: false
            },
            max_r2t: 15
        })
    );
    // Nothing may be submitted before ICResp.
    assert_eq!(q.free_slots(), 0);
    assert!(
        q.submit_io(sqe(), request(Op::Flush, 0, 1, 0), NOW)
            .is_err()
    );
}

#[test]
fn a_full_queue_hands_the_request_back() {
    let (mut q, _) = ready(config());
    for i in 0..8 {
        assert_eq!(q.free_slots(), 8 - i);
        q.submit_io(sqe(), request(Op::Read, 512, 512, 0), NOW)
            .unwrap();
    }
    let back = q
        .submit_io(sqe(), request(Op::Read, 512, 512, 77), NOW)
        .unwrap_err();
    assert_eq!(back.user, 77);
    assert_eq!(q.in_flight(), 8);
}

#[test]
fn a_batch_of_reads_leaves_as_one_slice() {
    let (mut q, mut peer) = ready(config());
    for _ in 0..8 {
        q.submit_io(sqe(), request(Op::Read, 4096, 4096, 0), NOW)
            .unwrap();
    }
    let mut slices = crate::base::iovecs::SendVec::new();
    q.send_slices(&mut slices);
    assert_eq!(slices.len(), 1);
    drop(slices);
    let cids: Vec<u16> = peer
        .commands(&mut q)
        .iter()
        .map(|(s, _)| u16::from_le_bytes([s[2], s[3]]))
        .collect();
    assert_eq!(cids, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn in_capsule_data_has_an_offset_sgl_and_larger_writes_a_transport_sgl() {
    let (mut q, mut peer) = ready(config());
    q.submit_io(sqe(), request(Op::Write, 8192, 1000, 5), NOW)
        .unwrap();
    q.submit_io(sqe(), request(Op::Write, 8704, 8704, 6), NOW)
        .unwrap();
    let c = peer.commands(&mut q);
    assert_eq!(c[0].1, pattern(8192, 5));
    assert_eq!(c[0].0[1] >> 6, 1, "PSDT: SGL");
    assert_eq!(
        c[0].0[24..40],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 0, 0, 1]
    );
    assert!(c[1].1.is_empty());
    assert_eq!(
        c[1].0[24..40],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 34, 0, 0, 0, 0, 0, 0x5a]
    );
}

#[test]
fn a_discard_makes_its_own_range() {
    for in_capsule in [true, false] {
        let (mut q, mut peer) = ready(QueueConfig {
            data_digest: true,
            header_digest: true,
            ..config()
        });
        q.set_in_capsule_max(if in_capsule { 16 } else { 0 });
        let mut t = request(Op::Discard, 0, 1, 0);
        t.lba = 0x1122;
        t.blocks = 0x33;
        q.submit_io(sqe(), t, NOW).unwrap();
        let (c, mut data) = peer.commands(&mut q).remove(0);
        if !in_capsule {
            let cid = u16::from_le_bytes([c[2], c[3]]);
            feed(&mut q, &peer.r2t(cid, 9, 0, 16), Chunks::Whole);
            data = peer.pdus(&mut q).remove(0).data;
        }
        assert_eq!(
            data,
            [0, 0, 0, 0, 0x33, 0, 0, 0, 0x22, 0x11, 0, 0, 0, 0, 0, 0]
        );
    }
}

#[test]
fn completions_come_in_order_of_arrival_with_their_status() {
    let (mut q, mut peer) = ready(config());
    for i in 0..3 {
        q.submit_io(sqe(), request(Op::Flush, 0, 1, i), NOW)
            .unwrap();
    }
    peer.pdus(&mut q);
    let mut b = peer.resp(2, 0);
    b.extend(peer.resp(0, INTERNAL_ERROR));
    feed(&mut q, &b, Chunks::Whole);
    let mut got = vec![];
    q.drain_io(|t, c| got.push((t.user, c.status.is_success())));
    assert_eq!(got, [(2, true), (0, false)]);
    assert_eq!(q.in_flight(), 1);
    assert_eq!(q.free_slots(), 7);
}

#[test]
fn admin_commands_carry_tags_and_data() {
    let (mut q, mut peer) = ready(QueueConfig { qid: 0, ..config() });
    let room = crate::base::sg::SgList::zeroed(4096);
    q.submit_admin(sqe(), 42, AdminData::ToHost(room), NOW)
        .unwrap();
    peer.pdus(&mut q);
    let bytes = pattern(4096, 1);
    feed(&mut q, &peer.data(0, 0, &bytes, FLAG_LAST), Chunks::Whole);
    assert!(q.poll_event().is_none());
    feed(&mut q, &peer.resp_full(0, 0, 7, 0), Chunks::Whole);
    let Some(Event::Admin { tag: 42, data, .. }) = q.poll_event() else {
        panic!("an admin completion");
    };
    assert_eq!(contents(&data), bytes);
}

#[test]
fn oldest_dispatch_follows_completions_out_of_order() {
    let (mut q, mut peer) = ready(config());
    let at = |n| crate::base::clock::Time::from_nanos(n);
    assert_eq!(q.oldest_dispatch(), None);
    for i in 0..4 {
        q.submit_io(sqe(), request(Op::Flush, 0, 1, 0), at(10 + i))
            .unwrap();
    }
    peer.pdus(&mut q);
    assert_eq!(q.oldest_dispatch(), Some(at(10)));
    feed(&mut q, &peer.resp(1, 0), Chunks::Whole);
    assert_eq!(q.oldest_dispatch(), Some(at(10)));
    feed(&mut q, &peer.resp(0, 0), Chunks::Whole);
    assert_eq!(q.oldest_dispatch(), Some(at(12)));
    // CID 0 is used again and is now the youngest.
    q.submit_io(sqe(), request(Op::Flush, 0, 1, 0), at(20))
        .unwrap();
    feed(&mut q, &peer.resp(2, 0), Chunks::Whole);
    feed(&mut q, &peer.resp(3, 0), Chunks::Whole);
    assert_eq!(q.oldest_dispatch(), Some(at(20)));
}

#[test]
fn loss_tells_what_may_have_reached_the_wire() {
    let (mut q, _) = ready(config());
    for i in 0..3 {
        q.submit_io(sqe(), request(Op::Write, 512, 512, i), NOW)
            .unwrap();
    }
    // The first capsule and one byte of the second.
    assert_eq!(pull(&mut q, 72 + 512 + 1).len(), 585);
    let mut got = vec![];
    q.drain(|p| match p {
        Pending::Io(t) => got.push((t.user, t.on_wire)),
        Pending::Admin { .. } => panic!("no admin command was sent"),
    });
    assert_eq!(got, [(0, true), (1, true), (2, false)]);
    assert_eq!(q.in_flight(), 0);
}

#[test]
fn after_a_failure_no_further_command_leaves_and_the_peer_is_told() {
    let (mut q, mut peer) = ready(config());
    for i in 0..3 {
        q.submit_io(sqe(), request(Op::Write, 512, 512, i), NOW)
            .unwrap();
    }
    // In the middle of the second capsule when a bad PDU comes.
    let out = pull(&mut q, 72 + 512 + 100);
    peer.push(&out);
    feed(&mut q, &[0x0f; 24], Chunks::Whole);
    assert_eq!(q.state(), QueueState::Failed);
    let pdus = peer.pdus(&mut q);
    assert_eq!(pdus.len(), 3, "two capsules, then the termination");
    assert_eq!(
        pdus[2].repr,
        Repr::H2cTermReq(TermReq::new(Fes::InvalidHeaderField, 0))
    );
    assert_eq!(pdus[2].data, [0x0f; 24]);
    let mut got = vec![];
    q.drain(|p| {
        if let Pending::Io(t) = p {
            got.push((t.user, t.on_wire));
        }
    });
    assert_eq!(got, [(0, true), (1, true), (2, false)]);
}

#[test]
fn flow_control_keeps_to_the_head_that_responses_report() {
    let (mut q, mut peer) = ready(QueueConfig {
        sq_flow_control: true,
        ..config()
    });
    for _ in 0..8 {
        q.submit_io(sqe(), request(Op::Flush, 0, 1, 0), NOW)
            .unwrap();
    }
    peer.pdus(&mut q);
    // Answered, but the controller says that it has fetched nothing yet.
    feed(&mut q, &peer.resp_full(0, 0, 0, 0), Chunks::Whole);
    assert_eq!(q.in_flight(), 7);
    assert_eq!(q.free_slots(), 0);
    feed(&mut q, &peer.resp_full(1, 0, 0, 8), Chunks::Whole);
    assert_eq!(q.free_slots(), 2);
}

#[test]
fn the_ring_of_headers_wraps_for_as_long_as_it_likes() {
    let (mut q, mut peer) = ready(QueueConfig {
        header_digest: true,
        data_digest: true,
        ..config()
    });
    let mut seed = 7;
    let mut done = 0;
    for round in 0..3000u32 {
        while q.free_slots() > 0 {
            let len = 512 * (next(&mut seed) as usize % 3);
            let op = if len == 0 { Op::Flush } else { Op::Write };
            q.submit_io(sqe(), request(op, len, 300, round as u8), NOW)
                .unwrap();
        }
        // Never quite empty, so that the ring does not start over.
        let n = 1 + next(&mut seed) as usize % 3000;
        let b = pull(&mut q, n);
        peer.push(&b);
        while let Some(p) = peer.pdu() {
            let Repr::CapsuleCmd(c) = p.repr else {
                panic!("only commands")
            };
            feed(
                &mut q,
                &peer.resp(u16::from_le_bytes([c.sqe[2], c.sqe[3]]), 0),
                Chunks::Whole,
            );
        }
        q.drain_io(|_, _| done += 1);
        assert_eq!(q.failure(), None);
    }
    assert!(done > 3000);
}
