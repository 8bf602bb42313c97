//! A copied snapshot of a target.

use super::Target;
use super::portal::PortalId;
use super::teardown::{CloseReason, EndReason};
use crate::proto::nvme::controller::AnaState;
use crate::proto::nvme_tcp::controller::QueueCounters;
use std::time::Duration;

/// What a target has counted since it was made.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetCounters {
    pub accepted: u64,
    pub refused_connections: u64,
    pub refused_connects: u64,
    pub refused_commands: u64,
    pub controllers_created: u64,
    pub keep_alive_timeouts: u64,
    pub cross_resets: u64,
    pub protocol_errors: u64,
    pub io_errors: u64,
    pub events: u64,
    /// Commands that a fault held, and those of them that were discarded.
    pub held: u64,
    pub discarded: u64,
    /// Commands that had to wait for a payload buffer.
    pub starved: u64,
    pub discovery_generation: u64,
}

/// A portal.
#[derive(Clone, Debug)]
pub struct PortalStatus {
    pub id: PortalId,
    pub address: String,
    pub group: u32,
    /// State of each ANA group.
    pub access: Vec<(u32, AnaState)>,
    pub dropping: bool,
    pub holding: bool,
    pub refusing: bool,
    pub delay: Duration,
    pub connections: usize,
}

/// A controller.
#[derive(Clone, Debug)]
pub struct ControllerStatus {
    pub cntlid: u16,
    pub subsystem: String,
    pub hostnqn: String,
    pub host_id: [u8; 16],
    pub portal: PortalId,
    pub io_queues: usize,
    pub kato: Duration,
    pub ready: bool,
    /// Why it is on its way out, if it is.
    pub ending: Option<EndReason>,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct ConnectionStatus {
    pub peer: String,
    pub portal: PortalId,
    /// Its controller, once Connect has come.
    pub cntlid: Option<u16>,
    pub qid: u16,
    /// False when it is closed and commands of it are still in execution or held.
    pub open: bool,
    pub in_execution: u32,
    pub held: usize,
    pub counters: QueueCounters,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct TargetStatus {
    pub portals: Vec<PortalStatus>,
    pub controllers: Vec<ControllerStatus>,
    pub connections: Vec<ConnectionStatus>,
    pub counters: TargetCounters,
    /// The last connections that were closed, oldest first: peer and reason.
    pub closed: Vec<(String, CloseReason)>,
    /// Payload bytes lent to commands.
    pub buffer_bytes: usize,
}

impl Target {
    pub fn status(&self, now: crate::base::clock::Time) -> TargetStatus {
        let conns = || self.connections.iter().flatten();
        TargetStatus {
            portals: self
                .portals
                .iter()
                .enumerate()
                .map(|(id, p)| PortalStatus {
                    id: PortalId(id),
                    address: p.listener.address(),
                    group: p.group,
                    access: p.access.clone(),
                    dropping: p.faults.drop,
                    holding: p.faults.hold,
                    refusing: p.faults.refuse,
                    delay: p.faults.delay,
                    connections: conns()
                        .filter(|c| c.portal == id && c.link.is_some())
                        .count(),
                })
                .collect(),
            controllers: self
                .members
                .iter()
                .flatten()
                .map(|m| ControllerStatus {
                    cntlid: m.controller.instance.cntlid,
                    subsystem: self.subsystems[m.subsystem].info.nqn.clone(),
                    hostnqn: m.controller.hostnqn.clone(),
                    host_id: m.controller.host_id,
                    portal: PortalId(m.portal),
                    io_queues: m.queues.len(),
                    kato: m.controller.kato(),
                    ready: m.controller.is_ready(now),
                    ending: m.ending,
                })
                .collect(),
            connections: conns()
                .map(|c| ConnectionStatus {
                    peer: c.peer.clone(),
                    portal: PortalId(c.portal),
                    cntlid: c
                        .member
                        .map(|at| self.member(at).controller.instance.cntlid),
                    qid: c.qid,
                    open: c.link.is_some(),
                    in_execution: c.in_execution,
                    held: c.held.len(),
                    counters: *c.queue.counters(),
                })
                .collect(),
            counters: self.counters,
            closed: self.closed.iter().cloned().collect(),
            buffer_bytes: self.buffers.lent(),
        }
    }
}
