//! A target in virtual time, and a scripted host that says exactly what a test wants.

mod admin;
mod connect;
mod faults;
mod io;
mod pair;

use super::*;
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::{Op, RequestPool};
use crate::lun::port::Geometry;
use crate::proto::nvme::controller::Limits;
use crate::proto::nvme::fabrics::ConnectData;
use crate::proto::nvme_tcp::controller::QueueConfig;
use crate::proto::nvme_tcp::pdu::{
    CapsuleCmd, DataRange, Digests, FLAG_LAST, HEADER_AREA, Header, IcReq, PduType, Repr,
};
use crate::transport::pipe::{PipeConn, PipeNet};
use crate::transport::raw::Raw;
use std::collections::HashMap;

pub(super) const NQN: &str = "nqn.2026-01.io.umpio:test";
pub(super) const HOST: &str = "nqn.2026-01.io.umpio:host";
const BLOCKS: u64 = 4096;

/// LUNs in memory, which can be told to be slow or to fail.
#[derive(Debug)]
pub(super) struct MemPorts {
    pub(super) data: Vec<u8>,
    pool: RequestPool,
    queued: Vec<(PortId, Token)>,
    /// Nothing completes while this is set.
    pub(super) stuck: bool,
    pub(super) error: Option<ErrorKind>,
    pub(super) known: bool,
    pub(super) blocks: u64,
    /// Every operation carried out, in order: what, where, how long.
    pub(super) log: Vec<(Op, u64, u32)>,
}

impl MemPorts {
    fn new() -> Self {
        Self {
            data: vec![0; BLOCKS as usize * 512],
            pool: RequestPool::default(),
            queued: Vec::new(),
            stuck: false,
            error: None,
            known: true,
            blocks: BLOCKS,
            log: Vec::new(),
        }
    }

    fn carry_out(&mut self, t: &mut Token) {
        t.result = Ok(());
        if let Some(kind) = self.error {
            t.result = Err(IoError::new(kind));
            return;
        }
        self.log.push((t.op, t.lba, t.blocks));
        let at = t.lba as usize * 512;
        let len = t.blocks as usize * 512;
        match t.op {
            Op::Read => t.data.write_at(0, &self.data[at..at + len]),
            Op::Write => t.data.read_at(0, &mut self.data[at..at + len]),
            Op::WriteZeroes | Op::Discard => self.data[at..at + len].fill(0),
            Op::Compare => {
                let mut b = vec![0; len];
                t.data.read_at(0, &mut b);
                if b != self.data[at..at + len] {
                    t.result = Err(IoError::new(ErrorKind::Miscompare));
                }
            }
            _ => {}
        }
    }
}

impl Ports for MemPorts {
    fn geometry(&self, _: PortId) -> Option<Geometry> {
        self.known.then(|| Geometry {
            block_size: 512,
            blocks: self.blocks,
            max_transfer_blocks: 2048,
            volatile_cache: true,
            discard: true,
            write_zeroes: true,
            compare: true,
            compare_and_write: true,
            identity: Identity::default(),
        })
    }
    fn take(&mut self) -> Token {
        self.pool.get()
    }
    fn recycle(&mut self, token: Token) {
        self.pool.put(token);
    }
    fn submit(&mut self, port: PortId, token: Token) {
        self.queued.push((port, token));
    }
    fn completions(&mut self, port: PortId, out: &mut Vec<Token>) {
        if self.stuck {
            return;
        }
        let (mine, rest) = std::mem::take(&mut self.queued)
            .into_iter()
            .partition(|(p, _)| *p == port);
        self.queued = rest;
        let mine: Vec<(PortId, Token)> = mine;
        for (_, mut t) in mine {
            self.carry_out(&mut t);
            out.push(t);
        }
    }
}

/// An answer as a host sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) result: u64,
    pub(super) status: u16,
    pub(super) sqhd: u16,
    pub(super) data: Vec<u8>,
}

