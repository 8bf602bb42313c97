//! The controller half of one NVMe/TCP connection.
//!
//! [`ControllerQueue`] takes what a host sends and gives what a controller answers; it knows
//! PDUs and transfers, and nothing of what commands mean. Its owner drives a command so:
//!
//! ```text
//! Event::Command ──┬─ complete ────────────────────────────────┐ no data, or data to the host
//!                  └─ give_buffer ─ Event::DataReady ─ take_data ─ complete   data from the host
//! complete with data ─ (sent) ─ Event::Released: the buffer is free again
//! ```
//!
//! Payload of [`DIRECT_MIN`] bytes and more goes between the
//! socket and the owner's buffer without a copy: while such data may come, no more than a header
//! is read ahead. Small payload is read ahead with its neighbours and copied once.

mod error;
mod rx;
mod slots;
#[cfg(test)]
mod tests;
mod tx;

pub use error::QueueError;
pub use slots::{R2TS, SLOTS_MAX, Shape};

use crate::base::clock::Time;
use crate::base::crc::crc32c_append;
use crate::base::iovecs::{RecvVec, SendVec};
use crate::base::limits::DIRECT_MIN;
use crate::base::sg::SgList;
use crate::proto::nvme::Sqe;
use crate::proto::nvme_tcp::pdu::{
    CapsuleResp, DataRange, Digests, FLAG_LAST, FLAG_SUCCESS, MAXH2CDATA_MIN, PduType, TermReq,
};
use crate::transport::{Sink, Source};
use rx::Rx;
use slots::{Slots, State};
use std::collections::VecDeque;
use tx::Tx;

/// Bytes of data an admin command capsule may carry, whatever IOCCSZ says (section 3.4.1).
pub const ADMIN_CAPSULE_DATA: u32 = 8192;
/// Commands taken before Connect has named the size of the queue.
const SLOTS_FIRST: usize = 2;
/// Slots beyond the queue size: some hosts fill the last entry too, and Connect and Keep Alive
/// have entries of their own with them.
const SLOTS_EXTRA: usize = 4;

/// What a controller offers on its connections.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Bytes of data in an I/O command capsule at most (IOCCSZ less 64).
    pub capsule_data: u32,
    /// Data bytes in one H2CData PDU at most (MAXH2CDATA).
    pub max_h2c_data: u32,
    /// R2Ts outstanding per command at most, if the host allows as many: 1 to [`R2TS`].
    pub max_r2t: usize,
    /// Bytes asked for by one R2T at most.
    pub r2t_size: u32,
    /// Bytes in one C2HData PDU at most.
    pub c2h_size: u32,
    /// Alignment of data from the host, in dwords, zero-based.
    pub cpda: u8,
    /// Digests granted to a host that asks for them.
    pub digests: Digests,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            capsule_data: 8192,
            max_h2c_data: 4 << 20,
            max_r2t: R2TS,
            r2t_size: u32::MAX,
            c2h_size: 4 << 20,
            cpda: 0,
            digests: Digests {
                header: true,
                data: true,
            },
        }
    }
}

impl QueueConfig {
    /// The nearest configuration that the transport allows.
    fn checked(mut self) -> Self {
        self.max_h2c_data = self.max_h2c_data.max(MAXH2CDATA_MIN) & !3;
        self.max_r2t = self.max_r2t.clamp(1, R2TS);
        self.r2t_size = self.r2t_size.max(4096) & !3;
        self.c2h_size = self.c2h_size.max(4096) & !3;
        self.cpda = self.cpda.min(31);
        self
    }
}

/// What the owner must act on.
#[derive(Debug)]
pub enum Event {
    /// A command has come: see [`ControllerQueue::sqe`] and [`ControllerQueue::shape`]. Until one
    /// with data in its capsule gets a buffer or is completed, nothing further is received.
    Command { slot: u16 },
    /// All data of a command is in its buffer. `intact` is false when a data digest was wrong:
    /// the command ends with Transient Transport Error.
    DataReady { slot: u16, intact: bool },
    /// The payload of an answer has left; its slot is free.
    Released { slot: u16, data: SgList },
}

