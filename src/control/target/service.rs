//! A target on its reactor, and the handle that other threads have on it.

use super::Portals;
use crate::base::clock::Time;
use crate::engine::reactor::{Handle, HandleError, Service};
use crate::front::iscsi;
use crate::front::nvme_tcp;
use crate::lun::plane::{ChannelId, Plane};
use std::fmt;
use std::os::fd::RawFd;
use std::sync::mpsc::{Receiver, Sender, channel};

/// What one process serves a LUN by: either may have no portal.
#[derive(Debug)]
pub struct Targets {
    pub nvme: nvme_tcp::Target,
    pub iscsi: iscsi::Target,
    /// The portals of both, as they are numbered.
    pub portals: Portals,
}

/// Something to do on the target's thread.
type Order = Box<dyn FnOnce(&mut Targets, &mut Plane, Time) + Send>;

/// A target as a service of its reactor: does what was ordered, then turns.
pub struct TargetService {
    targets: Targets,
    orders: Receiver<Order>,
}

impl TargetService {
    /// The service and a handle on it. `lun` is what the target serves.
    pub fn new(targets: Targets, lun: ChannelId, reactor: Handle) -> (Self, TargetHandle) {
        // A port gives a completion to whoever asks first. Were one shared, a target would take the
        // other's answers for its own.
        let mut shared = targets.iscsi.io_ports().iter();
        assert!(
            !shared.any(|p| targets.nvme.io_ports().contains(p)),
            "each target has ports of its own"
        );
        let (sender, orders) = channel();
        let handle = TargetHandle {
            orders: sender,
            reactor,
            lun,
        };
        (Self { targets, orders }, handle)
    }
}

impl fmt::Debug for TargetService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.targets.fmt(f)
    }
}

impl Service for TargetService {
    fn poll(&mut self, plane: &mut Plane, now: Time) -> bool {
        let mut worked = false;
        while let Ok(order) = self.orders.try_recv() {
            order(&mut self.targets, plane, now);
            worked = true;
        }
        worked |= self.targets.nvme.poll(plane, now);
        self.targets.iscsi.poll(plane, now) || worked
    }

    fn next_deadline(&self) -> Time {
        let nvme = Service::next_deadline(&self.targets.nvme);
        nvme.min(Service::next_deadline(&self.targets.iscsi))
    }

    fn fds(&self, out: &mut Vec<(RawFd, bool)>) {
        Service::fds(&self.targets.nvme, out);
        Service::fds(&self.targets.iscsi, out);
    }
}

/// A target, for other threads.
#[derive(Clone)]
pub struct TargetHandle {
    orders: Sender<Order>,
    reactor: Handle,
    lun: ChannelId,
}

impl fmt::Debug for TargetHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetHandle")
            .field("lun", &self.lun)
            .finish_non_exhaustive()
    }
}

impl TargetHandle {
    /// What the target serves.
    pub fn lun(&self) -> ChannelId {
        self.lun
    }

    /// Has `f` done in the reactor's next turn. Does not wait.
    ///
    /// # Errors
    /// The target has stopped.
    pub fn order(
        &self,
        f: impl FnOnce(&mut Targets, &mut Plane, Time) + Send + 'static,
    ) -> Result<(), HandleError> {
        let stopped = self.orders.send(Box::new(f)).is_err();
        // The order lies beside the mailbox; a message in it is what wakes a reactor that sleeps.
        // One whose mailbox is full is awake, and turns once more for what is in there.
        match self.reactor.send(|_| {}) {
            Ok(()) | Err(HandleError::Full) if !stopped => Ok(()),
            _ => Err(HandleError::Stopped),
        }
    }

    /// Has `f` done in the reactor's next turn, and waits for what it gives.
    ///
    /// # Errors
    /// The target has stopped.
    pub fn ask<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Targets, &mut Plane, Time) -> T + Send + 'static,
    ) -> Result<T, HandleError> {
        let (tx, rx) = channel();
        self.order(move |target, plane, now| {
            // The asker may have gone away; its answer goes with it.
            let _ = tx.send(f(target, plane, now));
        })?;
        rx.recv().map_err(|_| HandleError::Stopped)
    }
}
