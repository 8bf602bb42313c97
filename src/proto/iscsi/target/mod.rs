//! One iSCSI connection, target side, without I/O: PDUs in, SCSI commands with their data out, and
//! answers back.
//!
//! Data of a command is received straight into the buffer that the owner gives for it, and
//! data of an answer is sent from where it lies. The owner is whoever knows logical units,
//! sessions and portal groups; login requests and text are its business as well.
//!
//! ErrorRecoveryLevel 0: what cannot be repaired within a command ends the connection. One R2T per
//! command is outstanding at a time.

mod rx;
#[cfg(test)]
mod tests;
mod tx;

use crate::base::clock::Time;
use crate::base::crc::crc32c_append;
use crate::base::iovecs::{RecvVec, SendVec};
use crate::base::limits::DIRECT_MIN;
use crate::base::sg::SgList;
use crate::proto::iscsi::pdu::{
    BHS_LEN, DataIn, Digests, LogoutRequest, LogoutResponse, NO_TAG, NopIn, NopOut, PduError, R2t,
    Reject, Residual, ScsiCommand, ScsiResponse, TargetSn, TaskRequest, TaskResponse, TextRequest,
    TextResponse, pad, put_digest, seal,
};
use crate::transport::{Sink, Source};
use rx::Rx;
use std::collections::VecDeque;
use tx::Tx;

/// Commands of a session in execution at most: the width of the command window.
pub const WINDOW: u32 = 128;
/// Immediate commands beyond the window, and answers that have not left yet.
const SLOTS: usize = 2 * WINDOW as usize + 32;
/// The largest Data-In segment that is sent, whatever the initiator would take.
const SEGMENT_MAX: u32 = 256 * 1024;

/// What login agreed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Params {
    pub digests: Digests,
    pub initial_r2t: bool,
    pub immediate_data: bool,
    /// What the initiator takes in one data segment.
    pub send_max: u32,
    /// What we take.
    pub receive_max: u32,
    pub max_burst: u32,
    pub first_burst: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            digests: Digests::NONE,
            initial_r2t: true,
            immediate_data: true,
            send_max: 8192,
            receive_max: 8192,
            max_burst: 262_144,
            first_burst: 65536,
        }
    }
}

/// Why a connection cannot go on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ConnError {
    Pdu(PduError),
    /// A PDU that does not belong in this phase.
    Phase,
    /// A data digest that was wrong where nothing can be asked for again.
    DataDigest,
    /// More unsolicited data than was agreed on.
    TooMuchData,
}

impl std::fmt::Display for ConnError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pdu(e) => e.fmt(f),
            Self::Phase => f.write_str("a PDU that does not belong in this phase"),
            Self::DataDigest => f.write_str("data digest error"),
            Self::TooMuchData => f.write_str("more unsolicited data than agreed on"),
        }
    }
}

/// What the owner must act on.
#[derive(Debug)]
pub enum Event {
    /// A login request with its text; nothing further is received until it is taken.
    Login {
        bhs: [u8; BHS_LEN],
        data: Vec<u8>,
    },
    /// A command, in the order of CmdSN. Until one with immediate data gets a buffer or is
    /// answered, nothing further is received.
    Command {
        slot: u16,
    },
    /// All data of a command is there, or what came of it is damaged (`intact` false).
    DataReady {
        slot: u16,
        intact: bool,
    },
    Task(TaskRequest),
    Text(TextRequest, Vec<u8>),
    Logout(LogoutRequest),
    /// Payload of an answer has left.
    Released {
        data: SgList,
    },
}

/// Counters of one connection.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnCounters {
    pub commands: u64,
    pub responses: u64,
    pub r2ts: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub copied_bytes_small: u64,
    pub copied_bytes_large: u64,
    pub digest_errors: u64,
    /// Commands outside the window, and data of nobody: passed over.
    pub ignored: u64,
    pub rejects: u64,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    Free,
    /// The owner's.
    Owned,
    /// Its data is on the way in.
    Fetching,
    /// Its answer is on the way out.
    Sending,
}

#[derive(Debug)]
struct Slot {
    state: State,
    cmd: ScsiCommand,
    generation: u16,
    data: SgList,
    received: u32,
    /// The initiator may still send unsolicited data.
    unsolicited: bool,
    /// Offset, length and next DataSN of the sequence that is due.
    r2t: Option<(u32, u32)>,
    next_data_sn: u32,
    r2t_sn: u32,
    intact: bool,
}

const NO_COMMAND: ScsiCommand = ScsiCommand {
    immediate: false,
    is_final: true,
    read: false,
    write: false,
    attr: crate::proto::iscsi::pdu::TaskAttr::Simple,
    lun: 0,
    itt: NO_TAG,
    expected: 0,
    sn: crate::proto::iscsi::pdu::InitiatorSn {
        cmd_sn: 0,
        exp_stat_sn: 0,
    },
    cdb: [0; 16],
};

