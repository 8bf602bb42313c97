//! One session: login, logical units, upkeep, orderly end. Sans-IO.
//!
//! ```text
//!  connected()  login ── REPORT LUNS ── for each: INQUIRY, VPD pages, READ CAPACITY, MODE SENSE,
//!               REPORT TARGET PORT GROUPS ── Up ── pings, re-reads, asynchronous messages
//!                                            |
//!                                        shutdown()  logout ── LoggedOut
//! ```
//! At any time `Failed`, with a named reason; then the owner aborts the transport and takes what was
//! under way with [`Session::drain`].

use super::connection::{Completion, Connection, ConnectionState, Event};
use super::info::{SessionConfig, SessionEvent, SessionFailure, UnitInfo};
use super::login::{Login, LoginStep};
use super::scan::{Access, Scan, Step};
use super::scsi;
use crate::base::clock::Time;
use crate::base::request::{Op, Token};
use std::collections::VecDeque;
use std::time::Duration;

/// Tag of the conversation's commands.
pub(super) const STEP: u32 = 1;
/// How often access states are read on a path that carries I/O, and on one that does not.
const ACCESS_POLL: Duration = Duration::from_secs(5);
const ACCESS_POLL_RESTING: Duration = Duration::from_millis(500);

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Life {
    /// Waits for its transport.
    New,
    LoggingIn,
    ComingUp,
    Up,
    /// Takes no more I/O; logs out when nothing is under way. `by_target`: it asked for that.
    Draining {
        by_target: bool,
    },
    LoggingOut {
        by_target: bool,
    },
    Ended,
    Failed,
}

/// One session of an initiator. See the module.
#[derive(Debug)]
pub struct Session {
    pub(super) config: SessionConfig,
    pub(super) conn: Connection,
    pub(super) life: Life,
    login: Option<Box<Login>>,
    /// When the login, the logout, or what is awaited from the target must be there.
    pub(super) until: Time,
    pub(super) units: Vec<UnitInfo>,
    pub(super) step: Step,
    pub(super) scan: Option<Scan>,
    pub(super) access: Option<Access>,
    /// Upkeep that waits for its turn.
    pub(super) want_scan: bool,
    pub(super) want_access: bool,
    pub(super) access_due: Time,
    /// When the outstanding ping was sent.
    pinged: Option<Time>,
    pub(super) events: VecDeque<SessionEvent>,
    target_portal_group: Option<u16>,
}

impl Session {
    pub fn new(config: SessionConfig) -> Self {
        Self {
            conn: Connection::new(config.depth),
            config,
            life: Life::New,
            login: None,
            until: Time::NEVER,
            units: Vec::new(),
            step: Step::Idle,
            scan: None,
            access: None,
            want_scan: false,
            want_access: false,
            access_due: Time::NEVER,
            pinged: None,
            events: VecDeque::new(),
            target_portal_group: None,
        }
    }

    pub const fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// The connection to pair with the transport.
    pub fn connection_mut(&mut self) -> &mut Connection {
        &mut self.conn
    }

    pub const fn connection(&self) -> &Connection {
        &self.conn
    }

    pub const fn is_up(&self) -> bool {
        matches!(self.life, Life::Up)
    }

    /// The target portal group that was logged in to.
    pub const fn target_portal_group(&self) -> Option<u16> {
        self.target_portal_group
    }

    pub fn units(&self) -> &[UnitInfo] {
        &self.units
    }

    /// The transport is up.
    pub fn connected(&mut self, now: Time) {
        if self.life != Life::New {
            return;
        }
        self.life = Life::LoggingIn;
        self.until = now + self.config.answer_timeout;
        let (login, bytes) = Login::start(&self.config);
        self.login = Some(Box::new(login));
        self.conn.send_login(&bytes);
    }

    /// I/O that may be submitted now.
    #[inline]
    pub fn free_slots(&self) -> usize {
        if self.life == Life::Up {
            self.conn.free_slots()
        } else {
            0
        }
    }

