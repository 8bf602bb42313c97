//! The target process of the simulated world: the embedded target over a LUN in memory. It can be
//! ended and started again; the memory survives.

use super::content::BLOCK;
use super::faults::Ana;
use super::swarm::Setup;
use crate::base::clock::Time;
use crate::base::rng::derive;
use crate::front::nvme_tcp::{
    Fault, PortalConfig, PortalId, SubsystemConfig, Target, TargetConfig,
};
use crate::lun::channel::LunSettings;
use crate::lun::plane::{PathToOpen, Plane};
use crate::path::dialer::Dialer;
use crate::path::local::{LocalDevice, MemDevice};
use crate::path::nvme_link::HostIdentity;
use crate::path::url::PathSpec;
use crate::proto::nvme::controller::{AnaState, Limits};
use crate::sys::store::Store;
use crate::transport::listener::Listener;
use crate::transport::pipe::PipeNet;
use std::sync::Arc;

/// The subsystem that all portals lead to.
pub const SUBSYSTEM: &str = "nqn.2026-01.org.umpio:sim";

/// The address of a portal.
pub fn portal_address(portal: usize) -> String {
    format!("sim{portal}:4420")
}

/// A running target process.
#[derive(Debug)]
struct Process {
    plane: Plane,
    target: Target,
}

/// The target: what survives a restart, and the process while it runs.
#[derive(Debug)]
pub struct TargetActor {
    net: PipeNet,
    portals: usize,
    limits: Limits,
    seed: u64,
    disks: Vec<LocalDevice>,
    stores: Vec<Arc<Store>>,
    /// What the portals are told at a start.
    access: Vec<Ana>,
    starts: u64,
    process: Option<Process>,
}

impl TargetActor {
    pub fn new(setup: &Setup, net: &PipeNet, now: Time) -> Self {
        let portals = setup.portals + setup.spare;
        let mut disks = Vec::new();
        let mut stores = Vec::new();
        for lun in 0..setup.luns {
            let uuid = uuid::Uuid::from_u64_pair(derive(setup.seed, 0xD15C), lun as u64 + 1);
            let disk = MemDevice::new(setup.blocks * BLOCK as u64, Some(uuid))
                .expect("a few KiB can be had");
            stores.push(disk.store().clone());
            disks.push(LocalDevice::Mem(disk));
        }
        let limits = Limits {
            mdts: setup.mdts,
            capsule_data: setup.capsule_data,
            cqt_ms: setup.cqt_ms,
            ccr_limit: if setup.ccr { setup.ccr_limit } else { 0 },
            traffic_keep_alive: setup.traffic_keep_alive,
            ..Limits::default()
        };
        let mut actor = Self {
            net: net.clone(),
            portals,
            limits,
            seed: setup.seed,
            disks,
            stores,
            access: vec![Ana::Optimized; portals],
            starts: 0,
            process: None,
        };
        actor.start(now);
        actor
    }

    /// Starts the process, if it does not run.
    pub fn start(&mut self, now: Time) {
        if self.process.is_some() {
            return;
        }
        self.starts += 1;
        let seed = derive(self.seed, 0x7A26E7 + self.starts);
        let nobody = HostIdentity {
            nqn: "nqn.2026-01.org.umpio:sim-target".to_owned(),
            id: [0; 16],
            initiator_name: "iqn.2026-01.org.umpio:sim".to_owned(),
            reactor: 0,
        };
        let mut plane = Plane::new(Dialer::Pipe(self.net.clone()), nobody, seed, now);
        let mut target = Target::new(TargetConfig {
            seed,
            ..TargetConfig::default()
        });
        for portal in 0..self.portals {
            let listener = Listener::pipe(&self.net, &portal_address(portal));
            target.add_portal(PortalConfig {
                group: portal as u32 + 1,
                access: ana(self.access[portal]),
                limits: self.limits.clone(),
                ..PortalConfig::new(listener)
            });
        }
        target
            .add_subsystem(SubsystemConfig::new(SUBSYSTEM))
            .expect("the first of that name");
        for (lun, disk) in self.disks.iter().enumerate() {
            let device = disk.share().expect("memory can be shared");
            let identity = device.unit().identity.clone();
            let url = format!("mem:{}", device.unit().bytes());
            // The number keeps the disks apart: an equal URL would be the same nexus.
            let mut spec = PathSpec::parse(&url).expect("a URL of our own making");
            spec.nexus = crate::path::url::NexusSpec::Local(format!("{url}?disk={lun}"));
            let path = PathToOpen {
                spec,
                local: Some(device),
                weight: 0,
            };
            let channel = plane.open(
                &format!("disk{lun}"),
                vec![path],
                None,
                LunSettings::default(),
            );
            let port = plane.open_port(channel);
            target
                .add_namespace(SUBSYSTEM, lun as u32 + 1, port, &identity, &plane)
                .expect("the first of that number");
        }
        self.process = Some(Process { plane, target });
    }

    /// Ends the process: connections, controllers and commands are gone.
    pub fn stop(&mut self) {
        self.process = None;
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// One turn; whether anything was done.
    pub fn step(&mut self, now: Time) -> bool {
        let Some(p) = &mut self.process else {
            return false;
        };
        let mut worked = p.plane.poll(now);
        worked |= p.target.poll(&mut p.plane, now);
        worked |= p.plane.flush(now);
        worked
    }

    pub fn next_deadline(&self) -> Time {
        let Some(p) = &self.process else {
            return Time::NEVER;
        };
        let target = p.target.next_deadline().unwrap_or(Time::NEVER);
        target.min(p.plane.next_deadline())
    }

    pub fn set_access(&mut self, portal: usize, state: Ana) {
        self.access[portal] = state;
        if let Some(p) = &mut self.process {
            p.target
                .set_access(portal as u32 + 1, ana(state))
                .expect("every portal is a group of its own");
        }
    }

    /// Keeps I/O commands of a portal from being executed.
    pub fn keep(&mut self, portal: usize, on: bool, now: Time) {
        if let Some(p) = &mut self.process {
            p.target
                .set_fault(PortalId(portal), Fault::Hold(on), now)
                .expect("the portal exists");
        }
    }

    /// Controllers that it knows.
    pub fn controllers(&self, now: Time) -> usize {
        self.process
            .as_ref()
            .map_or(0, |p| p.target.status(now).controllers.len())
    }

    /// A LUN's memory.
    pub fn memory(&self, lun: usize) -> &Store {
        &self.stores[lun]
    }
}

const fn ana(state: Ana) -> AnaState {
    match state {
        Ana::Optimized => AnaState::Optimized,
        Ana::NonOptimized => AnaState::NonOptimized,
        Ana::Inaccessible => AnaState::Inaccessible,
        Ana::Transition => AnaState::Change,
    }
}