/// A scripted host's connection.
#[derive(Debug)]
pub(super) struct Host {
    conn: Option<PipeConn>,
    raw: Raw,
    pub(super) digests: Digests,
    answers: HashMap<u16, Answer>,
    reads: HashMap<u16, Vec<u8>>,
    writes: HashMap<u16, Vec<u8>>,
    next_cid: u16,
    pub(super) gone: bool,
    pub(super) terminated: Option<u16>,
}

/// A target, its LUN and its network.
pub(super) struct World {
    pub(super) target: Target,
    pub(super) ports: MemPorts,
    pub(super) net: PipeNet,
    pub(super) now: Time,
    pub(super) hosts: Vec<Host>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    /// Two portals, "a" in group 1 and "b" in group 2, over one LUN.
    pub(super) fn with(change: impl Fn(&mut PortalConfig)) -> Self {
        let net = PipeNet::new();
        let ports = MemPorts::new();
        let mut target = Target::new(TargetConfig::default());
        for (name, group) in [("a", 1), ("b", 2)] {
            let mut p = PortalConfig::new(Listener::pipe(&net, name));
            p.group = group;
            change(&mut p);
            target.add_portal(p);
        }
        target.add_subsystem(SubsystemConfig::new(NQN)).unwrap();
        let identity = Identity {
            uuid: Some([7; 16]),
            nguid: Some([8; 16]),
            ..Identity::default()
        };
        target
            .add_namespace(NQN, 1, PortId(0), &identity, &ports)
            .unwrap();
        Self {
            target,
            ports,
            net,
            now: Time::from_nanos(1_000_000),
            hosts: Vec::new(),
        }
    }

    /// A connection, with ICReq sent and answered.
    pub(super) fn open(&mut self, portal: &str, digests: Digests) -> usize {
        let conn = self.net.connect(portal, self.now).unwrap();
        let mut h = Host {
            conn: Some(conn),
            raw: Raw::default(),
            digests: Digests::NONE,
            answers: HashMap::new(),
            reads: HashMap::new(),
            writes: HashMap::new(),
            next_cid: 1,
            gone: false,
            terminated: None,
        };
        let mut b = [0; HEADER_AREA];
        let n = IcReq {
            pfv: 0,
            hpda: 0,
            digests,
            max_r2t: 3,
        }
        .emit(&mut b);
        h.raw.tx.extend_from_slice(&b[..n]);
        self.hosts.push(h);
        self.run(5);
        self.hosts.len() - 1
    }

    /// Lets milliseconds pass.
    pub(super) fn run(&mut self, ms: u64) {
        for _ in 0..ms * 20 {
            self.now += Duration::from_micros(50);
            while self.target.poll(&mut self.ports, self.now) {}
            for h in &mut self.hosts {
                h.turn(self.now);
            }
        }
    }

    /// Sends a command and waits for its answer.
    pub(super) fn call(&mut self, host: usize, sqe: [u8; 64], data: &[u8]) -> Answer {
        let cid = self.send(host, sqe, data);
        self.run(5);
        self.hosts[host]
            .answers
            .remove(&cid)
            .unwrap_or_else(|| panic!("no answer to {:#04x} on {:?}", sqe[0], self.hosts[host]))
    }

    /// Sends a command.
    pub(super) fn send(&mut self, host: usize, mut sqe: [u8; 64], data: &[u8]) -> u16 {
        let h = &mut self.hosts[host];
        let cid = h.next_cid;
        h.next_cid += 1;
        sqe[1] |= 0x40;
        sqe[2..4].copy_from_slice(&cid.to_le_bytes());
        let mut b = [0; HEADER_AREA];
        let inline = sqe[39] == 0x01;
        let len = if inline { data.len() as u32 } else { 0 };
        let n = CapsuleCmd::emit(&sqe, len, h.digests, 4, &mut b);
        h.raw.tx.extend_from_slice(&b[..n]);
        if inline {
            h.payload(data);
        } else if !data.is_empty() {
            h.writes.insert(cid, data.to_vec());
        }
        h.turn(self.now);
        cid
    }

    pub(super) fn answer(&mut self, host: usize, cid: u16) -> Option<Answer> {
        self.hosts[host].answers.remove(&cid)
    }

