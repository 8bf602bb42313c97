//! One connection to a controller: one submission and completion queue pair over TCP.
//!
//! Sans-IO: a transport moves the bytes through [`Sink`] and [`Source`], events and completions
//! come out of [`HostQueue::drain_io`] and [`HostQueue::poll_event`]. Commands that are under way
//! are owned by the queue until they complete or [`HostQueue::drain`] gives them back after a loss.

use super::failure::Failure;
use super::rx::Rx;
use super::slots::{AdminCmd, Deferred, Dir, Owner, Slots, io_data};
use super::tx::Tx;
use crate::base::clock::Time;
use crate::base::iovecs::{RecvVec, SendVec};
use crate::base::request::Token;
use crate::base::sg::SgList;
use crate::proto::nvme::{Cqe, Sqe, Status, StatusCode};
use crate::proto::nvme_tcp::pdu::{Digests, IcReq, IcResp, TermReq, pda_bytes};
use crate::transport::{Sink, Source};
use std::collections::VecDeque;

/// In-capsule data of Admin and Fabrics commands at most (NVMe/TCP, "Capsules and Data Transfers").
pub const ADMIN_IN_CAPSULE: u32 = 8192;
/// MAXR2T is cut to this: every one granted takes a place in a fixed list.
const MAX_R2T_CAP: u32 = 64;

/// What one queue is set up with.
#[derive(Copy, Clone, Debug)]
pub struct QueueConfig {
    /// 0 is the admin queue.
    pub qid: u16,
    /// Commands outstanding at most.
    pub depth: u16,
    pub header_digest: bool,
    pub data_digest: bool,
    /// R2Ts outstanding per command at most, counted from 1.
    pub max_r2t: u32,
    /// Alignment of data sent to us, in dwords, zero-based.
    pub hpda: u8,
    /// Keep to the submission queue head that responses report (Connect leaves flow control on).
    pub sq_flow_control: bool,
}

impl QueueConfig {
    /// Submission queue entries to ask for: one more than commands, so that flow control on its
    /// own never holds a command back.
    pub const fn entries(&self) -> u16 {
        self.depth + 1
    }
}

/// Where the connection is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum QueueState {
    /// Not started.
    Idle,
    /// ICReq is out.
    Initializing,
    /// Commands flow.
    Ready,
    /// Ended by a [`Failure`]; a termination request may still be waiting to be sent.
    Failed,
}

impl QueueState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Initializing => "waiting for ICResp",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }
}

/// Data of an admin or Fabrics command.
#[derive(Debug, Default)]
pub enum AdminData {
    #[default]
    None,
    FromHost(SgList),
    /// Room for what the controller sends: all of it must come on success.
    ToHost(SgList),
}

/// What a queue has to say.
#[derive(Debug)]
pub enum Event {
    /// ICResp has come: commands may be submitted.
    Initialized,
    Io {
        token: Token,
        cqe: Cqe,
    },
    Admin {
        tag: u32,
        cqe: Cqe,
        data: SgList,
    },
}

/// A command given back by [`HostQueue::drain`]; `Token::on_wire` tells whether any byte of it was
/// handed to the transport.
#[derive(Debug)]
pub enum Pending {
    Io(Token),
    Admin { tag: u32 },
}

/// Counters of one queue.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Payload bytes of requests of 16 KiB and more that were copied in user space: 0 (I11).
    pub copied_bytes_large: u64,
    /// The same for smaller requests: each byte at most once.
    pub copied_bytes_small: u64,
    /// Data PDUs whose data digest was wrong; each fails its command.
    pub data_digest_errors: u64,
    pub pdus_received: u64,
    pub r2ts_received: u64,
    /// Commands that the controller has answered.
    pub completed: u64,
}

/// One connection of the host. See the module.
#[derive(Debug)]
pub struct HostQueue {
    pub(super) config: QueueConfig,
    pub(super) state: QueueState,
    pub(super) slots: Slots,
    pub(super) tx: Tx,
    pub(super) rx: Rx,
    in_capsule_max: u32,
    /// Zero-based indices into a submission queue of `config.entries()`.
    sq_tail: u16,
    sq_head: u16,
    initialized: bool,
    io_done: VecDeque<(Token, Cqe)>,
    admin_done: VecDeque<(u32, Cqe, SgList)>,
    deferred: Vec<Deferred>,
    pub(super) failure: Option<Failure>,
    pub(super) counters: Counters,
    last_sent: Time,
    pub(super) last_received: Time,
}

