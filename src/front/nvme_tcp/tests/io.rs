//! I/O commands: data both ways in every form, and every error status.

use super::*;

const ALL: Digests = Digests {
    header: true,
    data: true,
};

#[test]
fn data_comes_back_as_written_in_every_form() {
    for (digests, flow_off) in [(Digests::NONE, false), (ALL, false), (ALL, true)] {
        let mut w = World::with(queue(|q| {
            q.r2t_size = 16 * 1024;
            q.c2h_size = 8 * 1024;
        }));
        let (_, cntlid) = w.admin_with("a", 0, digests);
        let io = w.open("a", digests);
        let mut c = connect_sqe(1, 127, 0);
        c[46] = u8::from(flow_off) * 4;
        assert_eq!(w.call(io, c, &connect_data(cntlid)).status, 0);
        for (n, blocks) in [1u32, 8, 16, 17, 128, 2048].into_iter().enumerate() {
            let data = pattern(blocks as usize * 512, n as u8);
            let mut write = rw(1, 16, blocks);
            if blocks <= 16 && n % 2 == 0 {
                write = inline(write);
            }
            assert_eq!(w.call(io, write, &data).status, 0);
            let a = w.call(io, rw(2, 16, blocks), &[]);
            assert_eq!(a.status, 0);
            assert!(a.data == data, "{blocks} blocks");
        }
        let s = w.status();
        let counters = s.connections.iter().find(|c| c.qid == 1).unwrap().counters;
        assert_eq!(counters.copied_bytes_large, 0);
        assert_eq!(s.buffer_bytes, 0, "every buffer has come back");
    }
}

#[test]
fn a_full_queue_is_served() {
    let mut w = World::new();
    let (_, cntlid) = w.admin("a", 0);
    let io = w.io_with("a", cntlid, 1, Digests::NONE, 63);
    for round in 0..4 {
        let cids: Vec<u16> = (0..64)
            .map(|n| match n % 3 {
                0 => w.send(io, inline(rw(1, n, 8)), &pattern(4096, n as u8)),
                1 => w.send(io, rw(2, n, 8), &[]),
                _ => w.send(io, rw(1, n, 64), &pattern(32768, n as u8)),
            })
            .collect();
        w.run(10);
        for cid in cids {
            let a = w.answer(io, cid).unwrap_or_else(|| panic!("round {round}"));
            assert_eq!(a.status, 0);
        }
    }
    assert_eq!(w.status().buffer_bytes, 0);
}

#[test]
fn the_other_commands_do_what_they_say() {
    let mut w = World::new();
    let (_, _, io) = w.association("a", 0);
    w.call(io, rw(1, 0, 64), &pattern(32768, 9));
    assert_eq!(w.call(io, sqe(0x00, 1, 0), &[]).status, 0);
    assert_eq!(
        w.call(io, rw(5, 0, 8), &pattern(32768, 9)[..4096]).status,
        0
    );
    assert_eq!(w.call(io, rw(5, 1, 8), &pattern(4096, 9)).status, 0x4285);
    let mut zeroes = rw(8, 2, 2);
    zeroes[32..36].fill(0);
    assert_eq!(w.call(io, zeroes, &[]).status, 0);
    assert_eq!(w.ports.data[1024..2048], [0; 1024]);
    let mut ranges = vec![0; 32];
    ranges[4] = 4;
    ranges[8] = 8;
    ranges[20] = 1;
    ranges[24] = 20;
    let dsm = dword(dword(sqe(0x09, 1, 32), 10, 1), 11, 4);
    assert_eq!(w.call(io, inline(dsm), &ranges).status, 0);
    assert_eq!(w.ports.data[8 * 512..12 * 512], [0; 2048]);
    let last = &w.ports.log[w.ports.log.len() - 2..];
    assert_eq!(last, [(Op::Discard, 8, 4), (Op::Discard, 20, 1)]);
    ranges[25] = 0xff;
    assert_eq!(w.call(io, inline(dsm), &ranges).status, 0x4080);
    let hint = dword(sqe(0x09, 1, 32), 10, 1);
    let done = w.ports.log.len();
    ranges[25] = 0;
    assert_eq!(w.call(io, inline(hint), &ranges).status, 0);
    assert_eq!(w.ports.log.len(), done, "a hint changes nothing");
}

