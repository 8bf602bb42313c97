//! What comes in: headers and small payloads through a staging buffer that is parsed in place,
//! large payloads straight into the caller's buffer.
//!
//! While the payload of a large read may be under way, staging is limited to a window that cannot
//! hold any of it: from a PDU boundary, data starts one header on at the earliest. One vectored
//! receive then takes the rest of a payload, its padding and digest, and the next header.

use super::connection::{Connection, ConnectionState};
use super::failure::Failure;
use super::slots::{Dir, Slots};
use super::wire::{self, BHS, op};
use crate::base::crc::{crc32c, crc32c_append};
use crate::base::iovecs::RecvVec;
use crate::base::limits::{DIRECT_MIN, STAGING};
use std::io::IoSliceMut;

/// Data segment of a PDU that is read as a whole (everything but Data-In).
pub(super) const WHOLE_MAX: u32 = 16 * 1024;

/// The part of a PDU that is being received.
#[derive(Copy, Clone, Debug)]
enum Part {
    Header,
    Data(Data),
    /// Padding and digest behind the data of a Data-In.
    Tail(Data),
}

/// Data of one Data-In PDU.
#[derive(Copy, Clone, Debug)]
pub(super) struct Data {
    pub(super) ix: u16,
    /// Next byte in the task's data.
    pub(super) at: u32,
    pub(super) left: u32,
    /// Digest over what has come, when there is one.
    pub(super) crc: Option<u32>,
    pub(super) pad: u8,
    /// Status of a task that ends with this PDU (phase collapse, RFC 7143, 11.7.1).
    pub(super) status: Option<u8>,
}

impl Data {
    fn tail(&self) -> usize {
        usize::from(self.pad) + if self.crc.is_some() { 4 } else { 0 }
    }
}

#[derive(Debug)]
pub(super) struct Rx {
    staging: Box<[u8]>,
    /// Bytes in staging not yet parsed.
    start: usize,
    end: usize,
    part: Part,
    header_digest: bool,
    data_digest: bool,
    /// From a PDU boundary, no data starts before this many bytes.
    window: usize,
    /// Bytes of the PDU that is being read as a whole; 0 while its header is not in.
    need: usize,
}

impl Rx {
    pub(super) fn new() -> Self {
        Self {
            staging: vec![0; STAGING].into_boxed_slice(),
            start: 0,
            end: 0,
            part: Part::Header,
            header_digest: false,
            data_digest: false,
            window: BHS,
            need: 0,
        }
    }

    pub(super) fn set_digests(&mut self, header: bool, data: bool) {
        self.header_digest = header;
        self.data_digest = data;
        self.window = BHS + if header { 4 } else { 0 };
    }

    /// See [`crate::transport::Sink::recv_places`]. Staging starts at 0 between calls.
    #[inline]
    pub(super) fn places<'a>(&'a mut self, slots: &'a mut Slots, out: &mut RecvVec<'a>) {
        let large_reads = slots.large_reads;
        // What follows is free of large payload when this PDU brings the last of it.
        let rest = |slots: &Slots, d: &Data| {
            let s = slots.get(d.ix);
            u32::from(s.large && s.moved == s.len)
        };
        let limit = match self.part {
            Part::Header if large_reads == 0 => STAGING,
            Part::Header => self.window.max(self.need),
            Part::Data(d) => {
                let rest = rest(slots, &d);
                let left = d.left as usize;
                let Some(payload) = slots.get_mut(d.ix).owner.payload_mut() else {
                    return;
                };
                if payload.scatter(d.at as usize, left, out) < left {
                    return;
                }
                if large_reads == rest {
                    STAGING
                } else {
                    self.window + d.tail()
                }
            }
            Part::Tail(d) if large_reads == rest(slots, &d) => STAGING,
            Part::Tail(d) => self.window + d.tail(),
        };
        if !out.is_full() && limit > self.end {
            out.push(IoSliceMut::new(&mut self.staging[self.end..limit]));
        }
    }
}

