//! Payload in both directions: zero copy, digests, alignment, R2Ts, early answers.

use super::peer::*;
use crate::base::iovecs::RecvVec;
use crate::base::limits::STAGING;
use crate::base::request::{Op, Token};
use crate::proto::nvme::{Status, StatusCode};
use crate::proto::nvme_tcp::host::{HostQueue, QueueConfig};
use crate::proto::nvme_tcp::pdu::*;
use crate::transport::{Sink, Source};

fn done(q: &mut HostQueue) -> Vec<(Token, bool)> {
    let mut v = vec![];
    q.drain_io(|t, c| v.push((t, c.status.is_success())));
    v
}

/// All modes of digests and alignments of both sides.
fn modes() -> impl Iterator<Item = (QueueConfig, u8)> {
    [(false, false), (true, false), (false, true), (true, true)]
        .into_iter()
        .flat_map(|(h, d)| [(0, 0), (3, 7), (31, 31), (24, 24)].map(|(a, b)| (h, d, a, b)))
        .map(|(header_digest, data_digest, hpda, cpda)| {
            (
                QueueConfig {
                    header_digest,
                    data_digest,
                    hpda,
                    ..config()
                },
                cpda,
            )
        })
}

fn ready_with(config: QueueConfig, cpda: u8) -> (HostQueue, Peer) {
    let mut q = HostQueue::new(config);
    let mut peer = Peer::new(Digests {
        header: config.header_digest,
        data: config.data_digest,
    });
    peer.hpda = config.hpda;
    peer.cpda = cpda;
    q.set_in_capsule_max(8192);
    q.start();
    peer.pdus(&mut q);
    feed(&mut q, &peer.icresp(), Chunks::Whole);
    q.poll_event();
    (q, peer)
}

/// A mixed load of reads, small and large, some in several PDUs, some with SUCCESS.
fn mixed_reads(config: QueueConfig, cpda: u8, chunks: Chunks) {
    let (mut q, mut peer) = ready_with(config, cpda);
    let sizes = [512, 16384, 4096, 131_072, 512, 20_000, 12_288, 65_536];
    for (i, len) in sizes.iter().enumerate() {
        q.submit_io(sqe(), request(Op::Read, *len, 5000, i as u8), NOW)
            .unwrap();
    }
    peer.pdus(&mut q);
    let mut stream = Vec::new();
    for (i, len) in sizes.iter().enumerate() {
        let cid = i as u16;
        let bytes = pattern(*len, i as u8);
        let pieces = 1 + i % 3;
        let step = len.div_ceil(pieces).next_multiple_of(4);
        let mut at = 0;
        while at < *len {
            let n = step.min(len - at);
            let last = at + n == *len;
            let mut flags = if last { FLAG_LAST } else { 0 };
            if last && i % 2 == 0 {
                flags |= FLAG_SUCCESS;
            }
            stream.extend(peer.data(cid, at as u32, &bytes[at..at + n], flags));
            at += n;
        }
        if i % 2 == 1 {
            stream.extend(peer.resp(cid, 0));
        }
    }
    assert_eq!(feed(&mut q, &stream, chunks), stream.len());
    assert_eq!(q.failure(), None);
    let got = done(&mut q);
    assert_eq!(got.len(), 8);
    for (i, (t, ok)) in got.iter().enumerate() {
        assert!(ok);
        assert_eq!(t.user, i as u64);
        assert!(contents(&t.data) == pattern(sizes[i], i as u8), "read {i}");
    }
    assert_eq!(q.counters().copied_bytes_large, 0);
    assert_eq!(q.in_flight(), 0);
}

#[test]
fn reads_arrive_whatever_the_split_the_digests_and_the_alignment() {
    for (config, cpda) in modes() {
        mixed_reads(config, cpda, Chunks::Whole);
        for seed in 1..20 {
            mixed_reads(config, cpda, Chunks::Random(seed));
        }
    }
    for (config, cpda) in modes().take(16).step_by(5) {
        mixed_reads(config, cpda, Chunks::Bytes);
    }
}

