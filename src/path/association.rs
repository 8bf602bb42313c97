//! The live login of one nexus on one reactor, for all its LUNs.

use super::access::AccessState;
use super::dialer::Dialer;
use super::iscsi_link::{IscsiLink, SessionName, isid};
use super::iscsi_session::{
    ConnectionSetting, ConnectionStatus, MemberState, SessionError, SessionStatus,
};
use super::iscsi_url::{ConnectionSpec, IscsiSpec};
use super::local::LocalDevice;
use super::loss::{ControllerName, QuiesceTiming};
use super::nexus::Nexus;
use super::nvme_link::{HostIdentity, LinkNews, NvmeLink};
use super::outcome::Outcome;
use super::reason::DownReason;
use super::state::State;
use super::unit::{Hardware, Unit};
use super::url::NexusSpec;
use crate::base::clock::Time;
use crate::base::limits;
use crate::base::request::{LossClass, Token};
use crate::base::rng::Rng;
use crate::proto::iscsi::initiator::ConnectionPolicy;
use std::time::Duration;

/// What carries the association's I/O.
#[derive(Debug)]
enum Link {
    None,
    Nvme(Box<NvmeLink>),
    Iscsi(Box<IscsiLink>),
    Local(Box<LocalDevice>),
}

/// Counts over the life of an association's configuration.
#[derive(Copy, Clone, Default, Debug, PartialEq, Eq)]
pub struct AssociationCounters {
    pub attempts: u64,
    pub logins: u64,
    pub losses: u64,
}

/// One association: who it reaches, where it stands and why, and what carries it.
#[derive(Debug)]
pub struct Association {
    pub nexus: Nexus,
    state: State,
    reason: Option<DownReason>,
    /// When the present state began.
    since: Time,
    retry_at: Time,
    /// When it was last up; for one that never was, when it was configured.
    down_since: Time,
    link: Link,
    units: Vec<Unit>,
    pub counters: AssociationCounters,
    /// What was left when a lost association had requests in flight.
    pub last_controller: Option<ControllerName>,
    pub last_timing: Option<QuiesceTiming>,
    /// The iSCSI session of the last login.
    pub last_session: Option<SessionName>,
    /// LUN paths that use it.
    pub users: u32,
    /// Nobody uses it any more, and it goes as soon as its losses are proven: one more login ends the
    /// session that was lost (RFC 7143, 6.3.5).
    ending: bool,
    /// Longest pause between two tries, where somebody has said so.
    pub retry_cap: Option<Duration>,
    /// Taken from `LocalDevice` so that a second reactor can share it.
    local: Option<LocalDevice>,
}

