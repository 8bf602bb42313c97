//! One connection of a session in its full-feature phase, and the way its login bytes go.
//!
//! Sans-IO: a transport moves the bytes through [`Sink`] and [`Source`], events and completions
//! come out of [`Connection::drain_io`] and [`Connection::poll_event`]. Tasks that are under way are
//! owned by the connection until they complete or [`Connection::drain`] gives them back after a loss.

use super::super::serial::{CmdWindow, distance, lt};
use super::control::Control;
use super::failure::Failure;
use super::member::CONNECTIONS_MAX;
use super::rx::Rx;
use super::slots::{Command, CommandData, Dir, Owner, Slots, io_data};
use super::tx::{CONTROLS_MAX, FirstBurst, Framing, Tx};
use super::wire::{self, BHS};
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
/// Indexes in tags that each connection of a session has.
const TAGS: u16 = 0x1000;
const _: () = assert!(CONNECTIONS_MAX * TAGS as usize <= 0x8000);
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
    /// A unit attention, reported by command `cmd_sn`, says that commands before it may have been ended
    /// without an answer.
    Cleared {
        lun: u64,
        cmd_sn: u32,
        /// Additional sense code and its qualifier.
        asc: u8,
        ascq: u8,
    },
    /// The answer to an ABORT TASK for a command of another connection.
    Aborted {
        cmd_sn: u32,
    },
    /// Of the session (None) or of a connection.
    Logout {
        cid: Option<u16>,
        response: u8,
    },
    /// An asynchronous message (RFC 7143, 11.9): event, vendor code, three parameters, sense data.
    Async {
        event: u8,
        parameters: [u16; 3],
        sense: Vec<u8>,
    },
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
pub(super) struct Deferred {
    pub(super) ix: u16,
    pub(super) completion: Completion,
}

/// The command numbers of a session, as its initiator counts them over all connections.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Numbers {
    /// CmdSN of the next command.
    pub cmd_sn: u32,
    /// What the target has told last, by any connection.
    pub window: CmdWindow,
}

/// One connection. See the module.
#[derive(Debug)]
pub struct Connection {
    pub(super) params: Params,
    pub(super) state: ConnectionState,
    pub(super) place: u16,
    pub(super) slots: Slots,
    pub(super) tx: Tx,
    pub(super) rx: Rx,
    io_depth: usize,
    /// The session's next command number, as this connection saw it last.
    pub(super) cmd_sn: u32,
    /// What the target has told by this connection.
    pub(super) window: CmdWindow,
    pub(super) controls: Vec<(u32, Control)>,
    pub(super) control_uses: u16,
    pub(super) io_done: VecDeque<(Token, Completion)>,
    pub(super) events: VecDeque<Event>,
    pub(super) deferred: Vec<Deferred>,
    failure: Option<Failure>,
    pub(super) counters: Counters,
    last_received: Time,
}

impl Connection {
    /// The connection of that place in its session, which tells its tags from those of the others.
    pub fn new(depth: u16, place: u16) -> Self {
        let slots = usize::from(depth) + RESERVED;
        assert!(
            depth > 0 && slots <= usize::from(TAGS) && place < CONNECTIONS_MAX as u16,
            "tags end below 8000h"
        );
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
            place,
            slots: Slots::new(slots as u16, place * TAGS),
            tx: Tx::new(slots, MAX_R2T_CAP as usize),
            rx: Rx::new(),
            io_depth: usize::from(depth),
            cmd_sn: 0,
            window: CmdWindow::closed(0),
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

    /// The login is done: what was agreed on, the number of the next status, and the session's
    /// command numbers.
    pub fn enter_full(&mut self, mut params: Params, exp_stat_sn: u32, numbers: &Numbers) {
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
        self.cmd_sn = numbers.cmd_sn;
        self.window = numbers.window;
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

    /// I/O that this connection has room for now; whether the session's window has is for the
    /// session to see.
    #[inline]
    pub fn free_slots(&self) -> usize {
        if self.state != ConnectionState::Full {
            return 0;
        }
        self.slots
            .free()
            .saturating_sub(RESERVED)
            .min(self.io_depth)
    }

    /// Whether there is room for a command that is not I/O.
    pub fn can_command(&self) -> bool {
        self.state == ConnectionState::Full && self.slots.free() > 0
    }

    /// The commands under way: number, tag and logical unit of each.
    pub fn outstanding(&self) -> Vec<(u32, u32, u64)> {
        let all = self.slots.in_use();
        let mut out: Vec<_> = all
            .map(|(ix, s)| (s.cmd_sn, self.slots.itt(ix), s.lun))
            .collect();
        // In the order of the numbers: what the target has received lies before its ExpCmdSN.
        out.sort_by_key(|(n, ..)| distance(self.window.exp_cmd_sn, *n));
        out
    }

    /// A command of a unit that was sent before number `cmd_sn` has no answer yet.
    pub(super) fn waits_before(&self, lun: u64, cmd_sn: u32) -> bool {
        let mut all = self.slots.in_use();
        all.any(|(_, s)| s.lun == lun && !s.answered && lt(s.cmd_sn, cmd_sn))
    }

    /// Bytes of data of the I/O under way.
    #[inline]
    pub fn bytes_in_flight(&self) -> u64 {
        self.slots.bytes
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
        numbers: &mut Numbers,
        now: Time,
    ) -> Result<(), Token> {
        if self.free_slots() == 0 {
            return Err(token);
        }
        let (dir, len) = io_data(&token, block_size);
        let ix = self.slots.take(Owner::Io(token), lun, dir, len, now);
        self.send(ix, cdb, numbers);
        Ok(())
    }

    /// Sends a command of the session's own; its completion carries `tag`.
    pub fn submit_command(
        &mut self,
        lun: u64,
        cdb: &[u8; 16],
        tag: u32,
        data: CommandData,
        numbers: &mut Numbers,
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
        self.send(ix, cdb, numbers);
        Ok(())
    }

    #[inline]
    fn send(&mut self, ix: u16, cdb: &[u8; 16], numbers: &mut Numbers) {
        let cmd_sn = numbers.cmd_sn;
        numbers.cmd_sn = cmd_sn.wrapping_add(1);
        self.cmd_sn = numbers.cmd_sn;
        let s = self.slots.get_mut(ix);
        s.cmd_sn = cmd_sn;
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