#[test]
fn large_payload_is_received_in_place_with_the_next_header_behind_it() {
    let (mut q, mut peer) = ready(config());
    for i in 0..2 {
        q.submit_io(sqe(), request(Op::Read, 65_536, 65_536, i), NOW)
            .unwrap();
    }
    peer.pdus(&mut q);
    let place_sizes = |q: &mut HostQueue| {
        let mut places = RecvVec::new();
        q.recv_places(&mut places);
        places.iter().map(|p| p.len()).collect::<Vec<_>>()
    };
    assert_eq!(place_sizes(&mut q), [24]);
    let mut stream = peer.data(0, 0, &pattern(65_536, 0), FLAG_LAST | FLAG_SUCCESS);
    stream.extend(peer.data(1, 0, &pattern(65_536, 1), FLAG_LAST | FLAG_SUCCESS));
    feed(&mut q, &stream[..24], Chunks::Whole);
    assert_eq!(place_sizes(&mut q), [65_536, 24]);
    feed(&mut q, &stream[24..24 + 65_536 + 24], Chunks::Whole);
    // The last large payload: behind it staging is open again.
    assert_eq!(place_sizes(&mut q), [65_536, STAGING]);
    feed(&mut q, &stream[24 + 65_536 + 24..], Chunks::Whole);
    assert_eq!(place_sizes(&mut q), [STAGING]);
    let got = done(&mut q);
    assert!(contents(&got[1].0.data) == pattern(65_536, 1));
    assert_eq!(q.counters().copied_bytes_large, 0);
    assert_eq!(q.counters().copied_bytes_small, 0);
}

#[test]
fn small_payload_is_copied_once() {
    let (mut q, mut peer) = ready(config());
    for i in 0..8 {
        q.submit_io(sqe(), request(Op::Read, 4096, 4096, i), NOW)
            .unwrap();
    }
    peer.pdus(&mut q);
    let mut stream = Vec::new();
    for i in 0..8 {
        stream.extend(peer.data(i, 0, &pattern(4096, i as u8), FLAG_LAST | FLAG_SUCCESS));
    }
    feed(&mut q, &stream, Chunks::Whole);
    assert_eq!(done(&mut q).len(), 8);
    assert_eq!(q.counters().copied_bytes_small, 8 * 4096);
}

#[test]
fn a_wrong_data_digest_fails_its_command_and_nothing_else() {
    for len in [4096, 65_536] {
        let (mut q, mut peer) = ready(QueueConfig {
            data_digest: true,
            ..config()
        });
        q.submit_io(sqe(), request(Op::Read, len, len, 0), NOW)
            .unwrap();
        q.submit_io(sqe(), request(Op::Read, len, len, 1), NOW)
            .unwrap();
        peer.pdus(&mut q);
        let mut stream = peer.data(0, 0, &pattern(len, 0), FLAG_LAST | FLAG_SUCCESS);
        stream[500] ^= 1;
        stream.extend(peer.data(1, 0, &pattern(len, 1), FLAG_LAST | FLAG_SUCCESS));
        feed(&mut q, &stream, Chunks::Random(3));
        let mut got = vec![];
        q.drain_io(|t, c| got.push((t.user, c.status)));
        assert_eq!(
            got[0],
            (0, Status::new(StatusCode::TRANSIENT_TRANSPORT_ERROR))
        );
        assert!(got[1].1.is_success());
        assert_eq!(q.counters().data_digest_errors, 1);
        assert_eq!(q.failure(), None);
    }
}

#[test]
fn writes_answer_several_r2ts_in_pieces_of_maxh2cdata() {
    for (config, cpda) in modes() {
        let (mut q, mut peer) = ready_with(config, cpda);
        let len = 50_000;
        for i in 0..2 {
            q.submit_io(sqe(), request(Op::Write, len, 7000, i), NOW)
                .unwrap();
        }
        assert_eq!(peer.commands(&mut q).len(), 2);
        let mut got = [vec![], vec![]];
        let mut ends = 0;
        // Four R2Ts each at once: MAXR2T is 4.
        for round in 0..2 {
            let mut stream = vec![];
            for k in 0..4u32 {
                for cid in 0..2 {
                    let at = round * 25_000 + k * 6250;
                    stream.extend(peer.r2t(cid, 100 + k as u16, at, 6250));
                }
            }
            feed(&mut q, &stream, Chunks::Random(9));
            peer.take(&mut q, 1777);
            while let Some(p) = peer.pdu() {
                let Repr::H2cData { range, last } = p.repr else {
                    panic!("only data")
                };
                let into: &mut Vec<u8> = &mut got[usize::from(range.cccid)];
                assert_eq!(range.offset as usize, into.len());
                assert!(range.len <= 4096);
                assert_eq!(last, (range.offset + range.len).is_multiple_of(6250));
                assert_eq!(u32::from(range.ttag), 100 + range.offset % 25_000 / 6250);
                ends += u32::from(last);
                into.extend(p.data);
            }
        }
        assert_eq!(ends, 16);
        assert!(got[0] == pattern(len, 0));
        assert!(got[1] == pattern(len, 1));
        let mut b = peer.resp(0, 0);
        b.extend(peer.resp(1, 0));
        feed(&mut q, &b, Chunks::Bytes);
        assert_eq!(q.failure(), None);
        assert_eq!(done(&mut q).len(), 2);
    }
}

