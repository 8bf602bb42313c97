//! What is sent: answers, and the numbers that every PDU carries.

use super::{Event, SEGMENT_MAX, State, TargetConn, range_crc};
use crate::base::crc::crc32c_append;
use crate::base::sg::SgList;
use crate::proto::iscsi::pdu::{
    BHS_LEN, DataIn, LogoutResponse, NO_TAG, NopIn, NopOut, Reject, Residual, ScsiCommand,
    ScsiResponse, TargetSn, TaskResponse, TextResponse, pad, put_digest, seal,
};

impl TargetConn {
    pub(super) fn target_sn(&mut self) -> TargetSn {
        let window = self.order_mut().window();
        TargetSn {
            stat_sn: self.stat_sn,
            exp_cmd_sn: window.exp_cmd_sn,
            max_cmd_sn: window.max_cmd_sn,
        }
    }

    /// The same, taking the StatSN.
    pub(super) fn status_sn(&mut self) -> TargetSn {
        let sn = self.target_sn();
        self.stat_sn = self.stat_sn.wrapping_add(1);
        sn
    }

    /// Queues a PDU whose data is copied.
    pub(super) fn pdu(&mut self, data: &[u8], emit: impl FnOnce(usize, &mut [u8])) {
        let digests = self.params.digests;
        self.tx.head(|out| {
            emit(data.len(), out);
            seal(out, BHS_LEN, digests.header)
        });
        if data.is_empty() {
            return;
        }
        let zeros = &[0; 3][..pad(data.len())];
        self.tx.bytes(data);
        self.tx.bytes(zeros);
        if digests.data {
            let crc = crc32c_append(crc32c_append(0, data), zeros);
            let mut digest = [0; 4];
            put_digest(&mut digest, 0, crc);
            self.tx.bytes(&digest);
        }
    }

    /// How the data that a command names compares with what the initiator expects.
    fn residual(expected: u32, need: u64) -> Residual {
        let expected = u64::from(expected);
        let cut = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        match need.cmp(&expected) {
            std::cmp::Ordering::Equal => Residual::None,
            std::cmp::Ordering::Less => Residual::Underflow(cut(expected - need)),
            std::cmp::Ordering::Greater => Residual::Overflow(cut(need - expected)),
        }
    }

    pub(super) fn leave_window(&mut self, slot: u16) {
        self.drop_wait(slot);
        self.drop_early(slot);
        if !self.slots[usize::from(slot)].cmd.immediate {
            self.order_mut().leave();
        }
    }

    /// Answers a command without payload of its own. `need` bytes are what it would transfer;
    /// `sense` is empty where the status is no CHECK CONDITION.
    pub fn respond(&mut self, slot: u16, status: u8, sense: &[u8], need: u64) {
        self.leave_window(slot);
        let s = &self.slots[usize::from(slot)];
        let (itt, expected, exp_data_sn) = (s.cmd.itt, s.cmd.expected, s.r2t_sn);
        let moves = s.cmd.read || s.cmd.write;
        self.release(slot);
        let mut data = [0; 64];
        let len = if sense.is_empty() {
            0
        } else {
            let n = sense.len().min(data.len() - 2);
            data[1] = n as u8;
            data[2..2 + n].copy_from_slice(&sense[..n]);
            n + 2
        };
        let residual = if moves || need > 0 {
            Self::residual(expected, need)
        } else {
            Residual::None
        };
        let response = ScsiResponse {
            response: 0,
            status,
            itt,
            snack_tag: 0,
            sn: self.status_sn(),
            exp_data_sn,
            residual,
            bidi_residual: Residual::None,
        };
        self.counters.responses += 1;
        self.pdu(&data[..len], |n, out| response.emit(n, out));
    }

    /// Answers a command with data that is copied, as parameter data are.
    pub fn respond_bytes(&mut self, slot: u16, bytes: &[u8]) {
        let s = &self.slots[usize::from(slot)];
        let (cmd, need) = (s.cmd, bytes.len() as u64);
        if !cmd.read || bytes.is_empty() || cmd.expected == 0 {
            return self.respond(slot, 0, &[], need);
        }
        self.leave_window(slot);
        self.release(slot);
        let send = bytes.len().min(cmd.expected as usize);
        self.data_in(&cmd, send as u32, need, |conn, offset, len, header| {
            let part = &bytes[offset as usize..(offset + len) as usize];
            conn.pdu(part, |n, out| header.emit(n, out));
        });
    }

