//! What can be asked of a served target while it runs.
//!
//! A [`TargetCommand`] is a thing that can be asked, a [`TargetAnswer`] what comes of it; neither
//! knows how it was written down (`rpc` and `json` do). A [`TargetHandle`] carries a command out
//! from any thread: the target and its I/O belong to a reactor, which does it between two turns.

mod assemble;
mod json;
mod rpc;
mod service;

pub use assemble::{Assembled, Chap, PortalSpec, Protocol, assemble};
pub use rpc::TargetRpc;
pub use service::{TargetHandle, TargetService, Targets};

use crate::base::clock::Time;
use crate::engine::reactor::HandleError;
use crate::front::fault::Fault;
use crate::front::iscsi;
use crate::front::nvme_tcp::{AnaState, PortalConfig, PortalId, TargetError, TargetStatus};
use crate::lun::plane::{ChannelId, Plane};
use crate::path::access::AccessState;
use crate::path::state::State;
use std::io;
use std::net::SocketAddr;

/// Portals of a target that commands can bring it to: none can be taken away again.
pub const PORTALS_MAX: usize = 64;

/// A command to a target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TargetCommand {
    /// Which methods are there?
    GetMethods,
    /// What does it look like now?
    Status,
    /// Changes the access state of all portals of a group, and tells the hosts.
    SetAccess { group: u32, state: AccessState },
    /// Switches a fault at a portal, by its number.
    SetFault { portal: usize, fault: Fault },
    /// Opens another NVMe/TCP portal. In a group that has portals already, it takes their state.
    AddPortal {
        at: SocketAddr,
        group: u32,
        access: AccessState,
    },
}

/// The portals of both targets, in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct Portals {
    all: Vec<PortalAt>,
    iscsi: usize,
}

/// Where a portal is to be found.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum PortalAt {
    Nvme(PortalId),
    /// By its number at the iSCSI target.
    Iscsi(usize),
}

impl Portals {
    fn add_nvme(&mut self, portal: PortalId) -> usize {
        self.all.push(PortalAt::Nvme(portal));
        self.all.len() - 1
    }

    fn add_iscsi(&mut self) -> usize {
        self.all.push(PortalAt::Iscsi(self.iscsi));
        self.iscsi += 1;
        self.all.len() - 1
    }
}

/// What came of a command.
#[derive(Clone, Debug)]
pub enum TargetAnswer {
    Methods(&'static [&'static str]),
    Status(Box<StatusAnswer>),
    Done,
    Portal { portal: usize, address: String },
}

