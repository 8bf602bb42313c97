//! Faults of a portal, and what a target looks like from outside.
//!
//! Faults sit between the target and its `Ports` and around its turns, so that the target itself
//! knows nothing of them.

use super::{Target, TargetError};
use crate::base::clock::Time;
use crate::base::request::Token;
pub use crate::front::fault::Fault;
use crate::front::fault::Faults;
use crate::lun::port::{Geometry, PortId, Ports};
use crate::path::access::AccessState;
use std::collections::VecDeque;
use std::time::Duration;

/// What faults have in their hands.
#[derive(Debug, Default)]
pub(super) struct Tampering {
    /// By portal.
    faults: Vec<Faults>,
    /// Some portal has a fault, or had one whose requests are still here.
    on: bool,
    /// Requests not yet handed in, with the portal that holds them.
    held: Vec<(usize, PortId, Token)>,
    /// Requests that are back, and when their connection may know.
    late: VecDeque<(Time, Token)>,
}

impl Tampering {
    pub(super) fn at(&self, portal: usize) -> Faults {
        self.faults.get(portal).copied().unwrap_or_default()
    }

    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// When an answer that is late is due.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.late.front().map(|(at, _)| *at)
    }

    /// `held`: some connection has commands that are held.
    fn look(&mut self, held: bool) {
        let any = self.faults.iter().any(|f| *f != Faults::default());
        self.on = any || held || !self.held.is_empty() || !self.late.is_empty();
    }
}

/// Keeps what is handed in for connections whose portal holds it. A connection that is worked on may
/// bring forward commands of another one of its session, so what counts is whose a request is.
struct Holding<'a, P> {
    ports: &'a mut P,
    /// By connection: the portal where it holds.
    holds: &'a [Option<usize>],
    held: &'a mut Vec<(usize, PortId, Token)>,
}

impl<P: Ports> Ports for Holding<'_, P> {
    fn geometry(&self, port: PortId) -> Option<Geometry> {
        self.ports.geometry(port)
    }

    fn take(&mut self) -> Token {
        self.ports.take()
    }

    fn recycle(&mut self, token: Token) {
        self.ports.recycle(token);
    }

    fn submit(&mut self, port: PortId, token: Token) {
        let index = (token.user >> 16) as usize;
        match self.holds.get(index).copied().flatten() {
            Some(portal) => self.held.push((portal, port, token)),
            None => self.ports.submit(port, token),
        }
    }

    fn completions(&mut self, port: PortId, out: &mut Vec<Token>) {
        self.ports.completions(port, out);
    }
}

/// Gives back later what came back.
struct Late<'a, P> {
    ports: &'a mut P,
    /// By connection.
    delays: &'a [Duration],
    late: &'a mut VecDeque<(Time, Token)>,
    now: Time,
}

impl<P: Ports> Ports for Late<'_, P> {
    fn geometry(&self, port: PortId) -> Option<Geometry> {
        self.ports.geometry(port)
    }

    fn take(&mut self) -> Token {
        self.ports.take()
    }

    fn recycle(&mut self, token: Token) {
        self.ports.recycle(token);
    }

    fn submit(&mut self, port: PortId, token: Token) {
        self.ports.submit(port, token);
    }

    fn completions(&mut self, port: PortId, out: &mut Vec<Token>) {
        let start = out.len();
        self.ports.completions(port, out);
        for token in out.split_off(start) {
            let index = (token.user >> 16) as usize;
            let delay = self.delays.get(index).copied().unwrap_or_default();
            let at = self.now + delay;
            let place = self.late.partition_point(|(other, _)| *other <= at);
            self.late.insert(place, (at, token));
        }
        while self.late.front().is_some_and(|(at, _)| *at <= self.now) {
            out.extend(self.late.pop_front().map(|(_, token)| token));
        }
    }
}

