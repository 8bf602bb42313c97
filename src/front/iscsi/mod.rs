//! The embedded iSCSI target: serves LUNs of this reactor to other hosts.
//!
//! A [`Target`] is polled by whoever owns the reactor; I/O goes down through [`Ports`] as request
//! tokens, and payload is received into and sent from the buffers of those requests. Its parts:
//!
//! - `session`: targets, sessions, unit attentions, and what a login needs to know
//! - `connection`: one connection, its login and moving bytes
//! - `command`: SCSI commands, by way of the device server in `front::scsi`
//! - `hand`: a connection that is worked on, with the command numbers of its session
//! - [`fault`]: faults that can be switched at a portal
//! - `task`: task management, text
//! - `logout`: ends of connections and sessions
//!
//! A session has several connections where the initiator makes them (MaxConnections up to
//! [`SESSION_CONNECTIONS`]); ErrorRecoveryLevel 0. A connection that is lost ends its tasks and leaves
//! the session to the others; the session ends with its last connection.

mod command;
mod connection;
pub mod fault;
mod hand;
mod logout;
#[cfg(test)]
mod mcs_tests;
mod service;
mod session;
mod task;
#[cfg(test)]
mod tests;

use crate::base::clock::Time;
use crate::base::request::Token;
use crate::front::buffers::Buffers;
use crate::front::scsi::LogicalUnit;
use crate::lun::port::{PortId, Ports};
use crate::path::access::AccessState;
use crate::path::identity::Identity;
use crate::proto::iscsi::chap::Credentials;
use crate::proto::scsi::asc;
use crate::transport::Source;
use crate::transport::listener::{Listener, any_waiting};
use connection::Connection;
use session::{Session, TargetNode};
use std::os::fd::RawFd;
use std::time::Duration;

/// How often listeners are asked for new connections.
const ACCEPT_EVERY: Duration = Duration::from_micros(200);
/// How often units and logins are looked after.
const TIMERS_EVERY: Duration = Duration::from_millis(1);
/// A login must be over within this time.
const LOGIN_MAX: Duration = Duration::from_secs(10);

/// Connections that one session may have.
pub const SESSION_CONNECTIONS: u16 = 8;

/// What bounds a target.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    /// Connections at most; further ones are reset.
    pub connections: usize,
    /// Payload buffers lent to commands at most, in bytes; commands beyond it wait.
    pub buffer_bytes: usize,
    /// Who an initiator must prove to be; empty: anybody.
    pub chap: Vec<Credentials>,
    /// Who we are to an initiator that asks.
    pub ours: Option<Credentials>,
    /// Connections of one session (MaxConnections), 1 to [`SESSION_CONNECTIONS`].
    pub session_connections: u16,
}

impl Default for TargetConfig {
    fn default() -> Self {
        Self {
            connections: 1024,
            buffer_bytes: 256 << 20,
            chap: Vec::new(),
            ours: None,
            session_connections: SESSION_CONNECTIONS,
        }
    }
}

/// A configuration step that cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("'{0}' is no iSCSI name: it begins with iqn., eui. or naa.")]
    BadName(String),
    #[error("LUN {0} of that target is there already")]
    LunExists(u16),
    #[error("LUN {0} is not between 0 and 255")]
    BadLun(u16),
    #[error("no portal is in group {0}")]
    NoGroup(u16),
    #[error("there is no portal {0}")]
    NoPortal(usize),
    #[error("the portal cannot listen again: {0}")]
    Listener(String),
}

/// How a portal is set up.
#[derive(Debug)]
pub struct PortalConfig {
    pub listener: Listener,
    pub target: String,
    /// Target portal group tag, which is its target port group as well.
    pub group: u16,
    pub access: AccessState,
}

#[derive(Debug)]
struct Portal {
    listener: Listener,
    target: usize,
    group: u16,
    /// Where logins are sent on to, as TargetAddress, and whether for good.
    moved: Option<(String, bool)>,
}

/// What a target has counted since it was made.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetCounters {
    pub accepted: u64,
    pub refused_connections: u64,
    pub logins: u64,
    pub failed_logins: u64,
    pub commands: u64,
    pub io_errors: u64,
    pub protocol_errors: u64,
    pub starved: u64,
    pub aborted: u64,
}

