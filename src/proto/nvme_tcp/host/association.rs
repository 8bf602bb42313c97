//! All connections to one controller: login, upkeep, orderly end. Sans-IO.
//!
//! ```text
//!  connected(0)   ICReq, Connect, CAP, VS, CC.EN, CSTS.RDY, Identify, features, AERs
//!       |
//!  wants_connection() = q ... connected(q)   ICReq, Connect, for each I/O queue
//!       |
//!  namespaces, identifiers, ANA log ── Up ── events, Keep Alive, re-reads, CCR, aborts
//!                                      |
//!                                  shutdown()  CC.SHN, CSTS.SHST ── ShutdownDone
//! ```
//! At any time `Failed`, with a named reason; then the owner aborts the transports and takes what
//! was under way with [`Association::drain`]. Login and upkeep talk in one conversation on the
//! admin queue, a step at a time (`conversation`); Keep Alive, event requests, aborts and
//! Cross-Controller Resets run beside it under tags of their own.

mod access;
mod beside;
mod conversation;
mod failure;
mod info;
mod learned;
mod shutdown;

pub use failure::{AssociationFailure, ConnectRefusal};
pub use info::{
    ANA_STATE_CHANGE, ANA_STATE_OPTIMIZED, AssociationConfig, ControllerInfo, NamespaceInfo,
};

use super::queue::{AdminData, Event, HostQueue, Pending, QueueConfig};
use crate::base::clock::Time;
use crate::base::request::Token;
use crate::base::sg::SgList;
use crate::proto::nvme::property::{Cap, Cc, Version};
use crate::proto::nvme::{Cqe, IdentifyController, Sqe, Status};
use access::AnaRead;
use beside::{Ccr, KeepAlive};
use conversation::Step;
use learned::Scan;
use shutdown::Stopping;
use std::collections::VecDeque;

/// Commands outstanding on the admin queue: with the entry that stays empty the 32 entries that
/// every fabrics controller takes.
const ADMIN_DEPTH: u16 = 31;
/// Namespaces of one association at most; a controller with more is refused.
pub const NAMESPACES_MAX: usize = 1024;

/// Whose answer it is.
mod tag {
    /// The conversation.
    pub(super) const STEP: u32 = 1;
    pub(super) const CONNECT: u32 = 2;
    pub(super) const KEEP_ALIVE: u32 = 3;
    pub(super) const EVENT: u32 = 4;
    pub(super) const SHUTDOWN: u32 = 5;
    /// With a sequence number below.
    pub(super) const CCR: u32 = 0x4000_0000;
    pub(super) const ABORT: u32 = 0x8000_0000;
    pub(super) const SEQUENCE: u32 = 0x3fff_ffff;
}

/// How a Cross-Controller Reset stands.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CcrResult {
    /// The other controller is reset: none of its commands acts any more.
    Done,
    /// Accepted; another `CcrAnswered` follows.
    Pending,
    /// Accepted, and then not achieved: proves nothing.
    Failed,
    /// Not accepted.
    Refused(Status),
}

/// What an association has to say. Completed I/O is taken by [`Association::drain_io`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AssociationEvent {
    /// I/O may be submitted; `controller` and `namespaces` are complete.
    Up,
    /// The ANA log was read again, or a transition is overdue: see `namespaces`.
    AccessChanged,
    /// Namespaces came, went or changed: see `namespaces`.
    NamespacesChanged,
    CcrAnswered {
        tag: u32,
        result: CcrResult,
    },
    /// `aborted`: the command was found and ended; it completes on its own either way.
    AbortAnswered {
        tag: u32,
        aborted: bool,
    },
    /// The controller has shut down: nothing it was given is executed any more.
    ShutdownDone,
    Failed(AssociationFailure),
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Life {
    ComingUp,
    Up,
    Stopping,
    /// Shut down in order.
    Stopped,
    Failed,
}

/// Where the connection of one queue is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Line {
    /// Waits for its transport.
    Wanted,
    /// ICReq is out; must be answered by then.
    Initializing {
        until: Time,
    },
    Connecting {
        until: Time,
    },
    Ready,
}

/// One controller association of the host. See the module.
#[derive(Debug)]
pub struct Association {
    config: AssociationConfig,
    queues: Vec<HostQueue>,
    lines: Vec<Line>,
    life: Life,
    step: Step,
    /// When the answer of the step is due, or a pause in it ends.
    step_until: Time,
    cntlid: u16,
    cap: Cap,
    version: Version,
    cc: Cc,
    identify: Option<Box<IdentifyController>>,
    info: Option<ControllerInfo>,
    namespaces: Vec<NamespaceInfo>,
    /// Since when each namespace is in transition; `NEVER` when it is not.
    changing: Vec<Time>,
    /// When the next transition takes too long.
    overdue_at: Time,
    scan: Option<Scan>,
    ana: Option<AnaRead>,
    /// Upkeep that waits for its turn.
    want_access: bool,
    want_scan: bool,
    want_ccr_log: bool,
    ready_until: Time,
    kato_granted: Option<u32>,
    acre: bool,
    keep_alive: KeepAlive,
    ccrs: Vec<Ccr>,
    ccr_poll: Time,
    aborts: Vec<(u32, u32)>,
    sequence: u32,
    stopping: Option<Stopping>,
    events: VecDeque<AssociationEvent>,
}