#[test]
fn a_great_many_data_pdus_are_made_as_they_leave() {
    let (mut q, mut peer) = ready(config());
    let len = 4 << 20;
    q.submit_io(sqe(), request(Op::Write, len, len, 3), NOW)
        .unwrap();
    peer.pdus(&mut q);
    feed(&mut q, &peer.r2t(0, 1, 0, len as u32), Chunks::Whole);
    peer.take(&mut q, 100_000);
    let mut got = vec![];
    while let Some(p) = peer.pdu() {
        got.extend(p.data);
    }
    assert!(got == pattern(len, 3));
    feed(&mut q, &peer.resp(0, 0), Chunks::Whole);
    assert_eq!(done(&mut q).len(), 1);
}

/// I4: the payload is still being sent when the error comes; the request must wait for it.
#[test]
fn an_early_error_waits_until_the_payload_has_left() {
    let (mut q, mut peer) = ready(config());
    q.submit_io(sqe(), request(Op::Write, 20_000, 20_000, 0), NOW)
        .unwrap();
    peer.pdus(&mut q);
    feed(&mut q, &peer.r2t(0, 5, 0, 10_000), Chunks::Whole);
    let b = pull(&mut q, 3000);
    peer.push(&b);
    feed(&mut q, &peer.resp(0, INTERNAL_ERROR), Chunks::Whole);
    assert!(done(&mut q).is_empty());
    assert_eq!(q.in_flight(), 1);
    peer.take(&mut q, 512);
    let got = done(&mut q);
    assert_eq!(got.len(), 1);
    assert!(!got[0].1);
    assert_eq!(q.failure(), None);
}

/// An error before any data was asked for is an ordinary answer.
#[test]
fn an_error_before_any_r2t_completes_at_once() {
    let (mut q, mut peer) = ready(config());
    q.submit_io(sqe(), request(Op::Write, 20_000, 20_000, 0), NOW)
        .unwrap();
    peer.pdus(&mut q);
    feed(&mut q, &peer.resp(0, INTERNAL_ERROR), Chunks::Whole);
    assert_eq!(done(&mut q).len(), 1);
}

/// What was answered completes with its answer when the connection is lost meanwhile.
#[test]
fn an_answer_that_waits_survives_the_loss() {
    let (mut q, mut peer) = ready(config());
    q.submit_io(sqe(), request(Op::Write, 20_000, 20_000, 0), NOW)
        .unwrap();
    peer.pdus(&mut q);
    feed(&mut q, &peer.r2t(0, 5, 0, 10_000), Chunks::Whole);
    feed(&mut q, &peer.resp(0, INTERNAL_ERROR), Chunks::Whole);
    q.drain(|p| panic!("{p:?}"));
    assert_eq!(done(&mut q).len(), 1);
}

#[test]
fn padding_beyond_what_alignment_needs_is_skipped() {
    let (mut q, mut peer) = ready(config());
    q.submit_io(sqe(), request(Op::Read, 32_768, 32_768, 4), NOW)
        .unwrap();
    peer.pdus(&mut q);
    let data = pattern(32_768, 4);
    let mut b = peer.data(0, 0, &data, FLAG_LAST | FLAG_SUCCESS);
    b[3] = 64;
    let plen = (64 + 32_768u32).to_le_bytes();
    b[4..8].copy_from_slice(&plen);
    b.splice(24..24, [0xee; 40]);
    for chunks in [Chunks::Whole, Chunks::Random(5), Chunks::Bytes] {
        let (mut q2, mut p2) = ready(config());
        q2.submit_io(sqe(), request(Op::Read, 32_768, 32_768, 4), NOW)
            .unwrap();
        p2.pdus(&mut q2);
        feed(&mut q2, &b, chunks);
        assert!(contents(&done(&mut q2)[0].0.data) == data);
        assert_eq!(q2.counters().copied_bytes_large, 0);
    }
    assert!(!q.has_output());
}
