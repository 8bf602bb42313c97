//! The iSCSI half of an association: the session machine and the connections under it.
//!
//! A session has one connection or several, over several portals and NICs (MC/S). One is made first
//! and makes the session; the others join when it is up, and are made again when they are lost. As
//! long as one is up the association is: the loss of another is a loss of its own
//! ([`LinkNews::ConnectionLost`]), which ends when the target has logged that connection out.

use super::dialer::{Dialer, Dialing};
use super::iscsi_lane::Lane;
use super::iscsi_session::{ConnectionStatus, SessionStatus};
use super::iscsi_unit::{outcome_of, unit};
use super::iscsi_url::{ConnectionSpec, IscsiSpec, Secret};
use super::nvme_link::{HostIdentity, LinkNews};
use super::outcome::Outcome;
use super::reason::DownReason;
use super::scsi_outcome::Action;
use super::unit::Unit;
use super::url::number_of;
use crate::base::clock::Time;
use crate::base::request::Token;
use crate::proto::iscsi::chap;
use crate::proto::iscsi::initiator::{
    ConnectionPolicy, MemberError, Session, SessionConfig, SessionEvent, SessionFailure,
};
use crate::transport::Source;
use std::time::Duration;

/// How often a connection without outstanding tasks is looked at, to notice its end.
const IDLE_LOOK: Duration = Duration::from_millis(1);
/// Pause before a connection is made again that the target had asked to log out.
const LEFT_PAUSE: Duration = Duration::from_secs(1);

/// The session that a nexus had or has: a login with the same values ends it at the target
/// (session reinstatement, RFC 7143, 6.3.5).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SessionName {
    pub isid: [u8; 6],
    pub target_portal_group: u16,
    /// Which portal the leading login was sent on to, where it was: 0 is none, else a number of its
    /// own. Portals that send logins on stand before several systems, and a login at one of them says
    /// nothing of a session at another, whatever their group tags.
    pub sent_on: u64,
}

/// A connection that was lost with requests under way.
#[derive(Debug)]
struct Lost {
    tag: u64,
    cid: u16,
    /// Until they are fetched.
    orphans: Vec<Token>,
}

/// One iSCSI session.
#[derive(Debug)]
pub struct IscsiLink {
    spec: IscsiSpec,
    session: Session,
    /// By index of the session's connection.
    lanes: Vec<Lane>,
    lost: Vec<Lost>,
    next_tag: u64,
    next_idle_look: Time,
    was_up: bool,
    /// Of the leading login: see [`SessionName`].
    sent_on: u64,
}

