//! A session against a small target written from RFC 7143 alone, byte by byte.

use super::connection::{Connection, ConnectionState};
use super::failure::Failure;
use super::info::{SessionConfig, SessionEvent, SessionFailure};
use super::session::Session;
use super::wire::{BHS, be32, data_len, pad, put_data_len, put32};
use crate::base::clock::Time;
use crate::base::crc::crc32c;
use crate::base::iovecs::{RecvVec, SendVec};
use crate::base::request::{Op, Request, Token};
use crate::base::sg::SgList;
use crate::transport::{Sink, Source};

const BLOCK: usize = 512;
const BLOCKS: usize = 4096;

/// Everything that the connection wants to send.
fn pull(c: &mut Connection, now: Time) -> Vec<u8> {
    let mut out = Vec::new();
    while c.has_output() {
        let mut v = SendVec::new();
        c.send_slices(&mut v);
        let at = out.len();
        v.iter().for_each(|s| out.extend_from_slice(s));
        drop(v);
        let n = out.len() - at;
        c.sent(n, now);
    }
    out
}

/// Hands bytes over in pieces of at most `piece`, wherever the connection wants them.
fn push(c: &mut Connection, mut bytes: &[u8], piece: usize, now: Time) {
    while !bytes.is_empty() {
        let mut n = 0;
        {
            let mut v = RecvVec::new();
            c.recv_places(&mut v);
            for place in &mut v {
                let k = place.len().min(bytes.len() - n).min(piece - n);
                place[..k].copy_from_slice(&bytes[n..n + k]);
                n += k;
            }
        }
        if n == 0 {
            return;
        }
        c.received(n, now);
        bytes = &bytes[n..];
    }
}

#[derive(Copy, Clone)]
struct Setup {
    digests: bool,
    immediate: &'static str,
    initial_r2t: &'static str,
    first_burst: u32,
    max_burst: u32,
    max_recv: u32,
    /// Bytes per Data-In.
    data_in: usize,
    /// The status comes with the last Data-In.
    collapse: bool,
    /// MaxCmdSN is this far ahead.
    window: u32,
}

const PLAIN: Setup = Setup {
    digests: false,
    immediate: "Yes",
    initial_r2t: "No",
    first_burst: 65_536,
    max_burst: 262_144,
    max_recv: 65_536,
    data_in: 65_536,
    collapse: true,
    window: 32,
};

struct Write {
    itt: u32,
    at: usize,
    len: usize,
    got: usize,
    /// Data that still comes unasked, or of the R2T that is out.
    expected: usize,
    data_sn: u32,
    r2t_sn: u32,
}

/// One connection of a target with a disk, a word at a time.
struct Target {
    setup: Setup,
    full: bool,
    logins: u32,
    disk: Vec<u8>,
    inbox: Vec<u8>,
    out: Vec<u8>,
    stat_sn: u32,
    exp_cmd_sn: u32,
    write: Option<Write>,
    r2ts: u32,
    /// Sense data for the next READ or WRITE.
    refuse: Option<(u8, u8, u8)>,
    alua: u8,
    capacity_asked: u32,
    pongs: u32,
}

impl Target {
    fn new(setup: Setup) -> Self {
        Self {
            setup,
            full: false,
            logins: 0,
            disk: (0..BLOCK * BLOCKS).map(|i| (i / 7) as u8).collect(),
            inbox: Vec::new(),
            out: Vec::new(),
            stat_sn: 7,
            exp_cmd_sn: 1,
            write: None,
            r2ts: 0,
            refuse: None,
            alua: 0,
            capacity_asked: 0,
            pongs: 0,
        }
    }

