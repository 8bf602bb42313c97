//! The iSCSI half of an association: the session machine and the connection under it.

use super::access::AccessState;
use super::dialer::{Dialer, Dialing, Endpoint};
use super::identity::Identity;
use super::iscsi_url::{IscsiSpec, Secret};
use super::nvme_link::{HostIdentity, LinkNews};
use super::outcome::Outcome;
use super::reason::DownReason;
use super::scsi_outcome::{Action, Triple, from_scsi};
use super::unit::Unit;
use crate::base::clock::Time;
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::Token;
use crate::proto::iscsi::chap;
use crate::proto::iscsi::initiator::{
    Completion, Session, SessionConfig, SessionEvent, SessionFailure, UnitInfo, scsi,
};
use crate::transport::{Conn, Source};
use std::time::Duration;

/// How often a connection without outstanding tasks is looked at, to notice its end.
const IDLE_LOOK: Duration = Duration::from_millis(1);
/// Time the connection may take to come up.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The session that a nexus had or has: a login with the same values ends it at the target
/// (session reinstatement, RFC 7143, 6.3.5).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SessionName {
    pub isid: [u8; 6],
    pub target_portal_group: u16,
}

/// One iSCSI session with one connection.
#[derive(Debug)]
pub struct IscsiLink {
    endpoint: Endpoint,
    session: Session,
    conn: Option<Conn>,
    dialing: Option<Dialing>,
    dial_deadline: Time,
    next_idle_look: Time,
    was_up: bool,
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

impl IscsiLink {
    pub fn start(
        spec: &IscsiSpec,
        nexus: u64,
        host: &HostIdentity,
        seed: u64,
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
            entropy: entropy(dialer, seed),
            ..SessionConfig::new(
                host.initiator_name.clone(),
                spec.target_name.clone(),
                isid(nexus, host.reactor),
            )
        };
        let endpoint = spec.endpoint();
        let dialing = Some(dialer.start(&endpoint, now)?);
        Ok(Self {
            endpoint,
            session: Session::new(config),
            conn: None,
            dialing,
            dial_deadline: now + CONNECT_MAX,
            next_idle_look: now,
            was_up: false,
        })
    }

