//! What comes in: headers and small payloads through a staging buffer that is parsed in place,
//! large payloads straight into the caller's buffer.
//!
//! After ICResp every header a controller sends is 24 bytes, 28 with digest. While the payload of
//! a large read may be under way, staging is limited to a window that cannot hold any of it: from
//! a PDU boundary, data starts `window` bytes on at the earliest, whatever small PDUs come first.
//! One vectored receive then takes the rest of a payload and the next header.

use super::failure::Failure;
use super::queue::{HostQueue, QueueState};
use super::slots::{Dir, Slots};
use crate::base::crc::crc32c_append;
use crate::base::iovecs::RecvVec;
use crate::base::limits::{DIRECT_MIN, STAGING};
use crate::proto::nvme::Cqe;
use crate::proto::nvme_tcp::pdu::{
    CapsuleResp, DIGEST_LEN, DataRange, Digests, FLAG_LAST, FLAG_SUCCESS, Field, Header, IC_LEN,
    IcResp, Layout, PduError, PduType, SHORT_LEN, TermReq, check_header_digest, data_offset,
};
use std::io::IoSliceMut;

/// The part of a PDU that is being received.
#[derive(Copy, Clone, Debug)]
enum Part {
    Header,
    /// Padding before the data of `Data`.
    Pad {
        left: usize,
        then: Data,
    },
    Data(Data),
    Digest(Data),
}

/// Data of one C2HData PDU.
#[derive(Copy, Clone, Debug)]
struct Data {
    cid: u16,
    /// Next byte in the command's data.
    at: u32,
    left: u32,
    /// Digest over what has come, when there is one.
    crc: Option<u32>,
    /// The command completes with this PDU.
    success: bool,
}

#[derive(Debug)]
pub(super) struct Rx {
    staging: Box<[u8]>,
    /// Bytes in staging not yet parsed.
    start: usize,
    end: usize,
    part: Part,
    digests: Digests,
    /// HPDA in bytes.
    align: usize,
    /// From a PDU boundary, no data starts before this many bytes.
    window: usize,
}

impl Rx {
    pub(super) fn new(align: usize) -> Self {
        Self {
            staging: vec![0; STAGING].into_boxed_slice(),
            start: 0,
            end: 0,
            part: Part::Header,
            digests: Digests::NONE,
            align,
            window: data_offset(SHORT_LEN, false, align),
        }
    }

    pub(super) fn set_digests(&mut self, digests: Digests) {
        self.digests = digests;
        self.window = data_offset(SHORT_LEN, digests.header, self.align);
    }

    /// See [`crate::transport::Sink::recv_places`]. Staging starts at 0 between calls.
    #[inline]
    pub(super) fn places<'a>(&'a mut self, slots: &'a mut Slots, out: &mut RecvVec<'a>) {
        let large_reads = slots.large_reads;
        let limit = match self.part {
            Part::Header if large_reads == 0 => STAGING,
            Part::Header => self.window,
            Part::Pad { left, .. } if large_reads > 0 => self.end + left,
            Part::Pad { .. } => STAGING,
            Part::Data(d) => {
                let slot = slots.get_mut(d.cid);
                // What follows is free of large payload when this PDU brings the last of it.
                let rest = u32::from(slot.large && slot.moved == slot.len);
                let left = d.left as usize;
                let Some(payload) = slot.owner.payload_mut() else {
                    return;
                };
                if payload.scatter(d.at as usize, left, out) < left {
                    return;
                }
                if large_reads == rest {
                    STAGING
                } else {
                    self.window + if d.crc.is_some() { DIGEST_LEN } else { 0 }
                }
            }
            Part::Digest(d) => {
                let slot = slots.get(d.cid);
                let rest = u32::from(slot.large && slot.moved == slot.len);
                if large_reads == rest {
                    STAGING
                } else {
                    self.window + DIGEST_LEN
                }
            }
        };
        if !out.is_full() {
            out.push(IoSliceMut::new(&mut self.staging[self.end..limit]));
        }
    }
}