#[test]
fn every_refusal_has_its_status() {
    let mut w = World::new();
    let (_, _, io) = w.association("a", 0);
    let cases: [([u8; 64], u16); 9] = [
        (sqe(0x7a, 1, 0), 0x4001),
        (rw(2, 4096, 1), 0x4080),
        (rw(2, u64::MAX, 1), 0x4080),
        (dword(rw(2, 0, 1), 1, 9), 0x400b),
        (dword(rw(2, 0, 2), 8, 512), 0x400f),
        (rw(2, 0, 2049), 0x4002),
        (
            {
                let mut s = rw(2, 0, 1);
                s[39] = 0x40;
                s
            },
            0x4011,
        ),
        (
            {
                let mut s = rw(2, 0, 1);
                s[1] = 1;
                s
            },
            0x4002,
        ),
        (sqe(0x00, 0, 0), 0x400b),
    ];
    for (s, status) in cases {
        assert_eq!(w.call(io, s, &[]).status, status, "{s:?}");
    }
    let mut offset = inline(rw(1, 0, 1));
    offset[24] = 8;
    assert_eq!(w.call(io, offset, &[0; 512]).status, 0x4016);
    let short = dword(inline(rw(1, 0, 1)), 8, 256);
    assert_eq!(w.call(io, short, &[0; 512]).status, 0x400f);
    assert_eq!(w.call(io, rw(2, 0, 1), &[]).status, 0, "the queue goes on");
}

#[test]
fn errors_below_become_statuses() {
    let mut w = World::new();
    let (_, _, io) = w.association("a", 0);
    for (kind, read, write) in [
        (ErrorKind::Medium, 0x281, 0x280),
        (ErrorKind::NoSpace, 0x4081, 0x4081),
        (ErrorKind::NoPath, 0x300, 0x300),
        (ErrorKind::OutcomeUnknown, 0x4006, 0x4006),
        (ErrorKind::ReservationConflict, 0x4083, 0x4083),
        (ErrorKind::WriteProtected, 0x4020, 0x4020),
        (ErrorKind::Device, 0x006, 0x006),
        (ErrorKind::Aborted, 0x007, 0x007),
    ] {
        w.ports.error = Some(kind);
        let a = w.call(io, rw(2, 0, 1), &[]);
        assert_eq!((a.status, a.data.len()), (read, 0));
        assert_eq!(w.call(io, inline(rw(1, 0, 1)), &[0; 512]).status, write);
    }
}

#[test]
fn a_lun_that_is_not_known_yet_is_not_ready() {
    let mut w = World::new();
    let (h, _, io) = w.association("a", 0);
    w.ports.known = false;
    w.run(5);
    assert_eq!(w.call(io, rw(2, 0, 1), &[]).status, 0x082);
    // With ACRE the host is told to wait CRDT1.
    let mut behaviour = sqe(0x09, 0, 512);
    behaviour[40] = 0x16;
    w.call(h, inline(behaviour), &[1; 512]);
    assert_eq!(w.call(io, rw(2, 0, 1), &[]).status, 0x082 | 1 << 11);
    w.ports.known = true;
    w.run(5);
    assert_eq!(w.call(io, rw(2, 0, 1), &[]).status, 0);
}

#[test]
fn access_states_decide_where_io_arrives() {
    let mut w = World::new();
    let (_, _, a) = w.association("a", 0);
    let (_, _, b) = w.association("b", 0);
    for (state, status) in [
        (AnaState::Inaccessible, 0x302),
        (AnaState::PersistentLoss, 0x301),
        (AnaState::Change, 0x303),
        (AnaState::NonOptimized, 0),
    ] {
        w.target.set_access(2, state).unwrap();
        assert_eq!(w.call(a, rw(2, 0, 1), &[]).status, 0);
        assert_eq!(w.call(b, rw(2, 0, 1), &[]).status, status);
    }
    assert_eq!(
        w.target.set_access(9, AnaState::Optimized),
        Err(TargetError::NoGroup(9))
    );
}