/// The target. See the module's description.
#[derive(Debug)]
pub struct Target {
    config: TargetConfig,
    portals: Vec<Portal>,
    nodes: Vec<TargetNode>,
    sessions: Vec<Option<Session>>,
    last_tsih: u16,
    connections: Vec<Option<Box<Connection>>>,
    buffers: Buffers,
    /// Ports that I/O goes to, each once.
    io_ports: Vec<PortId>,
    in_execution: usize,
    done: Vec<Token>,
    /// Reused room for parameter data.
    page: Vec<u8>,
    next_accept: Time,
    next_timers: Time,
    counters: TargetCounters,
    tampering: fault::Tampering,
}

impl Target {
    pub fn new(config: TargetConfig) -> Self {
        Self {
            buffers: Buffers::new(config.buffer_bytes),
            config,
            portals: Vec::new(),
            nodes: Vec::new(),
            sessions: Vec::new(),
            last_tsih: 0,
            connections: Vec::new(),
            io_ports: Vec::new(),
            in_execution: 0,
            done: Vec::new(),
            page: Vec::new(),
            next_accept: Time::ZERO,
            next_timers: Time::ZERO,
            counters: TargetCounters::default(),
            tampering: fault::Tampering::default(),
        }
    }

    fn node(&mut self, name: &str) -> Result<usize, TargetError> {
        if let Some(at) = self.nodes.iter().position(|n| n.name == name) {
            return Ok(at);
        }
        let good = ["iqn.", "eui.", "naa."].iter().any(|p| name.starts_with(p));
        if !good || name.len() > 223 || !name.is_ascii() {
            return Err(TargetError::BadName(name.to_owned()));
        }
        self.nodes.push(TargetNode::new(name));
        Ok(self.nodes.len() - 1)
    }

    /// Puts the LUN behind a port into a target, which is made where it is new.
    pub fn add_lun<P: Ports>(
        &mut self,
        target: &str,
        lun: u16,
        port: PortId,
        identity: &Identity,
        ports: &P,
    ) -> Result<(), TargetError> {
        if lun > 255 {
            return Err(TargetError::BadLun(lun));
        }
        let at = self.node(target)?;
        let node = &mut self.nodes[at];
        if node.units.iter().any(|u| u.lun == lun) {
            return Err(TargetError::LunExists(lun));
        }
        node.add_unit(LogicalUnit {
            lun,
            port,
            serial: session::serial(identity, lun),
            identity: identity.clone(),
            geometry: ports.geometry(port),
            descriptor_sense: false,
        });
        self.tell(at, None, None, asc::LUNS_CHANGED);
        if !self.io_ports.contains(&port) {
            self.io_ports.push(port);
        }
        Ok(())
    }

    /// The ports whose completions this target takes: nobody else may.
    pub(crate) fn io_ports(&self) -> &[PortId] {
        &self.io_ports
    }

    /// Opens a portal; returns where it listens. A group's state is what its first portal said.
    pub fn add_portal(&mut self, config: PortalConfig) -> Result<String, TargetError> {
        let target = self.node(&config.target)?;
        self.nodes[target].group(config.group, config.access);
        let address = config.listener.address();
        self.portals.push(Portal {
            listener: config.listener,
            target,
            group: config.group,
            moved: None,
        });
        Ok(address)
    }

    /// Sends the logins at a portal on to another one (RFC 7143, 11.13.5): TargetAddress, and whether
    /// for good. None: it serves them itself.
    pub fn set_moved(
        &mut self,
        portal: usize,
        to: Option<(String, bool)>,
    ) -> Result<(), TargetError> {
        let p = self.portals.get_mut(portal);
        p.ok_or(TargetError::NoPortal(portal))?.moved = to;
        Ok(())
    }

    /// Changes the state of a port group in all targets that have it, and tells the hosts.
    pub fn set_access(&mut self, group: u16, state: AccessState) -> Result<(), TargetError> {
        let mut any = false;
        for at in 0..self.nodes.len() {
            any |= self.nodes[at].has_group(group);
            if self.nodes[at].set_group(group, state, 2) {
                self.tell(at, None, None, asc::ACCESS_STATE_CHANGED);
            }
        }
        if any {
            Ok(())
        } else {
            Err(TargetError::NoGroup(group))
        }
    }

    /// Raises a unit attention for all sessions of a target but one, on one unit or all.
    fn tell(&mut self, node: usize, lun: Option<u16>, but: Option<usize>, code: u16) {
        for (at, s) in self.sessions.iter_mut().enumerate() {
            let Some(s) = s else { continue };
            if s.node == node && Some(at) != but {
                match lun {
                    Some(lun) => s.attention(lun, code),
                    None => {
                        for u in &self.nodes[node].units {
                            s.attention(u.lun, code);
                        }
                    }
                }
            }
        }
    }

