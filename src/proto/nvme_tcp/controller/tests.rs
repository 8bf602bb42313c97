//! A scripted host against one connection, byte by byte where that matters.

use super::*;
use crate::base::crc::crc32c;
use crate::proto::nvme_tcp::pdu::{
    CapsuleCmd, Fes, HEADER_AREA, Header, IcReq, IcResp, PduError, Repr, SHORT_LEN,
};

/// Puts bytes into the queue as a transport would, `chunk` at a time.
fn feed(q: &mut ControllerQueue, mut bytes: &[u8], chunk: usize) {
    while !bytes.is_empty() {
        let mut done = 0;
        {
            let mut places = RecvVec::new();
            q.recv_places(&mut places);
            for place in &mut places {
                let n = place.len().min(chunk - done).min(bytes.len() - done);
                place[..n].copy_from_slice(&bytes[done..done + n]);
                done += n;
            }
        }
        if done == 0 {
            return;
        }
        q.received(done, Time::ZERO);
        bytes = &bytes[done..];
    }
}

/// Takes what the queue sends, `chunk` bytes a call.
fn drain(q: &mut ControllerQueue, chunk: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while q.has_output() {
        let n = {
            let mut slices = SendVec::new();
            q.send_slices(&mut slices);
            let mut taken = 0;
            for s in &slices {
                let n = s.len().min(chunk - taken);
                all.extend_from_slice(&s[..n]);
                taken += n;
            }
            taken
        };
        assert!(n > 0, "output means that there are slices");
        q.sent(n, Time::ZERO);
    }
    all
}

#[derive(Debug)]
struct Pdu {
    repr: Repr,
    data: Vec<u8>,
}

fn pdus(mut bytes: &[u8], digests: Digests) -> Vec<Pdu> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let header = Header::parse(bytes).unwrap();
        let layout = header.layout(digests, 4, usize::MAX).unwrap();
        let repr = Repr::parse(&header, &layout, &bytes[..layout.header]).unwrap();
        let data = bytes[layout.data..layout.data + layout.data_len].to_vec();
        if layout.data_digest {
            let crc = u32::from_le_bytes(bytes[layout.total - 4..layout.total].try_into().unwrap());
            assert_eq!(crc, crc32c(&data));
        }
        out.push(Pdu { repr, data });
        bytes = &bytes[layout.total..];
    }
    out
}

fn ic_req(digests: Digests, max_r2t: u32) -> Vec<u8> {
    let mut b = vec![0; HEADER_AREA];
    let n = IcReq {
        pfv: 0,
        hpda: 0,
        digests,
        max_r2t,
    }
    .emit(&mut b);
    b.truncate(n);
    b
}

fn sqe(cid: u16, opcode: u8, sgl: u8, len: u32) -> [u8; 64] {
    let mut s = [0; 64];
    s[0] = opcode;
    s[2..4].copy_from_slice(&cid.to_le_bytes());
    s[32..36].copy_from_slice(&len.to_le_bytes());
    s[39] = sgl;
    s
}

fn capsule(sqe: &[u8; 64], data: &[u8], digests: Digests) -> Vec<u8> {
    let mut b = vec![0; HEADER_AREA];
    let n = CapsuleCmd::emit(sqe, data.len() as u32, digests, 4, &mut b);
    b.truncate(n);
    with_data(b, data, digests)
}

fn with_data(mut b: Vec<u8>, data: &[u8], digests: Digests) -> Vec<u8> {
    b.extend_from_slice(data);
    if digests.data && !data.is_empty() {
        b.extend_from_slice(&crc32c(data).to_le_bytes());
    }
    b
}

fn h2c(range: DataRange, flags: u8, data: &[u8], digests: Digests) -> Vec<u8> {
    let mut b = vec![0; HEADER_AREA];
    let n = range.emit_data(PduType::H2cData, flags, digests, 4, &mut b);
    b.truncate(n);
    with_data(b, data, digests)
}