/// One connection. See the module's description.
#[derive(Debug)]
pub struct TargetConn {
    params: Params,
    full_feature: bool,
    slots: Vec<Slot>,
    free: Vec<u16>,
    /// Commands that take room in the window.
    in_window: u32,
    exp_cmd_sn: u32,
    stat_sn: u32,
    events: VecDeque<Event>,
    failure: Option<ConnError>,
    counters: ConnCounters,
    tx: Tx,
    rx: Rx,
    stage: Box<[u8]>,
    head: usize,
    tail: usize,
    need: usize,
    resume: bool,
    /// Commands with large payload whose data is on the way in.
    large_fetches: u32,
}

impl TargetConn {
    pub fn new() -> Self {
        let slot = || Slot {
            state: State::Free,
            cmd: NO_COMMAND,
            generation: 0,
            data: SgList::new(),
            received: 0,
            unsolicited: false,
            r2t: None,
            next_data_sn: 0,
            r2t_sn: 0,
            intact: true,
        };
        Self {
            params: Params::default(),
            full_feature: false,
            slots: (0..SLOTS).map(|_| slot()).collect(),
            free: (0..SLOTS as u16).rev().collect(),
            in_window: 0,
            exp_cmd_sn: 0,
            stat_sn: 1,
            events: VecDeque::with_capacity(64),
            failure: None,
            counters: ConnCounters::default(),
            tx: Tx::new(),
            rx: Rx::Head,
            stage: rx::staging(),
            head: 0,
            tail: 0,
            need: BHS_LEN,
            resume: false,
            large_fetches: 0,
        }
    }