impl HostQueue {
    /// `n` bytes have landed in the places that `Rx::places` gave.
    #[inline]
    pub(super) fn rx_bytes(&mut self, n: usize) {
        let mut n = n;
        if let Part::Data(d) = &mut self.rx.part {
            // The payload's place came first.
            let direct = n.min(d.left as usize);
            if let Some(crc) = &mut d.crc
                && let Some(payload) = self.slots.get(d.cid).owner.payload()
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
        let before = self.rx.start;
        debug_assert_eq!(before, 0);
        if let Err(failure) = self.parse() {
            let at = self.rx.start;
            let end = self.rx.end.min(at + 128);
            let mut offender = [0; 128];
            let len = end - at;
            offender[..len].copy_from_slice(&self.rx.staging[at..end]);
            self.fail(failure, &offender[..len]);
            return;
        }
        // At most a part of a header or a digest is left.
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
                    if !self.header(have)? {
                        return Ok(());
                    }
                }
                Part::Pad { left, then } => {
                    let n = left.min(have);
                    self.rx.start += n;
                    if n < left {
                        self.rx.part = Part::Pad {
                            left: left - n,
                            then,
                        };
                        return Ok(());
                    }
                    self.rx.part = Part::Data(then);
                }
                Part::Data(mut d) => {
                    let n = (d.left as usize).min(have);
                    if n > 0 {
                        self.copy(&mut d, n);
                    }
                    self.rx.part = Part::Data(d);
                    if d.left > 0 {
                        return Ok(());
                    }
                    if d.crc.is_some() {
                        self.rx.part = Part::Digest(d);
                    } else {
                        self.data_end(&d)?;
                    }
                }
                Part::Digest(d) => {
                    if have < DIGEST_LEN {
                        return Ok(());
                    }
                    let at = self.rx.start;
                    let b = &self.rx.staging[at..at + DIGEST_LEN];
                    let received = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                    self.rx.start += DIGEST_LEN;
                    if d.crc != Some(received) {
                        // Not fatal for the connection: the command goes on to its end and then
                        // fails with a transport error (NVMe/TCP, "Digest Error handling").
                        self.slots.get_mut(d.cid).damaged = true;
                        self.counters.data_digest_errors += 1;
                    }
                    self.data_end(&d)?;
                }
            }
        }
    }

    /// Copies `n` staged bytes of a (small) payload to where they belong.
    #[inline]
    fn copy(&mut self, d: &mut Data, n: usize) {
        let slot = self.slots.get_mut(d.cid);
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

    /// All data of a PDU is there.
    #[inline]
    fn data_end(&mut self, d: &Data) -> Result<(), Failure> {
        self.rx.part = Part::Header;
        let s = self.slots.get(d.cid);
        if s.moved == s.len {
            self.slots.payload_done(d.cid);
        }
        if d.success {
            self.fetched(d.cid);
            self.complete(d.cid, Cqe::success(d.cid, 0))?;
        }
        Ok(())
    }

    /// Reads the next header if all of it is there.
    #[inline]
    fn header(&mut self, have: usize) -> Result<bool, Failure> {
        if have < 8 {
            return Ok(false);
        }
        let bytes = &self.rx.staging[self.rx.start..self.rx.end];
        let header = Header::parse(bytes)?;
        // How much data is right is for the command to say, below.
        let layout = header.layout(self.rx.digests, self.rx.align, usize::MAX)?;
        if have < layout.header {
            return Ok(false);
        }
        if layout.header > header.kind.hlen() {
            check_header_digest(header.kind, bytes)?;
        }
        self.counters.pdus_received += 1;
        let ready = self.state == QueueState::Ready;
        match header.kind {
            PduType::CapsuleResp if ready => {
                // 16 bytes always make an entry.
                if let Ok(cqe) = Cqe::parse(&CapsuleResp::parse(bytes).cqe) {
                    self.response(cqe)?;
                }
            }
            PduType::C2hData if ready => {
                let range = DataRange::parse(bytes);
                self.data(&header, &layout, range)?;
            }
            PduType::R2t if ready => {
                let range = DataRange::parse(bytes);
                self.r2t(range)?;
            }
            PduType::IcResp if self.state == QueueState::Initializing => {
                debug_assert!(bytes.len() >= IC_LEN);
                self.initialize(IcResp::parse(bytes)?)?;
            }
            PduType::C2hTermReq => {
                let TermReq { fes, fei } = TermReq::parse(bytes);
                return Err(Failure::Terminated { fes, fei });
            }
            kind => {
                return Err(Failure::UnexpectedPdu {
                    kind,
                    state: self.state.name(),
                });
            }
        }
        self.rx.start += layout.header;
        Ok(true)
    }

    #[inline]
    fn response(&mut self, cqe: Cqe) -> Result<(), Failure> {
        let cid = cqe.cid;
        if self.slots.named(cid, &self.tx).is_none() {
            return Err(Failure::UnknownCommand {
                kind: PduType::CapsuleResp,
                cid,
            });
        }
        self.sq_head(cqe.sqhd)?;
        self.complete(cid, cqe)
    }

    #[inline]
    fn data(&mut self, header: &Header, layout: &Layout, range: DataRange) -> Result<(), Failure> {
        const KIND: PduType = PduType::C2hData;
        range.check_len(KIND, layout)?;
        let DataRange {
            cccid: cid,
            offset,
            len,
            ..
        } = range;
        let success = header.has(FLAG_SUCCESS);
        let last = header.has(FLAG_LAST);
        if success && !last {
            let flags = u32::from(header.flags);
            return Err(PduError::field(KIND, Field::Flags, flags).into());
        }
        let Some(s) = self.slots.named(cid, &self.tx) else {
            return Err(Failure::UnknownCommand { kind: KIND, cid });
        };
        if s.dir != Dir::ToHost {
            return Err(Failure::WrongDirection { kind: KIND, cid });
        }
        if s.last {
            return Err(Failure::DataAfterLast { cid });
        }
        if offset != s.moved {
            return Err(Failure::DataOffset {
                cid,
                expected: s.moved,
                got: offset,
            });
        }
        // `moved` never exceeds `len`, so this cannot wrap.
        if len > s.len - s.moved {
            return Err(Failure::DataRange {
                cid,
                offset,
                len,
                size: s.len,
            });
        }
        s.moved += len;
        s.last = last;
        let data = Data {
            cid,
            at: offset,
            left: len,
            crc: layout.data_digest.then_some(0),
            success,
        };
        self.rx.part = match layout.data - layout.header {
            0 => Part::Data(data),
            left => Part::Pad { left, then: data },
        };
        Ok(())
    }

    fn r2t(&mut self, range: DataRange) -> Result<(), Failure> {
        const KIND: PduType = PduType::R2t;
        let DataRange {
            cccid: cid,
            offset,
            len,
            ..
        } = range;
        let limit = self.config.max_r2t;
        self.counters.r2ts_received += 1;
        let Some(s) = self.slots.named(cid, &self.tx) else {
            return Err(Failure::UnknownCommand { kind: KIND, cid });
        };
        if s.dir != Dir::OnRequest {
            return Err(Failure::WrongDirection { kind: KIND, cid });
        }
        if len == 0 {
            return Err(Failure::R2tEmpty { cid });
        }
        if offset != s.moved {
            return Err(Failure::R2tOffset {
                cid,
                expected: s.moved,
                got: offset,
            });
        }
        if len > s.len - s.moved {
            return Err(Failure::R2tRange {
                cid,
                offset,
                len,
                size: s.len,
            });
        }
        if s.r2ts == limit {
            return Err(Failure::R2tLimit { cid, limit });
        }
        s.moved += len;
        s.r2ts += 1;
        self.tx.want(range);
        self.tx.pump(&mut self.slots);
        Ok(())
    }
}
