//! What goes out: one ring of bytes made here (headers, digests, padding) and a queue of segments
//! that name either a stretch of that ring or a stretch of a command's payload.
//!
//! Headers that follow each other without payload between them are one segment, so a batch of
//! reads leaves as a single slice. Payload is never copied: a segment borrows it when sent.

use super::slots::{Owner, Slots, dsm_range};
use crate::base::crc::{crc32c, crc32c_append};
use crate::base::iovecs::SendVec;
use crate::proto::nvme_tcp::pdu::{
    CapsuleCmd, DataRange, Digests, FLAG_LAST, HEADER_AREA, PduType, SHORT_LEN, TERM_DATA_MAX,
    TermReq,
};
use std::collections::VecDeque;
use std::io::IoSlice;

/// H2CData PDUs queued at once at most: one vectored send carries no more slices anyway.
const H2C_QUEUED_MAX: usize = 64;
/// Bytes made here for one PDU at most: header area, a Dataset Management range, a data digest.
const UNIT_MAX: usize = HEADER_AREA + 16 + 4 + 12;
const _: () = assert!(UNIT_MAX >= SHORT_LEN + TERM_DATA_MAX, "a TermReq fits");

#[derive(Copy, Clone, Debug)]
enum Seg {
    /// Bytes of the ring.
    Made { start: u32, len: u32 },
    /// Bytes of a command's payload.
    Payload { cid: u16, offset: u32, len: u32 },
}

/// An R2T to be answered.
#[derive(Copy, Clone, Debug)]
struct Wanted {
    cid: u16,
    ttag: u16,
    offset: u32,
    left: u32,
}

/// An H2CData PDU that is queued.
#[derive(Copy, Clone, Debug)]
struct Queued {
    cid: u16,
    /// The last one of its R2T.
    last: bool,
    /// Stream position of its first byte and behind its last.
    start: u64,
    end: u64,
}

#[derive(Debug)]
pub(super) struct Tx {
    ring: Box<[u8]>,
    /// First byte in use and first free byte of `ring`.
    head: usize,
    tail: usize,
    segs: VecDeque<Seg>,
    wanted: VecDeque<Wanted>,
    h2c: VecDeque<Queued>,
    pub(super) digests: Digests,
    /// CPDA in bytes.
    pub(super) align: usize,
    /// MAXH2CDATA.
    pub(super) max_h2c: u32,
    /// Bytes ever queued, and taken by the transport.
    queued: u64,
    sent: u64,
    /// Nothing is queued any more.
    closed: bool,
    /// Stream position from which on commands were given up unsent.
    cut: u64,
}

impl Tx {
    pub(super) fn new(depth: usize, max_r2t: usize) -> Self {
        let pdus = depth + H2C_QUEUED_MAX;
        Self {
            // Waste at the wrap and a TermReq on top.
            ring: vec![0; (pdus + 4) * UNIT_MAX].into_boxed_slice(),
            head: 0,
            tail: 0,
            segs: VecDeque::with_capacity(pdus * 3 + 4),
            wanted: VecDeque::with_capacity(depth * max_r2t),
            h2c: VecDeque::with_capacity(H2C_QUEUED_MAX),
            digests: Digests::NONE,
            align: 4,
            max_h2c: 0,
            queued: 0,
            sent: 0,
            closed: false,
            cut: u64::MAX,
        }
    }

    /// `UNIT_MAX` free bytes of the ring, in one piece.
    #[inline]
    fn room(&mut self) -> &mut [u8] {
        if self.segs.is_empty() {
            // Nothing under way: start over, so that a quiet connection stays in a few cache lines.
            self.head = 0;
            self.tail = 0;
        } else if self.tail >= self.head && self.tail + UNIT_MAX > self.ring.len() {
            assert!(self.head > 0, "the ring is larger than what may be queued");
            self.tail = 0;
        }
        // `tail` never catches up with `head`: equal means that nothing made here is under way.
        let free = if self.tail >= self.head {
            self.ring.len() - self.tail
        } else {
            self.head - self.tail - 1
        };
        assert!(
            free >= UNIT_MAX,
            "the ring holds every PDU that may be queued"
        );
        &mut self.ring[self.tail..self.tail + UNIT_MAX]
    }

