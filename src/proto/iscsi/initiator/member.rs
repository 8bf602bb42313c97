//! A connection as a member of its session: joining, keep-alive, leaving, being lost.

use super::balance::Candidate;
use super::connection::{Completion, Connection};
use super::info::{SessionEvent, SessionFailure};
use super::login::{Identity, Login};
use super::recovery::Recovery;
use super::scan::{Ask, Step};
use super::session::{Life, Session};
use crate::base::clock::Time;
use crate::base::request::Token;

/// Connections that a session may have.
pub const CONNECTIONS_MAX: usize = 8;

/// Where a connection is. Changed in this file only.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum MemberState {
    /// Without a transport.
    Waiting,
    LoggingIn,
    /// It carries commands.
    Up,
    /// Takes no more commands; logs out when none is under way.
    Leaving,
    LoggingOut,
    /// It has failed; its transport is to be taken away.
    Broken,
    /// Taken out of the session: its place is free.
    Gone,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) conn: Connection,
    pub(super) state: MemberState,
    pub(super) cid: u16,
    pub(super) login: Option<Box<Login>>,
    /// When the login, the last command before its logout, or the logout must be there.
    pub(super) until: Time,
    /// When the outstanding ping was sent.
    pub(super) pinged: Option<Time>,
    pub(super) weight: u32,
    pub(super) primary: bool,
    /// The target knows it: a login was answered.
    joined: bool,
    /// It goes for good.
    removed: bool,
}

impl Member {
    /// The CID is the place in the session.
    pub(super) fn new(cid: u16, depth: u16, weight: u32, primary: bool) -> Self {
        Self {
            conn: Connection::new(depth, cid),
            state: MemberState::Waiting,
            cid,
            login: None,
            until: Time::NEVER,
            pinged: None,
            weight,
            primary,
            joined: false,
            removed: false,
        }
    }

    #[inline]
    pub(super) fn candidate(&self) -> Candidate {
        Candidate {
            up: self.state == MemberState::Up,
            free: self.conn.free_slots(),
            in_flight: self.conn.in_flight(),
            bytes: self.conn.bytes_in_flight(),
            weight: self.weight,
            primary: self.primary,
        }
    }

    /// Whether the target has told of its window by this connection, and still does.
    #[inline]
    pub(super) const fn has_window(&self) -> bool {
        matches!(
            self.state,
            MemberState::Up | MemberState::Leaving | MemberState::LoggingOut
        )
    }

    /// It has a transport, or had one that is not taken away yet.
    pub(super) const fn is_connected(&self) -> bool {
        !matches!(self.state, MemberState::Waiting | MemberState::Gone)
    }
}

/// What is to be seen of a connection.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct MemberInfo {
    pub cid: u16,
    pub state: MemberState,
    /// Commands under way.
    pub outstanding: usize,
    pub weight: u32,
    pub primary: bool,
    /// It is being taken out of the session.
    pub removed: bool,
}

/// Why a connection was not added or taken out.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MemberError {
    #[error("a session has {CONNECTIONS_MAX} connections at most")]
    TooMany,
    #[error("the session has no such connection")]
    NoSuch,
    #[error("the last connection that is up must stay")]
    Last,
}

impl Session {
    pub fn members(&self) -> impl Iterator<Item = MemberInfo> {
        self.members.iter().map(|m| MemberInfo {
            cid: m.cid,
            state: m.state,
            outstanding: m.conn.in_flight(),
            weight: m.weight,
            primary: m.primary,
            removed: m.removed || m.state == MemberState::Gone,
        })
    }

    /// Weight and primary flag of a connection.
    pub fn set_member(&mut self, ix: usize, weight: u32, primary: bool) {
        if let Some(m) = self.members.get_mut(ix) {
            m.weight = weight;
            m.primary = primary;
        }
    }

    /// Another connection is up, so that the session goes on without this one.
    pub fn survives_without(&self, ix: usize) -> bool {
        let life = matches!(
            self.life,
            Life::Up | Life::ComingUp | Life::Draining { .. } | Life::LoggingOut { .. }
        );
        let others = self.members.iter().enumerate().filter(|(i, _)| *i != ix);
        life && others.into_iter().any(|(_, m)| m.state == MemberState::Up)
    }

    /// Whether a transport is to be made for a connection now.
    pub fn wants(&self, ix: usize) -> bool {
        let Some(m) = self.members.get(ix) else {
            return false;
        };
        if m.state != MemberState::Waiting {
            return false;
        }
        let others = self.members.iter().filter(|m| m.is_connected()).count();
        match self.life {
            Life::New => others == 0,
            // A CID that is being logged out must not be used anew before.
            Life::Up => {
                others < usize::from(self.max_connections)
                    && !self.recoveries.iter().any(|r| r.cid == m.cid)
            }
            _ => false,
        }
    }