    fn send(&mut self, mut b: Vec<u8>, data: &[u8], status: bool) {
        let digests = self.setup.digests && self.full;
        put_data_len(&mut b, data.len() as u32);
        put32(&mut b, 24, self.stat_sn);
        self.stat_sn += u32::from(status);
        put32(&mut b, 28, self.exp_cmd_sn);
        put32(&mut b, 32, self.exp_cmd_sn + self.setup.window - 1);
        if digests {
            let crc = crc32c(&b[..BHS]);
            b.extend_from_slice(&crc.to_le_bytes());
        }
        let mut d = data.to_vec();
        d.resize(data.len() + pad(data.len()), 0);
        if digests && !d.is_empty() {
            let crc = crc32c(&d);
            d.extend_from_slice(&crc.to_le_bytes());
        }
        self.out.extend_from_slice(&b);
        self.out.extend_from_slice(&d);
    }

    fn head(opcode: u8, flags: u8, itt: u32) -> Vec<u8> {
        let mut b = vec![0; BHS];
        b[0] = opcode;
        b[1] = flags;
        put32(&mut b, 16, itt);
        b
    }

    fn take(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
        loop {
            let digest = if self.setup.digests && self.full {
                4
            } else {
                0
            };
            if self.inbox.len() < BHS + digest {
                return;
            }
            let n = data_len(&self.inbox) as usize;
            let padded = n + pad(n);
            let whole = BHS + digest + padded + if n > 0 { digest } else { 0 };
            if self.inbox.len() < whole {
                return;
            }
            let pdu: Vec<u8> = self.inbox.drain(..whole).collect();
            let b = &pdu[..BHS];
            let at = BHS + digest;
            if digest > 0 {
                assert_eq!(pdu[BHS..at], crc32c(b).to_le_bytes(), "header digest");
                if n > 0 {
                    let crc = crc32c(&pdu[at..at + padded]);
                    assert_eq!(pdu[at + padded..], crc.to_le_bytes(), "data digest");
                }
            }
            self.pdu(b, &pdu[at..at + n]);
        }
    }

    fn pdu(&mut self, b: &[u8], data: &[u8]) {
        let itt = be32(b, 16);
        if self.full && b[0] & 0x40 == 0 && b[0] & 0x3f != 0x05 {
            assert_eq!(be32(b, 24), self.exp_cmd_sn, "CmdSN in order");
            self.exp_cmd_sn += 1;
        }
        match b[0] & 0x3f {
            0x03 => self.login(b, data),
            0x00 => {
                if itt == u32::MAX {
                    self.pongs += 1;
                } else {
                    let mut r = Self::head(0x20, 0x80, itt);
                    put32(&mut r, 20, u32::MAX);
                    self.send(r, &[], true);
                }
            }
            0x01 => self.command(b, data),
            0x05 => self.data_out(b, data),
            0x06 => self.send(Self::head(0x26, 0x80, itt), &[], true),
            other => panic!("opcode {other:#x}"),
        }
    }

    fn login(&mut self, b: &[u8], data: &[u8]) {
        let text = String::from_utf8_lossy(data).into_owned();
        let s = self.setup;
        let mut r = Self::head(0x23, b[1], be32(b, 16));
        r[8..14].copy_from_slice(&b[8..14]);
        self.logins += 1;
        // The session has a handle from its last login response on (RFC 7143, 11.13.4).
        r[15] = u8::from(self.logins == 2);
        let keys = if self.logins == 1 {
            assert!(text.contains("TargetName=iqn.t") && text.contains("SessionType=Normal"));
            "TargetPortalGroupTag=3\0AuthMethod=None\0".to_owned()
        } else {
            assert!(text.contains("MaxRecvDataSegmentLength="));
            let d = if s.digests { "CRC32C" } else { "None" };
            format!(
                "HeaderDigest={d}\0DataDigest={d}\0InitialR2T={}\0ImmediateData={}\0MaxBurstLength={}\0\
                 FirstBurstLength={}\0MaxRecvDataSegmentLength={}\0MaxOutstandingR2T=1\0",
                s.initial_r2t, s.immediate, s.max_burst, s.first_burst, s.max_recv
            )
        };
        self.send(r, keys.as_bytes(), true);
        self.full = self.logins == 2;
    }