/// What became of a buffer given for data from the host.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Fetch {
    /// The data is there already: no event follows.
    Ready,
    /// [`Event::DataReady`] follows.
    Pending,
}

/// Bytes and PDUs of one connection, for status and for proof of invariant I11.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueCounters {
    pub commands: u64,
    pub responses: u64,
    pub r2ts: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Payload bytes copied in user space, of commands with less than 16 KiB.
    pub copied_bytes_small: u64,
    /// The same of larger ones.
    pub copied_bytes_large: u64,
    pub digest_errors: u64,
}

/// One connection, controller side.
#[derive(Debug)]
pub struct ControllerQueue {
    config: QueueConfig,
    // What ICReq and ICResp agreed on.
    digests: Digests,
    /// Alignment of data to the host, in bytes.
    host_align: usize,
    /// R2Ts per command: the smaller of what both sides allow.
    r2t_limit: usize,
    // What Connect agreed on.
    /// Data accepted in a capsule.
    capsule_max: usize,
    /// Entries of the queue; 0 until Connect.
    entries: u16,
    sq_head: u16,
    flow_control: bool,

    slots: Slots,
    events: VecDeque<Event>,
    failure: Option<QueueError>,
    counters: QueueCounters,
    tx: Tx,

    rx: Rx,
    stage: Box<[u8]>,
    /// Unread bytes are `stage[head..tail]`.
    head: usize,
    tail: usize,
    /// Bytes of the next PDU that the parser waits for.
    need: usize,
    /// The owner has unblocked the parser since it last ran.
    resume: bool,
    /// Bytes of large payload asked for by R2T and not yet received.
    large_due: u64,
}

impl ControllerQueue {
    pub fn new(config: QueueConfig) -> Self {
        let config = config.checked();
        Self {
            digests: Digests::NONE,
            host_align: 4,
            r2t_limit: 1,
            capsule_max: ADMIN_CAPSULE_DATA.max(config.capsule_data) as usize,
            entries: 0,
            sq_head: 0,
            flow_control: true,
            slots: Slots::new(SLOTS_FIRST),
            events: VecDeque::with_capacity(64),
            failure: None,
            counters: QueueCounters::default(),
            tx: Tx::new(),
            rx: Rx::Connect,
            stage: rx::staging(),
            head: 0,
            tail: 0,
            need: 0,
            resume: false,
            large_due: 0,
            config,
        }
    }

    /// Takes over what Connect agreed on. `entries` counts from 1.
    pub fn open(&mut self, entries: u16, admin: bool, flow_control: bool) {
        assert!(entries > 0, "a queue has entries");
        self.entries = entries;
        self.sq_head %= entries;
        self.flow_control = flow_control;
        self.slots.grow(usize::from(entries) + SLOTS_EXTRA);
        self.events.reserve(self.slots.len());
        if !admin {
            self.capsule_max = self.config.capsule_data as usize;
        }
    }

    /// The next thing to act on.
    #[inline]
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

    /// The next payload that has left, if nothing else is to be acted on before.
    #[inline]
    pub fn next_released(&mut self) -> Option<SgList> {
        if !matches!(self.events.front(), Some(Event::Released { .. })) {
            return None;
        }
        match self.events.pop_front() {
            Some(Event::Released { data, .. }) => Some(data),
            _ => None,
        }
    }

    /// The submission queue entry of a command.
    #[inline]
    pub fn sqe(&self, slot: u16) -> &Sqe {
        &self.slots.at(slot).sqe
    }

    /// What the command says about its data.
    #[inline]
    pub fn shape(&self, slot: u16) -> Shape {
        self.slots.at(slot).shape
    }

    /// The command with this identifier that is not yet being answered (for Abort).
    pub fn slot_of(&self, cid: u16) -> Option<u16> {
        self.slots.by_cid(cid)
    }