/// The ISID of a nexus on one reactor: stable over restarts, its own for each reactor. Type 10b
/// (RFC 7143, 11.12.5): 24 bits and a qualifier, all of them from the nexus and the reactor, so
/// that two nexuses of this host never reinstate each other's session.
pub fn isid(nexus: u64, reactor: usize) -> [u8; 6] {
    let mut h = nexus ^ (reactor as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^= h >> 31;
    let b = h.to_be_bytes();
    [0x80, b[0], b[1], b[2], b[3], b[4]]
}

fn credentials(s: &Secret) -> std::io::Result<chap::Credentials> {
    let secret = chap::Secret::new(&s.secret).ok_or_else(|| {
        std::io::Error::other(format!(
            "the CHAP secret of {} must have 1 to {} bytes",
            s.name,
            chap::SECRET_MAX
        ))
    })?;
    Ok(chap::Credentials {
        name: s.name.clone(),
        secret,
    })
}

/// What challenges are made of: nobody can foretell it, except in a simulated network, where the
/// seed decides everything.
fn entropy(dialer: &Dialer, seed: u64) -> [u8; 32] {
    let mut out = [0; 32];
    match dialer {
        Dialer::Tcp | Dialer::Uring => {
            out[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
            out[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        }
        Dialer::Pipe(_) => out[..8].copy_from_slice(&seed.to_be_bytes()),
    }
    out
}

/// What the end of a connection or session is called.
fn reason_of(failure: &SessionFailure, was_up: bool) -> DownReason {
    let text = failure.to_string();
    match failure {
        SessionFailure::NopTimeout { .. } => DownReason::KeepAliveExpired,
        SessionFailure::Connection(_) => DownReason::Protocol(text),
        SessionFailure::TargetEnds { .. } | SessionFailure::Cleared { .. } => {
            DownReason::TargetEnds(text)
        }
        _ if was_up => DownReason::Protocol(text),
        _ => DownReason::Login(text),
    }
}

impl IscsiLink {
    /// Begins with the connection whose turn it is: `attempt` counts from 1, so that a portal that is
    /// down is not tried for ever while another would do.
    pub fn start(
        spec: &IscsiSpec,
        nexus: u64,
        host: &HostIdentity,
        (seed, attempt): (u64, u64),
        dialer: &Dialer,
        now: Time,
    ) -> std::io::Result<Self> {
        let config = SessionConfig {
            chap: spec.chap.as_ref().map(credentials).transpose()?,
            target_chap: spec.target_chap.as_ref().map(credentials).transpose()?,
            header_digest: spec.header_digest,
            data_digest: spec.data_digest,
            immediate_data: spec.immediate_data,
            initial_r2t: spec.initial_r2t,
            first_burst: spec.first_burst,
            max_burst: spec.max_burst,
            max_recv: spec.max_recv,
            depth: spec.depth,
            nop_timeout: spec.nop_timeout,
            answer_timeout: spec.answer_timeout,
            entropy: entropy(dialer, seed),
            ..SessionConfig::new(
                host.initiator_name.clone(),
                spec.target_name.clone(),
                isid(nexus, host.reactor),
            )
        };
        let mut session = Session::new(config);
        session.set_policy(spec.policy);
        let mut lanes = Vec::new();
        for (ix, c) in spec.connections.iter().enumerate() {
            if ix == 0 {
                session.set_member(0, c.weight, c.primary);
            } else if session.add_connection(c.weight, c.primary).is_err() {
                break;
            }
            lanes.push(Lane::new(spec.endpoint_of(c), now));
        }
        let leading = (attempt.max(1) - 1) as usize % lanes.len();
        lanes[leading].dial(dialer, now)?;
        Ok(Self {
            spec: spec.clone(),
            session,
            lanes,
            lost: Vec::new(),
            next_tag: attempt << 32,
            next_idle_look: now,
            was_up: false,
            sent_on: 0,
        })
    }

    /// Hands a request to the session; back it comes when that is full.
    #[inline]
    pub fn submit(&mut self, lun: u32, token: Token, now: Time) -> Result<(), Token> {
        self.session.submit(lun, token, now)
    }

    #[inline]
    pub fn free_slots(&self) -> usize {
        self.session.free_slots()
    }

    /// One turn: receives, completes, advances bring-up. Completions go to `done`.
    pub fn pump(
        &mut self,
        dialer: &Dialer,
        now: Time,
        done: &mut Vec<(Token, Outcome)>,
        news: &mut Vec<LinkNews>,
    ) -> bool {
        let mut worked = false;
        let look_at_idle = now >= self.next_idle_look;
        if look_at_idle {
            self.next_idle_look = now + IDLE_LOOK;
            if self.was_up && self.lanes.len() > 1 {
                self.dial_further(dialer, now);
            }
        }
        let mut broken = false;
        for ix in 0..self.lanes.len() {
            let lane = &mut self.lanes[ix];
            if lane.is_dialing() {
                match lane.poll_dial(dialer, now) {
                    Ok(false) => {}
                    Ok(true) => {
                        worked = true;
                        if !self.session.connected_at(ix, now) {
                            // Another has taken the last place that the target gives.
                            lane.left(now + LEFT_PAUSE);
                        }
                    }
                    Err(reason) if self.was_up => lane.failed(reason, now),
                    Err(reason) => {
                        news.push(LinkNews::Down(reason));
                        return true;
                    }
                }
            }
            let lane = &mut self.lanes[ix];
            if let Some(conn) = &mut lane.conn
                && (look_at_idle || self.session.connection_at(ix).in_flight() > 0)
            {
                match conn.recv(self.session.connection_at_mut(ix), now) {
                    Ok(turn) => {
                        worked |= turn.bytes > 0;
                        if turn.eof {
                            lane.broken = Some(DownReason::PeerClosed);
                        }
                    }
                    Err(e) => lane.broken = Some(DownReason::Transport(e.to_string())),
                }
            }
            broken |= lane.broken.is_some();
        }
        if worked || look_at_idle || broken || now >= self.session.next_deadline() {
            let mut action = Action::Nothing;
            self.session.drain_io(|token, c| {
                let (outcome, todo) = outcome_of(c);
                match todo {
                    Action::Nothing => {}
                    Action::Units => action = Action::Units,
                    Action::Access if action == Action::Nothing => action = Action::Access,
                    Action::Access => {}
                }
                done.push((token, outcome));
            });
            match action {
                Action::Nothing => {}
                Action::Access => self.session.reread_access(now),
                Action::Units => self.session.rescan(now),
            }
            self.session.poll(now);
            self.drain_events(dialer, now, done, news);
        }
        if broken {
            self.act_on_broken(dialer, now, done, news);
        }
        worked
    }

    /// Makes transports for connections that are not there, one after the other.
    fn dial_further(&mut self, dialer: &Dialer, now: Time) {
        for ix in 0..self.lanes.len() {
            let lane = &mut self.lanes[ix];
            if lane.may_dial(now)
                && self.session.wants(ix)
                && let Err(e) = lane.dial(dialer, now)
            {
                lane.failed(DownReason::Connect(e.to_string()), now);
            }
        }
    }

    /// Transports that broke. What the target said last, a refusal or a goodbye, says more than that
    /// it closed, and has been looked at before.
    fn act_on_broken(
        &mut self,
        dialer: &Dialer,
        now: Time,
        done: &mut Vec<(Token, Outcome)>,
        news: &mut Vec<LinkNews>,
    ) {
        for ix in 0..self.lanes.len() {
            let Some(reason) = self.lanes[ix].broken.take() else {
                continue;
            };
            let over = |n: &LinkNews| matches!(n, LinkNews::Down(_) | LinkNews::ShutdownDone);
            if news.iter().any(over) {
                return;
            }
            if self.session.survives_without(ix) {
                self.lose(ix, reason, now, done, news);
            } else {
                news.push(LinkNews::Down(reason));
                return;
            }
        }
        // What a loss has set in motion.
        self.session.poll(now);
        self.drain_events(dialer, now, done, news);
    }

    /// Ends one connection of several; what was under way on it waits to be fetched.
    fn lose(
        &mut self,
        ix: usize,
        reason: DownReason,
        now: Time,
        done: &mut Vec<(Token, Outcome)>,
        news: &mut Vec<LinkNews>,
    ) {
        let lane = &mut self.lanes[ix];
        lane.abort();
        let cid = self.session.members().nth(ix).map_or(0, |m| m.cid);
        tracing::info!(portal = lane.endpoint.portal(), cid, %reason, "connection of a session lost");
        lane.failed(reason, now);
        let mut orphans = Vec::new();
        self.session.lost(
            ix,
            now,
            |token, c| done.push((token, outcome_of(c).0)),
            |token| orphans.push(token),
        );
        if !orphans.is_empty() {
            let tag = self.next_tag;
            self.next_tag += 1;
            self.lost.push(Lost { tag, cid, orphans });
            news.push(LinkNews::ConnectionLost { tag });
        }
    }

    /// The requests of a lost connection.
    pub fn take_orphans(&mut self, tag: u64) -> Vec<Token> {
        let lost = self.lost.iter_mut().find(|l| l.tag == tag);
        lost.map_or_else(Vec::new, |l| std::mem::take(&mut l.orphans))
    }

    fn drain_events(
        &mut self,
        dialer: &Dialer,
        now: Time,
        done: &mut Vec<(Token, Outcome)>,
        news: &mut Vec<LinkNews>,
    ) {
        while let Some(event) = self.session.poll_event() {
            match event {
                SessionEvent::Up => {
                    self.was_up = true;
                    let moved = self.lanes.iter().find_map(Lane::moved_to);
                    self.sent_on = moved.map_or(0, |to| number_of(&to));
                    news.push(LinkNews::Up);
                }
                SessionEvent::AccessChanged => news.push(LinkNews::Access),
                SessionEvent::UnitsChanged => news.push(LinkNews::Units),
                SessionEvent::TaskAnswered { .. } => {}
                SessionEvent::GroupsSet { tag, done } => {
                    news.push(LinkNews::GroupsSet { tag, done });
                }
                SessionEvent::ConnectionUp { ix } => self.lanes[ix].is_up(),
                SessionEvent::ConnectionMoved {
                    ix,
                    address,
                    permanent,
                } => {
                    let lane = &mut self.lanes[ix];
                    if let Err(reason) = lane.follow(&address, permanent, dialer, now) {
                        if self.was_up {
                            lane.failed(reason, now);
                        } else {
                            news.push(LinkNews::Down(reason));
                        }
                    }
                }
                SessionEvent::ConnectionFailed { ix, why } => {
                    self.lanes[ix].broken = None;
                    let reason = reason_of(&why, true);
                    if self.session.survives_without(ix) {
                        self.lose(ix, reason, now, done, news);
                    } else {
                        news.push(LinkNews::Down(reason));
                    }
                }
                SessionEvent::ConnectionLoggedOut { cid } => {
                    let lost = self.lost.iter().filter(|l| l.cid == cid);
                    news.extend(lost.map(|l| LinkNews::ConnectionEnded { tag: l.tag }));
                    self.lost.retain(|l| l.cid != cid);
                }
                SessionEvent::ConnectionLeft { ix } => {
                    self.session.closed(ix);
                    self.lanes[ix].left(now + LEFT_PAUSE);
                }
                SessionEvent::LoggedOut => news.push(LinkNews::ShutdownDone),
                SessionEvent::Failed(failure) => {
                    news.push(LinkNews::Down(reason_of(&failure, self.was_up)));
                }
            }
        }
    }

    /// Sends what the session has: one call per connection.
    pub fn flush(&mut self, now: Time, news: &mut Vec<LinkNews>) -> bool {
        let mut worked = false;
        for (ix, lane) in self.lanes.iter_mut().enumerate() {
            let Some(conn) = &mut lane.conn else { continue };
            if !self.session.connection_at(ix).has_output() {
                continue;
            }
            match conn.send(self.session.connection_at_mut(ix), now) {
                Ok(turn) => worked |= turn.bytes > 0,
                Err(e) => {
                    let reason = DownReason::Transport(e.to_string());
                    if self.session.survives_without(ix) {
                        // Acted on in the next turn, with what it still has received.
                        lane.broken = Some(reason);
                    } else {
                        news.push(LinkNews::Down(reason));
                    }
                }
            }
        }
        worked
    }

    /// Ends the session: its connections are reset. What had been answered goes to `done`; every
    /// other request to `f`, which reads `on_wire` to see whether it may have left this host.
    pub fn tear_down(mut self, done: &mut Vec<(Token, Outcome)>, mut f: impl FnMut(Token)) {
        for lane in &mut self.lanes {
            lane.abort();
        }
        for lost in self.lost {
            lost.orphans.into_iter().for_each(&mut f);
        }
        self.session.drain(f);
        self.session
            .drain_io(|token, c| done.push((token, outcome_of(c).0)));
    }

    pub fn shutdown(&mut self, now: Time) {
        self.session.shutdown(now);
    }

    pub fn reread_access(&mut self, now: Time) {
        self.session.reread_access(now);
    }

    pub fn is_reading_access(&self) -> bool {
        self.session.is_reading_access()
    }

    /// See [`Session::optimize_groups`].
    pub fn optimize_groups(&mut self, lun: u32, groups: Vec<u16>, tag: u32, now: Time) -> bool {
        self.session.optimize_groups(lun, groups, tag, now)
    }

    pub fn session_name(&self) -> Option<SessionName> {
        Some(SessionName {
            isid: self.session.config().isid,
            target_portal_group: self.session.target_portal_group()?,
            sent_on: self.sent_on,
        })
    }

    pub fn units(&self) -> Vec<Unit> {
        self.session.units().iter().map(unit).collect()
    }

    /// Both ends of the first connection that has any.
    pub fn addrs(&self) -> Option<(String, String)> {
        self.lanes.iter().find_map(Lane::addrs)
    }

    /// The session and its connections, to be looked at.
    pub fn status(&self) -> SessionStatus {
        let members = self.session.members();
        let connections = self.lanes.iter().zip(members).filter(|(_, m)| !m.removed);
        SessionStatus {
            nexus: 0,
            target_name: self.spec.target_name.clone(),
            isid: self.session.config().isid,
            tsih: self.session.tsih(),
            policy: self.session.policy(),
            max_connections: self.session.max_connections(),
            connections: connections
                .map(|(lane, m)| ConnectionStatus::new(lane, &m))
                .collect(),
        }
    }

    pub fn set_policy(&mut self, policy: ConnectionPolicy) {
        self.session.set_policy(policy);
    }

    fn index_of(&self, cid: u16) -> Option<usize> {
        let mut all = self.session.members();
        all.position(|m| m.cid == cid && !m.removed)
    }

    /// False where there is no such connection.
    pub fn set_connection(&mut self, cid: u16, weight: u32, primary: bool) -> bool {
        let ix = self.index_of(cid);
        if let Some(ix) = ix {
            self.session.set_member(ix, weight, primary);
        }
        ix.is_some()
    }

    /// Adds a connection; its CID.
    ///
    /// # Errors
    /// There are too many.
    pub fn add_connection(&mut self, c: &ConnectionSpec, now: Time) -> Result<u16, MemberError> {
        let ix = self.session.add_connection(c.weight, c.primary)?;
        let lane = Lane::new(self.spec.endpoint_of(c), now);
        match self.lanes.get_mut(ix) {
            Some(place) => *place = lane,
            None => self.lanes.push(lane),
        }
        Ok(ix as u16)
    }

    /// Takes a connection out of the session for good: it carries what it has to its end, then it is
    /// logged out and closed. One that is not up goes at once.
    ///
    /// # Errors
    /// There is none of that CID, or no other that is up.
    pub fn remove_connection(&mut self, cid: u16, now: Time) -> Result<(), MemberError> {
        let ix = self.index_of(cid).ok_or(MemberError::NoSuch)?;
        if self.session.remove_connection(ix, now)? {
            self.lanes[ix].abort();
            self.session.closed(ix);
        }
        Ok(())
    }

    pub fn next_deadline(&self) -> Time {
        let lanes = self.lanes.iter().enumerate();
        let due = lanes.map(|(ix, lane)| lane.due(self.was_up && self.session.wants(ix)));
        due.fold(self.session.next_deadline(), Time::min)
    }

    /// Descriptors to sleep on, and whether each has something to send that did not fit.
    pub fn fds(&self, out: &mut Vec<(std::os::fd::RawFd, bool)>) {
        for (ix, lane) in self.lanes.iter().enumerate() {
            if let Some(conn) = &lane.conn
                && let Some(fd) = conn.fd()
            {
                let full = self.session.connection_at(ix).has_output();
                out.push((fd, full || conn.is_clogged()));
            }
            if let Some(Dialing::Connecting(conn)) = &lane.dialing
                && let Some(fd) = conn.fd()
            {
                out.push((fd, true));
            }
        }
    }

    /// Payload bytes of large requests that were copied in user space (invariant I11: stays 0).
    pub fn copied_bytes_large(&self) -> u64 {
        self.session.copied_bytes_large()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nexus_and_reactor_has_a_stable_isid_of_its_own() {
        assert_eq!(isid(7, 0), isid(7, 0));
        let mut seen = std::collections::HashSet::new();
        for nexus in 0..100 {
            for reactor in 0..8 {
                let i = isid(nexus, reactor);
                assert_eq!(i[0], 0x80, "type 10b, no reserved bit");
                assert!(seen.insert(i));
            }
        }
    }
}
