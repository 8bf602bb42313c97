//! What a path says of a request it was given: the protocols' statuses folded into the few cases
//! that `lun` decides on.

use super::loss::LossId;
use crate::base::error::{ErrorKind, IoError};
use crate::proto::nvme::Status;
use std::time::Duration;

/// How a request ended on one path.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Done,
    /// The device's own verdict; another path would say the same.
    Failed(IoError),
    /// The target cannot take it now: send it again after a while, on any path.
    Busy {
        after: Duration,
        error: IoError,
    },
    /// This path's access state does not allow it: not counted as a retry.
    AccessDenied {
        error: IoError,
    },
    /// This path cannot carry it out, another may: counted.
    PathFault {
        error: IoError,
    },
    /// The association was lost while the request was in flight.
    Lost(LossId),
    /// It never left this host: send it elsewhere as if nothing had happened.
    NotSent,
}

/// Delay before a busy target is asked again when it named none (Command Retry Delay field 0).
const BUSY_DELAY: Duration = Duration::from_millis(10);

/// Folds an NVMe status. `retry_delays` are the controller's CRDT1..3.
///
/// Base spec, Status Field: path-related statuses (SCT 3h) mean that another controller may
/// succeed; DNR forbids a retry on any; CRD picks one of three delays.
pub fn from_nvme(status: Status, retry_delays: [Duration; 3]) -> Outcome {
    if status.is_success() {
        return Outcome::Done;
    }
    let raw = u32::from(status.to_raw() >> 1);
    let error = |kind| IoError::with_raw(kind, raw);
    let delay = match status.crd {
        0 => BUSY_DELAY,
        n => retry_delays[usize::from(n) - 1].max(Duration::from_millis(1)),
    };
    match (status.sct, status.sc) {
        // Path related: asymmetric access.
        (3, 0x01..=0x03) => Outcome::AccessDenied {
            error: error(ErrorKind::NoPath),
        },
        // Path related: everything else, and commands taken back by a dying queue.
        (3, _) | (0, 0x07 | 0x08) => Outcome::PathFault {
            error: error(ErrorKind::Device),
        },
        (2, 0x85) => Outcome::Failed(error(ErrorKind::Miscompare)),
        (2, 0x80 | 0x81 | 0x87) => Outcome::Failed(error(ErrorKind::Medium)),
        (2, _) => Outcome::Failed(error(ErrorKind::Medium)),
        (0, 0x80) => Outcome::Failed(error(ErrorKind::OutOfRange)),
        (0, 0x81) => Outcome::Failed(error(ErrorKind::NoSpace)),
        (0, 0x83) => Outcome::Failed(error(ErrorKind::ReservationConflict)),
        (0, 0x20) | (1, 0x82) => Outcome::Failed(error(ErrorKind::WriteProtected)),
        (0, 0x01) => Outcome::Failed(error(ErrorKind::Unsupported)),
        (0, 0x02 | 0x0B | 0x0D | 0x0F | 0x11 | 0x12 | 0x13) => {
            Outcome::Failed(error(ErrorKind::Invalid))
        }
        // Namespace Not Ready, Internal Error, Transient Transport Error, Command Interrupted …
        _ if status.dnr => Outcome::Failed(error(ErrorKind::Device)),
        _ => Outcome::Busy {
            after: delay,
            error: error(ErrorKind::Device),
        },
    }
}
