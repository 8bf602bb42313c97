//! What goes out: one ring of bytes made here (headers, digests, padding) and a queue of segments
//! that name either a stretch of that ring or a stretch of a task's payload.
//!
//! Headers that follow each other without payload between them are one segment, so a batch of
//! reads leaves as a single slice. Payload is never copied: a segment borrows it when sent.

use super::slots::{Origin, Slots, UNMAP_LEN, ZEROS};
use super::wire::{self, BHS, FINAL, NO_TAG, op};
use crate::base::crc::{crc32c, crc32c_append};
use crate::base::iovecs::SendVec;
use std::collections::VecDeque;
use std::io::IoSlice;

/// Data-Out PDUs queued at once at most: one vectored send carries no more slices anyway.
const OUT_QUEUED_MAX: usize = 64;
/// Bytes made here for one PDU at most: header, its digest, an UNMAP list, its digest.
const UNIT_MAX: usize = BHS + 4 + UNMAP_LEN as usize + 4 + 16;

#[derive(Copy, Clone, Debug)]
enum Seg {
    /// Bytes of the ring.
    Made {
        start: u32,
        len: u32,
    },
    /// Bytes of a task's payload.
    Payload {
        ix: u16,
        offset: u32,
        len: u32,
    },
    Zeros {
        len: u32,
    },
}

impl Seg {
    const fn len(&self) -> u32 {
        match *self {
            Self::Made { len, .. } | Self::Payload { len, .. } | Self::Zeros { len } => len,
        }
    }
}

/// A sequence of Data-Out PDUs to be sent: unsolicited, or what an R2T asked for.
#[derive(Copy, Clone, Debug)]
struct Sequence {
    ix: u16,
    ttt: u32,
    offset: u32,
    left: u32,
}

/// A Data-Out PDU that is queued.
#[derive(Copy, Clone, Debug)]
struct Queued {
    ix: u16,
    /// The last one of its sequence, and whether an R2T asked for that.
    last: bool,
    solicited: bool,
    /// Stream position of its first byte and behind its last.
    start: u64,
    end: u64,
}

/// What a data PDU looks like on this connection.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Framing {
    pub(super) header_digest: bool,
    pub(super) data_digest: bool,
    /// MaxRecvDataSegmentLength of the target.
    pub(super) max_send: u32,
}

/// Bytes of a task's data that nobody has to ask for: in the command PDU, and behind it.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct FirstBurst {
    pub(super) immediate: u32,
    pub(super) unsolicited: u32,
}

#[derive(Debug)]
pub(super) struct Tx {
    ring: Box<[u8]>,
    /// First byte in use and first free byte of `ring`.
    head: usize,
    tail: usize,
    segs: VecDeque<Seg>,
    sequences: VecDeque<Sequence>,
    out: VecDeque<Queued>,
    /// Stream positions behind the PDUs queued that belong to no task.
    controls: VecDeque<u64>,
    pub(super) framing: Framing,
    /// Goes into every header that carries it.
    pub(super) exp_stat_sn: u32,
    /// Bytes ever queued, and taken by the transport.
    queued: u64,
    sent: u64,
    /// Nothing is queued any more.
    closed: bool,
    /// Stream position from which on tasks were given up unsent.
    cut: u64,
    /// Login PDUs: made whole, sent before anything else is.
    login: Vec<u8>,
    login_sent: usize,
}

impl Tx {
    pub(super) fn new(depth: usize, max_r2t: usize) -> Self {
        // Commands, Data-Out, and what belongs to no task; waste at the wrap on top.
        let pdus = depth + OUT_QUEUED_MAX + CONTROLS_MAX;
        Self {
            ring: vec![0; (pdus * 2 + 4) * UNIT_MAX].into_boxed_slice(),
            head: 0,
            tail: 0,
            segs: VecDeque::with_capacity(pdus * 3 + 4),
            sequences: VecDeque::with_capacity(depth * (max_r2t + 1)),
            out: VecDeque::with_capacity(OUT_QUEUED_MAX),
            controls: VecDeque::with_capacity(CONTROLS_MAX),
            framing: Framing::default(),
            exp_stat_sn: 0,
            queued: 0,
            sent: 0,
            closed: false,
            cut: u64::MAX,
            login: Vec::new(),
            login_sent: 0,
        }
    }