    /// Sends an I/O to a logical unit; a request that cannot go now comes back.
    #[inline]
    pub fn submit(&mut self, lun: u32, token: Token, now: Time) -> Result<(), Token> {
        if self.life != Life::Up {
            return Err(token);
        }
        let Some(unit) = self.units.iter().find(|u| u.lun == lun) else {
            return Err(token);
        };
        let mut cdb = scsi::io_cdb(&token);
        // A unit without a volatile cache may not know the bit, and does not need it.
        if !unit.dpofua && !unit.write_cache && matches!(token.op, Op::Read | Op::Write) {
            cdb[1] &= !0x08;
        }
        let block_size = unit.block_size;
        self.conn
            .submit_io(scsi::lun_bytes(lun), &cdb, block_size, token, now)
    }

    /// Hands over every completed I/O.
    #[inline]
    pub fn drain_io(&mut self, f: impl FnMut(Token, &Completion)) {
        self.conn.drain_io(f);
    }

    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    /// Gives back every I/O under way. Only called when the transport is gone (I4).
    pub fn drain(&mut self, f: impl FnMut(Token)) {
        if !matches!(self.life, Life::Ended | Life::Failed) {
            self.life = Life::Failed;
        }
        self.conn.drain(f);
    }

    /// Reads the target port groups again: asked for after a status that blames the path.
    pub fn reread_access(&mut self, now: Time) {
        if self.units.iter().any(|u| u.tpgs != 0) {
            self.want_access = true;
            self.upkeep(now);
        }
    }

    /// Looks at the logical units again.
    pub fn rescan(&mut self, now: Time) {
        self.want_scan = true;
        self.upkeep(now);
    }

    /// LOGICAL UNIT RESET; `TaskAnswered` follows.
    pub fn reset_unit(&mut self, lun: u32, tag: u32) -> bool {
        self.life == Life::Up && self.conn.task_management(5, scsi::lun_bytes(lun), tag)
    }

    /// Starts the orderly end: what is under way completes, then the session is logged out.
    pub fn shutdown(&mut self, now: Time) {
        match self.life {
            Life::Up | Life::ComingUp => self.begin_end(false, now),
            Life::New | Life::LoggingIn => {
                self.life = Life::Ended;
                self.events.push_back(SessionEvent::LoggedOut);
            }
            _ => {}
        }
    }

    fn begin_end(&mut self, by_target: bool, now: Time) {
        self.life = Life::Draining { by_target };
        self.until = now + self.config.answer_timeout;
        self.end_when_empty(now);
    }

    fn end_when_empty(&mut self, now: Time) {
        if let Life::Draining { by_target } = self.life
            && self.conn.in_flight() == 0
            && self.conn.logout()
        {
            self.life = Life::LoggingOut { by_target };
            self.until = now + self.config.answer_timeout;
        }
    }

    /// Advances everything that does not need the data path: call after each receive, and at
    /// `next_deadline`.
    pub fn poll(&mut self, now: Time) {
        if matches!(self.life, Life::Ended | Life::Failed) {
            return;
        }
        while let Some(event) = self.conn.poll_event() {
            self.event(event, now);
            if matches!(self.life, Life::Ended | Life::Failed) {
                return;
            }
        }
        if let Some(failure) = self.conn.failure() {
            self.fail(SessionFailure::Connection(failure));
            return;
        }
        if now >= self.next_deadline() {
            self.timers(now);
        }
        self.end_when_empty(now);
        self.upkeep(now);
    }

    fn event(&mut self, event: Event, now: Time) {
        match event {
            Event::Login(pdu) => self.login_answered(&pdu, now),
            Event::Command {
                completion, data, ..
            } => self.step_answered(&completion, &data, now),
            Event::Pong => self.pinged = None,
            Event::Task { tag, response } => {
                self.events
                    .push_back(SessionEvent::TaskAnswered { tag, response });
            }
            Event::Logout { response: 0 } => match self.life {
                Life::LoggingOut { by_target: true } => {
                    self.fail(SessionFailure::TargetEnds { event: 1 });
                }
                _ => {
                    self.life = Life::Ended;
                    self.events.push_back(SessionEvent::LoggedOut);
                }
            },
            Event::Logout { response } => self.fail(SessionFailure::LogoutRefused { response }),
            Event::Async { event, sense, .. } => self.message(event, &sense, now),
        }
    }