    /// Gives a command the buffer for its data from the host; as long as `shape` says.
    pub fn give_buffer(&mut self, slot: u16, data: SgList) -> Fetch {
        let s = self.slots.at_mut(slot);
        assert!(
            s.state == State::Owned,
            "only a command of the owner's takes a buffer"
        );
        assert!(
            data.len() == s.shape.len() as usize && !data.is_empty(),
            "the buffer is as long as the data"
        );
        s.data = data;
        s.state = State::Fetching;
        s.received = 0;
        s.asked = 0;
        match s.shape {
            Shape::Capsule(_) => self.fetch_capsule(slot),
            _ => {
                self.send_r2ts(slot);
                Fetch::Pending
            }
        }
    }

    /// Takes the data of a command whose data is ready.
    pub fn take_data(&mut self, slot: u16) -> SgList {
        let s = self.slots.at_mut(slot);
        assert!(
            s.state == State::Owned,
            "data is taken once it is all there"
        );
        std::mem::take(&mut s.data)
    }

    /// Answers a command: `result` are dwords 0 and 1 of the completion entry, `status` its
    /// status field without the phase bit. With `data`, that goes first, and comes back by
    /// [`Event::Released`]. A command whose data is still on the way in cannot be answered.
    #[inline]
    pub fn complete(&mut self, slot: u16, result: u64, status: u16, data: Option<SgList>) {
        let sqhd = if self.flow_control { self.sq_head } else { 0 };
        self.answer(slot, result, status, sqhd, data);
    }

    /// Answers a successful Connect, after `open`. SQHD FFFFh tells the host that flow control is
    /// off (base specification, figure "Connect Response").
    pub fn complete_connect(&mut self, slot: u16, result: u64) {
        let sqhd = if self.flow_control {
            self.sq_head
        } else {
            0xffff
        };
        self.answer(slot, result, 0, sqhd, None);
    }

    fn answer(&mut self, slot: u16, result: u64, status: u16, sqhd: u16, data: Option<SgList>) {
        let s = self.slots.at_mut(slot);
        assert!(
            s.state == State::Owned,
            "only a command of the owner's is answered"
        );
        self.counters.responses += 1;
        self.drop_capsule_data(slot);
        let cid = self.slots.at(slot).cid();
        if self.failure.is_some() {
            // Nobody reads an answer behind C2HTermReq; the buffer goes back all the same.
            self.slots.put(slot);
            if let Some(data) = data {
                self.events.push_back(Event::Released { slot, data });
            }
            return;
        }
        let data = data.filter(|d| !d.is_empty());
        if let Some(data) = data {
            // SUCCESS saves the response, which flow control needs for its SQHD (section 3.3.2.1)
            // and a result needs for its dwords.
            let success = !self.flow_control && status == 0 && result == 0;
            self.send_data(slot, cid, data, success);
            if success {
                return;
            }
        } else {
            self.slots.put(slot);
        }
        let mut cqe = [0; 16];
        cqe[..8].copy_from_slice(&result.to_le_bytes());
        cqe[8..10].copy_from_slice(&sqhd.to_le_bytes());
        cqe[12..14].copy_from_slice(&cid.to_le_bytes());
        cqe[14..].copy_from_slice(&(status << 1).to_le_bytes());
        let digests = self.digests;
        self.tx.head(|out| CapsuleResp::emit(&cqe, digests, out));
    }

    fn send_data(&mut self, slot: u16, cid: u16, data: SgList, success: bool) {
        let total = data.len() as u32;
        self.counters.bytes_out += u64::from(total);
        let s = self.slots.at_mut(slot);
        s.data = data;
        s.state = State::Sending;
        let mut offset = 0;
        while offset < total {
            let len = (total - offset).min(self.config.c2h_size);
            let last = offset + len == total;
            let mut flags = 0;
            if last {
                flags = FLAG_LAST | if success { FLAG_SUCCESS } else { 0 };
            }
            let range = DataRange {
                cccid: cid,
                ttag: 0,
                offset,
                len,
            };
            let (digests, align) = (self.digests, self.host_align);
            self.tx
                .head(|out| range.emit_data(PduType::C2hData, flags, digests, align, out));
            self.tx.data(slot, offset, len, last);
            if digests.data {
                let crc = range_crc(&self.slots.at(slot).data, offset, len);
                self.tx.bytes(&crc.to_le_bytes());
            }
            offset += len;
        }
    }

