//! The receive side: a parser over a staging buffer, and payload placed past it.

use super::early::Numbered;
use super::order::Arrival;
use super::{ConnError, Event, State, TargetConn, range_crc, slot_of_ttt, ttt};
use crate::base::crc::crc32c_append;
use crate::base::iovecs::RecvVec;
use crate::base::limits::{DIRECT_MIN, STAGING};
use crate::proto::iscsi::pdu::{
    AHS_MAX, Ahs, BHS_LEN, DIGEST_LEN, DataOut, Digests, Header, LogoutRequest, NO_TAG, NopOut,
    Opcode, PduError, RejectReason, ScsiCommand, TaskRequest, TextRequest, check_header_digest,
    get_digest, pad,
};
use std::io::IoSliceMut;

/// Free staging bytes below which unread bytes are moved to the front.
const ROOM_MIN: usize = STAGING / 4;

const _: () = assert!(BHS_LEN + AHS_MAX + DIGEST_LEN < ROOM_MIN);

pub(super) fn staging() -> Box<[u8]> {
    vec![0; STAGING].into_boxed_slice()
}

/// What the next received byte belongs to.
#[derive(Copy, Clone, Debug)]
pub(super) enum Rx {
    /// A PDU header.
    Head,
    /// Immediate data whose command has no buffer yet.
    Wait { slot: u16, len: u32 },
    /// Data of a command.
    Payload(Payload),
    /// Data, padding and digest of a PDU that has a small segment: all of it is awaited.
    Text { bhs: [u8; BHS_LEN], len: usize },
    /// Bytes that nobody wants.
    Skip { left: usize },
    /// Nothing: what still comes is thrown away.
    Failed,
}

#[derive(Copy, Clone, Debug)]
pub(super) struct Payload {
    slot: u16,
    /// Where it begins in the command's data.
    offset: u32,
    /// Bytes that are kept, and those still to come.
    len: u32,
    left: u32,
    /// Bytes behind them that are not wanted; with some, the digest is not looked at.
    excess: u32,
    /// The whole segment.
    segment: u32,
    /// The last PDU of its sequence.
    last: bool,
}