    /// Queues the first `len` bytes of what `room` gave.
    #[inline]
    fn made(&mut self, len: usize) {
        debug_assert!(len <= UNIT_MAX);
        let start = self.tail as u32;
        self.tail += len;
        self.queued += len as u64;
        if let Some(Seg::Made { start: s, len: l }) = self.segs.back_mut()
            && *s + *l == start
        {
            *l += len as u32;
            return;
        }
        self.segs.push_back(Seg::Made {
            start,
            len: len as u32,
        });
    }

    #[inline]
    fn payload(&mut self, cid: u16, offset: u32, len: u32) {
        self.queued += u64::from(len);
        self.segs.push_back(Seg::Payload { cid, offset, len });
    }

    /// Queues a PDU that belongs to no command.
    pub(super) fn plain(&mut self, emit: impl FnOnce(&mut [u8]) -> usize) {
        if !self.closed {
            let n = emit(self.room());
            self.made(n);
        }
    }

    /// Queues the capsule of a command, with its first `in_capsule` bytes of data in it.
    #[inline]
    pub(super) fn capsule(&mut self, slots: &mut Slots, cid: u16, sqe: &[u8; 64], in_capsule: u32) {
        let at = self.queued;
        let (digests, align) = (self.digests, self.align);
        let n = CapsuleCmd::emit(sqe, in_capsule, digests, align, self.room());
        self.made(n);
        if in_capsule > 0 {
            self.data(slots, cid, 0, in_capsule);
        }
        let s = slots.get_mut(cid);
        s.capsule_at = at;
        s.tx_end = self.queued;
    }

    /// Queues a stretch of a command's data and its digest.
    fn data(&mut self, slots: &Slots, cid: u16, offset: u32, len: u32) {
        let owner = &slots.get(cid).owner;
        let crc;
        match owner {
            Owner::Io(t) if t.data.is_empty() => {
                // A discard: its range is made here.
                let range = dsm_range(t);
                let part = &range[offset as usize..(offset + len) as usize];
                self.room()[..part.len()].copy_from_slice(part);
                self.made(part.len());
                crc = crc32c(part);
            }
            _ => {
                self.payload(cid, offset, len);
                let mut sum = 0;
                if self.digests.data
                    && let Some(payload) = owner.payload()
                {
                    payload.for_each(offset as usize, len as usize, |p| {
                        sum = crc32c_append(sum, p);
                    });
                }
                crc = sum;
            }
        }
        if self.digests.data {
            self.room()[..4].copy_from_slice(&crc.to_le_bytes());
            self.made(4);
        }
    }

    /// Takes note of an R2T whose range has been checked; `pump` answers it.
    pub(super) fn want(&mut self, range: DataRange) {
        debug_assert!(
            self.wanted.len() < self.wanted.capacity(),
            "MAXR2T bounds it"
        );
        self.wanted.push_back(Wanted {
            cid: range.cccid,
            ttag: range.ttag,
            offset: range.offset,
            left: range.len,
        });
    }

    /// Turns wanted ranges into H2CData PDUs, as many as may be queued.
    pub(super) fn pump(&mut self, slots: &mut Slots) {
        while self.h2c.len() < H2C_QUEUED_MAX && !self.closed {
            let Some(want) = self.wanted.front().copied() else {
                break;
            };
            let len = want.left.min(self.max_h2c);
            let last = len == want.left;
            let start = self.queued;
            let range = DataRange {
                cccid: want.cid,
                ttag: want.ttag,
                offset: want.offset,
                len,
            };
            let (digests, align) = (self.digests, self.align);
            let flags = if last { FLAG_LAST } else { 0 };
            let n = range.emit_data(PduType::H2cData, flags, digests, align, self.room());
            self.made(n);
            self.data(slots, want.cid, want.offset, len);
            slots.get_mut(want.cid).tx_end = self.queued;
            self.h2c.push_back(Queued {
                cid: want.cid,
                last,
                start,
                end: self.queued,
            });
            if last {
                self.wanted.pop_front();
            } else if let Some(w) = self.wanted.front_mut() {
                w.offset += len;
                w.left -= len;
            }
        }
    }

