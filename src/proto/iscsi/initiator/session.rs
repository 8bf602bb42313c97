//! One session: login, logical units, upkeep, orderly end. Sans-IO.
//!
//! ```text
//!  connected()  login ── REPORT LUNS ── for each: INQUIRY, VPD pages, READ CAPACITY, MODE SENSE,
//!               REPORT TARGET PORT GROUPS ── Up ── pings, re-reads, asynchronous messages
//!                                            |
//!                                        shutdown()  logout ── LoggedOut
//! ```
//! At any time `Failed`, with a named reason; then the owner aborts all transports and takes what was
//! under way with [`Session::drain`].
//!
//! A session has one connection or several ([`super::member`]). One makes it, the others join; each
//! may be lost, and the session goes on as long as one is up.

use super::balance::{Balance, ConnectionPolicy};
use super::connection::{Completion, Connection, Event, Numbers, Params};
use super::info::{SessionConfig, SessionEvent, SessionFailure, UnitInfo};
use super::login::LoginStep;
use super::member::{Member, MemberState};
use super::recovery::Recovery;
use super::scan::{Access, GroupsOrder, Scan, Step};
use super::scsi;
use super::slots::CommandData;
use crate::base::clock::Time;
use crate::base::request::{Op, Token};
use crate::proto::iscsi::serial::CmdWindow;
use std::collections::VecDeque;
use std::time::Duration;

/// Tag of the conversation's commands.
pub(super) const STEP: u32 = 1;
/// How often access states are read on a path that carries I/O, and on one that does not.
const ACCESS_POLL: Duration = Duration::from_secs(5);
const ACCESS_POLL_RESTING: Duration = Duration::from_millis(500);

/// Orders to groups that wait at most: more than anybody has use for.
const ORDERS_MAX: usize = 64;

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
    pub(super) members: Vec<Member>,
    pub(super) balance: Balance,
    pub(super) recoveries: Vec<Recovery>,
    pub(super) numbers: Numbers,
    pub(super) life: Life,
    /// Zero until the target has given one.
    pub(super) tsih: u16,
    /// What the first login has agreed on for all connections.
    params: Option<Params>,
    pub(super) max_connections: u16,
    /// When the logout, or what is under way before it, must be there.
    pub(super) until: Time,
    pub(super) units: Vec<UnitInfo>,
    pub(super) step: Step,
    /// The member that the question was sent on.
    pub(super) step_on: usize,
    pub(super) scan: Option<Scan>,
    pub(super) access: Option<Access>,
    /// The target does not know the extended header of REPORT TARGET PORT GROUPS.
    pub(super) plain_groups: bool,
    /// Upkeep that waits for its turn.
    pub(super) want_scan: bool,
    pub(super) want_access: bool,
    /// Orders to the target's groups that wait for their turn, and the one that is carried out.
    pub(super) orders: VecDeque<GroupsOrder>,
    pub(super) order: Option<GroupsOrder>,
    pub(super) access_due: Time,
    pub(super) events: VecDeque<SessionEvent>,
    target_portal_group: Option<u16>,
    /// Of connections that are no more.
    pub(super) copied_bytes_large: u64,
}

impl Session {
    /// A session of one connection.
    pub fn new(config: SessionConfig) -> Self {
        Self {
            members: vec![Member::new(0, config.depth, 0, false)],
            config,
            balance: Balance::new(ConnectionPolicy::default()),
            recoveries: Vec::new(),
            numbers: Numbers {
                cmd_sn: 1,
                window: CmdWindow::closed(1),
            },
            life: Life::New,
            tsih: 0,
            params: None,
            max_connections: 1,
            until: Time::NEVER,
            units: Vec::new(),
            step: Step::Idle,
            step_on: 0,
            scan: None,
            access: None,
            plain_groups: false,
            want_scan: false,
            want_access: false,
            orders: VecDeque::new(),
            order: None,
            access_due: Time::NEVER,
            events: VecDeque::new(),
            target_portal_group: None,
            copied_bytes_large: 0,
        }
    }

    /// How commands are spread over the connections.
    pub const fn policy(&self) -> ConnectionPolicy {
        self.balance.policy
    }