    fn respond(&mut self, itt: u32, status: u8, sense: Option<(u8, u8, u8)>) {
        let mut r = Self::head(0x21, 0x80, itt);
        r[3] = status;
        let mut data = Vec::new();
        if let Some((k, a, q)) = sense {
            data = vec![
                0, 18, 0x70, 0, k, 0, 0, 0, 0, 10, 0, 0, 0, 0, a, q, 0, 0, 0, 0,
            ];
        }
        self.send(r, &data, true);
    }

    fn command(&mut self, b: &[u8], data: &[u8]) {
        let itt = be32(b, 16);
        let len = be32(b, 20) as usize;
        let cdb = &b[32..48];
        let answer: Vec<u8> = match cdb[0] {
            0xa0 => [
                &16_u32.to_be_bytes()[..],
                &[0; 4],
                &[0; 8],
                &[0, 1, 0, 0, 0, 0, 0, 0],
            ]
            .concat(),
            0x12 if cdb[1] & 1 == 0 => {
                let mut d = vec![0; 36];
                // LUN 0 is a controller device; LUN 1 has implicit ALUA.
                d[0] = if b[9] == 0 { 0x0c } else { 0 };
                d[5] = 0x10;
                d
            }
            0x12 if cdb[2] == 0 => vec![0, 0, 0, 3, 0x00, 0x80, 0x83],
            0x12 if cdb[2] == 0x80 => b"\0\x80\0\x04 SN1".to_vec(),
            0x12 => {
                let mut d = vec![0, 0x83, 0, 28, 1, 3, 0, 8, 0x60, 1, 2, 3, 4, 5, 6, 7];
                d.extend([1, 0x14, 0, 4, 0, 0, 0, 9, 1, 0x15, 0, 4, 0, 0, 0, 2]);
                d
            }
            0xa3 => [
                &12_u32.to_be_bytes()[..],
                &[self.alua, 0, 0, 2, 0, 0, 0, 1],
                &[0, 0, 0, 9],
            ]
            .concat(),
            0x9e => {
                self.capacity_asked += 1;
                if self.capacity_asked == 1 {
                    // Power on: absorbed.
                    return self.respond(itt, 2, Some((6, 0x29, 0)));
                }
                if !matches!(self.alua, 0 | 1) {
                    return self.respond(itt, 2, Some((2, 4, 0x0b)));
                }
                let mut d = vec![0; 32];
                d[..8].copy_from_slice(&(BLOCKS as u64 - 1).to_be_bytes());
                d[8..12].copy_from_slice(&(BLOCK as u32).to_be_bytes());
                d
            }
            0x1a => [&[0, 0, 0x10, 0][..], &[8, 0x12, 4], &[0; 17]].concat(),
            0x88 => {
                if let Some(s) = self.refuse.take() {
                    return self.respond(itt, 2, Some(s));
                }
                let at = be32(cdb, 6) as usize * BLOCK;
                self.disk[at..at + len].to_vec()
            }
            0x8a => return self.write(b, data),
            other => panic!("CDB {other:#x}"),
        };
        let answer = &answer[..answer.len().min(len)];
        let step = self.setup.data_in;
        let mut at = 0;
        for (sn, part) in answer.chunks(step).enumerate() {
            let last = at + part.len() == answer.len();
            let s = u8::from(last && self.setup.collapse);
            let mut r = Self::head(0x25, if last { 0x80 } else { 0 } | s, itt);
            put32(&mut r, 36, sn as u32);
            put32(&mut r, 40, at as u32);
            let part = part.to_vec();
            self.send(r, &part, s == 1);
            at += part.len();
        }
        if !self.setup.collapse {
            self.respond(itt, 0, None);
        }
    }