fn opened(config: QueueConfig, digests: Digests, max_r2t: u32, flow: bool) -> ControllerQueue {
    let mut q = ControllerQueue::new(config);
    feed(&mut q, &ic_req(digests, max_r2t), usize::MAX);
    let answer = pdus(&drain(&mut q, usize::MAX), Digests::NONE);
    assert!(matches!(answer[0].repr, Repr::IcResp(_)));
    q.open(32, false, flow);
    q
}

fn command(q: &mut ControllerQueue) -> u16 {
    match q.next_event() {
        Some(Event::Command { slot }) => slot,
        other => panic!("a command was expected, not {other:?}"),
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8).collect()
}

const ALL: Digests = Digests {
    header: true,
    data: true,
};

#[test]
fn icresp_grants_what_both_sides_allow() {
    let mut q = ControllerQueue::new(QueueConfig {
        digests: Digests {
            header: true,
            data: false,
        },
        max_h2c_data: 65539,
        ..QueueConfig::default()
    });
    feed(&mut q, &ic_req(ALL, 0), 1);
    let out = pdus(&drain(&mut q, 7), Digests::NONE);
    let Repr::IcResp(IcResp {
        digests,
        max_h2c_data,
        ..
    }) = out[0].repr
    else {
        panic!("{out:?}")
    };
    assert!(digests.header && !digests.data);
    assert_eq!(max_h2c_data, 65536);
    assert!(q.is_initialized());
}

#[test]
fn a_small_read_is_one_pdu_with_success_when_flow_control_is_off() {
    for flow in [false, true] {
        let mut q = opened(QueueConfig::default(), Digests::NONE, 0, flow);
        feed(
            &mut q,
            &capsule(&sqe(9, 2, 0x5a, 4096), &[], Digests::NONE),
            5,
        );
        let slot = command(&mut q);
        assert_eq!(q.shape(slot), Shape::Transport(4096));
        let data = pattern(4096);
        q.complete(
            slot,
            0,
            0,
            Some(crate::sys::iobuf::IoBuf::from(&data[..]).into()),
        );
        let out = pdus(&drain(&mut q, 1000), Digests::NONE);
        assert_eq!(out[0].data, data);
        let Repr::C2hData { success, last, .. } = out[0].repr else {
            panic!("{out:?}")
        };
        assert!(last);
        assert_eq!(success, !flow);
        assert_eq!(out.len(), if flow { 2 } else { 1 });
        if flow {
            let Repr::CapsuleResp(r) = out[1].repr else {
                panic!("{out:?}")
            };
            assert_eq!(r.cqe[8..10], 1u16.to_le_bytes());
            assert_eq!(r.cqe[12..14], 9u16.to_le_bytes());
        }
        assert!(matches!(q.next_event(), Some(Event::Released { data, .. }) if data.len() == 4096));
        assert_eq!(q.outstanding(), 0);
    }
}

#[test]
fn capsule_data_arrives_whole_at_every_split() {
    for digests in [Digests::NONE, ALL] {
        let data = pattern(600);
        let mut bytes = capsule(&sqe(1, 1, 0x01, 600), &data, digests);
        bytes.extend(capsule(&sqe(2, 2, 0x5a, 512), &[], digests));
        for chunk in 1..bytes.len() {
            let mut q = opened(QueueConfig::default(), digests, 0, true);
            let mut rest = &bytes[..];
            let mut got = None;
            let mut commands = 0;
            let mut waiting = None;
            while commands < 2 || got.is_none() {
                let n = chunk.min(rest.len());
                feed(&mut q, &rest[..n], n.max(1));
                rest = &rest[n..];
                while let Some(e) = q.next_event() {
                    match e {
                        Event::Command { slot } => {
                            commands += 1;
                            if q.shape(slot) == Shape::Capsule(600)
                                && q.give_buffer(slot, SgList::zeroed(600)) == Fetch::Ready
                            {
                                waiting = Some(slot);
                            }
                        }
                        Event::DataReady { slot, intact } => {
                            assert!(intact);
                            waiting = Some(slot);
                        }
                        Event::Released { .. } => panic!("nothing was sent"),
                    }
                    if let Some(slot) = waiting.take() {
                        let mut b = vec![0; 600];
                        q.take_data(slot).read_at(0, &mut b);
                        got = Some(b);
                    }
                }
                assert!(q.failure().is_none(), "{:?} at {chunk}", q.failure());
            }
            assert_eq!(got.unwrap(), data);
        }
    }
}