impl TargetConn {
    pub(super) fn places<'a>(&'a mut self, out: &mut RecvVec<'a>) {
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
                let at = (p.offset + p.len - p.left) as usize;
                let data = &mut self.slots[usize::from(p.slot)].data;
                if data.scatter(at, p.left as usize, out) < p.left as usize || out.is_full() {
                    return;
                }
                if p.len as usize >= DIRECT_MIN {
                    // Large payload follows large payload: only the next header is read ahead.
                    end = self.tail + BHS_LEN + 2 * DIGEST_LEN;
                }
            }
            Rx::Wait { .. } => return,
            // With large payload due, reading ahead would be copying.
            Rx::Head if self.large_due() => end = end.min(self.head + self.need),
            Rx::Text { .. } if self.need > end - self.head => {
                self.stage.copy_within(self.head..self.tail, 0);
                self.tail -= self.head;
                self.head = 0;
            }
            _ => {}
        }
        if end > self.tail {
            out.push(IoSliceMut::new(&mut self.stage[self.tail..end]));
        }
    }

    fn large_due(&self) -> bool {
        self.large_fetches > 0
    }

    pub(super) fn landed(&mut self, mut n: usize) {
        match &mut self.rx {
            Rx::Failed => return,
            Rx::Payload(p) if p.left > 0 => {
                let take = n.min(p.left as usize);
                p.left -= take as u32;
                n -= take;
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
                Rx::Head => self.parse_head(),
                Rx::Payload(p) => self.parse_payload(p),
                Rx::Text { bhs, len } => self.parse_text(&bhs, len),
                Rx::Skip { left } => {
                    let take = (self.tail - self.head).min(left);
                    self.head += take;
                    self.rx = if take == left {
                        Rx::Head
                    } else {
                        Rx::Skip { left: left - take }
                    };
                    Ok(take == left)
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

    fn digests(&self) -> Digests {
        if self.full_feature {
            self.params.digests
        } else {
            Digests::NONE
        }
    }

    fn parse_head(&mut self) -> Result<bool, ConnError> {
        // A login ends with the PDU that ends it: what follows is read by other rules, which the
        // owner sets by taking the event.
        if !self.full_feature && !self.events.is_empty() {
            return Ok(false);
        }
        let digests = self.digests();
        let bytes = &self.stage[self.head..self.tail];
        self.need = BHS_LEN;
        let Some(bhs) = bytes.first_chunk::<BHS_LEN>().copied() else {
            return Ok(false);
        };
        let header_room = |ahs: usize| BHS_LEN + ahs + if digests.header { DIGEST_LEN } else { 0 };
        let header = match Header::parse(&bhs) {
            Ok(h) => h,
            Err(e) if self.full_feature => {
                // An unknown opcode is rejected and passed over (RFC 7143, 7.8).
                let ahs = usize::from(bhs[4]) * 4;
                let data = u32::from_be_bytes([0, bhs[5], bhs[6], bhs[7]]) as usize;
                let head = header_room(ahs);
                if data > self.params.receive_max as usize {
                    return Err(ConnError::Pdu(e));
                }
                self.need = head;
                if bytes.len() < head {
                    return Ok(false);
                }
                self.head += head;
                self.reject(RejectReason::CommandNotSupported as u8, &bhs);
                self.skip(data);
                return Ok(true);
            }
            Err(e) => return Err(ConnError::Pdu(e)),
        };
        let data_max = self.params.receive_max as usize;
        let layout = header.layout(digests, data_max).map_err(ConnError::Pdu)?;
        self.need = layout.header;
        if bytes.len() < layout.header {
            return Ok(false);
        }
        if digests.header && header.opcode.digested() {
            check_header_digest(bytes, layout.segments).map_err(ConnError::Pdu)?;
        }
        if self.full_feature != (header.opcode != Opcode::LoginRequest)
            || !header.opcode.from_initiator()
        {
            return Err(ConnError::Phase);
        }
        let mut ahs = [0; AHS_MAX];
        let ahs = &mut ahs[..header.ahs_len];
        ahs.copy_from_slice(&bytes[BHS_LEN..layout.segments]);
        self.head += layout.header;
        let len = header.data_len;
        let result = match header.opcode {
            Opcode::ScsiCommand => self.take_command(&bhs, ahs, len),
            Opcode::DataOut => self.take_data_out(&bhs, len),
            Opcode::NopOut | Opcode::TextRequest | Opcode::LoginRequest => {
                self.rx = Rx::Text { bhs, len };
                Ok(())
            }
            Opcode::TaskRequest => TaskRequest::parse(&bhs).map(|t| {
                let request = Numbered::Other(Event::Task(t));
                self.numbered(t.immediate, t.sn.cmd_sn, request);
            }),
            Opcode::LogoutRequest => LogoutRequest::parse(&bhs).map(|l| {
                let request = Numbered::Other(Event::Logout(l));
                self.numbered(l.immediate, l.sn.cmd_sn, request);
            }),
            _ => {
                self.reject(RejectReason::CommandNotSupported as u8, &bhs);
                Ok(())
            }
        };
        if let Err(e) = result {
            let reason = e.reject().ok_or(ConnError::Pdu(e))?;
            self.reject(reason as u8, &bhs);
            self.skip(len);
        }
        Ok(true)
    }

    /// Passes over a data segment with what belongs to it.
    fn skip(&mut self, data_len: usize) {
        let left = self.behind(data_len) + data_len;
        self.rx = if left == 0 {
            Rx::Head
        } else {
            Rx::Skip { left }
        };
    }

    /// Padding and digest of a data segment.
    fn behind(&self, data_len: usize) -> usize {
        if data_len == 0 {
            return 0;
        }
        pad(data_len) + if self.digests().data { DIGEST_LEN } else { 0 }
    }

    fn take_command(
        &mut self,
        bhs: &[u8; BHS_LEN],
        ahs: &[u8],
        len: usize,
    ) -> Result<(), PduError> {
        let mut cmd = ScsiCommand::parse(bhs)?;
        let segments = Ahs::parse(ahs)?;
        if len > 0 && (!cmd.write || !self.params.immediate_data || len > cmd.expected as usize) {
            return Err(PduError::BadField {
                opcode: Opcode::ScsiCommand,
                field: crate::proto::iscsi::pdu::Field::DataSegmentLength,
                value: len as u32,
            });
        }
        let arrival = self.arrival(cmd.immediate, cmd.sn.cmd_sn);
        if arrival == Arrival::Ignored {
            self.skip(len);
            return Ok(());
        }
        // A bidirectional command, and one longer than 16 bytes, are known to no unit here: an
        // opcode that nobody has says so.
        if segments.extended_cdb.is_some() || segments.read_length.is_some() {
            cmd.cdb[0] = 0x7f;
        }
        let Some(slot) = self.free.pop() else {
            if arrival == Arrival::Early {
                self.order_mut().forget(cmd.sn.cmd_sn);
            }
            self.reject(RejectReason::TooManyImmediate as u8, bhs);
            self.skip(len);
            return Ok(());
        };
        self.counters.commands += 1;
        let early = arrival == Arrival::Early;
        let first_burst = self.params.first_burst;
        let s = &mut self.slots[usize::from(slot)];
        s.cmd = cmd;
        s.state = if early { State::Early } else { State::Owned };
        s.received = 0;
        s.early = false;
        s.unsolicited =
            !cmd.is_final && !self.params.initial_r2t && cmd.expected.min(first_burst) > 0;
        s.r2t = None;
        s.filling = 0;
        s.asked = 0;
        s.next_data_sn = 0;
        s.r2t_sn = 0;
        s.intact = true;
        self.rx = Rx::Head;
        if len > 0 || s.unsolicited {
            let len = len as u32;
            self.rx = Rx::Wait { slot, len };
            if early {
                self.events.push_back(Event::Room { slot });
            }
        }
        if early {
            let request = Numbered::Command { slot };
            self.held.push((cmd.sn.cmd_sn, request));
            return Ok(());
        }
        if !cmd.immediate {
            self.order_mut().enter();
        }
        self.events.push_back(Event::Command { slot });
        Ok(())
    }

    /// A buffer is there: takes immediate data in, if there is some. False when there is none.
    pub(super) fn start_immediate(&mut self, slot: u16) -> bool {
        let Rx::Wait { slot: waiting, len } = self.rx else {
            return false;
        };
        if waiting != slot {
            return false;
        }
        self.begin_payload(slot, 0, len, true);
        true
    }

    /// A data segment of this command is in the middle of being received.
    pub(super) fn is_receiving(&self, slot: u16) -> bool {
        matches!(self.rx, Rx::Payload(p) if p.slot == slot)
            || matches!(self.rx, Rx::Wait { slot: waiting, .. } if waiting == slot)
    }

    /// A command is answered without wanting its immediate data.
    pub(super) fn drop_wait(&mut self, slot: u16) {
        if let Rx::Wait { slot: waiting, len } = self.rx
            && waiting == slot
        {
            self.skip(len as usize);
            self.resume = true;
        }
    }

    /// A command is gone while its data comes in: the rest of that PDU is passed over.
    pub(super) fn stop_payload(&mut self, slot: u16) {
        if let Rx::Payload(p) = self.rx
            && p.slot == slot
        {
            let left = (p.left + p.excess) as usize + self.behind(p.segment as usize);
            self.rx = if left == 0 {
                Rx::Head
            } else {
                Rx::Skip { left }
            };
            self.resume = true;
        }
    }

    fn begin_payload(&mut self, slot: u16, offset: u32, segment: u32, last: bool) {
        let room = (self.slots[usize::from(slot)].data.len() as u32).saturating_sub(offset);
        let len = segment.min(room);
        self.rx = Rx::Payload(Payload {
            slot,
            offset,
            len,
            left: len,
            excess: segment - len,
            segment,
            last,
        });
    }

    fn take_data_out(&mut self, bhs: &[u8; BHS_LEN], len: usize) -> Result<(), PduError> {
        let d = DataOut::parse(bhs)?;
        let found = if d.ttt == NO_TAG {
            self.slot_of(d.itt)
                .filter(|s| self.slots[usize::from(*s)].unsolicited)
        } else {
            let slot = slot_of_ttt(d.ttt);
            self.slots
                .get(usize::from(slot))
                .is_some_and(|s| {
                    let mut asked = s.filling..s.r2t_sn;
                    s.state == State::Fetching
                        && s.r2t.is_some()
                        && s.cmd.itt == d.itt
                        && asked.any(|sn| d.ttt == ttt(slot, s.generation, sn))
                })
                .then_some(slot)
        };
        // Data of a command that was answered or aborted is still on its way for a while.
        let takes = |s: &u16| {
            let s = &self.slots[usize::from(*s)];
            s.state == State::Fetching || s.early
        };
        let Some(slot) = found.filter(takes) else {
            self.counters.ignored += 1;
            self.skip(len);
            return Ok(());
        };
        let first_burst = self.params.first_burst;
        let s = &mut self.slots[usize::from(slot)];
        let end = d.offset.saturating_add(len as u32);
        let fits = match s.r2t {
            Some((offset, desired)) => end <= offset + desired,
            None => end <= first_burst.min(s.cmd.expected),
        };
        // The sequences that were asked for come in order as well (DataSequenceInOrder).
        let due = d.ttt == NO_TAG || d.ttt == ttt(slot, s.generation, s.filling);
        // Order and numbers are agreed on; a gap cannot be filled at this recovery level, so the
        // command fails once its sequence is over (RFC 7143, 7.9).
        if d.data_sn != s.next_data_sn || d.offset != s.received || !fits || !due {
            s.intact = false;
        }
        s.next_data_sn = s.next_data_sn.wrapping_add(1);
        if s.intact {
            self.begin_payload(slot, d.offset, len as u32, d.is_final);
        } else {
            // What came is counted as received, so that the sequence ends.
            s.received = s.received.saturating_add(len as u32);
            self.skip(len);
            if d.is_final {
                self.fail_fetch(slot);
            }
        }
        Ok(())
    }

    /// No further data is awaited for a command whose data is damaged.
    pub(super) fn fail_fetch(&mut self, slot: u16) {
        let s = &mut self.slots[usize::from(slot)];
        s.unsolicited = false;
        s.r2t = None;
        if s.early {
            // It is told when the command gets its turn and its buffer.
            return;
        }
        self.end_fetch(slot);
        self.events.push_back(Event::DataReady {
            slot,
            intact: false,
        });
    }

    fn parse_payload(&mut self, mut p: Payload) -> Result<bool, ConnError> {
        if p.left > 0 {
            let take = (self.tail - self.head).min(p.left as usize);
            if take > 0 {
                let at = (p.offset + p.len - p.left) as usize;
                let bytes = &self.stage[self.head..self.head + take];
                self.slots[usize::from(p.slot)].data.write_at(at, bytes);
                self.head += take;
                p.left -= take as u32;
                if p.len as usize >= DIRECT_MIN {
                    self.counters.copied_bytes_large += take as u64;
                } else {
                    self.counters.copied_bytes_small += take as u64;
                }
                self.rx = Rx::Payload(p);
            }
            if p.left > 0 {
                return Ok(false);
            }
        }
        if p.excess > 0 {
            let take = (self.tail - self.head).min(p.excess as usize);
            self.head += take;
            p.excess -= take as u32;
            self.rx = Rx::Payload(p);
            if p.excess > 0 {
                return Ok(false);
            }
        }
        let behind = self.behind(p.segment as usize);
        if self.tail - self.head < behind {
            self.need = behind;
            return Ok(false);
        }
        let padding = pad(p.segment as usize);
        if self.digests().data && p.segment > 0 && p.len == p.segment {
            let received = get_digest(&self.stage, self.head + padding);
            let data = &self.slots[usize::from(p.slot)].data;
            let crc = range_crc(data, p.offset, p.len);
            let crc = crc32c_append(crc, &self.stage[self.head..self.head + padding]);
            if crc != received {
                self.counters.digest_errors += 1;
                self.slots[usize::from(p.slot)].intact = false;
            }
        }
        self.head += behind;
        self.rx = Rx::Head;
        self.counters.bytes_in += u64::from(p.segment);
        self.finish_payload(&p);
        Ok(true)
    }

    fn finish_payload(&mut self, p: &Payload) {
        let s = &mut self.slots[usize::from(p.slot)];
        s.received += p.segment;
        let immediate = p.offset == 0 && s.next_data_sn == 0;
        if let Some((offset, desired)) = s.r2t {
            if s.received >= offset + desired {
                s.r2t = None;
                s.filling += 1;
            } else if p.last {
                // It ended early: what is missing never comes.
                s.intact = false;
                return self.fail_fetch(p.slot);
            }
        } else if s.unsolicited && p.last && !immediate {
            s.unsolicited = false;
        }
        self.fetch_on(p.slot);
    }

    fn parse_text(&mut self, bhs: &[u8; BHS_LEN], len: usize) -> Result<bool, ConnError> {
        let behind = self.behind(len);
        self.need = len + behind;
        if self.tail - self.head < self.need {
            return Ok(false);
        }
        let padded = self.head + len + pad(len);
        let data = self.stage[self.head..self.head + len].to_vec();
        if self.digests().data && len > 0 {
            let crc = crc32c_append(0, &self.stage[self.head..padded]);
            if crc != get_digest(&self.stage, padded) {
                self.counters.digest_errors += 1;
                return Err(ConnError::DataDigest);
            }
        }
        self.head += self.need;
        self.rx = Rx::Head;
        let header = Header::parse(bhs).map_err(ConnError::Pdu)?;
        match header.opcode {
            Opcode::NopOut => {
                let nop = NopOut::parse(bhs);
                self.numbered(nop.immediate, nop.sn.cmd_sn, Numbered::Nop(nop, data));
            }
            Opcode::TextRequest => match TextRequest::parse(bhs) {
                Ok(t) => {
                    let request = Numbered::Other(Event::Text(t, data));
                    self.numbered(t.immediate, t.sn.cmd_sn, request);
                }
                Err(_) => self.reject(RejectReason::InvalidPduField as u8, bhs),
            },
            _ => {
                self.events.push_back(Event::Login { bhs: *bhs, data });
            }
        }
        Ok(true)
    }
}