#[test]
fn commands_wait_for_buffers_in_order() {
    let mut w = World::new();
    w.target.buffers = Buffers::new(1 << 20);
    let (_, _, io) = w.association("a", 0);
    let data = pattern(256 * 1024, 3);
    let cids: Vec<u16> = (0..12)
        .map(|n| {
            if n % 2 == 0 {
                w.send(io, rw(1, n * 8, 512), &data)
            } else {
                w.send(io, rw(2, n * 8, 512), &[])
            }
        })
        .collect();
    w.run(40);
    for cid in cids {
        assert_eq!(w.answer(io, cid).map(|a| a.status), Some(0));
    }
    let s = w.status();
    assert!(s.counters.starved > 0);
    assert_eq!(s.buffer_bytes, 0);
}

#[test]
fn a_wrong_data_digest_is_a_transient_transport_error() {
    let mut w = World::new();
    let (_, cntlid) = w.admin_with("a", 0, ALL);
    let io = w.io_with("a", cntlid, 1, ALL, 31);
    let cid = w.send(io, rw(1, 0, 32), &pattern(16384, 1));
    // The bytes have left the script: spoil them on the way by answering R2T differently.
    w.hosts[io].writes.insert(cid, pattern(16384, 2));
    w.hosts[io].digests = ALL;
    w.run(5);
    assert_eq!(w.answer(io, cid).unwrap().status, 0);
    let mut b = vec![0; HEADER_AREA];
    let mut s = inline(rw(1, 0, 1));
    s[2] = 0x77;
    let n = CapsuleCmd::emit(&s, 512, ALL, 4, &mut b);
    b.truncate(n);
    b.extend_from_slice(&[5; 512]);
    b.extend_from_slice(&[0; 4]);
    w.bytes(io, &b);
    assert_eq!(w.answer(io, 0x77).unwrap().status, 0x022);
    assert!(!w.hosts[io].gone);
}

#[test]
fn a_malformed_pdu_ends_the_association_with_its_reason() {
    let mut w = World::new();
    let (h, _, io) = w.association("a", 0);
    w.bytes(io, &[0x55; 64]);
    assert_eq!(w.hosts[io].terminated, Some(1));
    assert!(w.hosts[h].gone, "the admin queue goes with it");
    let s = w.status();
    assert_eq!(s.counters.protocol_errors, 1);
    assert!(matches!(s.closed[0].1, CloseReason::Protocol(_)));
    w.run(2000);
    assert!(w.status().connections.is_empty());
    assert!(w.status().controllers.is_empty());
}

#[test]
fn disconnect_closes_the_queue_after_its_answer() {
    let mut w = World::new();
    let (h, cntlid, io) = w.association("a", 0);
    assert_eq!(w.call(io, sqe(0x7f, 8, 0), &[]).status, 0);
    assert!(w.hosts[io].gone && !w.hosts[h].gone);
    w.io("a", cntlid, 1);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn random_commands_never_panic(
        commands in proptest::collection::vec(proptest::array::uniform32(proptest::num::u8::ANY), 1..20),
        admin in proptest::bool::ANY,
    ) {
        let mut w = World::new();
        let (h, _, io) = w.association("a", 0);
        let host = if admin { h } else { io };
        for c in commands {
            let mut s = [0; 64];
            // Mostly known opcodes and sane data pointers, so that it gets deeper.
            s[0] = [c[0], 1, 2, 6, 9, 10, 0x7f, 5][usize::from(c[1] % 8)];
            s[4] = c[2] % 3;
            s[32..34].copy_from_slice(&c[3..5]);
            s[39] = 0x5a;
            s[40..64].copy_from_slice(&c[8..32]);
            w.send(host, s, &[]);
            w.run(1);
        }
        w.run(5);
        let _ = w.status();
    }
}