    fn write(&mut self, b: &[u8], data: &[u8]) {
        let (itt, len) = (be32(b, 16), be32(b, 20) as usize);
        let at = be32(&b[32..48], 6) as usize * BLOCK;
        assert!(self.write.is_none(), "the tests write one at a time");
        if self.setup.immediate == "No" {
            assert!(data.is_empty(), "no immediate data");
        }
        self.disk[at..at + data.len()].copy_from_slice(data);
        let unsolicited = if b[1] & 0x80 != 0 {
            0
        } else {
            assert_eq!(self.setup.initial_r2t, "No");
            len.min(self.setup.first_burst as usize) - data.len()
        };
        self.write = Some(Write {
            itt,
            at,
            len,
            got: data.len(),
            expected: unsolicited,
            data_sn: 0,
            r2t_sn: 0,
        });
        self.advance();
    }

    fn data_out(&mut self, b: &[u8], data: &[u8]) {
        let w = self.write.as_mut().expect("data for a write");
        assert_eq!((be32(b, 16), be32(b, 36)), (w.itt, w.data_sn));
        assert_eq!(be32(b, 40) as usize, w.got, "in order");
        assert!(data.len() <= self.setup.max_recv as usize && data.len() <= w.expected);
        let from = w.at + w.got;
        self.disk[from..from + data.len()].copy_from_slice(data);
        w.got += data.len();
        w.expected -= data.len();
        w.data_sn += 1;
        assert_eq!(b[1] & 0x80 != 0, w.expected == 0, "F ends the sequence");
        self.advance();
    }

    fn advance(&mut self) {
        let Some(w) = &mut self.write else { return };
        if w.expected > 0 {
            return;
        }
        if w.got == w.len {
            let itt = w.itt;
            self.write = None;
            return self.respond(itt, 0, None);
        }
        let n = (w.len - w.got).min(self.setup.max_burst as usize);
        let mut r = Self::head(0x31, 0x80, w.itt);
        put32(&mut r, 20, 0x55);
        put32(&mut r, 36, w.r2t_sn);
        put32(&mut r, 40, w.got as u32);
        put32(&mut r, 44, n as u32);
        w.r2t_sn += 1;
        w.expected = n;
        w.data_sn = 0;
        self.r2ts += 1;
        self.send(r, &[], false);
    }
}

struct Pair {
    session: Session,
    target: Target,
    now: Time,
    piece: usize,
}

impl Pair {
    fn new(setup: Setup) -> Self {
        let mut config = SessionConfig::new("iqn.i".into(), "iqn.t".into(), [0x80, 0, 0, 0, 0, 1]);
        config.header_digest = setup.digests;
        config.data_digest = setup.digests;
        let mut session = Session::new(config);
        session.connected(Time::ZERO);
        Self {
            session,
            target: Target::new(setup),
            now: Time::ZERO,
            piece: usize::MAX,
        }
    }

    /// Runs until nobody has anything to say.
    fn run(&mut self) {
        loop {
            let bytes = pull(self.session.connection_mut(), self.now);
            self.target.take(&bytes);
            let out = std::mem::take(&mut self.target.out);
            if bytes.is_empty() && out.is_empty() {
                return;
            }
            push(self.session.connection_mut(), &out, self.piece, self.now);
            self.session.poll(self.now);
        }
    }

    fn up(setup: Setup) -> Self {
        let mut p = Self::new(setup);
        p.run();
        assert_eq!(p.session.poll_event(), Some(SessionEvent::Up));
        p
    }

    fn io(&mut self, op: Op, lba: u64, data: Vec<u8>) -> (Token, u8, Option<(u8, u8, u8)>) {
        let mut t = Request::new();
        t.op = op;
        t.lba = lba;
        t.blocks = (data.len() / BLOCK) as u32;
        let mut sg = SgList::zeroed(data.len());
        sg.write_at(0, &data);
        t.data = sg;
        self.session.submit(1, t, self.now).expect("room");
        self.run();
        let mut got = None;
        self.session.drain_io(|t, c| {
            assert!(!c.damaged && c.response == 0);
            got = Some((t, c.status, super::scsi::parse_sense(c.sense())));
        });
        got.expect("it completed")
    }