#[test]
fn large_data_from_the_host_is_never_copied() {
    const LEN: usize = 256 * 1024;
    for digests in [Digests::NONE, ALL] {
        for chunk in [100, 4000, 70_000, usize::MAX] {
            let config = QueueConfig {
                max_h2c_data: 32 * 1024,
                r2t_size: 64 * 1024,
                ..QueueConfig::default()
            };
            let mut q = opened(config, digests, 1, true);
            let data = pattern(LEN);
            feed(
                &mut q,
                &capsule(&sqe(3, 1, 0x5a, LEN as u32), &[], digests),
                chunk,
            );
            let slot = command(&mut q);
            assert_eq!(q.give_buffer(slot, SgList::zeroed(LEN)), Fetch::Pending);
            let mut asked = 0;
            loop {
                let r2ts = pdus(&drain(&mut q, usize::MAX), digests);
                assert!(r2ts.len() <= 2, "MAXR2T is kept");
                if r2ts.is_empty() {
                    break;
                }
                let mut bytes = Vec::new();
                for p in r2ts {
                    let Repr::R2t(r) = p.repr else {
                        panic!("{p:?}")
                    };
                    asked += r.len;
                    for at in (r.offset..r.offset + r.len).step_by(32 * 1024) {
                        let last = at + 32 * 1024 == r.offset + r.len;
                        let range = DataRange {
                            offset: at,
                            len: 32 * 1024,
                            ..r
                        };
                        let part = &data[at as usize..at as usize + 32 * 1024];
                        bytes.extend(h2c(range, FLAG_LAST * u8::from(last), part, digests));
                        // Another command in between, as hosts do.
                        bytes.extend(capsule(&sqe(100, 0, 0, 0), &[], digests));
                    }
                }
                // One command at a time is answered, as its owner would.
                feed(&mut q, &bytes, chunk);
                let mut ready = false;
                while let Some(e) = q.next_event() {
                    match e {
                        Event::Command { slot } => q.complete(slot, 0, 0, None),
                        Event::DataReady { intact, .. } => {
                            assert!(intact);
                            ready = true;
                        }
                        Event::Released { .. } => {}
                    }
                }
                assert!(q.failure().is_none(), "{:?}", q.failure());
                let _ = ready;
                // Answers to the commands in between go first; R2Ts are what is left.
                let mut keep = ControllerOutput::split(&drain(&mut q, usize::MAX), digests);
                if keep.is_empty() {
                    break;
                }
                requeue(&mut q, &mut keep);
            }
            assert_eq!(asked as usize, LEN);
            let mut b = vec![0; LEN];
            q.take_data(slot).read_at(0, &mut b);
            assert_eq!(b, data);
            assert_eq!(q.counters().copied_bytes_large, 0);
        }
    }
}

/// R2Ts among other output, kept aside by a test.
struct ControllerOutput;

impl ControllerOutput {
    fn split(bytes: &[u8], digests: Digests) -> Vec<DataRange> {
        pdus(bytes, digests)
            .into_iter()
            .filter_map(|p| match p.repr {
                Repr::R2t(r) => Some(r),
                _ => None,
            })
            .collect()
    }
}

fn requeue(q: &mut ControllerQueue, r2ts: &mut Vec<DataRange>) {
    let digests = q.digests;
    for r in r2ts.drain(..) {
        q.tx.head(|out| r.emit_r2t(digests, out));
    }
}

#[test]
fn unwanted_capsule_data_is_skipped() {
    let mut q = opened(QueueConfig::default(), ALL, 0, true);
    let mut bytes = capsule(&sqe(1, 0x7f, 0x01, 4096), &pattern(4096), ALL);
    bytes.extend(capsule(&sqe(2, 0, 0, 0), &[], ALL));
    feed(&mut q, &bytes, usize::MAX);
    let slot = command(&mut q);
    q.complete(slot, 0, 0x4001, None);
    let slot = command(&mut q);
    assert_eq!(q.sqe(slot).cid(), 2);
    assert_eq!(q.counters().copied_bytes_small, 0);
}

