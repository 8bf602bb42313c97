//! The orderly end: CC.SHN, then CSTS.SHST says that nothing is executed any more.

use super::*;
use crate::proto::nvme::property::{
    Csts, PropertyGet, PropertySet, PropertySize, ShutdownStatus, offset as property,
};
use std::time::Duration;

/// How long I/O under way may take before the controller is told regardless.
const DRAIN_MAX: Duration = Duration::from_millis(500);
/// How long the whole shutdown may take.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);
/// Pause between two looks at CSTS.
const STATUS_PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) enum Stopping {
    /// New I/O is refused, old I/O ends.
    Draining { until: Time },
    /// CC.SHN is out.
    Telling { until: Time },
    /// CSTS has been asked for.
    Looking { until: Time },
    /// Until the next look.
    Pausing { next: Time, until: Time },
}

impl Stopping {
    pub(super) fn until(&self) -> Time {
        match *self {
            Self::Draining { until } | Self::Telling { until } | Self::Looking { until } => until,
            Self::Pausing { next, until } => next.min(until),
        }
    }
}

impl Association {
    /// Ends the association in order. No I/O is taken any more; what is under way ends or is ended
    /// by the controller. `ShutdownDone` is the proof that nothing is left executing.
    pub fn shutdown(&mut self, now: Time) {
        match self.life {
            Life::Up => {
                self.life = Life::Stopping;
                let until = now + DRAIN_MAX;
                self.stopping = Some(Stopping::Draining { until });
                if self.in_flight() == 0 {
                    self.announce_shutdown(now);
                }
            }
            // No I/O was ever sent.
            Life::ComingUp => self.stopped(),
            Life::Stopping | Life::Stopped | Life::Failed => {}
        }
    }

    fn stopped(&mut self) {
        self.life = Life::Stopped;
        self.stopping = None;
        self.events.push_back(AssociationEvent::ShutdownDone);
    }

    /// CC.SHN = 01b (Base clause 3.6.2, memory-less transports).
    pub(super) fn announce_shutdown(&mut self, now: Time) {
        let until = now + SHUTDOWN_MAX;
        let sqe = PropertySet {
            size: PropertySize::Dword,
            offset: property::CC,
            value: u64::from(self.cc.with_shn(Cc::SHN_NORMAL).0),
        }
        .to_sqe();
        self.stopping = Some(Stopping::Telling { until });
        self.admin(sqe, tag::SHUTDOWN, AdminData::None, now);
    }

    fn look(&mut self, until: Time, now: Time) {
        let sqe = PropertyGet {
            size: PropertySize::Dword,
            offset: property::CSTS,
        }
        .to_sqe();
        self.stopping = Some(Stopping::Looking { until });
        self.admin(sqe, tag::SHUTDOWN, AdminData::None, now);
    }

    pub(super) fn shutdown_answered(&mut self, cqe: Cqe, now: Time) {
        let (what, until, looked) = match self.stopping {
            Some(Stopping::Telling { until }) => ("Property Set CC.SHN", until, false),
            Some(Stopping::Looking { until }) => ("Property Get CSTS", until, true),
            _ => return,
        };
        if !cqe.status.is_success() {
            let status = cqe.status;
            self.fail(AssociationFailure::Command { what, status });
        } else if !looked {
            self.look(until, now);
        } else if Csts(cqe.dw0()).shst() == ShutdownStatus::Complete {
            self.stopped();
        } else if Csts(cqe.dw0()).cfs() {
            self.fail(AssociationFailure::ControllerFatal);
        } else {
            let next = now + STATUS_PAUSE;
            self.stopping = Some(Stopping::Pausing { next, until });
        }
    }

    pub(super) fn stopping_timer(&mut self, now: Time) {
        match self.stopping {
            Some(Stopping::Draining { until }) if until <= now => self.announce_shutdown(now),
            Some(Stopping::Pausing { next, until }) if until > now && next <= now => {
                self.look(until, now);
            }
            Some(ref s) if s.until() <= now => {
                let after_ms = SHUTDOWN_MAX.as_millis() as u64;
                self.fail(AssociationFailure::ShutdownTimeout { after_ms });
            }
            _ => {}
        }
    }
}