impl Connection {
    /// `n` bytes have landed in the places that `Rx::places` gave.
    #[inline]
    pub(super) fn rx_bytes(&mut self, n: usize) {
        let mut n = n;
        if let Part::Data(d) = &mut self.rx.part {
            // The payload's place came first.
            let direct = n.min(d.left as usize);
            if let Some(crc) = &mut d.crc
                && let Some(payload) = self.slots.get(d.ix).owner.payload()
            {
                payload.for_each(d.at as usize, direct, |p| *crc = crc32c_append(*crc, p));
            }
            d.at += direct as u32;
            d.left -= direct as u32;
            n -= direct;
            if d.left > 0 {
                return;
            }
        }
        self.rx.end += n;
        assert!(
            self.rx.end <= STAGING,
            "more received than there was room for"
        );
        debug_assert_eq!(self.rx.start, 0);
        if let Err(failure) = self.parse() {
            self.fail(failure);
            return;
        }
        // At most a part of a PDU is left.
        let (start, end) = (self.rx.start, self.rx.end);
        if start > 0 {
            self.rx.staging.copy_within(start..end, 0);
            self.rx.start = 0;
            self.rx.end = end - start;
        }
    }

    /// Takes apart what is in staging, until a part is incomplete.
    fn parse(&mut self) -> Result<(), Failure> {
        loop {
            let have = self.rx.end - self.rx.start;
            match self.rx.part {
                Part::Header => {
                    if self.state == ConnectionState::Failed
                        || self.login_waits()
                        || !self.pdu(have)?
                    {
                        return Ok(());
                    }
                }
                Part::Data(mut d) => {
                    let n = (d.left as usize).min(have);
                    if n > 0 {
                        self.copy(&mut d, n);
                    }
                    if d.left > 0 {
                        self.rx.part = Part::Data(d);
                        return Ok(());
                    }
                    self.rx.part = Part::Tail(d);
                }
                Part::Tail(d) => {
                    let n = d.tail();
                    if have < n {
                        return Ok(());
                    }
                    let at = self.rx.start;
                    let tail = &self.rx.staging[at..at + n];
                    if let Some(crc) = d.crc {
                        let pad = usize::from(d.pad);
                        let crc = crc32c_append(crc, &tail[..pad]);
                        if crc.to_le_bytes() != tail[pad..] {
                            // Level 0 has no way to ask again: the task goes on to its end and is
                            // then sent anew.
                            self.slots.get_mut(d.ix).damaged = true;
                            self.counters.data_digest_errors += 1;
                        }
                    }
                    self.rx.start += n;
                    self.rx.part = Part::Header;
                    let s = self.slots.get(d.ix);
                    if s.moved == s.len {
                        self.slots.payload_done(d.ix);
                    }
                    if let Some(status) = d.status {
                        self.answered(d.ix, 0, status, &[])?;
                    }
                }
            }
        }
    }

    /// Copies `n` staged bytes of a (small) payload to where they belong.
    #[inline]
    fn copy(&mut self, d: &mut Data, n: usize) {
        let slot = self.slots.get_mut(d.ix);
        let bytes = &self.rx.staging[self.rx.start..self.rx.start + n];
        if let Some(crc) = &mut d.crc {
            *crc = crc32c_append(*crc, bytes);
        }
        if slot.len as usize >= DIRECT_MIN {
            self.counters.copied_bytes_large += n as u64;
        } else {
            self.counters.copied_bytes_small += n as u64;
        }
        if let Some(payload) = slot.owner.payload_mut() {
            payload.write_at(d.at as usize, bytes);
        }
        self.rx.start += n;
        d.at += n as u32;
        d.left -= n as u32;
    }