#[test]
fn a_wrong_data_digest_fails_the_command_only() {
    let mut q = opened(QueueConfig::default(), ALL, 0, true);
    let mut bytes = capsule(&sqe(1, 1, 0x01, 512), &pattern(512), ALL);
    *bytes.last_mut().unwrap() ^= 1;
    feed(&mut q, &bytes, usize::MAX);
    let slot = command(&mut q);
    assert_eq!(q.give_buffer(slot, SgList::zeroed(512)), Fetch::Pending);
    assert!(matches!(
        q.next_event(),
        Some(Event::DataReady { intact: false, .. })
    ));
    assert!(q.failure().is_none());
    assert_eq!(q.counters().digest_errors, 1);
}

/// Feeds bytes and expects the connection to end with that status.
fn refused(q: &mut ControllerQueue, bytes: &[u8], fes: Fes) -> QueueError {
    feed(q, bytes, usize::MAX);
    let reason = q.failure().expect("the connection ends");
    let out = drain(q, usize::MAX);
    let last = pdus(&out, q.digests).pop().unwrap();
    let Repr::C2hTermReq(term) = last.repr else {
        panic!("{last:?}")
    };
    assert_eq!(term.fes, fes as u16, "{reason}");
    reason
}

#[test]
fn a_command_before_icreq_is_a_sequence_error() {
    let mut q = ControllerQueue::new(QueueConfig::default());
    let bytes = capsule(&sqe(0, 0, 0, 0), &[], Digests::NONE);
    refused(&mut q, &bytes, Fes::SequenceError);
}

#[test]
fn a_second_icreq_is_a_sequence_error() {
    let mut q = opened(QueueConfig::default(), Digests::NONE, 0, true);
    refused(&mut q, &ic_req(Digests::NONE, 0), Fes::SequenceError);
}

#[test]
fn a_wrong_header_digest_ends_the_connection() {
    let mut q = opened(QueueConfig::default(), ALL, 0, true);
    let mut bytes = capsule(&sqe(0, 0, 0, 0), &[], ALL);
    bytes[10] ^= 1;
    let reason = refused(&mut q, &bytes, Fes::HeaderDigest);
    assert!(matches!(
        reason,
        QueueError::Pdu(PduError::HeaderDigest { .. })
    ));
}

#[test]
fn too_much_capsule_data_is_refused() {
    let mut q = opened(QueueConfig::default(), Digests::NONE, 0, true);
    let bytes = capsule(&sqe(0, 1, 1, 8196), &pattern(8196), Digests::NONE);
    refused(&mut q, &bytes, Fes::InvalidHeaderField);
}

#[test]
fn more_commands_than_entries_end_the_connection() {
    let mut q = opened(QueueConfig::default(), Digests::NONE, 0, true);
    let one = capsule(&sqe(0, 0, 0, 0), &[], Digests::NONE);
    let reason = refused(&mut q, &one.repeat(40), Fes::SequenceError);
    assert_eq!(reason, QueueError::QueueOverrun);
}

#[test]
fn every_lie_in_h2cdata_is_noticed() {
    type Lie = fn(&mut DataRange, &mut u8);
    let lies: [(Lie, Fes); 6] = [
        (|r, _| r.ttag ^= 0x1000, Fes::InvalidHeaderField),
        (|r, _| r.ttag = 0xffff, Fes::InvalidHeaderField),
        (|r, _| r.cccid += 1, Fes::InvalidHeaderField),
        (|r, _| r.offset += 4, Fes::OutOfRange),
        (|_, f| *f = 0, Fes::InvalidHeaderField),
        (|r, _| r.len = 65536, Fes::LimitExceeded),
    ];
    for (lie, fes) in lies {
        let config = QueueConfig {
            max_h2c_data: 32768,
            ..QueueConfig::default()
        };
        let mut q = opened(config, Digests::NONE, 0, true);
        let none = Digests::NONE;
        feed(&mut q, &capsule(&sqe(3, 1, 0x5a, 16384), &[], none), 9);
        let slot = command(&mut q);
        q.give_buffer(slot, SgList::zeroed(16384));
        let Repr::R2t(mut range) = pdus(&drain(&mut q, 9), none)[0].repr else {
            panic!("an R2T was expected")
        };
        let mut flags = FLAG_LAST;
        lie(&mut range, &mut flags);
        let data = pattern(range.len as usize);
        refused(&mut q, &h2c(range, flags, &data, none), fes);
    }
}

