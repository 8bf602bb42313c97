//! Subsystems with their namespaces, and the controllers in them.

use super::TargetError;
use super::connection::Place;
use super::teardown::EndReason;
use crate::base::clock::Time;
use crate::lun::port::{Geometry, PortId};
use crate::path::identity::Identity;
use crate::proto::nvme::CrossControllerReset;
use crate::proto::nvme::controller::{Controller, NamespaceInfo, SubsystemInfo};
use crate::proto::nvme::nqn::DISCOVERY_NQN;
use std::collections::BTreeMap;

/// How a subsystem is set up.
#[derive(Clone, Debug)]
pub struct SubsystemConfig {
    pub nqn: String,
    pub serial: String,
    pub model: String,
    /// Hosts that may connect; empty: all.
    pub hosts: Vec<String>,
}

impl SubsystemConfig {
    pub fn new(nqn: &str) -> Self {
        Self {
            nqn: nqn.to_owned(),
            serial: "UMPIO0000001".to_owned(),
            model: "umpio NVMe/TCP target".to_owned(),
            hosts: Vec::new(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Subsystem {
    pub(super) info: SubsystemInfo,
    pub(super) hosts: Vec<String>,
    /// Sorted by NSID; `ports` goes with it, index by index.
    pub(super) namespaces: Vec<NamespaceInfo>,
    pub(super) ports: Vec<PortId>,
    /// Last id given to a controller of the dynamic model.
    pub(super) last_id: u16,
    /// Instance uniquifier last used with each id.
    pub(super) uniquifiers: BTreeMap<u16, u8>,
}

impl Subsystem {
    pub(super) fn new(config: SubsystemConfig) -> Self {
        Self {
            info: SubsystemInfo {
                nqn: config.nqn,
                serial: config.serial,
                model: config.model,
                firmware: env!("CARGO_PKG_VERSION").to_owned(),
                discovery: false,
            },
            hosts: config.hosts,
            namespaces: Vec::new(),
            ports: Vec::new(),
            last_id: 0,
            uniquifiers: BTreeMap::new(),
        }
    }

    pub(super) fn discovery() -> Self {
        let mut s = Self::new(SubsystemConfig::new(DISCOVERY_NQN));
        s.info.discovery = true;
        s
    }

    pub(super) fn add(
        &mut self,
        nsid: u32,
        port: PortId,
        identity: &Identity,
        geometry: Option<Geometry>,
    ) -> Result<(), TargetError> {
        let Err(at) = self.namespaces.binary_search_by_key(&nsid, |n| n.nsid) else {
            return Err(TargetError::NamespaceExists(nsid));
        };
        let mut info = NamespaceInfo {
            nsid,
            ana_group: 1,
            uuid: identity.uuid,
            nguid: identity.nguid,
            eui64: identity.eui64,
            ..NamespaceInfo::default()
        };
        refresh(&mut info, geometry);
        self.namespaces.insert(at, info);
        self.ports.insert(at, port);
        Ok(())
    }

    pub(super) fn remove(&mut self, nsid: u32) -> Result<(), TargetError> {
        let at = self.find(nsid).ok_or(TargetError::NoNamespace(nsid))?;
        self.namespaces.remove(at);
        self.ports.remove(at);
        Ok(())
    }

    pub(super) fn set_ana_group(&mut self, nsid: u32, group: u32) -> Result<(), TargetError> {
        let at = self.find(nsid).ok_or(TargetError::NoNamespace(nsid))?;
        self.namespaces[at].ana_group = group;
        Ok(())
    }

    /// Index of a namespace.
    #[inline]
    pub(super) fn find(&self, nsid: u32) -> Option<usize> {
        // NSIDs mostly count from 1 without gaps.
        let guess = (nsid as usize).wrapping_sub(1);
        if self.namespaces.get(guess).is_some_and(|n| n.nsid == nsid) {
            return Some(guess);
        }
        self.namespaces.binary_search_by_key(&nsid, |n| n.nsid).ok()
    }
}

/// Takes over what a port says of its LUN; true when something changed.
pub(super) fn refresh(info: &mut NamespaceInfo, geometry: Option<Geometry>) -> bool {
    let before = info.clone();
    match geometry {
        Some(g) => {
            info.blocks = g.blocks;
            info.block_shift = g.block_size.trailing_zeros() as u8;
            info.volatile_cache = g.volatile_cache;
            info.discard = g.discard;
            info.write_zeroes = g.write_zeroes;
            info.compare = g.compare;
            // An identity given to the target wins over the LUN's own.
            info.uuid = info.uuid.or(g.identity.uuid);
            info.nguid = info.nguid.or(g.identity.nguid);
            info.eui64 = info.eui64.or(g.identity.eui64);
        }
        None => info.blocks = 0,
    }
    *info != before
}

/// A controller in its subsystem.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) controller: Controller,
    pub(super) subsystem: usize,
    pub(super) portal: usize,
    /// Its admin queue.
    pub(super) admin: Place,
    /// Its I/O queues: queue id and connection.
    pub(super) queues: Vec<(u16, usize)>,
    pub(super) ending: Option<EndReason>,
    /// When commands that are held for it must be discarded, once it is ending.
    pub(super) discard_at: Time,
}

impl Member {
    /// How a cross-controller reset names it.
    pub(super) fn impacted(&self) -> CrossControllerReset {
        let i = &self.controller.instance;
        CrossControllerReset {
            icid: i.cntlid,
            ciu: i.ciu,
            cirn: i.cirn,
        }
    }

    pub(super) fn deadline(&self) -> Time {
        if self.ending.is_some() {
            self.discard_at
        } else {
            self.controller.deadline()
        }
    }
}

/// A cross-controller reset that has not been answered.
#[derive(Debug)]
pub(super) struct PendingReset {
    pub(super) which: CrossControllerReset,
    pub(super) subsystem: usize,
    /// Controller and slot that asked.
    pub(super) asker: usize,
    pub(super) place: Place,
    pub(super) slot: u16,
    pub(super) since: Time,
}