    /// Hands a request to the session; back it comes when that is full.
    pub fn submit(&mut self, lun: u32, token: Token, now: Time) -> Result<(), Token> {
        self.session.submit(lun, token, now)
    }

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
        if self.dialing.is_some() {
            match self.pump_dial(dialer, now) {
                Ok(up) => worked |= up,
                Err(reason) => {
                    news.push(LinkNews::Down(reason));
                    return true;
                }
            }
        }
        let look_at_idle = now >= self.next_idle_look;
        if look_at_idle {
            self.next_idle_look = now + IDLE_LOOK;
        }
        let mut broken = None;
        if let Some(conn) = &mut self.conn
            && (look_at_idle || self.session.connection().in_flight() > 0)
        {
            match conn.recv(self.session.connection_mut(), now) {
                Ok(turn) => {
                    worked |= turn.bytes > 0;
                    if turn.eof {
                        broken = Some(DownReason::PeerClosed);
                    }
                }
                Err(e) => broken = Some(DownReason::Transport(e.to_string())),
            }
        }
        if worked || look_at_idle || broken.is_some() || now >= self.session.next_deadline() {
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
            self.drain_events(news);
        }
        // What the target said last, a refusal or a goodbye, says more than that it closed.
        if let Some(reason) = broken
            && !news
                .iter()
                .any(|n| matches!(n, LinkNews::Down(_) | LinkNews::ShutdownDone))
        {
            news.push(LinkNews::Down(reason));
        }
        worked
    }

    fn drain_events(&mut self, news: &mut Vec<LinkNews>) {
        while let Some(event) = self.session.poll_event() {
            match event {
                SessionEvent::Up => {
                    self.was_up = true;
                    news.push(LinkNews::Up);
                }
                SessionEvent::AccessChanged => news.push(LinkNews::Access),
                SessionEvent::UnitsChanged => news.push(LinkNews::Units),
                SessionEvent::TaskAnswered { .. } => {}
                SessionEvent::LoggedOut => news.push(LinkNews::ShutdownDone),
                SessionEvent::Failed(failure) => {
                    let text = failure.to_string();
                    news.push(LinkNews::Down(match failure {
                        SessionFailure::NopTimeout { .. } => DownReason::KeepAliveExpired,
                        SessionFailure::Connection(_) => DownReason::Protocol(text),
                        SessionFailure::TargetEnds { .. } => DownReason::TargetEnds(text),
                        _ if self.was_up => DownReason::Protocol(text),
                        _ => DownReason::Login(text),
                    }));
                }
            }
        }
    }

    fn pump_dial(&mut self, dialer: &Dialer, now: Time) -> Result<bool, DownReason> {
        let resolving = matches!(self.dialing, Some(Dialing::Resolving(_)));
        match dialer.poll(&mut self.dialing, &self.endpoint, now) {
            Ok(Some(conn)) => {
                self.conn = Some(conn);
                self.session.connected(now);
                Ok(true)
            }
            Ok(None) if now >= self.dial_deadline => Err(DownReason::ConnectTimeout),
            Ok(None) => Ok(false),
            Err(e) if resolving => Err(DownReason::Resolve(e.to_string())),
            Err(e) => Err(DownReason::Connect(format!(
                "{}: {e}",
                self.endpoint.portal()
            ))),
        }
    }

    /// Sends what the session has: one call.
    pub fn flush(&mut self, now: Time, news: &mut Vec<LinkNews>) -> bool {
        let Some(conn) = &mut self.conn else {
            return false;
        };
        if !self.session.connection().has_output() {
            return false;
        }
        match conn.send(self.session.connection_mut(), now) {
            Ok(turn) => turn.bytes > 0,
            Err(e) => {
                news.push(LinkNews::Down(DownReason::Transport(e.to_string())));
                false
            }
        }
    }

    /// Ends the session: its connection is reset. What had been answered goes to `done`; every
    /// other request to `f`, which reads `on_wire` to see whether it may have left this host.
    pub fn tear_down(mut self, done: &mut Vec<(Token, Outcome)>, f: impl FnMut(Token)) {
        if let Some(conn) = self.conn.take() {
            conn.abort();
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

    pub fn session_name(&self) -> Option<SessionName> {
        Some(SessionName {
            isid: self.session.config().isid,
            target_portal_group: self.session.target_portal_group()?,
        })
    }

    pub fn units(&self) -> Vec<Unit> {
        self.session.units().iter().map(unit).collect()
    }

    pub fn addrs(&self) -> Option<(String, String)> {
        self.conn.as_ref().map(Conn::addrs)
    }

    pub fn next_deadline(&self) -> Time {
        let dial = if self.dialing.is_some() {
            self.dial_deadline
        } else {
            Time::NEVER
        };
        self.session.next_deadline().min(dial)
    }

    /// Descriptors to sleep on, and whether each has something to send that did not fit.
    pub fn fds(&self, out: &mut Vec<(std::os::fd::RawFd, bool)>) {
        if let Some(conn) = &self.conn
            && let Some(fd) = conn.fd()
        {
            let full = self.session.connection().has_output();
            out.push((fd, full || conn.is_clogged()));
        }
        if let Some(Dialing::Connecting(conn)) = &self.dialing
            && let Some(fd) = conn.fd()
        {
            out.push((fd, true));
        }
    }

    /// Payload bytes of large requests that were copied in user space (invariant I11: stays 0).
    pub fn copied_bytes_large(&self) -> u64 {
        self.session.connection().counters().copied_bytes_large
    }
}

/// How a request ended, and what to do about it.
fn outcome_of(c: &Completion) -> (Outcome, Action) {
    let fault = |raw| Outcome::PathFault {
        error: IoError::with_raw(ErrorKind::Device, raw),
    };
    // A service response instead of a status; data damaged on the way; less data than asked for.
    if c.response != 0 || c.damaged {
        return (fault(0x8000_0000 | u32::from(c.response)), Action::Nothing);
    }
    if c.status == 0 && c.short {
        return (fault(0x4000_0000), Action::Nothing);
    }
    let sense = scsi::parse_sense(c.sense()).map(|(k, a, q)| Triple::new(k, a, q));
    from_scsi(c.status, sense)
}

/// A logical unit in the words that all protocols share.
fn unit(u: &UnitInfo) -> Unit {
    let bytes = |blocks: u64| {
        let n = blocks.saturating_mul(u64::from(u.block_size));
        u32::try_from(n).unwrap_or(u32::MAX)
    };
    // 0 means "no limit reported".
    let max_transfer = match u.limits.transfer {
        0 => u32::MAX,
        n => bytes(u64::from(n)),
    };
    // Longer requests are split at the transfer limit alone, so a command with a lower limit of its
    // own is not offered.
    let reaches = |limit: u64| {
        limit == 0 || bytes(limit) >= max_transfer.min(REQUEST_BLOCKS_MAX * u.block_size.max(1))
    };
    Unit {
        nsid: u.lun,
        identity: Identity {
            uuid: u.designators.uuid,
            nguid: u.designators.nguid,
            eui64: u.designators.eui64,
            naa: u.designators.naa.clone(),
        },
        block_size: u.block_size,
        blocks: u.blocks,
        max_transfer,
        volatile_cache: u.write_cache,
        discard: u.unmap && reaches(u64::from(u.limits.unmap)),
        write_zeroes: u.write_same && reaches(u.limits.write_same),
        // VERIFY with data is not offered by targets in a way that can be asked for.
        compare: false,
        compare_and_write: u.limits.compare_and_write > 0,
        group: u32::from(u.group),
        access: if u.tpgs == 0 {
            AccessState::Optimized
        } else {
            AccessState::from_alua(u.state).unwrap_or(AccessState::Unavailable)
        },
        access_raw: u.state,
        asymmetric: u.tpgs != 0,
    }
}

/// Blocks of one command at most, whatever the target allows (`lun` splits there).
const REQUEST_BLOCKS_MAX: u32 = 65_536;

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