    /// Raw bytes, whatever they mean.
    pub(super) fn bytes(&mut self, host: usize, bytes: &[u8]) {
        self.hosts[host].raw.tx.extend_from_slice(bytes);
        self.run(5);
    }

    /// The host's process dies: its connection is reset.
    pub(super) fn kill(&mut self, host: usize) {
        self.hosts[host].conn = None;
        self.hosts[host].gone = true;
    }

    pub(super) fn status(&self) -> TargetStatus {
        self.target.status(self.now)
    }

    /// An enabled controller on a new connection.
    pub(super) fn admin(&mut self, portal: &str, kato_ms: u32) -> (usize, u16) {
        self.admin_with(portal, kato_ms, Digests::NONE)
    }

    pub(super) fn admin_with(&mut self, portal: &str, kato: u32, d: Digests) -> (usize, u16) {
        let h = self.open(portal, d);
        let a = self.call(h, connect_sqe(0, 31, kato), &connect_data(0xffff));
        assert_eq!(a.status, 0, "{a:?}");
        let cntlid = a.result as u16;
        assert_eq!(self.call(h, set_property(0x14, 0x0046_0001), &[]).status, 0);
        assert_eq!(self.call(h, get_property(0x1c, false), &[]).result & 1, 1);
        (h, cntlid)
    }

    /// An I/O queue of a controller.
    pub(super) fn io(&mut self, portal: &str, cntlid: u16, qid: u16) -> usize {
        self.io_with(portal, cntlid, qid, Digests::NONE, 127)
    }

    pub(super) fn io_with(
        &mut self,
        portal: &str,
        cntlid: u16,
        qid: u16,
        digests: Digests,
        sqsize: u16,
    ) -> usize {
        let h = self.open(portal, digests);
        let a = self.call(h, connect_sqe(qid, sqsize, 0), &connect_data(cntlid));
        assert_eq!(a.status, 0, "{a:?}");
        h
    }

    /// A whole association: admin queue, its CNTLID, one I/O queue.
    pub(super) fn association(&mut self, portal: &str, kato_ms: u32) -> (usize, u16, usize) {
        let (admin, cntlid) = self.admin(portal, kato_ms);
        let io = self.io(portal, cntlid, 1);
        (admin, cntlid, io)
    }
}

impl Host {
    fn payload(&mut self, data: &[u8]) {
        self.raw.tx.extend_from_slice(data);
        if self.digests.data && !data.is_empty() {
            let crc = crate::base::crc::crc32c(data);
            self.raw.tx.extend_from_slice(&crc.to_le_bytes());
        }
    }

    fn turn(&mut self, now: Time) {
        let Some(conn) = &mut self.conn else { return };
        if conn.send(&mut self.raw, now).is_err() {
            self.gone = true;
        }
        match conn.recv(&mut self.raw, now) {
            Ok(t) if !t.eof => {}
            _ => self.gone = true,
        }
        self.parse();
        if let Some(conn) = &mut self.conn {
            let _ = conn.send(&mut self.raw, now);
        }
    }

    fn parse(&mut self) {
        let mut at = 0;
        let rx = std::mem::take(&mut self.raw.rx);
        while rx.len() - at >= 8 {
            let bytes = &rx[at..];
            let header = Header::parse(bytes).unwrap();
            let layout = header.layout(self.digests, 4, usize::MAX).unwrap();
            if bytes.len() < layout.total {
                break;
            }
            let repr = Repr::parse(&header, &layout, &bytes[..layout.header]).unwrap();
            let data = &bytes[layout.data..layout.data + layout.data_len];
            if layout.data_digest {
                let crc = crate::base::crc::crc32c(data).to_le_bytes();
                assert_eq!(crc, bytes[layout.total - 4..layout.total]);
            }
            self.take(repr, data);
            at += layout.total;
        }
        self.raw.rx = rx[at..].to_vec();
    }

