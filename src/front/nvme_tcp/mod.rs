//! The embedded NVMe/TCP target: serves LUNs of this reactor to other hosts.
//!
//! A [`Target`] is polled by whoever owns the reactor and owns nothing but connections and
//! controllers; I/O goes down through [`Ports`] as request tokens. Its parts:
//!
//! - `portal`: where hosts connect, what they see there (ANA), and which faults are switched on
//! - `connection`: one connection and its commands
//! - `connect`: Fabrics Connect, making controllers
//! - `admin`, `io`: commands of the two kinds of queue
//! - `teardown`: how connections and controllers end, and what must not happen after
//! - `status`: the copied snapshot

mod admin;
mod connect;
mod connection;
mod discovery;
mod io;
mod portal;
mod service;
mod status;
mod subsystem;
mod teardown;
#[cfg(test)]
mod tests;

pub use portal::{Fault, PortalConfig, PortalId};
pub use status::{ConnectionStatus, ControllerStatus, PortalStatus, TargetCounters, TargetStatus};
pub use subsystem::SubsystemConfig;
pub use teardown::{CloseReason, EndReason};

use crate::base::clock::Time;
use crate::base::request::Token;
use crate::front::buffers::Buffers;
use crate::lun::port::{PortId, Ports};
use crate::path::identity::Identity;
use crate::proto::nvme::Nqn;
pub use crate::proto::nvme::controller::AnaState;
use crate::proto::nvme::controller::NSID_MAX;
use crate::transport::Source;
use crate::transport::listener::{Listener, any_waiting};
use connection::Connection;
use portal::Portal;
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::time::Duration;
use subsystem::{Member, PendingReset, Subsystem};

/// How often listeners are asked for new connections.
const ACCEPT_EVERY: Duration = Duration::from_micros(200);
/// How often timers of connections and controllers are looked at.
const TIMERS_EVERY: Duration = Duration::from_millis(1);
/// A connection without traffic for this long is looked at less often.
const IDLE_AFTER: Duration = Duration::from_millis(1);
/// How often such a connection is looked at: the price of a receive call that finds nothing is
/// not paid on every turn for queues that nobody uses.
const IDLE_EVERY: Duration = Duration::from_micros(20);
/// The same for admin queues, where nothing is urgent.
const ADMIN_EVERY: Duration = Duration::from_micros(100);
/// Ended connections remembered for status.
const CLOSED_KEPT: usize = 32;

/// What bounds a target.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    /// Connections at most; further ones are reset.
    pub connections: usize,
    /// Controllers of one subsystem at most; further Connects find it busy.
    pub controllers: usize,
    /// Payload buffers lent to commands at most, in bytes; commands beyond it wait.
    pub buffer_bytes: usize,
    /// A connection must send ICReq and Connect within this time.
    pub connect_timeout: Duration,
    /// A cross-controller reset that takes longer is answered as "in progress".
    pub reset_wait: Duration,
    /// Where the random numbers of controller instances come from.
    pub seed: u64,
}

impl Default for TargetConfig {
    fn default() -> Self {
        Self {
            connections: 1024,
            controllers: 128,
            buffer_bytes: 256 << 20,
            connect_timeout: Duration::from_secs(10),
            reset_wait: Duration::from_millis(500),
            seed: 1,
        }
    }
}

/// A configuration step that cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("subsystem '{0}' exists already")]
    SubsystemExists(String),
    #[error("there is no subsystem '{0}'")]
    NoSubsystem(String),
    #[error("'{0}' is no NVMe qualified name")]
    BadName(String),
    #[error("namespace id {0} is not between 1 and 1024")]
    BadNamespace(u32),
    #[error("namespace id {0} is in use")]
    NamespaceExists(u32),
    #[error("there is no namespace {0}")]
    NoNamespace(u32),
    #[error("there is no portal {0}")]
    NoPortal(usize),
    #[error("no portal is in group {0}")]
    NoGroup(u32),
    #[error("portal {0} is one of NVMe/TCP, which has no target port groups to be asked about")]
    NoTargetPortGroups(usize),
    #[error("{0}")]
    Listener(String),
}

/// The target. See the module's description.
#[derive(Debug)]
pub struct Target {
    config: TargetConfig,
    portals: Vec<Portal>,
    subsystems: Vec<Subsystem>,
    /// All controllers; an index stays valid as long as its controller does.
    members: Vec<Option<Box<Member>>>,
    /// All connections, those included that are closed and still have commands in execution.
    connections: Vec<Option<Box<Connection>>>,
    resets: Vec<PendingReset>,
    buffers: Buffers,
    /// Ports that I/O goes to, each once.
    io_ports: Vec<PortId>,
    /// Requests handed to `Ports` and not yet back.
    in_execution: usize,
    /// Reused list for what `Ports` gives back.
    done: Vec<Token>,
    /// Reused page for answers of admin commands.
    page: Vec<u8>,
    next_accept: Time,
    next_timers: Time,
    /// Something has happened to a controller: it may have an event to tell, or be ending.
    attention: bool,
    /// A controller or a reset waits for I/O to end.
    watching: bool,
    /// A hold was lifted: commands wait to be executed.
    release: bool,
    random: u64,
    epoch: u64,
    counters: TargetCounters,
    closed: VecDeque<(String, CloseReason)>,
}

