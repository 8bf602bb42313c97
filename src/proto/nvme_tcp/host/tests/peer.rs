//! The controller's side of a connection, as a script: takes PDUs apart and makes them.

use crate::base::clock::Time;
use crate::base::crc::crc32c;
use crate::base::iovecs::{RecvVec, SendVec};
use crate::base::request::{Op, Request, Token};
use crate::base::sg::SgList;
use crate::proto::nvme::Sqe;
use crate::proto::nvme_tcp::host::{HostQueue, QueueConfig};
use crate::proto::nvme_tcp::pdu::*;
use crate::sys::iobuf::IoBuf;
use crate::transport::{Sink, Source};

pub(super) const NOW: Time = Time::from_nanos(1_000);

/// How bytes reach the queue.
#[derive(Copy, Clone, Debug)]
pub(super) enum Chunks {
    /// As much as the places take.
    Whole,
    /// One byte at a time.
    Bytes,
    /// Splits from a seed.
    Random(u64),
}

/// A small generator of numbers for splits (xorshift).
pub(super) fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// Gives `bytes` to a sink in chunks; returns how many it took before it refused.
pub(super) fn feed(sink: &mut impl Sink, mut bytes: &[u8], mut chunks: Chunks) -> usize {
    let mut taken = 0;
    while !bytes.is_empty() {
        let mut n = match &mut chunks {
            Chunks::Whole => bytes.len(),
            Chunks::Bytes => 1,
            Chunks::Random(seed) => 1 + next(seed) as usize % bytes.len().min(9000),
        };
        n = n.min(bytes.len());
        let mut done = 0;
        {
            let mut places = RecvVec::new();
            sink.recv_places(&mut places);
            for p in &mut places {
                let k = p.len().min(n - done);
                p[..k].copy_from_slice(&bytes[done..done + k]);
                done += k;
            }
        }
        if done == 0 {
            break;
        }
        sink.received(done, NOW);
        bytes = &bytes[done..];
        taken += done;
    }
    taken
}

/// Takes up to `max` bytes from a source in one call.
pub(super) fn pull(source: &mut impl Source, max: usize) -> Vec<u8> {
    let mut out = Vec::new();
    {
        let mut slices = SendVec::new();
        source.send_slices(&mut slices);
        for s in &slices {
            let k = s.len().min(max - out.len());
            out.extend_from_slice(&s[..k]);
        }
    }
    if !out.is_empty() {
        source.sent(out.len(), NOW);
    }
    out
}

/// A PDU as the controller sees it.
#[derive(Debug, PartialEq)]
pub(super) struct Pdu {
    pub(super) repr: Repr,
    pub(super) data: Vec<u8>,
}

/// The controller's end.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) digests: Digests,
    /// Alignment of what the host sends, and of what it wants.
    pub(super) cpda: u8,
    pub(super) hpda: u8,
    pub(super) max_h2c: u32,
    inbox: Vec<u8>,
}

impl Peer {
    pub(super) fn new(digests: Digests) -> Self {
        Self {
            digests,
            cpda: 0,
            hpda: 0,
            max_h2c: 4096,
            inbox: Vec::new(),
        }
    }