    fn roundtrip(&mut self, lba: u64, len: usize) {
        let data: Vec<u8> = (0..len).map(|i| (i * 31 + lba as usize) as u8).collect();
        let (_, status, _) = self.io(Op::Write, lba, data.clone());
        assert_eq!(status, 0);
        let at = lba as usize * BLOCK;
        assert!(
            self.target.disk[at..at + len] == data[..],
            "what was written"
        );
        let (t, status, _) = self.io(Op::Read, lba, vec![0; len]);
        assert_eq!(status, 0);
        let mut back = vec![0; len];
        t.data.read_at(0, &mut back);
        assert!(back == data, "what was read");
    }
}

#[test]
fn comes_up_and_knows_its_unit() {
    let p = Pair::up(PLAIN);
    let [u] = p.session.units() else {
        panic!("one block device")
    };
    assert_eq!((u.lun, u.block_size, u.blocks), (1, 512, 4096));
    assert_eq!(u.serial, "SN1");
    assert_eq!(
        u.designators.naa.as_deref(),
        Some(&[0x60, 1, 2, 3, 4, 5, 6, 7][..])
    );
    assert_eq!((u.tpgs, u.group, u.state), (1, 2, 0));
    assert!(u.write_cache && u.dpofua);
    assert_eq!(p.session.target_portal_group(), Some(3));
}

#[test]
fn data_goes_every_way_that_can_be_negotiated() {
    let mut seen_r2t = false;
    for digests in [false, true] {
        for (immediate, initial_r2t) in [("Yes", "No"), ("No", "No"), ("Yes", "Yes"), ("No", "Yes")]
        {
            for (first_burst, max_burst, max_recv) in [(65_536, 262_144, 65_536), (1024, 4096, 512)]
            {
                for (data_in, collapse, piece) in [(65_536, true, usize::MAX), (1000, false, 61)] {
                    let mut p = Pair::up(Setup {
                        digests,
                        immediate,
                        initial_r2t,
                        first_burst,
                        max_burst,
                        max_recv,
                        data_in,
                        collapse,
                        ..PLAIN
                    });
                    p.piece = piece;
                    for len in [512, 4096, 65_536, 65_536 + 512] {
                        p.roundtrip(8, len);
                    }
                    seen_r2t |= p.target.r2ts > 0;
                    if piece == usize::MAX {
                        let c = p.session.connection().counters();
                        assert_eq!(c.copied_bytes_large, 0, "I11");
                    }
                }
            }
        }
    }
    assert!(seen_r2t);
}

#[test]
fn sense_data_comes_up_and_the_connection_goes_on() {
    let mut p = Pair::up(PLAIN);
    p.target.refuse = Some((3, 0x11, 0));
    let (_, status, sense) = p.io(Op::Read, 0, vec![0; 512]);
    assert_eq!((status, sense), (2, Some((3, 0x11, 0))));
    p.roundtrip(0, 4096);
}

#[test]
fn a_standby_path_is_up_and_learns_its_capacity_when_it_becomes_active() {
    let mut p = Pair::new(PLAIN);
    p.target.alua = 2;
    p.run();
    assert_eq!(p.session.poll_event(), Some(SessionEvent::Up));
    assert_eq!(
        (p.session.units()[0].state, p.session.units()[0].block_size),
        (2, 0)
    );
    p.target.alua = 0;
    p.session.reread_access(p.now);
    p.run();
    assert_eq!(p.session.units()[0].state, 0);
    assert_eq!(p.session.units()[0].blocks, 4096);
    let mut events = Vec::new();
    while let Some(e) = p.session.poll_event() {
        events.push(e);
    }
    assert!(events.contains(&SessionEvent::AccessChanged));
    assert!(events.contains(&SessionEvent::UnitsChanged));
}

#[test]
fn the_command_window_of_the_target_is_kept() {
    let mut p = Pair::up(Setup { window: 3, ..PLAIN });
    for n in 0..3 {
        let mut t = Request::new();
        t.lba = n;
        t.blocks = 1;
        t.data = SgList::zeroed(512);
        assert!(p.session.submit(1, t, p.now).is_ok());
    }
    assert_eq!(p.session.free_slots(), 0);
    assert!(p.session.submit(1, Request::new(), p.now).is_err());
    p.run();
    assert_eq!(p.session.free_slots(), 3);
}