    fn send_r2ts(&mut self, slot: u16) {
        let s = self.slots.at_mut(slot);
        let large = s.data.len() >= DIRECT_MIN;
        while let Some(r2t) = s.next_r2t(slot, self.r2t_limit, self.config.r2t_size) {
            if large {
                self.large_due += u64::from(r2t.len);
            }
            self.counters.r2ts += 1;
            let digests = self.digests;
            self.tx.head(|out| r2t.emit_r2t(digests, out));
        }
    }

    /// Ends the connection: nothing more is read, and the host is told why.
    fn fail(&mut self, reason: QueueError) {
        if self.failure.is_some() {
            return;
        }
        if let Some((fes, fei)) = reason.term() {
            let offender = &self.stage[self.head..self.tail];
            self.tx
                .head_large(|out| TermReq::new(fes, fei).emit(PduType::C2hTermReq, offender, out));
        }
        self.failure = Some(reason);
        self.rx = Rx::Failed;
        self.head = 0;
        self.tail = 0;
    }

    /// Why the connection must end; it may be closed once there is no output left.
    pub fn failure(&self) -> Option<QueueError> {
        self.failure
    }

    /// ICReq has come and been answered.
    pub fn is_initialized(&self) -> bool {
        !matches!(self.rx, Rx::Connect)
    }

    /// Slots there are; slot numbers are below this.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Commands that have not been answered, or whose answer's payload has not left.
    pub fn outstanding(&self) -> usize {
        self.slots.used()
    }

    pub fn counters(&self) -> &QueueCounters {
        &self.counters
    }

    pub fn digests(&self) -> Digests {
        self.digests
    }

    pub fn config(&self) -> &QueueConfig {
        &self.config
    }

    /// Nothing is received before the owner gives the buffer of a command, or completes it.
    #[inline]
    pub fn is_stalled(&self) -> bool {
        matches!(self.rx, Rx::Wait { .. })
    }

    /// The connection is over: hands every buffer back that is still in a slot. Nothing else may
    /// be called afterwards.
    pub fn drain_buffers(&mut self, out: &mut Vec<SgList>) {
        for event in self.events.drain(..) {
            if let Event::Released { data, .. } = event {
                out.push(data);
            }
        }
        for s in self.slots.iter_mut() {
            if !s.data.is_empty() {
                out.push(std::mem::take(&mut s.data));
            }
        }
    }
}

/// CRC32C over a range of a payload.
fn range_crc(data: &SgList, offset: u32, len: u32) -> u32 {
    let mut crc = 0;
    data.for_each(offset as usize, len as usize, |part| {
        crc = crc32c_append(crc, part);
    });
    crc
}

impl Sink for ControllerQueue {
    fn recv_places<'a>(&'a mut self, out: &mut RecvVec<'a>) {
        self.places(out);
    }

    fn received(&mut self, n: usize, _now: Time) {
        self.landed(n);
    }
}

impl Source for ControllerQueue {
    fn send_slices<'a>(&'a self, out: &mut SendVec<'a>) {
        self.tx.slices(&self.slots, out);
    }

    fn sent(&mut self, n: usize, _now: Time) {
        let (slots, events) = (&mut self.slots, &mut self.events);
        self.tx.sent(n, |slot| {
            let data = std::mem::take(&mut slots.at_mut(slot).data);
            slots.put(slot);
            events.push_back(Event::Released { slot, data });
        });
    }

    fn has_output(&self) -> bool {
        !self.tx.is_empty()
    }
}