    /// Takes everything that the queue wants to send, in calls of up to `max` bytes.
    pub(super) fn take(&mut self, q: &mut impl Source, max: usize) {
        loop {
            let b = pull(q, max);
            if b.is_empty() {
                break;
            }
            self.inbox.extend(b);
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// The next whole PDU; panics on one that is malformed.
    pub(super) fn pdu(&mut self) -> Option<Pdu> {
        if self.inbox.len() < COMMON_LEN {
            return None;
        }
        let header = Header::parse(&self.inbox).unwrap();
        let digests = if header.kind.digested() {
            self.digests
        } else {
            Digests::NONE
        };
        let layout = header
            .layout(digests, pda_bytes(self.cpda), 1 << 30)
            .unwrap();
        if self.inbox.len() < layout.total {
            return None;
        }
        let repr = Repr::parse(&header, &layout, &self.inbox).unwrap();
        let data = self.inbox[layout.data..layout.data + layout.data_len].to_vec();
        if layout.data_digest {
            let at = layout.data + layout.data_len;
            assert_eq!(self.inbox[at..at + 4], crc32c(&data).to_le_bytes());
        }
        self.inbox.drain(..layout.total);
        Some(Pdu { repr, data })
    }

    pub(super) fn pdus(&mut self, q: &mut impl Source) -> Vec<Pdu> {
        self.take(q, usize::MAX);
        let all = std::iter::from_fn(|| self.pdu()).collect();
        assert!(self.inbox.is_empty(), "whole PDUs");
        all
    }

    /// The SQEs of all command capsules that are waiting.
    pub(super) fn commands(&mut self, q: &mut impl Source) -> Vec<([u8; 64], Vec<u8>)> {
        self.pdus(q)
            .into_iter()
            .filter_map(|p| match p.repr {
                Repr::CapsuleCmd(c) => Some((c.sqe, p.data)),
                _ => None,
            })
            .collect()
    }

    pub(super) fn icresp(&self) -> Vec<u8> {
        let mut b = [0; HEADER_AREA];
        let n = IcResp {
            pfv: 0,
            cpda: self.cpda,
            digests: self.digests,
            max_h2c_data: self.max_h2c,
        }
        .emit(&mut b);
        b[..n].to_vec()
    }

    /// A response with a raw status field (shifted as on the wire: SC at bit 1).
    pub(super) fn resp(&self, cid: u16, status: u16) -> Vec<u8> {
        self.resp_full(cid, status, 0, 0)
    }

    pub(super) fn resp_full(&self, cid: u16, status: u16, result: u64, sq_head: u16) -> Vec<u8> {
        let mut cqe = [0; 16];
        cqe[..8].copy_from_slice(&result.to_le_bytes());
        cqe[8..10].copy_from_slice(&sq_head.to_le_bytes());
        cqe[12..14].copy_from_slice(&cid.to_le_bytes());
        cqe[14..16].copy_from_slice(&(status << 1).to_le_bytes());
        let mut b = [0; HEADER_AREA];
        let n = CapsuleResp::emit(&cqe, self.digests, &mut b);
        b[..n].to_vec()
    }

    pub(super) fn data(&self, cid: u16, offset: u32, data: &[u8], flags: u8) -> Vec<u8> {
        let range = DataRange {
            cccid: cid,
            ttag: 0,
            offset,
            len: data.len() as u32,
        };
        let mut b = [0; HEADER_AREA];
        let align = pda_bytes(self.hpda);
        let n = range.emit_data(PduType::C2hData, flags, self.digests, align, &mut b);
        let mut out = b[..n].to_vec();
        out.extend_from_slice(data);
        if self.digests.data {
            out.extend_from_slice(&crc32c(data).to_le_bytes());
        }
        out
    }

    pub(super) fn r2t(&self, cid: u16, ttag: u16, offset: u32, len: u32) -> Vec<u8> {
        let range = DataRange {
            cccid: cid,
            ttag,
            offset,
            len,
        };
        let mut b = [0; HEADER_AREA];
        let n = range.emit_r2t(self.digests, &mut b);
        b[..n].to_vec()
    }
}

pub(super) fn config() -> QueueConfig {
    QueueConfig {
        qid: 1,
        depth: 8,
        header_digest: false,
        data_digest: false,
        max_r2t: 4,
        hpda: 0,
        sq_flow_control: false,
    }
}

/// A queue that is past ICResp, with in-capsule data up to 8 KiB.
pub(super) fn ready(config: QueueConfig) -> (HostQueue, Peer) {
    let mut q = HostQueue::new(config);
    let mut peer = Peer::new(Digests {
        header: config.header_digest,
        data: config.data_digest,
    });
    peer.hpda = config.hpda;
    q.set_in_capsule_max(8192);
    q.start();
    peer.pdus(&mut q);
    feed(&mut q, &peer.icresp(), Chunks::Whole);
    assert!(q.poll_event().is_some(), "initialized");
    (q, peer)
}

pub(super) fn pattern(len: usize, salt: u8) -> Vec<u8> {
    (0..len)
        .map(|i| (i as u8).wrapping_mul(31) ^ salt ^ (i >> 8) as u8)
        .collect()
}

/// A request with its payload in segments of `seg` bytes; a write carries the pattern.
pub(super) fn request(op: Op, len: usize, seg: usize, salt: u8) -> Token {
    let mut t = Request::new();
    t.op = op;
    t.lba = 100;
    t.blocks = (len / 512) as u32;
    t.user = u64::from(salt);
    let bytes = pattern(len, salt);
    for part in bytes.chunks(seg) {
        if op == Op::Read {
            t.data.push(IoBuf::zeroed(part.len()));
        } else {
            t.data.push(IoBuf::from(part));
        }
    }
    t
}

pub(super) fn sqe() -> Sqe {
    Sqe::read(1, 0, 0, false)
}

pub(super) fn contents(data: &SgList) -> Vec<u8> {
    let mut v = vec![0; data.len()];
    data.read_at(0, &mut v);
    v
}

/// Raw status field with bits as in the CQE: SCT 0, SC internal error.
pub(super) const INTERNAL_ERROR: u16 = 0x06;