impl Target {
    pub fn new(config: TargetConfig) -> Self {
        Self {
            buffers: Buffers::new(config.buffer_bytes),
            random: config.seed,
            config,
            portals: Vec::new(),
            subsystems: vec![Subsystem::discovery()],
            members: Vec::new(),
            connections: Vec::new(),
            resets: Vec::new(),
            io_ports: Vec::new(),
            in_execution: 0,
            done: Vec::new(),
            page: Vec::new(),
            next_accept: Time::ZERO,
            next_timers: Time::ZERO,
            attention: false,
            watching: false,
            release: false,
            epoch: 0,
            counters: TargetCounters::default(),
            closed: VecDeque::with_capacity(CLOSED_KEPT),
        }
    }

    /// Adds a subsystem, without namespaces.
    pub fn add_subsystem(&mut self, config: SubsystemConfig) -> Result<(), TargetError> {
        if self.subsystems.iter().any(|s| s.info.nqn == config.nqn) {
            return Err(TargetError::SubsystemExists(config.nqn));
        }
        if Nqn::new(&config.nqn).is_err() {
            return Err(TargetError::BadName(config.nqn));
        }
        self.subsystems.push(Subsystem::new(config));
        self.discovery_changed();
        Ok(())
    }

    /// Puts the LUN behind a port into a subsystem. Its size and abilities are asked of the port
    /// again and again, so it need not be known yet.
    pub fn add_namespace<P: Ports>(
        &mut self,
        subsystem: &str,
        nsid: u32,
        port: PortId,
        identity: &Identity,
        ports: &P,
    ) -> Result<(), TargetError> {
        if nsid == 0 || nsid > NSID_MAX {
            return Err(TargetError::BadNamespace(nsid));
        }
        let s = self.subsystem_mut(subsystem)?;
        s.add(nsid, port, identity, ports.geometry(port))?;
        if !self.io_ports.contains(&port) {
            self.io_ports.push(port);
        }
        self.namespace_changed(subsystem, nsid);
        Ok(())
    }

    /// The ports whose completions this target takes: nobody else may.
    pub(crate) fn io_ports(&self) -> &[PortId] {
        &self.io_ports
    }

    /// Takes a namespace out; commands in execution are let finish.
    pub fn remove_namespace(&mut self, subsystem: &str, nsid: u32) -> Result<(), TargetError> {
        self.subsystem_mut(subsystem)?.remove(nsid)?;
        self.namespace_changed(subsystem, nsid);
        Ok(())
    }

    /// Moves a namespace to another ANA group (it is in group 1 at first).
    pub fn set_ana_group(
        &mut self,
        subsystem: &str,
        nsid: u32,
        group: u32,
    ) -> Result<(), TargetError> {
        self.subsystem_mut(subsystem)?.set_ana_group(nsid, group)?;
        for p in &mut self.portals {
            p.access_of(group);
        }
        self.namespace_changed(subsystem, nsid);
        Ok(())
    }

    /// Opens a portal. Portals with the same group number share their access states.
    pub fn add_portal(&mut self, config: PortalConfig) -> PortalId {
        let id = PortalId(self.portals.len());
        let mut portal = Portal::new(config);
        // A group's state is what its first portal said.
        if let Some(other) = self.portals.iter().find(|p| p.group == portal.group) {
            portal.access.clone_from(&other.access);
        }
        for s in &self.subsystems {
            for ns in &s.namespaces {
                portal.access_of(ns.ana_group);
            }
        }
        self.portals.push(portal);
        self.discovery_changed();
        id
    }

    /// Changes the access state that a group of portals reports for all namespaces, and tells
    /// the hosts. I/O that arrives from now on is treated by the new state.
    pub fn set_access(&mut self, group: u32, state: AnaState) -> Result<(), TargetError> {
        self.change_access(group, |portal| {
            for (_, s) in &mut portal.access {
                *s = state;
            }
            portal.default_access = state;
        })
    }

    /// The same for the namespaces of one ANA group.
    pub fn set_access_of(
        &mut self,
        group: u32,
        ana_group: u32,
        state: AnaState,
    ) -> Result<(), TargetError> {
        self.change_access(group, |portal| *portal.access_of(ana_group) = state)
    }

    fn change_access(
        &mut self,
        group: u32,
        mut change: impl FnMut(&mut Portal),
    ) -> Result<(), TargetError> {
        let mut any = false;
        for (index, portal) in self.portals.iter_mut().enumerate() {
            if portal.group != group {
                continue;
            }
            any = true;
            let before = portal.access.clone();
            change(portal);
            portal.access_changed();
            if portal.access == before {
                continue;
            }
            for m in self.members.iter_mut().flatten() {
                if m.portal == index {
                    m.controller.ana_changed();
                }
            }
        }
        self.attention = true;
        if any {
            Ok(())
        } else {
            Err(TargetError::NoGroup(group))
        }
    }

