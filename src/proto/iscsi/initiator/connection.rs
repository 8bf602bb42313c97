//! One connection of a session in its full-feature phase, and the way its login bytes go.
//!
//! Sans-IO: a transport moves the bytes through [`Sink`] and [`Source`], events and completions
//! come out of [`Connection::drain_io`] and [`Connection::poll_event`]. Tasks that are under way are
//! owned by the connection until they complete or [`Connection::drain`] gives them back after a loss.

use super::failure::Failure;
use super::rx::Rx;
use super::slots::{Command, CommandData, Dir, Owner, Slots, io_data};
use super::tx::{CONTROLS_MAX, FirstBurst, Framing, Tx};
use super::wire::{self, BHS, FINAL, IMMEDIATE, NO_TAG, op};
use crate::base::clock::Time;
use crate::base::iovecs::{RecvVec, SendVec};
use crate::base::request::Token;
use crate::base::sg::SgList;
use crate::transport::{Sink, Source};
use std::collections::VecDeque;

/// R2Ts outstanding per task that are kept room for, at most.
const MAX_R2T_CAP: u32 = 16;
/// Slots that I/O leaves free for what the session itself has to ask.
const RESERVED: usize = 4;
/// Sense data kept of a response.
pub const SENSE_MAX: usize = 96;

/// What the login agreed on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Params {
    pub header_digest: bool,
    pub data_digest: bool,
    pub immediate_data: bool,
    pub initial_r2t: bool,
    pub first_burst: u32,
    pub max_burst: u32,
    /// MaxRecvDataSegmentLength of the target.
    pub max_send: u32,
    /// Our own, as declared.
    pub max_recv: u32,
    pub max_r2t: u32,
}

/// Where the connection is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ConnectionState {
    /// Login PDUs go through as they are.
    Login,
    /// Commands flow.
    Full,
    /// Ended by a [`Failure`].
    Failed,
}

/// How a task ended.
#[derive(Copy, Clone, Debug)]
pub struct Completion {
    /// SCSI status; meaningless when `response` is not 0.
    pub status: u8,
    /// iSCSI service response: 0 is "command completed at target" (RFC 7143, 11.4.3).
    pub response: u8,
    /// Bytes of data-in that came.
    pub received: u32,
    /// Less data came than the command was for.
    pub short: bool,
    /// Data-in was damaged on the way (data digest).
    pub damaged: bool,
    pub sense_len: u8,
    pub sense: [u8; SENSE_MAX],
}

impl Completion {
    pub fn sense(&self) -> &[u8] {
        &self.sense[..usize::from(self.sense_len)]
    }
}

/// What a connection has to say besides completed I/O.
#[derive(Debug)]
pub enum Event {
    /// A PDU of the login phase, header and data.
    Login(Vec<u8>),
    Command {
        tag: u32,
        completion: Box<Completion>,
        data: SgList,
    },
    /// Our ping came back.
    Pong,
    Task {
        tag: u32,
        response: u8,
    },
    Logout {
        response: u8,
    },
    /// An asynchronous message (RFC 7143, 11.9): event, vendor code, three parameters, sense data.
    Async {
        event: u8,
        parameters: [u16; 3],
        sense: Vec<u8>,
    },
}

/// A request outside of the slots that waits for its answer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Control {
    Ping,
    Task { tag: u32 },
    Logout,
}

/// Counters of one connection.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Payload bytes of requests of 16 KiB and more that were copied in user space: 0 (I11).
    pub copied_bytes_large: u64,
    /// The same for smaller requests: each byte at most once.
    pub copied_bytes_small: u64,
    pub data_digest_errors: u64,
    pub pdus_received: u64,
    pub r2ts_received: u64,
    /// Tasks that the target has answered.
    pub completed: u64,
}

/// A completion that waits until no byte of its task's data is queued any more (I4).
#[derive(Debug)]
struct Deferred {
    ix: u16,
    completion: Completion,
}

