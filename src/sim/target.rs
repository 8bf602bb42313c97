//! The target process of the simulated world: the embedded target over a LUN in memory. It can be
//! ended and started again; the memory survives.

use super::content::BLOCK;
use super::faults::{Ana, Link};
use super::host::CHAP;
use super::swarm::{Protocol, Setup};
use crate::base::clock::Time;
use crate::base::rng::derive;
use crate::front::iscsi;
use crate::front::nvme_tcp::{
    Fault, PortalConfig, PortalId, SubsystemConfig, Target, TargetConfig,
};
use crate::lun::channel::LunSettings;
use crate::lun::plane::{ChannelId, PathToOpen, Plane};
use crate::path::access::AccessState;
use crate::path::dialer::Dialer;
use crate::path::identity::Identity;
use crate::path::local::{LocalDevice, MemDevice};
use crate::path::nvme_link::HostIdentity;
use crate::path::url::PathSpec;
use crate::proto::iscsi::chap::{Credentials, Secret};
use crate::proto::nvme::controller::{AnaState, Limits};
use crate::sys::store::Store;
use crate::transport::listener::Listener;
use crate::transport::pipe::PipeNet;
use std::sync::Arc;

/// The subsystem that all portals lead to.
pub const SUBSYSTEM: &str = "nqn.2026-01.org.umpio:sim";

/// The iSCSI target that all portals lead to.
pub const TARGET: &str = "iqn.2026-01.org.umpio:sim";
/// Another one, whose units have the serial numbers of the first one's.
pub const LOOKALIKE: &str = "iqn.2026-01.org.umpio:alike";
pub const LOOKALIKE_ADDRESS: &str = "alike:3260";
const LOOKALIKE_GROUP: u16 = 0x1000;

/// A running target process: both protocols over the same LUNs.
#[derive(Debug)]
struct Process {
    plane: Plane,
    target: Target,
    iscsi: iscsi::Target,
}

/// Where a portal is in the target of its protocol.
#[derive(Copy, Clone, Debug)]
enum Place {
    Nvme(PortalId),
    /// The first of its connections' places, which follow one another.
    Iscsi(usize),
}

/// The target: what survives a restart, and the process while it runs.
#[derive(Debug)]
pub struct TargetActor {
    net: PipeNet,
    setup: Setup,
    portals: usize,
    places: Vec<Place>,
    limits: Limits,
    seed: u64,
    disks: Vec<LocalDevice>,
    stores: Vec<Arc<Store>>,
    /// Units with the serial numbers of these, and other designators.
    alike: Vec<(LocalDevice, Identity, Arc<Store>)>,
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
        let mut alike = Vec::new();
        for lun in 0..setup.luns {
            let uuid = uuid::Uuid::from_u64_pair(derive(setup.seed, 0xD15C), lun as u64 + 1);
            let disk = MemDevice::new(setup.blocks * BLOCK as u64, Some(uuid))
                .expect("a few KiB can be had");
            stores.push(disk.store().clone());
            disks.push(LocalDevice::Mem(disk));
            if setup.lookalike {
                let disk = MemDevice::new(setup.blocks * BLOCK as u64, None)
                    .expect("a few KiB can be had");
                // The same bytes, which make the same serial number, in a designator of another
                // type.
                let identity = Identity {
                    nguid: Some(uuid.into_bytes()),
                    ..Identity::default()
                };
                let store = disk.store().clone();
                alike.push((LocalDevice::Mem(disk), identity, store));
            }
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
            setup: setup.clone(),
            portals,
            places: Vec::new(),
            limits,
            seed: setup.seed,
            disks,
            stores,
            alike,
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
        let mut iscsi = iscsi::Target::new(iscsi::TargetConfig {
            chap: chap(&self.setup),
            ..iscsi::TargetConfig::default()
        });
        self.places.clear();
        let mut iscsi_portals = 0;
        for portal in 0..self.portals {
            let listen = |connection| {
                let link = Link { portal, connection };
                Listener::pipe(&self.net, &self.setup.address_of(link))
            };
            self.places.push(match self.setup.protocol(portal) {
                Protocol::NvmeTcp => Place::Nvme(target.add_portal(PortalConfig {
                    group: portal as u32 + 1,
                    access: ana(self.access[portal]),
                    limits: self.limits.clone(),
                    ..PortalConfig::new(listen(0))
                })),
                Protocol::Iscsi => {
                    // What the connections of a session go to is one portal group.
                    for connection in 0..self.setup.connections_of(portal) {
                        let config = iscsi::PortalConfig {
                            listener: listen(connection),
                            target: TARGET.to_owned(),
                            group: portal as u16 + 1,
                            access: alua(portal, self.access[portal]),
                        };
                        iscsi.add_portal(config).expect("a good name");
                    }
                    let first = iscsi_portals;
                    iscsi_portals += self.setup.connections_of(portal);
                    Place::Iscsi(first)
                }
            });
        }
        target
            .add_subsystem(SubsystemConfig::new(SUBSYSTEM))
            .expect("the first of that name");
        for (lun, disk) in self.disks.iter().enumerate() {
            let channel = open_disk(&mut plane, &format!("disk{lun}"), disk);
            let identity = disk.unit().identity.clone();
            let port = plane.open_port(channel);
            target
                .add_namespace(SUBSYSTEM, lun as u32 + 1, port, &identity, &plane)
                .expect("the first of that number");
            let port = plane.open_port(channel);
            iscsi
                .add_lun(TARGET, lun as u16, port, &identity, &plane)
                .expect("the first of that number");
        }
        if !self.alike.is_empty() {
            let config = iscsi::PortalConfig {
                listener: Listener::pipe(&self.net, LOOKALIKE_ADDRESS),
                target: LOOKALIKE.to_owned(),
                group: LOOKALIKE_GROUP,
                access: AccessState::Optimized,
            };
            iscsi.add_portal(config).expect("a good name");
        }
        for (lun, (disk, identity, _)) in self.alike.iter().enumerate() {
            let channel = open_disk(&mut plane, &format!("alike{lun}"), disk);
            let port = plane.open_port(channel);
            iscsi
                .add_lun(LOOKALIKE, lun as u16, port, identity, &plane)
                .expect("the first of that number");
        }
        self.process = Some(Process {
            plane,
            target,
            iscsi,
        });
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
        worked |= p.iscsi.poll(&mut p.plane, now);
        worked |= p.plane.flush(now);
        worked
    }