impl Association {
    pub fn new(config: AssociationConfig, _now: Time) -> Self {
        let mut a = Self {
            queues: Vec::with_capacity(1 + usize::from(config.io_queues)),
            lines: vec![Line::Wanted],
            life: Life::ComingUp,
            step: Step::Idle,
            step_until: Time::NEVER,
            cntlid: 0,
            cap: Cap::default(),
            version: Version::default(),
            cc: Cc::default(),
            identify: None,
            info: None,
            namespaces: Vec::new(),
            changing: Vec::new(),
            scan: None,
            ana: None,
            want_access: false,
            want_scan: false,
            want_ccr_log: false,
            ready_until: Time::NEVER,
            kato_granted: None,
            acre: false,
            keep_alive: KeepAlive::new(),
            overdue_at: Time::NEVER,
            ccrs: Vec::new(),
            ccr_poll: Time::NEVER,
            aborts: Vec::new(),
            sequence: 0,
            stopping: None,
            events: VecDeque::new(),
            config,
        };
        let admin = a.queue_config(0, ADMIN_DEPTH);
        a.queues.push(HostQueue::new(admin));
        a
    }

    fn queue_config(&self, qid: u16, depth: u16) -> QueueConfig {
        QueueConfig {
            qid,
            depth,
            header_digest: self.config.header_digest,
            data_digest: self.config.data_digest,
            max_r2t: self.config.max_r2t,
            hpda: 0,
            sq_flow_control: self.config.sq_flow_control,
        }
    }

    pub const fn config(&self) -> &AssociationConfig {
        &self.config
    }

    /// The queue whose transport should be connected next; 0 is the admin queue. Stays the same
    /// until `connected` is called for it.
    pub fn wants_connection(&self) -> Option<usize> {
        if !matches!(self.life, Life::ComingUp) {
            return None;
        }
        self.lines.iter().position(|l| *l == Line::Wanted)
    }

    /// The transport of queue `q` is up.
    pub fn connected(&mut self, q: usize, now: Time) {
        if self.life != Life::ComingUp || self.lines.get(q) != Some(&Line::Wanted) {
            return;
        }
        self.queues[q].start();
        self.lines[q] = Line::Initializing {
            until: now + self.config.admin_timeout,
        };
    }

    /// The queue to pair with a transport; it exists from `wants_connection` on.
    pub fn queue_mut(&mut self, q: usize) -> &mut HostQueue {
        &mut self.queues[q]
    }

    pub fn queues(&self) -> &[HostQueue] {
        &self.queues
    }

    pub const fn is_up(&self) -> bool {
        matches!(self.life, Life::Up)
    }

    /// What is known of the controller, from Identify Controller on.
    pub const fn controller(&self) -> Option<&ControllerInfo> {
        self.info.as_ref()
    }

    /// The namespaces that are wanted and active, by ascending NSID.
    pub fn namespaces(&self) -> &[NamespaceInfo] {
        &self.namespaces
    }

    /// Commands that may be submitted now, over all I/O queues.
    #[inline]
    pub fn free_slots(&self) -> usize {
        if self.life != Life::Up {
            return 0;
        }
        self.queues[1..].iter().map(HostQueue::free_slots).sum()
    }

    /// I/O under way on all queues.
    pub fn in_flight(&self) -> usize {
        self.queues[1..].iter().map(HostQueue::in_flight).sum()
    }

    /// When the oldest I/O under way was submitted.
    pub fn oldest_dispatch(&self) -> Option<Time> {
        self.queues[1..]
            .iter()
            .filter_map(HostQueue::oldest_dispatch)
            .min()
    }

    /// Sends an I/O on the queue with the most room; a request that cannot go now comes back.
    #[inline]
    pub fn submit(&mut self, sqe: Sqe, token: Token, now: Time) -> Result<(), Token> {
        if self.life != Life::Up {
            return Err(token);
        }
        let queue = match &mut self.queues[1..] {
            [one] => one,
            many => match many.iter_mut().max_by_key(|q| q.free_slots()) {
                Some(best) => best,
                None => return Err(token),
            },
        };
        queue.submit_io(sqe, token, now)
    }

    /// Hands over every completed I/O.
    #[inline]
    pub fn drain_io(&mut self, mut f: impl FnMut(Token, Cqe)) {
        for q in &mut self.queues[1..] {
            q.drain_io(&mut f);
        }
    }

    pub fn poll_event(&mut self) -> Option<AssociationEvent> {
        self.events.pop_front()
    }