/// One connection. See the module.
#[derive(Debug)]
pub struct Connection {
    pub(super) params: Params,
    pub(super) state: ConnectionState,
    pub(super) slots: Slots,
    pub(super) tx: Tx,
    pub(super) rx: Rx,
    io_depth: usize,
    cmd_sn: u32,
    max_cmd_sn: u32,
    exp_cmd_sn: u32,
    controls: Vec<(u32, Control)>,
    control_uses: u16,
    io_done: VecDeque<(Token, Completion)>,
    events: VecDeque<Event>,
    deferred: Vec<Deferred>,
    failure: Option<Failure>,
    pub(super) counters: Counters,
    last_received: Time,
}

impl Connection {
    pub fn new(depth: u16) -> Self {
        assert!(depth > 0 && depth < 0x4000, "tags end below 8000h");
        let slots = usize::from(depth) + RESERVED;
        Self {
            params: Params {
                header_digest: false,
                data_digest: false,
                immediate_data: false,
                initial_r2t: true,
                first_burst: 0,
                max_burst: 0,
                max_send: 512,
                max_recv: 512,
                max_r2t: 1,
            },
            state: ConnectionState::Login,
            slots: Slots::new(slots as u16),
            tx: Tx::new(slots, MAX_R2T_CAP as usize),
            rx: Rx::new(),
            io_depth: usize::from(depth),
            cmd_sn: 0,
            max_cmd_sn: 0,
            exp_cmd_sn: 0,
            controls: Vec::with_capacity(CONTROLS_MAX),
            control_uses: 0,
            io_done: VecDeque::with_capacity(slots),
            events: VecDeque::new(),
            deferred: Vec::with_capacity(slots),
            failure: None,
            counters: Counters::default(),
            last_received: Time::ZERO,
        }
    }

    /// Queues login PDUs as they are.
    pub fn send_login(&mut self, bytes: &[u8]) {
        if self.state == ConnectionState::Login {
            self.tx.login(bytes);
        }
    }

    /// The login is done: numbers of the first command, of the next status, and of the last command
    /// that may be sent.
    pub fn enter_full(
        &mut self,
        mut params: Params,
        cmd_sn: u32,
        exp_stat_sn: u32,
        window: (u32, u32),
    ) {
        assert!(self.state == ConnectionState::Login, "a login ends once");
        params.max_r2t = params.max_r2t.clamp(1, MAX_R2T_CAP);
        self.params = params;
        self.rx
            .set_digests(params.header_digest, params.data_digest);
        self.tx.framing = Framing {
            header_digest: params.header_digest,
            data_digest: params.data_digest,
            max_send: params.max_send.max(512),
        };
        self.tx.exp_stat_sn = exp_stat_sn;
        self.cmd_sn = cmd_sn;
        (self.exp_cmd_sn, self.max_cmd_sn) = window;
        self.state = ConnectionState::Full;
        // What came right behind the last login response.
        self.rx_bytes(0);
    }

    pub const fn params(&self) -> &Params {
        &self.params
    }

    pub const fn state(&self) -> ConnectionState {
        self.state
    }

    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    pub const fn failure(&self) -> Option<Failure> {
        self.failure
    }

    pub const fn last_received(&self) -> Time {
        self.last_received
    }

    /// Commands that the target's window has room for.
    fn window_left(&self) -> usize {
        // MaxCmdSN may be one below the next number: a closed window (RFC 7143, 4.2.2.1).
        let left = self.max_cmd_sn.wrapping_add(1).wrapping_sub(self.cmd_sn);
        if left as i32 <= 0 { 0 } else { left as usize }
    }

    /// I/O that may be submitted now.
    #[inline]
    pub fn free_slots(&self) -> usize {
        if self.state != ConnectionState::Full {
            return 0;
        }
        let free = self.slots.free().saturating_sub(RESERVED);
        free.min(self.io_depth).min(self.window_left())
    }

    /// Whether a command that is not I/O may be submitted now.
    pub fn can_command(&self) -> bool {
        self.state == ConnectionState::Full && self.slots.free() > 0 && self.window_left() > 0
    }