    /// An asynchronous message (RFC 7143, 11.9.1).
    fn message(&mut self, event: u8, sense: &[u8], now: Time) {
        match event {
            // A SCSI event: what it would be as a unit attention.
            0 => match scsi::parse_sense(sense) {
                Some((_, 0x2a, 0x06 | 0x07)) => self.reread_access(now),
                Some(_) => self.rescan(now),
                None => {}
            },
            // Logout wanted, or a negotiation that we would rather have by a new login.
            1 | 4 => {
                if matches!(self.life, Life::Up | Life::ComingUp) {
                    self.begin_end(true, now);
                }
            }
            2 | 3 => self.fail(SessionFailure::TargetEnds { event }),
            // Vendor specific.
            _ => {}
        }
    }

    fn login_answered(&mut self, pdu: &[u8], now: Time) {
        let Some(login) = &mut self.login else {
            return;
        };
        match login.answer(pdu) {
            LoginStep::Send(bytes) => self.conn.send_login(&bytes),
            LoginStep::Refused(why) => self.fail(SessionFailure::Login(why)),
            LoginStep::Done(done) => {
                self.login = None;
                self.target_portal_group = done.target_portal_group;
                self.conn
                    .enter_full(done.params, done.cmd_sn, done.exp_stat_sn, done.window);
                self.life = Life::ComingUp;
                self.until = Time::NEVER;
                self.want_scan = true;
            }
        }
        let _ = now;
    }

    /// When `poll` has something to do even if nothing arrives.
    pub fn next_deadline(&self) -> Time {
        match self.life {
            Life::Ended | Life::Failed => Time::NEVER,
            Life::Up => self
                .step_due()
                .min(self.ping_due())
                .min(self.until)
                .min(self.access_due),
            _ => self.step_due().min(self.until),
        }
    }

    /// When a ping is to be sent, or its answer is overdue.
    fn ping_due(&self) -> Time {
        let t = self.config.nop_timeout;
        if t.is_zero() {
            return Time::NEVER;
        }
        let last = self.conn.last_received();
        match self.pinged {
            None => last + t / 2,
            Some(at) => at.max(last) + t / 2,
        }
    }

    fn timers(&mut self, now: Time) {
        let after_ms = self.config.answer_timeout.as_millis() as u64;
        if self.until <= now {
            let what = match self.life {
                Life::LoggingIn => "the login request",
                Life::Draining { .. } => "the commands under way before the logout",
                _ => "the logout request",
            };
            self.fail(SessionFailure::NoAnswer { what, after_ms });
            return;
        }
        if self.step_due() <= now {
            self.step_overdue(now);
            if self.life == Life::Failed {
                return;
            }
        }
        if self.life == Life::Up && self.ping_due() <= now {
            match self.pinged {
                None => {
                    if self.conn.ping() {
                        self.pinged = Some(now);
                    }
                }
                Some(_) => {
                    let after_ms = self.config.nop_timeout.as_millis() as u64;
                    self.fail(SessionFailure::NopTimeout { after_ms });
                    return;
                }
            }
        }
        if self.life == Life::Up && self.access_due <= now {
            self.want_access = true;
            // Planned anew when this look is over; until then its own time limit counts.
            self.access_due = Time::NEVER;
        }
    }

    /// Plans the next look at the access states.
    pub(super) fn plan_access(&mut self, now: Time) {
        let asymmetric = self.units.iter().filter(|u| u.tpgs != 0);
        let mut any = false;
        let mut resting = false;
        for u in asymmetric {
            any = true;
            resting |= !matches!(u.state, 0 | 1) || u.block_size == 0;
        }
        self.access_due = match (any, resting) {
            (false, _) => Time::NEVER,
            (true, true) => now + ACCESS_POLL_RESTING,
            (true, false) => now + ACCESS_POLL,
        };
    }

    #[cold]
    pub(super) fn fail(&mut self, failure: SessionFailure) {
        if matches!(self.life, Life::Failed | Life::Ended) {
            return;
        }
        self.life = Life::Failed;
        self.step = Step::Idle;
        self.events.push_back(SessionEvent::Failed(failure));
    }

    /// The bytes that ended the connection have been looked at.
    pub fn connection_state(&self) -> ConnectionState {
        self.conn.state()
    }
}