    /// Gives back every I/O under way. Only called when all transports of the association are
    /// gone (I4). What had been answered comes out of `drain_io` as usual.
    pub fn drain(&mut self, mut f: impl FnMut(Token)) {
        if !matches!(self.life, Life::Stopped | Life::Failed) {
            self.life = Life::Failed;
        }
        for q in &mut self.queues {
            q.drain(|p| {
                if let Pending::Io(token) = p {
                    f(token);
                }
            });
        }
    }

    /// The ANA log is being read, or soon will be.
    pub fn is_reading_ana(&self) -> bool {
        self.want_access || self.ana.is_some()
    }

    /// Reads the ANA log again: asked for after a status that blames the path.
    pub fn reread_ana(&mut self, now: Time) {
        if self.info.as_ref().is_some_and(|i| i.ana) {
            self.want_access = true;
            self.upkeep(now);
        }
    }

    /// Advances everything that does not need the data path: call after each receive, and at
    /// `next_deadline`.
    pub fn poll(&mut self, now: Time) {
        if matches!(self.life, Life::Stopped | Life::Failed) {
            return;
        }
        for q in 0..self.queues.len() {
            if let Some(failure) = self.queues[q].failure() {
                let queue = q as u16;
                self.fail(AssociationFailure::Queue { queue, failure });
                return;
            }
            while let Some(event) = self.queues[q].poll_control() {
                self.control(q, event, now);
                if self.life == Life::Failed {
                    return;
                }
            }
        }
        if now >= self.next_deadline() {
            self.timers(now);
        }
        if let Some(Stopping::Draining { .. }) = self.stopping
            && self.in_flight() == 0
        {
            self.announce_shutdown(now);
        }
        self.upkeep(now);
    }

    /// When `poll` has something to do even if nothing arrives.
    pub fn next_deadline(&self) -> Time {
        if matches!(self.life, Life::Stopped | Life::Failed) {
            return Time::NEVER;
        }
        let mut at = self.step_until.min(self.ready_until).min(self.ccr_poll);
        at = at.min(self.keep_alive_due()).min(self.overdue_at);
        if let Some(s) = &self.stopping {
            at = at.min(s.until());
        }
        for line in &self.lines {
            if let Line::Initializing { until } | Line::Connecting { until } = *line {
                at = at.min(until);
            }
        }
        at
    }

    fn timers(&mut self, now: Time) {
        let after_ms = self.config.admin_timeout.as_millis() as u64;
        for (q, line) in self.lines.iter().enumerate() {
            let queue = q as u16;
            let failure = match *line {
                Line::Initializing { until } if until <= now => {
                    AssociationFailure::InitTimeout { queue, after_ms }
                }
                Line::Connecting { until } if until <= now => AssociationFailure::CommandTimeout {
                    what: "Connect",
                    after_ms,
                },
                _ => continue,
            };
            self.fail(failure);
            return;
        }
        if self.ready_until <= now {
            let cap_to_ms = self.ready_timeout().as_millis() as u64;
            self.fail(AssociationFailure::ReadyTimeout { cap_to_ms });
            return;
        }
        if self.step_until <= now {
            self.step_due(now);
        }
        if self.life != Life::Failed {
            self.keep_alive_timer(now);
        }
        if self.ccr_poll <= now {
            self.ccr_poll = Time::NEVER;
            self.want_ccr_log = true;
        }
        if self.life != Life::Failed {
            self.check_overdue(now);
            self.stopping_timer(now);
        }
    }

    /// An event of queue `q` that is not I/O.
    fn control(&mut self, q: usize, event: Event, now: Time) {
        match event {
            Event::Initialized => self.send_connect(q, now),
            Event::Admin { tag: t, cqe, data } => match t {
                tag::STEP => self.answered(cqe, data, now),
                tag::CONNECT => self.connect_answered(q, cqe, now),
                tag::KEEP_ALIVE => self.keep_alive_answered(cqe, now),
                tag::EVENT => self.event_answered(cqe, now),
                tag::SHUTDOWN => self.shutdown_answered(cqe, now),
                t if t & tag::ABORT != 0 => self.abort_answered(t & tag::SEQUENCE, cqe),
                t => self.ccr_answered(t & tag::SEQUENCE, cqe, now),
            },
            Event::Io { .. } => unreachable!("poll_control gives no I/O"),
        }
    }

    /// Sends a command on the admin queue. The queue has room for everything that runs at once, so
    /// it refuses only when it has failed, which `poll` finds out.
    fn admin(&mut self, sqe: Sqe, tag: u32, data: AdminData, now: Time) -> bool {
        self.queues[0].submit_admin(sqe, tag, data, now).is_ok()
    }

    #[cold]
    fn fail(&mut self, failure: AssociationFailure) {
        if self.life == Life::Failed {
            return;
        }
        self.life = Life::Failed;
        self.step = Step::Idle;
        self.events.push_back(AssociationEvent::Failed(failure));
    }
}

/// The bytes of an answer.
fn bytes_of(data: &SgList) -> &[u8] {
    data.segments().first().map_or(&[], |s| s.as_slice())
}