    /// The transport of a session of one connection is up.
    pub fn connected(&mut self, now: Time) {
        self.connected_at(0, now);
    }

    /// The transport of a connection is up. The first one makes the session, others join it. False:
    /// the session has no place for it now, and the transport is to be closed.
    pub fn connected_at(&mut self, ix: usize, now: Time) -> bool {
        if !self.wants(ix) {
            return false;
        }
        let leading = self.life == Life::New;
        if leading {
            self.life = Life::LoggingIn;
        }
        let m = &mut self.members[ix];
        let identity = Identity {
            tsih: self.tsih,
            cid: m.cid,
            cmd_sn: self.numbers.cmd_sn,
        };
        let (login, bytes) = Login::start(&self.config, identity);
        m.login = Some(Box::new(login));
        m.state = MemberState::LoggingIn;
        m.until = now + self.config.answer_timeout;
        m.conn.send_login(&bytes);
        true
    }

    /// A login was sent on: the connection waits for a transport to somewhere else.
    pub(super) fn login_moved(&mut self, ix: usize) {
        if self.life == Life::LoggingIn {
            self.life = Life::New;
        }
        self.reset_member(ix);
    }

    pub(super) fn logged_in(&mut self, ix: usize) {
        let m = &mut self.members[ix];
        m.state = MemberState::Up;
        m.joined = true;
        m.until = Time::NEVER;
        m.pinged = None;
    }

    /// A connection is of no use any more. With another one the session goes on.
    #[cold]
    pub(super) fn broken(&mut self, ix: usize, why: SessionFailure) {
        if self.members[ix].state == MemberState::Broken {
            return;
        }
        if !self.survives_without(ix) {
            self.fail(why);
            return;
        }
        self.members[ix].state = MemberState::Broken;
        self.events
            .push_back(SessionEvent::ConnectionFailed { ix, why });
    }

    /// A connection is lost, and the session has others ([`Self::survives_without`]). Only called when
    /// its transport is gone (I4). What the target had answered goes to `done`, every other request
    /// to `lost`; of those that were on the wire nothing takes effect any more once
    /// [`SessionEvent::ConnectionLoggedOut`] comes for its CID.
    pub fn lost(
        &mut self,
        ix: usize,
        now: Time,
        done: impl FnMut(Token, &Completion),
        lost: impl FnMut(Token),
    ) {
        debug_assert!(self.survives_without(ix), "the session has others");
        self.sync_window();
        let m = &mut self.members[ix];
        let (cid, joined) = (m.cid, m.joined);
        let holes = m.conn.outstanding();
        m.conn.drain(lost);
        m.conn.drain_io(done);
        self.reset_member(ix);
        if self.step_on == ix
            && let Step::Asked { ask, lun, .. } = self.step
        {
            if ask == Ask::SetGroups {
                // An order may still be carried out late: it is not given twice, and counts as refused.
                self.step = Step::Idle;
                self.order_ended(false);
            } else {
                self.step = Step::Planned { ask, lun, at: now };
            }
        }
        for r in &mut self.recoveries {
            r.helper_lost(ix);
        }
        if joined {
            let until = now + self.config.answer_timeout;
            self.recoveries.push(Recovery::new(cid, holes, until));
        }
        self.recover(now);
    }

    /// The connection that has left is closed.
    pub fn closed(&mut self, ix: usize) {
        self.sync_window();
        self.reset_member(ix);
    }

    fn reset_member(&mut self, ix: usize) {
        let depth = self.config.depth;
        let m = &mut self.members[ix];
        self.copied_bytes_large += m.conn.counters().copied_bytes_large;
        let fresh = Member::new(m.cid, depth, m.weight, m.primary);
        let gone = m.removed;
        *m = fresh;
        if gone {
            m.state = MemberState::Gone;
        }
    }

    /// Adds a connection to the session; its index. It joins when its transport is up.
    ///
    /// # Errors
    /// There are too many.
    pub fn add_connection(&mut self, weight: u32, primary: bool) -> Result<usize, MemberError> {
        let recovered = |m: &Member| !self.recoveries.iter().any(|r| r.cid == m.cid);
        let mut all = self.members.iter();
        let free = all.position(|m| m.state == MemberState::Gone && recovered(m));
        let ix = free.unwrap_or(self.members.len());
        if ix >= CONNECTIONS_MAX {
            return Err(MemberError::TooMany);
        }
        let m = Member::new(ix as u16, self.config.depth, weight, primary);
        match self.members.get_mut(ix) {
            Some(place) => *place = m,
            None => self.members.push(m),
        }
        Ok(ix)
    }