/// Both targets, and what they serve.
#[derive(Clone, Debug)]
pub struct StatusAnswer {
    pub nvme: TargetStatus,
    pub iscsi: iscsi::fault::TargetStatus,
    pub portals: Portals,
    pub backing: BackingStatus,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Iscsi(#[from] iscsi::TargetError),
    #[error(transparent)]
    Reactor(#[from] HandleError),
    #[error("cannot listen at {at}: {source}")]
    Listen { at: SocketAddr, source: io::Error },
    #[error("a target has {PORTALS_MAX} portals at most")]
    Portals,
}

/// What is served, with the paths it is reached over.
#[derive(Clone, Debug)]
pub struct BackingStatus {
    pub lun: String,
    /// The policy in force, by name.
    pub policy: String,
    pub paths: Vec<BackingPath>,
}

/// One of these paths.
#[derive(Clone, Debug)]
pub struct BackingPath {
    pub url: String,
    pub nexus_id: u64,
    pub state: State,
    /// It carries I/O, or may.
    pub joined: bool,
    /// Why it does not.
    pub reason: Option<String>,
    pub access: AccessState,
    pub ios: u64,
    pub bytes: u64,
    pub errors: u64,
}

impl BackingStatus {
    /// Without histograms, which are large: this is copied in the midst of I/O.
    fn of(plane: &Plane, lun: ChannelId) -> Self {
        let channel = plane.channel(lun);
        let paths = channel.slots.iter().map(|slot| {
            let association = plane.paths.get(slot.association);
            let down = association.reason().map(ToString::to_string);
            BackingPath {
                url: slot.spec.url.clone(),
                nexus_id: association.nexus.id,
                state: association.state(),
                joined: slot.joined,
                // A path that works may still remember why it once did not.
                reason: down
                    .or_else(|| slot.refused.clone())
                    .filter(|_| !slot.joined),
                access: slot.access,
                ios: slot.stats.ios,
                bytes: slot.stats.bytes,
                errors: slot.stats.errors,
            }
        });
        Self {
            lun: channel.name.clone(),
            policy: channel.selector.policy().to_string(),
            paths: paths.collect(),
        }
    }
}

/// What ANA calls a state. It has no standby; the nearest thing refuses I/O as well.
pub(crate) const fn ana_of(state: AccessState) -> AnaState {
    match state {
        AccessState::Optimized => AnaState::Optimized,
        AccessState::NonOptimized => AnaState::NonOptimized,
        AccessState::Standby | AccessState::Unavailable => AnaState::Inaccessible,
        AccessState::Transitioning => AnaState::Change,
        AccessState::Lost => AnaState::PersistentLoss,
    }
}

impl Targets {
    /// Changes the state of a group wherever it has portals.
    fn set_access(&mut self, group: u32, state: AccessState) -> Result<(), TargetError> {
        let nvme = self.nvme.set_access(group, ana_of(state));
        let iscsi =
            u16::try_from(group).is_ok_and(|group| self.iscsi.set_access(group, state).is_ok());
        if iscsi { Ok(()) } else { nvme }
    }

    /// Switches a fault at the portal of that number.
    ///
    /// # Errors
    /// There is none, or it cannot listen again.
    pub fn set_fault(
        &mut self,
        portal: usize,
        fault: Fault,
        now: Time,
    ) -> Result<(), CommandError> {
        match self.portals.all.get(portal) {
            None => Err(TargetError::NoPortal(portal).into()),
            Some(PortalAt::Nvme(p)) => Ok(self.nvme.set_fault(*p, fault, now)?),
            Some(PortalAt::Iscsi(p)) => Ok(self.iscsi.set_fault(*p, fault, now)?),
        }
    }
}

impl TargetHandle {
    /// Carries a command out, and waits until the reactor has done it in its next turn.
    ///
    /// # Errors
    /// The target refuses it, or has stopped.
    pub fn run(&self, command: TargetCommand) -> Result<TargetAnswer, CommandError> {
        let lun = self.lun();
        match command {
            TargetCommand::GetMethods => Ok(TargetAnswer::Methods(rpc::METHODS)),
            TargetCommand::Status => {
                let status = self.ask(move |targets, plane, now| StatusAnswer {
                    nvme: targets.nvme.status(now),
                    iscsi: targets.iscsi.status(),
                    portals: targets.portals.clone(),
                    backing: BackingStatus::of(plane, lun),
                })?;
                Ok(TargetAnswer::Status(Box::new(status)))
            }
            TargetCommand::SetAccess { group, state } => {
                self.ask(move |targets, _, _| targets.set_access(group, state))??;
                Ok(TargetAnswer::Done)
            }
            TargetCommand::SetFault { portal, fault } => {
                self.ask(move |targets, _, now| targets.set_fault(portal, fault, now))??;
                Ok(TargetAnswer::Done)
            }
            TargetCommand::AddPortal { at, group, access } => self.add_portal(at, group, access),
        }
    }

    fn add_portal(
        &self,
        at: SocketAddr,
        group: u32,
        access: AccessState,
    ) -> Result<TargetAnswer, CommandError> {
        // The address is taken here: that may fail, and need not hold up a turn.
        let config = PortalConfig::tcp(at).map_err(|source| CommandError::Listen { at, source })?;
        let config = PortalConfig {
            group,
            access: ana_of(access),
            ..config
        };
        let add = move |targets: &mut Targets, _: &mut Plane, now: Time| {
            let target = &mut targets.nvme;
            if target.status(now).portals.len() >= PORTALS_MAX {
                return None;
            }
            let portal = target.add_portal(config);
            let address = target.portal_address(portal).unwrap_or_default();
            let portal = targets.portals.add_nvme(portal);
            Some(TargetAnswer::Portal { portal, address })
        };
        self.ask(add)?.ok_or(CommandError::Portals)
    }
}