    /// Where a portal listens: the address, with the port that was taken for port 0.
    pub fn portal_address(&self, portal: PortalId) -> Option<String> {
        Some(self.portals.get(portal.0)?.listener.address())
    }

    /// Does what there is to do; true when there was something.
    pub fn poll<P: Ports>(&mut self, ports: &mut P, now: Time) -> bool {
        let mut work = false;
        work |= self.accept(now);
        work |= self.collect(ports, now);
        for index in 0..self.connections.len() {
            work |= self.receive(index, ports, now);
        }
        if self.release {
            self.release = false;
            self.release_held(ports, now);
        }
        work |= self.collect(ports, now);
        if self.attention || self.watching {
            work |= self.attention;
            self.attend(now);
        }
        for index in 0..self.connections.len() {
            work |= self.send(index, now);
        }
        if now >= self.next_timers {
            self.next_timers = now + TIMERS_EVERY;
            work |= self.timers(ports, now);
        }
        work
    }

    /// When `poll` has something to do although nothing arrives.
    pub fn next_deadline(&self) -> Option<Time> {
        if self.attention || self.release {
            return Some(Time::ZERO);
        }
        let mut next = Time::NEVER;
        for m in self.members.iter().flatten() {
            next = next.min(m.deadline());
        }
        for c in self.connections.iter().flatten() {
            next = next.min(c.deadline(self.config.connect_timeout));
        }
        for r in &self.resets {
            next = next.min(r.since + self.config.reset_wait);
        }
        // Timers are looked at in intervals; answers under delay are not among them.
        if next != Time::NEVER {
            next = next.max(self.next_timers);
        }
        for c in self.connections.iter().flatten() {
            if let Some(d) = c.delayed.front() {
                next = next.min(d.at);
            }
        }
        (next != Time::NEVER).then_some(next)
    }

    /// File descriptors to sleep on: readable when there is something to do, and true where there is
    /// when it is writable, because an answer did not fit.
    pub fn fds(&self, out: &mut Vec<(RawFd, bool)>) {
        out.extend(
            self.portals
                .iter()
                .filter(|p| !p.faults.drop)
                .filter_map(|p| p.listener.fd().map(|fd| (fd, false))),
        );
        for c in self.connections.iter().flatten() {
            if !self.portals[c.portal].faults.drop
                && let Some(link) = &c.link
                && let Some(fd) = link.fd()
            {
                out.push((fd, c.queue.has_output() || link.is_clogged()));
            }
        }
    }

    /// Wakes up everything at the next `poll`: after a sleep, when there is no telling what came.
    pub fn wake(&mut self) {
        self.next_accept = Time::ZERO;
        for c in self.connections.iter_mut().flatten() {
            c.next_look = Time::ZERO;
        }
    }

    fn subsystem_mut(&mut self, nqn: &str) -> Result<&mut Subsystem, TargetError> {
        self.subsystems
            .iter_mut()
            .find(|s| s.info.nqn == nqn && !s.info.discovery)
            .ok_or_else(|| TargetError::NoSubsystem(nqn.to_owned()))
    }

    fn namespace_changed(&mut self, subsystem: &str, nsid: u32) {
        let index = self.subsystems.iter().position(|s| s.info.nqn == subsystem);
        for m in self.members.iter_mut().flatten() {
            if Some(m.subsystem) == index {
                m.controller.namespace_changed(nsid);
            }
        }
        self.attention = true;
    }

    fn accept(&mut self, now: Time) -> bool {
        let mut work = false;
        let due = now >= self.next_accept;
        if due {
            self.next_accept = now + ACCEPT_EVERY;
        }
        let due = due && any_waiting(self.portals.iter().map(|p| &p.listener));
        for index in 0..self.portals.len() {
            let portal = &mut self.portals[index];
            // Asking costs a system call, but for listeners in memory.
            let free = matches!(portal.listener, Listener::Pipe(_));
            if portal.faults.drop || !(due || free) {
                continue;
            }
            // An accept that fails says something of the connection, or passes; not of the portal.
            while let Ok(Some(link)) = portal.listener.accept() {
                work = true;
                let used = self.connections.iter().flatten().count();
                if used >= self.config.connections {
                    self.counters.refused_connections += 1;
                    link.abort();
                    continue;
                }
                self.counters.accepted += 1;
                self.epoch += 1;
                let c = Connection::new(link, index, portal.queue.clone(), self.epoch, now);
                let free = self.connections.iter().position(Option::is_none);
                match free {
                    Some(at) => self.connections[at] = Some(Box::new(c)),
                    None => self.connections.push(Some(Box::new(c))),
                }
            }
        }
        work
    }
}