    pub const fn set_policy(&mut self, policy: ConnectionPolicy) {
        self.balance.policy = policy;
    }

    pub const fn tsih(&self) -> u16 {
        self.tsih
    }

    /// Connections that the target takes in this session.
    pub const fn max_connections(&self) -> u16 {
        self.max_connections
    }

    pub const fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// The connection to pair with a transport, by index.
    #[inline]
    pub fn connection_at_mut(&mut self, ix: usize) -> &mut Connection {
        &mut self.members[ix].conn
    }

    #[inline]
    pub fn connection_at(&self, ix: usize) -> &Connection {
        &self.members[ix].conn
    }

    /// The connection of a session of one.
    pub fn connection_mut(&mut self) -> &mut Connection {
        self.connection_at_mut(0)
    }

    pub fn connection(&self) -> &Connection {
        self.connection_at(0)
    }

    /// Payload bytes of large requests that were copied in user space (I11).
    pub fn copied_bytes_large(&self) -> u64 {
        let all = self.members.iter().map(|m| m.conn.counters());
        self.copied_bytes_large + all.map(|c| c.copied_bytes_large).sum::<u64>()
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

    /// The command window, with what any connection has told.
    #[inline]
    pub(super) fn window(&self) -> CmdWindow {
        let mut window = self.numbers.window;
        for m in self.members.iter().filter(|m| m.has_window()) {
            window.update(m.conn.window.exp_cmd_sn, m.conn.window.max_cmd_sn);
        }
        window
    }

    pub(super) fn sync_window(&mut self) {
        self.numbers.window = self.window();
    }

    /// I/O that may be submitted now.
    #[inline]
    pub fn free_slots(&self) -> usize {
        if self.life != Life::Up {
            return 0;
        }
        let room = self.window().room(self.numbers.cmd_sn) as usize;
        match &self.members[..] {
            [m] => m.conn.free_slots().min(room),
            all => self
                .balance
                .free(all.len(), |ix| all[ix].candidate())
                .min(room),
        }
    }

    /// The connection that carries the next command.
    #[inline]
    fn pick(&mut self) -> Option<usize> {
        if self.window().room(self.numbers.cmd_sn) == 0 {
            return None;
        }
        let all = &self.members;
        if all.len() == 1 {
            return Some(0);
        }
        self.balance.pick(all.len(), |ix| all[ix].candidate())
    }

    /// Sends a question of the session's own, by the first connection that is up.
    pub(super) fn submit_own(
        &mut self,
        lun: u64,
        cdb: &scsi::Cdb,
        data: CommandData,
        now: Time,
    ) -> bool {
        let room = self.window().room(self.numbers.cmd_sn) > 0;
        let up = |m: &Member| m.state == MemberState::Up && m.conn.can_command();
        let Some(ix) = self.members.iter().position(up).filter(|_| room) else {
            return false;
        };
        self.step_on = ix;
        let conn = &mut self.members[ix].conn;
        conn.submit_command(lun, cdb, STEP, data, &mut self.numbers, now)
            .is_ok()
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
        let Some(ix) = self.pick() else {
            return Err(token);
        };
        let conn = &mut self.members[ix].conn;
        conn.submit_io(
            scsi::lun_bytes(lun),
            &cdb,
            block_size,
            token,
            &mut self.numbers,
            now,
        )
    }

    /// Hands over every completed I/O.
    #[inline]
    pub fn drain_io(&mut self, mut f: impl FnMut(Token, &Completion)) {
        for m in &mut self.members {
            m.conn.drain_io(&mut f);
        }
    }

    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    /// Gives back every I/O under way. Only called when all transports are gone (I4).
    pub fn drain(&mut self, mut f: impl FnMut(Token)) {
        if !matches!(self.life, Life::Ended | Life::Failed) {
            self.life = Life::Failed;
        }
        for m in &mut self.members {
            m.conn.drain(&mut f);
        }
    }

    /// Reads the target port groups again: asked for after a status that blames the path.
    pub fn reread_access(&mut self, now: Time) {
        if self.units.iter().any(|u| u.tpgs != 0) {
            self.want_access = true;
            self.upkeep(now);
        }
    }

    /// Access states are being read, or soon will be.
    pub fn is_reading_access(&self) -> bool {
        let scanning = self.want_scan || self.scan.is_some();
        scanning || self.want_access || self.access.is_some()
    }

    /// Tells the target to make these of its groups active/optimized; `GroupsSet` with the tag follows.
    /// False: not now.
    pub fn optimize_groups(&mut self, lun: u32, groups: Vec<u16>, tag: u32, now: Time) -> bool {
        if self.life != Life::Up || self.orders.len() >= ORDERS_MAX {
            return false;
        }
        self.orders.push_back(GroupsOrder::new(lun, groups, tag));
        self.upkeep(now);
        true
    }

    /// Looks at the logical units again.
    pub fn rescan(&mut self, now: Time) {
        self.want_scan = true;
        self.upkeep(now);
    }

    /// LOGICAL UNIT RESET; `TaskAnswered` follows.
    pub fn reset_unit(&mut self, lun: u32, tag: u32) -> bool {
        let cmd_sn = self.numbers.cmd_sn;
        let up = self.members.iter_mut().find(|m| m.state == MemberState::Up);
        self.life == Life::Up
            && up.is_some_and(|m| m.conn.task_management(5, scsi::lun_bytes(lun), tag, cmd_sn))
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
        let Life::Draining { by_target } = self.life else {
            return;
        };
        if self.members.iter().any(|m| m.conn.in_flight() > 0) {
            return;
        }
        let cmd_sn = self.numbers.cmd_sn;
        let up = self.members.iter_mut().find(|m| m.state == MemberState::Up);
        if up.is_some_and(|m| m.conn.logout(None, cmd_sn)) {
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
        for ix in 0..self.members.len() {
            self.poll_member(ix, now);
            if matches!(self.life, Life::Ended | Life::Failed) {
                return;
            }
        }
        self.recover(now);
        if now >= self.next_deadline() {
            self.timers(now);
        }
        self.leave_when_empty(now);
        self.end_when_empty(now);
        self.upkeep(now);
    }

    fn poll_member(&mut self, ix: usize, now: Time) {
        // What it answers pings of the target with.
        self.members[ix].conn.cmd_sn = self.numbers.cmd_sn;
        while let Some(event) = self.members[ix].conn.poll_event() {
            self.event(ix, event, now);
            if matches!(self.life, Life::Ended | Life::Failed) {
                return;
            }
        }
        if let Some(failure) = self.members[ix].conn.failure() {
            self.broken(ix, SessionFailure::Connection(failure));
        }
    }

    fn event(&mut self, ix: usize, event: Event, now: Time) {
        match event {
            Event::Login(pdu) => self.login_answered(ix, &pdu),
            Event::Command {
                completion, data, ..
            } => self.step_answered(&completion, &data, now),
            Event::Pong => self.members[ix].pinged = None,
            Event::Task { tag, response } => {
                self.events
                    .push_back(SessionEvent::TaskAnswered { tag, response });
            }
            // A reset or a clearing by somebody else (SAM, 5.6; TAS 0) ends commands without a word. Those
            // sent before the one that was told of it would be waited for in vain. Whether they are
            // over at the target, or nearly, is not said either: the session's end proves it.
            Event::Cleared {
                lun,
                cmd_sn,
                asc,
                ascq,
            } => {
                let mut all = self.members.iter();
                if all.any(|m| m.conn.waits_before(lun, cmd_sn)) {
                    self.fail(SessionFailure::Cleared { asc, ascq });
                }
            }
            Event::Aborted { cmd_sn } => {
                for r in &mut self.recoveries {
                    r.aborted(cmd_sn);
                }
            }
            Event::Logout {
                cid: Some(cid),
                response,
            } => self.connection_logged_out(ix, cid, response),
            Event::Logout {
                cid: None,
                response: 0,
            } => match self.life {
                Life::LoggingOut { by_target: true } => {
                    self.fail(SessionFailure::TargetEnds { event: 1 });
                }
                _ => {
                    self.life = Life::Ended;
                    self.events.push_back(SessionEvent::LoggedOut);
                }
            },
            Event::Logout { response, .. } => self.fail(SessionFailure::LogoutRefused { response }),
            Event::Async {
                event,
                parameters,
                sense,
            } => self.message(ix, event, parameters[0], &sense, now),
        }
    }

    /// An asynchronous message (RFC 7143, 11.9.1).
    fn message(&mut self, ix: usize, event: u8, parameter: u16, sense: &[u8], now: Time) {
        match event {
            // A SCSI event: what it would be as a unit attention.
            0 => match scsi::parse_sense(sense) {
                Some((_, 0x2a, 0x06 | 0x07)) => self.reread_access(now),
                Some(_) => self.rescan(now),
                None => {}
            },
            // Logout wanted, or a negotiation that we would rather have by a new login: of this
            // connection, where there are others.
            1 | 4 if self.survives_without(ix) => self.leave(ix, now),
            1 | 4 => {
                if matches!(self.life, Life::Up | Life::ComingUp) {
                    self.begin_end(true, now);
                }
            }
            // It drops the connection of this CID; on another one that shows soon enough.
            2 if self.survives_without(ix) && parameter != self.members[ix].cid => {}
            2 => self.broken(ix, SessionFailure::TargetEnds { event }),
            3 => self.fail(SessionFailure::TargetEnds { event }),
            // Vendor specific.
            _ => {}
        }
    }

    fn login_answered(&mut self, ix: usize, pdu: &[u8]) {
        let m = &mut self.members[ix];
        let Some(login) = &mut m.login else {
            return;
        };
        let done = match login.answer(pdu) {
            LoginStep::Send(bytes) => return m.conn.send_login(&bytes),
            LoginStep::Refused(why) => return self.broken(ix, SessionFailure::Login(why)),
            LoginStep::Moved { address, permanent } => {
                self.login_moved(ix);
                self.events.push_back(SessionEvent::ConnectionMoved {
                    ix,
                    address,
                    permanent,
                });
                return;
            }
            LoginStep::Done(done) => done,
        };
        m.login = None;
        let mut params = done.params;
        if let Some(all) = &self.params {
            // The first login has agreed on this for all (RFC 7143, 13).
            params.immediate_data = all.immediate_data;
            params.initial_r2t = all.initial_r2t;
            params.first_burst = all.first_burst;
            params.max_burst = all.max_burst;
            params.max_r2t = all.max_r2t;
            let w = done.window;
            self.numbers.window.update(w.exp_cmd_sn, w.max_cmd_sn);
        } else {
            self.params = Some(params);
            self.tsih = done.tsih;
            self.max_connections = done.max_connections;
            self.target_portal_group = done.target_portal_group;
            self.numbers = Numbers {
                cmd_sn: done.cmd_sn,
                window: done.window,
            };
        }
        self.logged_in(ix);
        let numbers = self.numbers;
        let conn = &mut self.members[ix].conn;
        conn.enter_full(params, done.exp_stat_sn, &numbers);
        if self.life == Life::LoggingIn {
            self.life = Life::ComingUp;
            self.want_scan = true;
        } else {
            self.events.push_back(SessionEvent::ConnectionUp { ix });
        }
    }

    /// When `poll` has something to do even if nothing arrives.
    pub fn next_deadline(&self) -> Time {
        if matches!(self.life, Life::Ended | Life::Failed) {
            return Time::NEVER;
        }
        let access = match self.life {
            Life::Up => self.access_due,
            _ => Time::NEVER,
        };
        self.step_due()
            .min(self.members_due())
            .min(self.recoveries_due())
            .min(self.until)
            .min(access)
    }

    fn timers(&mut self, now: Time) {
        if self.until <= now {
            let after_ms = self.config.answer_timeout.as_millis() as u64;
            let what = match self.life {
                Life::Draining { .. } => "the commands under way before the logout",
                _ => "the logout request",
            };
            self.fail(SessionFailure::NoAnswer { what, after_ms });
            return;
        }
        if self.step_due() <= now {
            self.step_overdue(now);
        }
        if self.life != Life::Failed {
            self.member_timers(now);
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
}