impl HostQueue {
    pub fn new(mut config: QueueConfig) -> Self {
        assert!(config.depth > 0, "a queue has room for a command");
        assert!(config.depth < u16::MAX, "CIDs end below FFFFh");
        config.max_r2t = config.max_r2t.clamp(1, MAX_R2T_CAP);
        config.hpda = config.hpda.min(31);
        let depth = usize::from(config.depth);
        Self {
            slots: Slots::new(config.depth),
            tx: Tx::new(depth, config.max_r2t as usize),
            rx: Rx::new(pda_bytes(config.hpda)),
            config,
            state: QueueState::Idle,
            in_capsule_max: if config.qid == 0 { ADMIN_IN_CAPSULE } else { 0 },
            sq_tail: 0,
            sq_head: 0,
            initialized: false,
            io_done: VecDeque::with_capacity(depth),
            admin_done: VecDeque::with_capacity(depth.min(64)),
            deferred: Vec::with_capacity(depth),
            failure: None,
            counters: Counters::default(),
            last_sent: Time::ZERO,
            last_received: Time::ZERO,
        }
    }

    /// Queues ICReq. The transport is connected, or will be before it sends.
    pub fn start(&mut self) {
        assert!(self.state == QueueState::Idle, "a queue starts once");
        let req = IcReq {
            pfv: 0,
            hpda: self.config.hpda,
            digests: self.digests_wanted(),
            max_r2t: self.config.max_r2t - 1,
        };
        self.tx.plain(|b| req.emit(b));
        self.state = QueueState::Initializing;
    }

    pub const fn config(&self) -> &QueueConfig {
        &self.config
    }

    pub const fn state(&self) -> QueueState {
        self.state
    }

    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    pub const fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// In-capsule data that the controller takes on this I/O queue: (IOCCSZ - 4) * 16 bytes.
    pub fn set_in_capsule_max(&mut self, bytes: u32) {
        self.in_capsule_max = bytes;
    }

    pub const fn in_capsule_max(&self) -> u32 {
        self.in_capsule_max
    }

    /// Commands that may be submitted now.
    #[inline]
    pub fn free_slots(&self) -> usize {
        if self.state != QueueState::Ready {
            return 0;
        }
        let free = self.slots.free();
        if !self.config.sq_flow_control {
            return free;
        }
        // One entry stays empty, as in any ring whose head and tail tell empty from full.
        free.min(usize::from(self.config.entries() - 1 - self.sq_used()))
    }

    fn sq_used(&self) -> u16 {
        let entries = self.config.entries();
        (self.sq_tail + entries - self.sq_head) % entries
    }

