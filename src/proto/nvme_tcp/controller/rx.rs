//! The receive side: a parser over a staging buffer, and payload placed past it.

use super::slots::{Shape, State};
use super::{ControllerQueue, Event, Fetch, QueueError, range_crc};
use crate::base::iovecs::RecvVec;
use crate::base::limits::{DIRECT_MIN, STAGING};
use crate::proto::nvme_tcp::pdu::{
    CMD_LEN, COMMON_LEN, CapsuleCmd, DIGEST_LEN, DataRange, Digests, FLAG_LAST, Header, IcReq,
    IcResp, Layout, PduType, SHORT_LEN, TermReq, check_header_digest, pda_bytes,
};
use std::io::IoSliceMut;

/// Free staging bytes below which unread bytes are moved to the front.
const ROOM_MIN: usize = STAGING / 4;

/// PLEN of an H2CData PDU that counts no data.
const fn layout_min(digests: Digests) -> usize {
    SHORT_LEN + if digests.header { DIGEST_LEN } else { 0 }
}

pub(super) fn staging() -> Box<[u8]> {
    vec![0; STAGING].into_boxed_slice()
}

/// What the next received byte belongs to.
#[derive(Copy, Clone, Debug)]
pub(super) enum Rx {
    /// ICReq, which must be the first PDU.
    Connect,
    /// A PDU header.
    Head,
    /// Capsule data whose command has no buffer yet.
    Wait { slot: u16, len: u32, digest: bool },
    /// Data of a command, and its digest.
    Payload(Payload),
    /// Capsule data that nobody wants.
    Skip { left: u32 },
    /// Nothing: what still comes is thrown away.
    Failed,
}

#[derive(Copy, Clone, Debug)]
pub(super) struct Payload {
    slot: u16,
    /// Index of the R2T it answers; none for capsule data.
    r2t: Option<u8>,
    /// Start and length in the command's data.
    offset: u32,
    len: u32,
    /// Bytes still to come.
    left: u32,
    digest: bool,
    /// Of a command that is never copied.
    large: bool,
}

impl ControllerQueue {
    /// Bytes of the next PDU that may be read ahead while `due` bytes of large payload are
    /// outstanding: a header where large payload may follow it, otherwise as much as there is.
    #[inline]
    fn ahead(&self, due: u64) -> usize {
        if due > 0 {
            SHORT_LEN
        } else if self.capsule_max >= DIRECT_MIN {
            // Only a capsule can bring large payload now, and its header is longer.
            CMD_LEN
        } else {
            STAGING
        }
    }