    /// Answers a read with its payload, which comes back by [`Event::Released`].
    pub fn respond_data(&mut self, slot: u16, data: SgList) {
        let cmd = self.slots[usize::from(slot)].cmd;
        let need = data.len() as u64;
        let send = data.len().min(cmd.expected as usize) as u32;
        if !cmd.read || send == 0 {
            self.events.push_back(Event::Released { data });
            return self.respond(slot, 0, &[], need);
        }
        self.leave_window(slot);
        let s = &mut self.slots[usize::from(slot)];
        s.data = data;
        s.state = State::Sending;
        self.data_in(&cmd, send, need, |conn, offset, len, header| {
            let digests = conn.params.digests;
            conn.tx.head(|out| {
                header.emit(len as usize, out);
                seal(out, BHS_LEN, digests.header)
            });
            let last = offset + len == send;
            conn.tx.data(slot, offset, len, last);
            let zeros = &[0; 3][..pad(len as usize)];
            if !zeros.is_empty() {
                conn.tx.bytes(zeros);
            }
            if digests.data {
                let data = &conn.slots[usize::from(slot)].data;
                let crc = crc32c_append(range_crc(data, offset, len), zeros);
                let mut digest = [0; 4];
                put_digest(&mut digest, 0, crc);
                conn.tx.bytes(&digest);
            }
        });
    }

    /// Data-In PDUs of one command; the last carries its status.
    fn data_in(
        &mut self,
        cmd: &ScsiCommand,
        send: u32,
        need: u64,
        mut put: impl FnMut(&mut Self, u32, u32, &DataIn),
    ) {
        self.counters.responses += 1;
        self.counters.bytes_out += u64::from(send);
        let segment = self.params.send_max.min(SEGMENT_MAX);
        let burst = self.params.max_burst;
        let (mut offset, mut data_sn) = (0, 0);
        while offset < send {
            let burst_left = burst - offset % burst;
            let len = (send - offset).min(segment).min(burst_left);
            let last = offset + len == send;
            let sn = if last {
                self.status_sn()
            } else {
                TargetSn {
                    stat_sn: 0,
                    ..self.target_sn()
                }
            };
            let header = DataIn {
                is_final: last || len == burst_left,
                ack: false,
                status: last.then_some(0),
                residual: if last {
                    Self::residual(cmd.expected, need)
                } else {
                    Residual::None
                },
                lun: 0,
                itt: cmd.itt,
                ttt: NO_TAG,
                sn,
                data_sn,
                offset,
            };
            put(self, offset, len, &header);
            offset += len;
            data_sn += 1;
        }
    }

    /// Drops an unanswered command without an answer (it was aborted).
    pub fn abort(&mut self, slot: u16) {
        if self.slots[usize::from(slot)].state == State::Early {
            self.forget_early(slot);
            self.drop_wait(slot);
            self.drop_early(slot);
        } else {
            self.leave_window(slot);
        }
        self.stop_payload(slot);
        self.end_fetch(slot);
        self.release(slot);
    }

    pub(super) fn release(&mut self, slot: u16) {
        let s = &mut self.slots[usize::from(slot)];
        let data = std::mem::take(&mut s.data);
        s.state = State::Free;
        s.generation = s.generation.wrapping_add(1) & 0x7fff;
        self.free.push(slot);
        if !data.is_empty() {
            self.events.push_back(Event::Released { data });
        }
    }

    /// Answers a task management function.
    pub fn task_response(&mut self, itt: u32, response: u8) {
        let sn = self.status_sn();
        self.pdu(&[], |_, out| TaskResponse { response, itt, sn }.emit(out));
    }

    pub fn text_response(&mut self, itt: u32, ttt: u32, text: &[u8], more: bool) {
        let response = TextResponse {
            is_final: !more,
            cont: more,
            lun: 0,
            itt,
            ttt,
            sn: self.status_sn(),
        };
        self.pdu(text, |n, out| response.emit(n, out));
    }

    pub fn logout_response(&mut self, itt: u32, response: u8) {
        let response = LogoutResponse {
            response,
            itt,
            sn: self.status_sn(),
            time2wait: 2,
            time2retain: 0,
        };
        self.pdu(&[], |_, out| response.emit(out));
    }

    pub(super) fn nop_in(&mut self, nop: &NopOut, data: &[u8]) {
        // An answer to a ping of ours, or one that wants none.
        if nop.itt == NO_TAG {
            return;
        }
        let data = &data[..data.len().min(self.params.send_max as usize)];
        let answer = NopIn {
            lun: 0,
            itt: nop.itt,
            ttt: NO_TAG,
            sn: self.status_sn(),
        };
        self.pdu(data, |n, out| answer.emit(n, out));
    }

    /// Rejects a PDU, whose header goes back with it.
    pub(super) fn reject(&mut self, reason: u8, bhs: &[u8; BHS_LEN]) {
        self.counters.rejects += 1;
        let reject = Reject {
            reason,
            sn: self.status_sn(),
            data_sn: 0,
        };
        self.pdu(bhs, |n, out| reject.emit(n, out));
    }
}