impl Association {
    pub fn new(spec: NexusSpec, local: Option<LocalDevice>, now: Time) -> Self {
        Self {
            nexus: Nexus::new(spec),
            state: State::Idle,
            reason: Some(DownReason::NotTriedYet),
            since: now,
            retry_at: now,
            down_since: now,
            link: Link::None,
            units: Vec::new(),
            counters: AssociationCounters::default(),
            last_controller: None,
            last_timing: None,
            last_session: None,
            users: 0,
            ending: false,
            retry_cap: None,
            local,
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// On its way out for good: a LUN opened now gets an association of its own.
    pub fn is_ending(&self) -> bool {
        self.ending || matches!(self.state, State::Draining | State::Stopped)
    }

    /// On its way out, and kept only for the proof of a loss.
    pub fn wants_proof(&self) -> bool {
        self.ending && !matches!(self.state, State::Draining | State::Stopped)
    }

    /// Nobody uses it any more; it stays until its losses are proven.
    pub fn end_once_proven(&mut self) {
        self.ending = true;
    }

    /// A further login of this nexus proves that nothing of an earlier one is executed any more.
    pub fn proves_by_login(&self) -> bool {
        matches!(self.nexus.spec, NexusSpec::Iscsi(_)) && self.last_session.is_some()
    }

    /// Why it carries no I/O: what ended it, or the last attempt. None when it is up, and during the
    /// first attempt.
    pub fn reason(&self) -> Option<&DownReason> {
        self.reason.as_ref()
    }

    /// Nobody knows yet whether it will come up: the first attempt is to be made, or runs.
    pub fn is_on_first_attempt(&self) -> bool {
        matches!(self.reason, None | Some(DownReason::NotTriedYet))
            && matches!(
                self.state,
                State::Idle | State::Connecting | State::LoggingIn
            )
    }

    pub fn since(&self) -> Time {
        self.since
    }

    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    pub fn unit(&self, nsid: Option<u32>) -> Option<&Unit> {
        match nsid {
            Some(n) => self.units.iter().find(|u| u.nsid == n),
            None if self.units.len() == 1 => self.units.first(),
            None => None,
        }
    }

    /// The only place where the state changes.
    fn set_state(&mut self, next: State, reason: Option<DownReason>, now: Time) {
        assert!(
            self.state.may_become(next),
            "association of {}: {} must not become {next}",
            self.nexus.key,
            self.state
        );
        tracing::debug!(nexus = %self.nexus.key, from = %self.state, to = %next, reason = ?reason, "association");
        self.state = next;
        // While the next attempt runs, what ended the last one is still why there is no I/O here.
        let trying = matches!(next, State::Connecting | State::LoggingIn);
        if !trying || self.reason == Some(DownReason::NotTriedYet) {
            self.reason = reason;
        }
        self.since = now;
    }

    /// Starts an attempt when it is due. An error is a failed attempt.
    fn start(&mut self, dialer: &Dialer, host: &HostIdentity, now: Time) -> Result<(), DownReason> {
        self.counters.attempts += 1;
        match &self.nexus.spec {
            NexusSpec::NvmeTcp(spec) => {
                let link = NvmeLink::start(spec, host, dialer, now)
                    .map_err(|e| DownReason::Connect(format!("{}: {e}", spec.portal())))?;
                self.link = Link::Nvme(Box::new(link));
                self.set_state(State::Connecting, None, now);
            }
            NexusSpec::Iscsi(spec) => {
                let seed = (self.nexus.id ^ now.as_nanos(), self.counters.attempts);
                let link = IscsiLink::start(spec, self.nexus.id, host, seed, dialer, now).map_err(
                    |e| DownReason::Connect(format!("{}: {e}", spec.endpoint().portal())),
                )?;
                self.link = Link::Iscsi(Box::new(link));
                self.set_state(State::Connecting, None, now);
            }
            NexusSpec::Local(_) => {
                // A local path that was taken down and comes back has kept its device.
                if !matches!(self.link, Link::Local(_)) {
                    let device = self
                        .local
                        .take()
                        .expect("a local nexus is made with its device");
                    self.link = Link::Local(Box::new(device));
                }
                if let Link::Local(device) = &self.link {
                    self.units = vec![local_unit(device)];
                }
                self.set_state(State::Up, None, now);
            }
        }
        Ok(())
    }

    pub fn submit(&mut self, nsid: u32, token: Token, now: Time) -> Result<(), Token> {
        if self.state != State::Up {
            return Err(token);
        }
        match &mut self.link {
            Link::Nvme(l) => l.submit(nsid, token, now),
            Link::Iscsi(l) => l.submit(nsid, token, now),
            Link::Local(d) => d.submit(token, now),
            Link::None => unreachable!("an association that is up has a link"),
        }
    }

    pub fn free_slots(&self) -> usize {
        match (&self.link, self.state) {
            (Link::Nvme(l), State::Up) => l.free_slots(),
            (Link::Iscsi(l), State::Up) => l.free_slots(),
            (Link::Local(_), State::Up) => usize::MAX,
            _ => 0,
        }
    }

    /// One turn. Completions go to `done`; what else happened to `news`.
    #[inline]
    pub fn poll(
        &mut self,
        dialer: &Dialer,
        host: &HostIdentity,
        now: Time,
        done: &mut Vec<(Token, Outcome)>,
        local_done: &mut Vec<(Token, Result<(), crate::base::error::IoError>)>,
        news: &mut Vec<LinkNews>,
    ) -> bool {
        match self.state {
            // A local device ends what it has begun even then.
            State::Stopped if !matches!(self.link, Link::Local(_)) => return false,
            State::Idle | State::Backoff if now >= self.retry_at => {
                if let Err(reason) = self.start(dialer, host, now) {
                    news.push(LinkNews::Down(reason));
                } else if self.state == State::Up {
                    news.push(LinkNews::Up);
                }
                return true;
            }
            _ => {}
        }
        match &mut self.link {
            Link::None => false,
            Link::Local(device) => {
                device.poll(local_done, now);
                let worked = !local_done.is_empty();
                if self.state == State::Draining && device.in_flight() == 0 {
                    news.push(LinkNews::ShutdownDone);
                }
                done.extend(local_done.drain(..).map(|(token, result)| {
                    (
                        token,
                        result.map_or_else(Outcome::Failed, |()| Outcome::Done),
                    )
                }));
                worked
            }
            Link::Nvme(link) => {
                let worked = link.pump(dialer, now, done, news);
                if self.state == State::Connecting && link.addrs().is_some() {
                    self.set_state(State::LoggingIn, None, now);
                }
                worked
            }
            Link::Iscsi(link) => {
                let worked = link.pump(dialer, now, done, news);
                if self.state == State::Connecting && link.addrs().is_some() {
                    self.set_state(State::LoggingIn, None, now);
                }
                worked
            }
        }
    }

    #[inline]
    pub fn flush(&mut self, now: Time, news: &mut Vec<LinkNews>) -> bool {
        match &mut self.link {
            Link::Nvme(link) => link.flush(now, news),
            Link::Iscsi(link) => link.flush(now, news),
            _ => false,
        }
    }

    /// The protocol says that the association is up.
    pub fn came_up(&mut self, now: Time) {
        if let Link::Nvme(link) = &self.link {
            if let Some((local, remote)) = link.addrs() {
                self.nexus.local_addr = local;
                self.nexus.remote_addr = remote;
            }
            self.units = link.units();
            self.last_controller = link.controller_name();
            self.last_timing = link.timing();
        }
        if let Link::Iscsi(link) = &self.link {
            if let Some((local, remote)) = link.addrs() {
                self.nexus.local_addr = local;
                self.nexus.remote_addr = remote;
            }
            self.units = link.units();
            self.last_session = link.session_name();
        }
        if self.state != State::Up {
            self.set_state(State::Up, None, now);
        }
        self.counters.logins += 1;
    }

    pub fn refresh_units(&mut self) {
        match &self.link {
            Link::Nvme(link) => self.units = link.units(),
            Link::Iscsi(link) => self.units = link.units(),
            Link::Local(_) | Link::None => {}
        }
    }

    /// Goes down: every request still in flight is handed to `f`, connections are reset, and the
    /// next attempt is planned; `unproven`: losses of it are open. Returns whether it had been up.
    pub fn go_down(
        &mut self,
        reason: DownReason,
        (alone, unproven): (bool, bool),
        rng: &mut Rng,
        now: Time,
        done: &mut Vec<(Token, Outcome)>,
        mut f: impl FnMut(Token),
    ) -> bool {
        let mut unproven = unproven;
        let f = |t: Token| {
            unproven |= t.on_wire && t.op.loss_class() != LossClass::Free;
            f(t);
        };
        let was_up = matches!(self.state, State::Up | State::Draining);
        match std::mem::replace(&mut self.link, Link::None) {
            Link::Nvme(link) => link.tear_down(now, done, f),
            Link::Iscsi(link) => link.tear_down(done, f),
            // Stopped for good with nothing in flight: its memory or descriptor goes at once.
            Link::Local(device)
                if device.in_flight() == 0 && reason == DownReason::Administrative =>
            {
                drop(device)
            }
            other => self.link = other,
        }
        self.units.clear();
        if was_up {
            self.counters.losses += 1;
            self.down_since = now;
        }
        // A target that breaks off while we say goodbye has said it too.
        let asked = reason == DownReason::Administrative;
        let stop = asked || self.state == State::Draining;
        if stop && !asked && unproven && self.proves_by_login() {
            self.ending = true;
            self.set_state(State::Backoff, Some(reason), now);
        } else if stop {
            self.set_state(State::Stopped, Some(reason), now);
        } else if self.state == State::Backoff {
            // A failed start: only the reason is news.
            self.reason = Some(reason);
        } else {
            self.set_state(State::Backoff, Some(reason), now);
        }
        self.retry_at = now + self.back_off(alone, rng, now);
        was_up
    }

    /// Invariant I9: the first retry comes at once, then back-off with jitter, up to a cap that
    /// depends on whether a sibling carries the I/O meanwhile. The delay is an eighth of the outage
    /// so far, so that a nexus that is back is used again soon, measured by how long it was gone.
    fn back_off(&self, alone: bool, rng: &mut Rng, now: Time) -> Duration {
        let cap = if let Some(cap) = self.retry_cap {
            cap.max(limits::RECONNECT_FIRST)
        } else if alone {
            limits::RECONNECT_CAP_ALONE
        } else {
            limits::RECONNECT_CAP_SIBLING
        };
        let full = (now.since(self.down_since) / 8).clamp(limits::RECONNECT_FIRST, cap);
        let nanos = full.as_nanos() as u64;
        Duration::from_nanos(nanos / 2 + rng.below(nanos / 2 + 1))
    }

    /// Something outside says that a try may pay now (a link came up).
    pub fn retry_now(&mut self, now: Time) {
        if self.state == State::Backoff {
            self.retry_at = now;
        }
    }

    /// Starts an orderly end; `ShutdownDone` or a loss follows.
    pub fn drain(&mut self, now: Time) {
        if self.state == State::Up {
            self.set_state(State::Draining, Some(DownReason::Administrative), now);
            match &mut self.link {
                Link::Nvme(link) => link.shutdown(now),
                Link::Iscsi(link) => link.shutdown(now),
                Link::Local(_) | Link::None => {}
            }
        }
    }

    pub fn start_ccr(&mut self, name: ControllerName, tag: u32, now: Time) -> bool {
        match &mut self.link {
            Link::Nvme(link) if self.state == State::Up => link.start_ccr(name, tag, now),
            _ => false,
        }
    }

    pub fn reread_access(&mut self, now: Time) {
        match (&mut self.link, self.state) {
            (Link::Nvme(link), State::Up) => link.reread_access(now),
            (Link::Iscsi(link), State::Up) => link.reread_access(now),
            _ => {}
        }
    }

    /// What the target says of access states is being read, or soon will be.
    pub fn is_reading_access(&self) -> bool {
        match (&self.link, self.state) {
            (Link::Nvme(link), State::Up) => link.is_reading_access(),
            (Link::Iscsi(link), State::Up) => link.is_reading_access(),
            _ => false,
        }
    }

    /// Tells the target to make the group of one of its units active/optimized (SET TARGET PORT
    /// GROUPS); [`LinkNews::GroupsSet`] follows. False: it cannot be asked now, or takes no orders.
    pub fn optimize(&mut self, nsid: u32, tag: u32, now: Time) -> bool {
        let unit = self.units.iter().find(|u| u.nsid == nsid);
        let group = unit.and_then(|u| u16::try_from(u.group).ok());
        match (&mut self.link, group) {
            (Link::Iscsi(link), Some(group)) if self.state == State::Up => {
                link.optimize_groups(nsid, vec![group], tag, now)
            }
            _ => false,
        }
    }

    /// The requests of a lost connection of the session.
    pub fn take_orphans(&mut self, tag: u64) -> Vec<Token> {
        match &mut self.link {
            Link::Iscsi(link) => link.take_orphans(tag),
            _ => Vec::new(),
        }
    }

    /// The iSCSI session, where there is one; `reactor` is the one that it belongs to.
    pub fn session(&self, reactor: usize) -> Option<SessionStatus> {
        match &self.link {
            Link::Iscsi(link) => Some(SessionStatus {
                nexus: self.nexus.id,
                ..link.status()
            }),
            // One that is on its way out does not come back.
            _ if self.is_ending() => None,
            _ => self.session_to_be(reactor),
        }
    }

    /// The session of a nexus that is down: as it is configured and will log in, without a connection.
    fn session_to_be(&self, reactor: usize) -> Option<SessionStatus> {
        let NexusSpec::Iscsi(spec) = &self.nexus.spec else {
            return None;
        };
        let connection = |(cid, c): (usize, &ConnectionSpec)| ConnectionStatus {
            cid: cid as u16,
            state: MemberState::Waiting,
            reason: self.reason.clone(),
            source: String::new(),
            portal: spec.endpoint_of(c).portal(),
            outstanding: 0,
            weight: c.weight,
            primary: c.primary,
        };
        let all = spec.connections.iter().enumerate().map(connection);
        Some(SessionStatus {
            nexus: self.nexus.id,
            target_name: spec.target_name.clone(),
            isid: isid(self.nexus.id, reactor),
            tsih: 0,
            policy: spec.policy,
            max_connections: 1,
            connections: all.collect(),
        })
    }

    /// Policy and connections that the session logs in with, the next time.
    pub fn session_plan(&self) -> Option<(ConnectionPolicy, &[ConnectionSpec])> {
        match &self.nexus.spec {
            NexusSpec::Iscsi(spec) => Some((spec.policy, &spec.connections)),
            _ => None,
        }
    }

    /// What the session is configured as, for the next login, and the session that is up.
    fn iscsi(&mut self) -> Result<(&mut IscsiSpec, &mut IscsiLink), SessionError> {
        let NexusSpec::Iscsi(spec) = &mut self.nexus.spec else {
            return Err(SessionError::NotIscsi);
        };
        match (&mut self.link, &self.reason) {
            (Link::Iscsi(link), _) if self.state == State::Up => Ok((spec, link)),
            (_, reason) => {
                let why = reason
                    .as_ref()
                    .map_or("logging in".to_owned(), ToString::to_string);
                Err(SessionError::Down(why))
            }
        }
    }

    /// Changes how commands are spread over the connections of the session; settings not named stay.
    ///
    /// # Errors
    /// There is no session, or no such connection; then nothing was changed.
    pub fn set_connection_policy(
        &mut self,
        policy: ConnectionPolicy,
        settings: &[ConnectionSetting],
    ) -> Result<(), SessionError> {
        let (spec, link) = self.iscsi()?;
        let known = link.status().connections;
        let unknown = |s: &&ConnectionSetting| !known.iter().any(|c| c.cid == s.cid);
        if let Some(s) = settings.iter().find(unknown) {
            return Err(SessionError::NoConnection(s.cid));
        }
        spec.policy = policy;
        link.set_policy(policy);
        for s in settings {
            link.set_connection(s.cid, s.weight, s.primary);
            let at = known.iter().position(|c| c.cid == s.cid);
            if let Some(c) = at.and_then(|at| spec.connections.get_mut(at)) {
                c.weight = s.weight;
                c.primary = s.primary;
            }
        }
        Ok(())
    }

    /// Adds a connection to the session; its CID. It stays over logins.
    ///
    /// # Errors
    /// There is no session, or it has too many.
    pub fn add_connection(&mut self, c: ConnectionSpec, now: Time) -> Result<u16, SessionError> {
        let (spec, link) = self.iscsi()?;
        let cid = link.add_connection(&c, now)?;
        // Places are taken anew; the list keeps their order.
        let before = link
            .status()
            .connections
            .iter()
            .filter(|k| k.cid < cid)
            .count();
        spec.connections
            .insert(before.min(spec.connections.len()), c);
        Ok(cid)
    }

    /// Takes a connection out of the session, in order, for good.
    ///
    /// # Errors
    /// There is no session, no such connection, or no other that is up.
    pub fn remove_connection(&mut self, cid: u16, now: Time) -> Result<(), SessionError> {
        let (spec, link) = self.iscsi()?;
        let known = link.status().connections;
        let at = known.iter().position(|c| c.cid == cid);
        let at = at.ok_or(SessionError::NoConnection(cid))?;
        link.remove_connection(cid, now)?;
        if at < spec.connections.len() {
            spec.connections.remove(at);
        }
        Ok(())
    }

    pub fn next_deadline(&self) -> Time {
        match (&self.link, self.state) {
            (_, State::Idle | State::Backoff) => self.retry_at,
            (Link::Nvme(link), _) => link.next_deadline(),
            (Link::Iscsi(link), _) => link.next_deadline(),
            // What is done already must not wait out a sleep.
            (Link::Local(device), State::Up | State::Draining) if device.must_poll() => Time::ZERO,
            _ => Time::NEVER,
        }
    }

    pub fn fds(&self, out: &mut Vec<(std::os::fd::RawFd, bool)>) {
        match &self.link {
            Link::Nvme(link) => link.fds(out),
            Link::Iscsi(link) => link.fds(out),
            Link::Local(d) => out.extend(d.fd().map(|fd| (fd, false))),
            Link::None => {}
        }
    }

    pub fn copied_bytes_large(&self) -> u64 {
        match &self.link {
            Link::Nvme(link) => link.copied_bytes_large(),
            Link::Iscsi(link) => link.copied_bytes_large(),
            _ => 0,
        }
    }
}

/// A local device as a unit: always accessible, and nothing to choose between.
fn local_unit(device: &LocalDevice) -> Unit {
    let u = device.unit();
    Unit {
        nsid: 1,
        identity: u.identity.clone(),
        block_size: u.block_size,
        blocks: u.blocks,
        max_transfer: u32::MAX,
        volatile_cache: u.volatile_cache,
        discard: u.discard,
        write_zeroes: u.write_zeroes,
        compare: u.compare,
        compare_and_write: u.compare,
        group: 0,
        access: AccessState::Optimized,
        access_raw: 0,
        asymmetric: false,
        hardware: Hardware::default(),
    }
}