    fn take(&mut self, repr: Repr, data: &[u8]) {
        match repr {
            Repr::IcResp(r) => self.digests = r.digests,
            Repr::C2hTermReq(t) => self.terminated = Some(t.fes),
            Repr::R2t(r) => self.fulfil(r),
            Repr::C2hData { range, success, .. } => {
                let got = self.reads.entry(range.cccid).or_default();
                assert_eq!(got.len(), range.offset as usize);
                got.extend_from_slice(data);
                if success {
                    self.finish(range.cccid, 0, 0, 0);
                }
            }
            Repr::CapsuleResp(c) => {
                let le = |at: usize| u16::from_le_bytes([c.cqe[at], c.cqe[at + 1]]);
                let result = u64::from_le_bytes(c.cqe[..8].try_into().unwrap());
                self.finish(le(12), result, le(14) >> 1, le(8));
            }
            other => panic!("{other:?}"),
        }
    }

    fn finish(&mut self, cid: u16, result: u64, status: u16, sqhd: u16) {
        let data = self.reads.remove(&cid).unwrap_or_default();
        self.writes.remove(&cid);
        let answer = Answer {
            result,
            status,
            sqhd,
            data,
        };
        assert!(self.answers.insert(cid, answer).is_none(), "answered once");
    }

    fn fulfil(&mut self, r2t: DataRange) {
        let Some(data) = self.writes.get(&r2t.cccid).cloned() else {
            return;
        };
        let part = &data[r2t.offset as usize..(r2t.offset + r2t.len) as usize];
        let mut b = [0; HEADER_AREA];
        let n = r2t.emit_data(PduType::H2cData, FLAG_LAST, self.digests, 4, &mut b);
        self.raw.tx.extend_from_slice(&b[..n]);
        self.payload(part);
    }
}

/// A command; `len` bytes of data by the transport.
pub(super) fn sqe(opcode: u8, nsid: u32, len: u32) -> [u8; 64] {
    let mut s = [0; 64];
    s[0] = opcode;
    s[4..8].copy_from_slice(&nsid.to_le_bytes());
    s[32..36].copy_from_slice(&len.to_le_bytes());
    s[39] = 0x5a;
    s
}

pub(super) fn dword(mut s: [u8; 64], n: usize, v: u32) -> [u8; 64] {
    s[n * 4..n * 4 + 4].copy_from_slice(&v.to_le_bytes());
    s
}

/// The same command with its data in the capsule.
pub(super) fn inline(mut s: [u8; 64]) -> [u8; 64] {
    s[39] = 0x01;
    s
}

pub(super) fn rw(opcode: u8, lba: u64, blocks: u32) -> [u8; 64] {
    let mut s = sqe(opcode, 1, blocks * 512);
    s[40..48].copy_from_slice(&lba.to_le_bytes());
    dword(s, 12, blocks - 1)
}

pub(super) fn connect_sqe(qid: u16, sqsize: u16, kato_ms: u32) -> [u8; 64] {
    let mut s = sqe(0x7f, 1, 1024);
    s[39] = 0x01;
    s[42..44].copy_from_slice(&qid.to_le_bytes());
    s[44..46].copy_from_slice(&sqsize.to_le_bytes());
    dword(s, 12, kato_ms)
}

pub(super) fn connect_data(cntlid: u16) -> [u8; 1024] {
    let mut b = [0; 1024];
    let data = ConnectData {
        hostid: [3; 16],
        cntlid,
        subnqn: Nqn::new(NQN).unwrap(),
        hostnqn: Nqn::new(HOST).unwrap(),
    };
    data.emit(&mut b).unwrap();
    b
}

pub(super) fn set_property(offset: u32, value: u64) -> [u8; 64] {
    let mut s = sqe(0x7f, 0, 0);
    s[48..56].copy_from_slice(&value.to_le_bytes());
    dword(s, 11, offset)
}

pub(super) fn get_property(offset: u32, wide: bool) -> [u8; 64] {
    let mut s = sqe(0x7f, 4, 0);
    s[40] = u8::from(wide);
    dword(s, 11, offset)
}

pub(super) fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8 ^ seed).collect()
}

pub(super) fn limits(change: impl Fn(&mut Limits)) -> impl Fn(&mut PortalConfig) {
    move |p| change(&mut p.limits)
}

pub(super) fn queue(change: impl Fn(&mut QueueConfig)) -> impl Fn(&mut PortalConfig) {
    move |p| change(&mut p.queue)
}