    pub fn counters(&self) -> &TargetCounters {
        &self.counters
    }

    /// Sessions that are up.
    pub fn sessions(&self) -> usize {
        let all = self.sessions.iter().flatten();
        all.filter(|s| !s.connections.is_empty()).count()
    }

    /// Does what there is to do; true when there was something.
    pub fn poll<P: Ports>(&mut self, ports: &mut P, now: Time) -> bool {
        let work = if self.tampering.is_on() {
            self.poll_faulty(ports, now)
        } else {
            self.turn(ports, now)
        };
        if now >= self.next_timers {
            self.next_timers = now + TIMERS_EVERY;
            self.timers(ports, now);
        }
        work
    }

    fn turn<P: Ports>(&mut self, ports: &mut P, now: Time) -> bool {
        let mut work = self.accept(now);
        work |= self.collect(ports, now);
        for index in 0..self.connections.len() {
            work |= self.receive(index, ports, now);
        }
        work |= self.collect(ports, now);
        for index in 0..self.connections.len() {
            work |= self.send(index, now);
        }
        work
    }

    /// When `poll` has something to do although nothing arrives.
    pub fn next_deadline(&self) -> Option<Time> {
        let waiting = |c: &Connection| {
            c.session.is_none()
                || !c.starved.is_empty()
                || !c.tasks.is_empty()
                || !c.logouts.is_empty()
        };
        self.connections
            .iter()
            .flatten()
            .any(|c| waiting(c))
            .then_some(self.next_timers)
            .into_iter()
            .chain(self.tampering.next_deadline())
            .min()
    }

    /// File descriptors to sleep on: readable when there is something to do, and true where there is
    /// when it is writable, because an answer did not fit.
    pub fn fds(&self, out: &mut Vec<(RawFd, bool)>) {
        let portals = self.portals.iter().filter_map(|p| p.listener.fd());
        out.extend(portals.map(|fd| (fd, false)));
        for c in self.connections.iter().flatten() {
            if let Some(link) = &c.link
                && let Some(fd) = link.fd()
            {
                out.push((fd, c.conn.has_output() || link.is_clogged()));
            }
        }
    }

    fn accept(&mut self, now: Time) -> bool {
        if now < self.next_accept {
            return false;
        }
        self.next_accept = now + ACCEPT_EVERY;
        if !any_waiting(self.portals.iter().map(|p| &p.listener)) {
            return false;
        }
        let mut work = false;
        for index in 0..self.portals.len() {
            if self.tampering.at(index).drop {
                continue;
            }
            while let Ok(Some(link)) = self.portals[index].listener.accept() {
                work = true;
                if self.connections.iter().flatten().count() >= self.config.connections {
                    self.counters.refused_connections += 1;
                    link.abort();
                    continue;
                }
                self.counters.accepted += 1;
                let free = self.connections.iter().position(Option::is_none);
                let at = free.unwrap_or(self.connections.len());
                for s in self.sessions.iter_mut().flatten() {
                    s.forget_index(at);
                }
                let group = self.portals[index].group;
                let allowed = (group, self.config.session_connections);
                let c = Some(Box::new(Connection::new(link, at, index, allowed, now)));
                match free {
                    Some(at) => self.connections[at] = c,
                    None => self.connections.push(c),
                }
            }
        }
        work
    }

    fn timers<P: Ports>(&mut self, ports: &P, now: Time) {
        for at in 0..self.nodes.len() {
            for u in 0..self.nodes[at].units.len() {
                let unit = &mut self.nodes[at].units[u];
                let geometry = ports.geometry(unit.port);
                if unit.geometry == geometry {
                    continue;
                }
                let size = |g: &Option<crate::lun::port::Geometry>| g.as_ref().map(|g| g.blocks);
                let resized = size(&unit.geometry) != size(&geometry) && unit.geometry.is_some();
                if let Some(g) = &geometry
                    && unit.identity.compare(&g.identity) == crate::path::identity::Match::Same
                {
                    unit.identity.learn(&g.identity);
                }
                unit.geometry = geometry;
                let lun = unit.lun;
                if resized {
                    self.tell(at, Some(lun), None, asc::CAPACITY_CHANGED);
                }
            }
        }
        self.reap();
        for index in 0..self.connections.len() {
            let late = self.connections[index]
                .as_ref()
                .is_some_and(|c| c.link.is_some() && !c.logged_in && now >= c.opened + LOGIN_MAX);
            if late && !self.is_dropped(index) {
                self.counters.failed_logins += 1;
                self.close_at(index, "no login in time", true);
            }
        }
    }
}