    /// Commands under way.
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.slots.used()
    }

    /// When the oldest I/O under way was submitted.
    #[inline]
    pub fn oldest_dispatch(&self) -> Option<Time> {
        self.slots.oldest().map(|c| self.slots.get(c).dispatched)
    }

    /// The CID of the oldest I/O under way, for Abort.
    pub fn oldest_cid(&self) -> Option<u16> {
        self.slots.oldest()
    }

    /// When bytes were last handed to the transport, and last came from it.
    pub const fn last_traffic(&self) -> (Time, Time) {
        (self.last_sent, self.last_received)
    }

    /// Sends a command for a request. CID, PSDT and SGL are written here, the rest of `sqe` is the
    /// caller's. A request that cannot go now comes back.
    #[inline]
    pub fn submit_io(&mut self, sqe: Sqe, token: Token, now: Time) -> Result<(), Token> {
        if self.free_slots() == 0 {
            return Err(token);
        }
        let (dir, len) = io_data(&token, self.in_capsule_max);
        self.send(sqe, Owner::Io(token), dir, len, now);
        Ok(())
    }

    /// Sends an admin or Fabrics command; its completion carries `tag`.
    pub fn submit_admin(
        &mut self,
        sqe: Sqe,
        tag: u32,
        data: AdminData,
        now: Time,
    ) -> Result<u16, AdminData> {
        if self.free_slots() == 0 {
            return Err(data);
        }
        let (dir, len) = match &data {
            AdminData::None => (Dir::None, 0),
            AdminData::ToHost(d) => (Dir::ToHost, d.len() as u32),
            AdminData::FromHost(d) if d.len() as u32 <= ADMIN_IN_CAPSULE => {
                (Dir::InCapsule, d.len() as u32)
            }
            AdminData::FromHost(d) => (Dir::OnRequest, d.len() as u32),
        };
        let dir = if len == 0 { Dir::None } else { dir };
        let owner = Owner::Admin(Box::new(AdminCmd { tag, data }));
        Ok(self.send(sqe, owner, dir, len, now))
    }

    #[inline]
    fn send(&mut self, mut sqe: Sqe, owner: Owner, dir: Dir, len: u32, now: Time) -> u16 {
        let cid = self.slots.take(owner, dir, len, now);
        sqe.set_cid(cid);
        let in_capsule = if dir == Dir::InCapsule {
            sqe.set_in_capsule(0, len);
            len
        } else {
            sqe.set_transport(len);
            0
        };
        if self.config.sq_flow_control {
            self.sq_tail = (self.sq_tail + 1) % self.config.entries();
            self.slots.get_mut(cid).sq_tail = self.sq_tail;
        }
        self.tx
            .capsule(&mut self.slots, cid, sqe.as_bytes(), in_capsule);
        cid
    }

    /// Hands over every completed I/O, in order of completion.
    #[inline]
    pub fn drain_io(&mut self, mut f: impl FnMut(Token, Cqe)) {
        while let Some((token, cqe)) = self.io_done.pop_front() {
            f(token, cqe);
        }
    }

    /// Whether `drain_io` would give anything.
    #[inline]
    pub fn has_io(&self) -> bool {
        !self.io_done.is_empty()
    }

    /// The next event, completed I/O last.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.poll_control() {
            return Some(event);
        }
        let (token, cqe) = self.io_done.pop_front()?;
        Some(Event::Io { token, cqe })
    }

    /// The next event that is not a completed I/O.
    #[inline]
    pub fn poll_control(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.initialized) {
            return Some(Event::Initialized);
        }
        let (tag, cqe, data) = self.admin_done.pop_front()?;
        Some(Event::Admin { tag, cqe, data })
    }

    /// Gives back everything under way, I/O in order of dispatch. Only called when the transport
    /// of this queue is gone, because whoever gets a request back may reuse its buffer (I4).
    /// What the controller had answered already completes with its answer instead.
    pub fn drain(&mut self, mut f: impl FnMut(Pending)) {
        self.state = QueueState::Failed;
        for d in std::mem::take(&mut self.deferred) {
            self.deliver(d.cid, d.cqe);
        }
        self.tx.close(&self.slots, None);
        while let Some(cid) = self.slots.oldest() {
            let wire = self.tx.has_left(self.slots.get(cid).capsule_at);
            if let Owner::Io(mut token) = self.slots.release(cid) {
                token.on_wire = wire;
                f(Pending::Io(token));
            }
        }
        for cid in 0..self.slots.depth() as u16 {
            if matches!(self.slots.get(cid).owner, Owner::Admin(_))
                && let Owner::Admin(cmd) = self.slots.release(cid)
            {
                f(Pending::Admin { tag: cmd.tag });
            }
        }
    }

    fn digests_wanted(&self) -> Digests {
        Digests {
            header: self.config.header_digest,
            data: self.config.data_digest,
        }
    }

    pub(super) fn initialize(&mut self, resp: IcResp) -> Result<(), Failure> {
        let asked = self.digests_wanted();
        // The host asked for them because somebody configured them: going on without would be a
        // silent loss of protection, and a digest nobody asked for is not for the peer to choose.
        if resp.digests != asked {
            return Err(Failure::DigestsNotAgreed {
                asked,
                got: resp.digests,
            });
        }
        self.tx.digests = resp.digests;
        self.tx.align = pda_bytes(resp.cpda);
        self.tx.max_h2c = resp.max_h2c_data;
        self.rx.set_digests(resp.digests);
        self.state = QueueState::Ready;
        self.initialized = true;
        Ok(())
    }

    /// A response (or SUCCESS) for a command that `named` has found.
    #[inline]
    pub(super) fn complete(&mut self, cid: u16, mut cqe: Cqe) -> Result<(), Failure> {
        let drained = self.tx.drained(&self.slots, cid);
        let s = self.slots.get_mut(cid);
        if cqe.status.is_success() {
            match s.dir {
                Dir::ToHost if s.moved != s.len => {
                    return Err(Failure::DataShort {
                        cid,
                        received: s.moved,
                        size: s.len,
                    });
                }
                Dir::OnRequest if s.moved != s.len || !drained => {
                    return Err(Failure::SuccessBeforeData {
                        cid,
                        asked: s.moved,
                        size: s.len,
                    });
                }
                _ if !drained => {
                    return Err(Failure::SuccessBeforeData {
                        cid,
                        asked: s.len,
                        size: s.len,
                    });
                }
                _ => {}
            }
            if s.damaged {
                cqe.status = Status::new(StatusCode::TRANSIENT_TRANSPORT_ERROR);
            }
        }
        if drained {
            self.deliver(cid, cqe);
        } else {
            // An error may come before all data was sent; the buffer is still being read (I4).
            s.answered = true;
            self.deferred.push(Deferred { cid, cqe });
        }
        Ok(())
    }

    /// The submission queue head of a response: the controller has fetched what is before it.
    #[inline]
    pub(super) fn sq_head(&mut self, head: u16) -> Result<(), Failure> {
        if !self.config.sq_flow_control {
            return Ok(());
        }
        let entries = self.config.entries();
        if head >= entries {
            return Err(Failure::SqHead { head, entries });
        }
        self.sq_head = head;
        Ok(())
    }

    /// A command completed without a response: it has been fetched at least.
    pub(super) fn fetched(&mut self, cid: u16) {
        if self.config.sq_flow_control {
            let entries = self.config.entries();
            let ahead = |to: u16| (to + entries - self.sq_head) % entries;
            let tail = self.slots.get(cid).sq_tail;
            if ahead(tail) <= ahead(self.sq_tail) {
                self.sq_head = tail;
            }
        }
    }

    #[inline]
    fn deliver(&mut self, cid: u16, cqe: Cqe) {
        self.counters.completed += 1;
        match self.slots.release(cid) {
            Owner::Io(token) => self.io_done.push_back((token, cqe)),
            Owner::Admin(cmd) => {
                let data = match cmd.data {
                    AdminData::None => SgList::new(),
                    AdminData::FromHost(d) | AdminData::ToHost(d) => d,
                };
                self.admin_done.push_back((cmd.tag, cqe, data));
            }
            Owner::Free => unreachable!("only commands under way complete"),
        }
    }

    #[cold]
    fn deliver_deferred(&mut self) {
        let mut i = 0;
        while i < self.deferred.len() {
            if self.tx.drained(&self.slots, self.deferred[i].cid) {
                let d = self.deferred.swap_remove(i);
                self.deliver(d.cid, d.cqe);
            } else {
                i += 1;
            }
        }
    }

    /// Ends the connection: nothing is received any more, commands that wait stay unsent, and the
    /// peer is told why.
    #[cold]
    pub(super) fn fail(&mut self, failure: Failure, offender: &[u8]) {
        if self.state == QueueState::Failed {
            return;
        }
        let term = failure.term().map(|(fes, fei)| TermReq::new(fes, fei));
        self.tx.close(&self.slots, term.map(|t| (t, offender)));
        self.failure = Some(failure);
        self.state = QueueState::Failed;
    }
}

impl Sink for HostQueue {
    #[inline]
    fn recv_places<'a>(&'a mut self, out: &mut RecvVec<'a>) {
        if matches!(self.state, QueueState::Initializing | QueueState::Ready) {
            self.rx.places(&mut self.slots, out);
        }
    }

    #[inline]
    fn received(&mut self, n: usize, now: Time) {
        self.last_received = now;
        self.rx_bytes(n);
    }
}

impl Source for HostQueue {
    #[inline]
    fn send_slices<'a>(&'a self, out: &mut SendVec<'a>) {
        self.tx.slices(&self.slots, out);
    }

    #[inline]
    fn sent(&mut self, n: usize, now: Time) {
        self.last_sent = now;
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