    /// Puts slices on `out` in wire order, until it is full.
    #[inline]
    pub(super) fn slices<'a>(&'a self, slots: &'a Slots, out: &mut SendVec<'a>) {
        for seg in &self.segs {
            if out.is_full() {
                return;
            }
            match *seg {
                Seg::Made { start, len } => {
                    out.push(IoSlice::new(
                        &self.ring[start as usize..(start + len) as usize],
                    ));
                }
                Seg::Payload { cid, offset, len } => {
                    let Some(payload) = slots.get(cid).owner.payload() else {
                        return;
                    };
                    if payload.gather(offset as usize, len as usize, out) < len as usize {
                        return;
                    }
                }
            }
        }
    }

    #[inline]
    pub(super) fn has_output(&self) -> bool {
        !self.segs.is_empty()
    }

    /// The transport has taken `n` bytes. True when H2CData PDUs have left, so that more may
    /// follow.
    #[inline]
    pub(super) fn taken(&mut self, slots: &mut Slots, mut n: usize) -> bool {
        self.sent += n as u64;
        assert!(self.sent <= self.queued, "more sent than was offered");
        while n > 0 {
            let Some(seg) = self.segs.front_mut() else {
                break;
            };
            let (Seg::Made { len, .. } | Seg::Payload { len, .. }) = *seg;
            if n >= len as usize {
                n -= len as usize;
                if let Seg::Made { start, len } = *seg {
                    self.head = (start + len) as usize;
                }
                self.segs.pop_front();
                continue;
            }
            let k = n as u32;
            match seg {
                Seg::Made { start, len } => {
                    *start += k;
                    *len -= k;
                    self.head = *start as usize;
                }
                Seg::Payload { offset, len, .. } => {
                    *offset += k;
                    *len -= k;
                }
            }
            break;
        }
        let mut moved = false;
        while let Some(q) = self.h2c.front()
            && q.end <= self.sent
        {
            if q.last {
                slots.get_mut(q.cid).r2ts -= 1;
            }
            moved = true;
            self.h2c.pop_front();
        }
        moved
    }

    /// Whether the byte at a stream position has been taken by the transport.
    #[inline]
    pub(super) fn has_left(&self, at: u64) -> bool {
        at < self.sent.min(self.cut)
    }

    /// Whether nothing that refers to the command's buffer is left to send.
    #[inline]
    pub(super) fn drained(&self, slots: &Slots, cid: u16) -> bool {
        let s = slots.get(cid);
        s.r2ts == 0 && s.tx_end <= self.sent
    }

    /// Gives up everything behind the PDU that is being sent and ends the stream with a
    /// termination request: no command leaves after the connection has failed.
    pub(super) fn close(&mut self, slots: &Slots, term: Option<(TermReq, &[u8])>) {
        if self.closed {
            return;
        }
        let mut end = self.queued;
        let capsules = slots.in_use().map(|(_, s)| s.capsule_at);
        for start in capsules.chain(self.h2c.iter().map(|q| q.start)) {
            if start >= self.sent {
                end = end.min(start);
            }
        }
        let mut keep = end - self.sent;
        let mut whole = 0;
        for seg in &mut self.segs {
            if keep == 0 {
                break;
            }
            let (Seg::Made { len, .. } | Seg::Payload { len, .. }) = seg;
            *len = (u64::from(*len)).min(keep) as u32;
            keep -= u64::from(*len);
            whole += 1;
        }
        self.segs.truncate(whole);
        self.queued = end;
        self.cut = end;
        if let Some((term, offender)) = term {
            let n = term.emit(PduType::H2cTermReq, offender, self.room());
            self.made(n);
        }
        self.wanted.clear();
        self.h2c.clear();
        self.closed = true;
    }
}