    /// Takes a connection out of the session: it carries what it has to its end and is logged out
    /// ([`SessionEvent::ConnectionLeft`] follows). True when it has no transport, or one that may be
    /// closed at once.
    ///
    /// # Errors
    /// There is no such connection, or no other that is up.
    pub fn remove_connection(&mut self, ix: usize, now: Time) -> Result<bool, MemberError> {
        let state = self.members.get(ix).map(|m| m.state);
        let state = state.filter(|s| *s != MemberState::Gone);
        let state = state.ok_or(MemberError::NoSuch)?;
        if !self.survives_without(ix) {
            return Err(MemberError::Last);
        }
        let m = &mut self.members[ix];
        m.removed = true;
        match state {
            MemberState::Waiting => m.state = MemberState::Gone,
            MemberState::Up => {
                self.leave(ix, now);
                return Ok(false);
            }
            MemberState::Leaving | MemberState::LoggingOut | MemberState::Broken => {
                return Ok(false);
            }
            MemberState::LoggingIn | MemberState::Gone => {}
        }
        Ok(true)
    }

    /// Ends a connection that is up in order, while the session goes on.
    pub(super) fn leave(&mut self, ix: usize, now: Time) {
        let m = &mut self.members[ix];
        if m.state != MemberState::Up {
            return;
        }
        m.state = MemberState::Leaving;
        m.until = now + self.config.answer_timeout;
        self.leave_when_empty(now);
    }

    pub(super) fn leave_when_empty(&mut self, now: Time) {
        let cmd_sn = self.numbers.cmd_sn;
        for m in &mut self.members {
            let cid = m.cid;
            if m.state == MemberState::Leaving
                && m.conn.in_flight() == 0
                && m.conn.logout(Some(cid), cmd_sn)
            {
                m.state = MemberState::LoggingOut;
                m.until = now + self.config.answer_timeout;
            }
        }
    }

    /// The answer to the logout of one connection.
    pub(super) fn connection_logged_out(&mut self, by: usize, cid: u16, response: u8) {
        let m = &self.members[by];
        if response != 0 {
            // Without this proof what was lost can only be recovered with the session.
            return self.fail(SessionFailure::LogoutRefused { response });
        }
        if m.cid == cid && m.state == MemberState::LoggingOut {
            self.events
                .push_back(SessionEvent::ConnectionLeft { ix: by });
            return;
        }
        let exp = self.window().exp_cmd_sn;
        if let Some(r) = self.recoveries.iter_mut().find(|r| r.cid == cid) {
            r.logged_out(exp);
            self.events
                .push_back(SessionEvent::ConnectionLoggedOut { cid });
        }
    }

    /// When a ping is to be sent on a connection, or its answer is overdue.
    fn ping_due(&self, m: &Member) -> Time {
        let t = self.config.nop_timeout;
        if t.is_zero() || m.state != MemberState::Up || self.life != Life::Up {
            return Time::NEVER;
        }
        let last = m.conn.last_received();
        match m.pinged {
            None => last + t / 2,
            Some(at) => at.max(last) + t / 2,
        }
    }

    pub(super) fn members_due(&self) -> Time {
        let all = self.members.iter();
        all.map(|m| m.until.min(self.ping_due(m)))
            .min()
            .unwrap_or(Time::NEVER)
    }

    pub(super) fn member_timers(&mut self, now: Time) {
        for ix in 0..self.members.len() {
            if self.life == Life::Failed {
                return;
            }
            if self.members[ix].until <= now {
                let after_ms = self.config.answer_timeout.as_millis() as u64;
                let what = match self.members[ix].state {
                    MemberState::LoggingIn => "the login request",
                    MemberState::Leaving => "the commands under way before the logout",
                    _ => "the logout request",
                };
                self.members[ix].until = Time::NEVER;
                self.broken(ix, SessionFailure::NoAnswer { what, after_ms });
                continue;
            }
            if self.ping_due(&self.members[ix]) > now {
                continue;
            }
            let cmd_sn = self.numbers.cmd_sn;
            let m = &mut self.members[ix];
            match m.pinged {
                None => {
                    if m.conn.ping(cmd_sn) {
                        m.pinged = Some(now);
                    }
                }
                Some(_) => {
                    let after_ms = self.config.nop_timeout.as_millis() as u64;
                    self.broken(ix, SessionFailure::NopTimeout { after_ms });
                }
            }
        }
    }
}