    pub fn next_deadline(&self) -> Time {
        let Some(p) = &self.process else {
            return Time::NEVER;
        };
        let target = p.target.next_deadline().unwrap_or(Time::NEVER);
        let iscsi = p.iscsi.next_deadline().unwrap_or(Time::NEVER);
        target.min(iscsi).min(p.plane.next_deadline())
    }

    pub fn set_access(&mut self, portal: usize, state: Ana) {
        self.access[portal] = state;
        if let Some(p) = &mut self.process {
            match self.places[portal] {
                Place::Nvme(_) => p
                    .target
                    .set_access(portal as u32 + 1, ana(state))
                    .expect("every portal is a group of its own"),
                Place::Iscsi(_) => p
                    .iscsi
                    .set_access(portal as u16 + 1, alua(portal, state))
                    .expect("every portal is a group of its own"),
            }
        }
    }

    /// Keeps I/O commands that come over a link from being executed.
    pub fn keep(&mut self, link: Link, on: bool, now: Time) {
        if let Some(p) = &mut self.process {
            match self.places[link.portal] {
                Place::Nvme(id) => p
                    .target
                    .set_fault(id, Fault::Hold(on), now)
                    .expect("the portal exists"),
                Place::Iscsi(first) => p
                    .iscsi
                    .set_fault(first + link.connection, Fault::Hold(on), now)
                    .expect("the portal exists"),
            }
        }
    }

    /// An initiator that is none of the hosts resets a LUN.
    pub fn reset_unit(&mut self, lun: usize) {
        if let Some(p) = &mut self.process {
            p.iscsi.reset_unit(TARGET, lun as u16);
        }
    }

    /// Controllers that it knows.
    pub fn controllers(&self, now: Time) -> usize {
        self.process
            .as_ref()
            .map_or(0, |p| p.target.status(now).controllers.len())
    }

    /// iSCSI sessions that it knows.
    pub fn sessions(&self) -> usize {
        self.process.as_ref().map_or(0, |p| p.iscsi.sessions())
    }

    /// Whether anything was ever written to a unit that only looks like a LUN.
    pub fn lookalike_written(&self) -> bool {
        let mut block = [0; BLOCK];
        self.alike.iter().any(|(.., store)| {
            (0..self.setup.blocks).any(|lba| {
                store.read(lba * BLOCK as u64, &mut block);
                block != [0; BLOCK]
            })
        })
    }

    /// A LUN's memory.
    pub fn memory(&self, lun: usize) -> &Store {
        &self.stores[lun]
    }
}

fn open_disk(plane: &mut Plane, name: &str, disk: &LocalDevice) -> ChannelId {
    let device = disk.share().expect("memory can be shared");
    let url = format!("mem:{}", device.unit().bytes());
    // The name keeps the disks apart: an equal URL would be the same nexus.
    let mut spec = PathSpec::parse(&url).expect("a URL of our own making");
    spec.nexus = crate::path::url::NexusSpec::Local(format!("{url}?disk={name}"));
    let path = PathToOpen {
        spec,
        local: Some(device),
        weight: 0,
    };
    plane.open(name, vec![path], None, LunSettings::default())
}

/// Who hosts must prove to be.
fn chap(setup: &Setup) -> Vec<Credentials> {
    let who = Credentials {
        name: CHAP.0.to_owned(),
        secret: Secret::new(CHAP.1).expect("short enough"),
    };
    setup.iscsi.chap.then_some(who).into_iter().collect()
}

/// ANA has no standby; every second portal refuses I/O by it.
const fn alua(portal: usize, state: Ana) -> AccessState {
    match state {
        Ana::Optimized => AccessState::Optimized,
        Ana::NonOptimized => AccessState::NonOptimized,
        Ana::Inaccessible if portal % 2 == 1 => AccessState::Standby,
        Ana::Inaccessible => AccessState::Unavailable,
        Ana::Transition => AccessState::Transitioning,
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