impl Target {
    /// Switches a fault at the portal of that number.
    pub fn set_fault(
        &mut self,
        portal: usize,
        fault: Fault,
        _now: Time,
    ) -> Result<(), TargetError> {
        if portal >= self.portals.len() {
            return Err(TargetError::NoPortal(portal));
        }
        let all = self.portals.len();
        let t = &mut self.tampering;
        t.faults.resize(all, Faults::default());
        let faults = &mut t.faults[portal];
        match fault {
            Fault::None => *faults = Faults::default(),
            Fault::Drop(on) => faults.drop = on,
            Fault::Delay(by) => faults.delay = by,
            Fault::Hold(on) => faults.hold = on,
            Fault::Refuse(on) => faults.refuse = on,
            Fault::BusyGroups(on) => faults.busy_groups = on,
            Fault::RefuseGroups(on) => faults.refuse_groups = on,
            Fault::HoldGroups(on) => faults.hold_groups = on,
            Fault::Reset => {}
        }
        self.look();
        match fault {
            Fault::Reset => self.reset_portal(portal),
            Fault::Refuse(true) => self.portals[portal].listener.shut(),
            Fault::Refuse(false) | Fault::None => {
                let open = self.portals[portal].listener.reopen();
                open.map_err(|e| TargetError::Listener(e.to_string()))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn look(&mut self) {
        let here = self.connections.iter().flatten();
        let held = here
            .filter(|c| c.link.is_some())
            .any(|c| !c.held.is_empty());
        self.tampering.look(held);
    }

    fn reset_portal(&mut self, portal: usize) {
        for index in 0..self.connections.len() {
            let here = self.connections[index].as_ref();
            if here.is_some_and(|c| c.portal == portal && c.link.is_some()) {
                self.close_at(index, "reset fault", true);
            }
        }
    }

    fn faults_of(&self, index: usize) -> Option<(usize, Faults)> {
        let c = self.connections[index].as_ref()?;
        Some((c.portal, self.tampering.at(c.portal)))
    }

    /// Nothing goes in or out of this connection, and no timer of it runs.
    pub(super) fn is_dropped(&self, index: usize) -> bool {
        self.tampering.on && self.faults_of(index).is_some_and(|(_, f)| f.drop)
    }

    /// A turn while there are faults.
    pub(super) fn poll_faulty<P: Ports>(&mut self, ports: &mut P, now: Time) -> bool {
        let mut work = self.release(ports);
        work |= self.release_groups(ports, now);
        work |= self.accept(now);
        work |= self.collect_late(ports, now);
        let hold = |index| {
            let (portal, faults) = self.faults_of(index)?;
            faults.hold.then_some(portal)
        };
        let holds: Vec<Option<usize>> = (0..self.connections.len()).map(hold).collect();
        let mut held = std::mem::take(&mut self.tampering.held);
        let mut holding = Holding {
            ports,
            holds: &holds,
            held: &mut held,
        };
        for index in 0..self.connections.len() {
            if self.faults_of(index).is_some_and(|(_, f)| !f.drop) {
                work |= self.receive(index, &mut holding, now);
            }
        }
        self.tampering.held = held;
        work |= self.collect_late(ports, now);
        for index in 0..self.connections.len() {
            if !self.is_dropped(index) {
                work |= self.send(index, now);
            }
        }
        self.look();
        work
    }

    /// Hands in what no portal holds any more.
    fn release<P: Ports>(&mut self, ports: &mut P) -> bool {
        let all = std::mem::take(&mut self.tampering.held);
        let before = all.len();
        for (portal, port, token) in all {
            if self.tampering.at(portal).hold {
                self.tampering.held.push((portal, port, token));
            } else {
                ports.submit(port, token);
            }
        }
        self.tampering.held.len() < before
    }

    fn collect_late<P: Ports>(&mut self, ports: &mut P, now: Time) -> bool {
        let delay = |index| {
            self.faults_of(index)
                .map_or(Duration::ZERO, |(_, f)| f.delay)
        };
        let delays: Vec<Duration> = (0..self.connections.len()).map(delay).collect();
        let mut late = std::mem::take(&mut self.tampering.late);
        let mut ports = Late {
            ports,
            delays: &delays,
            late: &mut late,
            now,
        };
        let work = self.collect(&mut ports, now);
        self.tampering.late = late;
        work
    }

    /// What it looks like now.
    pub fn status(&self) -> TargetStatus {
        let portal = |(n, p): (usize, &super::Portal)| {
            let here = self.connections.iter().flatten();
            let here = here.filter(|c| c.portal == n && c.link.is_some());
            PortalStatus {
                address: p.listener.address(),
                target: self.nodes[p.target].name.clone(),
                group: p.group,
                access: self.nodes[p.target].state(p.group),
                faults: self.tampering.at(n),
                connections: here.count(),
            }
        };
        let connection = |c: &super::Connection| ConnectionStatus {
            peer: c.peer.clone(),
            portal: c.portal,
            logged_in: c.logged_in,
            discovery: c.discovery,
            tsih: c
                .session
                .and_then(|at| self.sessions.get(at)?.as_ref())
                .map(|s| s.tsih),
            cid: c.cid,
            in_execution: c.in_execution,
        };
        let open = self.connections.iter().flatten();
        let held = open
            .clone()
            .filter(|c| c.link.is_some())
            .map(|c| c.held.len());
        TargetStatus {
            portals: self.portals.iter().enumerate().map(portal).collect(),
            connections: open
                .filter(|c| c.link.is_some())
                .map(|c| connection(c))
                .collect(),
            counters: self.counters,
            held: self.tampering.held.len() + held.sum::<usize>(),
        }
    }
}

/// A target as of now.
#[derive(Clone, Debug)]
pub struct TargetStatus {
    /// In the order they were added.
    pub portals: Vec<PortalStatus>,
    pub connections: Vec<ConnectionStatus>,
    pub counters: super::TargetCounters,
    /// Requests and commands that a fault holds.
    pub held: usize,
}

/// One of its portals.
#[derive(Clone, Debug)]
pub struct PortalStatus {
    pub address: String,
    pub target: String,
    pub group: u16,
    pub access: AccessState,
    pub faults: Faults,
    pub connections: usize,
}

/// One of its connections.
#[derive(Clone, Debug)]
pub struct ConnectionStatus {
    pub peer: String,
    pub portal: usize,
    pub logged_in: bool,
    pub discovery: bool,
    /// The session that it belongs to.
    pub tsih: Option<u16>,
    pub cid: u16,
    pub in_execution: u32,
}