#[test]
fn plen_that_counts_only_the_header_is_understood() {
    let mut q = opened(QueueConfig::default(), Digests::NONE, 0, true);
    let none = Digests::NONE;
    feed(&mut q, &capsule(&sqe(3, 1, 0x5a, 1024), &[], none), 9);
    let slot = command(&mut q);
    q.give_buffer(slot, SgList::zeroed(1024));
    let Repr::R2t(range) = pdus(&drain(&mut q, 9), none)[0].repr else {
        panic!("an R2T was expected")
    };
    let mut bytes = h2c(range, FLAG_LAST, &pattern(1024), none);
    bytes[4..8].copy_from_slice(&(SHORT_LEN as u32).to_le_bytes());
    feed(&mut q, &bytes, 33);
    assert!(matches!(
        q.next_event(),
        Some(Event::DataReady { intact: true, .. })
    ));
}

#[test]
fn h2ctermreq_ends_without_an_answer() {
    let mut q = opened(QueueConfig::default(), Digests::NONE, 0, true);
    let mut b = [0; SHORT_LEN + 128];
    let n = TermReq::new(Fes::OutOfRange, 7).emit(PduType::H2cTermReq, &[1; 128], &mut b);
    feed(&mut q, &b[..n], 11);
    assert_eq!(
        q.failure(),
        Some(QueueError::HostTerminated { fes: 4, fei: 7 })
    );
    assert!(!q.has_output());
}

proptest::proptest! {
    #[test]
    fn random_bytes_never_panic(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..4000),
        chunk in 1usize..500,
        init in proptest::bool::ANY,
    ) {
        let mut q = if init {
            opened(QueueConfig::default(), Digests::NONE, 0, true)
        } else {
            ControllerQueue::new(QueueConfig::default())
        };
        feed(&mut q, &bytes, chunk);
        while let Some(e) = q.next_event() {
            if let Event::Command { slot } = e {
                q.complete(slot, 0, 0, None);
            }
        }
        drain(&mut q, 100);
    }

    /// A valid stream with a few bytes changed: deeper than noise gets.
    #[test]
    fn mutated_streams_never_panic(
        changes in proptest::collection::vec((0usize..9000, proptest::num::u8::ANY), 0..4),
        chunk in 1usize..500,
    ) {
        let mut bytes = ic_req(Digests::NONE, 3);
        for cid in 0..6 {
            bytes.extend(capsule(&sqe(cid, 1, 0x01, 1024), &pattern(1024), Digests::NONE));
            bytes.extend(capsule(&sqe(cid + 8, 1, 0x5a, 32768), &[], Digests::NONE));
            let range = DataRange { cccid: cid, ttag: cid | 1 << 14, offset: 0, len: 64 };
            bytes.extend(h2c(range, FLAG_LAST, &pattern(64), Digests::NONE));
        }
        for (at, b) in changes {
            let n = bytes.len();
            bytes[at % n] = b;
        }
        let mut q = ControllerQueue::new(QueueConfig::default());
        q.open(64, false, true);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let n = chunk.min(rest.len());
            feed(&mut q, &rest[..n], chunk);
            rest = &rest[n..];
            while let Some(e) = q.next_event() {
                match e {
                    Event::Command { slot } => match q.shape(slot) {
                        Shape::Capsule(len) | Shape::Transport(len) if len <= 1 << 20 => {
                            if q.give_buffer(slot, SgList::zeroed(len as usize)) == Fetch::Ready {
                                q.complete(slot, 0, 0, None);
                            }
                        }
                        _ => q.complete(slot, 0, 0, None),
                    },
                    Event::DataReady { slot, .. } => q.complete(slot, 0, 0, None),
                    Event::Released { .. } => {}
                }
            }
            drain(&mut q, 300);
        }
    }
}