    /// Tasks under way.
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.slots.used()
    }

    /// I/O under way, or whether there is any.
    pub fn has_io_in_flight(&self) -> bool {
        self.slots.oldest().is_some()
    }

    /// When the oldest I/O under way was submitted.
    pub fn oldest_dispatch(&self) -> Option<Time> {
        self.slots.oldest().map(|ix| self.slots.get(ix).dispatched)
    }

    /// Sends a command for a request. A request that cannot go now comes back.
    #[inline]
    pub fn submit_io(
        &mut self,
        lun: u64,
        cdb: &[u8; 16],
        block_size: u32,
        token: Token,
        now: Time,
    ) -> Result<(), Token> {
        if self.free_slots() == 0 {
            return Err(token);
        }
        let (dir, len) = io_data(&token, block_size);
        let ix = self.slots.take(Owner::Io(token), lun, dir, len, now);
        self.send(ix, cdb);
        Ok(())
    }

    /// Sends a command of the session's own; its completion carries `tag`.
    pub fn submit_command(
        &mut self,
        lun: u64,
        cdb: &[u8; 16],
        tag: u32,
        data: CommandData,
        now: Time,
    ) -> Result<(), CommandData> {
        if !self.can_command() {
            return Err(data);
        }
        let (dir, len) = match &data {
            CommandData::None => (Dir::None, 0),
            CommandData::In(d) => (Dir::In, d.len() as u32),
            CommandData::Out(d) => (Dir::Out, d.len() as u32),
        };
        let dir = if len == 0 { Dir::None } else { dir };
        let owner = Owner::Command(Box::new(Command { tag, data }));
        let ix = self.slots.take(owner, lun, dir, len, now);
        self.send(ix, cdb);
        Ok(())
    }

    #[inline]
    fn send(&mut self, ix: u16, cdb: &[u8; 16]) {
        let cmd_sn = self.cmd_sn;
        self.cmd_sn = cmd_sn.wrapping_add(1);
        let s = self.slots.get_mut(ix);
        let p = &self.params;
        let (flags, immediate, unsolicited) = match s.dir {
            Dir::None => (0, 0, 0),
            Dir::In => (0x40, 0, 0),
            Dir::Out => {
                let burst = s.len.min(p.first_burst);
                let immediate = if p.immediate_data {
                    burst.min(p.max_send)
                } else {
                    0
                };
                let unsolicited = if p.initial_r2t { 0 } else { burst - immediate };
                (0x20, immediate, unsolicited)
            }
        };
        if s.dir == Dir::Out {
            s.moved = immediate + unsolicited;
        }
        let burst = FirstBurst {
            immediate,
            unsolicited,
        };
        self.tx
            .command(&mut self.slots, ix, cmd_sn, flags, cdb, burst);
        if unsolicited > 0 {
            self.tx.pump(&mut self.slots);
        }
    }

    /// A tag outside of the slots.
    fn control(&mut self, control: Control) -> Option<u32> {
        if self.state != ConnectionState::Full
            || self.controls.len() == CONTROLS_MAX
            || !self.tx.has_room_for_control()
        {
            return None;
        }
        // Never FFFFh in the upper half together with FFFFh below: the index stays under FF00h.
        self.control_uses = (self.control_uses + 1) % 0xff00;
        let itt = u32::from(self.control_uses) << 16 | 0x8000;
        self.controls.push((itt, control));
        Some(itt)
    }

    /// Sends a NOP-Out that asks for an answer. One at a time.
    pub fn ping(&mut self) -> bool {
        if self.controls.iter().any(|(_, c)| *c == Control::Ping) {
            return false;
        }
        let Some(itt) = self.control(Control::Ping) else {
            return false;
        };
        let cmd_sn = self.cmd_sn;
        self.tx.plain(|b| {
            wire::header(b, op::NOP_OUT | IMMEDIATE, FINAL, 0, itt);
            wire::put32(b, 20, NO_TAG);
            wire::put32(b, 24, cmd_sn);
        });
        true
    }

    /// Sends a task management request that names no task (RFC 7143, 11.5.1): 5 LOGICAL UNIT RESET.
    pub fn task_management(&mut self, function: u8, lun: u64, tag: u32) -> bool {
        let Some(itt) = self.control(Control::Task { tag }) else {
            return false;
        };
        let cmd_sn = self.cmd_sn;
        self.tx.plain(|b| {
            wire::header(b, op::TASK_REQUEST | IMMEDIATE, FINAL | function, lun, itt);
            wire::put32(b, 20, NO_TAG);
            wire::put32(b, 24, cmd_sn);
        });
        true
    }

    /// Asks the target to end the session (reason 0, RFC 7143, 11.14.1).
    pub fn logout(&mut self) -> bool {
        let Some(itt) = self.control(Control::Logout) else {
            return false;
        };
        let cmd_sn = self.cmd_sn;
        self.tx.plain(|b| {
            wire::header(b, op::LOGOUT_REQUEST | IMMEDIATE, FINAL, 0, itt);
            wire::put32(b, 24, cmd_sn);
        });
        true
    }

    /// Hands over every completed I/O, in order of completion.
    #[inline]
    pub fn drain_io(&mut self, mut f: impl FnMut(Token, &Completion)) {
        while let Some((token, c)) = self.io_done.pop_front() {
            f(token, &c);
        }
    }

    /// Whether a login PDU waits to be taken: nothing behind it is looked at before.
    pub(super) fn login_waits(&self) -> bool {
        self.state == ConnectionState::Login && !self.events.is_empty()
    }

    #[inline]
    pub fn has_io(&self) -> bool {
        !self.io_done.is_empty()
    }

    /// The next event that is not a completed I/O.
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Gives back everything under way, in order of dispatch. Only called when the transport of this
    /// connection is gone, because whoever gets a request back may reuse its buffer (I4). What the
    /// target had answered completes with its answer instead.
    pub fn drain(&mut self, mut f: impl FnMut(Token)) {
        self.state = ConnectionState::Failed;
        for d in std::mem::take(&mut self.deferred) {
            self.deliver(d.ix, d.completion);
        }
        self.tx.close(&self.slots);
        while let Some(ix) = self.slots.oldest() {
            let wire = self.tx.has_left(self.slots.get(ix).command_at);
            if let Owner::Io(mut token) = self.slots.release(ix) {
                token.on_wire = wire;
                f(token);
            }
        }
        for ix in 0..self.slots.depth() as u16 {
            if matches!(self.slots.get(ix).owner, Owner::Command(_)) {
                drop(self.slots.release(ix));
            }
        }
    }

    /// StatSN of a PDU that carries a status.
    pub(super) fn stat_sn(&mut self, b: &[u8; BHS]) -> Result<(), Failure> {
        let got = wire::be32(b, 24);
        let expected = self.tx.exp_stat_sn;
        if got != expected {
            return Err(Failure::StatSn { expected, got });
        }
        self.tx.exp_stat_sn = got.wrapping_add(1);
        Ok(())
    }

    /// ExpCmdSN and MaxCmdSN, in every PDU of a target (RFC 7143, 4.2.2.1).
    #[inline]
    pub(super) fn window(&mut self, b: &[u8; BHS]) {
        let (exp, max) = (wire::be32(b, 28), wire::be32(b, 32));
        if wire::before(max, exp.wrapping_sub(1)) {
            return;
        }
        if wire::before(self.exp_cmd_sn, exp) {
            self.exp_cmd_sn = exp;
        }
        if wire::before(self.max_cmd_sn, max) {
            self.max_cmd_sn = max;
        }
    }

    /// A PDU that came as a whole.
    pub(super) fn whole_pdu(&mut self, b: &[u8; BHS], data: &[u8]) -> Result<(), Failure> {
        let opcode = b[0] & 0x3f;
        let itt = wire::be32(b, 16);
        if self.state == ConnectionState::Login {
            return match opcode {
                op::LOGIN_RESPONSE | op::REJECT => {
                    let mut bytes = b.to_vec();
                    bytes.extend_from_slice(data);
                    self.events.push_back(Event::Login(bytes));
                    Ok(())
                }
                _ => Err(Failure::UnexpectedPdu { opcode }),
            };
        }
        match opcode {
            op::SCSI_RESPONSE => {
                self.window(b);
                self.stat_sn(b)?;
                let Some(ix) = self.slots.named(itt, &self.tx) else {
                    return Err(Failure::UnknownTask { opcode, itt });
                };
                self.answered(ix, b[2], b[3], data)
            }
            op::R2T => {
                self.window(b);
                self.r2t(b, itt)
            }
            op::NOP_IN => {
                self.window(b);
                self.nop_in(b, itt)
            }
            op::TASK_RESPONSE => {
                self.window(b);
                self.stat_sn(b)?;
                match self.take_control(itt) {
                    Some(Control::Task { tag }) => {
                        let response = b[2];
                        self.events.push_back(Event::Task { tag, response });
                        Ok(())
                    }
                    _ => Err(Failure::UnknownTask { opcode, itt }),
                }
            }
            op::LOGOUT_RESPONSE => {
                self.window(b);
                self.stat_sn(b)?;
                match self.take_control(itt) {
                    Some(Control::Logout) => {
                        self.events.push_back(Event::Logout { response: b[2] });
                        Ok(())
                    }
                    _ => Err(Failure::UnknownTask { opcode, itt }),
                }
            }
            op::ASYNC => {
                self.window(b);
                self.stat_sn(b)?;
                let parameters = [wire::be16(b, 38), wire::be16(b, 40), wire::be16(b, 42)];
                let sense = sense_of(data).to_vec();
                self.events.push_back(Event::Async {
                    event: b[36],
                    parameters,
                    sense,
                });
                Ok(())
            }
            op::REJECT => {
                self.window(b);
                self.stat_sn(b)?;
                self.rejected(b[2], data)
            }
            _ => Err(Failure::UnexpectedPdu { opcode }),
        }
    }

    fn take_control(&mut self, itt: u32) -> Option<Control> {
        let at = self.controls.iter().position(|(t, _)| *t == itt)?;
        Some(self.controls.swap_remove(at).1)
    }

    fn nop_in(&mut self, b: &[u8; BHS], itt: u32) -> Result<(), Failure> {
        if itt != NO_TAG {
            self.stat_sn(b)?;
            return match self.take_control(itt) {
                Some(Control::Ping) => {
                    self.events.push_back(Event::Pong);
                    Ok(())
                }
                _ => Err(Failure::UnknownTask {
                    opcode: op::NOP_IN,
                    itt,
                }),
            };
        }
        // A ping of the target; its StatSN is the next one and is not used up (RFC 7143, 11.19.3).
        let ttt = wire::be32(b, 20);
        if ttt == NO_TAG {
            return Ok(());
        }
        if !self.tx.has_room_for_control() {
            return Err(Failure::TooManyPings);
        }
        let mut lun = [0; 8];
        lun.copy_from_slice(&b[8..16]);
        let (lun, cmd_sn) = (u64::from_be_bytes(lun), self.cmd_sn);
        self.tx.plain(|o| {
            wire::header(o, op::NOP_OUT | IMMEDIATE, FINAL, lun, NO_TAG);
            wire::put32(o, 20, ttt);
            wire::put32(o, 24, cmd_sn);
        });
        Ok(())
    }

    fn r2t(&mut self, b: &[u8; BHS], itt: u32) -> Result<(), Failure> {
        self.counters.r2ts_received += 1;
        let Some(ix) = self.slots.named(itt, &self.tx) else {
            return Err(Failure::UnknownTask {
                opcode: op::R2T,
                itt,
            });
        };
        let (ttt, sn, offset, len) = (
            wire::be32(b, 20),
            wire::be32(b, 36),
            wire::be32(b, 40),
            wire::be32(b, 44),
        );
        let s = self.slots.get_mut(ix);
        if s.dir != Dir::Out {
            return Err(Failure::WrongDirection {
                opcode: op::R2T,
                itt,
            });
        }
        if sn != s.data_sn {
            return Err(Failure::DataSn {
                itt,
                expected: s.data_sn,
                got: sn,
            });
        }
        if len == 0 {
            return Err(Failure::R2tEmpty { itt });
        }
        if len > self.params.max_burst {
            return Err(Failure::R2tTooLong {
                itt,
                len,
                max: self.params.max_burst,
            });
        }
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
        if s.r2ts >= self.params.max_r2t {
            return Err(Failure::R2tLimit {
                itt,
                max: self.params.max_r2t,
            });
        }
        s.moved += len;
        s.data_sn += 1;
        self.tx.want(&mut self.slots, ix, ttt, offset, len);
        self.tx.pump(&mut self.slots);
        Ok(())
    }

    fn rejected(&mut self, reason: u8, header: &[u8]) -> Result<(), Failure> {
        let opcode = header.first().map_or(0xff, |b| b & 0x3f);
        // A ping that was one too many is no loss: the next one will be answered.
        if reason == 0x06 && header.len() >= BHS && opcode == op::NOP_OUT {
            let itt = wire::be32(header, 16);
            self.take_control(itt);
            return Ok(());
        }
        Err(Failure::Rejected { reason, opcode })
    }

    /// The answer of a task that `named` has found.
    pub(super) fn answered(
        &mut self,
        ix: u16,
        response: u8,
        status: u8,
        data: &[u8],
    ) -> Result<(), Failure> {
        let itt = self.slots.itt(ix);
        let drained = self.tx.drained(&self.slots, ix);
        let s = self.slots.get_mut(ix);
        if response == 0 && status == 0 && s.dir == Dir::Out && (s.moved != s.len || !drained) {
            return Err(Failure::GoodBeforeData {
                itt,
                asked: s.moved,
                size: s.len,
            });
        }
        let mut completion = Completion {
            status,
            response,
            received: if s.dir == Dir::In { s.moved } else { 0 },
            short: s.dir == Dir::In && s.moved != s.len,
            damaged: s.damaged,
            sense_len: 0,
            sense: [0; SENSE_MAX],
        };
        let sense = sense_of(data);
        let n = sense.len().min(SENSE_MAX);
        completion.sense[..n].copy_from_slice(&sense[..n]);
        completion.sense_len = n as u8;
        if drained {
            self.deliver(ix, completion);
        } else {
            // An error may come before all data was sent; the buffer is still being read (I4).
            s.answered = true;
            self.deferred.push(Deferred { ix, completion });
        }
        Ok(())
    }

    #[inline]
    fn deliver(&mut self, ix: u16, completion: Completion) {
        self.counters.completed += 1;
        match self.slots.release(ix) {
            Owner::Io(token) => self.io_done.push_back((token, completion)),
            Owner::Command(c) => {
                let data = match c.data {
                    CommandData::None => SgList::new(),
                    CommandData::In(d) | CommandData::Out(d) => d,
                };
                self.events.push_back(Event::Command {
                    tag: c.tag,
                    completion: Box::new(completion),
                    data,
                });
            }
            Owner::Free => unreachable!("only tasks under way complete"),
        }
    }

    #[cold]
    fn deliver_deferred(&mut self) {
        let mut i = 0;
        while i < self.deferred.len() {
            if self.tx.drained(&self.slots, self.deferred[i].ix) {
                let d = self.deferred.swap_remove(i);
                self.deliver(d.ix, d.completion);
            } else {
                i += 1;
            }
        }
    }

    /// Ends the connection: nothing is received any more, and commands that wait stay unsent.
    #[cold]
    pub(super) fn fail(&mut self, failure: Failure) {
        if self.state == ConnectionState::Failed {
            return;
        }
        self.tx.close(&self.slots);
        self.failure = Some(failure);
        self.state = ConnectionState::Failed;
    }
}