#[test]
fn pings_go_both_ways_and_silence_ends_the_session() {
    let mut p = Pair::up(PLAIN);
    let mut ping = Target::head(0x20, 0x80, u32::MAX);
    put32(&mut ping, 20, 9);
    p.target.send(ping, &[], false);
    p.run();
    assert_eq!(p.target.pongs, 1);
    // Our own ping is answered.
    p.now = p.session.next_deadline();
    p.session.poll(p.now);
    p.run();
    assert!(p.session.poll_event().is_none());
    // The access states are read meanwhile; then nothing comes any more.
    for _ in 0..64 {
        p.now = p.session.next_deadline().max(p.now);
        p.session.poll(p.now);
        let _lost = pull(p.session.connection_mut(), p.now);
        if let Some(e) = p.session.poll_event() {
            assert!(matches!(
                e,
                SessionEvent::Failed(
                    SessionFailure::NopTimeout { .. } | SessionFailure::NoAnswer { .. }
                )
            ));
            return;
        }
    }
    panic!("silence was not noticed");
}

#[test]
fn an_orderly_end_is_acknowledged() {
    let mut p = Pair::up(PLAIN);
    p.session.shutdown(p.now);
    p.run();
    assert_eq!(p.session.poll_event(), Some(SessionEvent::LoggedOut));
}

#[test]
fn a_target_that_asks_for_a_logout_gets_it_and_the_session_ends() {
    let mut p = Pair::up(PLAIN);
    let mut message = Target::head(0x32, 0x80, u32::MAX);
    message[36] = 1;
    p.target.send(message, &[], true);
    p.run();
    assert_eq!(
        p.session.poll_event(),
        Some(SessionEvent::Failed(SessionFailure::TargetEnds {
            event: 1
        }))
    );
}

#[test]
fn lost_answers_wrong_tags_and_wrong_opcodes_end_the_connection() {
    type Case = (fn(&mut Target), fn(Failure) -> bool);
    let spoil: [Case; 4] = [
        (
            |t| {
                t.stat_sn += 1;
                t.respond(0, 0, None);
            },
            |f| matches!(f, Failure::StatSn { .. }),
        ),
        (
            |t| t.respond(0x1234_0001, 0, None),
            |f| matches!(f, Failure::UnknownTask { .. }),
        ),
        (
            |t| t.send(Target::head(0x3e, 0x80, 0), &[], false),
            |f| matches!(f, Failure::UnexpectedPdu { opcode: 0x3e }),
        ),
        (
            |t| t.send(Target::head(0x3f, 0x80, u32::MAX), &[0; BHS], true),
            |f| matches!(f, Failure::Rejected { .. }),
        ),
    ];
    for (n, (act, expected)) in spoil.into_iter().enumerate() {
        let mut p = Pair::up(PLAIN);
        act(&mut p.target);
        p.run();
        let failure = p.session.connection().failure().expect("it failed");
        assert!(expected(failure), "case {n}: {failure}");
        assert_eq!(p.session.connection().state(), ConnectionState::Failed);
    }
}

#[test]
fn a_refused_login_says_why() {
    let mut p = Pair::new(PLAIN);
    let _ = pull(p.session.connection_mut(), p.now);
    let mut r = Target::head(0x23, 0x81, 1);
    r[36] = 2;
    r[37] = 3;
    p.target.send(r, &[], true);
    p.run();
    let Some(SessionEvent::Failed(f)) = p.session.poll_event() else {
        panic!("failed")
    };
    assert!(f.to_string().contains("no such target"), "{f}");
}

#[test]
fn a_connection_too_many_is_an_error() {
    let mut p = Pair::new(PLAIN);
    for ix in 1..super::CONNECTIONS_MAX {
        assert_eq!(p.session.add_connection(1, false), Ok(ix));
    }
    let more = p.session.add_connection(1, false);
    assert_eq!(more, Err(super::MemberError::TooMany));
}