    pub(super) fn places<'a>(&'a mut self, out: &mut RecvVec<'a>) {
        let ahead = self.ahead(self.large_due);
        if self.head == self.tail {
            self.head = 0;
            self.tail = 0;
        } else if self.head > 0 && self.stage.len() - self.tail < ROOM_MIN {
            self.stage.copy_within(self.head..self.tail, 0);
            self.tail -= self.head;
            self.head = 0;
        }
        let mut end = self.stage.len();
        match self.rx {
            Rx::Payload(p) if p.left > 0 => {
                // The staging buffer is empty: what was in it of this payload has been moved.
                let own = u64::from(p.left) * u64::from(p.large && p.r2t.is_some());
                let tail = if p.digest { DIGEST_LEN } else { 0 };
                end = end.min(tail + self.ahead(self.large_due - own));
                let at = (p.offset + p.len - p.left) as usize;
                let data = &mut self.slots.at_mut(p.slot).data;
                if data.scatter(at, p.left as usize, out) < p.left as usize || out.is_full() {
                    return;
                }
            }
            // Its data goes straight to the buffer that the owner is about to give.
            Rx::Wait { len, .. } if ahead < STAGING || len as usize >= DIRECT_MIN => return,
            Rx::Skip { left } => end = end.min(self.head + left as usize + ahead),
            Rx::Wait { .. } | Rx::Failed => {}
            _ => end = end.min(self.head + self.need.max(ahead)),
        }
        if end > self.tail {
            out.push(IoSliceMut::new(&mut self.stage[self.tail..end]));
        }
    }

    pub(super) fn landed(&mut self, mut n: usize) {
        match &mut self.rx {
            Rx::Failed => return,
            Rx::Payload(p) if p.left > 0 => {
                let take = n.min(p.left as usize);
                p.left -= take as u32;
                n -= take;
                if p.large && p.r2t.is_some() {
                    self.large_due -= take as u64;
                }
            }
            _ => {}
        }
        self.tail += n;
        self.parse();
    }

    /// Takes in all that is complete; stops where bytes or the owner's decision are missing.
    pub(super) fn parse(&mut self) {
        loop {
            let went_on = match self.rx {
                Rx::Connect | Rx::Head => self.parse_head(),
                Rx::Payload(p) => Ok(self.parse_payload(p)),
                Rx::Skip { left } => {
                    let take = (self.tail - self.head).min(left as usize);
                    self.head += take;
                    let left = left - take as u32;
                    self.rx = if left == 0 {
                        Rx::Head
                    } else {
                        Rx::Skip { left }
                    };
                    Ok(left == 0)
                }
                Rx::Wait { .. } | Rx::Failed => return,
            };
            match went_on {
                Ok(true) => {}
                Ok(false) => return,
                Err(reason) => return self.fail(reason),
            }
        }
    }

    #[inline]
    fn parse_head(&mut self) -> Result<bool, QueueError> {
        let bytes = &self.stage[self.head..self.tail];
        if bytes.len() < SHORT_LEN {
            // Garbage is refused by its first bytes, however few follow.
            if bytes.len() >= COMMON_LEN {
                self.check_kind(Header::parse(bytes)?.kind)?;
            }
            self.need = SHORT_LEN;
            return Ok(false);
        }
        let mut header = Header::parse(bytes)?;
        self.check_kind(header.kind)?;
        let data_max = match header.kind {
            PduType::CapsuleCmd => self.capsule_max,
            // MAXH2CDATA has a status of its own, so it is checked later.
            PduType::H2cData => {
                // Seen in the field: a host that counts only the header in PLEN (Windows Server
                // 2025, see windows-initiator.md section 4). DATAL says what follows.
                if header.plen as usize == layout_min(self.digests) {
                    let tail = if self.digests.data { DIGEST_LEN } else { 0 };
                    header.plen = DataRange::parse(bytes)
                        .len
                        .saturating_add(u32::from(header.pdo) + tail as u32);
                }
                usize::MAX
            }
            _ => 0,
        };
        let layout = header.layout(self.digests, pda_bytes(self.config.cpda), data_max)?;
        let carries = layout.data_len > 0 && header.kind.digested();
        self.need = if carries { layout.data } else { layout.header };
        if bytes.len() < self.need {
            return Ok(false);
        }
        if self.digests.header && header.kind.digested() {
            check_header_digest(header.kind, bytes)?;
        }
        match header.kind {
            PduType::CapsuleCmd => self.take_command(&layout)?,
            PduType::H2cData => self.take_data_head(&header, &layout)?,
            PduType::IcReq => self.take_ic_req()?,
            _ => {
                let term = TermReq::parse(bytes);
                return Err(QueueError::HostTerminated {
                    fes: term.fes,
                    fei: term.fei,
                });
            }
        }
        Ok(true)
    }

    #[inline]
    fn check_kind(&self, kind: PduType) -> Result<(), QueueError> {
        let connecting = matches!(self.rx, Rx::Connect);
        let fits = match kind {
            PduType::CapsuleCmd | PduType::H2cData => !connecting,
            PduType::IcReq => connecting,
            PduType::H2cTermReq => true,
            _ => false,
        };
        if fits {
            Ok(())
        } else {
            Err(QueueError::Sequence(kind))
        }
    }

    /// Section 3.6.2.1 and 3.6.2.2: both sides agree on alignment, digests and limits.
    fn take_ic_req(&mut self) -> Result<(), QueueError> {
        let req = IcReq::parse(&self.stage[self.head..self.tail])?;
        self.head += self.need;
        let granted = Digests {
            header: req.digests.header && self.config.digests.header,
            data: req.digests.data && self.config.digests.data,
        };
        let resp = IcResp {
            pfv: 0,
            cpda: self.config.cpda,
            digests: granted,
            max_h2c_data: self.config.max_h2c_data,
        };
        self.tx.head(|out| resp.emit(out));
        self.digests = granted;
        self.host_align = pda_bytes(req.hpda);
        // MAXR2T is zero-based.
        self.r2t_limit = self
            .config
            .max_r2t
            .min((req.max_r2t as usize).saturating_add(1));
        self.rx = Rx::Head;
        Ok(())
    }

    #[inline]
    fn take_command(&mut self, layout: &Layout) -> Result<(), QueueError> {
        let Some(slot) = self.slots.take() else {
            return Err(QueueError::QueueOverrun);
        };
        self.counters.commands += 1;
        let s = self.slots.at_mut(slot);
        s.sqe = CapsuleCmd::parse(&self.stage[self.head..self.tail])
            .sqe
            .into();
        s.state = State::Owned;
        s.intact = true;
        s.shape = Shape::of(&s.sqe, layout.data_len);
        self.head += self.need;
        self.sq_head = self.sq_head.wrapping_add(1);
        if self.sq_head == self.entries {
            self.sq_head = 0;
        }
        self.events.push_back(Event::Command { slot });
        if layout.data_len > 0 {
            self.rx = Rx::Wait {
                slot,
                len: layout.data_len as u32,
                digest: layout.data_digest,
            };
        }
        Ok(())
    }

    /// The buffer for capsule data is there: takes in what has been read of it.
    pub(super) fn fetch_capsule(&mut self, slot: u16) -> Fetch {
        let Rx::Wait {
            slot: waiting,
            len,
            digest,
        } = self.rx
        else {
            panic!("capsule data is waited for until its buffer comes")
        };
        assert!(waiting == slot, "only one capsule waits at a time");
        self.resume = true;
        let p = Payload {
            slot,
            r2t: None,
            offset: 0,
            len,
            left: len,
            digest,
            large: len as usize >= DIRECT_MIN,
        };
        self.rx = Rx::Payload(p);
        let before = self.events.len();
        if !self.parse_payload(p) {
            return Fetch::Pending;
        }
        // The event just made is for those who wait; this owner does not.
        if self.slots.at(slot).intact && self.events.len() > before {
            self.events.pop_back();
            return Fetch::Ready;
        }
        Fetch::Pending
    }

    /// A command was answered without wanting the data in its capsule.
    #[inline]
    pub(super) fn drop_capsule_data(&mut self, slot: u16) {
        if let Rx::Wait {
            slot: waiting,
            len,
            digest,
        } = self.rx
            && waiting == slot
        {
            let left = len + if digest { DIGEST_LEN as u32 } else { 0 };
            self.rx = Rx::Skip { left };
            self.resume = true;
        }
    }

    fn take_data_head(&mut self, header: &Header, layout: &Layout) -> Result<(), QueueError> {
        let range = DataRange::parse(&self.stage[self.head..self.tail]);
        range.check_len(PduType::H2cData, layout)?;
        if range.len > self.config.max_h2c_data {
            return Err(QueueError::TooMuchData(range.len));
        }
        let tag = range.ttag;
        let Some((slot, index)) = self.slots.by_tag(tag) else {
            return Err(QueueError::UnknownTag(tag));
        };
        let s = self.slots.at(slot);
        if range.cccid != s.cid() {
            return Err(QueueError::WrongCommand {
                tag,
                cccid: range.cccid,
            });
        }
        let r = &s.r2ts[index];
        if range.offset != r.offset + r.done || range.len > r.len - r.done {
            return Err(QueueError::OutOfRange {
                tag,
                offset: range.offset,
                len: range.len,
            });
        }
        // LAST_PDU marks the end of an R2T's data, neither earlier nor later (section 3.6.2.8).
        if header.has(FLAG_LAST) != (range.len == r.len - r.done) {
            return Err(QueueError::WrongLast { tag });
        }
        self.head += self.need;
        self.rx = Rx::Payload(Payload {
            slot,
            r2t: Some(index as u8),
            offset: range.offset,
            len: range.len,
            left: range.len,
            digest: layout.data_digest,
            large: s.data.len() >= DIRECT_MIN,
        });
        Ok(())
    }

    /// Moves staged payload to its place; true when the PDU is complete.
    fn parse_payload(&mut self, mut p: Payload) -> bool {
        if p.left > 0 {
            let take = (self.tail - self.head).min(p.left as usize);
            if take > 0 {
                let bytes = &self.stage[self.head..self.head + take];
                let at = (p.offset + p.len - p.left) as usize;
                self.slots.at_mut(p.slot).data.write_at(at, bytes);
                self.head += take;
                p.left -= take as u32;
                if p.large {
                    self.counters.copied_bytes_large += take as u64;
                    if p.r2t.is_some() {
                        self.large_due -= take as u64;
                    }
                } else {
                    self.counters.copied_bytes_small += take as u64;
                }
                self.rx = Rx::Payload(p);
            }
            if p.left > 0 {
                return false;
            }
        }
        if p.digest {
            let Some(received) = self.stage[self.head..self.tail].first_chunk::<DIGEST_LEN>()
            else {
                self.need = DIGEST_LEN;
                return false;
            };
            let received = u32::from_le_bytes(*received);
            self.head += DIGEST_LEN;
            let s = self.slots.at_mut(p.slot);
            if range_crc(&s.data, p.offset, p.len) != received {
                s.intact = false;
                self.counters.digest_errors += 1;
            }
        }
        self.finish_payload(p);
        true
    }

    fn finish_payload(&mut self, p: Payload) {
        self.rx = Rx::Head;
        self.counters.bytes_in += u64::from(p.len);
        let s = self.slots.at_mut(p.slot);
        s.received += p.len;
        if let Some(index) = p.r2t {
            let r = &mut s.r2ts[usize::from(index)];
            r.done += p.len;
            r.active = r.done < r.len;
        }
        if s.received as usize == s.data.len() {
            s.state = State::Owned;
            self.events.push_back(Event::DataReady {
                slot: p.slot,
                intact: s.intact,
            });
        } else if !s.r2ts[usize::from(p.r2t.unwrap_or(0))].active {
            self.send_r2ts(p.slot);
        }
    }
}
