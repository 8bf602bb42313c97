//! A portal: where hosts connect, which access states they are told there, and its faults.

use super::{Target, TargetError};
use crate::base::clock::Time;
pub use crate::front::fault::Fault;
use crate::front::fault::Faults;
use crate::proto::nvme::controller::{AnaState, Limits};
use crate::proto::nvme_tcp::controller::QueueConfig;
use crate::transport::Conn;
use crate::transport::listener::Listener;
use crate::transport::tcp::TcpOptions;
use std::io;
use std::net::SocketAddr;

/// A portal of a target, in the order they were added.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct PortalId(pub usize);

/// How a portal is set up.
#[derive(Debug)]
pub struct PortalConfig {
    pub listener: Listener,
    /// Port group: portals of one group have the same access states (`?group=N`).
    pub group: u32,
    /// Access state of all namespaces at first (`access=`).
    pub access: AnaState,
    /// What controllers reached by this portal offer; `capsule_data` counts for its queues too.
    pub limits: Limits,
    pub queue: QueueConfig,
}

impl PortalConfig {
    pub fn new(listener: Listener) -> Self {
        Self {
            listener,
            group: 1,
            access: AnaState::Optimized,
            limits: Limits::default(),
            queue: QueueConfig::default(),
        }
    }

    /// A portal at a TCP address, which is taken at once; port 0 takes a free one.
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn tcp(at: SocketAddr) -> io::Result<Self> {
        Listener::tcp(at, TcpOptions::default()).map(Self::new)
    }
}

#[derive(Debug)]
pub(super) struct Portal {
    pub(super) listener: Listener,
    pub(super) group: u32,
    pub(super) limits: Limits,
    pub(super) queue: QueueConfig,
    /// State of every ANA group, sorted by group.
    pub(super) access: Vec<(u32, AnaState)>,
    /// State of groups that come later.
    pub(super) default_access: AnaState,
    /// Every state allows I/O: the common case, decided in one look.
    pub(super) open: bool,
    pub(super) faults: Faults,
    /// Connections that ended while everything was dropped: their end must not be seen either.
    pub(super) silent: Vec<Conn>,
}

impl Portal {
    pub(super) fn new(config: PortalConfig) -> Self {
        let mut limits = config.limits;
        limits.capsule_data &= !15;
        limits.queue_entries = limits.queue_entries.clamp(2, 4000);
        limits.io_queues = limits.io_queues.max(1);
        limits.async_events = limits.async_events.clamp(1, 16);
        limits.kas = limits.kas.max(1);
        // On the wire 0 means that there is no limit, which is not what it means here.
        limits.mdts = limits.mdts.clamp(1, 13);
        let mut queue = config.queue;
        queue.capsule_data = limits.capsule_data;
        let mut p = Self {
            listener: config.listener,
            group: config.group,
            limits,
            queue,
            access: vec![(1, config.access)],
            default_access: config.access,
            open: false,
            faults: Faults::default(),
            silent: Vec::new(),
        };
        p.access_changed();
        p
    }

    /// The state of an ANA group, entered with the default when it is new.
    pub(super) fn access_of(&mut self, group: u32) -> &mut AnaState {
        let at = match self.access.binary_search_by_key(&group, |(g, _)| *g) {
            Ok(at) => at,
            Err(at) => {
                self.access.insert(at, (group, self.default_access));
                self.access_changed();
                at
            }
        };
        &mut self.access[at].1
    }

    pub(super) fn access_changed(&mut self) {
        self.open = self.access.iter().all(|(_, s)| s.refusal().is_none());
    }

    /// The status that I/O to a namespace of this group gets here, if it is refused.
    #[inline]
    pub(super) fn refusal(&self, group: u32) -> Option<u16> {
        if self.open {
            return None;
        }
        self.access
            .iter()
            .find(|(g, _)| *g == group)
            .and_then(|(_, s)| s.refusal())
    }
}

impl Target {
    /// Switches a fault.
    pub fn set_fault(
        &mut self,
        portal: PortalId,
        fault: Fault,
        now: Time,
    ) -> Result<(), TargetError> {
        let index = portal.0;
        let Some(p) = self.portals.get_mut(index) else {
            return Err(TargetError::NoPortal(index));
        };
        match fault {
            Fault::None => {
                let before = p.faults;
                p.faults = Faults::default();
                self.release |= before.hold;
                self.lift_drop(index);
                return self.refuse(index, false);
            }
            Fault::Drop(true) => p.faults.drop = true,
            Fault::Drop(false) => {
                p.faults.drop = false;
                self.lift_drop(index);
            }
            Fault::Delay(by) => p.faults.delay = by,
            Fault::Hold(on) => {
                self.release |= p.faults.hold && !on;
                p.faults.hold = on;
            }
            Fault::Reset => self.reset_portal(index, now),
            Fault::Refuse(on) => return self.refuse(index, on),
            Fault::BusyGroups(_) | Fault::RefuseGroups(_) | Fault::HoldGroups(_) => {
                return Err(TargetError::NoTargetPortGroups(index));
            }
        }
        Ok(())
    }

    fn lift_drop(&mut self, portal: usize) {
        for link in self.portals[portal].silent.drain(..) {
            link.abort();
        }
        self.wake();
    }

    fn refuse(&mut self, portal: usize, on: bool) -> Result<(), TargetError> {
        let p = &mut self.portals[portal];
        p.faults.refuse = on;
        if on {
            p.listener.shut();
            return Ok(());
        }
        p.listener
            .reopen()
            .map_err(|e| TargetError::Listener(e.to_string()))
    }
}