    /// Queues the bytes of login PDUs.
    pub(super) fn login(&mut self, bytes: &[u8]) {
        if self.login_sent == self.login.len() {
            self.login.clear();
            self.login_sent = 0;
        }
        self.login.extend_from_slice(bytes);
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

    /// Queues a header that `fill` writes, and its digest.
    #[inline]
    fn header(&mut self, fill: impl FnOnce(&mut [u8])) {
        let digest = self.framing.header_digest;
        let b = self.room();
        fill(b);
        let mut n = BHS;
        if digest {
            let crc = crc32c(&b[..BHS]);
            b[BHS..BHS + 4].copy_from_slice(&crc.to_le_bytes());
            n += 4;
        }
        self.made(n);
    }

    /// Whether another PDU that belongs to no task may be queued.
    pub(super) fn has_room_for_control(&self) -> bool {
        self.controls.len() < CONTROLS_MAX
    }

    /// Queues a PDU without data that belongs to no task. Returns whether there was room.
    pub(super) fn plain(&mut self, fill: impl FnOnce(&mut [u8])) -> bool {
        if self.closed || !self.has_room_for_control() {
            return false;
        }
        let exp_stat_sn = self.exp_stat_sn;
        self.header(|b| {
            fill(b);
            wire::put32(b, 28, exp_stat_sn);
        });
        self.controls.push_back(self.queued);
        true
    }

    /// Queues the command of a task with its immediate data, and announces its unsolicited data.
    #[inline]
    pub(super) fn command(
        &mut self,
        slots: &mut Slots,
        ix: u16,
        cmd_sn: u32,
        flags: u8,
        cdb: &[u8; 16],
        burst: FirstBurst,
    ) {
        let FirstBurst {
            immediate,
            unsolicited,
        } = burst;
        let at = self.queued;
        let exp_stat_sn = self.exp_stat_sn;
        let itt = slots.itt(ix);
        let s = slots.get(ix);
        let (lun, len) = (s.lun, s.len);
        self.header(|b| {
            let last = if unsolicited == 0 { FINAL } else { 0 };
            // SIMPLE task attribute (RFC 7143, 11.3.1).
            wire::header(b, op::SCSI_COMMAND, last | flags | 1, lun, itt);
            wire::put_data_len(b, immediate);
            wire::put32(b, 20, len);
            wire::put32(b, 24, cmd_sn);
            wire::put32(b, 28, exp_stat_sn);
            b[32..48].copy_from_slice(cdb);
        });
        if immediate > 0 {
            self.data(slots, ix, 0, immediate);
        }
        let s = slots.get_mut(ix);
        s.command_at = at;
        s.tx_end = self.queued;
        if unsolicited > 0 {
            self.want(slots, ix, NO_TAG, immediate, unsolicited);
        }
    }

    /// Queues a stretch of a task's data, its padding and its digest.
    fn data(&mut self, slots: &Slots, ix: u16, offset: u32, len: u32) {
        let (from, n) = (offset as usize, len as usize);
        let digest = self.framing.data_digest;
        let mut crc = 0;
        match slots.get(ix).owner.origin() {
            Some(Origin::Unmap(list)) => {
                let part = &list[from..from + n];
                self.room()[..n].copy_from_slice(part);
                self.made(n);
                crc = crc32c(part);
            }
            Some(Origin::Zeros) => {
                self.queued += u64::from(len);
                self.segs.push_back(Seg::Zeros { len });
                if digest {
                    crc = crc32c(&ZEROS[..n]);
                }
            }
            Some(Origin::Payload(payload)) => {
                self.queued += u64::from(len);
                self.segs.push_back(Seg::Payload { ix, offset, len });
                if digest {
                    payload.for_each(from, n, |p| crc = crc32c_append(crc, p));
                }
            }
            None => unreachable!("only tasks with data-out send data"),
        }
        let pad = wire::pad(n);
        if pad == 0 && !digest {
            return;
        }
        let b = self.room();
        b[..pad].fill(0);
        let mut made = pad;
        if digest {
            // The padding is covered too (RFC 7143, 11.2.4).
            let crc = crc32c_append(crc, &[0; 3][..pad]);
            b[pad..pad + 4].copy_from_slice(&crc.to_le_bytes());
            made += 4;
        }
        self.made(made);
    }

    /// Takes note of a sequence whose range has been checked; `pump` sends it.
    pub(super) fn want(&mut self, slots: &mut Slots, ix: u16, ttt: u32, offset: u32, left: u32) {
        let s = slots.get_mut(ix);
        s.sequences += 1;
        s.r2ts += u32::from(ttt != NO_TAG);
        self.sequences.push_back(Sequence {
            ix,
            ttt,
            offset,
            left,
        });
    }

    /// Turns sequences into Data-Out PDUs, as many as may be queued.
    pub(super) fn pump(&mut self, slots: &mut Slots) {
        while self.out.len() < OUT_QUEUED_MAX && !self.closed {
            let Some(seq) = self.sequences.front().copied() else {
                break;
            };
            let len = seq.left.min(self.framing.max_send);
            let last = len == seq.left;
            let start = self.queued;
            let exp_stat_sn = self.exp_stat_sn;
            let itt = slots.itt(seq.ix);
            let s = slots.get_mut(seq.ix);
            let (lun, data_sn) = (s.lun, s.out_sn);
            s.out_sn = if last { 0 } else { data_sn + 1 };
            self.header(|b| {
                wire::header(b, op::DATA_OUT, if last { FINAL } else { 0 }, lun, itt);
                wire::put_data_len(b, len);
                wire::put32(b, 20, seq.ttt);
                wire::put32(b, 28, exp_stat_sn);
                wire::put32(b, 36, data_sn);
                wire::put32(b, 40, seq.offset);
            });
            self.data(slots, seq.ix, seq.offset, len);
            slots.get_mut(seq.ix).tx_end = self.queued;
            self.out.push_back(Queued {
                ix: seq.ix,
                last,
                solicited: seq.ttt != NO_TAG,
                start,
                end: self.queued,
            });
            if last {
                self.sequences.pop_front();
            } else if let Some(w) = self.sequences.front_mut() {
                w.offset += len;
                w.left -= len;
            }
        }
    }

    /// Puts slices on `out` in wire order, until it is full.
    #[inline]
    pub(super) fn slices<'a>(&'a self, slots: &'a Slots, out: &mut SendVec<'a>) {
        if self.login_sent < self.login.len() {
            out.push(IoSlice::new(&self.login[self.login_sent..]));
            return;
        }
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
                Seg::Zeros { len } => out.push(IoSlice::new(&ZEROS[..len as usize])),
                Seg::Payload { ix, offset, len } => {
                    let Some(payload) = slots.get(ix).owner.payload() else {
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
        !self.segs.is_empty() || self.login_sent < self.login.len()
    }

    /// The transport has taken `n` bytes. True when Data-Out PDUs have left, so that more may
    /// follow.
    #[inline]
    pub(super) fn taken(&mut self, slots: &mut Slots, mut n: usize) -> bool {
        if self.login_sent < self.login.len() {
            self.login_sent += n;
            assert!(
                self.login_sent <= self.login.len(),
                "more sent than was offered"
            );
            return false;
        }
        self.sent += n as u64;
        assert!(self.sent <= self.queued, "more sent than was offered");
        while n > 0 {
            let Some(seg) = self.segs.front_mut() else {
                break;
            };
            if n >= seg.len() as usize {
                n -= seg.len() as usize;
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
                Seg::Zeros { len } => *len -= k,
            }
            break;
        }
        while self.controls.front().is_some_and(|end| *end <= self.sent) {
            self.controls.pop_front();
        }
        let mut moved = false;
        while let Some(q) = self.out.front()
            && q.end <= self.sent
        {
            if q.last {
                let s = slots.get_mut(q.ix);
                s.sequences -= 1;
                s.r2ts -= u32::from(q.solicited);
            }
            moved = true;
            self.out.pop_front();
        }
        moved
    }

    /// Whether the byte at a stream position has been taken by the transport.
    #[inline]
    pub(super) fn has_left(&self, at: u64) -> bool {
        at < self.sent.min(self.cut)
    }

    /// Whether nothing that refers to the task's buffer is left to send.
    #[inline]
    pub(super) fn drained(&self, slots: &Slots, ix: u16) -> bool {
        let s = slots.get(ix);
        s.sequences == 0 && s.tx_end <= self.sent
    }

    /// Gives up everything behind the PDU that is being sent: no command leaves after the
    /// connection has failed.
    pub(super) fn close(&mut self, slots: &Slots) {
        if self.closed {
            return;
        }
        let mut end = self.queued;
        let commands = slots.in_use().map(|(_, s)| s.command_at);
        for start in commands.chain(self.out.iter().map(|q| q.start)) {
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
            let n = u64::from(seg.len()).min(keep);
            match seg {
                Seg::Made { len, .. } | Seg::Payload { len, .. } | Seg::Zeros { len } => {
                    *len = n as u32
                }
            }
            keep -= n;
            whole += 1;
        }
        self.segs.truncate(whole);
        self.queued = end;
        self.cut = end;
        self.sequences.clear();
        self.out.clear();
        self.closed = true;
    }
}

/// PDUs that belong to no task (pings, answers to pings, task management, logout) queued at once
/// at most; the connection keeps to it.
pub(super) const CONTROLS_MAX: usize = 32;