/// The sense data in a data segment: its length stands before it (RFC 7143, 11.4.7.2).
fn sense_of(data: &[u8]) -> &[u8] {
    match data {
        [a, b, rest @ ..] => {
            let n = usize::from(u16::from_be_bytes([*a, *b]));
            &rest[..n.min(rest.len())]
        }
        _ => &[],
    }
}

impl Sink for Connection {
    #[inline]
    fn recv_places<'a>(&'a mut self, out: &mut RecvVec<'a>) {
        if self.state != ConnectionState::Failed {
            self.rx.places(&mut self.slots, out);
        }
    }

    #[inline]
    fn received(&mut self, n: usize, now: Time) {
        self.last_received = now;
        self.rx_bytes(n);
    }
}

impl Source for Connection {
    #[inline]
    fn send_slices<'a>(&'a self, out: &mut SendVec<'a>) {
        self.tx.slices(&self.slots, out);
    }

    #[inline]
    fn sent(&mut self, n: usize, _now: Time) {
        if self.tx.taken(&mut self.slots, n) {
            self.tx.pump(&mut self.slots);
        }
        if !self.deferred.is_empty() {
            self.deliver_deferred();
        }
    }

    #[inline]
    fn has_output(&self) -> bool {
        self.tx.has_output()
    }
}