    /// Slots there are: each names a command.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    pub fn failure(&self) -> Option<ConnError> {
        self.failure
    }

    pub fn counters(&self) -> &ConnCounters {
        &self.counters
    }

    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The next thing to act on.
    pub fn next_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if !self.resume {
            return None;
        }
        self.resume = false;
        self.parse();
        self.events.pop_front()
    }

    /// Received bytes wait for the owner's decision.
    pub fn is_stalled(&self) -> bool {
        matches!(self.rx, Rx::Wait { .. })
    }

    pub fn command(&self, slot: u16) -> &ScsiCommand {
        &self.slots[usize::from(slot)].cmd
    }

    /// The unanswered command of this tag.
    pub fn slot_of(&self, itt: u32) -> Option<u16> {
        self.slots
            .iter()
            .position(|s| matches!(s.state, State::Owned | State::Fetching) && s.cmd.itt == itt)
            .map(|at| at as u16)
    }

    /// Slots of all unanswered commands.
    pub fn unanswered(&self) -> Vec<u16> {
        let is = |s: &Slot| matches!(s.state, State::Owned | State::Fetching);
        (0..self.slots.len() as u16)
            .filter(|at| is(&self.slots[usize::from(*at)]))
            .collect()
    }

    /// The data of a command is still on the way in.
    pub fn is_fetching(&self, slot: u16) -> bool {
        self.slots[usize::from(slot)].state == State::Fetching
    }

    fn target_sn(&self) -> TargetSn {
        TargetSn {
            stat_sn: self.stat_sn,
            exp_cmd_sn: self.exp_cmd_sn,
            max_cmd_sn: self
                .exp_cmd_sn
                .wrapping_add(WINDOW.saturating_sub(self.in_window))
                .wrapping_sub(1),
        }
    }

    /// The same, taking the StatSN.
    fn status_sn(&mut self) -> TargetSn {
        let sn = self.target_sn();
        self.stat_sn = self.stat_sn.wrapping_add(1);
        sn
    }

    /// Queues a PDU whose data is copied.
    fn pdu(&mut self, data: &[u8], emit: impl FnOnce(usize, &mut [u8])) {
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

    /// Queues a PDU that is whole already, as the login writes them.
    pub fn raw(&mut self, pdu: &[u8]) {
        if !pdu.is_empty() {
            self.tx.bytes(pdu);
        }
    }

    /// The login is over: what was agreed on counts from the next PDU on.
    pub fn enter_full_feature(&mut self, params: Params) {
        self.params = params;
        self.full_feature = true;
        self.resume = true;
    }

    /// Sets the first CmdSN of the session and the first StatSN of the connection.
    pub fn begin(&mut self, cmd_sn: u32, stat_sn: u32) {
        self.exp_cmd_sn = cmd_sn;
        self.stat_sn = stat_sn;
    }

    /// Gives a command the buffer for its data from the initiator, not longer than it sends.
    pub fn give_buffer(&mut self, slot: u16, data: SgList) {
        let s = &mut self.slots[usize::from(slot)];
        assert!(s.state == State::Owned, "a command takes one buffer");
        assert!(!data.is_empty() && data.len() <= s.cmd.expected as usize);
        s.data = data;
        s.state = State::Fetching;
        s.received = 0;
        self.resume = true;
        self.large_fetches += u32::from(s.data.len() >= DIRECT_MIN);
        if !self.start_immediate(slot) {
            self.fetch_on(slot);
        }
    }

    /// Takes the data of a command whose data is ready.
    pub fn take_data(&mut self, slot: u16) -> SgList {
        let s = &mut self.slots[usize::from(slot)];
        assert!(s.state == State::Owned, "data is taken once it is there");
        std::mem::take(&mut s.data)
    }

    /// Asks for the next part of a command's data, or tells that all is there.
    fn fetch_on(&mut self, slot: u16) {
        let at = usize::from(slot);
        let s = &mut self.slots[at];
        if s.state != State::Fetching || s.unsolicited || s.r2t.is_some() {
            return;
        }
        let total = s.data.len() as u32;
        if s.received >= total {
            let intact = s.intact;
            self.end_fetch(slot);
            self.events.push_back(Event::DataReady { slot, intact });
            return;
        }
        let offset = s.received;
        let desired = (total - offset).min(self.params.max_burst);
        s.r2t = Some((offset, desired));
        s.next_data_sn = 0;
        let r2t_sn = s.r2t_sn;
        s.r2t_sn += 1;
        let ttt = ttt(slot, s.generation);
        let (lun, itt) = (s.cmd.lun, s.cmd.itt);
        let sn = self.target_sn();
        self.counters.r2ts += 1;
        self.pdu(&[], |_, out| {
            R2t {
                lun,
                itt,
                ttt,
                sn,
                r2t_sn,
                offset,
                desired,
            }
            .emit(out);
        });
    }

    /// No more data of a command is awaited.
    fn end_fetch(&mut self, slot: u16) {
        let s = &mut self.slots[usize::from(slot)];
        if s.state == State::Fetching {
            s.state = State::Owned;
            self.large_fetches -= u32::from(s.data.len() >= DIRECT_MIN);
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

    fn leave_window(&mut self, slot: u16) {
        self.drop_wait(slot);
        if !self.slots[usize::from(slot)].cmd.immediate {
            self.in_window -= 1;
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
        self.leave_window(slot);
        self.stop_payload(slot);
        self.end_fetch(slot);
        self.release(slot);
    }

    fn release(&mut self, slot: u16) {
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

    fn nop_in(&mut self, nop: &NopOut, data: &[u8]) {
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
    fn reject(&mut self, reason: u8, bhs: &[u8; BHS_LEN]) {
        self.counters.rejects += 1;
        let reject = Reject {
            reason,
            sn: self.status_sn(),
            data_sn: 0,
        };
        self.pdu(bhs, |n, out| reject.emit(n, out));
    }

    fn fail(&mut self, reason: ConnError) {
        if self.failure.is_none() {
            self.failure = Some(reason);
        }
        self.rx = Rx::Failed;
    }

    /// Hands out every buffer it still holds: the connection is over.
    pub fn drain_buffers(&mut self, out: &mut Vec<SgList>) {
        for s in &mut self.slots {
            if !s.data.is_empty() {
                out.push(std::mem::take(&mut s.data));
            }
        }
        for e in self.events.drain(..) {
            if let Event::Released { data } = e {
                out.push(data);
            }
        }
        self.tx = Tx::new();
        self.rx = Rx::Failed;
    }
}

impl Default for TargetConn {
    fn default() -> Self {
        Self::new()
    }
}

/// A Target Transfer Tag: slot and how often it was used.
const fn ttt(slot: u16, generation: u16) -> u32 {
    (generation as u32) << 16 | slot as u32
}

fn range_crc(data: &SgList, offset: u32, len: u32) -> u32 {
    let mut crc = 0;
    data.for_each(offset as usize, len as usize, |part| {
        crc = crc32c_append(crc, part);
    });
    crc
}

impl Sink for TargetConn {
    fn recv_places<'a>(&'a mut self, out: &mut RecvVec<'a>) {
        self.places(out);
    }

    fn received(&mut self, n: usize, _now: Time) {
        self.landed(n);
    }
}

impl Source for TargetConn {
    fn send_slices<'a>(&'a self, out: &mut SendVec<'a>) {
        self.tx
            .slices(|slot| &self.slots[usize::from(slot)].data, out);
    }

    fn sent(&mut self, n: usize, _now: Time) {
        let mut done = std::mem::take(&mut self.tx.done);
        self.tx.sent(n, |slot| done.push(slot));
        for slot in done.drain(..) {
            self.release(slot);
        }
        self.tx.done = done;
    }

    fn has_output(&self) -> bool {
        !self.tx.is_empty()
    }
}