    /// Reads the next PDU, or the header of the next Data-In, if all of it is there.
    #[inline]
    fn pdu(&mut self, have: usize) -> Result<bool, Failure> {
        if have < BHS {
            return Ok(false);
        }
        let at = self.rx.start;
        let login = self.state == ConnectionState::Login;
        let header_digest = self.rx.header_digest && !login;
        let mut b = [0_u8; BHS];
        b.copy_from_slice(&self.rx.staging[at..at + BHS]);
        let opcode = b[0] & 0x3f;
        let mut header = BHS;
        if header_digest {
            header += 4;
            if have < header {
                return Ok(false);
            }
            if crc32c(&b).to_le_bytes() != self.rx.staging[at + BHS..at + header] {
                return Err(Failure::HeaderDigest { opcode });
            }
        }
        if b[4] != 0 {
            return Err(Failure::UnexpectedAhs {
                opcode,
                words: b[4],
            });
        }
        let len = wire::data_len(&b);
        if opcode == op::DATA_IN && !login {
            self.counters.pdus_received += 1;
            let max = self.params.max_recv;
            if len > max {
                return Err(Failure::DataSegmentTooLong { opcode, len, max });
            }
            self.rx.need = 0;
            self.rx.start += header;
            let (ix, status) = self.data_in(&b, len)?;
            let pad = wire::pad(len as usize) as u8;
            self.rx.part = Part::Data(Data {
                ix,
                at: wire::be32(&b, 40),
                left: len,
                // A segment without data has no digest (RFC 7143, 11.2.4).
                crc: (self.rx.data_digest && len > 0).then_some(0),
                pad,
                status,
            });
            return Ok(true);
        }
        if len > WHOLE_MAX {
            return Err(Failure::DataSegmentTooLong {
                opcode,
                len,
                max: WHOLE_MAX,
            });
        }
        let data_digest = self.rx.data_digest && !login && len > 0;
        let n = len as usize;
        let padded = n + wire::pad(n);
        let whole = header + padded + if data_digest { 4 } else { 0 };
        if have < whole {
            self.rx.need = whole;
            return Ok(false);
        }
        self.rx.need = 0;
        self.counters.pdus_received += 1;
        if data_digest {
            let d = at + header;
            let crc = crc32c(&self.rx.staging[d..d + padded]);
            if crc.to_le_bytes() != self.rx.staging[d + padded..d + padded + 4] {
                return Err(Failure::DataDigest { opcode });
            }
        }
        // Rare with data: sense, reject, asynchronous messages, login. A stack copy frees `self`.
        let mut small = [0_u8; 512];
        let data = at + header;
        if n <= small.len() {
            small[..n].copy_from_slice(&self.rx.staging[data..data + n]);
            self.rx.start += whole;
            self.whole_pdu(&b, &small[..n])?;
        } else {
            let data = self.rx.staging[data..data + n].to_vec();
            self.rx.start += whole;
            self.whole_pdu(&b, &data)?;
        }
        Ok(true)
    }

    /// A Data-In header: whose it is, and whether it is in order.
    #[inline]
    fn data_in(&mut self, b: &[u8; BHS], len: u32) -> Result<(u16, Option<u8>), Failure> {
        let opcode = op::DATA_IN;
        let itt = wire::be32(b, 16);
        self.window(b);
        let Some(ix) = self.slots.named(itt, &self.tx) else {
            return Err(Failure::UnknownTask { opcode, itt });
        };
        let s = self.slots.get_mut(ix);
        if s.dir != Dir::In {
            return Err(Failure::WrongDirection { opcode, itt });
        }
        let (data_sn, offset) = (wire::be32(b, 36), wire::be32(b, 40));
        if data_sn != s.data_sn {
            return Err(Failure::DataSn {
                itt,
                expected: s.data_sn,
                got: data_sn,
            });
        }
        s.data_sn += 1;
        if offset != s.moved {
            return Err(Failure::DataOffset {
                itt,
                expected: s.moved,
                got: offset,
            });
        }
        if len > s.len - s.moved {
            return Err(Failure::DataRange {
                itt,
                offset,
                len,
                size: s.len,
            });
        }
        s.moved += len;
        // The S bit: the status is here, and no response follows.
        if b[1] & 1 == 0 {
            return Ok((ix, None));
        }
        self.stat_sn(b)?;
        Ok((ix, Some(b[3])))
    }
}
